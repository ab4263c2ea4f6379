"""Likelihoods p(x | z): how far a decoder's output is from the data, in nats."""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from diabolo.net import Likelihood


class Gaussian(Likelihood):
    """Unit variance, without its constant: -log p = 1/2 sum (x - mean)^2."""

    unit = "MSE per feature"

    def nll(self, output: Tensor, target: Tensor) -> Tensor:
        return (self.activation(output) - target).square().sum(dim=1).mul(0.5)

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


class _BernoulliNLL(torch.autograd.Function):
    """Saves the sigmoid, so that the backward pass is one subtraction."""

    @staticmethod
    def forward(ctx, logits: Tensor, target: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(logits, target)
        return (F.softplus(logits) - target * logits).sum(dim=1)

    @staticmethod
    def backward(ctx, gradient: Tensor):  # type: ignore[no-untyped-def]
        logits, target = ctx.saved_tensors
        return (logits.sigmoid() - target).mul_(gradient.unsqueeze(1)), None
