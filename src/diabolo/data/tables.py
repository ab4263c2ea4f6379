"""Tables from files and back: text of any form, Parquet, Arrow and Excel, through pandas."""

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from diabolo.data import columns as kinds_of
from diabolo.data.columns import ColumnKind, Written
from diabolo.data.files import atomically, quietly, why
from diabolo.data.sniff import SPACES, Form, sniff, split
from diabolo.errors import InputError, unknown

TEXT = (".csv", ".tsv", ".txt")
CODE = re.compile(r"code_\d{1,9}", re.ASCII)
KEPT = ("bool", "uint8", "uint16", "float16", "float32", "float64")
NONE = "none"  # asks for no index or label
INDICES = (
    "id",
    "index",
    "idx",
    "no",
    "no.",
    "nr",
    "nr.",
    "#",
    "key",
    "row",
    "番号",
    "번호",
    "순번",
)
LABELS = (
    *("label", "labels", "class", "target", "y", "species", "klasse", "classe"),
    *("ラベル", "分類", "クラス", "라벨", "레이블", "분류"),
)
SHOWN = 5  # of the rows, cells or columns that are named


@dataclass(frozen=True, eq=False)
class Frame:
    """A table, its columns in the types of their kinds, and how it was written.

    `table` has the columns to learn from (see `columns.tidy`), `kinds` says what they are;
    `aside` has the others, row by row as they were: the `index`, the `label`, and what cannot be
    learnt. `order` are all columns as they stood. `notes` has a sentence for each thing that was
    recognised. `form` is how a file of text is written, and `written` are its columns, if not as
    their types say; `renamed` are names that were given for those of the file.
    """

    table: Any
    kinds: dict[str, ColumnKind]
    aside: Any
    order: list[str]
    index: str | None = None
    label: str | None = None
    notes: list[str] = field(default_factory=list)
    form: Form | None = None
    written: dict[str, Written] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def columns(self) -> list[str]:
        """The names of the columns to learn from."""
        return [str(name) for name in self.table.columns]

    @property
    def numeric(self) -> bool:
        """Whether there are only numbers and booleans."""
        return set(self.kinds.values()) <= {"number", "boolean"}

    @property
    def labels(self) -> np.ndarray | None:
        """The labels (N,), as numbers or texts, if there is a column of them."""
        if self.label is None:
            return None
        found = self.aside[self.label]
        if kinds_of.kind_of(found) in ("number", "boolean"):
            return _array(found.to_frame(), binary=not found.isna().any())[:, 0]
        return found.astype(object).where(found.notna(), "").astype(str).to_numpy(dtype=str)

    def array(self) -> np.ndarray:
        """The table as an array (N, D): numbers, gaps NaN, if it is numeric; else of objects.

        Columns of a binary file that share one type of `KEPT` have it, all others are float64.
        """
        if not self.numeric:
            values: np.ndarray = self.table.to_numpy(dtype=object)
            return values
        return _array(self.table, binary=self.form is None)


def _array(table: Any, *, binary: bool) -> np.ndarray:
    types = {str(dtype) for dtype in table.dtypes}
    dtype = types.pop() if binary and len(types) == 1 and types <= set(KEPT) else "float64"
    missing: Any = {"na_value": np.nan} if dtype.startswith("float") else {}
    values: np.ndarray = table.to_numpy(dtype=dtype, **missing)
    return values


def read_frame(
    path: str | Path,
    *,
    limit: int | None = None,
    index: str | None = None,
    label: str | None = None,
    kinds: Mapping[str, ColumnKind] | None = None,
) -> Frame:
    """Read the table at `path`: .csv, .tsv, .txt, .parquet, .arrow, .feather or .xlsx.

    Of text, encoding, separator, decimal mark and header are found. `limit` is how many rows are
    read. `index` and `label` name those columns, "none" says that there is none; without them
    they are recognised. `kinds` are the kinds that columns are known to have, which then are
    never set aside. Raises an InputError that names all that is wrong.
    """
    path = Path(path)
    raw, form, problems, notes = _read(path, limit)
    if not len(raw) and not problems:
        raise InputError(f"{path} holds no samples: there are no rows below its header")
    known = kinds or {}
    frame = _named(raw, form, notes)
    written, strays = dict[str, Written](), dict[str, kinds_of.Parsed]()
    table = {}
    for place, name in enumerate(frame.order):
        column = frame.table.iloc[:, place]
        parsed = _parsed(column, form, place, known.get(name))
        table[name], written[name] = parsed.values, parsed.written
        if parsed.strays is not None:
            strays[name] = parsed
    pandas = importlib.import_module("pandas")
    frame = replace(frame, table=pandas.DataFrame(table), written=written, form=form)
    frame = _set_aside(frame, path, index, label, known)
    found = {name: strays[name] for name in frame.columns if name in strays}
    problems += _describe(path, form, frame, raw, found)
    if problems:
        raise InputError(_listed(path, problems))
    if not frame.columns:
        raise InputError(f"{path} has no column to learn from: {' '.join(frame.notes)}")
    return frame


def _named(raw: Any, form: Form | None, notes: list[str]) -> Frame:
    """The table under names that are unique texts, without columns that have neither."""
    order, renamed = list[str](), dict[str, str]()
    for place, given in enumerate(map(str, raw.columns)):
        name = given or f"unnamed_{place + 1}"
        while name in order:
            name = f"{name}.{order.count(name) + 1}"
        order.append(name)
        if name != given:
            renamed[name] = given
    double = [f'"{given}" is "{name}" here' for name, given in renamed.items() if given]
    if double:
        notes.append(f"Two columns have one name: the later {_some(double)}.")
    raw = raw.set_axis(order, axis=1)
    if form is not None:
        nothing = [name for name in renamed if not renamed[name] and raw[name].isna().all()]
        raw = raw.drop(columns=nothing)
    kept = [name for name in order if name in raw.columns]
    return Frame(raw, {}, None, kept, notes=notes, renamed=renamed)


def _parsed(
    column: Any, form: Form | None, place: int, kind: ColumnKind | None
) -> kinds_of.Parsed:
    """A column in the type of its kind."""
    types = importlib.import_module("pandas").api.types
    if form is None:
        return kinds_of.Parsed(kinds_of.tidied(column))
    if types.is_float_dtype(column) and column.isna().any() and not column.isna().all():
        whole = all(re.fullmatch(r"[+-]?\d*", cell) for cell in form.column(place)[:50])
        with np.errstate(invalid="ignore"):
            whole = whole and bool((column.dropna() % 1 == 0).all())
        if whole and column.abs().max() < 2**53:
            column = column.astype("Int64")
    number = types.is_numeric_dtype(column) and not types.is_bool_dtype(column)
    if number and kind not in ("category", "boolean", "date"):
        return kinds_of.Parsed(column)
    found = kinds_of.kind_of(column)
    if found == "boolean" and kind in (None, "boolean"):
        seen = {cell.lower(): cell for cell in form.column(place)}
        words = (seen.get("true", "True"), seen.get("false", "False"))
        return kinds_of.Parsed(kinds_of.tidied(column), Written(words))
    texts = column.astype("str").where(column.notna())
    parsed = kinds_of.parse(texts, form.decimal, kind)
    return replace(parsed, values=kinds_of.tidied(parsed.values))


def _set_aside(
    frame: Frame,
    path: Path,
    index: str | None,
    label: str | None,
    known: Mapping[str, ColumnKind],
) -> Frame:
    """The frame with index, label and what cannot be learnt aside, and a note on each."""
    table, notes = frame.table, list(frame.notes)
    for name in (index, label):
        if name not in (None, NONE, *table.columns):
            raise unknown(f"column in {path}", name, table.columns)
    free = [name for name in table.columns if name not in known]
    empty = [name for name in free if table[name].isna().all()]
    free = [name for name in free if name not in empty]
    index = index or next((name for name in free if _is_index(frame, name)), None)
    rest = [name for name in free if name != index]
    ends = [name for name in (table.columns[-1:], rest[:1], rest[-1:]) for name in name]
    label = label or next((name for name in ends if name in rest and _is_label(table, name)), None)
    index, label = (None if name == NONE else name for name in (index, label))
    kinds = {name: known.get(name) or kinds_of.kind_of(table[name]) for name in table.columns}
    apart = [name for name in (index, label) if name is not None]
    texts = [name for name in free if kinds[name] == "text" and name not in apart]
    extra = [name for name in free if known and name not in (*apart, *texts)]
    notes += [f'Column "{index}" is taken as the index, not learnt.'] * (index is not None)
    notes += [f'Column "{label}" is taken as the label, not learnt.'] * (label is not None)
    notes += [f"Left out, as nearly all texts differ: {_some(texts)}."] * bool(texts)
    notes += [f"Left out, as wholly empty: {_some(empty)}."] * bool(empty)
    apart = [name for name in table.columns if name in {*apart, *texts, *empty, *extra}]
    features = table.drop(columns=apart)
    gaps = features.isna().sum()
    if gaps.any():
        notes.append(f"{gaps.sum()} cells are empty, in {_some([*gaps.index[gaps > 0]])}.")
    return replace(
        frame,
        table=features,
        kinds={name: kinds[name] for name in features.columns},
        aside=table[apart],
        index=index,
        label=label,
        notes=notes,
    )


def _is_index(frame: Frame, name: str) -> bool:
    """Whether a column numbers or names the rows: each value differs, and it stands for it."""
    column, given = frame.table[name], frame.renamed.get(name, name).strip().lower()
    first = name == frame.order[0]
    called = given in INDICES if first else given in INDICES[:2]
    if len(frame.order) < 2 or column.isna().any() or not column.is_unique:
        return False
    if kinds_of.kind_of(column) == "number":
        return (called or (first and not given)) and bool((column % 1 == 0).all())
    text = kinds_of.kind_of(column) in ("category", "text")
    return text and (called or (first and len(column) >= 3))


def _is_label(table: Any, name: str) -> bool:
    """Whether a column is called like a label and has few different values."""
    column, given = table[name], name.strip().lower()
    others = {str(other).strip().lower() for other in table.columns}
    if given not in LABELS or len(others) < 2 or (given == "y" and "x" in others):
        return False
    different, n = column.nunique(), int(column.count())
    few = different <= max(kinds_of.FEW, min(n / 10, kinds_of.MANY))
    if kinds_of.kind_of(column) == "number":
        return few and bool((column.dropna() % 1 == 0).all()) and (different < n or n < 3)
    return few and kinds_of.kind_of(column) in ("category", "boolean")


def _read(path: Path, limit: int | None) -> tuple[Any, Form | None, list[str], list[str]]:
    """What stands in the file, how it is written, problems and notes."""
    pandas = _pandas(path)
    try:
        if path.suffix.lower() in TEXT:
            return _read_text(pandas, path, limit)
        return _read_binary(pandas, path, limit), None, [], []
    except InputError:
        raise
    except Exception as error:  # damaged Parquet raises errors of many kinds
        reason = why(error).removeprefix("Error tokenizing data. C error: ")
        raise InputError(f"{path} cannot be read as a table: {reason}") from error


def _read_text(
    pandas: Any, path: Path, limit: int | None
) -> tuple[Any, Form, list[str], list[str]]:
    form, problems = sniff(path), list[str]()
    try:
        frame = _read_csv(pandas, path, form, limit)
    except UnicodeDecodeError:  # the first rows were ASCII
        form = sniff(path, path.stat().st_size)
        frame = _read_csv(pandas, path, form, limit)
    except (pandas.errors.ParserWarning, pandas.errors.ParserError):
        frame, problems = _read_ragged(pandas, path, form, limit)
    if form.names is None:
        frame.columns = [f"column_{n + 1}" for n in range(frame.shape[1])]
    else:
        names = [*form.names, *[""] * (frame.shape[1] - len(form.names))]
        frame.columns = names[: frame.shape[1]]
    return frame, form, problems, _said(form, frame)


def _read_csv(pandas: Any, path: Path, form: Form, limit: int | None) -> Any:
    with quietly(pandas.errors.ParserWarning):
        frame = pandas.read_csv(
            path,
            sep=form.separator,
            decimal=form.decimal,
            encoding=form.encoding,
            header=None if form.names is None else 0,
            skiprows=form.skipped,
            na_values=list(kinds_of.GAPS),
            skipinitialspace=True,
            index_col=False,
            low_memory=False,
            nrows=limit,
        )
    if len(frame) and frame.iloc[-1].isna().all() and frame.shape[1] > 1:
        last = frame.notna().any(axis=1).to_numpy().nonzero()[0]
        frame = frame.iloc[: last[-1] + 1 if len(last) else 0]
    return frame


def _rows(path: Path, form: Form) -> list[tuple[int, list[str]]]:
    """All rows below the header, each with its line in the file, read slowly."""
    with path.open(encoding=form.encoding, newline="") as file:
        lines = file.readlines()[form.skipped :]
    rows = [(line + form.skipped, row) for line, row in split(lines, form.separator)]
    return rows[form.names is not None :]


def _read_ragged(pandas: Any, path: Path, form: Form, limit: int | None) -> tuple[Any, list[str]]:
    """The table as far as its rows fit, and a sentence on those that have too many cells."""
    rows = _rows(path, form)[:limit]
    width = len(form.names or rows[0][1])
    wide = [(line, len(row)) for line, row in rows if any(map(str.strip, row[width:]))]
    cells = [[cell.strip() or None for cell in row[:width]] for _, row in rows]
    frame = pandas.DataFrame([row + [None] * (width - len(row)) for row in cells], dtype="str")
    if not wide:
        return frame, []
    named = _some([f"line {line} ({n})" for line, n in wide])
    return frame, [f"has rows with more cells than its header, which has {width}: {named}"]


def _said(form: Form, frame: Any) -> list[str]:
    """What was recognised of how the file is written."""
    notes = [f"The table is read as text {form.words}."] if form.words else []
    if form.titles:
        notes.append(f"Above the header, passed over: {_some(list(form.titles))}.")
    if form.names is None:
        notes.append(
            f"No header was found: the columns are named column_1 to column_{frame.shape[1]}."
        )
    return notes


def _describe(
    path: Path, form: Form | None, frame: Frame, raw: Any, strays: dict[str, kinds_of.Parsed]
) -> list[str]:
    """A sentence on each column that has cells which do not fit its kind."""
    if not strays or form is None:
        return []
    lines = [line for line, _ in _rows(path, form)]
    found = []
    for name, parsed in strays.items():
        places = np.flatnonzero(parsed.strays)
        cells = raw.iloc[places, [*raw.columns].index(frame.renamed.get(name, name))]
        named = [f'"{cell}" in line {lines[n]}' for n, cell in zip(places, cells, strict=True)]
        found.append(f'column "{name}" holds {parsed.wanted}s, but {_some(named)}')
    return found


def _listed(path: Path, problems: list[str]) -> str:
    """One sentence for all that is wrong with a file."""
    if len(problems) == 1 and problems[0].startswith("has"):
        return f"{path} {problems[0]}"
    return (
        f"{path} is not all of one form: {'; '.join(problems)}: correct these cells or empty them"
    )


def _some(names: list[str]) -> str:
    """The first of many names, and how many more there are."""
    shown = ", ".join(map(str, names[:SHOWN]))
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown


def _read_binary(pandas: Any, path: Path, limit: int | None) -> Any:
    match path.suffix.lower():
        case ".parquet":
            frame = _parquet(path, limit)
        case ".xlsx":
            frame = pandas.read_excel(path, nrows=limit)
        case _:
            frame = _arrow(path, limit)
    unnamed = frame.index.names == [None]
    numbered = unnamed and isinstance(frame.index, pandas.RangeIndex)
    return frame.reset_index(drop=numbered)


def _parquet(path: Path, limit: int | None) -> Any:
    parquet: Any = importlib.import_module("pyarrow.parquet")
    if limit is None:
        return parquet.read_table(path).to_pandas()
    with parquet.ParquetFile(path) as file:
        batches = file.iter_batches(limit)
        table = importlib.import_module("pyarrow").Table.from_batches([*_until(batches, limit)])
    return table.slice(0, limit).to_pandas()


def _until(batches: Any, limit: int) -> Any:
    count = 0
    for batch in batches:
        yield batch
        count += len(batch)
        if count >= limit:
            return


def _arrow(path: Path, limit: int | None) -> Any:
    """A file of Arrow: with an index of its parts (Feather), or a stream of them."""
    arrow: Any = importlib.import_module("pyarrow")
    with arrow.memory_map(str(path)) as file:
        try:
            table = arrow.ipc.open_file(file).read_all()
        except arrow.ArrowInvalid:
            file.seek(0)
            table = arrow.ipc.open_stream(file).read_all()
        return table.slice(0, limit).to_pandas()


def write_frame(
    path: str | Path, table: Any, like: Frame | None = None, *, aside: bool = True
) -> None:
    """Write a table under its own columns, atomically, in the form that the suffix asks for.

    With `like`, its columns have the types and texts that they had there, with what was set
    `aside` (if there are as many rows) in their old order.
    """
    path = Path(path)
    pandas = _pandas(path)
    frame = pandas.DataFrame(kinds_of.as_pandas(table))
    if like is not None:
        frame = _dressed(pandas, frame, like, aside=aside)
    with atomically(path) as temporary:
        match path.suffix.lower():
            case ".csv" | ".tsv" | ".txt":
                _write_text(temporary, frame, like)
            case ".parquet":
                frame.to_parquet(temporary, engine="pyarrow", index=False)
            case ".xlsx":
                frame.to_excel(temporary, index=False)
            case _:
                frame.to_feather(temporary)


def _dressed(pandas: Any, frame: Any, like: Frame, *, aside: bool) -> Any:
    """The table with the types of another, and what is set aside there in its old place."""
    found = {name: _typed(frame[name], like) for name in frame.columns}
    if aside and len(like) == len(frame):
        found |= {name: like.aside[name].set_axis(frame.index) for name in like.aside.columns}
    order = [name for name in like.order if name in found]
    return pandas.DataFrame({name: found[name] for name in (*order, *found)})


def _typed(column: Any, like: Frame) -> Any:
    """A column in the type that one of its name has: integers are rounded."""
    if column.name not in like.table.columns:
        return column
    dtype = like.table[column.name].dtype
    kind = like.kinds[column.name]
    if kind == "number" and str(dtype).lower().startswith(("int", "uint")):
        column = column.round()
        return column.astype("Int64") if column.isna().any() else column.astype(dtype)
    if kind == "boolean" and kinds_of.kind_of(column) == "number":
        column = (column >= 0.5).astype("boolean").mask(column.isna())
    if str(dtype) == "bool" and column.isna().any():
        return column.astype("boolean")
    return column.astype(dtype)


def _write_text(path: Path, frame: Any, like: Frame | None) -> None:
    """As `like` was written, if that was text; tabs in a .tsv."""
    form = (like.form if like is not None else None) or Form(names=())
    separator = "," if form.separator == SPACES else form.separator
    if path.suffix.lower() == ".tsv":
        separator = "\t"
    elif path.suffix.lower() == ".csv" and separator == "\t":
        separator = ";" if form.decimal == "," else ","
    if like is not None:
        texts = {
            name: kinds_of.as_text(frame[name], like.written.get(name, Written()))
            for name in frame.columns
        }
        frame = frame.assign(**texts).rename(columns=like.renamed)
    frame.to_csv(
        path,
        sep=separator,
        decimal=form.decimal,
        encoding=form.encoding,
        lineterminator=form.newline,
        header=form.names is not None,
        index=False,
    )


def _pandas(path: Path) -> Any:
    """pandas, imported only here because it is optional and slow to load."""
    try:
        if path.suffix.lower() not in TEXT:
            importlib.import_module("pyarrow")
        return importlib.import_module("pandas")
    except ImportError as error:
        raise InputError(
            f'{path} is a table, which needs pandas and pyarrow: pip install "diabolo[tables]"'
        ) from error


def write_table(
    path: Path,
    array: np.ndarray,
    columns: list[str],
    beside: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write `array` (N, D) under the header `columns`, atomically, in the form of the suffix.

    `beside`: further columns (N,), which come first.
    """
    frame = _pandas(path).DataFrame(array, columns=columns)
    for place, (name, values) in enumerate((beside or {}).items()):
        frame.insert(place, name, values)
    write_frame(path, frame)


def read_code_columns(path: Path) -> np.ndarray | None:
    """The columns code_0, code_1, ... (N, K) of a table in that order; None if it has none."""
    frame = read_frame(path, index=NONE, label=NONE)
    names = [name for name in frame.order if CODE.fullmatch(name)]
    for name in names:
        if frame.kinds.get(name) != "number":
            raise InputError(f'column "{name}" of {path} is not numeric: drop it or encode it')
    names.sort(key=lambda name: int(name.removeprefix("code_")))
    return _array(frame.table[names], binary=frame.form is None) if names else None
