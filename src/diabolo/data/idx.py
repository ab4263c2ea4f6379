"""The IDX format, in which MNIST is published.

A file is two zero bytes, a type code, the number of dimensions, one unsigned 32-bit size for each
dimension, then the values; all of it big-endian, often wrapped in gzip. Yann LeCun, Corinna
Cortes, Christopher J.C. Burges, "The MNIST database", http://yann.lecun.com/exdb/mnist/.
"""

import gzip
import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from diabolo.data.files import atomically, why
from diabolo.errors import InputError

TYPES = {
    code: np.dtype(name)
    for code, name in {
        0x08: "u1",
        0x09: "i1",
        0x0B: ">i2",
        0x0C: ">i4",
        0x0D: ">f4",
        0x0E: ">f8",
    }.items()
}
WIDENED = {"bool": "uint8", "uint16": "int32", "float16": "float32"}
GZIP = b"\x1f\x8b"
BLOCK = 1 << 20


def read_idx(path: str | Path, limit: int | None = None) -> np.ndarray:
    """Read an IDX file, gzip or not, into an array of native byte order.

    With a `limit`, of the first dimension only so many, and nothing that comes after them.

    The dtype is uint8, int8, int16, int32, float32 or float64. Raises InputError where the file
    cannot be read, is not IDX, is cut off or too long.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            packed = file.read(2) == GZIP
            file.seek(0)
            if packed:
                return _parse(gzip.GzipFile(fileobj=file), path, None, limit)
            return _parse(file, path, path.stat().st_size, limit)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path} is a damaged gzip file: {why(error)}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {why(error)}") from error


def write_idx(path: str | Path, array: np.ndarray) -> None:
    """Write `array` as IDX, in gzip if the name ends in .gz; the same array gives the same bytes.

    The six types of the format are stored as they are; bool becomes uint8, uint16 int32 and
    float16 float32. Raises InputError for any other type.
    """
    path, array = Path(path), np.asarray(array)
    header, stored = _header(array)
    values = array.astype(stored).tobytes()
    with atomically(path) as temporary, temporary.open("wb") as file:
        if path.suffix.lower() == ".gz":
            with gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed:
                packed.write(header + values)
        else:
            file.write(header + values)


def looks_like_idx(path: Path) -> bool:
    """Whether the first bytes are those of an IDX file or of gzip."""
    with path.open("rb") as file:
        start = file.read(3)
    return start[:2] == GZIP or (len(start) == 3 and start[:2] == b"\0\0" and start[2] in TYPES)


def _header(array: np.ndarray) -> tuple[bytes, np.dtype]:
    name = WIDENED.get(array.dtype.name, array.dtype.name)
    for code, dtype in TYPES.items():
        if dtype.name == name:
            return struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape), dtype
    accepted = ", ".join([dtype.name for dtype in TYPES.values()] + list(WIDENED))
    raise InputError(f"an IDX file cannot hold {array.dtype} values, only {accepted}")


def _parse(
    stream: io.BufferedIOBase, path: Path, length: int | None, limit: int | None
) -> np.ndarray:
    """Parse `stream`, of `length` bytes (None: known only once it is read)."""
    start = stream.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in TYPES:
        raise InputError(
            f"{path} is not an IDX file: it begins with {start.hex(' ') or 'nothing'}, expected "
            f"00 00, a type ({', '.join(f'{code:02x}' for code in TYPES)}) and a dimension count"
        )
    dtype, count = TYPES[start[2]], start[3]
    sizes = stream.read(4 * count)
    if len(sizes) < 4 * count:
        raise InputError(
            f"{path} is cut off: {count} dimensions need {4 * count} bytes of sizes, "
            f"{len(sizes)} follow"
        )
    shape = struct.unpack(f">{count}I", sizes)
    found = None if length is None else length - 4 - 4 * count
    taken = (min(shape[0], limit), *shape[1:]) if shape and limit is not None else shape
    values = _values(stream, path, shape, dtype, found=found, taken=taken)
    try:
        array = np.frombuffer(values, dtype).reshape(taken)
    except ValueError as error:
        raise InputError(f"{path} has a shape that no array can have: {error}") from error
    return array.astype(dtype.newbyteorder("="), copy=False)


def _values(
    stream: io.BufferedIOBase,
    path: Path,
    shape: tuple[int, ...],
    dtype: np.dtype,
    *,
    found: int | None,
    taken: tuple[int, ...],
) -> bytearray:
    """The bytes of the values taken; no more memory is taken than the file really fills."""
    size, wanted = (math.prod(sides) * dtype.itemsize for sides in (shape, taken))
    values = bytearray()
    if found is None or found == size:
        while len(values) < wanted and (block := stream.read(min(BLOCK, wanted - len(values)))):
            values += block
        if len(values) == wanted < size:
            return values
        found = len(values) + len(stream.read(1))
    if found == size:
        return values
    promise = f"its header promises {size} bytes of values (shape {shape}, {dtype.name})"
    if found < size:
        raise InputError(f"{path} is cut off: {promise}, {found} follow")
    raise InputError(f"{path} is too long: {promise}, more follow")
