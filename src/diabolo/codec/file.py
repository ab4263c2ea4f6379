"""The file `.dia`: images in chunks that stand alone, each with its checks.

    89 "DIA" 0D 0A 1A 0A, version (1 byte)
    length (4), header: JSON, its CRC-32 (4)
    for each chunk: length of the content (4), of what is said of it (4), its CRC-32 (4), both

All numbers are little-endian. The header has the kind of codec, the model's name and hash, how
many images there are, and what they have in common. Of a chunk is said, as JSON by zlib, what its
images do not have in common with all: `n` of them, the `shape`, the `names`. Lengths are checked
against the file before memory is taken, and the CRC-32 of a chunk, with its number, before
anything is made of it.
"""

import json
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Any, BinaryIO, NamedTuple

from diabolo.errors import InputError

MAGIC = b"\x89DIA\r\n\x1a\n"
VERSION = 1
LONGEST_HEADER = 1 << 20
LONGEST_SAID = 1 << 20  # JSON of a chunk
LONGEST_CHUNK = 1 << 26


@dataclass(frozen=True)
class Header:
    """What all images have in common.

    `model` is the name and `sha256` the hash of what decodes them; `shape` (C, H, W) where they
    have one; `dtype` of their values; `form` what else is to be known to give them as they came.
    """

    codec: str
    model: str
    sha256: str
    count: int
    dtype: str
    shape: list[int] | None = None
    form: dict[str, Any] = field(default_factory=dict)


class Chunk(NamedTuple):
    """What is said of some images, and what they are decoded from."""

    said: dict[str, Any]
    content: bytes


class DamagedError(InputError):
    """A file is damaged from some chunk on."""


def write(file: BinaryIO, header: Header, chunks: Iterable[Chunk]) -> None:
    """Write a file, chunk by chunk as they come."""
    text = json.dumps(asdict(header), separators=(",", ":")).encode()
    if len(text) > LONGEST_HEADER:
        raise InputError("There is too much to be said of these images to be kept beside them.")
    file.write(MAGIC + bytes([VERSION]) + _number(len(text)) + text + _number(zlib.crc32(text)))
    for number, (said, content) in enumerate(chunks):
        words = zlib.compress(json.dumps(said, separators=(",", ":")).encode(), 9) if said else b""
        lengths = _number(len(content)) + _number(len(words))
        check = zlib.crc32(_number(number) + lengths + words + content)
        file.write(lengths + _number(check) + words + content)


def read(file: BinaryIO, name: str = "This") -> tuple[Header, Iterator[Chunk]]:
    """The header of a file, and its chunks as they are asked for.

    Raises `InputError` for what is no such file; the chunks `DamagedError` where one is cut or
    wrong, after those before it were given.
    """
    whole = file.seek(0, os.SEEK_END)
    file.seek(0)
    begin = file.read(len(MAGIC) + 1)
    if begin[:-1] != MAGIC:
        raise InputError(f"{name} is not a compressed file of diabolo, or is damaged.")
    if begin[-1] != VERSION:
        raise InputError(f"{name} has a format newer than {VERSION}: install a newer diabolo.")
    text = file.read(min(_read_number(file), LONGEST_HEADER))
    if zlib.crc32(text) != _read_number(file):
        raise InputError(f"{name} is damaged: the checksum of its header is wrong.")
    return _header(text, name), _chunks(file, whole, name)


def _header(text: bytes, name: str) -> Header:
    try:
        found = json.loads(text)
        known = {entry.name for entry in fields(Header)}
        header = Header(**{key: value for key, value in found.items() if key in known})
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise InputError(f"{name} is damaged: its header is none.") from None
    texts = (header.codec, header.model, header.sha256, header.dtype)
    right = all(isinstance(value, str) for value in texts) and isinstance(header.form, dict)
    right &= type(header.count) is int and header.count >= 0
    if not right or not (header.shape is None or is_shape(header.shape)):
        raise InputError(f"{name} is damaged: its header does not fit itself.")
    return header


def is_shape(value: Any) -> bool:
    """Whether a value of JSON is the shape (C, H, W) of an image."""
    sides = isinstance(value, list) and len(value) == 3
    return sides and all(type(n) is int and 1 <= n < 1 << 24 for n in value)


def _chunks(file: BinaryIO, whole: int, name: str) -> Iterator[Chunk]:
    number = 0
    while (left := whole - file.tell()) > 0:
        sizes = _read_number(file), _read_number(file)
        check = _read_number(file)
        if sum(sizes) + 12 > left:
            raise DamagedError(f"{name} is cut off, or damaged, in chunk {number + 1}.")
        if sizes[0] > LONGEST_CHUNK or sizes[1] > LONGEST_SAID:
            raise DamagedError(f"{name} is damaged: chunk {number + 1} is too long.")
        words, content = file.read(sizes[1]), file.read(sizes[0])
        lengths = _number(sizes[0]) + _number(sizes[1])
        if zlib.crc32(_number(number) + lengths + words + content) != check:
            raise DamagedError(f"{name} is damaged: the checksum of chunk {number + 1} is wrong.")
        yield Chunk(_said(words, name, number), content)
        number += 1


def _said(words: bytes, name: str, number: int) -> dict[str, Any]:
    try:
        if not words:
            return {}
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(words, LONGEST_SAID)
        found = json.loads(text)
        if not unpacker.eof or not isinstance(found, dict):
            raise ValueError
        return found
    except (ValueError, zlib.error, RecursionError):
        raise DamagedError(f"{name} is damaged: what chunk {number + 1} says is none.") from None


def _number(value: int) -> bytes:
    return value.to_bytes(4, "little")


def _read_number(file: BinaryIO) -> int:
    return int.from_bytes(file.read(4), "little")
