"""The base of the corruptions, and what several of them need.

Each works in scaled units, on a batch: images (B, C, H, W) of any number of channels, or rows
(B, D). It draws from the generator it is given. `low` and `high` are the ends of the scaled range,
infinite where the scaling has none.
"""

import math
from abc import ABC, abstractmethod
from typing import Annotated, ClassVar, NamedTuple, Self

from annotated_types import Ge, Le
from torch import Generator, Tensor

from diabolo.errors import InputError
from diabolo.params import Parameters

Share = Annotated[float, Ge(0), Le(1)]


class Corrupted(NamedTuple):
    """A corrupted batch, and what is known of its corruption.

    `mask` (B, 1 or C, H, W), in [0, 1], is where something was laid over an image: where it is 0,
    x is as it was. `level` (B,) is how strong the corruption is, where that is drawn. `target` is
    what should come of x, like x, where that is not what was given to be corrupted.
    """

    x: Tensor
    mask: Tensor | None = None
    level: Tensor | None = None
    target: Tensor | None = None

    def flat(self) -> "Corrupted":
        """The same with samples as rows (B, D)."""
        target = None if self.target is None else self.target.flatten(1)
        return self._replace(x=self.x.flatten(1), target=target)


class Corruption(Parameters, ABC):
    """Base of the corruptions.

    One that `erases` leaves gaps, NaN, in images: the networks that it trains are given images
    with gaps, and fill them. One `of_noisy` samples has no clean ones, but knows the variance of
    their noise. What `spreads` adds noise, of which its level is the standard deviation.
    """

    erases: ClassVar[bool] = False
    of_noisy: ClassVar[bool] = False
    spreads: ClassVar[bool] = False

    @property
    def strongest(self) -> float:
        """The largest level that it draws, in scaled units; infinite where it draws none."""
        return math.inf

    @abstractmethod
    def corrupt(self, x: Tensor, generator: Generator, low: float, high: float) -> Corrupted:
        """A corrupted copy of `x`, of its shape, within [low, high] but for gaps."""

    def learnt(self, x: Tensor, low: float) -> Self:
        """The same, with what is left to the samples found from some of them, x."""
        return self

    def variance(self, x: Tensor, low: float) -> Tensor:
        """The variance of the noise that samples have, like x, of one `of_noisy`."""
        raise NotImplementedError

    def corrupt_pieces(
        self, x: Tensor, window: Tensor, generator: Generator, low: float, high: float
    ) -> Corrupted:
        """As `corrupt`, pieces of larger images; for what depends on where in them they lie.

        `window` (B, 4) has the y and x of a piece's first pixel, and its image's height and width.
        """
        return self.corrupt(x, generator, low, high)

    def check(self, shape: tuple[int, ...], low: float, high: float) -> None:
        """Raise `InputError` where samples of `shape`, (C, H, W) or (D,), cannot be corrupted."""


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


def ordered(name: str, ends: tuple[float, float]) -> None:
    """Refuse a range that ends before it begins."""
    low, high = ends
    if low > high:
        raise InputError(f"{name} must go from low to high, but is {low:g},{high:g}.")
