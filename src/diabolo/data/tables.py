"""CSV and Parquet tables, through pandas: a header row, numbers below it, one sample a row."""

import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from diabolo.data.files import atomically, quietly, why
from diabolo.errors import InputError

CODE = re.compile(r"code_\d{1,9}", re.ASCII)
BLOCK = 65_536  # rows that are unpacked at a time
KEPT = ("bool", "uint8", "uint16", "float16", "float32", "float64")


def read_table(
    path: Path, *, codes: bool = False, limit: int | None = None
) -> tuple[np.ndarray, list[str]]:
    """Return the values (N, D) of a .csv or .parquet file and its column names.

    `limit`: only the first rows are read.

    `codes`: of a table that has the columns code_0, code_1, ... only these, in that order.

    A Parquet table whose columns share one type of `KEPT` has it; any other table, and every
    CSV, is float64. Empty cells are NaN. Raises InputError where the file cannot be read, a
    column is not numeric, or pandas is not installed.
    """
    pandas = _pandas(path)
    frame = _read_frame(pandas, path, limit)
    if codes and (numbered := [name for name in frame.columns if CODE.fullmatch(str(name))]):
        frame = frame[sorted(numbered, key=lambda name: int(name.removeprefix("code_")))]
    if not len(frame):
        raise InputError(f"{path} holds no samples: there are no rows below its header")
    for name, dtype in frame.dtypes.items():
        numeric = pandas.api.types.is_numeric_dtype(dtype)
        if not numeric or pandas.api.types.is_complex_dtype(dtype):
            raise InputError(f'column "{name}" of {path} is not numeric: drop it or encode it')
    types = {str(dtype) for dtype in frame.dtypes}
    kept = len(types) == 1 and types <= set(KEPT) and path.suffix.lower() != ".csv"
    dtype = types.pop() if kept else "float64"
    missing: Any = {"na_value": np.nan} if dtype.startswith("float") else {}
    return frame.to_numpy(dtype=dtype, **missing), [str(name) for name in frame.columns]


def write_table(
    path: Path,
    array: np.ndarray,
    columns: list[str],
    beside: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write `array` (N, D) under the header `columns`, atomically, as CSV or Parquet.

    `beside`: further columns (N,), which come first.
    """
    frame = _pandas(path).DataFrame(array, columns=columns)
    for place, (name, values) in enumerate((beside or {}).items()):
        frame.insert(place, name, values)
    with atomically(path) as temporary:
        if path.suffix.lower() == ".csv":
            frame.to_csv(temporary, index=False)
        else:
            frame.to_parquet(temporary, engine="pyarrow", index=False)


def _read_frame(pandas: Any, path: Path, limit: int | None) -> Any:
    try:
        if path.suffix.lower() != ".csv":
            return _read_parquet(pandas, path, limit)
        with quietly(pandas.errors.ParserWarning):
            return pandas.read_csv(path, index_col=False, low_memory=False, nrows=limit)
    except pandas.errors.ParserWarning as error:
        raise InputError(f"{path} has rows with more cells than its header") from error
    except MemoryError:
        raise
    except Exception as error:  # damaged Parquet raises errors of many kinds
        reason = why(error).removeprefix("Error tokenizing data. C error: ")
        raise InputError(f"{path} cannot be read as a table: {reason}") from error


def _read_parquet(pandas: Any, path: Path, limit: int | None) -> Any:
    if limit is None:
        return pandas.read_parquet(path, engine="pyarrow")
    arrow, parquet = (importlib.import_module(name) for name in ("pyarrow", "pyarrow.parquet"))
    with parquet.ParquetFile(path) as file:
        blocks, rows = [], 0
        for block in file.iter_batches(min(limit, BLOCK)):
            blocks.append(block)
            rows += len(block)
            if rows >= limit:
                break
        return arrow.Table.from_batches(blocks, file.schema_arrow).slice(0, limit).to_pandas()


def _pandas(path: Path) -> Any:
    """pandas, imported only here because it is optional and slow to load."""
    try:
        if path.suffix.lower() != ".csv":
            importlib.import_module("pyarrow")
        return importlib.import_module("pandas")
    except ImportError as error:
        raise InputError(
            f'{path} is a table, which needs pandas and pyarrow: pip install "diabolo[tables]"'
        ) from error
