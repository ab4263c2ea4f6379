"""The Bernoulli likelihood, whose nll is the binary cross-entropy:  sum softplus(l) - x l.

On the logits l of the mean p, with x in [0, 1], it costs little more than p itself. The gradient
is p - x, and softplus(l) is max(l, 0) - log q with q = max(p, 1 - p) within [1/2, 1], so that a
product of many q is still a number and one logarithm does for all of them.
"""

from typing import Annotated, cast

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.distributions import Bernoulli as Law
from torch.distributions import Distribution, Independent

from diabolo import metrics
from diabolo.draw import uniform
from diabolo.errors import InputError
from diabolo.likelihood.base import Likelihood, need_unit

GROUP = 16
LEAST = 0.02  # mean of a value to begin with, and 1 less the most


class Bernoulli(Likelihood, kind="bernoulli", synonyms=("bce",)):
    """Independent values of 0 or 1 with mean p = sigmoid(l); those between count as shares."""

    binarised: Annotated[
        bool,
        "Train on 0s and 1s that are drawn anew in each step, with the values as their chances"
        " (dynamic binarisation; Burda et al. 2016, section 5).",
    ] = False
    unit = "BCE per feature"
    support = (0.0, 1.0)
    activation = cast(nn.Module, nn.Sigmoid())

    def law(self, output: Tensor) -> Distribution:
        return Independent(Law(logits=output, validate_args=False), 1, validate_args=False)

    def nll_and_gradient(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        p = output.sigmoid()
        log_q = _sum_of_logs(torch.maximum(p, 1 - p))
        nll = output.relu().sum(1).sub_(torch.linalg.vecdot(target, output)).sub_(log_q)
        return nll, p.sub_(target)

    def begin(self, mean: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """To first order about p = 1/2, where d logit = 4 dp."""
        return 4 * weight.t(), mean.clamp(LEAST, 1 - LEAST).logit()

    def redrawn(self, scaled: Tensor, generator: Generator) -> Tensor:
        if not self.binarised:
            return scaled
        return (uniform(scaled, generator) < scaled).to(scaled)

    def usual_activation(self, scaling: str | None, *, bounded: bool) -> str:
        return super().usual_activation(scaling or "unit", bounded=True)

    def check(self, scaling: str | None, activation: str, dtype: str) -> None:
        if activation != "sigmoid" or scaling not in ("unit", None):
            raise InputError(
                "A bernoulli likelihood needs data in [0, 1] and a sigmoid output:"
                " use scaling='unit' and leave output_activation out."
            )

    def check_values(self, low: float, high: float, scaling: str | None) -> None:
        need_unit(self.kind, low, high, scaling)

    def measures(self, output: np.ndarray, clean: np.ndarray) -> dict[str, float]:
        return {"bce": metrics.bce(output, clean)}


def _sum_of_logs(q: Tensor) -> Tensor:
    """Sum over dim 1 of log q, for q within [1/2, 1]; (B, D) -> (B,)."""
    whole = q.shape[1] // GROUP * GROUP
    logs = q[:, :whole].unflatten(1, (GROUP, -1)).prod(1).log_().sum(1)
    return logs.add_(q[:, whole:].log().sum(1)) if whole < q.shape[1] else logs
