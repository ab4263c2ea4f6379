"""Images without loss: each pixel coded by the law of `diabolo.likelihood.neighbours`.

The pixel in row i and column j comes in step i (r + 1) + j, where r is how far the network sees:
all that it sees came before, so that the pixels of a step are decoded at once, those of all images
of all chunks. In a step come, channel after channel, first whether each is as guessed, and then
the values of those that are not. Behind the stream of a chunk is a check of 8 bits for each of its
images, of one alone of 32.
"""

import copy
import hashlib
import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from diabolo.codec import entropy
from diabolo.errors import InputError
from diabolo.infer import in_threads
from diabolo.integers import summed
from diabolo.likelihood.causal import Causal
from diabolo.likelihood.neighbours import Neighbours, Places, last_of, values_of
from diabolo.progress import Tell, untold

ROWS = 2048  # pixels that the network is asked for at a time
FEW = 512  # pixels of a step, which more than one thread would only slow


class _Step(NamedTuple):
    """The pixels of a step in one channel: rows and columns (P,)."""

    channel: int
    row: Tensor
    column: Tensor


class Lossless:
    """The codec of a law: images (N, C, H, W) of uint8 <-> bytes."""

    name = "lossless"

    def __init__(self, law: Neighbours) -> None:
        self.law, self.exact = law, law.exact()

    @classmethod
    def of(cls, model: Any) -> "Lossless | None":
        """The codec of a fitted model; None where its likelihood is not causal."""
        likelihood = model.net_.likelihood
        if not isinstance(likelihood, Causal):
            return None
        law = copy.deepcopy(likelihood.network).cpu()
        if law.hinted:
            raise InputError(
                "The law of this model is told of the reconstruction, which no file holds: train"
                " it with told=false."
            )
        return cls(law)

    @cached_property
    def sha256(self) -> str:
        """The hash of all that the bytes depend on."""
        total = hashlib.sha256(f"{self.law.shape} {self.law.reach}".encode())
        total.update(self.law.table.numpy().tobytes())
        exact = self.exact
        layers = (exact.first, *exact.blocks, exact.flag, exact.hidden, exact.value)
        shifts = (exact.rows, exact.columns, exact.channels)
        for tensor in (*(part for layer in layers for part in layer), *shifts):
            total.update(f"{tuple(tensor.shape)}".encode() + tensor.numpy().tobytes())
        return total.hexdigest()

    def shape_of(self, values: int) -> tuple[int, int, int]:
        """The law's own shape, where it has so many values."""
        if values != math.prod(self.law.shape):
            raise InputError(f"This model is of {math.prod(self.law.shape)} values, not {values}.")
        return self.law.shape

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse images of a shape (C, H, W) that the law is not of; gray ones may be."""
        c, h, w = self.law.shape
        if not self.law.placed and shape[0] not in (1, c):
            raise InputError(f"This model is of images of {c} channels, not of {shape[0]}.")
        if self.law.placed and shape != self.law.shape:
            raise InputError(f"This model is of images of {c} x {h} x {w}, not {shape}.")

    @torch.inference_mode()
    def encode(self, images: np.ndarray, tell: Tell = untold) -> bytes:
        """The bytes of images (N, C, H, W)."""
        with self._threads(len(images), images.shape[1:]):
            made = entropy.encode_backwards(self._backwards(torch.tensor(images), tell))
        return made + _checks(images)

    def _backwards(self, images: Tensor, tell: Tell) -> Iterator[entropy.Step]:
        """What the coder is told of images, from the last step to the first."""
        padded = self.law.padded(images.expand(-1, self.law.shape[0], -1, -1))
        steps = self._steps(images.shape[1:], tell, backwards=True)
        for some in _blocks(steps, len(images)):
            at = Places(*(torch.cat(parts) for parts in zip(*some, strict=True)))
            near = self.law.near(padded, at)
            truth = self.law.symbols(self.law.pixels(padded, at), near)
            last, flags = self._asked(near, at)
            there = (truth > 0).nonzero()[:, 0]
            values = entropy.tables(values_of(self.exact, last[there]).numpy())
            symbols, stop, end = truth.numpy().astype(np.int64), len(truth), len(there)
            for one in reversed(some):
                start = stop - len(one.row)
                found = symbols[start:stop]
                begin = end - int(np.count_nonzero(found))
                yield found[found > 0] - 1, values[begin:end]
                yield found > 0, flags[start:stop]
                stop, end = start, begin

    def _asked(self, near: Tensor, at: Places) -> tuple[Tensor, np.ndarray]:
        """Of pixels the last activations (M, units), and tables (M, 2) of being 0, and not."""
        some, at = near.amax(1).nonzero()[:, 0], self.law.told(at)
        if len(some) == len(near):
            last = last_of(self.exact, self.law.seen(near), at)
            logit = summed(last, self.exact.flag)
        else:
            blank_last, blank_flag = self._blank
            sides = len(self.exact.rows), len(self.exact.columns)
            place = (at.channel * sides[0] + at.row) * sides[1] + at.column
            last, logit = blank_last[place], blank_flag[place]
            last[some] = last_of(self.exact, self.law.seen(near[some]), _only(at, some))
            logit[some] = summed(last[some], self.exact.flag)
        flag = logit.numpy().astype(np.int32)
        return last, entropy.tables(np.concatenate([np.zeros_like(flag), flag], 1))

    @cached_property
    def _blank(self) -> tuple[Tensor, Tensor]:
        """What the network gives where all that it sees is 0, at each place, (C H W, ...)."""
        exact = self.exact
        sides = [torch.arange(len(part)) for part in (exact.channels, exact.rows, exact.columns)]
        places = [part.flatten() for part in torch.meshgrid(*sides, indexing="ij")]
        at = Places(torch.zeros_like(places[0]), *places)
        last = last_of(exact, torch.zeros(len(at.row), 0), at)
        return last, summed(last, self.exact.flag)

    def decode(
        self,
        contents: Sequence[bytes],
        counts: Sequence[int],
        shape: tuple[int, int, int],
        tell: Tell = untold,
    ) -> list[np.ndarray]:
        """The images (N, C, H, W) of several chunks at once, of so many images of one shape.

        Raises `InputError` where the bytes are not what `encode` gave.
        """
        checks = [count * (1 if count > 1 else 4) for count in counts]
        streams = [
            content[: -size or None] for content, size in zip(contents, checks, strict=True)
        ]
        with self._threads(sum(counts), shape):
            coders = [entropy.Decoder(stream) for stream in streams]
            images = self._decode(coders, counts, shape, tell)
        found = np.split(images, np.cumsum(counts)[:-1])
        for content, some in zip(contents, found, strict=True):
            if not content.endswith(_checks(some)):
                raise InputError("The images are not those that were compressed.")
        return found

    @torch.inference_mode()
    def _decode(
        self,
        coders: list[entropy.Decoder],
        counts: Sequence[int],
        shape: tuple[int, int, int],
        tell: Tell,
    ) -> np.ndarray:
        blank = torch.zeros(sum(counts), self.law.shape[0], *shape[1:], dtype=torch.uint8)
        padded, reach = self.law.padded(blank), self.law.reach
        for step in self._steps(shape, tell):
            at = _places(step, len(padded))
            ends = np.cumsum(counts)[:-1] * len(step.row)
            near = self.law.near(padded, at)
            last, flags = self._asked(near, at)
            there = [
                coder.take(flag) for coder, flag in zip(coders, np.split(flags, ends), strict=True)
            ]
            where = torch.from_numpy(np.flatnonzero(np.concatenate(there)))
            tables = entropy.tables(values_of(self.exact, last[where]).numpy())
            parts = np.split(tables, np.cumsum([one.sum() for one in there])[:-1])
            values = [coder.take(part) for coder, part in zip(coders, parts, strict=True)]
            symbols = torch.zeros(len(near), dtype=torch.uint8)
            symbols[where] = torch.from_numpy(np.concatenate(values) + 1).to(torch.uint8)
            found, place = self.law.values(symbols, near), (at.row + reach, at.column + reach)
            padded[at.image, at.channel, *place] = found
            if shape[0] == 1:  # gray, which has all colours
                padded[at.image, :, *place] = found[:, None]
        if not all(coder.empty for coder in coders):
            raise InputError("The stream is damaged.")
        return padded[:, : shape[0], reach:, reach:-reach].numpy()

    def _steps(
        self, shape: Sequence[int], tell: Tell, *, backwards: bool = False
    ) -> Iterator[_Step]:
        """The steps in which pixels come, channel after channel; or the last first."""
        c, h, w = shape
        apart = self.law.reach + 1
        steps = range(self._last(shape) + 1)[:: -1 if backwards else 1]
        for done, number in enumerate(steps, 1):
            first = max(0, -((w - 1 - number) // apart))
            row = torch.arange(first, min(h - 1, number // apart) + 1)
            if len(row):
                for channel in range(c)[:: -1 if backwards else 1]:
                    yield _Step(channel, row, number - row * apart)
            tell(done / len(steps))

    def _last(self, shape: Sequence[int]) -> int:
        """The number of the last step."""
        _, h, w = shape
        return (h - 1) * (self.law.reach + 1) + w - 1

    def _threads(self, images: int, shape: Sequence[int]) -> AbstractContextManager[None]:
        """One thread, where a step has few pixels."""
        few = images * shape[1] * shape[2] < FEW * (self._last(shape) + 1)
        return in_threads(1 if few else torch.get_num_threads())


def _blocks(steps: Iterable[_Step], images: int) -> Iterator[list[Places]]:
    """Steps that come backwards, in blocks of about `ROWS` pixels."""
    some, size = list[Places](), 0
    for step in steps:
        some.append(_places(step, images))
        size += len(some[-1].row)
        if size >= ROWS:
            yield some[::-1]
            some, size = [], 0
    if some:
        yield some[::-1]


def _places(step: _Step, images: int) -> Places:
    """A step's pixels of so many images, image by image."""
    n = len(step.row)
    image = torch.arange(images).repeat_interleave(n)
    channel = torch.full((images * n,), step.channel)
    return Places(image, channel, step.row.repeat(images), step.column.repeat(images))


def _only(at: Places, some: Tensor) -> Places:
    return Places(*(part[some] for part in at))


def _checks(images: np.ndarray) -> bytes:
    """A check of each image: the lowest byte of its CRC-32, all four of an image alone."""
    sums = [zlib.crc32(np.ascontiguousarray(image).data) for image in images]
    size = 1 if len(sums) > 1 else 4
    return b"".join((value & (256**size - 1)).to_bytes(size, "little") for value in sums)
