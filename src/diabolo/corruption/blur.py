"""Gaussian blur:  x~ = g_s * x + n e,  g_s(k) proportional to exp(-k^2 / (2 s^2)),  e ~ N(0, 1).

The kernel is separable, cut off at 4 of the largest standard deviation, and images go on beyond
their border as in a mirror, the border itself not repeated (`mirror` in scipy.ndimage). With a
little noise, which a photograph has, what is learnt to undo the blur does not amplify noise.
"""

import math
from dataclasses import field
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Generator, Tensor
from torch.nn import functional as F  # noqa: N812

from diabolo.corruption.base import Corrupted, Corruption, need_images, ordered
from diabolo.draw import normal, uniform

Sigma = Annotated[float, Ge(0)]


class Blur(Corruption, kind="blur"):
    """Blurs images (B, C, H, W) by a Gaussian, each by its own where `sigma` is a range."""

    sigma: Annotated[
        Sigma | tuple[Sigma, Sigma],
        "Standard deviation in pixels, or low,high to draw it from for each image.",
    ] = field(default=1.0, kw_only=False)
    noise: Annotated[float, Ge(0), "Standard deviation n of noise on top, in scaled units."] = 0.0

    def corrupt(self, x: Tensor, generator: Generator, low: float, high: float) -> Corrupted:
        self.check(x.shape[1:], low, high)
        least, most = self._range()
        sigma = x.new_full((len(x), 1), least)
        if least < most:
            sigma += (most - least) * uniform(sigma, generator)
        widest = 2 * max(x.shape[2:])  # a wider one leaves nearly the mean
        radius, width = math.ceil(4 * min(most, widest)), sigma.clamp(1e-6, widest)
        k = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
        kernels = torch.softmax(-0.5 * (k / width) ** 2, dim=1)
        blurred = _along_rows(_along_rows(x, kernels).mT, kernels).mT.contiguous()
        if self.noise:
            blurred.add_(normal(x, generator), alpha=self.noise)
        return Corrupted(blurred.clamp_(low, high), level=sigma.squeeze(1))

    def check(self, shape: tuple[int, ...], low: float, high: float) -> None:
        need_images("A blur", shape, "'gaussian' or 'masking'")
        ordered("sigma", self._range())

    def _range(self) -> tuple[float, float]:
        sigma = self.sigma
        return (sigma[0], sigma[1]) if isinstance(sigma, list | tuple) else (sigma, sigma)


def _along_rows(x: Tensor, kernels: Tensor) -> Tensor:
    """Every row of images (B, C, H, W) convolved with the kernel of its image, (B, 2r + 1)."""
    n, channels, height, width = x.shape
    radius = kernels.shape[1] // 2
    period = max(2 * (width - 1), 1)
    place = torch.arange(-radius, width + radius, device=x.device) % period
    mirrored = x[..., torch.minimum(place, period - place).clamp_max(width - 1)]
    signals = mirrored.reshape(n, channels * height, -1).transpose(0, 1)
    rows = F.conv1d(signals, kernels.unsqueeze(1), groups=n)
    return rows.transpose(0, 1).reshape(x.shape)
