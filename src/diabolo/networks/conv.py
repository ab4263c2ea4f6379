"""The convolutional network: 3x3 convolutions that halve an image, and their mirror."""

from itertools import pairwise

from torch import nn

from diabolo.networks.base import Network, Pair, Sizes, after, code_layers


class Conv(Network, kind="conv"):
    """On (B, C, H, W): a 3x3 convolution that halves H and W for each of `hidden`.

    A linear layer makes the code. Back: a linear layer, a 3x3 transposed convolution that doubles
    for each of `hidden` reversed, and one to C channels. Halving rounds up, and each doubling
    restores the exact size it came from. `latent` None: the last feature map is the code.
    """

    hidden = (32, 64)

    def pair(self, sizes: Sizes) -> Pair:
        channels, sides = [sizes.shape[0] + sizes.given, *sizes.hidden], [sizes.shape[1:]]
        encoder: list[nn.Module] = []
        for before, behind in pairwise(channels):
            encoder.append(nn.Conv2d(before, behind, 3, stride=2, padding=1))
            encoder += after(sizes.activation)
            sides.append(tuple((n + 1) // 2 for n in sides[-1]))
        end, decoder = code_layers((channels[-1], *sides[-1]), sizes)
        widths = [channels[-1], *reversed(sizes.hidden)]
        for (before, behind), (small, large) in zip(
            pairwise(widths), pairwise(sides[::-1]), strict=True
        ):
            extra = (large[0] - (2 * small[0] - 1), large[1] - (2 * small[1] - 1))
            decoder.append(
                nn.ConvTranspose2d(before, behind, 3, stride=2, padding=1, output_padding=extra)
            )
            decoder += after(sizes.activation)
        last = nn.ConvTranspose2d(widths[-1], sizes.per_value * sizes.shape[0], 3, padding=1)
        return nn.Sequential(*encoder, *end), nn.Sequential(*decoder, last)
