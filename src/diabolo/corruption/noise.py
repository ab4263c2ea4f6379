"""Corruptions of single values, and of blocks of pixels; the base of every corruption.

Each works in scaled units, on a batch: images (B, C, H, W) of any number of channels, or rows
(B, D). It draws from the generator it is given. `low` and `high` are the ends of the scaled range,
infinite where the scaling has none. Vincent, Larochelle, Lajoie, Bengio and Manzagol, "Stacked
Denoising Autoencoders", JMLR 2010, section 3.3; blocks as in Pathak, Krahenbuhl, Donahue, Darrell
and Efros, "Context Encoders: Feature Learning by Inpainting", 2016.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import field
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Generator, Tensor

from diabolo.draw import normal, uniform
from diabolo.errors import InputError
from diabolo.params import Parameters

Share = Annotated[float, Ge(0), Le(1)]


class Corruption(Parameters, ABC):
    """Base of the corruptions."""

    @abstractmethod
    def corrupt(self, x: Tensor, generator: Generator, low: float, high: float) -> Tensor:
        """A corrupted copy of `x`, of its shape, within [low, high]."""

    def check(self, shape: tuple[int, ...], low: float, high: float) -> None:
        """Raise `InputError` where samples of `shape`, (C, H, W) or (D,), cannot be corrupted."""


class GaussianNoise(Corruption, kind="gaussian"):
    """Adds noise: x~ = clamp(x + std e, low, high), e ~ N(0, 1)."""

    std: Annotated[float, Ge(0), "Standard deviation, in scaled units."] = field(
        default=0.5, kw_only=False
    )

    def corrupt(self, x: Tensor, generator: Generator, low: float, high: float) -> Tensor:
        noisy = torch.add(x, normal(x, generator), alpha=self.std)
        return noisy.clamp_(low, high) if math.isfinite(high) else noisy


class Speckle(Corruption, kind="speckle"):
    """Multiplies by noise: x~ = clamp(x + std (x - low) e, low, high), e ~ N(0, 1).

    Where the scaling has no range, x is measured from 0 instead of `low`.
    """

    std: Annotated[float, Ge(0), "Standard deviation, as a share of the value."] = field(
        default=0.5, kw_only=False
    )

    def corrupt(self, x: Tensor, generator: Generator, low: float, high: float) -> Tensor:
        size = x - low if math.isfinite(low) else x
        noisy = torch.addcmul(x, size, normal(x, generator), value=self.std)
        return noisy.clamp_(low, high) if math.isfinite(high) else noisy


class Poisson(Corruption, kind="poisson"):
    """Counts photons: u~ = min(n / peak, 1), n ~ Poisson(peak u), u = (x - low) / (high - low).

    But for the photons beyond `peak`, u~ has mean u and variance u / peak.
    """

    peak: Annotated[float, Gt(0), "Photons of the brightest value, on average."] = field(
        default=30.0, kw_only=False
    )

    def corrupt(self, x: Tensor, generator: Generator, low: float, high: float) -> Tensor:
        need_range("Photon counts need", low, high)
        rate = (x - low).clamp_(0, high - low) * (self.peak / (high - low))
        counts = torch.poisson(rate, generator=generator)
        return counts.mul_((high - low) / self.peak).add_(low).clamp_(low, high)

    def check(self, shape: tuple[int, ...], low: float, high: float) -> None:
        need_range("Photon counts need", low, high)


class SaltAndPepper(Corruption, kind="salt-and-pepper"):
    """Sets a share `p` of the values to `high` (salt) or `low` (pepper), half and half."""

    p: Annotated[float, Ge(0), Le(1), "Share of the values that are replaced."] = field(
        default=0.3, kw_only=False
    )

    def corrupt(self, x: Tensor, generator: Generator, low: float, high: float) -> Tensor:
        need_range("Salt and pepper need", low, high)
        u = uniform(x, generator)
        return torch.where(u < self.p / 2, low, torch.where(u < self.p, high, x))

    def check(self, shape: tuple[int, ...], low: float, high: float) -> None:
        need_range("Salt and pepper need", low, high)


class Masking(Corruption, kind="masking"):
    """Sets a share `p` of the values to `low`, or to 0 where the scaling has no range.

    With a `block` of more than 1, squares of so many pixels, in all channels, are erased instead:
    of a lattice of them, which lies anew over each image, each with probability `p`. So each
    pixel is erased with probability `p`.
    """

    p: Annotated[float, Ge(0), Le(1), "Share of the values that are erased."] = field(
        default=0.5, kw_only=False
    )
    block: Annotated[int, Ge(1), "Side of the erased squares, in pixels; 1: single values."] = 1

    def corrupt(self, x: Tensor, generator: Generator, low: float, high: float) -> Tensor:
        if self.block == 1:
            erased = uniform(x, generator) < self.p
        else:
            need_images("Masking in blocks", x.shape[1:], "a block of 1")
            erased = self._squares(x, generator)
        return x.masked_fill(erased, low if math.isfinite(low) else 0.0)

    def check(self, shape: tuple[int, ...], low: float, high: float) -> None:
        if self.block > 1:
            need_images("Masking in blocks", shape, "a block of 1")

    def _squares(self, x: Tensor, generator: Generator) -> Tensor:
        """Which pixels are erased, (B, 1, H, W)."""
        n, _, *sides = x.shape
        rows, columns = ((side - 2) // self.block + 2 for side in sides)
        erased = uniform(x.new_empty(n, rows, columns), generator) < self.p
        shifts = (uniform(x.new_empty(n, 2), generator) * self.block).long()
        row, column = (
            (torch.arange(side, device=x.device) + shift[:, None]) // self.block
            for side, shift in zip(sides, shifts.unbind(1), strict=True)
        )
        sample = torch.arange(n, device=x.device)[:, None, None]
        return erased[sample, row[:, :, None], column[:, None, :]].unsqueeze(1)


def need_range(what: str, low: float, high: float) -> None:
    """Refuse a scaling without a range."""
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(f"{what} a range of values: use scaling='unit' or 'symmetric'.")


def need_images(what: str, shape: tuple[int, ...], instead: str) -> None:
    """Refuse samples that are no images."""
    if len(shape) != 3:
        raise InputError(
            f"{what} needs images: give X as (N, H, W) or (N, C, H, W), or image_shape; for tables"
            f" use {instead}."
        )
