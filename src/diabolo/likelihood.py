"""Likelihoods p(x | z): how far a decoder's output is from the data, in nats."""

import torch
from torch import Tensor

from diabolo.net import Likelihood

GROUP = 16


class Gaussian(Likelihood):
    """Unit variance, without its constant: -log p = 1/2 sum (x - mean)^2."""

    unit = "MSE per feature"

    def nll_and_gradient(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.activation(output)
        difference = mean - target
        nll = torch.linalg.vecdot(difference, difference).mul_(0.5)
        return nll, self.derivative(difference, output, mean)

    def per_feature(self, nll: float, features: int) -> float:
        return 2 * nll / features


class Bernoulli(Likelihood):
    """-log p = sum softplus(l) - x l, on the logits l of the mean p; x in [0, 1].

    It costs little more than p itself. The gradient is p - x, and softplus(l) is max(l, 0) - log q
    with q = max(p, 1 - p) within [1/2, 1], so that a product of many q is still a number and one
    logarithm does for all of them.
    """

    unit = "BCE per feature"

    def supported(self, scaled: Tensor) -> Tensor:
        return scaled.clamp(0, 1)

    def nll_and_gradient(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        p = output.sigmoid()
        log_q = _sum_of_logs(torch.maximum(p, 1 - p))
        nll = output.relu().sum(1).sub_(torch.linalg.vecdot(target, output)).sub_(log_q)
        return nll, p.sub_(target)

    def per_feature(self, nll: float, features: int) -> float:
        return nll / features


def _sum_of_logs(q: Tensor) -> Tensor:
    """Sum over dim 1 of log q, for q within [1/2, 1]; (B, D) -> (B,)."""
    whole = q.shape[1] // GROUP * GROUP
    logs = q[:, :whole].unflatten(1, (GROUP, -1)).prod(1).log_().sum(1)
    return logs.add_(q[:, whole:].log().sum(1)) if whole < q.shape[1] else logs
