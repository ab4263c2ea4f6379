"""Denoising images of any size: by a network of one size, in overlapping tiles.

    y = sum_k w_k f(x_k),    w_k(u) = h(u - u_k) / sum_j h(u - u_j),
    h(t) = sin^2(pi (t + 1/2) / T),    0 <= t < T

x_k is the tile of the image x at place u_k, f the network, T the side of a tile, and h the Hann
window, along rows times along columns. The weights sum to one at every pixel, so that there are
no seams: what the network leaves as it is comes back as it was. The first and the last tiles end
at the borders of the image. By a network that works on any size, see `diabolo.tasks.whole`.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Le, Lt
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.utils.validation import check_is_fitted
from torch import Generator, Tensor

from diabolo import infer, params
from diabolo.data.mapped import OnDisk, streamed
from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.inputs import as_float32, as_rows, find_seed, in_a_sentence, like
from diabolo.progress import Tell, untold, within
from diabolo.tasks import whole
from diabolo.tasks.evaluation import masks
from diabolo.train import generator

Overlap = Annotated[float, Ge(0), Lt(1)]
Level = Annotated[float, Ge(0), Le(255)]
TILES = 1024  # reconstructed at a time


def denoise(
    model: Estimator,
    images: Any,
    level: float | None = None,
    *,
    overlap: float = 0.5,
    ensemble: bool = False,
    progress: Tell = untold,
) -> Any:
    """What `model.reconstruct` makes of images of any size, float32 in the units of the input.

    `images` are (N, H, W) or (N, C, H, W), numpy or torch. `level` is the standard deviation of
    their noise, of 255 whatever their units, for a model that is told it; without one it is
    estimated for each image. A network that works on any size takes images of any type: uint16,
    and floats from 0 to 1 or from 0 to 255, which may go beyond, too; one that does not is given
    tiles, neighbours of which have at least the share `overlap` of their sides in common, and
    smaller images continued by their mirror image.

    A network for gray images is given each channel for itself; one for colour is given a gray
    image as three equal channels, whose outputs are averaged. For images of the network's size
    this is `model.reconstruct`, to the bit. `ensemble`, of a network that works on any size: the
    mean of eight ways, see `whole.clean`. `progress` is told, now and then, the share of the tiles
    that is done. Images on disk are cleaned a block at a time.

    >>> from diabolo import Autoencoder
    >>> patches = np.random.default_rng(0).random((50, 8, 8))
    >>> model = Autoencoder(hidden=(), epochs=1, random_state=0).fit(patches)
    >>> denoise(model, np.zeros((2, 3, 30, 21))).shape
    (2, 3, 30, 21)
    """
    overlap = params.check("overlap", Overlap, overlap)
    level = None if level is None else params.check("level", Level, level)
    if isinstance(images, OnDisk):
        use = partial(denoise, model, level=level, overlap=overlap, ensemble=ensemble)
        alike = images.dtype.kind in "bu" or model.dtype_ == "float32"  # the units of all parts
        return streamed(use, images) if alike else use(np.asarray(images))
    shape, array = _shape_of_images(model), as_rows(images)
    told = whole.takes_level(model)
    if level is not None and not told:
        raise InputError(whole.TAKES_NONE)
    any_size = whole.takes_any_size(model)
    if any_size and array.ndim == 3 and array.shape[2] in (3, 4):
        raise InputError(
            f"The images have shape {array.shape}, which is that of one with its channels last:"
            " give X.transpose(2, 0, 1)[None]."
        )
    if ensemble and not any_size:
        raise InputError("The network works on one size alone: leave ensemble out.")
    if _fits(model, array) and not (told or ensemble):
        return model.reconstruct(images)
    if any_size:
        cleaned = _whole(model, array, level, progress, ensemble=ensemble)
        return like(images, torch.from_numpy(cleaned))
    output = in_tiles(
        lambda tiles: _reconstructed(model, tiles),
        _planes(_values(model, array), shape[0]),
        shape[1:],
        overlap=overlap,
        progress=progress,
    )
    if output.size != array.size and len(output) == len(array):
        output = output.mean(axis=1, dtype=np.float64).astype(np.float32)
    return like(images, torch.from_numpy(output.reshape(array.shape)))


def _whole(
    model: Estimator, array: Any, level: float | None, progress: Tell, *, ensemble: bool
) -> np.ndarray:
    """Each of the images (N, ...) by a network that works on any size, float32."""
    images = _finite(array, gaps=model.net_.fills)
    output, units = np.empty(images.shape, np.float32), whole.units_of(model, images)
    for number, (image, cleaned) in enumerate(zip(images, output, strict=True)):
        shaped = image.reshape(model.image_shape_) if image.ndim == 1 else image
        found = whole.noise_of(model, shaped, level, units)
        told = within(progress, number, 1, len(images))
        result = whole.clean(model, shaped, found, ensemble=ensemble, units=units, progress=told)
        cleaned[...] = result.reshape(image.shape)
    return output


def corrupt(model: Estimator, images: Any, *, random_state: Any = None) -> Any:
    """Images of any size corrupted as in training: `model.corrupt`, over the whole of each."""
    _shape_of_images(model)
    array = as_rows(images)
    if _fits(model, array):
        return model.corrupt(images, random_state=random_state)
    net = model.net_
    if net.corruption is None:
        raise InputError("The model was trained without a corruption: there is none to apply.")
    scaled, draw = _drawn(model, array, find_seed(random_state))
    with torch.inference_mode():
        noisy = net.corruption.corrupt(scaled, draw, net.scaling.low, net.scaling.high).x
        noisy = net.scaling.inverse(noisy)
    return like(images, noisy.cpu().reshape(array.shape))


def marks(model: Estimator, images: Any, *, random_state: Any = None) -> np.ndarray | None:
    """The masks of the watermarks of `corrupt`, (N, 1 or C, H, W); None where it lays none."""
    _shape_of_images(model)
    array, net, seed = as_rows(images), model.net_, find_seed(random_state)
    if _fits(model, array):
        return masks(model, images, seed)
    if net.corruption is None:
        return None
    scaled, draw = _drawn(model, array, seed)
    with torch.inference_mode():
        laid = net.corruption.corrupt(scaled, draw, net.scaling.low, net.scaling.high).mask
    if laid is None:
        return None
    return laid.cpu().numpy().reshape(len(array), -1, *array.shape[-2:])


def _drawn(model: Estimator, array: Any, seed: int) -> tuple[Tensor, Generator]:
    """Images of any size as the corruption takes them, scaled, and what it draws by."""
    net, values = model.net_, _values(model, array)
    colour = (model.image_shape_ or (1,))[0] > 1 and values.ndim == 4
    x = torch.from_numpy(np.require(values if colour else _planes(values, 1), requirements="W"))
    draw = generator(seed, "corrupt", device=net.device.type)
    return net.scaling(x.to(net.device)), draw


def in_tiles(
    function: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    size: tuple[int, int],
    *,
    overlap: float = 0.5,
    progress: Tell = untold,
) -> np.ndarray:
    """`function`, which maps tiles (B, C, *size) to such, over images (N, C, H, W) of any size.

    Images are float64 while tiles are added, float32 after; `TILES` tiles are in work at a time.
    """
    padded, inside = _mirrored(images, size)
    (ys, down), (xs, across) = (
        _places(length, side, overlap) for length, side in zip(padded.shape[2:], size, strict=True)
    )
    windows = sliding_window_view(padded, size, axis=(2, 3))
    output = np.zeros(padded.shape)
    places = (len(padded), len(ys), len(xs))
    for start in range(0, math.prod(places), TILES):
        numbers = np.arange(start, min(start + TILES, math.prod(places)))
        n, i, j = np.unravel_index(numbers, places)
        values = function(windows[n, :, ys[i], xs[j]]) * down[i, None, :, None]
        values *= across[j, None, None, :]
        for tile, row, y, x in zip(values, n, ys[i], xs[j], strict=True):
            output[row, :, y : y + size[0], x : x + size[1]] += tile
        progress(min(1.0, (start + TILES) / math.prod(places)))
    return output[inside].astype(np.float32)


def tiles(model: Estimator, images: Sequence[np.ndarray], count: int = 256) -> np.ndarray:
    """Some tiles (count or fewer, C, H, W) of the images of several arrays, evenly over each."""
    (channels, *size), found = _shape_of_images(model), list[np.ndarray]()
    for array in images:
        planes = _mirrored(_planes(np.asarray(array), channels), (size[0], size[1]))[0]
        windows = sliding_window_view(planes, size, axis=(2, 3))
        places = windows.shape[0], *windows.shape[2:4]
        total = math.prod(places)
        few = np.linspace(0, total - 1, min(math.ceil(count / len(images)), total)).astype(int)
        n, i, j = np.unravel_index(few, places)
        found.append(windows[n, :, i, j])
    return np.concatenate(found)


def _places(length: int, side: int, overlap: float) -> tuple[np.ndarray, np.ndarray]:
    """Where tiles begin along a side, and their weights (n, side), which sum to one."""
    stride = max(1, math.floor(side * (1 - overlap)))
    count = 1 + math.ceil((length - side) / stride)
    starts = np.rint(np.linspace(0, length - side, count)).astype(int)
    window = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
    index = starts[:, None] + np.arange(side)
    total = np.bincount(index.ravel(), np.tile(window, count), length)
    return starts, window / total[index]


def _mirrored(images: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, tuple[slice, ...]]:
    """Images continued to at least `size` by their mirror image, and where they are therein."""
    missing = [max(0, side - n) for side, n in zip(size, images.shape[2:], strict=True)]
    edges = [(0, 0), (0, 0), *((m // 2, m - m // 2) for m in missing)]
    inside = tuple(
        slice(before, before + n) for (before, _), n in zip(edges, images.shape, strict=True)
    )
    return (np.pad(images, edges, mode="reflect") if any(missing) else images), inside


def _reconstructed(model: Estimator, tiles: np.ndarray) -> np.ndarray:
    """As `model.reconstruct`, without a look at the units, which a dark tile does not show."""
    net = model.net_

    def function(x: Tensor) -> Tensor:
        return net.decode(net.encode(x))

    rows = torch.from_numpy(np.ascontiguousarray(tiles).reshape(len(tiles), -1))
    return infer.in_blocks(net, function, rows).numpy().reshape(tiles.shape)


def _shape_of_images(model: Estimator) -> tuple[int, int, int]:
    """(C, H, W) of the images that the model was fitted on."""
    check_is_fitted(model, "net_")
    if model.image_shape_ is None:
        raise InputError(
            "The model was fitted on rows of a table, which have no tiles: use reconstruct, or a"
            " model of images."
        )
    return model.image_shape_


def _fits(model: Estimator, array: Any) -> bool:
    """Whether the samples are of the network's own size."""
    shape = tuple(array.shape[1:])
    if len(shape) == 1 and shape != (model.n_features_in_,):
        raise InputError(
            f"Images are (N, H, W) or (N, C, H, W), but X has shape {tuple(array.shape)}: give one"
            " image as X[None]."
        )
    return len(shape) == 1 or (1, *shape)[-3:] == model.image_shape_


def _values(model: Estimator, array: Any) -> np.ndarray:
    """Images in a type that the network takes, once their units and values are found right."""
    values = _finite(array, gaps=model.net_.fills)
    model.fitted_.intake.check_units(values, model.fitted_.peak)
    return values


def _finite(array: Any, *, gaps: bool) -> np.ndarray:
    """Images in a type that a network takes, once their values are found right."""
    values = np.asarray(array)
    if values.size == 0:
        raise InputError(f"There are no pixels in images of shape {values.shape}.")
    odd = np.isinf if gaps else lambda x: ~np.isfinite(x)
    if values.dtype.kind == "f" and odd(values).any():
        raise InputError(
            in_a_sentence(f"contains {'NaN' if np.isnan(values).any() else 'infinity'}")
        )
    if values.dtype.newbyteorder("=") == np.uint16:
        values = values.astype(np.uint16)
    elif values.dtype not in (np.bool_, np.uint8):
        values = as_float32(values, distinct=False)
    return values


def _planes(images: np.ndarray, channels: int) -> np.ndarray:
    """Images as (N', channels, H, W), for a network of so many channels."""
    images = images[:, None] if images.ndim == 3 else images
    if images.shape[1] == channels:
        return images
    if channels == 1:
        return images.reshape(-1, 1, *images.shape[2:])
    if images.shape[1] == 1:
        return np.repeat(images, channels, axis=1)
    raise InputError(
        f"The model was fitted on images of {channels} channels, these have {images.shape[1]}."
    )
