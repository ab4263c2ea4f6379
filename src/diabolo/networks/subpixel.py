"""The sub-pixel network: convolutional, with no convolution at full resolution.

Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
Convolutional Neural Network", 2016; the block in the middle is from He et al., "Deep Residual
Learning for Image Recognition", 2016.
"""

from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from diabolo.networks.base import (
    ACTIVATIONS,
    Activation,
    Network,
    Pair,
    Sizes,
    after,
    code_layers,
    convolution,
    need_layers,
    padding,
)
from diabolo.networks.folding import folding


class Subpixel(Network, kind="subpixel"):
    """On (B, C, *sides), n of one to three: C becomes 2^n C channels of half of each side.

    A convolution of 3 follows, and one that halves again for each further of `hidden`; then a
    residual block. Back, each doubling is a convolution to 2^n times the channels, laid out as
    pixels. Sides are padded to multiples of 2 for each of `hidden`. `latent` as in `Conv`.
    """

    hidden = (32, 64)
    dimensions = (1, 2, 3)

    def pair(self, sizes: Sizes) -> Pair:
        need_layers(self, sizes)
        shape, hidden, step = sizes.shape, sizes.hidden, 2 ** len(sizes.hidden)
        sides = shape[1:]
        n, convolve, parts = len(sides), convolution(len(sides)), 2 ** len(sides)
        pads: list[Any] = [nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d]
        pad, extra = pads[n - 1], [-s % step for s in sides]
        encoder: list[nn.Module] = [pad(padding(extra))] if any(extra) else []
        encoder += [
            folding(n)[0],
            convolve(parts * (shape[0] + sizes.given), hidden[0], 3, padding=1),
        ]
        encoder += after(sizes.activation)
        for before, behind in pairwise(hidden):
            encoder.append(convolve(before, behind, 3, stride=2, padding=1))
            encoder += after(sizes.activation)
        encoder.append(Block(hidden[-1], sizes.activation, n))
        bottom = (hidden[-1], *(-(-s // step) for s in sides))
        end, decoder = code_layers(bottom, sizes)
        for number, (before, behind) in enumerate(
            pairwise([*reversed(hidden), sizes.per_value * shape[0]])
        ):
            decoder += after(sizes.activation) if number else []
            decoder += [convolve(before, parts * behind, 3, padding=1), folding(n)[1]]
        if any(extra):
            decoder.append(pad(padding([-s for s in extra])))
        return nn.Sequential(*encoder, *end), nn.Sequential(*decoder)


class Block(nn.Module):
    """x -> activation(x + conv(activation(conv(x)))), both of 3 (He et al. 2016)."""

    def __init__(self, channels: int, activation: Activation, sides: int) -> None:
        super().__init__()
        self.first = convolution(sides)(channels, channels, 3, padding=1)
        self.between = ACTIVATIONS[activation]()
        self.second = convolution(sides)(channels, channels, 3, padding=1)
        self.last = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x + self.second(self.between(self.first(x))))
