"""From stored values to the network's and back:  scaled = (x - shift) / scale.

It lies in the network, so that whatever has the network takes raw values.
"""

import math
from typing import Protocol

import torch
from torch import Tensor, nn

from diabolo.data.source import Statistics


class Scaling(nn.Module):
    """Affine map from stored values to the network's: scaled = (x - shift) / scale.

    `low` and `high` bound the scaled values (infinite without a range). `peak` holds the stored
    values that count as 0 and 1 when an image's error is measured.
    """

    shift: Tensor
    scale: Tensor
    bounds: Tensor
    peak: Tensor

    def __init__(
        self, shift: Tensor, scale: Tensor, low: float, high: float, peak: Tensor
    ) -> None:
        super().__init__()
        self.register_buffer("shift", shift)
        self.register_buffer("scale", scale)
        self.register_buffer("bounds", torch.tensor([low, high]))
        self.register_buffer("peak", peak)
        self.low, self.high, self.shifted = low, high, bool(shift.any())

    def forward(self, x: Tensor) -> Tensor:
        """Scaled float32 of stored values of any type."""
        scaled = x.to(self.scale.dtype, copy=True)
        return (scaled.sub_(self.shift) if self.shifted else scaled).div_(self.scale)

    def inverse(self, scaled: Tensor) -> Tensor:
        """Stored units of scaled values, clipped to the range where there is one."""
        if math.isfinite(self.high):
            scaled = scaled.clamp(self.low, self.high)
        return (scaled * self.scale).add_(self.shift)


class Measured(Protocol):
    """Stored values of a type, of which statistics can be had."""

    @property
    def dtype(self) -> torch.dtype: ...

    def statistics(self) -> Statistics: ...


def learn_scaling(kind: str | None, values: Measured, *, image: bool) -> Scaling:
    """The scaling of `kind` ("unit", "symmetric", "standard" or None) for stored values.

    "unit": integers are divided by their type's maximum; float images by their global minimum
    and maximum (kept when already within [0, 1]); float tables column by column. "symmetric": the
    same, to [-1, 1]. "standard": mean 0 and variance 1, of an image's pixels together, of a
    table's columns each. A column without spread counts as if its spread were 1.
    """
    low, high = _limits(values, image)
    peak = torch.stack([low.min(), high.max()])
    if kind is None:
        return Scaling(torch.tensor(0.0), torch.tensor(1.0), -math.inf, math.inf, peak)
    if kind == "standard":
        _, _, mean, variance = values.statistics()
        if image:
            mean, variance = mean.mean(), variance.mean() + mean.var(correction=0)
        return Scaling(mean.float(), _nonzero(variance.sqrt().float()), -math.inf, math.inf, peak)
    span = _nonzero(high - low)
    if kind == "unit":
        return Scaling(low, span, 0.0, 1.0, peak)
    return Scaling(low + span / 2, span / 2, -1.0, 1.0, peak)


def read_scaling(tensors: dict[str, Tensor], features: int) -> Scaling:
    """The scaling among the tensors of a model file; ValueError where it is none."""
    names = ("shift", "scale", "bounds", "peak")
    shift, scale, bounds, peak = found = [tensors[f"scaling.{name}"] for name in names]
    whole = {(), (features,)}
    if not {shift.shape, scale.shape} <= whole or bounds.shape != (2,) or peak.shape != (2,):
        raise ValueError("the scaling does not fit the samples.")
    if any(tensor.dtype != torch.float32 for tensor in found):
        raise ValueError("the scaling has a wrong type.")
    low, high = bounds.tolist()
    if not (shift.isfinite().all() and scale.isfinite().all() and scale.all() and low < high):
        raise ValueError("the scaling has values that are none.")
    return Scaling(shift, scale, low, high, peak)


def _limits(values: Measured, image: bool) -> tuple[Tensor, Tensor]:
    """The stored values that count as the lowest and the highest."""
    dtype = values.dtype
    if not dtype.is_floating_point:
        top = 1.0 if dtype == torch.bool else float(torch.iinfo(dtype).max)
        return torch.tensor(0.0), torch.tensor(top)
    low, high, _, _ = values.statistics()
    if not image:
        return low, high
    low, high = low.min(), high.max()
    if low >= 0 and high <= 1:
        return torch.tensor(0.0), torch.tensor(1.0)
    return low, high


def _nonzero(scale: Tensor) -> Tensor:
    return torch.where(scale == 0, 1.0, scale)
