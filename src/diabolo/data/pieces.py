"""Where small pieces of large images lie, and which images can give some.

Of a folder only the headers are read. Pieces to test on are of images held out whole; a single
one is parted into two areas that do not touch each other's pieces.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from diabolo.data.pairs import are_folders, named_pairs, read_pairs
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
    deep = channels([len(image) for image in arrays])
    result = np.empty((n, deep, size, size), np.result_type(*arrays))
    sides = [(image.shape[1], image.shape[2]) for image in arrays]
    for number, here, y, x in places(sides, size, n, np.random.default_rng(random_state)):
        result[here] = _at(arrays[number], size, y, x)
    return result


@dataclass(frozen=True)
class Picture:
    """An image, or an area of it, whose pixels are read when they are wanted.

    `pixels` gives, for a number of channels, the image (C, H, W), and its noisy partner if it has
    one; `dtypes` are theirs.
    """

    name: str
    whole: Sides  # height and width
    channels: int
    dtypes: tuple[np.dtype, ...]
    pixels: Callable[[int], list[np.ndarray]]
    sides: Sides  # of the area
    corner: Sides = (0, 0)  # where it begins


def pictures(source: str, noisy: str | None, size: int) -> tuple[list[Picture], list[str]]:
    """The images of a source that are at least as large as a piece; a sentence on each other.

    `noisy`: the source of their noisy partners, as `read_pairs` takes it.
    """
    found, failures = _all_pictures(source, noisy)
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


def _all_pictures(source: str, noisy: str | None) -> tuple[list[Picture], list[str]]:
    if noisy is None:
        files = find_files(source)
        if files is None:
            return _of_arrays(source, [read(source).array]), []
        return _of_files([files.folder], [(name,) for name in files.names], files.failures)
    if not are_folders(noisy, source):
        pairs = read_pairs(noisy, source)
        assert pairs.noisy is not None
        return _of_arrays(source, [pairs.array, pairs.noisy]), []
    names, failures = named_pairs(Path(noisy), Path(source))
    return _of_files([Path(source), Path(noisy)], [(b, a) for a, b in names], failures)


def _of_arrays(source: str, arrays: list[np.ndarray]) -> list[Picture]:
    """The images of an array, and of another that has their noisy partners."""
    if arrays[0].ndim == 2:
        raise InputError(f"{source} holds rows, and patches are cut from images.")
    images = [array[:, None] if array.ndim == 3 else array for array in arrays]
    deep, height, width = images[0].shape[1:]

    def pixels(row: int, wanted: int) -> list[np.ndarray]:
        return [np.broadcast_to(image[row], (wanted, height, width)) for image in images]

    sides, dtypes = (height, width), tuple(image.dtype for image in images)
    return [
        Picture(str(row), sides, deep, dtypes, partial(pixels, row), sides)
        for row in range(len(images[0]))
    ]


def _of_files(
    folders: Sequence[Path], names: Sequence[tuple[str, ...]], failures: Sequence[str]
) -> tuple[list[Picture], list[str]]:
    """The images of a folder by name, and of pairs those of another beside them."""
    from diabolo.data.images import forms

    found, failed = list[Picture](), list(failures)
    columns = [forms(*column) for column in zip(folders, zip(*names, strict=True), strict=True)]
    for files, kinds in zip(names, zip(*columns, strict=True), strict=True):
        whole = [form for form in kinds if not isinstance(form, str)]
        if len(whole) < len(kinds):
            failed += [form for form in kinds if isinstance(form, str)]
            continue
        sides, deep = whole[0].size[::-1], 1 if whole[0].gray else 3
        pixels, dtypes = partial(_read_pixels, folders, files), tuple(f.dtype for f in whole)
        found.append(Picture(files[0], sides, deep, dtypes, partial(pixels, sides), sides))
    return found, failed


def _read_pixels(
    folders: Sequence[Path], names: tuple[str, ...], sides: Sides, wanted: int
) -> list[np.ndarray]:
    from diabolo.data.images import read_images

    shape, result = (wanted, *sides), list[np.ndarray]()
    for folder, name in zip(folders, names, strict=True):
        found = read_images(folder, [name], shape)
        if found.failures:
            raise InputError(found.failures[0])
        result.append(found.array[0].reshape(shape))
    return result


def held_out(
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


def common_type(pictures: Sequence[Picture]) -> np.dtype:
    """The type of the pixels of all; 16 bits beside 8 are reduced to 8."""
    first = {dtype: picture for picture in pictures for dtype in picture.dtypes}
    if len(first) == 1:
        return next(iter(first))
    if odd := [one.name for dtype, one in first.items() if dtype not in (np.uint8, np.uint16)]:
        raise InputError(f"{odd[0]} has pixels of another kind than the others: give one kind.")
    return np.dtype(np.uint8)


def places(
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


def channels(counts: Sequence[int]) -> int:
    """The channels of all images, of which some may be gray."""
    if odd := set(counts) - {1, max(counts)}:
        raise InputError(
            f"images of {odd.pop()} and of {max(counts)} channels do not go together."
        )
    return max(counts)
