"""What the columns of a table are: numbers, booleans, dates, categories, or text of its own kind.

`kinds` says it of any pandas or polars table; `tidy` gives its columns the one pandas type that
their kind has here; `parse` reads a column of text from a file.
"""

import re
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import numpy as np

from diabolo.data.sniff import DATE, GROUPED
from diabolo.errors import InputError

ColumnKind = Literal["number", "boolean", "date", "category", "text"]

FEW, MANY = 20, 1000  # different texts: as many are always categories, more than MANY never
GAPS = ("?", "--", "–", "—", "#NV", "#DIV/0!", "#VALUE!", "#REF!", "#NUM!", "none", "na", "欠測")  # noqa: RUF001
NUMERIC_GAPS = ("なし", "欠損", "없음", "결측", "無", "k.A.", "k. A.", "n/v", "#WERT!", "#ZAHL!")
WORDS = (
    *(("true", "false"), ("yes", "no"), ("ja", "nein"), ("wahr", "falsch"), ("oui", "non")),
    *(("vrai", "faux"), ("はい", "いいえ"), ("예", "아니오"), ("예", "아니요")),
)
_DAYS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%Y年%m月%d日", "%Y년 %m월 %d일", "%Y. %m. %d."),
    *("%Y.%m.%d", "%Y. %m. %d", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%d.%m.%y"),
)
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", "T%H:%M:%S", "T%H:%M:%S.%f", "T%H:%M")


@dataclass(frozen=True)
class Written:
    """How the values of a column are written, where that is more than their type says.

    `words` are those for true and false, `date` the format of dates and `padded` whether their
    numbers have zeros in front.
    """

    words: tuple[str, str] | None = None
    date: str = ""
    padded: bool = True


@dataclass(frozen=True)
class Parsed:
    """A column of text, read: its values, and the cells that do not fit its kind (N,), if any."""

    values: Any
    written: Written = Written()
    strays: Any = None
    wanted: str = ""


def kinds(table: Any) -> dict[str, ColumnKind]:
    """The kind of each column of a pandas or polars table (N, columns), by name."""
    table = as_pandas(table)
    return {str(name): kind_of(table.iloc[:, n]) for n, name in enumerate(table.columns)}


def as_pandas(table: Any) -> Any:
    """A table of pandas, or of another library that converts to one, as one of pandas."""
    table = table.to_pandas() if hasattr(table, "to_pandas") else table
    if not isinstance(table, import_module("pandas").DataFrame):
        raise InputError(
            f"A table is a DataFrame of pandas or polars, not {type(table).__name__}."
        )
    return table


def kind_of(column: Any) -> ColumnKind:
    """The kind of a pandas column (N,), by its type and, of objects and text, its values."""
    pandas = import_module("pandas")
    types, dtype = pandas.api.types, column.dtype
    if isinstance(dtype, pandas.CategoricalDtype) or "dictionary" in str(dtype):
        return "category"
    if types.is_bool_dtype(dtype):
        return "boolean"
    if types.is_numeric_dtype(dtype):
        return "text" if types.is_complex_dtype(dtype) else "number"
    if types.is_datetime64_any_dtype(dtype) or str(dtype).startswith("date"):
        return "date"
    found = types.infer_dtype(column, skipna=True)
    if found in ("boolean", "datetime", "date", "datetime64"):
        return "boolean" if found == "boolean" else "date"
    if found in ("integer", "floating", "mixed-integer-float", "decimal"):
        return "number"
    return "category" if found in ("string", "empty") and _repeats(column) else "text"


def _repeats(column: Any) -> bool:
    different = column.nunique()
    return bool(different <= max(FEW, min(column.count() / 2, MANY)))


def tidy(table: Any) -> Any:
    """A table of pandas or polars, each column in the type of its kind; gaps are NaN, NA or NaT.

    Numbers are as NumPy has them (float64 where integers have gaps: Int64), booleans bool or
    boolean, dates datetime64 without a zone, categories a pandas category; text is left alone.
    """
    pandas, table = import_module("pandas"), as_pandas(table)
    columns = [tidied(table.iloc[:, n]) for n in range(table.shape[1])]
    found = pandas.concat(columns, axis=1) if columns else table
    return found.set_axis([str(name) for name in table.columns], axis=1)


def tidied(column: Any) -> Any:
    """One column, in the type of its kind."""
    match kind_of(column):
        case "number":
            return _numbers(column)
        case "boolean":
            return column.astype("boolean" if column.isna().any() else "bool")
        case "date":
            dates = import_module("pandas").to_datetime(column.astype(object), utc=True)
            return dates.dt.tz_localize(None)
        case "category":
            return _categories(column)
        case _:
            return column


def _numbers(column: Any) -> Any:
    """Numbers as NumPy has them, or Int64 for integers with gaps."""
    if isinstance(column.dtype, np.dtype) and column.dtype != object:
        return column
    types = import_module("pandas").api.types
    if types.is_integer_dtype(column.dtype):
        return column.astype("Int64" if column.isna().any() else "int64")
    return column.astype(object).where(column.notna(), np.nan).astype("float64")


def _categories(column: Any) -> Any:
    """A pandas category of texts (or what it has), the unused ones kept where it was one."""
    pandas = import_module("pandas")
    if isinstance(column.dtype, pandas.CategoricalDtype):
        return column
    return column.astype(object).where(column.notna(), None).astype("category")


def parse(column: Any, decimal: str = ".", kind: ColumnKind | None = None) -> Parsed:
    """What a column of text (N,) from a file holds, of a kind that is found or given.

    Each different text is read once.
    """
    pandas = import_module("pandas")
    codes, texts = pandas.factorize(column)
    texts = pandas.Series(texts, dtype="str").str.strip()
    counts = np.bincount(codes[codes >= 0], minlength=len(texts))
    gaps = texts.isin(("", *GAPS)) | ((texts == "-") & ~texts.isin(["+"]).any())
    texts = texts.mask(gaps)

    def spread(values: Any) -> Any:
        return pandas.Series(values.array.take(codes, allow_fill=True), column.index)

    def refused(good: Any, others: Any) -> Any:
        strays = (others.notna() & good.isna()).to_numpy()
        return strays[codes] & (codes >= 0) if strays.any() else None

    words = _booleans(texts, kind) if kind in (None, "boolean") else None
    if words is not None:
        truth = (texts.str.lower() == words[0].lower()).astype("boolean").mask(texts.isna())
        values = spread(truth)
        return Parsed(values if values.isna().any() else values.astype(bool), Written(words))
    total = counts[texts.notna()].sum()
    if not total:
        return Parsed(pandas.Series(np.nan, column.index))
    for read, wanted in ((_read_numbers, "number"), (_read_dates, "date")):
        candidates = texts.mask(texts.isin(NUMERIC_GAPS)) if wanted == "number" else texts
        values, written = read(candidates, decimal)
        usual = kind is None and counts[values.notna()].sum() > total / 2
        if usual or kind == wanted:
            return Parsed(spread(values), written, refused(values, candidates), wanted)
    return Parsed(spread(texts))


def _booleans(texts: Any, kind: ColumnKind | None) -> tuple[str, str] | None:
    """The words for true and false, as they are written, where there are exactly two.

    One is enough where the kind is known.
    """
    seen = {text.lower(): text for text in texts.dropna()[:FEW]}
    if texts.dropna().str.lower().nunique() != len(seen) or not 2 - bool(kind) <= len(seen) <= 2:
        return None
    found = (words for words in WORDS if set(words) >= set(seen))
    return next(((seen.get(true, true), seen.get(false, false)) for true, false in found), None)


def _read_numbers(texts: Any, decimal: str) -> tuple[Any, Written]:
    """Numbers, with marks between thousands where they cannot be anything else."""
    pandas = import_module("pandas")
    texts = texts.str.normalize("NFKC").str.replace("−", "-")  # noqa: RUF001
    grouped = texts.str.fullmatch(GROUPED[decimal].pattern, na=False)
    mark = r"[.'\s]" if decimal == "," else r"[,'\s]"
    plain = texts.where(~grouped, texts.str.replace(mark, "", regex=True))
    if decimal == ",":
        plain = plain.mask(plain.str.contains(".", regex=False, na=False))
        plain = plain.str.replace(",", ".", regex=False)
    return pandas.to_numeric(plain, errors="coerce"), Written()


def _read_dates(texts: Any, decimal: str) -> tuple[Any, Written]:
    """Dates of the format that most texts have."""
    pandas = import_module("pandas")
    some = texts.dropna().str.normalize("NFKC")[:FEW]
    nothing = pandas.Series(pandas.NaT, texts.index), Written()
    if sum(bool(re.fullmatch(DATE, text)) for text in some) <= len(some) / 2:
        return nothing
    best = max(formats(), key=lambda form: _dated(some, form).notna().sum())
    values = _dated(texts.str.normalize("NFKC"), best)
    padded = not some.str.contains(r"(?:^|[^\d:])\d(?:\D|$)").any()
    return values, Written(date=best, padded=padded)


def formats() -> list[str]:
    """The formats of dates, with and without times."""
    return [day + time for time in _TIMES for day in _DAYS]


def _dated(texts: Any, form: str) -> Any:
    pandas = import_module("pandas")
    return pandas.to_datetime(texts, format=form, errors="coerce")


def as_text(column: Any, written: Written) -> Any:
    """A column as it is written in a file of text."""
    if written.words is not None:
        true, false = written.words
        return column.map({True: true, False: false})
    if not written.date:
        return column
    texts = column.dt.strftime(written.date)
    return texts if written.padded else texts.str.replace(r"(?<![\d:])0(?=\d)", "", regex=True)
