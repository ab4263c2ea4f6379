"""Normal likelihoods with their whole density: of a variance that is learnt, or of a fixed one.

D. P. Kingma, M. Welling, "Auto-Encoding Variational Bayes", 2013, appendix C.2: the decoder gives
a mean and a log-variance for each value. `gaussian` is of variance one, without its constant.
"""

from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor
from torch.distributions import Distribution, Independent
from torch.distributions import Normal as Law

from diabolo.likelihood.base import Likelihood
from diabolo.likelihood.levels import at_least

LEAST, FIRST = 0.01, -1.0  # standard deviation at least; its logarithm to begin with


class Normal(Likelihood, kind="normal"):
    """N(mean, s^2) of each value; the decoder gives mean and log s, which is at least log 0.01."""

    per_value = 2

    def law(self, output: Tensor) -> Distribution:
        log_scale = at_least(output[:, output.shape[1] // 2 :], LEAST)
        return Independent(Law(self.mean(output), log_scale.exp()), 1)

    def begin(self, mean: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        weight, bias = super().begin(mean, weight)
        return weight, torch.cat([bias[: len(mean)], torch.full_like(mean, FIRST)])


class FixedNormal(Likelihood, kind="fixed-normal"):
    """N(mean, s^2) with one standard deviation, which is given, in scaled units."""

    scale: Annotated[Annotated[float, Gt(0)], "Standard deviation of a scaled value."] = 0.1

    def law(self, output: Tensor) -> Distribution:
        return Independent(Law(self.mean(output), self.scale), 1)
