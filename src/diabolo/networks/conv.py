"""The convolutional network: convolutions that halve each side, and their mirror."""

from itertools import pairwise

from torch import nn

from diabolo.networks.base import (
    Network,
    Pair,
    Shape,
    Sizes,
    after,
    code_layers,
    convolution,
    transposed,
)


class Conv(Network, kind="conv"):
    """On (B, C, *sides), one to three: a convolution of 3 that halves them for each of `hidden`.

    A linear layer makes the code. Back: a linear layer, a transposed convolution that doubles
    for each of `hidden` reversed, and one to C channels. Halving rounds up, and each doubling
    restores the exact size it came from. `latent` None: the last feature map is the code.
    """

    hidden = (32, 64)
    dimensions = (1, 2, 3)

    def pair(self, sizes: Sizes) -> Pair:
        channels, sides = [sizes.shape[0] + sizes.given, *sizes.hidden], [sizes.shape[1:]]
        convolve, back = (kind(len(sizes.shape) - 1) for kind in (convolution, transposed))
        encoder: list[nn.Module] = []
        for before, behind in pairwise(channels):
            encoder.append(convolve(before, behind, 3, stride=2, padding=1))
            encoder += after(sizes.activation)
            sides.append(tuple((n + 1) // 2 for n in sides[-1]))
        end, decoder = self.code((channels[-1], *sides[-1]), sizes)
        widths = [channels[-1], *reversed(sizes.hidden)]
        for (before, behind), (small, large) in zip(
            pairwise(widths), pairwise(sides[::-1]), strict=True
        ):
            extra = tuple(b - (2 * a - 1) for a, b in zip(small, large, strict=True))
            decoder.append(back(before, behind, 3, stride=2, padding=1, output_padding=extra))
            decoder += after(sizes.activation)
        last = back(widths[-1], sizes.per_value * sizes.shape[0], 3, padding=1)
        return nn.Sequential(*encoder, *end), nn.Sequential(*decoder, last)

    def code(self, bottom: Shape, sizes: Sizes) -> tuple[list[nn.Module], list[nn.Module]]:
        """From the last feature map to the code, and from the code to the first one."""
        return code_layers(bottom, sizes)
