"""New samples from codes."""

from typing import Any

import numpy as np

from diabolo.estimator import Estimator


def interpolate(model: Estimator, first: np.ndarray, last: np.ndarray, steps: int) -> Any:
    """The way from sample `first` to sample `last`, (steps, ...), in equal steps of the code."""
    a, b = (np.asarray(model.transform(sample[None])) for sample in (first, last))
    share = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
    return model.inverse_transform((1 - share) * a + share * b)
