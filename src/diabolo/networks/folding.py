"""Half the resolution in 2^n times the channels, and back, along n sides.

The sub-pixel layout of W. Shi et al., "Real-Time Single Image and Video Super-Resolution Using an
Efficient Sub-Pixel Convolutional Neural Network", 2016, of which torch has the case of two sides.
"""

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


def fold(x: Tensor) -> Tensor:
    """(B, C, *sides) -> (B, C 2^n, *sides / 2); the n sides are even."""
    n = x.ndim - 2
    if n == 2:
        return F.pixel_unshuffle(x, 2)
    for side in range(n):
        x = x.unflatten(2 + 2 * side, (-1, 2))
    halves, within = range(2, 2 + 2 * n, 2), range(3, 3 + 2 * n, 2)
    return x.permute(0, 1, *within, *halves).flatten(1, 1 + n)


def unfold(x: Tensor) -> Tensor:
    """(B, C 2^n, *sides) -> (B, C, *sides * 2): what `fold` undoes."""
    n = x.ndim - 2
    if n == 2:
        return F.pixel_shuffle(x, 2)
    x = x.unflatten(1, (-1, *(2,) * n))
    order = [place for side in range(n) for place in (2 + n + side, 2 + side)]
    x = x.permute(0, 1, *order)
    for side in range(n):
        x = x.flatten(2 + side, 3 + side)
    return x


class Fold(nn.Module):
    """`fold` as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        return fold(x)


class Unfold(nn.Module):
    """`unfold` as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        return unfold(x)


def folding(sides: int) -> tuple[nn.Module, nn.Module]:
    """The layers that fold and unfold so many sides."""
    return (nn.PixelUnshuffle(2), nn.PixelShuffle(2)) if sides == 2 else (Fold(), Unfold())
