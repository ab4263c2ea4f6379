"""Tables from files and back: text of any form, Parquet, Arrow and Excel, through pandas."""

import csv
import importlib
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from diabolo.columns import ColumnKind, kind_of
from diabolo.data.cells import GAPS, Parsed, Written, as_text, parse
from diabolo.data.files import atomically, quietly, why
from diabolo.data.frames import NONE, Frame, named, set_aside, some
from diabolo.data.sniff import SPACES, Form, sniff, split
from diabolo.errors import InputError

BINARY = (".parquet", ".arrow", ".feather")
FORMATS = {".parquet": "parquet", ".arrow": "ipc", ".feather": "ipc"}
CODE = re.compile(r"code_\d{1,9}", re.ASCII)


def dataset_form(path: Path) -> dict[str, Any]:
    """How a data set in Parquet or Arrow files is read, by its suffixes; empty of what is none."""
    files = sorted(path.rglob("[!._]*.*")) if path.is_dir() else [path]
    forms = {form for file in files[:1] if (form := FORMATS.get(file.suffix.lower()))}
    return {"format": forms.pop(), "partitioning": "hive"} if forms else {}


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
    path, known = Path(path), kinds or {}
    raw, form, problems, notes = _read(path, limit)
    if not len(raw) and not problems:
        raise InputError(f"{path} holds no samples: there are no rows below its header")
    frame = named(raw, form, notes)
    parsed = {
        name: _parsed(frame.table[name], form, place, known.get(name))
        for place, name in enumerate(frame.order)
    }
    table = frame.table.assign(**{name: column.values for name, column in parsed.items()})
    written = {name: column.written for name, column in parsed.items()}
    frame.notes.extend(_ambiguous(written))
    found = set_aside(replace(frame, table=table, written=written), index, label, known)
    found = replace(found, aside=frame.table[[*found.aside.columns]])
    strays = {n: parsed[n] for n in found.columns if parsed[n].strays is not None}
    problems += _describe(path, frame, strays)
    if problems:
        raise InputError(_listed(path, problems))
    if not found.columns:
        raise InputError(f"{path} has no column to learn from: {' '.join(found.notes)}")
    return found


def _ambiguous(written: Mapping[str, Written]) -> list[str]:
    """A sentence on dates that could be read in two ways."""
    words = {"%m/%d": "month/day/year", "%d/%m": "day/month/year"}
    found = {name: words.get(column.date[:5]) for name, column in written.items()}
    return [f'The dates of "{name}" are read as {way}.' for name, way in found.items() if way]


def _parsed(column: Any, form: Form | None, place: int, kind: ColumnKind | None) -> Parsed:
    """A column in the type of its kind; only text has to be read.

    Text in a binary file is what it is, unless it is known to be of another kind.
    """
    if form is None:
        texts = kind not in (None, "category") and kind_of(column) == "category"
        read = parse(column, kind=kind) if texts else None
        return read if read and read.strays is None else Parsed(column)
    found = kind_of(column)
    if found == "number" and kind in (None, "number"):
        return Parsed(_whole(column, form.column(place)))
    if found == "boolean" and kind in (None, "number", "boolean"):
        seen = {cell.lower(): cell for cell in form.column(place)}
        words = (seen.get("true", "True"), seen.get("false", "False"))
        values = column.astype("boolean" if column.isna().any() else "bool")
        return Parsed(values, Written(words))
    if found == "number":
        column = _whole(column, form.column(place))
    return parse(column, form.decimal, kind)


def _whole(column: Any, sample: list[str]) -> Any:
    """Integers as such, where pandas has made floats of them for their gaps."""
    some_gaps = column.dtype == "float64" and 0 < column.count() < len(column)
    if not some_gaps or not all(re.fullmatch(r"[+-]?\d*|[^\d]*", cell) for cell in sample):
        return column
    if not (column.dropna() % 1 == 0).all() or column.abs().max() >= 2**53:
        return column
    return column.astype("Int64")


def _read(path: Path, limit: int | None) -> tuple[Any, Form | None, list[str], list[str]]:
    """What stands in the file, how it is written, problems and notes."""
    pandas = _pandas(path)
    try:
        if path.suffix.lower() in BINARY or path.is_dir():
            return _read_binary(pandas, path, limit), None, [], []
        return _read_text(pandas, path, limit)
    except InputError:
        raise
    except Exception as error:  # damaged Parquet raises errors of many kinds
        reason = why(error).removeprefix("Error tokenizing data. C error: ")
        raise InputError(f"{path} cannot be read as a table: {reason}") from error


def _open(path: Path) -> BinaryIO:
    """A file of text; that of the first sheet of a workbook is made here."""
    if path.suffix.lower() != ".xlsx":
        return path.open("rb")
    text = io.StringIO()
    with _workbook(path) as book:
        csv.writer(text).writerows(book.worksheets[0].iter_rows(values_only=True))
    return io.BytesIO(text.getvalue().encode())


@contextmanager
def _workbook(path: Path) -> Iterator[Any]:
    excel: Any = importlib.import_module("openpyxl")
    with quietly():
        book = excel.load_workbook(path, read_only=True, data_only=True)
    try:
        yield book
    finally:
        book.close()


def _other_sheets(path: Path) -> list[str]:
    """A sentence on the sheets of a workbook that are not read, if there are any."""
    if path.suffix.lower() != ".xlsx":
        return []
    with _workbook(path) as book:
        first, *others = book.sheetnames
    return [f'Of the sheets, only the first is read: "{first}".'] if others else []


def _read_text(
    pandas: Any, path: Path, limit: int | None
) -> tuple[Any, Form, list[str], list[str]]:
    problems = list[str]()
    with _open(path) as file:
        form = sniff(path, file)
        try:
            frame = _read_csv(pandas, file, form, limit)
        except UnicodeDecodeError:  # the first rows were ASCII
            file.seek(0)
            form = sniff(path, file, -1)
            frame = _read_csv(pandas, file, form, limit)
        except (pandas.errors.ParserWarning, pandas.errors.ParserError):
            frame, problems = _read_ragged(pandas, path, form, limit)
        short = _short_rows(path, form) if _may_lack(frame) else []
    if form.names is None:
        frame.columns = [f"column_{n + 1}" for n in range(frame.shape[1])]
    else:
        names = [*form.names, *[""] * (frame.shape[1] - len(form.names))]
        frame.columns = names[: frame.shape[1]]
    return frame, form, problems, [*_other_sheets(path), *_said(form, frame), *short]


def _read_csv(pandas: Any, file: BinaryIO, form: Form, limit: int | None) -> Any:
    """The table from the beginning of the file, without empty rows at its end."""
    file.seek(0)
    with quietly(pandas.errors.ParserWarning):
        frame = pandas.read_csv(
            file,
            sep=form.separator,
            decimal=form.decimal,
            encoding=form.encoding,
            header=None if form.names is None else 0,
            skiprows=form.skipped,
            dtype=dict.fromkeys(form.padded(), "str"),
            na_values=list(GAPS),
            skipinitialspace=True,
            index_col=False,
            low_memory=False,
            nrows=limit,
        )
    if len(frame) and frame.shape[1] > 1 and frame.iloc[-1].isna().all():
        last = frame.notna().any(axis=1).to_numpy().nonzero()[0]
        frame = frame.iloc[: last[-1] + 1 if len(last) else 0]
    return frame


def _may_lack(frame: Any) -> bool:
    """Whether rows may have fewer cells than there are columns: then the last is empty."""
    return frame.shape[1] > 1 and bool(frame.iloc[:, -1].isna().any())


def _short_rows(path: Path, form: Form) -> list[str]:
    """A sentence on the rows that have too few cells, which count as empty."""
    if form.names is None or form.separator == SPACES:
        return []
    with _open(path) as file:
        counts = [line.count(form.separator.encode()) for line in file][form.skipped :]
    if form.encoding.startswith("utf-16") or min(counts[1:], default=0) < counts[0]:
        width = len(form.names)
        short = [
            f"line {line} ({len(row)})" for line, row in _rows(path, form) if len(row) < width
        ]
        if short:
            return [f"Rows with fewer cells than the header, which has {width}: {some(short)}."]
    return []


def _rows(path: Path, form: Form) -> list[tuple[int, list[str]]]:
    """All rows below the header, each with its line in the file, read slowly."""
    with _open(path) as file:
        text = file.read().decode(form.encoding).removeprefix("\ufeff")
    lines = text.splitlines(keepends=True)[form.skipped :]
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
    named = some([f"line {line} ({n})" for line, n in wide])
    return frame, [f"has rows with more cells than its header, which has {width}: {named}"]


def _said(form: Form, frame: Any) -> list[str]:
    """What was recognised of how the file is written."""
    notes = [f"The table is read as text {form.words}."] if form.words else []
    if form.titles:
        notes.append(f"Above the header, passed over: {some(list(form.titles))}.")
    if form.names is None:
        notes.append(
            f"No header was found: the columns are named column_1 to column_{frame.shape[1]}."
        )
    return notes


def _describe(path: Path, frame: Frame, strays: Mapping[str, Parsed]) -> list[str]:
    """A sentence on each column that has cells which do not fit its kind."""
    if not strays or frame.form is None:
        return []
    lines = [line for line, _ in _rows(path, frame.form)]
    found = []
    for name, column in strays.items():
        places = np.flatnonzero(column.strays)
        cells = frame.table[name].iloc[places]
        odd = [f'"{cell}" in line {lines[n]}' for n, cell in zip(places, cells, strict=True)]
        found.append(f'column "{name}" holds {column.wanted}s, but {some(odd)}')
    return found


def _listed(path: Path, problems: list[str]) -> str:
    """One sentence for all that is wrong with a file."""
    words = "; ".join(problems)
    if problems[0].startswith("has"):
        return f"{path} {words}: give each row as many cells"
    return f"{path} holds cells that do not fit: {words}; correct or empty them"


def _read_binary(pandas: Any, path: Path, limit: int | None) -> Any:
    match path.suffix.lower():
        case _ if path.is_dir():
            frame = _of_folder(path, limit)
        case ".parquet":
            frame = _parquet(path, limit)
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


def _of_folder(path: Path, limit: int | None) -> Any:
    """The rows of all files of a folder, in the order of their names."""
    dataset = importlib.import_module("pyarrow.dataset").dataset(path, **dataset_form(path))
    return (dataset.to_table() if limit is None else dataset.head(limit)).to_pandas()


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
    path: str | Path, table: Any, like: Frame | None = None, *, rounded: bool = True
) -> None:
    """Write a table under its own columns, atomically, in the form that the suffix asks for.

    With `like`, its columns have the types and words that they have there, integers `rounded`,
    with what was set aside (if there are as many rows) in their old order.
    """
    path = Path(path)
    pandas = _pandas(path)
    frame = table.to_pandas() if hasattr(table, "to_pandas") else table
    if like is not None:
        frame = _dressed(pandas, frame, like, rounded=rounded)
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


def _dressed(pandas: Any, frame: Any, like: Frame, *, rounded: bool) -> Any:
    """The table with the types of another, and what is set aside there in its old place."""
    found = {name: _typed(frame[name], like, rounded=rounded) for name in frame.columns}
    if len(like) == len(frame):
        found |= {name: like.aside[name].set_axis(frame.index) for name in like.aside.columns}
    order = [name for name in like.order if name in found]
    return pandas.DataFrame({name: found[name] for name in (*order, *found)})


def _typed(column: Any, like: Frame, *, rounded: bool) -> Any:
    """A column in the type that one of its name has."""
    kind = like.kinds.get(column.name)
    if kind is None or (kind == "number" and not rounded):
        return column
    dtype = like.table[column.name].dtype
    if kind == "number" and str(dtype).lower().startswith(("int", "uint")):
        column = column.round()
        return column.astype("Int64") if column.isna().any() else column.astype(dtype)
    if kind == "boolean" and kind_of(column) == "number":
        column = (column >= 0.5).astype("boolean").mask(column.isna())
    if str(dtype) == "bool" and column.isna().any():
        return column.astype("boolean")
    return column.astype(dtype)


def _write_text(path: Path, frame: Any, like: Frame | None) -> None:
    """As `like` was written, if that was text; tabs in a .tsv."""
    form = (like.form if like is not None else None) or Form(names=())
    suffix, separator = path.suffix.lower(), form.separator
    if suffix == ".tsv":
        separator = "\t"
    elif separator == SPACES or (separator == "\t" and suffix != form.suffix):
        separator = ";" if form.decimal == "," else ","
    written = {} if like is None else like.written
    texts = {name: as_text(frame[name], written.get(name, Written())) for name in frame.columns}
    frame = frame.assign(**texts).rename(columns={} if like is None else like.renamed)
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
    suffix = path.suffix.lower()
    try:
        if suffix in BINARY:
            importlib.import_module("pyarrow")
        if suffix == ".xlsx":
            importlib.import_module("openpyxl")
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
    like: Frame | None = None,
) -> None:
    """Write `array` (N, D) under the header `columns`, atomically, in the form of the suffix.

    `beside`: further columns (N,), which come first. Of `like` it has the form and what is set
    aside, but numbers are not rounded to its types.
    """
    write_frame(path, table_of(path, array, columns, beside or {}), like, rounded=False)


def table_of(path: Path, array: np.ndarray, columns: list[str], beside: Mapping[str, Any]) -> Any:
    """Rows (N, D) as a DataFrame, `beside` before them; refuses where there is no pandas."""
    frame = _pandas(path).DataFrame(array, columns=columns)
    for place, (name, values) in enumerate(beside.items()):
        frame.insert(place, name, values)
    return frame


def read_code_columns(path: Path) -> np.ndarray | None:
    """The columns code_0, code_1, ... (N, K) of a table in that order; None if it has none."""
    frame = read_frame(path, index=NONE, label=NONE)
    names = [name for name in frame.order if CODE.fullmatch(name)]
    for name in names:
        if frame.kinds.get(name) != "number":
            raise InputError(f'column "{name}" of {path} is not numeric: drop it or encode it')
    names.sort(key=lambda name: int(name.removeprefix("code_")))
    kinds = dict.fromkeys(names, frame.kinds[names[0]]) if names else {}
    return replace(frame, table=frame.table[names], kinds=kinds).array() if names else None
