"""Networks of small integers, whose answers are the same bits on every machine.

Activations are multiples of 1/32, from -255/32 to 255/32, weights q 2^-k with whole q from -127
to 127 and one k for each output. So the products that an output sums are whole numbers in one
unit, and where their sum stays below 2^24 it is exact in float32: in any order, by any library,
with any number of threads. What is summed is rounded to 1/32. J. Ballé, N. Johnston, D. Minnen,
"Integer Networks for Data Compression with Latent-Variable Models", ICLR 2019; nothing is divided.

Training sees the rounded numbers and passes gradients straight through. No convolution is used,
as libraries are free to transform those; a matrix product sums products, and nothing else.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from diabolo.errors import InputError

GRID = 32  # parts of a unit
LARGEST = 255  # such parts in an activation
STEPS = 127  # of a weight to either side
EXACT = 1 << 24
SMALLEST = 2.0**-14  # the finest unit of a weight


class _Snapped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.mul(GRID).round_().div_(GRID)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def snapped(x: Tensor) -> Tensor:
    """The nearest multiples of 1/32; gradients pass."""
    return cast(Tensor, _Snapped.apply(x))


def rectified(x: Tensor) -> Tensor:
    """Multiples of 1/32 cut to what an activation can be: at least 0, at most 255/32."""
    return F.hardtanh(x, 0, LARGEST / GRID)


def unit(weight: Tensor) -> Tensor:
    """The unit 2^-k (N, 1) of each row of weights (N, M): the finest in which 127 reach."""
    mantissa, exponent = torch.frexp(weight.detach().abs().amax(1, keepdim=True))
    exponent = exponent - 7 + (mantissa * 128 > STEPS).to(exponent.dtype)
    return torch.ldexp(torch.ones_like(mantissa), exponent).clamp(min=SMALLEST)


def stepped(weight: Tensor) -> Tensor:
    """Weights (N, M) as whole multiples of the unit of their row; gradients pass."""
    step = unit(weight)
    return weight + ((weight / step).round().clamp(-STEPS, STEPS) * step - weight).detach()


class Whole(nn.Linear):
    """A dense layer of integers, (..., M) -> (..., N): of multiples of 1/32 such multiples."""

    def forward(self, x: Tensor) -> Tensor:
        product = snapped(F.linear(x, stepped(self.weight)))
        return product if self.bias is None else product + snapped(self.bias)

    @torch.no_grad()
    def exact(self) -> tuple[Tensor, Tensor]:
        """Weights (M, N) and biases (N,) that take and give whole numbers of 1/32.

        Raises `InputError` where a sum could leave the numbers that float32 holds exactly.
        """
        weight = stepped(self.weight)
        most = (weight / unit(self.weight)).abs().sum(1).max() * LARGEST
        if not most < EXACT:
            raise InputError("A layer has too many inputs to be summed exactly: take fewer units.")
        bias = torch.zeros(len(weight)) if self.bias is None else snapped(self.bias) * GRID
        return weight.t().contiguous(), bias.to(weight.device)


def summed(x: Tensor, layer: tuple[Tensor, Tensor]) -> Tensor:
    """What an exact layer gives for whole numbers (B, M), (B, N)."""
    weight, bias = layer
    return torch.mm(x, weight).round_().add_(bias)
