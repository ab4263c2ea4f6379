"""The beta-binomial likelihood: values on levels as counts of L - 1 trials, whose chance is drawn.

J. Townsend, T. Bird, D. Barber, "Practical Lossless Compression with Latent Variables using Bits
Back Coding", ICLR 2019, section 3.2:  p(x) = C(n, x) B(x + a, n - x + b) / B(a, b),  n = L - 1.
"""

import math

import torch
from torch import Tensor

from diabolo.likelihood.levels import Leveled, at_least

LEAST, FIRST = 1e-3, 4.0  # a and b at least; a + b to begin with


class BetaBinomial(Leveled, kind="beta-binomial"):
    """Independent beta-binomial values; the decoder gives log a and log b."""

    per_value = 2

    def logs(self, output: Tensor, level: Tensor) -> Tensor:
        a, b = at_least(self.rows(output), LEAST).exp().unbind(1)
        n, x = self.levels - 1, level
        ways = math.lgamma(n + 1) - torch.lgamma(x + 1) - torch.lgamma(n - x + 1)
        up = torch.lgamma(x + a) + torch.lgamma(n - x + b) - torch.lgamma(n + a + b)
        return ways + up - torch.lgamma(a) - torch.lgamma(b) + torch.lgamma(a + b)

    def mean(self, output: Tensor) -> Tensor:
        a, b = at_least(self.rows(output), LEAST).exp().unbind(1)
        return a / (a + b)

    def begin(self, mean: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """To first order about the mean m: d log a = dm / m, d log b = -dm / (1 - m)."""
        m = mean.clamp(0.02, 0.98)
        slopes = torch.cat([1 / m, -1 / (1 - m)])
        bias = torch.cat([(FIRST * m).log(), (FIRST * (1 - m)).log()])
        return slopes[:, None] * weight.t().repeat(2, 1), bias
