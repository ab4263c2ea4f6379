"""The Laplace likelihood of scale one, whose nll is the absolute error.

It minds an image with little noise as much as one with much, and far-off values less than the
Gaussian does.
"""

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent
from torch.distributions import Laplace as Law

from diabolo.likelihood.base import Likelihood


class Laplace(Likelihood, kind="laplace", synonyms=("mae",)):
    """Laplace(mean, 1). The nll is without its constant, D log 2: sum |x - mean|."""

    unit = "MAE per feature"

    def law(self, output: Tensor) -> Distribution:
        return Independent(Law(self.mean(output), 1.0), 1)

    def nll_and_gradient(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.activation(output)
        difference = mean - target
        return difference.abs().sum(1), self.derivative(torch.sign(difference), output, mean)
