"""The compressive autoencoder, whose code is whole numbers that cost few bits.

J. Ballé, V. Laparra, E. Simoncelli, "End-to-end Optimized Image Compression", 2017, equations 9
and 10: -log p(x | z) - w log P(n), where z = step * n and n = round(y / step) of y = encoder(x).
In training the rate is that of y / step with uniform noise in place of the rounding, while the
decoder sees n, through which gradients pass (D. Minnen, S. Singh, "Channel-wise Autoregressive
Entropy Models for Learned Image Compression", 2020, section 3.3). P is learnt, see `diabolo.rate`.

A model has several qualities, each with its own steps (Z. Cui et al., "Asymmetric Gained Deep
Image Compression with Continuous Rate Adaptation", 2021); a sample is trained at one of them.
"""

import math
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Generator, Tensor, nn

from diabolo.bottleneck import Bottleneck, Code, Encoder
from diabolo.draw import uniform_of_share
from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.params import Count
from diabolo.rate import Law, Rounded, as_maps, between, first_steps, some_quality


class RatedCode(Bottleneck):
    """z = step round(gain y / step), where y is a map of so many channels, or a vector."""

    def __init__(self, channels: int | None, weight: float, qualities: int, context: int) -> None:
        super().__init__()
        self.channels, self.weight, self.context = channels, weight, context
        self.qualities, self.middle = qualities, qualities // 2

    def build(self, shape: tuple[int, ...], generator: Generator | None) -> None:
        channels = self.channels or shape[0]
        self.step = nn.Parameter(first_steps(self.weight, self.qualities, channels))
        self.gain = nn.Parameter(torch.ones(self.qualities, channels))
        self.law = Law(channels, self.context, self.qualities, generator)

    def begin(self, variances: Tensor) -> tuple[Tensor, Tensor]:
        """Principal components, whose steps are alike in what is decoded, and laws as wide."""
        n, channels = len(variances), self.step.shape[1]
        if n <= channels:
            self.step.data[:, :n] /= variances.sqrt()
            self.law.usual.data[:, :, channels : channels + n] = -self.step.data[:, :n].log() - 0.5
        return torch.ones_like(variances), variances.new_empty(0)

    def scaled(self, y: Tensor, quality: Tensor) -> Tensor:
        """What is rounded of maps (B, C, h, w), at qualities (B,) from 0."""
        return y * between(self.gain, quality) / between(self.step, quality)

    def rated(
        self, y: Tensor, quality: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The codes z of maps, and their nats (B,), with noise in place of the rounding."""
        value = self.scaled(y, quality)
        code = value + (value.round() - value).detach()
        nats = self.law(code, code if noise is None else value + noise, quality)
        return code * between(self.step, quality), nats.flatten(1).sum(1)

    def forward(
        self, encoder: Encoder, x: Tensor, generator: Generator | None = None, step: int = 0
    ) -> Code:
        maps = as_maps(encoder(x), len(self.step[0]), x)
        quality, noise = x.new_full((len(x),), float(self.middle)), None
        if generator is not None:
            quality = some_quality(maps[:, 0, 0, 0], self.qualities, generator)
            noise = uniform_of_share(maps, generator) - 0.5
        z, nats = self.rated(maps, quality, noise)
        rate = self.weight, nats * 2 ** (self.middle - quality)
        return Code(z.flatten(1), z.flatten(1), {"rate": rate})

    def mean_layer(self) -> nn.Module:
        return Rounded(self.step[self.middle], self.gain[self.middle])

    def measures(self, encoder: Encoder, x: Tensor) -> dict[str, float]:
        """Bits per sample at the middle quality."""
        return {"bits": float(self(encoder, x).terms["rate"][1].mean()) / math.log(2)}


class Compressive(Estimator):
    """The compressive autoencoder: codes of whole numbers, as short as `rate_weight` asks for.

    Minimises -log p(x | z) - rate_weight log P(n), both summed, in nats per sample (Ballé et al.
    2017, equation 10).

    >>> import numpy as np
    >>> X = np.random.default_rng(0).random((200, 8), dtype=np.float32)
    >>> model = Compressive(latent_dim=4, linear=False, epochs=3, random_state=0).fit(X)
    >>> model.transform(X).shape
    (200, 4)
    """

    rate_weight: Annotated[
        Annotated[float, Gt(0)], "Weight of the nats of the code, of the middle quality."
    ] = 0.01
    qualities: Annotated[
        Count, "Qualities of a model: each has half the rate_weight of that before."
    ] = 5
    context: Annotated[
        Annotated[int, Ge(0)],
        "Units of the networks that tell how probable a number is by those around it; 0: each by"
        " itself.",
    ] = 0

    def _bottleneck(self, p: Any) -> Bottleneck:
        hidden = getattr(p.network, "hidden", ()) if p.hidden is None else p.hidden
        if p.code_activation != "identity":
            raise InputError("A Compressive code takes no activation: leave code_activation out.")
        mapped = p.latent_dim is None and getattr(p.network, "images", False)
        channels = hidden[-1] if mapped and isinstance(hidden, tuple) and hidden else None
        return RatedCode(channels, p.rate_weight, p.qualities, p.context)
