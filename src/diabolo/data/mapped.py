"""Arrays whose rows lie in a file, and a source of them: the file may be larger than the memory.

The file is mapped, so that any row is as near as any other: an epoch takes them in one permutation
of all, as in memory, and gives the same weights to the bit. Pages that were read are let go of
every `WINDOW` bytes, so that they do not add up to the size of the file.
"""

import hashlib
import math
import mmap
import os
import tempfile
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diabolo.data.files import why
from diabolo.data.source import ROWS, Batch, Statistics, statistics
from diabolo.errors import InputError
from diabolo.names import is_frame

LARGE = 2**26  # bytes of an array in a file from which on it stays there
WINDOW = 2**27  # bytes of pages that are held
AROUND = 2**16  # bytes that the system maps around a row
AHEAD, GROUP = 4, 2**20  # groups of batches that are read ahead, and the bytes of one
WHOLE, SPOTS, SPOT = 2**30, 4096, 2**16  # bytes whose digest is of all; else so many spots
VALUES = 2**24  # of the samples that are worked on at a time
MEMORY = 2**30  # bytes of what is made beyond which it lies in a file
CPU = torch.device("cpu")


class Map:
    """Rows (N, D) in a file, C-ordered, from a byte `offset` on.

    Raises `InputError` where the file is not there or too short, or goes away later. (What is
    found is a file cut short, and a disk that answers no more; a page lost just while it is read
    ends the process, as the system has it.)
    """

    def __init__(self, path: Path, dtype: np.dtype, shape: tuple[int, int], offset: int) -> None:
        self.path, self.dtype, self.shape, self.offset = path, dtype, shape, offset
        self.touched, self.end = 0, offset + shape[0] * shape[1] * dtype.itemsize
        try:
            self.file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            weakref.finalize(self, os.close, self.file)
            long = os.fstat(self.file).st_size >= self.end
            self.map = mmap.mmap(self.file, 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be mapped: {why(error)}.") from error
        if not long:
            raise InputError(f"{path} is cut off: it holds fewer than {shape[0]:,} samples.")
        flat = np.frombuffer(self.map, dtype, shape[0] * shape[1], offset)
        self.rows = flat.reshape(shape)

    def __reduce__(self) -> Any:
        return Map, (self.path.resolve(), self.dtype, self.shape, self.offset)

    @property
    def named(self) -> bool:
        """Whether the file is still there under its name, for other processes."""
        there, own = self.path.exists(), os.fstat(self.file)
        return there and os.path.samestat(self.path.stat(), own)

    def read(self, index: np.ndarray | slice) -> np.ndarray:
        """The rows (B, D) of an index, copied."""
        first = index.start if isinstance(index, slice) else int(index[0]) if len(index) else 0
        self._check(first)
        found = self.rows[index].copy() if isinstance(index, slice) else self.rows.take(index, 0)
        self.touched += found.nbytes + (0 if isinstance(index, slice) else len(index) * AROUND)
        if self.touched > WINDOW and hasattr(mmap, "MADV_DONTNEED"):
            self.touched = 0
            self.map.madvise(mmap.MADV_DONTNEED)
        return found

    def _check(self, row: int) -> None:
        """Refuse a file that went away, which a map would end the process at."""
        reason = "it was cut off"
        try:
            there = os.fstat(self.file).st_size >= self.end
            place = self.offset + row * self.shape[1] * self.dtype.itemsize
            if there and (not hasattr(os, "pread") or os.pread(self.file, 1, place)):
                return
        except OSError as error:
            reason = why(error)
        raise InputError(
            f"{self.path} cannot be read any more ({reason}): bring it back, and go on from the"
            " last checkpoint."
        )


@dataclass(frozen=True, eq=False)
class OnDisk:
    """An array (N, ...) in a file: an index gives another one, `np.asarray` reads it.

    `sample` is the shape of a row. With an `index`, only these rows, in this order.
    """

    map: Map
    sample: tuple[int, ...]
    index: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.sample)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype:
        return self.map.dtype.newbyteorder("=")

    @property
    def nbytes(self) -> int:
        return len(self) * self.map.shape[1] * self.dtype.itemsize

    @property
    def stored(self) -> str:
        """The type that a model keeps its values in: bool, uint8, uint16, else float32."""
        return str(self.dtype) if self.dtype in (np.bool_, np.uint8, np.uint16) else "float32"

    def __len__(self) -> int:
        return self.map.shape[0] if self.index is None else len(self.index)

    def __reduce__(self) -> Any:
        """For another process: where it lies, or what it is, if that is a file without a name."""
        if not self.map.named:
            return np.asarray, (np.asarray(self),)
        return OnDisk, (self.map, self.sample, self.index)

    def __getitem__(self, index: Any) -> Any:
        """Another array of some rows; of one number, the sample."""
        if isinstance(index, int | np.integer):
            return self.read(np.array([range(len(self))[index]])).reshape(self.sample)
        if isinstance(index, Tensor):
            index = index.numpy()
        if not isinstance(index, slice | np.ndarray):
            raise TypeError(f"An array on disk takes a slice or an index array, not {index!r}.")
        if isinstance(index, slice) and self.index is None:
            return replace(self, index=np.arange(*index.indices(len(self))))
        own = np.arange(len(self)) if self.index is None else self.index
        return replace(self, index=own[index])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        found = self.read(np.arange(len(self))).reshape(self.shape)
        return found if dtype is None else found.astype(dtype)

    def read(self, index: np.ndarray) -> np.ndarray:
        """The rows (B, D) of an index, in native byte order."""
        found = self.map.read(index if self.index is None else self.index[index])
        return found.astype(self.dtype, copy=False)

    def blocks(self, rows: int = ROWS) -> Iterator[np.ndarray]:
        """All rows in order, (B, ...), so many at a time."""
        for start in range(0, len(self), rows):
            index = np.arange(start, min(start + rows, len(self)))
            yield self.read(index).reshape(-1, *self.sample)


@dataclass(frozen=True)
class Mapped:
    """Samples on disk as a source, with noisy partners, or conditions (N, M) in memory.

    Any batch is a random one: the order of an epoch is a permutation of all samples, as it is of
    samples in memory. Batches are read ahead by threads.
    """

    x: OnDisk
    noisy: OnDisk | None = None
    given: Tensor | None = None
    device: torch.device = CPU

    @property
    def shape(self) -> tuple[int, ...]:
        return self.x.sample

    @property
    def dtype(self) -> torch.dtype:
        found: torch.dtype = getattr(torch, self.x.stored)
        return found

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: Tensor) -> Batch:
        index = index.cpu()
        target = self._rows(self.x, index)
        source = target if self.noisy is None else self._rows(self.noisy, index)
        given = None if self.given is None else self.given[index].to(self.device)
        return Batch(source, target, given)

    def _rows(self, array: OnDisk, index: Tensor) -> Tensor:
        rows = array.read(index.numpy())
        return torch.from_numpy(rows.astype(array.stored, copy=False)).to(self.device)

    def ahead(self, batches: Sequence[Tensor]) -> Iterator[Batch]:
        """The samples of each index, some of which are read while others are worked on."""
        size = len(batches[0]) * self.x.map.shape[1] * self.x.dtype.itemsize if batches else 1
        many, waiting = max(1, GROUP // size), deque[Future[list[Batch]]]()
        groups = (batches[i : i + many] for i in range(0, len(batches), many))
        pool = ThreadPoolExecutor(AHEAD)
        try:
            waiting.extend(pool.submit(self._several, group) for group in islice(groups, AHEAD))
            while waiting:
                found = waiting.popleft().result()
                waiting.extend(pool.submit(self._several, group) for group in islice(groups, 1))
                yield from found
        finally:
            pool.shutdown(cancel_futures=True)

    def _several(self, batches: Sequence[Tensor]) -> list[Batch]:
        whole, sizes = self.take(torch.cat(list(batches))), [len(index) for index in batches]
        targets = whole.target.split(sizes)
        sources = targets if whole.source is whole.target else whole.source.split(sizes)
        given = [None] * len(sizes) if whole.given is None else whole.given.split(sizes)
        return [Batch(*parts) for parts in zip(sources, targets, given, strict=True)]

    def head(self, n: int) -> Batch:
        return self.take(torch.arange(min(n, len(self))))

    def statistics(self) -> Statistics:
        return self._statistics

    @cached_property
    def _statistics(self) -> Statistics:
        found = statistics(self)
        if not found.mean.isfinite().all():
            raise InputError(
                "X contains NaN, infinity or values too large for float32: fill them in, or drop"
                " those samples."
            )
        return found

    def digest(self) -> dict[str, int | str]:
        """Up to 1 GiB the same as of samples in memory; beyond, the SHA-256 of the size and of
        4,096 spots of 64 KiB spread evenly, which is then called so."""
        found = _digest("sha256", self.x) | {"samples": len(self)}
        if self.noisy is not None:
            found |= _digest("noisy_sha256", self.noisy)
        if self.given is not None:
            found["given_sha256"] = hashlib.sha256(self.given.numpy().tobytes()).hexdigest()
        return found

    def split(self, held: Tensor, rest: Tensor) -> tuple["Mapped", "Mapped"]:
        return self._part(held), self._part(rest)

    def _part(self, index: Tensor) -> "Mapped":
        noisy = None if self.noisy is None else self.noisy[index]
        given = None if self.given is None else self.given[index]
        return replace(self, x=self.x[index], noisy=noisy, given=given)

    def to(self, device: torch.device) -> "Mapped":
        return replace(self, device=torch.device(device))


def _digest(name: str, array: OnDisk) -> dict[str, int | str]:
    stored, width = np.dtype(array.stored), array.map.shape[1]
    total = hashlib.sha256(f"{stored.str}{[len(array), width]}".encode())
    if array.nbytes <= WHOLE:
        for block in array.blocks():
            total.update(np.ascontiguousarray(block.astype(stored, copy=False)).data)
        return {name: total.hexdigest()}
    rows = max(1, SPOT // (width * array.dtype.itemsize))
    for start in np.linspace(0, len(array) - rows, SPOTS).astype(np.int64):
        total.update(array.read(np.arange(start, start + rows)).data)
    return {name: total.hexdigest(), f"{name}_covers": f"{SPOTS} spots of {rows} samples"}


def on_disk(array: np.ndarray) -> np.ndarray | OnDisk:
    """A large array that is a memory map of a file, C-ordered, as one that stays there.

    Anything else is given back, and so is a map whose changes are its own (mode "c").
    """
    root: Any = array
    while isinstance(root, np.ndarray) and isinstance(root.base, np.ndarray):
        root = root.base
    mapped = isinstance(root, np.memmap) and isinstance(root.base, mmap.mmap)
    if not mapped or array.nbytes < LARGE or not array.flags.c_contiguous or array.ndim < 2:
        return array
    if root.filename is None or root.mode == "c":
        return array
    offset = root.offset + array.ctypes.data - root.ctypes.data
    return opened(Path(root.filename), array.dtype, array.shape, offset)


def opened(path: Path, dtype: np.dtype, shape: tuple[int, ...], offset: int) -> OnDisk:
    """The array of a type and a shape that lies at an offset of a file."""
    width = int(np.prod(shape[1:], dtype=np.int64))
    return OnDisk(Map(path, dtype, (shape[0], width), offset), tuple(shape[1:]))


Each = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]


def streamed(use: Callable[..., Any], x: Any, *, each: Each = map, **more: Any) -> Any:
    """What `use` makes of the rows of an array or a table, a block at a time, in order.

    `more` is given in parts as well where it has one value for each row. Results larger than a
    GiB lie in a file that goes with them. `each` maps a function over the blocks, as `map` does.
    """
    found = iter(each(partial(_used, use), _parts(x, more)))
    out: np.ndarray | None = None
    start = held = 0
    for block in found:
        if is_frame(block):
            return import_module("pandas").concat([block, *found])
        if out is None:
            flat = room_for(len(x) * (block.size // len(block)), block.dtype)
            out = flat.reshape(len(x), *block.shape[1:])
        out[start : start + len(block)] = block
        start, held = start + len(block), held + block.nbytes
        if held > WINDOW:
            held = 0
            let_go(out)
    assert out is not None
    return out


def blocks(x: Any, many: int = ROWS) -> list[Any]:
    """The rows of an array or a table, in order, so many at a time as are worked on."""
    rows = x.iloc if is_frame(x) else x
    return [rows[start : start + many] for start in range(0, len(x), many)]


def _parts(x: Any, more: dict[str, Any]) -> list[tuple[Any, dict[str, Any]]]:
    """Blocks of rows, each with what goes with it."""
    width = 1 if is_frame(x) else math.prod(x.shape[1:])
    many = min(ROWS, max(VALUES // max(1, width), 1))  # of large samples fewer
    every = {n: blocks(v, many) for n, v in more.items() if np.ndim(v) and len(v) == len(x)}
    shared = {name: value for name, value in more.items() if name not in every}
    return [
        (part, shared | {name: values[number] for name, values in every.items()})
        for number, part in enumerate(blocks(x, many))
    ]


def _used(use: Callable[..., Any], part: tuple[Any, dict[str, Any]]) -> Any:
    x, more = part
    found = use(x if is_frame(x) else np.asarray(x), **more)
    return found if is_frame(found) else np.asarray(found)


def room_for(length: int, dtype: np.dtype, memory: int = MEMORY) -> np.ndarray:
    """An array to be filled: in memory, or where it is large in a file that goes with it."""
    if length * dtype.itemsize <= memory:
        return np.empty(length, dtype)
    with tempfile.TemporaryFile() as file:
        try:
            if hasattr(os, "posix_fallocate"):  # or a full disk ends the process, much later
                os.posix_fallocate(file.fileno(), 0, length * dtype.itemsize)
        except OSError as error:
            raise InputError(
                f"The samples take {length * dtype.itemsize / 1e9:.1f} GB as they are decoded,"
                f" which {tempfile.gettempdir()} has no room for ({error.strerror}): set TMPDIR to"
                " a folder that has, or give fewer."
            ) from None
        return np.memmap(file, dtype, "r+", shape=(length,))


def let_go(array: np.ndarray) -> None:
    """Have the pages of an array that is shared with a file leave the memory of the process."""
    root: Any = array
    while isinstance(root, np.ndarray):
        root = root.base
    if isinstance(root, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        root.madvise(mmap.MADV_DONTNEED)
