"""Pieces of photographs as a source: they are cut from the photographs when they are taken.

The photographs are decoded once, into memory, or where they are many into a file that is mapped.
Where pieces lie, and how they are turned, is drawn once; a piece knows the place that it has in
its photograph, so that a mark can be laid over it as over the whole.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from diabolo.data import pieces
from diabolo.data.decoding import in_bytes
from diabolo.data.mapped import MEMORY, room_for
from diabolo.data.pieces import Picture
from diabolo.data.samples import Samples
from diabolo.data.source import Batch, Statistics, digest, statistics
from diabolo.data.spec import Turn
from diabolo.errors import InputError

TURNS: dict[Turn, int] = {"none": 1, "mirror": 2, "all": 8}  # ways; see `_ways`
CPU = torch.device("cpu")


class Form(NamedTuple):
    """What the pieces of a source share."""

    size: int
    channels: int
    dtype: np.dtype


@dataclass(frozen=True)
class Photographs:
    """Square pieces (C, S, S) of photographs, which lie one behind the other in `pixels`, (P,).

    `noisy` (P,) are their partners. `layout` (M, 7) has for each photograph where it begins, the
    height and width of what is kept of it, where that begins in the whole, and the whole's height
    and width; `places` (N, 4) for each piece its photograph, its y and x therein, and how it is
    turned.
    """

    pixels: Tensor
    layout: Tensor
    places: Tensor
    size: int
    channels: int
    noisy: Tensor | None = None
    device: torch.device = CPU
    originals: int | None = None  # photographs, where all come again, the other way round

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.channels, self.size, self.size)

    @property
    def dtype(self) -> torch.dtype:
        return self.pixels.dtype

    def __len__(self) -> int:
        return len(self.places)

    def take(self, index: Tensor) -> Batch:
        home = self.places.device
        number, y, x, turn = self.places[index.to(home)].unbind(1)
        start, height, width, *around = self.layout[number].unbind(1)
        down, across = self._ways.to(home)[turn].unbind(1)
        inside = (y[:, None] + down) * width[:, None] + x[:, None] + across
        planes = torch.arange(self.channels, device=home) * (height * width)[:, None]
        where = (start[:, None] + planes)[:, :, None] + inside[:, None, :]
        target = self._at(self.pixels, where)
        source = target if self.noisy is None else self._at(self.noisy, where)
        window = _turned((y + around[0], x + around[1], *around[2:]), turn, self.size)
        return Batch(source, target, window=window.to(self.device))

    def _at(self, pixels: Tensor, where: Tensor) -> Tensor:
        stored = pixels.view(torch.int16) if pixels.dtype == torch.uint16 else pixels  # no kernel
        found = stored.index_select(0, where.flatten()).view(pixels.dtype)
        return found.view(len(where), -1).to(self.device)

    @cached_property
    def _ways(self) -> Tensor:
        """For each way of turning, which y and x the pixels of a piece have, (8, 2, S * S).

        Of its three bits the first mirrors x, the second y, the third exchanges them after that.
        """
        ways = np.empty((8, 2, self.size, self.size), np.int64)
        for way in range(8):
            grid = np.mgrid[: self.size, : self.size]
            grid = np.flip(grid, tuple(axis for axis, bit in ((2, 1), (1, 2)) if way & bit))
            ways[way] = grid.transpose(0, 2, 1) if way & 4 else grid
        return torch.from_numpy(ways.reshape(8, 2, -1))

    def head(self, n: int) -> Batch:
        return self.take(torch.arange(min(n, len(self))))

    def statistics(self) -> Statistics:
        return statistics(self)

    def digest(self) -> dict[str, int | str]:
        found: dict[str, int | str] = {"samples": len(self), "sha256": digest(self.pixels.numpy())}
        found["places_sha256"] = digest(self.places.numpy())
        if self.noisy is not None:
            found["noisy_sha256"] = digest(self.noisy.numpy())
        return found

    def middles(self, count: int, side: int) -> list[np.ndarray]:
        """The middle of the first photographs, (C, h, w), of at most so many pixels a side."""
        found = list[np.ndarray]()
        for start, height, width, *_ in self.layout[self.layout[:, 0] >= 0][:count].tolist():
            pixels = self.pixels[start : start + self.channels * height * width].numpy()
            top, left = (max(0, length - side) // 2 for length in (height, width))
            image = pixels.reshape(self.channels, height, width)
            found.append(image[:, top : top + side, left : left + side])
        return found

    def __getitem__(self, index: slice | Tensor) -> "Photographs":
        """Some of the pieces."""
        return replace(self, places=self.places[index])

    def split(self, held: Tensor, rest: Tensor) -> tuple["Photographs", "Photographs"]:
        """About as many pieces as in two indices, of which no two share a photograph.

        Photographs are held out whole, in the order in which `held` comes upon them, unless there
        is only one.
        """
        numbers = self.places[:, 0] % (self.originals or len(self.layout))
        counts, apart = torch.bincount(numbers), set[int]()
        for number in dict.fromkeys(numbers[held].tolist()):
            if len(apart) + 1 < int((counts > 0).sum()) and len(held) > _of(counts, apart):
                apart.add(number)
        if not apart:
            return self[held], self[rest]
        chosen = torch.isin(numbers, torch.tensor(sorted(apart)))
        return self[chosen], self[~chosen]

    def parted(self, held: int) -> tuple["Photographs", "Photographs"]:
        """About so many of the first pieces, and the others, as `split` does."""
        index = torch.arange(len(self))
        return self.split(index[:held], index[held:])

    def both_ways(self) -> "Photographs":
        """Of pairs of noisy photographs the pieces, and the same the other way round."""
        assert self.noisy is not None
        layout, places = self.layout.clone(), self.places.clone()
        layout[:, 0] += len(self.pixels)
        places[:, 0] += len(self.layout)
        return replace(
            self,
            pixels=torch.cat([self.pixels, self.noisy]),
            noisy=torch.cat([self.noisy, self.pixels]),
            layout=torch.cat([self.layout, layout]),
            places=torch.cat([self.places, places]),
            originals=len(self.layout),
        )

    def to(self, device: torch.device) -> "Photographs":
        """Whose batches are on a device; itself too where it is in memory."""
        if self.pixels.nbytes > MEMORY:
            return replace(self, device=device)
        noisy = None if self.noisy is None else self.noisy.to(device)
        pixels, layout, places = (t.to(device) for t in (self.pixels, self.layout, self.places))
        return replace(
            self,
            pixels=pixels,
            layout=layout,
            places=places,
            noisy=noisy,
            device=torch.device(device),
        )


def _of(counts: Tensor, chosen: set[int]) -> int:
    return int(counts[sorted(chosen)].sum())


def _turned(window: Sequence[Tensor], turn: Tensor, size: int) -> Tensor:
    """Where a piece lies, (B, 4), once its whole photograph is turned."""
    y, x, height, width = window
    x = torch.where(turn & 1 > 0, width - size - x, x)
    y = torch.where(turn & 2 > 0, height - size - y, y)
    upright, lying = torch.stack([y, x, height, width], 1), torch.stack([x, y, width, height], 1)
    return torch.where(turn[:, None] & 4 > 0, lying, upright)


def split_photographs(
    source: str,
    test: str | None,
    *,
    size: int,
    n: int,
    seed: int,
    noisy: str | None = None,
    turn: Turn = "none",
    least: int = 1,
) -> tuple[Samples, Samples]:
    """`n` pieces of the images of `source` to train on, a tenth of it to test, as `Photographs`.

    The images may differ in size; `noisy` is the source of their partners, of pairs. Those to
    test on come from `test`, or without it from a tenth of the images, drawn by the seed; of a
    single image, from the last tenth of its longer side. Only those to train on are turned.
    Gray images become three equal channels beside those in colour, or where three are the `least`.
    Images that cannot be read or are too small are named in the failures.
    """
    training, failures = pieces.pictures(source, noisy, size)
    channels = pieces.channels([least, *(picture.channels for picture in training)])
    if test is None:
        (training, testing), more = pieces.held_out(training, size, seed), list[str]()
    else:
        testing, more = pieces.pictures(test, None, size)
        if pieces.channels([channels, *(picture.channels for picture in testing)]) > channels:
            raise InputError(f"{test} has colours, but {source} has none: give one kind.")
    form = Form(size, channels, pieces.common_type([*training, *testing]))
    draws = [np.random.default_rng([seed, number]) for number in range(2)]
    return (
        _drawn(training, form, n, draws[0], turn, failures=failures),
        _drawn(testing, form, max(1, n // 10), draws[1], failures=more),
    )


def split_patches(
    source: str, test: str | None, *, size: int, n: int, seed: int
) -> tuple[Samples, Samples]:
    """`split_photographs` as arrays (n, C, size, size)."""
    training, testing = split_photographs(source, test, size=size, n=n, seed=seed)
    return cut(training), cut(testing)


def cut(samples: Samples) -> Samples:
    """Samples whose array is one, and not a source, which gives all of its pieces."""
    found = samples.array
    if not isinstance(found, Photographs):
        return samples
    batch, shape = found.head(len(found)), (len(found), *found.shape)
    assert batch.window is not None
    return replace(
        samples,
        array=batch.target.view(shape).numpy(),
        names=[str(number) for number in range(len(found))],
        noisy=None if found.noisy is None else batch.source.view(shape).numpy(),
        window=batch.window.numpy(),
    )


def _drawn(
    pictures: Sequence[Picture],
    form: Form,
    n: int,
    draw: np.random.Generator,
    turn: Turn = "none",
    *,
    failures: list[str],
) -> Samples:
    """Pieces at places drawn from images; those of images that turn out broken are left out."""
    drawn = np.empty((n, 4), np.int64)
    for number, here, y, x in pieces.places([one.sides for one in pictures], form.size, n, draw):
        drawn[here, 0], drawn[here, 1], drawn[here, 2] = number, y, x
    drawn[:, 3] = draw.integers(TURNS[turn], size=n)
    used, drawn[:, 0] = np.unique(drawn[:, 0], return_inverse=True)
    stored, layout, broken = _stored([pictures[number] for number in used], form)
    whole = layout[:, 0] >= 0
    if not whole.any():
        raise InputError(f"None of the images can be used; {broken[0]}")
    tensors = [torch.from_numpy(array) for array in stored]
    found = Photographs(
        tensors[0],
        torch.from_numpy(layout),
        torch.from_numpy(drawn[whole[drawn[:, 0]]]),
        form.size,
        form.channels,
        tensors[1] if len(tensors) > 1 else None,
    )
    return Samples(found, [], "npy", failures=failures + broken)


def _stored(
    pictures: Sequence[Picture], form: Form
) -> tuple[list[np.ndarray], np.ndarray, list[str]]:
    """The pixels of images and of their partners, and where each lies, -1 if it is broken."""
    sizes = [form.channels * math.prod(one.sides) for one in pictures]
    stored = [room_for(sum(sizes), form.dtype, MEMORY) for _ in pictures[0].dtypes]
    layout, broken = np.empty((len(pictures), 7), np.int64), list[str]()
    for row, (one, end) in enumerate(zip(pictures, np.cumsum(sizes), strict=True)):
        start, (y, x), (height, width) = end - sizes[row], one.corner, one.sides
        layout[row] = start, height, width, y, x, *one.whole
        try:
            images = one.pixels(form.channels)
        except InputError as error:
            broken.append(str(error))
            layout[row, 0] = -1
            continue
        for room, image in zip(stored, images, strict=True):
            area = image[:, y : y + height, x : x + width]
            deep = area.dtype != form.dtype
            room[start:end] = (in_bytes(area) if deep else area).reshape(-1)
    return stored, layout, broken
