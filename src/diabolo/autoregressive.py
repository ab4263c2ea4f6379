"""A prior of codes that are whole numbers, each given those before it:

    p(n_1 ... n_T) = prod_t p(n_t | n_1 ... n_{t-1})

by one network whose weights from a place to those before it are masked (M. Germain, K. Gregor,
I. Murray, H. Larochelle, "MADE: Masked Autoencoder for Distribution Estimation", 2015, equation
9), as A. van den Oord et al., "Neural Discrete Representation Learning", 2017, section 3.3, have
one for a VQ-VAE. It is learnt beside the autoencoder, which has no gradient of it.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F  # noqa: N812

Name = Literal["autoregressive"]
Way = Callable[[Tensor], Tensor]
Numbering = tuple[Way, Way]  # of codes (N, K) the numbers (N, T), and back
UNITS, SEEN = 1024, 16  # of a layer, all places together, at least 16 each; numbers for a value
TINY = 1e-6  # temperature, at least


class Autoregressive(nn.Module):
    """The law of codes (N, K) that are T numbers below `values` each.

    `numbers` tells these of codes, (N, T), and `codes` goes back.
    """

    def __init__(
        self,
        places: int,
        values: int,
        numbers: Way,
        codes: Way,
        generator: Generator | None,
    ) -> None:
        super().__init__()
        units = max(SEEN, UNITS // places)
        self.places, self.numbers, self.codes = places, numbers, codes
        self.seen = nn.Parameter(0.1 * torch.randn(values, SEEN, generator=generator))
        self.first = _Masked(places, SEEN, units, generator, itself=False)
        self.second = _Masked(places, units, units, generator, itself=True)
        self.weight = nn.Parameter(torch.zeros(values, units))
        self.bias = nn.Parameter(torch.zeros(places, values))

    def logits(self, numbers: Tensor) -> Tensor:
        """Logarithms of chances, not normalised, (N, T, V); those of a place see none behind."""
        hidden = self.first(F.embedding(numbers, self.seen).flatten(1))
        hidden = hidden + self.second(hidden.relu())
        return hidden.relu().view(len(numbers), self.places, -1) @ self.weight.t() + self.bias

    def log_prob(self, z: Tensor) -> Tensor:
        """log p of codes (N, K), (N,) nats; they have no gradient of it."""
        return self.log_chance(self.numbers(z.detach()))

    def log_chance(self, numbers: Tensor) -> Tensor:
        """log p of numbers (N, T), (N,) nats."""
        with torch.autocast(numbers.device.type, enabled=False):
            logits = self.logits(numbers).transpose(1, 2)
        return -F.cross_entropy(logits, numbers, reduction="none").sum(1)

    @torch.no_grad()
    def sample(self, n: int, generator: Generator, temperature: float = 1.0) -> Tensor:
        """Codes (n, K), of numbers drawn one place after the other, for all n at once."""
        numbers = torch.zeros(n, self.places, dtype=torch.int64, device=self.bias.device)
        known = self.bias.new_zeros(n, *self.first.weight.shape[:2])  # of the places so far
        for place in range(self.places):
            at = slice(place, place + 1)
            known[:, place] = self.first(F.embedding(numbers, self.seen).flatten(1), at)
            hidden = known[:, place] + self.second(known.flatten(1).relu(), at)
            logits = hidden.relu() @ self.weight.t() + self.bias[place]
            chances = (logits / max(temperature, TINY)).softmax(1)
            drawn = torch.multinomial(chances.to(generator.device), 1, generator=generator)
            numbers[:, place] = drawn.squeeze(1).to(numbers.device)
        return self.codes(numbers).to(generator.device)


class _Masked(nn.Module):
    """A linear layer of T places, each of which sees those before it, or `itself` as well."""

    def __init__(
        self, places: int, inputs: int, units: int, generator: Generator | None, *, itself: bool
    ) -> None:
        super().__init__()
        bound = (6 / (places * (inputs + units))) ** 0.5  # Glorot's
        weight = torch.empty(places, units, places, inputs)
        self.weight = nn.Parameter(weight.uniform_(-bound, bound, generator=generator))
        self.bias = nn.Parameter(torch.zeros(places * units))
        self.diagonal = 0 if itself else -1

    def forward(self, x: Tensor, at: slice = slice(None)) -> Tensor:
        """The units of all places side by side, or of some alone."""
        places, units = self.weight.shape[:2]
        seen = self.weight.new_ones(places, places).tril(self.diagonal)[at]
        weight = self.weight[at] * seen[:, None, :, None]
        return F.linear(
            x, weight.flatten(0, 1).flatten(1), self.bias.view(places, units)[at].flatten()
        )
