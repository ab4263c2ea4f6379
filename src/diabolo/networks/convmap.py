"""The convolutional network whose code is a map: `latent_dim` numbers at each of its places."""

import math

from torch import Tensor, nn

from diabolo.errors import InputError
from diabolo.networks.base import Shape, Sizes, after, code_layers, convolution
from diabolo.networks.conv import Conv


class ConvMap(Conv, kind="conv-map"):
    """As `Conv`, but that a convolution of 1 makes the code, and another begins the way back.

    The numbers of a code are in the order of the places, so that those of a place are together:
    a part of a `VQVAE` or an `FSQ`. Each of `hidden` halves the sides of the map.
    """

    mapped = True

    def code(self, bottom: Shape, sizes: Sizes) -> tuple[list[nn.Module], list[nn.Module]]:
        if sizes.latent is None:
            return code_layers(bottom, sizes)
        if sizes.given:
            raise InputError("A condition stands beside a code that is a vector: use conv.")
        channels, *sides = bottom
        convolve = convolution(len(sides))
        end = convolve(channels, sizes.outputs * sizes.latent, 1)
        begin = convolve(sizes.latent, channels, 1)
        return (
            [end, *after(sizes.code_activation), Listed(sizes.outputs)],
            [Mapped(tuple(sides)), begin, *after(sizes.activation)],
        )


class Listed(nn.Module):
    """(B, n C, *sides) -> (B, n K): the n numbers of each of K, these place by place."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (self.n, -1)).movedim(2, -1).flatten(1)


class Mapped(nn.Module):
    """(B, K) -> (B, C, *sides): numbers that are listed place by place."""

    def __init__(self, sides: Shape) -> None:
        super().__init__()
        self.sides = sides

    def forward(self, z: Tensor) -> Tensor:
        channels = z.shape[1] // math.prod(self.sides)
        return z.unflatten(1, (*self.sides, channels)).movedim(-1, 1)
