"""Whole images by a network that works on any size: in large tiles, whose margins are cut away.

What a pixel becomes depends on those around it as far as the network reaches, so that a tile with
a margin of that width gives within it what the whole image would give. An image of any size takes
the memory of a tile.

A network that takes the level of the noise is told it; of noise that grows with the light, once
it is made Gaussian.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor, nn

from diabolo import noise
from diabolo.data.photofile import Photograph
from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.infer import watched
from diabolo.net import Net
from diabolo.networks import Network
from diabolo.noise import Noise
from diabolo.progress import Tell, untold

TILE, PART = 1024, 128  # side of a tile, in pixels, without its margins; where not all is wanted
LEVELS = 255.0  # the range in which a level is said, whatever that of the values
UNSEEN = 0.29 / LEVELS  # deviation of the rounding to 8 bits, below which there is nothing to do
SMALL, LARGE = 4.0, 1024.0  # floats up to the one are in [0, 1] but for noise, to the other 8-bit
TOO_SMALL = "too small to tell its noise surely: give its level where you know it"
TAKES_NONE = "The model takes no level of the noise: leave level out."
Cleaning = Callable[[Tensor], Tensor]  # of planes (C, H, W)
_REACH: WeakKeyDictionary[Net, tuple[int, int]] = WeakKeyDictionary()
Convolution = nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d


def takes_any_size(model: Estimator) -> bool:
    """Whether the network of a fitted model works on images of any size."""
    network = model.fitted_config_.get("network")
    kind: Any = Network.kinds().get(network["kind"] if isinstance(network, dict) else network)
    return kind is not None and kind.any_size and model.image_shape_ is not None


def takes_level(model: Estimator) -> bool:
    """Whether the network of a fitted model is told the level of the noise."""
    condition = model.fitted_.intake.condition
    return condition is not None and condition.drawn


class Units(NamedTuple):
    """The values of an image that stand for black, and how far it is from there to white."""

    black: float
    span: float


def units_of(model: Estimator, image: np.ndarray) -> Units:
    """The units of an image: of integers their whole range, of floats 0 to 1 or 0 to 255.

    Where the model learnt from floats, these are in its own. Raises `InputError` for others.
    """
    if image.dtype.kind in "bu":
        return Units(0.0, 1.0 if image.dtype.kind == "b" else float(np.iinfo(image.dtype).max))
    if image.dtype.kind == "f" and model.dtype_ == "float32":
        low, high = model.net_.scaling.peak.tolist()
        return Units(low, high - low)
    least, most = float(np.nanmin(image)), float(np.nanmax(image))
    if max(-least, most) > LARGE:
        raise InputError(
            f"The values of an image go from 0 to 1 or from 0 to 255, or are uint16, but these"
            f" from {least:g} to {most:g}: convert them."
        )
    return Units(0.0, 1.0 if max(-least, most) <= SMALL else 255.0)


def strongest(model: Estimator) -> float:
    """The largest level of noise, of 255, that a model was trained for."""
    net = model.net_
    if net.corruption is None or not math.isfinite(net.scaling.high):
        return math.inf
    return LEVELS * net.corruption.strongest / (net.scaling.high - net.scaling.low)


def noise_of(
    model: Estimator,
    image: np.ndarray,
    level: float | None = None,
    units: Units | None = None,
) -> Noise | None:
    """The noise of an image in [0, 1] units: by its `level`, of 255, or estimated.

    `units` are those of the image where they are known, as in a batch of which it is one.
    None where the model is not told of it, or the image is too small to tell: then the network
    is told a rough guess.
    """
    if not takes_level(model):
        if level is not None:
            raise InputError(TAKES_NONE)
        return None
    if level is not None:
        return Noise(0.0, (level / LEVELS) ** 2, level / LEVELS)
    if min(image.shape[-2:]) < noise.LEAST:
        return None
    black, span = units or units_of(model, image)
    slope, floor, found, alike = noise.estimate(image)
    return Noise(slope / span, (floor + slope * black) / span**2, found / span, alike)


def in_words(model: Estimator, found: Noise | None) -> str:
    """What noise was found, or told, in words; nothing where the model is not told of it."""
    if found is None:
        return TOO_SMALL if takes_level(model) else ""
    if found.level < UNSEEN:
        return "no noise to speak of: left as it is"
    words = f"noise of about {LEVELS * found.level:.3g} of 255"
    if found.slope > 0:
        words += ", which grows with the light"
    if found.alike > 1:
        words += ", alike in the colours"
    if LEVELS * found.level > (most := strongest(model)):
        words += f", but the model was trained for at most {most:.3g}: some may be left"
    return words


def clean(
    model: Estimator,
    image: np.ndarray,
    found: Noise | None,
    *,
    dtype: DTypeLike = np.float32,
    ensemble: bool = False,
    units: Units | None = None,
    where: np.ndarray | None = None,
    progress: Tell = untold,
) -> np.ndarray:
    """An image (H, W) or (C, H, W) of any size without its noise, in its own units.

    `found` is what `noise_of` says; where it is next to nothing, the image is left as it is, and
    so may be what is far from all that `where` (H, W) is true of. Integers are rounded.
    `ensemble`: the mean of its eight turned and mirrored ways, eight times as slow (R. Timofte,
    R. Rothe, L. Van Gool, "Seven Ways to Improve Example-Based Single Image Super Resolution",
    2016). `progress` is told the share of the pixels that is done.
    """
    channels, given = model.image_shape_[0], 1 if image.ndim == 2 else len(image)
    if channels != 1 and given not in (1, channels):
        raise InputError(
            f"The model was fitted on images of {channels} channels, these have {given}."
        )
    output = np.empty(image.shape, dtype)
    if found is not None and found.level < UNSEEN:
        output[...] = image
        return output
    black, span = units or units_of(model, image)
    planes, cleaned = (array.reshape(-1, *image.shape[-2:]) for array in (image, output))
    function: Cleaning = partial(_clean, model.net_, found=found)
    function = partial(_in_all_ways, function) if ensemble else function
    step, margin = reach(model.net_)
    whole, done = math.prod(image.shape[-2:]), 0
    side = TILE if where is None else PART
    for place, around, inside in _tiles(image.shape[-2:], side, step, margin):
        if where is not None and not where[place].any():
            cleaned[:, *place] = planes[:, *place]
            continue
        scaled = (torch.from_numpy(planes[:, *around].astype(np.float32)) - black) / span
        values = function(scaled)[:, *inside].numpy() * span + black
        if output.dtype.kind in "bu":
            values = np.rint(values).clip(black, black + span)
        cleaned[:, *place] = values
        done += math.prod(part.stop - part.start for part in place)
        progress(done / whole)
    return output


def cleaned(
    model: Estimator,
    photograph: Photograph,
    level: float | None = None,
    progress: Tell = untold,
    *,
    ensemble: bool = False,
) -> tuple[Photograph, Noise | None, str]:
    """A photograph without its noise, in its own form; the noise, and what to say of it."""
    pixels = photograph.pixels
    found = noise_of(model, pixels, level)
    output = clean(model, pixels, found, dtype=pixels.dtype, ensemble=ensemble, progress=progress)
    return replace(photograph, pixels=output), found, in_words(model, found)


def reach(net: Net) -> tuple[int, int]:
    """In pixels, the coarsest step of a network and how far it looks from a multiple of that.

    Each convolution of k x k values at 1 / s of the resolution looks s (k - 1) / 2 further.
    """
    if net not in _REACH:
        _REACH[net] = _traced(net)
    return _REACH[net]


def _traced(net: Net) -> tuple[int, int]:
    """As `reach`, by a batch that passes the network."""
    assert net.image_shape is not None
    height, steps, far = net.image_shape[1], [1], [0]

    def note(layer: Any, given: tuple[Tensor, ...], _: object) -> None:
        step = 2 ** math.ceil(math.log2(max(1.0, height / given[0].shape[-2])))
        steps.append(step if layer.transposed else step * max(layer.stride))
        sizes = zip(layer.kernel_size, layer.dilation, strict=True)
        far.append(step * max((k - 1) // 2 * d for k, d in sizes))

    layers = [module for module in net.encoder.modules() if isinstance(module, Convolution)]
    with torch.inference_mode(), watched(layers, note):
        net.encoding(None)(torch.zeros(1, *net.image_shape, device=net.device))
    step = max(steps)
    return step, math.ceil(sum(far) / step) * step


Box = tuple[slice, slice]


def _tiles(
    size: tuple[int, ...], side: int, step: int, margin: int
) -> Iterator[tuple[Box, Box, Box]]:
    """Where tiles are in the image, with their margins, and where they are within these."""
    (height, width), side = size, max(step, side // step * step)
    for y in range(0, height, side):
        for x in range(0, width, side):
            spans = [_span(start, side, margin, end) for start, end in ((y, height), (x, width))]
            place, around, inside = zip(*spans, strict=True)
            yield place, around, inside


def _span(start: int, side: int, margin: int, end: int) -> tuple[slice, slice, slice]:
    stop, first = min(start + side, end), max(0, start - margin)
    around = slice(first, min(stop + margin, end))
    return slice(start, stop), around, slice(start - first, stop - first)


def _in_all_ways(function: Cleaning, planes: Tensor) -> Tensor:
    """The mean of what becomes of planes (C, H, W) turned and mirrored, turned back."""
    total = torch.zeros_like(planes)
    for quarter in range(4):
        for mirror in ((), (2,)):
            seen = planes.rot90(quarter, (1, 2)).flip(mirror)
            total += function(seen).flip(mirror).rot90(-quarter, (1, 2))
    return total / 8


def _clean(net: Net, planes: Tensor, found: Noise | None) -> Tensor:
    """Planes (C, H, W) in [0, 1] units without their noise.

    A network in colour was trained on noise that is independent in each, and is told what would
    give the gray image as much.
    """
    assert net.image_shape is not None
    if found is None:
        return _by_network(net, planes, None)
    alike = found.alike if net.image_shape[0] > 1 else 1.0
    if found.slope == 0:
        return _by_network(net, planes, alike * found.level)
    transform = noise.Anscombe(found.slope, found.floor)
    low, high = (float(transform(torch.tensor(end))) for end in (0.0, 1.0))
    flat = (transform(planes) - low) / (high - low)
    return transform.inverse(_by_network(net, flat, alike / (high - low)) * (high - low) + low)


def _by_network(net: Net, planes: Tensor, level: float | None) -> Tensor:
    """As `_clean`, of Gaussian noise; each channel by itself, or gray as three, as it needs."""
    assert net.image_shape is not None
    low, high = net.scaling.peak.tolist()
    channels = net.image_shape[0]
    images = planes[:, None] if channels == 1 else planes.expand(channels, -1, -1)[None]
    given = None
    if level is not None:
        scaled = level * (high - low) / float(net.scaling.scale)
        given = torch.full((1, 1), scaled, device=net.device)
    exact = torch.autocast(net.device.type, enabled=False)
    with torch.inference_mode(), exact:
        stored = images.to(net.device) * (high - low) + low
        each = [net.whole(image, given) for image in stored.split(1)]  # alike, whatever is beside
        output = (torch.cat(each) - low) / (high - low)
    if channels == 1:
        return output[:, 0].cpu()
    return output.mean(1).cpu() if len(planes) == 1 else output[0].cpu()
