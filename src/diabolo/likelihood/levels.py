"""The base of likelihoods of values that have few levels, as those of 8-bit images: 0, 1, ... L-1.

Scaled they lie in [0, 1]; the nll is of the level, a true probability, so that nll / (D log 2) are
bits per dimension.
"""

import math
from abc import abstractmethod
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor
from torch.distributions import Distribution

from diabolo.errors import InputError
from diabolo.likelihood.base import Likelihood, need_unit


class Leveled(Likelihood):
    """Independent values on so many levels from 0 to 1; others count as the nearest level."""

    support = (0.0, 1.0)

    levels: Annotated[Annotated[int, Ge(2)], "Levels of a value, 256 of an 8-bit image."] = 256

    @abstractmethod
    def logs(self, output: Tensor, level: Tensor) -> Tensor:
        """log p of levels (B, D), whole numbers as floats; -> (B, D)."""

    @abstractmethod
    def mean(self, output: Tensor) -> Tensor: ...

    def law(self, output: Tensor) -> Distribution:
        return Law(self, output)

    def rows(self, output: Tensor) -> Tensor:
        """An output as (B, `per_value`, D)."""
        return output.view(len(output), self.per_value, -1)

    def usual_activation(self, scaling: str | None, *, bounded: bool) -> str:
        return "identity"

    def check(self, scaling: str | None, activation: str, dtype: str) -> None:
        if activation != "identity" or scaling not in ("unit", None):
            raise InputError(
                f"A {self.kind} likelihood needs data in [0, 1]: use scaling='unit' and leave"
                " output_activation out."
            )

    def check_values(self, low: float, high: float, scaling: str | None) -> None:
        need_unit(self.kind, low, high, scaling)


class Law(Distribution):
    """The law of rows (B, D) in scaled values."""

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, likelihood: Leveled, output: Tensor) -> None:
        shape = torch.Size([output.shape[1] // likelihood.per_value])
        super().__init__(output.shape[:1], shape, validate_args=False)
        self.likelihood, self.output = likelihood, output

    @property
    def mean(self) -> Tensor:
        return self.likelihood.mean(self.output)

    def log_prob(self, value: Tensor) -> Tensor:
        level = (value * (self.likelihood.levels - 1)).round()
        return self.likelihood.logs(self.output, level).sum(1)


def log_of_difference(a: Tensor, b: Tensor) -> Tensor:
    """log(e^a - e^b) for a > b."""
    return a + torch.log(-torch.expm1((b - a).clamp(max=-1e-7)))


def at_least(raw: Tensor, least: float) -> Tensor:
    """A log-scale that is no smaller, smoothly."""
    return math.log(least) + torch.nn.functional.softplus(raw - math.log(least))
