"""The directions of an image's edges, place by place: small shifts and bends hardly change them.

The gradient of the image, which is blurred by a Gaussian of 1/40 of its side, is shared between
the two nearest of eight directions, linearly in its angle; each of these parts is blurred by 1/14
of the side and taken at 7 x 7 places. The roots of these 392 numbers, divided by their norm, are
the features.

N. Dalal, B. Triggs, "Histograms of Oriented Gradients for Human Detection", 2005; the root is that
of R. Arandjelovic, A. Zisserman, "Three Things Everyone Should Know to Improve Object Retrieval",
2012. Whatever is done is done by single sums, which are alike wherever an image lies in a batch.
"""

import math
from functools import reduce

import torch
from torch import Tensor

from diabolo.tasks.oddness import blurred

DIRECTIONS, PLACES = 8, 7
WIDTH = DIRECTIONS * PLACES**2
HALVINGS, TERMS = 3, 9  # of an angle that is computed
FINE, COARSE = 1 / 40, 1 / 14  # of the side


def features(x: Tensor, image: tuple[int, ...]) -> Tensor:
    """The features (B, 392), float64, of images (C, H, W) as rows (B, D); 0 where all is flat."""
    gray = x.double().unflatten(1, image).mean(1).movedim(0, -1).contiguous()
    down, across = (_soft(_slopes(gray, dim), FINE, 0) for dim in (0, 1))
    length, angle = (across.square() + down.square()).sqrt(), _angle(down, across)
    turned = [(angle * DIRECTIONS / (2 * math.pi) - i) % DIRECTIONS for i in range(DIRECTIONS)]
    off = [torch.minimum(t, DIRECTIONS - t) for t in turned]
    parts = torch.stack([length * (1 - each).clamp(min=0) for each in off])
    parts = _sampled(_sampled(_soft(parts, COARSE, 1), 1), 2)
    roots = parts.flatten(0, 2).t().contiguous().clamp(min=0).sqrt()
    norm = roots.square().sum(1, keepdim=True).sqrt()
    return roots / torch.where(norm > 0, norm, 1.0)


def _angle(y: Tensor, x: Tensor) -> Tensor:
    """The angle of (x, y), from -pi to pi; other runtimes have it for single precision alone.

    There by t = tan a -> tan a / 2, three times, and the series of the arc tangent.
    """
    if not torch.compiler.is_compiling():
        return torch.atan2(y, x)
    low, high = torch.minimum(y.abs(), x.abs()), torch.maximum(y.abs(), x.abs())
    t = low / torch.where(high > 0, high, 1.0)
    for _ in range(HALVINGS):
        t = t / (1 + (1 + t * t).sqrt())
    powers = [t * (-t * t) ** n / (2 * n + 1) for n in range(TERMS)]
    angle = 2**HALVINGS * reduce(torch.add, reversed(powers))
    angle = torch.where(y.abs() > x.abs(), math.pi / 2 - angle, angle)
    angle = torch.where(x < 0, math.pi - angle, angle)
    return torch.where(y < 0, -angle, angle)


def _soft(values: Tensor, share: float, dim: int) -> Tensor:
    """Blurred along two dimensions, by a share of the length of each."""
    for one in (dim, dim + 1):
        values = blurred(values, one, share * values.shape[one])
    return values


def _slopes(values: Tensor, dim: int) -> Tensor:
    """Central differences; at the edges to the edge itself."""
    n = values.shape[dim]
    ends = values.narrow(dim, 0, 1), values.narrow(dim, n - 1, 1)
    padded = torch.cat([ends[0], values, ends[1]], dim)
    return (padded.narrow(dim, 2, n) - padded.narrow(dim, 0, n)) / 2


def _sampled(values: Tensor, dim: int) -> Tensor:
    """At places in the middle of so many equal parts, linearly between two values."""
    n = values.shape[dim]
    taken = []
    for i in range(PLACES):
        at = min(max((i + 0.5) / PLACES * n - 0.5, 0), n - 1)
        low = min(int(at), max(n - 2, 0))
        ends = values.narrow(dim, low, 1), values.narrow(dim, min(low + 1, n - 1), 1)
        taken.append(ends[0] + (at - low) * (ends[1] - ends[0]))
    return torch.cat(taken, dim)
