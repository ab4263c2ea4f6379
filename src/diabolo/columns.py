"""What the columns of a table are: cells as numbers, and numbers as cells.

The stored value of a cell is a float32: a number as it is, of a category its place among the
`categories`, of a date the days since the `first`; NaN for a gap, an empty cell. A category that
was not there in training is -1, and counts as a gap where nothing else is said.
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any, Literal, Self

import numpy as np

from diabolo.errors import DoctorWarning, InputError
from diabolo.names import check_names, is_frame, some

ColumnKind = Literal["number", "category", "boolean", "date"]
MOST = 256  # categories of a column of texts
FEW = 20  # that are kept in any case
LONGEST = 1000  # characters of a category
DAY = "1D"
INFERRED: dict[str, ColumnKind] = {  # what pandas calls objects
    "boolean": "boolean",
    **dict.fromkeys(["integer", "floating", "mixed-integer-float", "decimal"], "number"),
    **dict.fromkeys(["date", "datetime", "datetime64"], "date"),
    **dict.fromkeys(["string", "mixed", "mixed-integer", "empty"], "category"),
}


@dataclass(frozen=True)
class Column:
    """A column: its name (None in an array), kind, and the type that pandas has it in.

    `categories` are None for numbers and dates, False and True for booleans; without any, as in
    free text, every cell counts as a gap. `first` is the first date in ISO form, without a time
    where no date has one. `ordered`: of a type of ordered categories.
    """

    name: str | int | None
    kind: ColumnKind = "number"
    dtype: str = "float64"
    categories: tuple[Any, ...] | None = None
    first: str = ""
    ordered: bool = False

    @property
    def width(self) -> int:
        """The values that the network has for it."""
        return 1 if self.categories is None else len(self.categories)

    def values(self, cells: Any) -> tuple[np.ndarray, list[Any]]:
        """The stored values (N,) of cells (a Series), and those that have none."""
        if self.categories is not None:
            return _places(cells, self.categories)
        found = _days(cells, self.first) if self.kind == "date" else _numbers(cells)
        return found, _distinct(cells[np.isnan(found) & cells.notna().to_numpy()])

    def cells(self, values: np.ndarray) -> Any:
        """The cells (a Series) of stored values (N,)."""
        pandas = _pandas()
        if self.kind == "date":
            return self._dates(values)
        if self.kind == "number":
            return _as_type(pandas.Series(values.astype(np.float64)), self.dtype)
        known = np.array([*(self.categories or ()), None], dtype=object)
        code = np.nan_to_num(values, nan=-1).astype(int)
        if self.dtype == "category":
            kept = pandas.Index(list(self.categories or ()))
            return pandas.Series(
                pandas.Categorical.from_codes(code, kept, ordered=self.ordered)  # type: ignore[arg-type]
            )
        return _as_type(pandas.Series(known[code], dtype=object), self.dtype)

    def _dates(self, values: np.ndarray) -> Any:
        pandas = _pandas()
        first = pandas.Timestamp(self.first, tz="UTC")
        found = first + pandas.Series(pandas.to_timedelta(values.astype(np.float64), unit="D"))
        if "." not in self.first:
            found = found.dt.round("s" if "T" in self.first else "D")
        if self.dtype == "object":
            days = found.dt.date.astype(object)
            return days.where(days.notna(), None)
        return (found if "," in self.dtype else found.dt.tz_convert(None)).astype(self.dtype)

    def words(self, value: float) -> str:
        """A stored value as it is read in a sentence."""
        if np.isnan(value):
            return "a gap"
        cell = self.cells(np.array([value], np.float32))[0]
        if self.kind == "number":
            return f"{int(cell)}" if float(cell).is_integer() else f"{cell:.6g}"
        return str(cell).removesuffix(" 00:00:00")


class Columns(tuple[Column, ...]):
    """The columns of a table, in the order in which they are stored."""

    __slots__ = ()

    @classmethod
    def read(cls, header: Iterable[dict[str, Any]]) -> Self:
        """The columns that `header` gave; ValueError where it is none."""
        try:
            found = cls(Column(**entry) for entry in map(_entry, header))
        except TypeError:
            raise ValueError("its columns are not described.") from None
        if any((c.categories is None) != (c.kind in ("number", "date")) for c in found):
            raise ValueError("the kinds of its columns do not fit.")
        return found

    def header(self) -> list[dict[str, Any]]:
        """As a model file has them."""
        return [
            {k: list(v) if k == "categories" else v for k, v in asdict(c).items() if v is not None}
            for c in self
        ]

    @property
    def names(self) -> tuple[Any, ...]:
        """Of the columns; () where they were those of an array."""
        return tuple(column.name for column in self if column.name is not None)

    @property
    def sizes(self) -> tuple[int | None, ...]:
        """The number of categories of each column; None of numbers and dates."""
        return tuple(c.categories if c.categories is None else len(c.categories) for c in self)

    @property
    def values_named(self) -> list[str]:
        """What each of the network's values is of: a column, or a category of one."""
        return [
            f"{name}" if column.categories is None else f"{name}={category}"
            for name, column in zip(self.names or range(len(self)), self, strict=True)
            for category in (column.categories if column.categories is not None else [None])
        ]

    @property
    def width(self) -> int:
        """E, the number of values that the network has for a row."""
        return sum(column.width for column in self)

    def values(self, X: Any) -> np.ndarray:
        """The stored values (N, D) of a table, whose columns may come in any order, or an array.

        Raises `InputError` for all that is wrong; categories that are new are told of.
        """
        if not is_frame(X):
            return self._of_array(X)
        frame = as_frame(X)
        if not self.names and frame.shape[1] == len(self):
            frame = frame.set_axis(range(len(self)), axis=1)
        names = self.names or tuple(range(len(self)))
        check_names("X", list(frame.columns), list(names))
        rows = np.empty((len(frame), len(self)), np.float32)
        problems: list[str] = []
        for i, (name, column) in enumerate(zip(names, self, strict=True)):
            rows[:, i], odd = column.values(frame[name])
            if odd and column.categories is None:
                such = f" such as {column.first}" if column.first else ""
                words = f"column {name!r} holds {odd[0]!r}, which is no {column.kind}{such}"
                problems.append(words)
            elif odd and column.categories:
                words = f"Column {name!r} has values that are new and count as gaps: {some(odd)}."
                warnings.warn(words, DoctorWarning, stacklevel=2)
            if np.isinf(rows[:, i]).any():
                problems.append(f"column {name!r} holds infinity or values too large for float32")
        _refuse(problems)
        return rows

    def frame(self, values: np.ndarray, like: Any = None) -> Any:
        """The table of stored values (N, D); with the index and the order of columns of `like`."""
        pandas = _pandas()
        cells = {c.name: c.cells(v) for c, v in zip(self, values.T, strict=True)}
        frame = pandas.DataFrame(cells)
        if like is None:
            return frame
        given = as_frame(like)
        frame = frame[list(given.columns)].set_axis(given.index)
        return frame if given is like else type(like)(frame)

    def check_form(self, X: Any) -> None:
        """Refuse an array where more than numbers is wanted."""
        if not is_frame(X) and any(c.categories or c.kind == "date" for c in self):
            raise InputError(
                f"X must be a table with the columns of the training, {some(self.names)}, such as"
                " a DataFrame of pandas."
            )

    def _of_array(self, X: Any) -> np.ndarray:
        if X.shape[1:] != (len(self),):
            raise InputError(f"X has {X.shape[1]} features, but {len(self)} are expected.")
        rows = _narrow(np.asarray(X, dtype=np.float64))
        if np.isinf(rows).any():
            raise InputError(
                "X contains infinity or values too large for float32: scale it down, or drop those"
                " samples."
            )
        return rows


def mixed(X: Any) -> bool:
    """Whether a table or an array has more than numbers that are all there."""
    if not is_frame(X):
        floats = isinstance(X, np.ndarray) and X.dtype.kind == "f" and X.ndim == 2
        return floats and bool(np.isnan(X).any())
    frame = as_frame(X)
    kinds = {kind_of(frame.iloc[:, i]) for i in range(frame.shape[1])}
    return not (kinds <= {"number"} or kinds == {"boolean"}) or bool(frame.isna().any(axis=None))


def filled(X: Any, found: Any) -> Any:
    """The table X with its gaps, and nothing else, from a table like it."""
    given, other = as_frame(X), as_frame(found)
    frame = given.copy()
    for i, name in enumerate(given.columns):
        cells, gap = given.iloc[:, i], given.iloc[:, i].isna()
        if gap.any():
            frame[name] = cells.where(~gap, _shortly(other[name]))
    return frame if given is X else type(X)(frame)


def _shortly(cells: Any) -> Any:
    """Numbers that were float32 with no more digits than they had."""
    if cells.dtype != np.float64:
        return cells
    short = cells.to_numpy(np.float32).astype(str).astype(np.float64)
    return _pandas().Series(short, cells.index)


def learn(X: Any) -> Columns:
    """What the columns of a table are; `InputError` for all those that cannot be learnt from."""
    if not is_frame(X):
        gaps = np.isnan(X).all(0)
        if gaps.all():
            raise InputError("X has nothing but gaps (NaN): give values to learn from.")
        return Columns(Column(None, categories=() if empty else None) for empty in gaps)
    frame, problems, found = as_frame(X), [], []
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()]
        raise InputError(f"X has more than one column of the name {twice[0]!r}: rename them.")
    for name in frame.columns:
        try:
            found.append(_learn(name, frame[name]))
        except InputError as error:
            problems.append(str(error))
    _refuse(problems)
    return Columns(found)


def as_frame(X: Any) -> Any:
    """A table as a DataFrame of pandas."""
    return X.to_pandas() if hasattr(X, "to_pandas") else X


def kind_of(cells: Any) -> ColumnKind | None:
    """The kind of a column (a Series); None where it is none of them."""
    types, dtype = _pandas().api.types, cells.dtype
    if str(dtype) == "category":
        return "category"
    if types.is_bool_dtype(dtype):
        return "boolean"
    if types.is_numeric_dtype(dtype):
        return None if types.is_complex_dtype(dtype) else "number"
    if types.is_datetime64_any_dtype(dtype):
        return "date"
    found = types.infer_dtype(cells, skipna=True)
    if found == "mixed" and not cells.map(types.is_hashable).all():  # lists, say
        return None
    return INFERRED.get(found)


def _learn(name: Any, cells: Any) -> Column:
    """A column, from its cells; `InputError`, without an end, where that cannot be."""
    if not isinstance(name, str | int | np.integer) or isinstance(name, bool):
        raise InputError(f"the column {name!r} is named by no text: rename it")
    name = name if isinstance(name, str) else int(name)
    kind, dtype = kind_of(cells), str(cells.dtype)
    if kind is None:
        raise InputError(
            f"column {name!r} is of the type {dtype}, no number, category or date: convert it"
        )
    if kind == "category" or cells.isna().all():
        ordered = bool(getattr(cells.dtype, "ordered", False))
        return Column(name, "category", dtype, _categories(cells), ordered=ordered)
    if kind == "boolean":
        return Column(name, kind, dtype, (False, True))
    return Column(name, kind, dtype, first=_first(cells) if kind == "date" else "")


def _categories(cells: Any) -> tuple[Any, ...]:
    """The categories of a column: those of its type, or of its texts; of free text the repeated.

    Texts are free where so many are different that hardly any comes again.
    """
    if str(cells.dtype) == "category":
        return tuple(map(_plain, cells.cat.categories))
    counts = cells.dropna().value_counts()
    counts = counts[
        [isinstance(v, str | int | float) and len(str(v)) <= LONGEST for v in counts.index]
    ]
    if len(counts) > max(FEW, len(cells) / 8):
        counts = counts[counts > 1]
    return tuple(sorted(map(_plain, counts.index[:MOST]), key=lambda v: (str(type(v)), v)))


def _plain(value: Any) -> Any:
    """A category as JSON can have it."""
    if isinstance(value, np.generic):
        return value.item()
    return value if isinstance(value, str | int | float) else str(value)


def _places(cells: Any, categories: Sequence[Any]) -> tuple[np.ndarray, list[Any]]:
    pandas = _pandas()
    given = cells.astype(object)
    place = pandas.Index(list(categories), dtype=object).get_indexer(given)
    unknown = _distinct(given[(place < 0) & cells.notna().to_numpy()])
    gap = cells.isna().to_numpy() | (len(categories) == 0)
    return np.where(gap, np.nan, place).astype(np.float32), unknown


def _numbers(cells: Any) -> np.ndarray:
    """Numbers as float32; NaN for what is none."""
    pandas = _pandas()
    if kind_of(cells) == "date":
        return np.full(len(cells), np.nan, np.float32)
    found = pandas.to_numeric(cells.astype(object), errors="coerce")
    return _narrow(found.to_numpy(dtype=np.float64, na_value=np.nan))


def _days(cells: Any, first: str) -> np.ndarray:
    """Dates as days since the first, float32; NaN for what is none."""
    pandas = _pandas()
    if kind_of(cells) == "number":
        return np.full(len(cells), np.nan, np.float32)
    since = _dates(cells) - pandas.Timestamp(first, tz="UTC")
    return (since / pandas.Timedelta(DAY)).to_numpy(dtype=np.float64).astype(np.float32)


def _first(cells: Any) -> str:
    dates = _dates(cells).dropna()
    first = dates.min().tz_convert(None)
    if (dates == dates.dt.normalize()).all():
        return str(first.date().isoformat())
    seconds = (dates == dates.dt.floor("s")).all()
    return str(first.isoformat(timespec="seconds" if seconds else "microseconds"))


def _dates(cells: Any) -> Any:
    """Dates; of texts those in ISO form alone, since others may be read in two ways."""
    return _pandas().to_datetime(cells, errors="coerce", utc=True, format="ISO8601")


def _as_type(cells: Any, dtype: str) -> Any:
    """Cells as a type of pandas; where it cannot hold gaps, as the one beside it that can."""
    types = _pandas().api.types
    wanted = types.pandas_dtype(dtype)
    if types.is_integer_dtype(wanted):
        info = np.iinfo(getattr(wanted, "numpy_dtype", wanted))
        cells = cells.round().clip(info.min, float(np.nextafter(float(info.max), 0)))
    plain = isinstance(wanted, np.dtype) and wanted.kind in "iub"
    if plain and cells.isna().any():
        return cells.astype("boolean" if wanted.kind == "b" else "Int64")
    return cells.astype(wanted)


def _narrow(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _distinct(cells: Any) -> list[Any]:
    return list(dict.fromkeys(cells.tolist()))


def _refuse(problems: list[str]) -> None:
    if problems:
        words = "; ".join(problems)
        raise InputError(f"{words[0].upper()}{words[1:]}.")


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    if "categories" in entry:
        return entry | {"categories": tuple(entry["categories"])}
    return entry


def _pandas() -> Any:
    """pandas, imported only here because it is optional and slow to load."""
    return import_module("pandas")
