"""Likelihoods p(x | z): how far a decoder's output is from the data, in nats."""

from typing import Any

import torch
from torch import Tensor

from diabolo.net import Likelihood


class Gaussian(Likelihood):
    """Unit variance, without its constant: -log p = 1/2 sum (x - mean)^2."""

    unit = "MSE per feature"

    def nll(self, output: Tensor, target: Tensor) -> Tensor:
        return _GaussianNLL.apply(self.activation(output), target)

    def per_feature(self, nll: float, features: int) -> float:
        return 2 * nll / features


class Bernoulli(Likelihood):
    """-log p = sum softplus(l) - x l, on the logits l of the mean; x in [0, 1]."""

    unit = "BCE per feature"

    def supported(self, scaled: Tensor) -> Tensor:
        return scaled.clamp(0, 1)

    def nll(self, output: Tensor, target: Tensor) -> Tensor:
        return _BernoulliNLL.apply(output, target)

    def per_feature(self, nll: float, features: int) -> float:
        return nll / features


class _GaussianNLL(torch.autograd.Function):
    """The difference is computed once, and its square never stored."""

    @staticmethod
    def forward(ctx: Any, mean: Tensor, target: Tensor) -> Tensor:
        difference = mean - target
        ctx.save_for_backward(difference)
        return torch.linalg.vecdot(difference, difference).mul_(0.5)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (difference,) = ctx.saved_tensors
        return difference * gradient.unsqueeze(1), None


class _BernoulliNLL(torch.autograd.Function):
    """Little more than the sigmoid p of the logits l, whose gradient is p - x.

    softplus(l) = max(l, 0) - log q, with q = max(p, 1 - p) within [1/2, 1], so that the product
    of `GROUP` of them is no smaller than 2^-GROUP, and one logarithm does for all.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor) -> Tensor:
        p = logits.sigmoid()
        log_q = _sum_of_logs(torch.maximum(p, 1 - p))
        ctx.save_for_backward(p.sub_(target))
        return logits.relu().sum(1).sub_(torch.linalg.vecdot(target, logits)).sub_(log_q)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (difference,) = ctx.saved_tensors
        return difference * gradient.unsqueeze(1), None


GROUP = 16


def _sum_of_logs(q: Tensor) -> Tensor:
    """Sum over dim 1 of log q, for q within [1/2, 1]; (B, D) -> (B,)."""
    whole = q.shape[1] // GROUP * GROUP
    products = q[:, :whole].unflatten(1, (GROUP, -1)).prod(1)
    return torch.cat([products, q[:, whole:]], dim=1).log_().sum(1)
