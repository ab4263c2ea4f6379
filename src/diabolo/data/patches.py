"""Small pieces of large images, to train on."""

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from diabolo.errors import InputError


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
    pictures = [image[None] if image.ndim == 2 else image for image in map(np.asarray, images)]
    if wrong := [image.shape for image in pictures if image.ndim != 3]:
        raise InputError(f"an image is (H, W) or (C, H, W), but one has shape {wrong[0]}.")
    pictures = [image for image in pictures if min(image.shape[1:]) >= size]
    if not pictures:
        raise InputError(
            f"no image is as large as a patch of {size} x {size}: give a smaller size."
        )
    channels = max(len(image) for image in pictures)
    if odd := {len(image) for image in pictures} - {1, channels}:
        raise InputError(f"images of {odd.pop()} and of {channels} channels do not go together.")
    draw = np.random.default_rng(random_state)
    windows = [sliding_window_view(image, (size, size), axis=(1, 2)) for image in pictures]
    ends = np.cumsum([w.shape[1] * w.shape[2] for w in windows])
    places = draw.integers(ends[-1], size=n)
    source = np.searchsorted(ends, places, side="right")
    result = np.empty((n, channels, size, size), np.result_type(*pictures))
    for number, window in enumerate(windows):
        here = np.flatnonzero(source == number)
        y, x = np.unravel_index(ends[number] - 1 - places[here], window.shape[1:3])
        result[here] = np.moveaxis(window[:, y, x], 0, 1)
    return result
