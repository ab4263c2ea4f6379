"""Sources: what a model learns from, wherever it lies. `Rows` are those in memory, or mapped.

A source gives batches by index, the first of its samples, their statistics, what identifies them,
and its parts. Nothing else is asked of it, so that nothing depends on where its samples are.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
import torch
from torch import Tensor

ROWS = 4096  # of a block that is summed in float64


class Batch(NamedTuple):
    """Stored values (B, D): what is seen, what should come of it, and what is given beside it.

    `source` and `target` are one object where they are the same. `given` is (B, M) float32, the
    condition of each sample, or None. Of samples that are pieces of larger images `window`, (B, 4)
    int64, is where they lie: the y and x of their first pixel, and the image's height and width.
    """

    source: Tensor
    target: Tensor
    given: Tensor | None = None
    window: Tensor | None = None

    @property
    def beside(self) -> list[Tensor]:
        """The conditions, where there are any."""
        return [] if self.given is None else [self.given]


class Statistics(NamedTuple):
    """Of each column of the targets (N, D): least and largest value, float32; mean and variance.

    Mean and variance (without Bessel's correction) are float64; all are (D,).
    """

    low: Tensor
    high: Tensor
    mean: Tensor
    variance: Tensor


@runtime_checkable
class Source(Protocol):
    """Samples to learn from."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a sample: (D,), (H, W) or (C, H, W)."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The type of the stored values."""
        ...

    def __len__(self) -> int: ...

    def take(self, index: Tensor) -> Batch:
        """The samples of an index (B,), on the device that the source was brought to."""
        ...

    def head(self, n: int) -> Batch:
        """The first `n` samples."""
        ...

    def statistics(self) -> Statistics:
        """The statistics of the targets."""
        ...

    def digest(self) -> dict[str, int | str]:
        """How many samples there are, and the SHA-256 of their stored values."""
        ...

    def split(self, held: Tensor, rest: Tensor) -> tuple[Self, Self]:
        """The samples of two indices, as sources."""
        ...

    def to(self, device: torch.device) -> Self:
        """The same, whose batches are on a device."""
        ...


@dataclass(frozen=True)
class Rows:
    """A tensor (N, D) that is its own target, or that of another, `noisy`, row by row.

    `given` (N, M) are conditions, `shape` is that of a sample, if not (D,). With an `index`, only
    these rows, in this order. Nothing is copied but what is taken, so that the tensors may be
    memory-mapped.
    """

    x: Tensor
    noisy: Tensor | None = None
    given: Tensor | None = None
    shape: tuple[int, ...] = ()
    index: Tensor | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", self.shape or tuple(self.x.shape[1:]))

    def __len__(self) -> int:
        return len(self.x if self.index is None else self.index)

    @property
    def dtype(self) -> torch.dtype:
        return self.x.dtype

    def take(self, index: Tensor) -> Batch:
        if self.index is not None:
            index = self.index.index_select(0, index)
        target = self.x.index_select(0, index)
        source = target if self.noisy is None else self.noisy.index_select(0, index)
        return Batch(
            source, target, None if self.given is None else self.given.index_select(0, index)
        )

    def head(self, n: int) -> Batch:
        return self.take(torch.arange(min(n, len(self)), device=self.x.device))

    def statistics(self) -> Statistics:
        return statistics(self)

    def digest(self) -> dict[str, int | str]:
        found: dict[str, int | str] = {"samples": len(self), "sha256": digest(self.x.numpy())}
        for name, beside in (("noisy", self.noisy), ("given", self.given)):
            if beside is not None:
                found[f"{name}_sha256"] = digest(beside.numpy())
        return found

    def split(self, held: Tensor, rest: Tensor) -> tuple["Rows", "Rows"]:
        base = torch.arange(len(self)) if self.index is None else self.index
        return replace(self, index=base[held]), replace(self, index=base[rest])

    def to(self, device: torch.device) -> "Rows":
        tensors: Any = {n: t.to(device) for n, t in vars(self).items() if isinstance(t, Tensor)}
        return replace(self, **tensors)


def taken(source: Source, batches: Sequence[Tensor]) -> Iterator[Batch]:
    """The samples of each index in turn; of a source that can, they are read `ahead`."""
    ahead = getattr(source, "ahead", None)
    return map(source.take, batches) if ahead is None else ahead(batches)


def statistics(source: Source) -> Statistics:
    """The statistics of the targets of any source, in blocks (T. F. Chan, G. H. Golub, R. J.
    LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979,
    eq. 2.1)."""
    count, low = 0, source.head(1).target[0].float()
    high, mean = low, torch.zeros_like(low, dtype=torch.float64)
    squares = torch.zeros_like(mean)
    for index in torch.arange(len(source), device=low.device).split(ROWS):
        block = source.take(index).target.float()
        variance, middle = torch.var_mean(block.double(), 0, correction=0)
        off, whole = middle - mean, count + len(block)
        squares += variance * len(block) + off.square() * (count * len(block) / whole)
        mean += off * (len(block) / whole)
        count = whole
        low = torch.minimum(low, block.amin(0))
        high = torch.maximum(high, block.amax(0))
    return Statistics(low, high, mean, squares / count)


def digest(array: np.ndarray) -> str:
    """SHA-256 of an array, with its type and shape."""
    total = hashlib.sha256(f"{array.dtype.str}{list(array.shape)}".encode())
    total.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return total.hexdigest()
