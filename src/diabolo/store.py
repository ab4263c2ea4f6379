"""One safe file: (config, tensors) <-> a .safetensors file whose header carries the config.

The header has one entry of ours, canonical JSON, so saving the same model twice gives the same
bytes: `{"config": ..., "format": 2, "sha256": {"config": ..., "tensors": ...}}`. Reading runs no
code. Sizes and types are checked against the length of the file before memory is taken for a
tensor, and both checksums after. `read_config` reads the header alone, without torch.
"""

import hashlib
import json
import math
import os
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from diabolo.data.files import atomically, remove_leftovers
from diabolo.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

ENTRY = "diabolo"
FORMAT = 2
MODEL = "model.safetensors"  # in a run folder
LARGEST_HEADER = 1 << 24
LARGEST_SIDE = 1 << 40
LARGEST_OBJECT = 1000  # entries of one in the config
PARSED = 28 << 20  # bytes that a header may take in memory beyond the size of its file
TYPES = {  # name in the file: name in torch, bytes of a number
    "BOOL": ("bool", 1),
    "U8": ("uint8", 1),
    "I8": ("int8", 1),
    "I16": ("int16", 2),
    "I32": ("int32", 4),
    "I64": ("int64", 8),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "F32": ("float32", 4),
    "F64": ("float64", 8),
}
INTERVAL = 30.0  # seconds between the checkpoints within an epoch
CHECKPOINT, PREVIOUS = "checkpoint.safetensors", "checkpoint-previous.safetensors"
Contents = tuple[dict[str, Any], "dict[str, Tensor]"]  # config and tensors


class _Place(NamedTuple):
    """Where a tensor lies in the file: its name, type and shape, and its first and last byte."""

    name: str
    type: str
    shape: list[int]
    start: int
    end: int


class _DamageError(ValueError):
    """What is wrong with a file, as the end of a sentence."""


def write(path: str | Path, config: dict[str, Any], tensors: "dict[str, Tensor]") -> None:
    """Write a model file, whole or not at all."""
    with atomically(path, lasting=True) as temporary:
        _write(temporary, config, tensors)


def read(path: str | Path) -> Contents:
    """The config and the tensors of a model file; raises `InputError` where it is not one."""
    import torch

    path = Path(path)
    try:
        with path.open("rb") as file:
            entry, places = _header(file)
            config = _config(entry, path)
            begin, tensors = file.tell(), {}
            for place in places:
                file.seek(begin + place.start)
                tensor = torch.empty(place.shape, dtype=getattr(torch, TYPES[place.type][0]))
                if file.readinto(_bytes(tensor)) != place.end - place.start:
                    raise ValueError
                tensors[place.name] = tensor
        if entry["format"] > 1 and entry["sha256"]["tensors"] != checksum(tensors):
            raise _DamageError("the checksum of its tensors is wrong")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RuntimeError) as error:
        _refuse(path, error)
    return config, tensors


def read_config(path: str | Path) -> dict[str, Any]:
    """The config in a model file's header, read without torch."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _config(_header(file)[0], path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        _refuse(path, error)


class Checkpoints:
    """The checkpoints of a training in a folder: the last one, and the one before it."""

    def __init__(self, folder: str | Path) -> None:
        self.latest, self.previous = Path(folder) / CHECKPOINT, Path(folder) / PREVIOUS
        self.written, self.cost = -math.inf, 0.0

    def due(self, *, within_epoch: bool) -> bool:
        """Whether to write the next: after an epoch or after `INTERVAL` seconds of one.

        Later where writing would take more than a fiftieth of the time.
        """
        wait = max(INTERVAL if within_epoch else 0.0, 50 * self.cost)
        return time.monotonic() - self.written >= wait

    def write(self, contents: Callable[[], Contents]) -> None:
        """Write the newest; until it is complete, the last one stays in its place."""
        start = time.monotonic()
        remove_leftovers(self.latest)
        with atomically(self.latest, lasting=True) as temporary:
            _write(temporary, *contents())
            if self.latest.exists():
                self.latest.replace(self.previous)
        self.written = time.monotonic()
        self.cost = self.written - start

    def read(self) -> Contents | None:
        """The newest that is whole; None where there is none. Raises where all are damaged."""
        found = self.found()
        for path in found:
            try:
                return read(path)
            except InputError:
                if path == found[-1]:
                    raise
        return None

    def found(self) -> list[Path]:
        """Those that are there, the newest first."""
        return [path for path in (self.latest, self.previous) if path.exists()]

    def remove(self) -> None:
        """Remove them."""
        remove_leftovers(self.latest)
        for path in (self.latest, self.previous):
            path.unlink(missing_ok=True)


# ---- writing


def _write(path: Path, config: dict[str, Any], tensors: "dict[str, Tensor]") -> None:
    """One tensor after the other, so that the largest is all the memory that it takes."""
    sums = {"config": _sum(_canonical(config)), "tensors": checksum(tensors)}
    entry = _canonical({"config": config, "format": FORMAT, "sha256": sums})
    places = _placed(tensors)
    header = _header_of(places, entry)
    whole = 8 + len(header) + (places[-1].end if places else 0)
    if len(header) > LARGEST_HEADER or _too_large(header, whole):
        raise InputError(f"{path.name} would have too large a header: train for fewer epochs.")
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for place in places:
            file.write(_bytes(_plain(tensors[place.name])))


def _placed(tensors: "dict[str, Tensor]") -> list[_Place]:
    """Where tensors lie, one after the other: those of wide numbers first, then by name."""
    codes = {name: (code, size) for code, (name, size) in TYPES.items()}
    found, start = [], 0
    for name, tensor in sorted(tensors.items(), key=lambda t: (-t[1].element_size(), t[0])):
        code, size = codes[str(tensor.dtype).removeprefix("torch.")]
        end = start + tensor.numel() * size
        found.append(_Place(name, code, list(tensor.shape), start, end))
        start = end
    return found


def _header_of(places: list[_Place], entry: str) -> bytes:
    """The header of a .safetensors file, filled with spaces to whole words of 8 bytes."""
    content: dict[str, Any] = {"__metadata__": {ENTRY: entry}}
    for name, code, shape, start, end in places:
        content[name] = {"dtype": code, "shape": shape, "data_offsets": [start, end]}
    header = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return header + b" " * (-len(header) % 8)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def checksum(tensors: "dict[str, Tensor]") -> str:
    """SHA-256 of tensors, with their names, types and shapes."""
    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name!r} {tensor.dtype} {list(tensor.shape)} ".encode())
        total.update(_bytes(_plain(tensor)))
    return total.hexdigest()


def _plain(tensor: "Tensor") -> "Tensor":
    """A contiguous copy in the memory of the CPU."""
    import torch

    return torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor.detach())


def _bytes(tensor: "Tensor") -> memoryview:
    """The memory of a contiguous tensor."""
    import torch

    return tensor.view(-1).view(torch.uint8).numpy().data


# ---- reading


def _header(file: Any) -> tuple[dict[str, Any], list[_Place]]:
    """Our entry in a file's header, and where its tensors lie; the file stands at the first."""
    whole = os.fstat(file.fileno()).st_size
    size = int.from_bytes(file.read(8), "little")
    if not 2 <= size <= min(LARGEST_HEADER, whole - 8):
        raise ValueError
    try:
        header = _parsed(file.read(size), whole)
        entry = _parsed(header.pop("__metadata__")[ENTRY].encode(), whole, _small_object)
        if type(entry["format"]) is not int:
            raise TypeError
        places = sorted((_place(*item) for item in header.items()), key=lambda p: p[-2:])
    except (KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError from None
    ends = [(0, 0), *((place.start, place.end) for place in places), (whole - 8 - size,) * 2]
    if any(before[1] != after[0] for before, after in pairwise(ends)):
        raise _DamageError("its tensors do not fill it")
    return entry, places


def _place(name: str, item: dict[str, Any]) -> _Place:
    """A tensor's entry in the header, whose numbers must agree."""
    start, end = item["data_offsets"]
    place = _Place(name, item["dtype"], item["shape"], start, end)
    if type(place.shape) is not list or len(place.shape) > 64 or len(name) > 1000:
        raise ValueError
    if not all(type(n) is int and 0 <= n < LARGEST_SIDE for n in (*place.shape, start, end)):
        raise ValueError
    if end - start != math.prod(place.shape) * TYPES[place.type][1]:
        raise _DamageError(f"the size of {name!r} is wrong")
    return place


def _config(entry: dict[str, Any], path: Path) -> dict[str, Any]:
    """The config in our entry, in whatever format it was written."""
    written = entry["format"]
    if written < 1:
        raise ValueError
    if written > FORMAT:
        raise InputError(f"{path} has a format newer than {FORMAT}: install a newer diabolo.")
    if written == 1 and "sha256" not in entry:
        return {name: value for name, value in entry.items() if name != "format"}
    try:
        config, sums = entry["config"], entry["sha256"]
        expected, _ = sums["config"], sums["tensors"]
    except (KeyError, TypeError):
        raise ValueError from None
    if not isinstance(config, dict) or _sum(_canonical(config)) != expected:
        raise _DamageError("the checksum of its config is wrong")
    return config


def _parsed(text: bytes, whole: int, hook: Any = None) -> Any:
    if _too_large(text, whole):
        raise ValueError
    return json.loads(text.decode(), parse_constant=_no_number, object_pairs_hook=hook)


def _too_large(text: bytes, whole: int) -> bool:
    """Whether the values in JSON may take much more memory than the whole file is long."""
    size = len(text) * (3 if text.isascii() else 12)
    size += 512 * (text.count(b"[") + text.count(b"{"))
    size += 48 * text.count(b",") + 24 * text.count(b'"')
    return size > whole + PARSED


def _small_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > LARGEST_OBJECT:
        raise ValueError
    return dict(pairs)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON.")


def _refuse(path: Path, error: Exception) -> NoReturn:
    if isinstance(error, InputError):
        raise error
    if isinstance(error, _DamageError):
        raise InputError(f"{path} is damaged: {error}.") from None
    raise InputError(f"{path} is not a model file of diabolo, or is cut off.") from None
