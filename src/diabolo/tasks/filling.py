"""Filling holes of images, as of scratches, texts and stains.

    y = x where m = 0,  f(s(x, m)) where m = 1

s fills the holes smoothly (`diabolo.gaps`), as the network f knows them from its training to fill.
Of holes that are wider than those there were there, it changes little in the middle.

A network D that was trained to take away noise of any level t fills them, too, as what it knows of
images is what is missing. From s(x, m) on, while t falls:

    y <- y + a (D(y, t) - y) where m = 1

K. Zhang, Y. Li, W. Zuo, L. Zhang, L. Van Gool and R. Timofte, "Plug-and-Play Image Restoration
with Deep Denoiser Prior", 2021, algorithm 1, where what is known is without noise; with steps
that go further than the whole way.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from diabolo.data import Samples
from diabolo.data.mapped import OnDisk, streamed
from diabolo.data.photofile import Photograph
from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.gaps import smoothed
from diabolo.inputs import as_rows, like
from diabolo.noise import Noise
from diabolo.progress import Tell, untold, within
from diabolo.tasks import whole
from diabolo.tasks.denoising import denoise

MOST, LEAST, STEPS, FURTHER = 60.0, 2.0, 20, 1.5  # levels, of 255, of how many steps; and a


def fills(model: Estimator) -> bool:
    """Whether a fitted model can fill holes of images."""
    return model.net_.fills or (whole.takes_level(model) and whole.takes_any_size(model))


def fill(model: Estimator, images: Any, masks: Any = None, *, progress: Tell = untold) -> Any:
    """Images with their gaps filled and nothing else changed, float32 in the units of the input.

    `images` are as for `denoise`. Gaps are the pixels that are NaN, and those where `masks` are
    true, (H, W) or (N, H, W). Raises `InputError` where a gap is all of an image, or the model has
    neither learnt to fill nor to take away noise of any level. `progress` is told, now and then,
    the share that is done. Images on disk are filled a block at a time.
    """
    if not fills(model):
        raise InputError(
            "The model has not learnt to fill: take load('photo'), or fit one with"
            " corruption='scratches' (--corruption scratches)."
        )
    if isinstance(images, OnDisk):
        every = (
            masks if masks is None else np.broadcast_to(masks, (len(images), *images.shape[-2:]))
        )
        return streamed(partial(fill, model), images, masks=every)
    given = np.asarray(as_rows(images))
    array = given.astype(np.float32) if masks is None else erased(given, np.asarray(masks))
    gaps = np.isnan(array)
    if gaps.reshape(len(gaps), -1).all(1).any():
        raise InputError("There is nothing to fill an image from: the mask is all of it.")
    if not model.net_.fills:
        units = whole.units_of(model, given)
        for number, image in enumerate(array):
            _anneal(model, image, units, within(progress, number, 1, len(array)))
        return like(images, torch.from_numpy(array))
    smooth = _smooth(array)
    if given.dtype.kind in "bu":
        smooth = np.rint(smooth).astype(given.dtype)
    output = np.where(gaps, denoise(model, smooth, progress=progress), array)
    return like(images, torch.from_numpy(output))


def _smooth(images: np.ndarray) -> np.ndarray:
    """Images (N, H, W) or (N, C, H, W) with their gaps filled smoothly."""
    planes = torch.from_numpy(images.reshape(len(images), -1, *images.shape[-2:]))
    return smoothed(planes).numpy().reshape(images.shape)


def _anneal(model: Estimator, image: np.ndarray, units: whole.Units, tell: Tell) -> None:
    """Fill the gaps of an image (H, W) or (C, H, W) in place, by a network that denoises.

    Those that it does not see at once are worked on one after the other.
    """
    gaps = holes(np.isnan(image)[None])[0]
    near = ndimage.maximum_filter(gaps, 2 * whole.reach(model.net_)[1] + 1)
    regions, _ = ndimage.label(near)
    sizes = np.bincount(regions.ravel())[1:]
    for number, box in enumerate(ndimage.find_objects(regions)):
        part = image[..., *box]
        own = np.isnan(part) & (regions[box] == number + 1)
        told = within(tell, sizes[:number].sum(), sizes[number], sizes.sum())
        part[own] = _annealed(model, _smooth(part[None])[0], own, units, told)[own]


def _annealed(
    model: Estimator, image: np.ndarray, gaps: np.ndarray, units: whole.Units, tell: Tell
) -> np.ndarray:
    """An image whose gaps are filled smoothly with what the network makes of them."""
    most, where = min(MOST, whole.strongest(model)), holes(gaps[None])[0]
    for step, level in enumerate(np.geomspace(most, LEAST, STEPS) / whole.LEVELS, 1):
        noise = Noise(0.0, level**2, level)
        cleaned = whole.clean(model, image, noise, units=units, where=where)
        image[gaps] += FURTHER * (cleaned - image)[gaps]
        tell(step / STEPS)
    return image


def erased(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Images (N, H, W) or (N, C, H, W), NaN where masks (H, W) or (N, H, W) are true; float32."""
    if masks.shape[-2:] != images.shape[-2:] or masks.shape[:-2] not in ((), (len(images),)):
        raise InputError(
            f"A mask is as large as its image: images are {images.shape}, masks {masks.shape}."
        )
    every = np.broadcast_to(masks.astype(bool), (len(images), *masks.shape[-2:]))
    return np.where(_like(every, images), np.float32(np.nan), images.astype(np.float32))


class Masks:
    """Where images are to be filled, white: a mask has the name of its image, but for the suffix.

    A single mask is for all.
    """

    def __init__(self, parts: Sequence[Samples]) -> None:
        self.found = {
            _stem(name): _white(mask)
            for part in parts
            for name, mask in zip(part.names, part.array, strict=True)
        }

    def of(self, name: str, size: tuple[int, ...]) -> np.ndarray:
        """The mask of an image of `size` (H, W); `InputError` where there is none that fits."""
        only = [*self.found.values()] if len(self.found) == 1 else [None]
        mask = self.found.get(_stem(name), only[0])
        if mask is None:
            raise InputError(f"{name} has no mask of its name: give one for each, or one for all.")
        if mask.shape != size:
            raise InputError(
                f"The mask of {name} is {mask.shape[1]} x {mask.shape[0]} (width x height), but it"
                f" is {size[1]} x {size[0]}: a mask is as large as its image."
            )
        if not mask.any() or mask.all():
            what = "nothing" if not mask.any() else "all"
            raise InputError(f"The mask of {name} marks {what} of it: white is what to fill.")
        return mask

    def of_all(self, part: Samples) -> np.ndarray:
        """The masks (N, H, W) of images of one size."""
        size, first = part.array.shape[-2:], part.names[0]
        if len(self.found) == 1:
            return np.broadcast_to(self.of(first, size), (len(part.array), *size))
        return np.stack([self.of(name, size) for name in part.names])

    def on(self, part: Samples) -> Samples:
        """Images of one size, `noisy` with gaps where their masks are white."""
        return replace(part, noisy=erased(part.array, self.of_all(part)))

    def filled(
        self, model: Estimator, photograph: Photograph, name: str, progress: Tell
    ) -> Photograph:
        """A photograph filled, in its own form; its mask lies upright, as it is seen."""
        mask = self.of(name, photograph.upright)
        pixels = photograph.pixels
        where = photograph.as_stored(mask)
        output = fill(model, pixels[None], where, progress=progress)[0]
        if pixels.dtype.kind == "u":
            output = np.rint(output).clip(0, np.iinfo(pixels.dtype).max)
        return replace(photograph, pixels=output.astype(pixels.dtype))


def _stem(name: str) -> str:
    return PurePath(name).with_suffix("").as_posix()


def _white(mask: np.ndarray) -> np.ndarray:
    """Where a mask (H, W) or (C, H, W) is brighter than gray."""
    top = np.iinfo(mask.dtype).max if mask.dtype.kind in "iu" else 1
    gray = mask if mask.ndim == 2 else mask.mean(0)
    white: np.ndarray = gray > top / 2
    return white


def holes(gaps: np.ndarray) -> np.ndarray:
    """Which pixels have a gap in some channel, (N, H, W)."""
    return np.asarray(gaps.any(1)) if gaps.ndim == 4 else gaps


def _like(masks: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Masks (N, H, W) for every channel of images."""
    return np.broadcast_to(masks[:, None] if images.ndim == 4 else masks, images.shape)
