"""The level of the noise: its standard deviation, as the corruption draws it in training.

K. Zhang, W. Zuo and L. Zhang, "FFDNet: Toward a Fast and Flexible Solution for CNN-Based Image
Denoising", 2018. Where none is given, it is that of the finest diagonal details d of the image,
in which there is little else: median |d| / 0.6745 (D. Donoho and I. Johnstone, "Ideal Spatial
Adaptation by Wavelet Shrinkage", 1994).
"""

from typing import Any

import numpy as np
from torch import Tensor

from diabolo.condition.base import Condition
from diabolo.errors import InputError

QUARTILE = 0.6745  # of the absolute value of a standard normal, the half


class Level(Condition, kind="level"):
    """The standard deviation of the noise of each sample, in scaled units; y is not needed."""

    drawn = True

    def _learnt(self, y: np.ndarray) -> dict[str, list[Any]]:
        return {}

    @property
    def size(self) -> int:
        return 1

    def encode(self, y: np.ndarray) -> np.ndarray:
        try:
            levels = y.astype(np.float32).reshape(len(y), 1)
        except (ValueError, TypeError):
            raise InputError("A level of noise is one number for each sample.") from None
        if (levels < 0).any():
            raise InputError(f"A level of noise is at least 0, but one is {levels.min():g}.")
        return levels

    def examples(self, n: int) -> np.ndarray:
        return np.zeros((n, 1), np.float32)

    def stand_in(self, x: Tensor, usual: Tensor) -> Tensor:
        details = x[..., ::2, ::2][..., : x.shape[-2] // 2, : x.shape[-1] // 2]
        for rows, columns, sign in ((1, 0, -1), (0, 1, -1), (1, 1, 1)):
            part = x[..., rows::2, columns::2]
            details = details + sign * part[..., : details.shape[-2], : details.shape[-1]]
        if not details.numel():
            return x.new_zeros(x.shape[0], 1)
        ordered = details.flatten(1).abs().sort(1).values  # ONNX has no median
        half = (ordered.shape[1] - 1) // 2
        return ordered[:, half : half + 1] / (2 * QUARTILE)
