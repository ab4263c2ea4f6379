"""Products with codes most of whose numbers are zero, which cost what the others do."""

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import torch
from torch import Tensor

FAST = torch.float32, torch.float64  # numbers that NumPy knows


def kth_largest(rows: Tensor, k: int) -> Tensor:
    """The k-th largest number of each row, (B, N) -> (B, 1)."""
    rows, plain = rows.detach(), rows.device.type == "cpu" and rows.dtype in FAST
    if not plain or torch.compiler.is_compiling():
        return rows.topk(k, dim=1).values[:, -1:]
    found = np.partition(rows.numpy(), rows.shape[1] - k, axis=1)  # three times as fast
    return torch.from_numpy(found[:, [rows.shape[1] - k]])


@dataclass(frozen=True)
class Active:
    """The numbers of codes (B, K) that are not zero: their rows, units and values, in order."""

    rows: Tensor
    units: Tensor
    values: Tensor
    shape: tuple[int, int]

    @classmethod
    def of(cls, mask: Tensor, y: Tensor) -> Self:
        """The values of y where a mask is true, both (B, K)."""
        if mask.device.type == "cpu":
            flat = torch.from_numpy(np.flatnonzero(mask.numpy()))
        else:
            flat = mask.flatten().nonzero().flatten()
        b, k = mask.shape
        return cls(flat // k, flat % k, y.flatten()[flat], (b, k))

    def times(self, atoms: Tensor, bias: Tensor) -> Tensor:
        """z A + b, of atoms (K, D) and a bias (D,): (B, D)."""
        return (self._matrix(self.values) @ atoms).add_(bias)

    def pull(self, gradient: Tensor, atoms: Tensor) -> Tensor:
        """The gradient at the values of one (B, D) at `times`."""
        nothing = self._matrix(torch.zeros_like(self.values))
        return torch.sparse.sampled_addmm(nothing, gradient, atoms.t(), beta=0.0).values()

    def turned(self, values: Tensor) -> Tensor:
        """Other values in these places, as a matrix (K, B)."""
        order, starts, rows = self._by_unit
        return _compressed(starts, rows, values[order], (self.shape[1], self.shape[0]))

    def by_unit(self, values: Tensor) -> Tensor:
        """Sums of values over the rows, (K,)."""
        return _sums(self.turned(values))

    def by_row(self, values: Tensor) -> Tensor:
        """Sums of values over the units, (B,)."""
        return _sums(self._matrix(values))

    def _matrix(self, values: Tensor) -> Tensor:
        return _compressed(self._starts, self.units, values, self.shape)

    @cached_property
    def _starts(self) -> Tensor:
        return _starts(self.rows, self.shape[0])

    @cached_property
    def _by_unit(self) -> tuple[Tensor, Tensor, Tensor]:
        order = self.units.argsort(stable=True)
        return order, _starts(self.units, self.shape[1]), self.rows[order]


def _starts(numbers: Tensor, size: int) -> Tensor:
    """Where each of so many numbers begins once they are sorted, (size + 1,)."""
    ends = torch.bincount(numbers, minlength=size).cumsum(0)
    return torch.cat([ends.new_zeros(1), ends])


def _sums(matrix: Tensor) -> Tensor:
    """The sum of each row."""
    return (matrix @ matrix.values().new_ones(matrix.shape[1], 1)).squeeze(1)


def _compressed(starts: Tensor, places: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    return torch.sparse_csr_tensor(starts, places, values, shape, check_invariants=False)


with warnings.catch_warnings():  # "in beta state", said once
    warnings.simplefilter("ignore")
    _compressed(torch.tensor([0, 1]), torch.tensor([0]), torch.ones(1), (1, 1))
