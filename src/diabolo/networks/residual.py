"""The residual network, which learns the noise to take away:  x -> x - noise(x).

The residual learning of K. Zhang, W. Zuo, Y. Chen, D. Meng and L. Zhang, "Beyond a Gaussian
Denoiser", 2017, on the image laid out as 4C channels of half its height and width, as in
K. Zhang, W. Zuo and L. Zhang, "FFDNet", 2018; without their batch normalisation and noise map.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from diabolo.errors import InputError
from diabolo.networks.base import (
    Activation,
    Network,
    Pair,
    Shape,
    Sizes,
    after,
    convolution,
    need_no_code,
    padding,
)
from diabolo.networks.folding import folding


class Residual(Network, kind="residual"):
    """On (B, C, *sides): begins as the identity, and learns the noise to take away.

    The code is the clean image itself, so that there is no `latent`, and the decoder only gives
    it its shape. See `WithoutNoise`; `hidden` are the channels of its layers.
    """

    hidden = (64, 64, 64, 64, 64)
    dimensions = (1, 2, 3)
    bounded = False
    any_size = True
    gives = "its input without the noise"

    def pair(self, sizes: Sizes) -> Pair:
        need_no_code(self, sizes)
        if sizes.given:
            raise InputError(
                f"A {self.kind} network takes no condition: use network='unet', 'dense' or 'conv'."
            )
        encoder = WithoutNoise(sizes.shape, sizes.hidden, sizes.activation)
        return nn.Sequential(encoder, nn.Flatten()), nn.Sequential(nn.Unflatten(1, sizes.shape))

    def begin(self, encoder: nn.Module, decoder: nn.Module) -> None:
        for module in encoder.modules():
            if isinstance(module, WithoutNoise):
                module.begin_as_identity()


class WithoutNoise(nn.Module):
    """x -> x - noise(x), by convolutions of 3 at half the resolution; (B, C, *sides) as it came.

    The last convolution begins at zero. Odd sides are padded.
    """

    def __init__(self, shape: Shape, hidden: Sequence[int], activation: Activation) -> None:
        super().__init__()
        odd = any(side % 2 for side in shape[1:])
        layers: list[nn.Module] = [nn.Identity()] if odd else []  # as older files count them
        sides = len(shape) - 1
        convolve, parts, (fold, unfold) = convolution(sides), 2**sides, folding(sides)
        layers.append(fold)
        for before, behind in pairwise([parts * shape[0], *hidden]):
            layers += [convolve(before, behind, 3, padding=1), *after(activation)]
        layers += [convolve(hidden[-1], parts * shape[0], 3, padding=1), unfold]
        self.noise = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        sides = x.shape[2:]
        odd = [side % 2 for side in sides]
        noise = self.noise(F.pad(x, padding(odd)) if any(odd) else x)
        return x - noise[:, :, *map(slice, sides)]

    def begin_as_identity(self) -> None:
        """Make the noise zero."""
        for parameter in list(self.noise)[-2].parameters():
            parameter.zero_()
