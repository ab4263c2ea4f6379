"""The Gaussian likelihood of unit variance, whose nll is half the squared error."""

import copy
from typing import Self

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from diabolo.likelihood.base import Likelihood
from diabolo.likelihood.mixed import Mixed
from diabolo.scaling import Scaling


class Clip(nn.Hardtanh):
    """To a range; what is beyond it learns as if it were at its end."""


class Gaussian(Likelihood, kind="gaussian", synonyms=("mse",)):
    """N(mean, I). The nll is without its constant, D/2 log(2 pi): 1/2 sum (x - mean)^2."""

    unit = "MSE per feature"

    def of_table(self, scaling: Scaling) -> Likelihood:
        return Mixed().of_table(scaling)

    def law(self, output: Tensor) -> Distribution:
        return Independent(Normal(self.mean(output), 1.0), 1)

    def nll_and_gradient(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.activation(output)
        difference = mean - target
        nll = torch.linalg.vecdot(difference, difference).mul_(0.5)
        if isinstance(self.activation, Clip):
            return nll, difference
        return nll, self.derivative(difference, output, mean)

    def within(self, low: float, high: float) -> Self:
        """With means that are clipped, as samples in stored units are."""
        if not isinstance(self.activation, nn.Identity) or low == -torch.inf:
            return self
        copied = copy.copy(self)
        copied.activation = Clip(low, high)
        return copied

    def per_feature(self, nll: float, features: int) -> float:
        return 2 * nll / features
