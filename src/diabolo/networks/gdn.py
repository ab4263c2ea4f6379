"""The transform pair of learnt image compression: strided convolutions and GDN between them.

J. Ballé, V. Laparra, E. Simoncelli, "End-to-end Optimized Image Compression", 2017, section 2,
on the image laid out as 16C channels of a quarter of its sides (see `folding`); with the
simplified GDN of N. Johnston, E. Eban, A. Gordon, J. Ballé, "Computationally Efficient Neural
Image Compression", 2019, section 3.1.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from diabolo.networks.base import Network, Pair, Sizes, code_layers, need_layers

FIRST = 4  # by how much the first of the layers shrinks each side
FLOOR = 2.0**-13  # of what is divided by


class Gdn(Network, kind="gdn"):
    """On (B, C, H, W): a quarter of each side for the first of `hidden`, then half for each.

    Sides are continued by their last values to multiples of 4, 8, 16, ...; `latent` as in `Conv`.
    Without one the code is a map, and the pair works on images of any size: see `Transform`.
    `activation` is not used.
    """

    hidden = (32, 64)

    def pair(self, sizes: Sizes) -> Pair:
        need_layers(self, sizes)
        channels, *image = sizes.shape
        hidden, values = sizes.hidden, FIRST**2 * channels * sizes.per_value
        seen = FIRST**2 * (channels + sizes.given)
        analysis: list[nn.Module] = [nn.Conv2d(seen, hidden[0], 3, padding=1)]
        synthesis: list[nn.Module] = [nn.Conv2d(hidden[0], values, 3, padding=1)]
        for wide, deep in pairwise(hidden):
            analysis += [GDN(wide), nn.Conv2d(wide, deep, 3, stride=2, padding=1)]
            back = nn.ConvTranspose2d(deep, wide, 4, stride=2, padding=1)
            synthesis += [GDN(wide, inverse=True), back]
        step = FIRST * 2 ** (len(hidden) - 1)
        bottom = (hidden[-1], *(-(-side // step) for side in image))
        end, begin = code_layers(bottom, sizes)
        encoder = Transform(step, nn.PixelUnshuffle(FIRST), *analysis)
        decoder = Transform(step, *reversed(synthesis), nn.PixelShuffle(FIRST))
        return (
            nn.Sequential(Padded(step), encoder, *end),
            nn.Sequential(*begin, decoder, Cropped(*image)),
        )


class Transform(nn.Sequential):
    """Layers that make a map of images, or images of a map, of any size.

    `step`: the pixels of a side for each place of the map.
    """

    def __init__(self, step: int, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.step = step


class Padded(nn.Module):
    """Sides continued by their last values to multiples of `step`."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        height, width = (-side % self.step for side in x.shape[2:])
        return F.pad(x, (0, width, 0, height), mode="replicate") if height or width else x


class Cropped(nn.Module):
    """The first `height` rows and `width` columns."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        return x[..., : self.height, : self.width]


class Norm(nn.Module):
    """beta + gamma |x| along the channels, (B, C, H, W) as it came; both without their signs."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.ones(channels))
        apart = torch.full((channels, channels), 5e-4)
        self.gamma = nn.Parameter(apart.fill_diagonal_(0.0105))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x.abs(), self.gamma.abs()[..., None, None], self.beta.abs() + FLOOR)


class GDN(nn.Module):
    """Divisive normalisation x / (beta + gamma |x|); inverse: x (beta + gamma |x|)."""

    def __init__(self, channels: int, *, inverse: bool = False) -> None:
        super().__init__()
        self.norm, self.inverse = Norm(channels), inverse

    def forward(self, x: Tensor) -> Tensor:
        norm: Tensor = self.norm(x)
        return x * norm if self.inverse else x / norm
