"""The causal likelihood: each pixel's law given the code *and* the pixels before it,

    -log p(x | z) = - sum_i log p(x_i | x_j for j before i and near, m_i(z)),

by the network of `diabolo.likelihood.neighbours`, which is learnt with the autoencoder. m is the
reconstruction, of which the network is told if it is `told`; its squared error is learnt beside
the likelihood, of whose value it is no part. A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu,
"Pixel Recurrent Neural Networks", 2016, eq. 1; given a code: I. Gulrajani et al., "PixelVAE",
2017, section 3.
"""

import copy
import math
from typing import Annotated, Any, ClassVar, Self

import torch
from annotated_types import Ge, Le
from torch import Generator, Tensor, nn
from torch.distributions import Distribution

from diabolo.errors import InputError
from diabolo.likelihood.base import Likelihood
from diabolo.likelihood.guessed import Guessed
from diabolo.likelihood.neighbours import Neighbours, Places
from diabolo.params import Count
from diabolo.scaling import Scaling

PIXELS = 1 << 14  # that the network is asked for at a time, without a gradient


class Causal(Likelihood, kind="causal"):
    """Of images of 8-bit values, given the pixels before each that are near. Its nll is exact."""

    unit = "bits per pixel"
    draws = True
    network: ClassVar[Neighbours]  # see `behind`
    shape: ClassVar[tuple[int, int, int]]  # and `of_images`
    scaling: ClassVar[Scaling]

    units: Annotated[Count, Le(4096), "Units of a layer of the law's network."] = 64
    layers: Annotated[int, Ge(0), Le(64), "Blocks of it."] = 1
    hidden: Annotated[Count, Le(4096), "Units of the layer before the values."] = 64
    reach: Annotated[int, Ge(1), Le(32), "How far it sees, in pixels."] = 4
    placed: Annotated[bool, "Tell it row and column; without, it compresses any size."] = True
    guessed: Annotated[bool, "By differences to a guess, as suits photographs."] = False
    told: Annotated[bool, "Tell it of the reconstruction; files are made without."] = False

    def of_images(self, shape: tuple[int, int, int] | None, scaling: Scaling) -> Self:
        if shape is None:
            raise InputError(
                "A causal likelihood is of images: use likelihood='gaussian' for other samples."
            )
        found = copy.copy(self)
        found.__dict__ |= {"shape": shape, "scaling": scaling}
        return found

    @property
    def alone(self) -> bool:  # type: ignore[override]
        return not self.told

    def drawn(self, output: Tensor, generator: Generator) -> Tensor:
        return Law(self, output).drawn(generator)

    def behind(self, decoder: nn.Module, draw: Generator | None = None) -> nn.Module:
        with torch.device("cpu" if draw else "meta"):
            law = (Guessed if self.guessed else Neighbours)(
                self.shape,
                units=self.units,
                layers=self.layers,
                hidden=self.hidden,
                reach=self.reach,
                placed=self.placed,
                generator=draw,
            )
        if draw and not self.told:
            nn.init.zeros_(law.first.weight[:, -1])
        self.__dict__["network"] = law
        return nn.Sequential(decoder, Behind(law))

    def before(self, decoder: nn.Module) -> nn.Module:
        assert isinstance(decoder, nn.Sequential)
        return decoder[0]

    def law(self, output: Tensor) -> Distribution:
        return Law(self, output)

    def check(self, scaling: str | None, activation: str, dtype: str) -> None:
        if scaling != "unit" or dtype != "uint8":
            raise InputError(
                "A causal likelihood is of images of 8-bit values: give such, with scaling='unit'."
            )

    def per_feature(self, nll: float, features: int) -> float:
        return nll / features / math.log(2)

    def hints(self, output: Tensor) -> Tensor:
        """What the network is told of each pixel, (B, D): its mean, as a whole number of 255.

        Or 0, where it is told nothing.
        """
        if not self.told:
            return torch.zeros_like(output)
        mean = self.mean(output).clamp(0, 1) * 255
        return mean + (mean.round() - mean).detach()


class Behind(nn.Module):
    """A network that lies behind a decoder and leaves what it gives as it is."""

    def __init__(self, law: Neighbours) -> None:
        super().__init__()
        self.law = law

    def forward(self, y: Tensor) -> Tensor:
        return y


class Law(Distribution):
    """The law of flat images (B, D) in scaled values."""

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, likelihood: Causal, output: Tensor) -> None:
        super().__init__(output.shape[:1], output.shape[1:], validate_args=False)
        self.likelihood, self.output = likelihood, output
        self.network = likelihood.network

    @property
    def mean(self) -> Tensor:
        return self.likelihood.mean(self.output)

    def log_prob(self, value: Tensor) -> Tensor:
        nats = self.pixels(value).sum(1)
        if torch.is_grad_enabled():
            beside = 0.5 * (self.likelihood.mean(self.output) - value).square().sum(1)
            nats = nats + (beside - beside.detach())
        return -nats

    def pixels(self, value: Tensor) -> Tensor:
        """-log p of each pixel (B, D) in nats."""
        shape, hints = self.likelihood.shape, self.likelihood.hints(self.output).flatten()
        stored = self.likelihood.scaling.inverse(value).round().to(torch.uint8)
        padded = self.network.padded(stored.view(-1, *shape))
        at = every(len(value), shape, value.device)
        size = len(hints) if torch.is_grad_enabled() else PIXELS
        parts = [
            self.network.nll(padded, Places(*some), hint)
            for *some, hint in zip(*(part.split(size) for part in (*at, hints)), strict=True)
        ]
        return torch.cat(parts).view(value.shape)

    def drawn(self, generator: Generator) -> Tensor:
        """Images (B, D) in scaled values, drawn pixel by pixel."""
        c, h, w = shape = self.likelihood.shape
        hints, count = self.likelihood.hints(self.output).view(-1, *shape), len(self.output)
        images = torch.zeros(count, *shape, dtype=torch.uint8, device=self.output.device)
        padded, reach = self.network.padded(images), self.network.reach
        image = torch.arange(count, device=images.device)
        for row in range(h):
            for column in range(w):
                for channel in range(c):
                    place = (torch.full_like(image, n) for n in (channel, row, column))
                    hint = hints[:, channel, row, column]
                    found = self.network.draw(padded, Places(image, *place), hint, generator)
                    padded[:, channel, row + reach, column + reach] = found
        return self.likelihood.scaling(padded[:, :, reach:, reach:-reach].flatten(1))


def every(count: int, shape: tuple[int, ...], device: torch.device) -> Places:
    """All pixels of so many images, in the order of flat values."""
    sides = [torch.arange(n, device=device) for n in (count, *shape)]
    return Places(*(part.flatten() for part in torch.meshgrid(*sides, indexing="ij")))
