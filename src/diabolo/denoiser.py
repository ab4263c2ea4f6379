"""The best linear denoiser, shrunk toward doing nothing: of pairs (x, y), x a corrupted y,

    y ~ x + E r + (x - E x) B,    B = (Sxx + s I)^-1 Sxr,    r = y - x

(x as a row): ridge regression of what is missing (A. E. Hoerl, R. W. Kennard, "Ridge Regression:
Biased Estimation for Nonorthogonal Problems", 1970, eq. 2.1). The penalty s is the one that does
best for a tenth of the pairs; without end it leaves E r alone, and nothing at all is tried too.
Of rank k, what is fitted is projected onto its first k principal directions, as in
`diabolo.linear`; of any rank, that is done too where it is better for the held-out pairs, and
nothing at all where what is gained for them is less than its standard error.
"""

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from diabolo.errors import InputError
from diabolo.linear import LinearMap, Moments

RIDGES = (0.0, 1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, math.inf)  # of the mean variance
HELD, FEW, FEW_HELD = 10, 100, 3  # one pair in so many chooses among them; of a few, in so many
MOST_HELD = 2048  # pairs
EXACT = 2**22  # numbers of a sample that is worked on in float64


def fit_denoiser(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]], ranks: Sequence[int | None]
) -> list[LinearMap]:
    """The denoiser of each rank (None: of any) from blocks (corrupted, clean) of rows (B, D).

    The blocks are read once. Up to D rows are kept as they are, more in their D x D products, so
    that the time is O(N D min(N, D)): of wide samples, give a few.
    """
    learnt, x, missing = _parted(pairs)
    if learnt.count < 2:
        return [LinearMap((), np.zeros(x.shape[1])) for _ in ranks]
    first = learnt.basis()
    ridge, shifted = _best(first, x, missing)
    tried = {rank: first.denoiser(ridge, shifted, rank) for rank in {None, *ranks}}
    errors = {rank: np.square(f(x) - x - missing).mean(1) for rank, f in tried.items()}
    free = min(errors, key=lambda rank: float(errors[rank].mean()))
    learnt.add(x, missing)
    basis, best = learnt.basis(), LinearMap((), np.zeros(x.shape[1]))
    if _sure(np.square(missing).mean(1) - errors[free]):
        best = basis.denoiser(ridge, shifted, free)
    return [best if r is None else basis.denoiser(ridge, shifted, r) for r in ranks]


def _parted(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]],
) -> tuple["_Pairs", np.ndarray, np.ndarray]:
    """Pairs to learn from, and x and r of others that are held out."""
    learnt, held, count = _Pairs(), list[tuple[np.ndarray, np.ndarray]](), 0
    for source, target in pairs:
        missing = target - source
        chosen = np.arange(len(source)) % (HELD if len(source) > FEW else FEW_HELD) == 0
        chosen &= count < MOST_HELD
        held.append((source[chosen], missing[chosen]))
        learnt.add(source[~chosen], missing[~chosen])
        count += int(chosen.sum())
    if count == 0:
        raise InputError("a linear denoiser needs at least one pair of rows to be fitted")
    x, missing = (np.concatenate(parts) for parts in zip(*held, strict=True))
    return learnt, x, missing


def _sure(gain: np.ndarray) -> bool:
    """Whether what is gained for held-out pairs is more than chance; of few, by far."""
    n = len(gain)
    return n > 1 and bool(gain.mean() > (1 + 4 / n) * gain.std() / math.sqrt(n))


@dataclass(frozen=True)
class _Basis:
    """The principal directions (D, R) of x and their variances, E x, E r, and V' Sxr (R, D)."""

    mean: np.ndarray
    missing: np.ndarray
    directions: np.ndarray
    variances: np.ndarray
    cross: np.ndarray

    def shrunk(self, ridge: float) -> np.ndarray:
        """1 / (variance + s), for a penalty in mean variances."""
        if math.isinf(ridge) or not len(self.variances):
            return np.zeros_like(self.variances)
        shrunk: np.ndarray = 1 / (self.variances + ridge * self.variances.mean())
        return shrunk

    def denoiser(self, ridge: float, shifted: bool, rank: int | None) -> LinearMap:
        """The map of a rank; without E r where it is not `shifted`."""
        weights = self.shrunk(ridge)[:, None] * self.cross
        missing = self.missing if shifted else np.zeros_like(self.missing)
        if rank is None:
            if not weights.any():
                return LinearMap((), missing)
            whole = len(self.mean) <= 2 * len(self.variances)
            factors = (self.directions @ weights,) if whole else (self.directions, weights)
            shift = self.mean @ self.directions @ weights
            return LinearMap(factors, missing - shift, beside=True)
        fitted = np.sqrt(self.variances)[:, None] * (self.directions.T + weights)
        decode = _strongest(fitted, rank)
        encode = decode.T + self.directions @ (weights @ decode.T)
        shift = self.mean @ encode @ decode
        return LinearMap((encode, decode), self.mean + missing - shift)


def _best(basis: _Basis, x: np.ndarray, missing: np.ndarray) -> tuple[float, bool]:
    """The ridge that does best for held-out pairs, and whether E r helps too."""
    scores, left = (x - basis.mean) @ basis.directions, missing - basis.missing
    linear = (basis.cross * (scores.T @ left)).sum(axis=1) / len(x)
    square = (scores.T @ scores / len(x)) * (basis.cross @ basis.cross.T)
    shrunk = {ridge: basis.shrunk(ridge) for ridge in RIDGES}
    errors = {(ridge, True): f @ square @ f - 2 * f @ linear for ridge, f in shrunk.items()}
    nothing = 2 * missing.mean(axis=0) @ basis.missing - basis.missing @ basis.missing
    errors[math.inf, False] = nothing
    return min(errors, key=lambda choice: float(errors[choice]))


class _Pairs:
    """Rows x and r (N, D) as they are while N is at most D, then their products."""

    def __init__(self) -> None:
        self.count, self.kept = 0, list[tuple[np.ndarray, np.ndarray]]()
        self.moments: Moments | None = None

    def add(self, x: np.ndarray, missing: np.ndarray) -> None:
        self.count += len(x)
        self.kept.append((x, missing))
        if self.count > x.shape[1] or self.moments is not None:
            self.moments = self.moments or Moments()
            while self.kept:
                self.moments.add(*self.kept.pop())

    def basis(self) -> _Basis:
        return self._from_rows() if self.moments is None else self._from_moments(self.moments)

    def _from_moments(self, moments: Moments) -> _Basis:
        xx, xy = copy.deepcopy(moments).covariances()
        variances, directions = _kept(*np.linalg.eigh(xx), xx.dtype)
        return _Basis(*moments.means(), directions, variances, directions.T @ xy)

    def _from_rows(self) -> _Basis:
        x, missing = (np.concatenate(parts) for parts in zip(*self.kept, strict=True))
        if x.size <= EXACT:
            x, missing = x.astype(np.float64), missing.astype(np.float64)
        mean, off = x.mean(axis=0), missing.mean(axis=0)
        x -= mean
        gram = (x @ x.T).astype(np.float64) / len(x)
        variances, rotation = _kept(*np.linalg.eigh(gram), x.dtype)
        scores = (rotation * np.sqrt(len(x))).astype(x.dtype)  # of variance 1
        spread = np.sqrt(variances).astype(x.dtype)
        directions = x.T @ scores / len(x) / spread
        cross = spread[:, None] * (scores.T @ (missing - off)) / len(x)
        return _Basis(mean, off, directions, variances.astype(x.dtype), cross)


def _kept(
    values: np.ndarray, vectors: np.ndarray, dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and vectors without those that are rounding in a type."""
    kept = values > len(values) * np.finfo(dtype).eps * values.max(initial=0.0)
    return values[kept], vectors[:, kept]


def _strongest(matrix: np.ndarray, rank: int) -> np.ndarray:
    """The first right singular vectors (rank or fewer, D), of a matrix (R, D), R at most D."""
    values, vectors = np.linalg.eigh((matrix @ matrix.T).astype(np.float64))
    values, vectors = _kept(values, vectors, matrix.dtype)
    values, vectors = values[::-1][:rank], vectors[:, ::-1][:, :rank]
    strongest: np.ndarray = (vectors / np.sqrt(values)).T.astype(matrix.dtype) @ matrix
    return strongest
