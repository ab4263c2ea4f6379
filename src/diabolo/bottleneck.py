"""The bottleneck z = bottleneck(encoder, x): the kind of code, with the terms of its loss.

A model is one of these; everything else combines freely. The loss of a sample, in nats, is

    reduce over the draws of  -log p(x | z) + sum over the terms of weight * term(z, x)
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, Protocol

import torch
from torch import Generator, Tensor, nn

Encoder = Callable[[Tensor], Tensor]
Terms = dict[str, tuple[float, Tensor]]


class Code(NamedTuple):
    """What a bottleneck gives for a batch of B samples.

    The code z (draws * B, K), draw by draw; its mean (B, K); and what the loss has beside the
    likelihood: name -> (weight, nats (draws * B,)).
    """

    z: Tensor
    mean: Tensor
    terms: Terms


class Prior(Protocol):
    """A law p(z) of codes."""

    def sample(self, n: int, generator: Generator, temperature: float = 1.0) -> Tensor:
        """Codes (n, K); the lower the temperature, the more alike, and at 0 without chance."""
        ...

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats; (B, K) -> (B,)."""
        ...


class StandardNormal(NamedTuple):
    """N(0, I) in so many dimensions."""

    size: int

    def sample(self, n: int, generator: Generator, temperature: float = 1.0) -> Tensor:
        drawn = torch.randn(n, self.size, generator=generator, device=generator.device)
        return temperature * drawn

    def log_prob(self, z: Tensor) -> Tensor:
        return -0.5 * (z.square().sum(1) + self.size * math.log(2 * math.pi))


class Bottleneck(nn.Module):
    """The plain code z = encoder(x), without terms; base of every kind of code."""

    outputs = 1  # numbers the encoder gives per number of the code
    sampling = False  # whether codes are drawn
    overcomplete = False  # whether it has more numbers than a sample, few of them not zero
    draws = 1  # codes of each sample in a loss
    bound: str | None = None  # what reduce gives with the terms unweighted, negated: log p(x)'s
    takes: tuple[int, ...] = ()  # the shape of a sample for the encoder, known before `build`
    of_training: tuple[str, ...] = ()  # names of terms that only training has, see `studying`

    def build(self, shape: tuple[int, ...], generator: Generator | None) -> None:
        """Learn the shape of what the encoder gives, and make what the bottleneck has of its own.

        Weights are drawn from the generator; without one, only their shapes matter.
        """

    def begin(self, variances: Tensor) -> tuple[Tensor, Tensor]:
        """Where training begins with linear codes that explain so much variance each, (K,).

        What the codes, of variance 1, are multiplied by, (K,), and the biases of what else the
        encoder gives.
        """
        return torch.ones_like(variances), variances.new_empty(0)

    def studying(
        self, net: Any, source: Any, *, seed: int, steps: int
    ) -> AbstractContextManager[None]:
        """While the network `net` that has it learns from a source: what it knows of all samples.

        Found anew by a training that is resumed, and not kept in files. `steps`: of a whole one.
        """
        return nullcontext()

    def forward(
        self, encoder: Encoder, x: Tensor, generator: Generator | None = None, step: int = 0
    ) -> Code:
        """The code of a scaled batch; without a generator nothing is drawn and z is the mean."""
        z = encoder(x)
        return Code(z, z, {})

    def mean_layer(self) -> nn.Module:
        """What maps the encoder's output to the mean code."""
        return nn.Identity()

    def probes(self, encoder: Encoder, x: Tensor) -> list[Code]:
        """The codes, one draw each, that a sample's bound is taken over: noise alike for all."""
        return [self(encoder, x)]

    def reduce(self, losses: Tensor) -> Tensor:
        """The loss of a sample from those of its draws, (draws, B) -> (B,)."""
        return losses.mean(0)

    def after_step(self, generator: Generator, step: int) -> None:
        """What is learnt beside the loss: codebooks, critics. Called after every step."""

    def mend(self, net: Any, generator: Generator, step: int) -> None:
        """What is mended in the network that has it, after every step: units that are dead."""

    def learner(self, net: Any) -> Callable[..., Tensor] | None:
        """`Net.learner` of a network that has it, where its own gradients are written out."""
        return None

    def prior(self) -> Prior | None:
        """The law that new codes are drawn from; None where the model has none."""
        return None

    def told(self, codes: Tensor) -> int:
        """How many numbers of codes (N, K) tell of a sample, in the mean: all, or the active."""
        return codes.shape[1]

    def measures(self, encoder: Encoder, x: Tensor) -> dict[str, float]:
        """What tells how the code is used, on a scaled batch: for metrics and the doctor."""
        return {}
