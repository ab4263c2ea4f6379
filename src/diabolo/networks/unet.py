"""The U-Net, without a narrow code, which learns the noise:  x -> x - noise(x, level).

O. Ronneberger, P. Fischer and T. Brox, "U-Net: Convolutional Networks for Biomedical Image
Segmentation", 2015; with the residual blocks, the sums in place of joins and the noise level as a
channel of K. Zhang, Y. Li, W. Zuo, L. Zhang, L. Van Gool and R. Timofte, "Plug-and-Play Image
Restoration with Deep Denoiser Prior", 2021, figure 1, at half the resolution as in K. Zhang,
W. Zuo and L. Zhang, "FFDNet", 2018. Without biases, so that it is homogeneous where its activation
is: f(a x, a level) = a f(x, level) (S. Mohan, Z. Kadkhodaie, E. Simoncelli and C.
Fernandez-Granda, "Robust and Interpretable Blind Image Denoising via Bias-Free Convolutional
Neural Networks", 2020).
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from diabolo.beside import CONVOLUTIONS
from diabolo.networks.base import (
    ACTIVATIONS,
    Activation,
    Network,
    Pair,
    Shape,
    Sizes,
    convolution,
    need_no_code,
    padding,
    transposed,
)
from diabolo.networks.folding import fold, unfold
from diabolo.params import Count


class UNet(Network, kind="unet"):
    """On (B, C, *sides) of any size: begins as the identity, and learns the noise to take away.

    The code is the clean image itself, so that there is no `latent`, and the decoder only gives
    it its shape. `hidden` are the channels at a half, a quarter, ... of the resolution. A
    condition is given to it as channels: see `Clean`.
    """

    blocks: Annotated[
        tuple[Count, ...],
        "Residual blocks at each resolution, down and up; the last number for further ones, too.",
    ] = (1, 2, 1)

    biases: Annotated[
        bool, "Whether its convolutions have biases, for what is not as bright as the image is."
    ] = False

    hidden = (64, 96, 128)
    dimensions = (1, 2, 3)
    bounded = False
    any_size = True
    gives = "its input without the noise"

    def pair(self, sizes: Sizes) -> Pair:
        need_no_code(self, sizes)
        known = self.blocks or (1,)
        blocks = (*known, *known[-1:] * len(sizes.hidden))[: len(sizes.hidden)]
        encoder = Clean(sizes.shape, sizes.given, sizes.hidden, blocks, sizes.activation)
        if self.biases:
            encoder.add_biases()
        return nn.Sequential(encoder, nn.Flatten()), Shaped(sizes.shape)

    def begin(self, encoder: nn.Module, decoder: nn.Module) -> None:
        for module in encoder.modules():
            if isinstance(module, Clean):
                for parameter in module.last.parameters():
                    nn.init.zeros_(parameter)


class Shaped(nn.Module):
    """A clean image (B, C H W), without the condition beside it, as (B, C, *sides)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape, self.size = shape, math.prod(shape)

    def forward(self, z: Tensor) -> Tensor:
        return z[:, : self.size].unflatten(1, self.shape)


class Clean(nn.Module):
    """x -> x - noise(x); (B, C + M, *sides) -> (B, C, *sides), M channels of a condition.

    Of an image in colour these are given a second time, as zeros where it is gray, of three equal
    channels: their noise is alike, which tells more of it than that of three which differ. Sides
    that the resolutions do not divide are continued by their last values.
    """

    def __init__(
        self,
        shape: Shape,
        given: int,
        hidden: Sequence[int],
        blocks: Sequence[int],
        activation: Activation,
    ) -> None:
        super().__init__()
        channels, sides = shape[0], len(shape) - 1
        self.channels, self.step, parts = channels, 2 ** len(hidden), 2**sides
        seen = channels + given * (1 if channels == 1 else 2)

        def some(width: int, count: int) -> nn.Sequential:
            return nn.Sequential(*(Block(width, activation, sides) for _ in range(count)))

        self.first = _convolution(parts * seen, hidden[0], sides)
        self.down = nn.ModuleList(map(some, hidden[:-1], blocks[:-1]))
        self.shrink = nn.ModuleList(
            convolution(sides)(wide, deep, 2, stride=2, bias=False)
            for wide, deep in pairwise(hidden)
        )
        self.middle = some(hidden[-1], blocks[-1])
        self.grow = nn.ModuleList(
            transposed(sides)(deep, wide, 2, stride=2, bias=False)
            for wide, deep in pairwise(hidden)
        )
        self.up = nn.ModuleList(map(some, hidden[:-1], blocks[:-1]))
        self.last = _convolution(hidden[0], parts * channels, sides)

    def forward(self, x: Tensor) -> Tensor:
        sides = x.shape[2:]
        image, given = x[:, : self.channels], x[:, self.channels :]
        if self.channels > 1 and given.shape[1]:
            coloured = (image != image[:, :1]).flatten(1).any(1)
            given = torch.cat([given, given * coloured.view(-1, *(1,) * (x.ndim - 1))], 1)
        whole = F.pad(
            torch.cat([image, given], 1),
            padding([-side % self.step for side in sides]),
            mode="replicate",
        )
        return image - self._noise(whole)[:, :, *map(slice, sides)]

    def add_biases(self) -> None:
        """Give each convolution a bias, zero as yet."""
        for module in self.modules():
            if isinstance(module, CONVOLUTIONS):
                module.bias = nn.Parameter(torch.zeros(module.out_channels))

    def _noise(self, x: Tensor) -> Tensor:
        h = fold(x)
        if h.ndim == 4:
            h = h.contiguous(memory_format=torch.channels_last)
        h = self.first(h)
        ways = [h]
        for blocks, shrink in zip(self.down, self.shrink, strict=True):
            ways.append(blocks(h))
            h = shrink(ways[-1])
        h = self.middle(h)
        for blocks, grow in zip(reversed(self.up), reversed(self.grow), strict=True):
            h = blocks(grow(h) + ways.pop())
        return unfold(self.last(h + ways.pop()))


class Block(nn.Module):
    """x -> x + conv(activation(conv(x))), both of 3, without biases."""

    def __init__(self, channels: int, activation: Activation, sides: int) -> None:
        super().__init__()
        self.before = _convolution(channels, channels, sides)
        self.activation = ACTIVATIONS[activation]()
        self.behind = _convolution(channels, channels, sides)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.behind(self.activation(self.before(x)))


def _convolution(before: int, behind: int, sides: int) -> nn.Module:
    module: nn.Module = convolution(sides)(before, behind, 3, padding=1, bias=False)
    return module
