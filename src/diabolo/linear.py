"""The best linear method, in closed form: principal components and the best linear denoiser.

Of all affine maps of rank k, the one with the least mean squared error from x to y is

    y ~ E y + B V V' (x - E x),    B = Sxx^-1 Sxy,    V: first k eigenvectors of B' Sxx B

(x as a row: (x - E x) B V V'). With y = x that is PCA, the optimum of a linear autoencoder;
with x a corrupted y, the best linear denoiser. Without a rank, it is least squares.

A. J. Izenman, "Reduced-Rank Regression for the Multivariate Linear Model", 1975, eq. 10-12
(with the identity as weight).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from diabolo.errors import InputError

BLOCK_ROWS = 1024
SUBSPACE = 1024  # principal components of the source that a denoiser is found in
RIDGES = (1e-6, 1e-4, 1e-3, 1e-2, 0.1, 1.0)  # times the components' mean variance, that are tried


@dataclass(frozen=True, eq=False)
class LinearMap:
    """x -> x F1 [F2] + offset [+ x], for rows x: (B, D) -> (B, D) in the type of x.

    A map of low rank k keeps two factors, (D, k) and (k, D). Ranks that bind nothing share a map.
    With `beside`, x itself is added.
    """

    factors: tuple[np.ndarray, ...]
    offset: np.ndarray
    beside: bool = False

    def __call__(self, x: np.ndarray) -> np.ndarray:
        y = x.astype(np.float64)
        for factor in self.factors:
            y = y @ factor
        y = y + self.offset
        if self.beside:
            y += x
        return y.astype(np.result_type(x.dtype, np.float32))


def fit_linear(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]], ranks: Sequence[int | None]
) -> list[LinearMap]:
    """The best affine map of each rank (None: of any) from blocks (source, target) of rows.

    The blocks, each (B, D), are read once. Where source and target are the same object, their
    product is computed once. Products and totals are float64: time O(N D^2 + D^3), memory
    about six D x D matrices (0.2 GB at D = 2048, 0.8 GB at 4096), of PCA two. Directions in which
    the source does not vary are left out; a rank above the number of the others is no error.
    """
    for rank in ranks:
        if rank is not None and rank < 1:
            raise InputError(f"the rank of a linear map is at least 1; this is {rank}")
    moments = Moments()
    for source, target in pairs:
        moments.add(source, target)
    return _solve(moments, ranks)


class Moments:
    """Means and centred cross products of (source, target), in one pass.

    Rows are shifted by the mean of the first block, so that no digits cancel in the end.
    """

    def __init__(self) -> None:
        self.count = 0
        self.same = True

    def add(self, source: np.ndarray, target: np.ndarray) -> None:
        if source.ndim != 2 or target.ndim != 2 or len(source) != len(target):
            shapes = f"{source.shape} and {target.shape}"
            raise InputError(f"source and target are blocks (B, D) of equal length, not {shapes}")
        if len(source) == 0:
            return
        if self.count == 0:
            self._start(source, target)
        if self.same and target is not source:
            self._split()
        self.count += len(source)
        for rows in _slices(len(source)):
            self._add_rows(source[rows], target[rows])

    def _start(self, source: np.ndarray, target: np.ndarray) -> None:
        self.shift_x = source.mean(axis=0, dtype=np.float64)
        self.sum_x = np.zeros(source.shape[1])
        self.xx = np.zeros((source.shape[1],) * 2)
        self.same = target is source
        self.shift_y, self.sum_y, self.xy = self.shift_x, self.sum_x, self.xx
        if not self.same:
            self.shift_y = target.mean(axis=0, dtype=np.float64)
            self.sum_y = np.zeros(target.shape[1])
            self.xy = np.zeros((source.shape[1], target.shape[1]))

    def _split(self) -> None:
        self.sum_y, self.xy, self.same = self.sum_x.copy(), self.xx.copy(), False

    def _add_rows(self, source: np.ndarray, target: np.ndarray) -> None:
        x = source - self.shift_x
        self.sum_x += x.sum(axis=0)
        _add_product(self.xx, x, x)
        if not self.same:
            y = target - self.shift_y
            self.sum_y += y.sum(axis=0)
            _add_product(self.xy, x, y)

    def covariances(self) -> tuple[np.ndarray, np.ndarray]:
        """Sxx and Sxy; one object where source and target are the same. Call it once."""
        _add_product(self.xx, self.sum_x[None], -self.sum_x[None] / self.count)
        self.xx /= self.count
        if not self.same:
            _add_product(self.xy, self.sum_x[None], -self.sum_y[None] / self.count)
            self.xy /= self.count
        return self.xx, self.xy

    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """E x and E y."""
        return (
            self.shift_x + self.sum_x / self.count,
            self.shift_y + self.sum_y / self.count,
        )


def _add_product(total: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    """Add x'y to a total, some of its rows at a time: as a whole it would be as large again."""
    for columns in _slices(x.shape[1]):
        total[columns] += x[:, columns].T @ y


def _slices(length: int) -> Iterator[slice]:
    for start in range(0, length, BLOCK_ROWS):
        yield slice(start, start + BLOCK_ROWS)


def _solve(moments: Moments, ranks: Sequence[int | None]) -> list[LinearMap]:
    if moments.count == 0:
        raise InputError("a linear map needs at least one pair of rows to be fitted")
    mean_x, mean_y = moments.means()
    found = _factors(*moments.covariances(), ranks)
    maps: dict[int, LinearMap] = {}
    for factors in found:
        shifted = mean_x
        for factor in factors:
            shifted = shifted @ factor
        maps.setdefault(id(factors), LinearMap(factors, mean_y - shifted))
    return [maps[id(factors)] for factors in found]


def _factors(
    xx: np.ndarray, xy: np.ndarray, ranks: Sequence[int | None]
) -> list[tuple[np.ndarray, ...]]:
    from scipy.linalg import eigh

    values, vectors = eigh(xx.T, driver="evr", overwrite_a=True)  # in the place of xx
    first = np.searchsorted(values, len(values) * np.finfo(np.float64).eps * values[-1], "right")
    values, vectors = values[first:], vectors[:, first:]
    if xy is xx:
        weights = vectors @ vectors.T if None in ranks else np.empty(0)
        directions = vectors
        binding = [rank for rank in ranks if rank is not None]
    else:
        whitened = (vectors / np.sqrt(values)).T @ xy
        weights = (vectors / np.sqrt(values)) @ whitened
        binding = [rank for rank in ranks if rank is not None and rank < min(whitened.shape)]
        directions = _directions(whitened, binding)
    widest = (weights,)
    return [
        _low_rank(weights, directions[:, ::-1][:, :rank]) if rank in binding else widest
        for rank in ranks
    ]


def _directions(whitened: np.ndarray, ranks: Sequence[int]) -> np.ndarray:
    """Eigenvectors, by rising eigenvalue, of the covariance of the fitted targets."""
    if not ranks:
        return np.empty((whitened.shape[1], 0))
    vectors: np.ndarray = np.linalg.eigh(whitened.T @ whitened)[1]
    return vectors


def _low_rank(weights: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    into = weights @ directions if weights.size else directions.copy()
    return into, np.ascontiguousarray(directions.T)


class Reduced(NamedTuple):
    """y ~ mean_y + c of_y + ((x - mean_x - c of_x) encode') decode, for rows x and conditions c.

    Numbers of the code have variance 1. `encode` and `decode` are (k, D), `of_x` and `of_y`
    (M, D); `variances` (k,) say how much of the targets' variance each number of the code brings.
    k is the rank asked for, or what the rows allow.
    """

    mean_x: np.ndarray
    mean_y: np.ndarray
    encode: np.ndarray
    decode: np.ndarray
    variances: np.ndarray
    of_x: np.ndarray
    of_y: np.ndarray


def reduced(
    source: np.ndarray,
    target: np.ndarray,
    rank: int,
    *,
    given: np.ndarray | None = None,
    seed: int = 0,
) -> Reduced:
    """The best affine map of a rank, in two factors, from rows (N, D) to rows (N, D).

    With one object for both principal components, otherwise the best linear denoiser, with the
    ridge that does best for every tenth row. Both of what the best guess from the conditions
    `given` (N, M), with such a ridge, leaves over. Where D is large, randomised methods find
    the components (N. Halko, P.-G. Martinsson, J. A. Tropp, "Finding Structure with Randomness",
    2011), and the denoiser sees the first `SUBSPACE` of them.
    """
    same = source is target
    source, of_x = _left(source, given)
    target, of_y = (source, of_x) if same else _left(target, given)
    if same:
        found = _principal(source, rank, seed)
        components, variances = found.components_, found.explained_variance_
        mean = found.mean_
    else:
        found = _principal(source, SUBSPACE, seed)
        scores, mean = found.transform(source), target.mean(0)
        weights = _ridge(scores, target - mean)
        spread = np.sqrt(np.square(scores).mean(0))
        components, variances = _strongest(spread[:, None] * weights, rank, seed)
    kept = variances > np.finfo(np.float32).eps * variances.max(initial=0)
    components, scale = components[kept], np.sqrt(variances[kept])[:, None]
    encode = components if same else components @ weights.T @ found.components_
    encode, decode = encode / scale, components * scale
    return Reduced(found.mean_, mean, encode, decode, variances[kept], of_x, of_y)


def _left(rows: np.ndarray, given: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """What the best linear guess from the conditions leaves of rows; its weights (M, D)."""
    if given is None:
        return rows, rows[:0]
    weights = _ridge(given, rows - rows.mean(0))
    return rows - given @ weights, weights


def fit_principal(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]], ranks: Sequence[int | None]
) -> list[LinearMap]:
    """The principal components of each rank (None: all) as a map, from blocks (row, row).

    All rows are kept, and nothing of size D x D is made: for few, wide rows.
    """
    rows = np.concatenate([target for _, target in pairs])
    found = reduced(rows, rows, max(rank or min(rows.shape) for rank in ranks))
    mean, components = found.mean_y, found.decode / np.sqrt(found.variances)[:, None]
    kept = [components[:rank] for rank in ranks]
    return [LinearMap((part.T, part), mean - mean @ part.T @ part) for part in kept]


def _principal(rows: np.ndarray, rank: int, seed: int) -> Any:
    from sklearn.decomposition import PCA

    with np.errstate(invalid="ignore"):  # of rows without variance
        return PCA(min(rank, *rows.shape), random_state=seed).fit(rows)


def _strongest(matrix: np.ndarray, rank: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The first right singular vectors (k, D), with their squared singular values (k,)."""
    from sklearn.utils.extmath import randomized_svd

    _, values, vectors = randomized_svd(matrix, min(rank, *matrix.shape), random_state=seed)
    return vectors, np.square(values)


def _ridge(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Weights (r, D) of y ~ x weights, with the ridge that does best for every tenth row."""
    held = np.arange(len(x)) % 10 == 0
    ridges = (np.square(x).mean() or 1.0) * np.array(RIDGES, x.dtype)
    best = -1
    if not held.all():
        values, vectors, rotated = _normal_equations(x[~held], y[~held])
        seen = x[held] @ vectors
        errors = [np.square((seen / (values + r)) @ rotated - y[held]).mean() for r in ridges]
        best = int(np.argmin(errors))
    values, vectors, rotated = _normal_equations(x, y)
    weights: np.ndarray = (vectors / (values + ridges[best])) @ rotated
    return weights


def _normal_equations(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X'X / N as eigenvalues and vectors, and X'Y / N in their terms."""
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    return values.clip(0), vectors, (x @ vectors).T @ y / len(x)
