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
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from diabolo.codec import entropy
from diabolo.errors import InputError
from diabolo.integers import summed
from diabolo.likelihood.causal import Causal
from diabolo.likelihood.neighbours import Neighbours, Places, last_of, values_of

ROWS = 2048  # pixels that the network is asked for at a time


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
        """Refuse images of a shape (C, H, W) that the law is not of."""
        if shape != self.law.shape:
            c, h, w = self.law.shape
            raise InputError(f"This model is of images of {c} x {h} x {w}, not {shape}.")

    @torch.inference_mode()
    def encode(self, images: np.ndarray) -> bytes:
        """The bytes of images (N, C, H, W)."""
        padded = self.law.padded(torch.tensor(images))
        plan = [_places(step, len(images)) for step in self._steps(images.shape[1:])]
        flags, values, truth = self._logits(padded, plan)
        steps, start, first = list[entropy.Step](), 0, 0
        for at in plan:
            stop = start + len(at.row)
            symbols = truth[start:stop]
            there = symbols > 0
            last = first + int(there.sum())
            steps.append((there, entropy.tables(flags[start:stop])))
            steps.append((symbols[there] - 1, entropy.tables(values[first:last])))
            start, first = stop, last
        return entropy.encode(steps) + _checks(images)

    def _logits(
        self, padded: Tensor, plan: list[Places]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of all pixels in their order flag logits (M, 2) and values (M,), and the logits of
        the values above 0, (K, 255)."""
        at = Places(*(torch.cat(parts) for parts in zip(*plan, strict=True)))
        truth = padded[at.image, at.channel, at.row + self.law.reach, at.column + self.law.reach]
        flags, values = [], [np.empty((0, 255), np.int16)]
        for start in range(0, len(truth), ROWS):
            some = Places(*(part[start : start + ROWS] for part in at))
            last, flag = self._asked(padded, some)
            there = (truth[start : start + ROWS] > 0).nonzero()[:, 0]
            flags.append(flag)
            values.append(values_of(self.exact, last[there]).numpy().astype(np.int16))
        return np.concatenate(flags), np.concatenate(values), truth.numpy().astype(np.int64)

    def _asked(self, padded: Tensor, at: Places) -> tuple[Tensor, np.ndarray]:
        """Of pixels the last activations (M, units), and logits (M, 2) of being 0, and not."""
        near = self.law.near(padded, at)
        some = near.amax(1).nonzero()[:, 0]
        blank_last, blank_flag = self._blank
        place = (at.channel * self.law.shape[1] + at.row) * self.law.shape[2] + at.column
        last, logit = blank_last[place], blank_flag[place]
        last[some] = last_of(self.exact, self.law.seen(near[some]), _only(at, some))
        logit[some] = summed(last[some], self.exact.flag)
        flag = logit.numpy().astype(np.int32)
        return last, np.concatenate([np.zeros_like(flag), flag], 1)

    @cached_property
    def _blank(self) -> tuple[Tensor, Tensor]:
        """What the network gives where all that it sees is 0, at each place, (C H W, ...)."""
        c, h, w = self.law.shape
        sides = [torch.arange(n) for n in (c, h, w)]
        channel, row, column = torch.meshgrid(*sides, indexing="ij")
        at = Places(torch.zeros(c * h * w), *(p.flatten() for p in (channel, row, column)))
        last = last_of(self.exact, torch.zeros(c * h * w, 0), at)
        return last, summed(last, self.exact.flag)

    def decode(
        self, contents: Sequence[bytes], counts: Sequence[int], shape: tuple[int, int, int]
    ) -> list[np.ndarray]:
        """The images (N, C, H, W) of several chunks at once, of so many images of one shape.

        Raises `InputError` where the bytes are not what `encode` gave.
        """
        checks = [count * (1 if count > 1 else 4) for count in counts]
        streams = [
            content[: -size or None] for content, size in zip(contents, checks, strict=True)
        ]
        images = self._decode([entropy.Decoder(stream) for stream in streams], counts, shape)
        found = np.split(images, np.cumsum(counts)[:-1])
        for content, some in zip(contents, found, strict=True):
            if not content.endswith(_checks(some)):
                raise InputError("The images are not those that were compressed.")
        return found

    @torch.inference_mode()
    def _decode(
        self, coders: list[entropy.Decoder], counts: Sequence[int], shape: tuple[int, int, int]
    ) -> np.ndarray:
        padded = self.law.padded(torch.zeros(sum(counts), *shape, dtype=torch.uint8))
        reach = self.law.reach
        for step in self._steps(shape):
            at = _places(step, len(padded))
            ends = np.cumsum(counts)[:-1] * len(step.row)
            last, flags = self._asked(padded, at)
            there = [
                coder.take(flag)
                for coder, flag in zip(coders, np.split(entropy.tables(flags), ends), strict=True)
            ]
            where = torch.from_numpy(np.flatnonzero(np.concatenate(there)))
            tables = entropy.tables(values_of(self.exact, last[where]).numpy())
            parts = np.split(tables, np.cumsum([one.sum() for one in there])[:-1])
            values = [coder.take(part) for coder, part in zip(coders, parts, strict=True)]
            found = torch.from_numpy(np.concatenate(values) + 1).to(torch.uint8)
            image, channel, row, column = _only(at, where)
            padded[image, channel, row + reach, column + reach] = found
        if not all(coder.empty for coder in coders):
            raise InputError("The stream is damaged.")
        return padded[:, :, reach:, reach:-reach].numpy()

    def _steps(self, shape: tuple[int, ...]) -> Iterator[_Step]:
        """The steps in which pixels come, channel after channel."""
        c, h, w = shape
        row, column = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
        number = (row * (self.law.reach + 1) + column).flatten()
        order = number.argsort(stable=True)
        sizes = number.bincount()
        for some in order.split(sizes[sizes > 0].tolist()):
            for channel in range(c):
                yield _Step(channel, some // w, some % w)


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
