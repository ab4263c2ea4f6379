"""Labels, one of several classes a sample:  y as a one-hot vector."""

from typing import Any

import numpy as np

from diabolo.condition.base import Condition
from diabolo.errors import InputError, unknown

MOST = 1000  # classes


class Labels(Condition, kind="labels"):
    """One label a sample, a number or a text; M is the number of classes seen in training."""

    def _learnt(self, y: np.ndarray) -> dict[str, list[Any]]:
        if y.ndim != 1:
            raise InputError(f"Labels are (N,), one a sample, but have shape {y.shape}.")
        classes = sorted({_plain(label) for label in y.tolist()}, key=lambda c: (str(type(c)), c))
        if len(classes) > MOST:
            raise InputError(
                f"There are {len(classes)} different labels: for numbers use condition='values'."
            )
        return {"classes": classes}

    @property
    def size(self) -> int:
        return len(self.learnt["classes"])

    def encode(self, y: np.ndarray) -> np.ndarray:
        place = {label: i for i, label in enumerate(self.learnt["classes"])}
        known = {str(label): i for label, i in place.items()}
        found = [place.get(_plain(c), known.get(str(_plain(c)), -1)) for c in y.tolist()]
        if -1 in found:
            raise unknown("label", y[found.index(-1)], known)
        return np.eye(self.size, dtype=np.float32)[found]

    def examples(self, n: int) -> np.ndarray:
        """The classes in turn."""
        return np.eye(self.size, dtype=np.float32)[np.arange(n) % self.size]


def _plain(label: Any) -> Any:
    """A label as files have it: whole numbers as integers, bytes as text."""
    if isinstance(label, bytes):
        return label.decode(errors="replace")
    if isinstance(label, float) and label.is_integer():
        return int(label)
    return label if isinstance(label, bool | int | float) else str(label)
