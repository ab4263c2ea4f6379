"""Finite scalar quantisation.

F. Mentzer, D. Minnen, E. Agustsson, M. Tschannen, "Finite Scalar Quantization: VQ-VAE Made
Simple", 2023, section 3.1: each number of the code is bounded and rounded to one of L levels,

    z = round(h tanh(y + s) - o) / floor(L / 2),    h = (L - 1) (1 + e) / 2,    y = encoder(x),

with o = 1/2 for even L, else 0, and s = atanh(o / h); what reaches z goes on to the bounded
number. There is no codebook to learn: -log p(x | z).
"""

import math
from typing import Annotated, Any

import torch
from annotated_types import Ge, Len
from torch import Generator, Tensor, nn

from diabolo.autoregressive import Name
from diabolo.bottleneck import Bottleneck, Code, Encoder
from diabolo.codebook import NumberedCode, passing, use_of
from diabolo.errors import InputError
from diabolo.estimator import Estimator

USUAL = (8,), (8, 8), (8, 6, 5), (8, 5, 5, 5)  # levels of parts of 1 to 4 numbers
EDGE = 1e-3  # that bounds lie beyond the outer levels
Levels = Annotated[tuple[Annotated[int, Ge(2)], ...], Len(1)]


class Rounding(nn.Module):
    """(B, K) -> (B, K): numbers on L levels in [-1, 1]; passes gradients on.

    A part is as many numbers, one after the other, as there are `levels`.
    """

    def __init__(self, levels: tuple[int, ...], size: int) -> None:
        super().__init__()
        self.levels = levels
        self.places = [math.prod(levels[:i]) for i in range(len(levels))]
        part = torch.tensor(levels, dtype=torch.float32, device="cpu")
        self.each = nn.Buffer(part.repeat(size // len(levels)))

    def forward(self, y: Tensor) -> Tensor:
        reach = (self.each - 1) / 2 * (1 + EDGE)
        off = (self.each % 2 == 0) / 2
        bounded = (y + (off / reach).atanh()).tanh() * reach - off
        return passing(bounded.round(), bounded) / (self.each / 2).floor()

    def numbers(self, z: Tensor) -> Tensor:
        """Which of the prod(L) codes each part is, (B, K / d), of z (B, K)."""
        width = (self.each / 2).floor()
        digits = ((z + 1) * width).round().long().view(len(z), -1, len(self.levels))
        return (digits * torch.tensor(self.places, device=z.device)).sum(2)

    def codes(self, numbers: Tensor) -> Tensor:
        """The codes (B, K) that have those numbers (B, K / d)."""
        places = zip(self.places, self.levels, strict=True)
        digits = [numbers // place % level for place, level in places]
        return torch.stack(digits, 2).flatten(1) / (self.each / 2).floor() - 1


class FiniteCode(NumberedCode):
    """z = the encoder's numbers, bounded and rounded."""

    def __init__(self, levels: tuple[int, ...] | None, prior: Name | None = None) -> None:
        super().__init__(prior)
        self.levels = levels

    def build(self, shape: tuple[int, ...], generator: Generator | None) -> None:
        found = self.levels or [one for one in USUAL if shape[0] % len(one) == 0][-1]
        if shape[0] % len(found):
            raise InputError(
                f"The code's {shape[0]} numbers must be a multiple of the {len(found)} levels:"
                " give another latent_dim or other levels."
            )
        self.rounding = rounding = Rounding(found, shape[0])
        ways = rounding.numbers, rounding.codes
        self.number(shape[0] // len(found), math.prod(found), ways, generator)

    def forward(
        self, encoder: Encoder, x: Tensor, generator: Generator | None = None, step: int = 0
    ) -> Code:
        z = self.rounding(encoder(x))
        terms = {"prior": (1.0, -self.law.log_prob(z))} if self.law is not None else {}
        return Code(z, z, terms)

    def mean_layer(self) -> nn.Module:
        return self.rounding

    def measures(self, encoder: Encoder, x: Tensor) -> dict[str, float]:
        """The share of the prod(L) codes in use, and the perplexity of which one is used."""
        numbers = self.rounding.numbers(self.rounding(encoder(x)))
        return use_of(numbers.flatten(), math.prod(self.rounding.levels))


class FSQ(Estimator):
    """Finite scalar quantisation: each number of a code is one of a few levels.

    Minimises -log p(x | z) (Mentzer et al. 2023, section 3.1). K numbers with d levels are K / d
    codes of prod(levels) kinds each.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).random((200, 8), dtype=np.float32)
    >>> model = FSQ(latent_dim=2, levels=(5, 5), epochs=3, random_state=0).fit(X)
    >>> len(np.unique(model.transform(X))) <= 5
    True
    """

    levels: Annotated[
        Levels | None, "Levels of each number of a part; none: of up to 4 numbers, 8,5,5,5."
    ] = None

    prior: Annotated[
        Name | None, "Law of which codes there are, learnt beside them, to draw new ones from."
    ] = None

    def _bottleneck(self, p: Any) -> Bottleneck:
        if p.code_activation != "identity":
            raise InputError("FSQ bounds its code itself: leave code_activation out.")
        return FiniteCode(p.levels, p.prior)
