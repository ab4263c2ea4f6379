"""Reading .npy and .npz, or their first rows; nothing pickled is ever loaded."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.lib.npyio import NpzFile

from diabolo.data.files import atomically, quietly, why
from diabolo.errors import InputError

BLOCK = 1 << 20  # bytes that are unpacked at a time


class Header(NamedTuple):
    """How a .npy file begins: its array's shape, whether columns come first, and its type."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype

    @property
    def bytes(self) -> int:
        """Those of the values."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(stream: IO[bytes]) -> Header:
    """The header with which a .npy file begins."""
    first = npy.read_magic(stream) == (1, 0)
    read = npy.read_array_header_1_0 if first else npy.read_array_header_2_0
    header = Header(*read(stream))
    if not header.dtype.itemsize:
        raise ValueError("its values have no bytes")
    return header


def read_npy(path: Path, limit: int | None = None) -> Any:
    """The array of a .npy file; mapped first, so that a wrong header takes no memory.

    A large one stays in the file: it is then an `OnDisk`.
    """
    from diabolo.data.mapped import OnDisk, on_disk

    with _explained(path, "NumPy array"):
        with path.open("rb") as file:
            read_header(file)
        mapped = npy.open_memmap(path, mode="r")
        if limit is None and isinstance(found := on_disk(mapped), OnDisk):
            return found
        return np.array(mapped[:limit] if mapped.ndim else mapped, order="C")


def write_blocks(path: Path, first: np.ndarray, blocks: Iterable[np.ndarray]) -> None:
    """Write blocks (B, ...) in the shape and type of `first` as one .npy file, as they come."""
    count, form = 0, {"descr": first.dtype.str, "fortran_order": False}
    with atomically(path) as temporary, temporary.open("wb") as file:
        npy.write_array_header_1_0(file, form | {"shape": (count, *first.shape[1:])})
        for block in blocks:
            # Given a file, NumPy leaves the last bytes to C, which is silent on a full disk.
            file.write(np.ascontiguousarray(block).data)
            count += len(block)
        file.seek(0)  # NumPy leaves room for the digits of the first side
        npy.write_array_header_1_0(file, form | {"shape": (count, *first.shape[1:])})


def read_npz(path: Path, limit: int | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """The array "x" of a .npz file, or its only one, and its labels "y" (N,) if it has them."""
    with _explained(path, "NumPy archive"), path.open("rb") as file:
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, NpzFile):
            raise ValueError("it is a single array, name it .npy")
        name = _main_array(path, archive.files)
        shape, array = _member(archive, name, limit)
        if "y" not in archive.files or name == "y":
            return array, None
        labelled, labels = _member(archive, "y", limit)
    if labelled != shape[:1]:
        raise InputError(f'{path} has labels "y" of shape {labelled} for samples of shape {shape}')
    return array, labels


def _member(archive: NpzFile, name: str, limit: int | None) -> tuple[tuple[int, ...], np.ndarray]:
    """The shape of an array in an archive, and its first rows (without a limit all)."""
    files = archive.zip
    assert files is not None
    file = files.getinfo(name if name in files.namelist() else f"{name}.npy")
    with files.open(file) as stream:
        header = read_header(stream)
        if header.dtype.hasobject:
            raise ValueError("it holds Python objects")
        found = file.file_size - stream.tell()
        if found != header.bytes:
            raise ValueError(f"{file.filename} has {found} bytes of values, not {header.bytes}")
        if limit is None or not header.shape or limit >= header.shape[0]:
            return header.shape, archive[name]
        return header.shape, _first_rows(stream, header, limit)


def _first_rows(stream: IO[bytes], header: Header, rows: int) -> np.ndarray:
    """The first rows of the array whose values follow in a stream."""
    count, *sides = header.shape
    if not header.fortran:
        array = np.empty((rows, *sides), header.dtype)
        _fill(stream, array)
        return array
    columns = np.empty((math.prod(sides), rows), header.dtype)
    for column in columns:
        _fill(stream, column)
        stream.seek((count - rows) * column.itemsize, 1)
    return np.ascontiguousarray(columns.reshape(*sides[::-1], rows).T)


def _fill(stream: IO[bytes], array: np.ndarray) -> None:
    left = memoryview(array.reshape(-1).view(np.uint8).data)
    while left:
        block = stream.read(min(BLOCK, len(left)))
        if not block:
            raise ValueError("it is cut off")
        left[: len(block)] = block
        left = left[len(block) :]


def _main_array(path: Path, names: list[str]) -> str:
    candidates = [name for name in names if name != "y"] or names
    if "x" in candidates:
        return "x"
    if len(candidates) != 1:
        found = ", ".join(names) or "none"
        raise InputError(f'{path} has the arrays {found}; name the one to read "x"')
    return candidates[0]


@contextmanager
def _explained(path: Path, what: str) -> Iterator[None]:
    """Turn what NumPy raises on a bad file into one sentence."""
    try:
        with quietly():
            yield
    except (InputError, MemoryError):
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read: {why(error)}") from error
    except Exception as error:  # a damaged header raises nearly anything, tokenizer errors too
        reason = why(error)
        if "ickle" in reason or "Python objects" in reason:
            reason = "it does not begin like one, or it holds Python objects, which are not loaded"
        elif "mmap length" in reason:
            reason = "it is cut off"
        raise InputError(f"{path} is not a {what} that can be read: {reason}") from error
