"""Corruptions of single values, and of blocks of pixels.

Vincent, Larochelle, Lajoie, Bengio and Manzagol, "Stacked Denoising Autoencoders", JMLR 2010,
section 3.3; blocks as in Pathak, Krahenbuhl, Donahue, Darrell and Efros, "Context
Encoders: Feature Learning by Inpainting", 2016.
"""

import math
from dataclasses import field
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Generator, Tensor

from diabolo.corruption.base import Corrupted, Corruption, need_images, need_range, ordered
from diabolo.draw import normal, uniform

Spread = Annotated[float, Ge(0)]


class GaussianNoise(Corruption, kind="gaussian"):
    """Adds noise: x~ = clamp(x + std e, low, high), e ~ N(0, 1)."""

    std: Annotated[float, Ge(0), "Standard deviation, in scaled units."] = field(
        default=0.5, kw_only=False
    )

    def corrupt(self, x: Tensor, generator: Generator, low: float, high: float) -> Corrupted:
        noisy = torch.add(x, normal(x, generator), alpha=self.std)
        return Corrupted(noisy.clamp_(low, high) if math.isfinite(high) else noisy)


class BlindGaussian(Corruption, kind="blind-gaussian"):
    """Adds noise of a standard deviation s that is drawn for each image: x~ = x + s e.

    e ~ N(0, 1) and s ~ U(level); values may leave the range. In gray images of three equal
    channels the noise is the same in all of them. K. Zhang, W. Zuo, Y. Chen, D. Meng and
    L. Zhang, "Beyond a Gaussian Denoiser", 2017, section III.D.
    """

    spreads = True
    level: Annotated[
        tuple[Spread, Spread], "Range of the standard deviation, in scaled units."
    ] = field(default=(0.0, 0.25), kw_only=False)

    @property
    def strongest(self) -> float:
        return self.level[1]

    def corrupt(self, x: Tensor, generator: Generator, low: float, high: float) -> Corrupted:
        least, most = self.level
        level = least + (most - least) * uniform(x.new_empty(len(x), 1), generator)
        noise = normal(x, generator)
        if x.ndim == 4 and x.shape[1] > 1:
            gray = (x == x[:, :1]).flatten(1).all(1).view(-1, 1, 1, 1)
            noise = torch.where(gray, noise[:, :1], noise)
        noisy = torch.addcmul(x, level.view(-1, *(1,) * (x.ndim - 1)), noise)
        return Corrupted(noisy, level=level.squeeze(1))

    def check(self, shape: tuple[int, ...], low: float, high: float) -> None:
        ordered("level", self.level)


class Speckle(Corruption, kind="speckle"):
    """Multiplies by noise: x~ = clamp(x + std (x - low) e, low, high), e ~ N(0, 1).

    Where the scaling has no range, x is measured from 0 instead of `low`.
    """

    std: Annotated[float, Ge(0), "Standard deviation, as a share of the value."] = field(
        default=0.5, kw_only=False
    )

    def corrupt(self, x: Tensor, generator: Generator, low: float, high: float) -> Corrupted:
        size = x - low if math.isfinite(low) else x
        noisy = torch.addcmul(x, size, normal(x, generator), value=self.std)
        return Corrupted(noisy.clamp_(low, high) if math.isfinite(high) else noisy)


class Poisson(Corruption, kind="poisson"):
    """Counts photons: u~ = min(n / peak, 1), n ~ Poisson(peak u), u = (x - low) / (high - low).

    But for the photons beyond `peak`, u~ has mean u and variance u / peak.
    """

    peak: Annotated[float, Gt(0), "Photons of the brightest value, on average."] = field(
        default=30.0, kw_only=False
    )

    def corrupt(self, x: Tensor, generator: Generator, low: float, high: float) -> Corrupted:
        need_range("Photon counts need", low, high)
        rate = (x - low).clamp_(0, high - low) * (self.peak / (high - low))
        counts = torch.poisson(rate, generator=generator)
        return Corrupted(counts.mul_((high - low) / self.peak).add_(low).clamp_(low, high))

    def check(self, shape: tuple[int, ...], low: float, high: float) -> None:
        need_range("Photon counts need", low, high)


class SaltAndPepper(Corruption, kind="salt-and-pepper"):
    """Sets a share `p` of the values to `high` (salt) or `low` (pepper), half and half."""

    p: Annotated[float, Ge(0), Le(1), "Share of the values that are replaced."] = field(
        default=0.3, kw_only=False
    )

    def corrupt(self, x: Tensor, generator: Generator, low: float, high: float) -> Corrupted:
        need_range("Salt and pepper need", low, high)
        u = uniform(x, generator)
        return Corrupted(torch.where(u < self.p / 2, low, torch.where(u < self.p, high, x)))

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

    def corrupt(self, x: Tensor, generator: Generator, low: float, high: float) -> Corrupted:
        self.check(x.shape[1:], low, high)
        erased = self._squares(x, generator) if self.block > 1 else uniform(x, generator) < self.p
        return Corrupted(x.masked_fill(erased, low if math.isfinite(low) else 0.0))

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
