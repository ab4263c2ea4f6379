"""Columns of numbers, booleans, dates or categories, and how they stand in a file of text."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from diabolo.columns import ColumnKind, kind_of
from diabolo.data.sniff import DATE, GROUPED, PADDED

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
_TIMES = (
    *("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", "T%H:%M", "T%H:%M:%S", "T%H:%M:%S.%f"),
    *("T%H:%M:%SZ", "T%H:%M:%S.%fZ", "T%H:%M:%S%z", " %H:%M:%S%z"),
)


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


def is_free(cells: Any) -> bool:
    """Whether the texts of a column are free: so many differ that few come again."""
    different = cells.nunique()
    return bool(different > max(FEW, min(cells.count() / 2, MANY)))


def parse(column: Any, decimal: str = ".", kind: ColumnKind | None = None) -> Parsed:
    """What the texts of a column (N,) from a file hold, of a kind that is found or given.

    Each different text is read once.
    """
    pandas = import_module("pandas")
    codes, texts = pandas.factorize(column.astype("str").where(column.notna()))
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
        values, written = read(candidates, decimal, kind)
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


def _read_numbers(texts: Any, decimal: str, kind: ColumnKind | None) -> tuple[Any, Written]:
    """Numbers, with marks between thousands where they cannot be anything else.

    Those with zeros in front are codes, unless it is known that they are numbers.
    """
    pandas = import_module("pandas")
    if kind is None and texts.str.fullmatch(PADDED.pattern, na=False).any():
        texts = texts.mask(texts.notna())
    texts = texts.str.normalize("NFKC").str.replace("−", "-")  # noqa: RUF001
    grouped = texts.str.fullmatch(GROUPED[decimal].pattern, na=False)
    mark = r"[.'\s]" if decimal == "," else r"[,'\s]"
    plain = texts.where(~grouped, texts.str.replace(mark, "", regex=True))
    if decimal == ",":
        plain = plain.mask(plain.str.contains(".", regex=False, na=False))
        plain = plain.str.replace(",", ".", regex=False)
    values = pandas.to_numeric(plain, errors="coerce")
    whole = values.isna().any() and plain.dropna().str.fullmatch(r"[+-]?\d{1,15}").all()
    return values.astype("Int64") if whole else values, Written()


def _read_dates(texts: Any, decimal: str, kind: ColumnKind | None) -> tuple[Any, Written]:
    """Dates of the format that most texts have."""
    pandas = import_module("pandas")
    some = texts.dropna()[:MANY].str.normalize("NFKC")
    if some.str.fullmatch(DATE.pattern)[:FEW].mean() <= 0.5:
        return pandas.Series(pandas.NaT, texts.index), Written()
    texts, days = texts.str.normalize("NFKC"), some.str.replace(r"[ T]\d+:.*", "", regex=True)
    day = max(_DAYS, key=lambda day: _dated(days, day).count())
    values, best = _dated(texts, day), day
    for time in _TIMES[1:]:
        if values.isna().sum() > texts.isna().sum():
            best = day + time if (more := _dated(texts, day + time)).notna().any() else best
            values = values.fillna(more)
    padded = not some.str.contains(r"(?:^|[^\d:])\d(?:\D|$)").any()
    return values, Written(date=best, padded=padded)


def _dated(texts: Any, form: str) -> Any:
    pandas = import_module("pandas")
    dates = pandas.to_datetime(texts, format=form, errors="coerce", utc=True)
    return dates.dt.tz_localize(None).dt.as_unit("us")


def as_text(column: Any, written: Written) -> Any:
    """A column as it is written in a file of text; with the digits of float32 if it was that."""
    kind = kind_of(column)
    if column.dtype == np.float64:
        with np.errstate(over="ignore"):
            narrow = column.astype(np.float32)
        return narrow if (narrow == column)[column.notna()].all() else column
    if kind == "boolean" and written.words is not None:
        true, false = written.words
        return column.map({True: true, False: false})
    if kind != "date" or not written.date:
        return column
    zoned = column.dt.tz_localize("UTC") if "%z" in written.date else column
    texts = zoned.dt.strftime(written.date)
    return texts if written.padded else texts.str.replace(r"(?<![\d:])0(?=\d)", "", regex=True)
