"""Corruptions C(x~ | x): what a denoising autoencoder learns to undo.

Each works in scaled units, on a batch of any shape, and draws from the generator it is given.
`low` and `high` are the ends of the scaled range, infinite where the scaling has none. Vincent,
Larochelle, Lajoie, Bengio and Manzagol, "Stacked Denoising Autoencoders", JMLR 2010, section 3.3.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import field
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Generator, Tensor

from diabolo.draw import normal, uniform
from diabolo.errors import InputError
from diabolo.params import Parameters


class Corruption(Parameters, ABC):
    """Base of the corruptions."""

    @abstractmethod
    def corrupt(self, x: Tensor, generator: Generator, low: float, high: float) -> Tensor:
        """A corrupted copy of `x`, of its shape, within [low, high]."""


class GaussianNoise(Corruption, kind="gaussian"):
    """Adds noise: x~ = clamp(x + std e, low, high), e ~ N(0, 1)."""

    std: Annotated[float, Ge(0), "Standard deviation, in scaled units."] = field(
        default=0.5, kw_only=False
    )

    def corrupt(self, x: Tensor, generator: Generator, low: float, high: float) -> Tensor:
        noisy = torch.add(x, normal(x, generator), alpha=self.std)
        return noisy.clamp_(low, high) if math.isfinite(high) else noisy


class SaltAndPepper(Corruption, kind="salt-and-pepper"):
    """Sets a share `p` of the values to `high` (salt) or `low` (pepper), half and half."""

    p: Annotated[float, Ge(0), Le(1), "Share of the values that are replaced."] = field(
        default=0.3, kw_only=False
    )

    def corrupt(self, x: Tensor, generator: Generator, low: float, high: float) -> Tensor:
        if not math.isfinite(high):
            raise InputError(
                "Salt and pepper need a range of values: use scaling='unit' or 'symmetric'."
            )
        u = uniform(x, generator)
        return torch.where(u < self.p / 2, low, torch.where(u < self.p, high, x))


class Masking(Corruption, kind="masking"):
    """Sets a share `p` of the values to `low`, or to 0 where the scaling has no range."""

    p: Annotated[float, Ge(0), Le(1), "Share of the values that are erased."] = field(
        default=0.5, kw_only=False
    )

    def corrupt(self, x: Tensor, generator: Generator, low: float, high: float) -> Tensor:
        u = uniform(x, generator)
        return x.masked_fill(u < self.p, low if math.isfinite(low) else 0.0)
