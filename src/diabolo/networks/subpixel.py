"""The sub-pixel network: convolutional, with no convolution at full resolution.

Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
Convolutional Neural Network", 2016; the block in the middle is from He et al., "Deep Residual
Learning for Image Recognition", 2016.
"""

from itertools import pairwise

from torch import Tensor, nn

from diabolo.networks.base import (
    ACTIVATIONS,
    Activation,
    Network,
    Pair,
    Sizes,
    after,
    code_layers,
    need_layers,
)


class Subpixel(Network, kind="subpixel"):
    """On (B, C, H, W): the image becomes 4C channels of half its height and width.

    A 3x3 convolution follows, and one that halves again for each further of `hidden`; then a
    residual block. Back, each doubling is a 3x3 convolution to four times the channels, laid out
    as pixels. Sides are padded to multiples of 2 for each of `hidden`. `latent` as in `Conv`.
    """

    hidden = (32, 64)

    def pair(self, sizes: Sizes) -> Pair:
        need_layers(self, sizes)
        shape, hidden, step = sizes.shape, sizes.hidden, 2 ** len(sizes.hidden)
        padding = (0, -shape[2] % step, 0, -shape[1] % step)
        encoder: list[nn.Module] = [nn.ZeroPad2d(padding)] if any(padding) else []
        encoder += [
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * (shape[0] + sizes.given), hidden[0], 3, padding=1),
        ]
        encoder += after(sizes.activation)
        for before, behind in pairwise(hidden):
            encoder.append(nn.Conv2d(before, behind, 3, stride=2, padding=1))
            encoder += after(sizes.activation)
        encoder.append(Block(hidden[-1], sizes.activation))
        bottom = (hidden[-1], -(-shape[1] // step), -(-shape[2] // step))
        end, decoder = code_layers(bottom, sizes)
        for number, (before, behind) in enumerate(
            pairwise([*reversed(hidden), sizes.per_value * shape[0]])
        ):
            decoder += after(sizes.activation) if number else []
            decoder += [nn.Conv2d(before, 4 * behind, 3, padding=1), nn.PixelShuffle(2)]
        if any(padding):
            decoder.append(nn.ZeroPad2d((0, -padding[1], 0, -padding[3])))
        return nn.Sequential(*encoder, *end), nn.Sequential(*decoder)


class Block(nn.Module):
    """x -> activation(x + conv(activation(conv(x)))), both 3x3 (He et al. 2016)."""

    def __init__(self, channels: int, activation: Activation) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.between = ACTIVATIONS[activation]()
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.last = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x + self.second(self.between(self.first(x))))
