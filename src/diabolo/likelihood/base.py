"""The base of the likelihoods: a law of the data, given what the decoder gives.

A subclass gives its `law`, and may write out its value and gradient, which is faster.
"""

import copy
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.distributions import Distribution

from diabolo import backprop
from diabolo.errors import InputError
from diabolo.networks import ACTIVATIONS
from diabolo.params import Parameters
from diabolo.scaling import Scaling

ROUNDING = 1e-6  # that a value may lie beyond 0 or 1
OUTPUTS = {"unit": "sigmoid", "symmetric": "tanh"}  # activations that fit a scaling


class Likelihood(Parameters, ABC):
    """Base of the likelihoods p(x | z), of scaled values.

    All work on the decoder's output *before* its activation, (B, `per_value` D), so that they can
    use logits. Its first D numbers, activated, are the mean, unless `mean` says otherwise.
    """

    tabular: ClassVar[bool] = False  # whether it is of rows with categories or gaps
    beside = 0  # numbers behind these that are alike for all samples
    unit: ClassVar[str] = "nats per feature"  # what `per_feature` gives
    draws: ClassVar[bool] = False  # whether new samples are drawn from it, see `drawn`
    alone = False  # whether it needs no code for that
    support: ClassVar[tuple[float, float] | None] = None  # ends of what has a likelihood
    activation = cast(nn.Module, nn.Identity())  # of the output, see `after`

    @property
    def per_value(self) -> int:
        """Numbers that the decoder gives for each value."""
        return 1

    @abstractmethod
    def law(self, output: Tensor) -> Distribution:
        """p(x | z) of each sample: batch shape (B,), event shape (D,)."""

    def mean(self, output: Tensor) -> Tensor:
        """The reconstruction, in scaled values, (B, D)."""
        return cast(Tensor, self.activation(output[:, : output.shape[1] // self.per_value]))

    def nll(self, output: Tensor, target: Tensor) -> Tensor:
        """-log p(target | z) in nats, summed over the features; -> (B,)."""
        with torch.autocast(output.device.type, enabled=False):
            output = output.to(target.dtype)
            if type(self).nll_and_gradient is Likelihood.nll_and_gradient:
                return -self.law(output).log_prob(target)
            return cast(Tensor, _NLL.apply(output, target, self))

    def nll_and_gradient(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The nll (B,) and its gradient at the output, by autograd where it is not written out."""
        with torch.enable_grad():
            output = output.detach().requires_grad_()
            nll = self.nll(output, target)
            (gradient,) = torch.autograd.grad(nll.sum(), output)
        return nll.detach(), gradient

    def derivative(self, gradient: Tensor, output: Tensor, mean: Tensor) -> Tensor:
        """The gradient at the output of a gradient at the mean."""
        return backprop.DERIVATIVES[type(self.activation)](self.activation, gradient, output, mean)

    def after(self, activation: str) -> Self:
        """The same likelihood, of an output with this activation."""
        copied = copy.copy(self)
        copied.activation = ACTIVATIONS[activation]()
        return copied

    def within(self, low: float, high: float) -> Self:
        """The same likelihood for scaled values that all lie in a range."""
        return self

    def of_table(self, scaling: Scaling) -> "Likelihood":
        """The same likelihood, of the rows of a table with categories or gaps, so scaled."""
        raise InputError(
            f"A {self.kind} likelihood has no probability for categories or gaps: leave likelihood"
            " out."
        )

    def of_images(self, shape: tuple[int, int, int] | None, scaling: Scaling) -> Self:
        """The same likelihood, of images (C, H, W) so scaled, or of samples that are none."""
        return self

    def behind(self, decoder: nn.Module, draw: Generator | None = None) -> nn.Module:
        """The decoder with what the likelihood learns of its own, which lies behind it.

        Its weights are drawn from the generator; without one they have no memory.
        """
        return decoder

    def before(self, decoder: nn.Module) -> nn.Module:
        """The decoder that `behind` was given."""
        return decoder

    def settle(self, decoder: nn.Module, output: Tensor, target: Tensor) -> None:
        """Begin with what suits these outputs and scaled targets, where it learns of its own."""

    def layer(self) -> nn.Module:
        """`mean` as the last layer of a decoder."""
        return _Mean(self)

    def begin(self, mean: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """A last layer that gives about mean + z weight, for codes z: of (D,) and (K, D).

        Its weight (`per_value` D, K) and bias (`per_value` D,).
        """
        further = mean.new_zeros((self.per_value - 1) * len(mean))
        whole = torch.cat([weight.t(), weight.new_zeros(len(further), len(weight))])
        return whole, torch.cat([mean, further])

    def usual_activation(self, scaling: str | None, *, bounded: bool) -> str:
        """The output activation for data so scaled where none is given, and one may bound it."""
        return OUTPUTS.get(scaling or "", "identity") if bounded else "identity"

    def check(self, scaling: str | None, activation: str, dtype: str) -> None:
        """Raise `InputError` where data of this scaling and stored type, or the output
        activation, do not suit it."""

    def check_values(self, low: float, high: float, scaling: str | None) -> None:
        """Raise `InputError` where scaled values from low to high are not its `support`.

        It is asked only if there is one.
        """

    def supported(self, scaled: Tensor) -> Tensor:
        """The values nearest to `scaled` that have a likelihood."""
        return scaled if self.support is None else scaled.clamp(*self.support)

    def redrawn(self, scaled: Tensor, generator: Generator) -> Tensor:
        """What training takes for a scaled batch in this step."""
        return scaled

    def per_feature(self, nll: float, features: int) -> float:
        """A mean nll as the usual loss per feature."""
        return nll / features

    def drawn(self, output: Tensor, generator: Generator) -> Tensor:
        """Scaled values (B, D) drawn from the law; asked only where it `draws`."""
        raise NotImplementedError

    def measures(self, output: np.ndarray, clean: np.ndarray) -> dict[str, float]:
        """What else tells how good reconstructions are, by name; both in [0, 1] units."""
        return {}


class _NLL(torch.autograd.Function):
    """A likelihood's nll as autograd sees it; its gradient comes with its value."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, target: Tensor, likelihood: Likelihood) -> Tensor:
        nll, gradient = likelihood.nll_and_gradient(output, target)
        ctx.save_for_backward(gradient)
        return nll

    @staticmethod
    def backward(ctx: Any, *weights: Tensor) -> tuple[Tensor, None, None]:
        (gradient,), (weight,) = ctx.saved_tensors, weights
        return gradient * weight.unsqueeze(1), None, None


class _Mean(nn.Module):
    """`Likelihood.mean` as a layer."""

    def __init__(self, likelihood: Likelihood) -> None:
        super().__init__()
        self.likelihood, self.activation = likelihood, likelihood.activation

    def forward(self, output: Tensor) -> Tensor:
        return self.likelihood.mean(output)


def need_unit(kind: str, low: float, high: float, scaling: str | None) -> None:
    """Refuse scaled values from low to high that are not in [0, 1], for a likelihood of such."""
    if low >= -ROUNDING and high <= 1 + ROUNDING:
        return
    if scaling == "unit":
        raise InputError(
            "Samples to validate on are outside the range of those to train on, which a"
            f" {kind} likelihood cannot take: use likelihood='gaussian' (recipe ae), or"
            " scale X to [0, 1] yourself, with scaling=None."
        )
    raise InputError(
        f"A {kind} likelihood needs data in [0, 1]: use scaling='unit', or scale X yourself."
    )
