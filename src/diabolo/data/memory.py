"""Samples from the bytes of a file, and back, as the files themselves are read and written."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib import format as npy

from diabolo.data.arrays import read_header
from diabolo.data.files import quietly, why
from diabolo.data.outputs import write
from diabolo.data.sources import checked, read
from diabolo.errors import InputError

if TYPE_CHECKING:
    from diabolo.data.photofile import Photograph


def read_npy_bytes(body: bytes) -> np.ndarray:
    """The array of a .npy file that is the body; nothing pickled is loaded."""
    stream = BytesIO(body)
    try:
        with quietly():
            header = read_header(stream)
    except MemoryError:
        raise
    except Exception as error:  # a damaged header raises nearly anything
        raise InputError(f"The body is not a .npy file that can be read: {why(error)}.") from None
    data = memoryview(body)[stream.tell() :]
    if header.dtype.hasobject:
        raise InputError("The body holds Python objects, which are not loaded.")
    wrong = InputError(f"The body does not hold the {header.shape} values that its header names.")
    if header.bytes != len(data):
        raise wrong
    try:
        flat = np.frombuffer(data, header.dtype)
        array = flat.reshape(header.shape, order="F" if header.fortran else "C")
    except (TypeError, ValueError):  # sides that are none, or too many
        raise wrong from None
    return checked("The body", array)


def npy_bytes(array: np.ndarray) -> bytes:
    """A .npy file."""
    stream = BytesIO()
    npy.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
    return stream.getvalue()


@contextmanager
def _image() -> Iterator[Path]:
    """Where an image file can be for a while; what it is is found from its content."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "image.png"


def read_image_bytes(
    body: bytes, image_shape: tuple[int, int, int] | None = None, fit: str | None = None
) -> np.ndarray:
    """The one image that the body is a file of, (1, H, W) or (1, C, H, W); see `read`.

    Without an `image_shape` in its own size.
    """
    with _image() as path:
        path.write_bytes(body)
        try:
            return read(path, image_shape=image_shape, fit=fit).array
        except InputError as error:
            words = str(error).replace(str(path), path.name).replace(path.name, "The body")
            raise InputError(words) from None


def png_bytes(array: np.ndarray, dtype: np.dtype) -> bytes:
    """A PNG file of one image (1, ...), rounded to `dtype`."""
    with _image() as path:
        write(path, array, dtype=dtype)
        return path.read_bytes()


def read_photograph_bytes(body: bytes) -> "Photograph":
    """The photograph that the body is a file of."""
    from diabolo.data.photofile import read_photograph

    with _image() as path:
        path.write_bytes(body)
        return read_photograph(path, "The body")


def photograph_bytes(photograph: "Photograph") -> bytes:
    """A PNG file of a photograph."""
    from diabolo.data.photofile import write_photograph

    with _image() as path:
        write_photograph(path, photograph)
        return path.read_bytes()
