"""The base of the conditions: y as numbers beside x and z,  p(x | z, y) q(z | x, y).

K. Sohn, H. Lee, X. Yan, "Learning Structured Output Representation using Deep Conditional
Generative Models", 2015, eq. 4. The numbers (B, M) join the values that the encoder sees, of an
image as M more channels, and the code that the decoder is given.
"""

import copy
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from torch import Tensor

from diabolo.errors import InputError
from diabolo.params import Parameters


class Condition(Parameters, ABC):
    """Base of the conditions; `learnt` are the plain values that it has learnt, {} before."""

    drawn: ClassVar[bool] = False  # whether it is the level that a corruption draws, and no y

    def learn(self, y: Any) -> Self:
        """The same condition, having learnt from the y (N,) or (N, C) of training samples."""
        return self.with_learnt(self._learnt(as_numbers_or_labels(y)))

    def with_learnt(self, learnt: dict[str, list[Any]]) -> Self:
        """The same condition, with what one like it has learnt."""
        twin = copy.copy(self)
        twin.learnt = learnt
        return twin

    learnt = property(
        lambda self: self.__dict__.get("_values", {}),
        lambda self, values: self.__dict__.__setitem__("_values", values),
    )

    @abstractmethod
    def _learnt(self, y: np.ndarray) -> dict[str, list[Any]]:
        """What is to be known of y, as plain values for a file."""

    @property
    @abstractmethod
    def size(self) -> int:
        """M, how many numbers a sample is given."""

    @abstractmethod
    def encode(self, y: np.ndarray) -> np.ndarray:
        """y as numbers, (N, M) float32; `InputError` for what was never learnt."""

    @abstractmethod
    def examples(self, n: int) -> np.ndarray:
        """Conditions (n, M) of new samples where none are asked for."""

    def stand_in(self, x: Tensor, usual: Tensor) -> Tensor:
        """The conditions (B, M) of a scaled batch for which none are given.

        `usual` (M,) is the mean of those in training.
        """
        return usual.to(x.device).expand(x.shape[0], -1)

    def given(self, y: Any, n: int) -> np.ndarray:
        """The numbers (n, M) of the condition y of each of n samples, or of one for all."""
        values = as_numbers_or_labels(y)
        if values.ndim == 0:
            values = np.broadcast_to(values, (n,))
        if len(values) != n:
            raise InputError(f"There are {len(values)} conditions for {n} samples: give one each.")
        return self.encode(values)


def as_numbers_or_labels(y: Any) -> np.ndarray:
    """y as an array with a condition a sample; `InputError` for what is missing or ragged."""
    try:
        values = np.asarray(y)
    except ValueError:
        raise InputError("The conditions are ragged: give an array with one a sample.") from None
    if values.dtype.kind not in "biufUSO":
        raise InputError(f"Conditions are labels or numbers, not {values.dtype}.")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError("The conditions hold NaN or infinity: fill them in.")
    return values
