"""Small pieces of large images, to train on.

Of a folder of photographs only the headers are read at first, then one photograph at a time, so
that their number is not limited by the memory. Pieces to test on are of photographs held out
whole; a single one is parted into two areas that do not touch each other's pieces.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from diabolo.data.samples import Samples
from diabolo.data.sources import find_files, read
from diabolo.errors import InputError

Sides = tuple[int, int]


def patches(
    images: np.ndarray | Sequence[np.ndarray],
    size: int,
    n: int,
    random_state: int | np.random.Generator | None = None,
) -> np.ndarray:
    """`n` square pieces of images, (n, C, size, size) in their type, from places drawn at random.

    `images` are (N, H, W) or (N, C, H, W), or a list of (H, W) and (C, H, W) of any sizes; all
    places are equally likely. C is 3 where one of them is in colour. Images smaller than a piece
    are passed over.

    >>> patches(np.zeros((2, 40, 60), np.uint8), 16, n=5, random_state=0).shape
    (5, 1, 16, 16)
    """
    if size < 1 or n < 1:
        raise InputError(f"size and n must be at least 1, but are {size} and {n}.")
    arrays = [image[None] if image.ndim == 2 else image for image in map(np.asarray, images)]
    if wrong := [image.shape for image in arrays if image.ndim != 3]:
        raise InputError(f"an image is (H, W) or (C, H, W), but one has shape {wrong[0]}.")
    arrays = [image for image in arrays if min(image.shape[1:]) >= size]
    if not arrays:
        raise InputError(
            f"no image is as large as a patch of {size} x {size}: give a smaller size."
        )
    channels = _channels([len(image) for image in arrays])
    result = np.empty((n, channels, size, size), np.result_type(*arrays))
    sides = [(image.shape[1], image.shape[2]) for image in arrays]
    for number, here, y, x in _places(sides, size, n, np.random.default_rng(random_state)):
        result[here] = _at(arrays[number], size, y, x)
    return result


def split_patches(
    source: str, test: str | None, *, size: int, n: int, seed: int
) -> tuple[Samples, Samples]:
    """`n` pieces (n, C, size, size) of the images of `source` to train on, a tenth of it to test.

    The images may differ in size. Those to test on come from `test`, or without it from a tenth of
    the images, drawn by the seed; of a single image, from the last tenth of its longer side.
    Images that cannot be read or are too small are named in the failures.
    """
    training, failures = _pictures(source, size)
    channels = _channels([picture.channels for picture in training])
    if test is None:
        (training, testing), more = _held_out(training, size, seed), list[str]()
    else:
        testing, more = _pictures(test, size)
        if _channels([channels, *(picture.channels for picture in testing)]) > channels:
            raise InputError(f"{test} has colours, but {source} has none: give one kind.")
    form = Form(size, channels, _type([*training, *testing]))
    draws = (np.random.default_rng([seed, number]) for number in range(2))
    return (
        _cut(training, form, n, next(draws), failures),
        _cut(testing, form, max(1, n // 10), next(draws), more),
    )


@dataclass(frozen=True)
class Picture:
    """An image, or a part of it, whose pixels are read when they are wanted."""

    name: str
    sides: Sides  # height and width
    channels: int
    dtype: np.dtype
    pixels: Callable[[], np.ndarray]  # (H, W) or (C, H, W)
    corner: Sides = (0, 0)  # where the part begins


class Form(NamedTuple):
    """What the pieces of one array share."""

    size: int
    channels: int
    dtype: np.dtype


def _pictures(source: str, size: int) -> tuple[list[Picture], list[str]]:
    """The images of a source that are at least as large as a piece; a sentence on each other."""
    found, failures = _all_pictures(source)
    large = [picture for picture in found if min(picture.sides) >= size]
    if not large:
        raise InputError(
            f"No image of {source} is as large as a patch of {size} x {size}: give larger ones, or"
            " a smaller --patch-size."
        )
    small = [picture for picture in found if min(picture.sides) < size]
    return large, failures + [
        f"{one.name} is {one.sides[1]}x{one.sides[0]} (width x height), smaller than a patch of"
        f" {size}x{size}"
        for one in small
    ]


def _all_pictures(source: str) -> tuple[list[Picture], list[str]]:
    files = find_files(source)
    if files is None:
        array = read(source).array
        if array.ndim == 2:
            raise InputError(f"{source} holds rows, and patches are cut from images.")
        height, width = array.shape[-2:]
        channels = array.shape[1] if array.ndim == 4 else 1
        return [
            Picture(str(n), (height, width), channels, array.dtype, partial(array.__getitem__, n))
            for n in range(len(array))
        ], []
    from diabolo.data.images import forms

    pictures, failures = list[Picture](), list(files.failures)
    for name, form in zip(files.names, forms(files.folder, files.names), strict=True):
        if isinstance(form, str):
            failures.append(form)
            continue
        width, height = form.size
        sides, channels = (height, width), 1 if form.gray else 3
        pixels = partial(_read_pixels, files.folder, name, form.size)
        pictures.append(Picture(name, sides, channels, form.dtype, pixels))
    return pictures, failures


def _read_pixels(folder: Path, name: str, size: tuple[int, int]) -> np.ndarray:
    from diabolo.data.images import read_images

    found = read_images(folder, [name], size=size)
    if found.failures:
        raise InputError(found.failures[0])
    return found.array[0]


def _held_out(
    pictures: Sequence[Picture], size: int, seed: int
) -> tuple[list[Picture], list[Picture]]:
    """Images to train and to test on: a tenth of them is held out, of a single one its end."""
    if len(pictures) > 1:
        order = np.random.default_rng(seed).permutation(len(pictures))
        held = max(1, len(pictures) // 10)
        return [pictures[n] for n in order[held:]], [pictures[n] for n in order[:held]]
    (one,) = pictures
    axis = int(np.argmax(one.sides))
    length = one.sides[axis]
    held = max(size, length // 10)
    if length - held < size:
        raise InputError(
            f"One image of {one.sides[1]} x {one.sides[0]} is too small to cut patches of {size} x"
            f" {size} to train and to test on: give more, or --test."
        )
    height, width = one.sides
    if axis == 0:
        first, last, corner = (length - held, width), (held, width), (length - held, 0)
    else:
        first, last, corner = (height, length - held), (height, held), (0, length - held)
    return [replace(one, sides=first)], [replace(one, sides=last, corner=corner)]


def _type(pictures: Sequence[Picture]) -> np.dtype:
    """The type of the pixels of all; 16 bits beside 8 are reduced to 8."""
    first = {picture.dtype: picture for picture in pictures}
    if len(first) == 1:
        return pictures[0].dtype
    if odd := [one.name for dtype, one in first.items() if dtype not in (np.uint8, np.uint16)]:
        raise InputError(f"{odd[0]} has pixels of another kind than the others: give one kind.")
    return np.dtype(np.uint8)


def _cut(
    pictures: Sequence[Picture], form: Form, n: int, draw: np.random.Generator, failures: list[str]
) -> Samples:
    """Pieces of images; those of images that turn out broken are left out."""
    array, kept = np.empty((n, form.channels, form.size, form.size), form.dtype), np.ones(n, bool)
    broken = []
    for number, here, y, x in _places([one.sides for one in pictures], form.size, n, draw):
        one = pictures[number]
        try:
            pixels = one.pixels()
        except InputError as error:
            broken.append(str(error))
            kept[here] = False
            continue
        pixels = pixels.reshape(-1, *pixels.shape[-2:])
        pieces = _at(pixels, form.size, y + one.corner[0], x + one.corner[1])
        deep = one.dtype != form.dtype
        array[here] = (pieces.astype(np.uint32) + 128) // 257 if deep else pieces
    if not kept.any():
        raise InputError(f"None of the images can be used; {broken[0]}")
    array = array[kept]
    return Samples(array, [str(i) for i in range(len(array))], "npy", failures=failures + broken)


def _places(
    sides: Sequence[Sides], size: int, n: int, draw: np.random.Generator
) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """Where `n` pieces lie, all places of all images equally likely.

    For each image with some: its number, which of the n they are, and their first y and x.
    """
    across = np.array(sides) - size + 1
    ends = np.cumsum(across.prod(axis=1))
    drawn = draw.integers(ends[-1], size=n)
    source = np.searchsorted(ends, drawn, side="right")
    for number in np.unique(source):
        here = np.flatnonzero(source == number)
        y, x = np.unravel_index(ends[number] - 1 - drawn[here], across[number])
        yield int(number), here, y, x


def _at(image: np.ndarray, size: int, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The pieces (n, C, size, size) of an image (C, H, W) that begin at y and x."""
    windows = sliding_window_view(image, (size, size), axis=(1, 2))
    return np.moveaxis(windows[:, y, x], 0, 1)


def _channels(counts: Sequence[int]) -> int:
    """The channels of all images, of which some may be gray."""
    if odd := set(counts) - {1, max(counts)}:
        raise InputError(
            f"images of {odd.pop()} and of {max(counts)} channels do not go together."
        )
    return max(counts)
