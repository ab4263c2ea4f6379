"""Where an image is odd: the pixels whose errors stand out from those of all normal images.

The map m(x) of an image is the squared error of each pixel, the mean of its channels, blurred by a
Gaussian of 1.5 pixels, and its peak the largest value there. With the peaks of n held-out normal
images, and l = floor(a (n + 1)), a pixel is odd where m(x) is above the l-th largest of them. If x
is exchangeable with these, P(anything in x is odd) <= a: it is split-conformal testing with the
peak as the score, and holds over all pixels at once.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage
from torch import Tensor

from diabolo import infer
from diabolo.estimator import Estimator
from diabolo.net import Net
from diabolo.tasks import conformal
from diabolo.tasks.oddness import blurred, errors


class Regions(NamedTuple):
    """Of images the pixels that are odd, (N, H, W) bool, and a box, (N, 4), 0 where none is.

    A box, (x, y, width, height) in pixels from the top left, is that of the connected region with
    the largest error.
    """

    masks: np.ndarray
    boxes: np.ndarray


def threshold(peaks: np.ndarray, rate: float) -> float:
    """What the map of an image must be above to be odd, by the peaks (n,) of normal ones."""
    allowed = conformal.allowed(len(peaks), rate)
    return float(np.sort(peaks)[-allowed]) if allowed else math.inf


def maps(net: Net, x: Tensor, image: tuple[int, ...]) -> Tensor:
    """m(x), (B, H, W) float64, of images (C, H, W)."""
    found = errors(net, x).unflatten(1, image).mean(1).movedim(0, -1).contiguous()
    return blurred(blurred(found, 0), 1).movedim(-1, 0)


def peaks(model: Estimator, X: Any) -> np.ndarray:
    """The largest value of each image's map, (N,) float64; none of what is no image."""
    net, image = model.net_, model.image_shape_
    if image is None:
        return np.empty(0)
    highest = infer.in_blocks(net, lambda x: maps(net, x, image).flatten(1).amax(1), model.rows(X))
    return np.nan_to_num(highest.numpy())


def found(model: Estimator, X: Any, above: float) -> Regions:
    """Where images are odd: where their maps are above a threshold."""
    net, image = model.net_, model.image_shape_
    assert image is not None
    errors = infer.in_blocks(net, lambda x: maps(net, x, image), model.rows(X)).numpy()
    masks = errors > above
    boxes = [_box(mask, one) for mask, one in zip(masks, errors, strict=True)]
    return Regions(masks, np.array(boxes, dtype=int).reshape(-1, 4))


def _box(mask: np.ndarray, errors: np.ndarray) -> tuple[int, int, int, int]:
    if not mask.any():
        return 0, 0, 0, 0
    parts, _ = ndimage.label(mask, np.ones((3, 3)))
    highest = np.unravel_index(np.argmax(np.where(mask, errors, -np.inf)), mask.shape)
    ((rows, columns),) = ndimage.find_objects((parts == parts[highest]).astype(int))
    size = columns.stop - columns.start, rows.stop - rows.start
    return columns.start, rows.start, *size
