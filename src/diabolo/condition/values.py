"""Numbers, one or several a sample:  y, each column with mean 0 and variance 1."""

from typing import Any

import numpy as np

from diabolo.condition.base import Condition
from diabolo.errors import InputError


class Values(Condition, kind="values"):
    """Numbers (N,) or (N, M) beside each sample, such as an angle, a time, another table."""

    def _learnt(self, y: np.ndarray) -> dict[str, list[Any]]:
        columns = _columns(y)
        scale = columns.std(axis=0)
        return {
            "mean": columns.mean(axis=0).tolist(),
            "scale": np.where(scale > 0, scale, 1.0).tolist(),
        }

    @property
    def size(self) -> int:
        return len(self.learnt["mean"])

    def encode(self, y: np.ndarray) -> np.ndarray:
        columns, mean, scale = _columns(y), *map(np.asarray, self.learnt.values())
        if columns.shape[1] != self.size:
            raise InputError(
                f"The model was fitted on {self.size} condition values a sample, not"
                f" {columns.shape[1]}."
            )
        return ((columns - mean) / scale).astype(np.float32)

    def examples(self, n: int) -> np.ndarray:
        """The mean of those in training."""
        return np.zeros((n, self.size), np.float32)


def _columns(y: np.ndarray) -> np.ndarray:
    """y as columns (N, M) of float64."""
    try:
        return y.astype(np.float64).reshape(len(y), -1)
    except (ValueError, TypeError):
        raise InputError(
            "condition='values' takes numbers: for texts use condition='labels'."
        ) from None
