"""Samples that other libraries hold, as arrays, or as arrays on disk where they are large."""

from typing import Any

import numpy as np

from diabolo.data.mapped import on_disk


def brought(X: Any) -> Any:
    """X as the models take it."""
    return on_disk(X) if isinstance(X, np.ndarray) else X
