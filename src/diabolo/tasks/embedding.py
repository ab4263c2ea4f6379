"""What codes say of samples: which are alike, how they lie, and what class they are.

The distance of two samples is the Euclidean one of their codes, |f(a) - f(b)|. Codes are laid out
in two dimensions by their principal components or by t-SNE (van der Maaten and Hinton,
"Visualizing Data using t-SNE", 2008).
"""

from contextlib import suppress
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.linalg import eigh
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh
from sklearn.manifold import TSNE
from sklearn.neighbors import KNeighborsClassifier

from diabolo import params
from diabolo.data.mapped import OnDisk, blocks
from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.inputs import as_codes, find_seed
from diabolo.nearest import nearest
from diabolo.params import Count

WIDE = 512  # codes, or samples, of which not all inner products are formed
LANCZOS = 1e-6  # relative error of a variance
SPARE = 8  # codes beyond those asked for, among which rounding may hide a nearer one
PERPLEXITY = 30.0  # neighbours that t-SNE keeps near, at most a third of the samples


class Neighbours(NamedTuple):
    """Of each query its nearest samples, nearest first, and how far they are."""

    indices: np.ndarray
    distances: np.ndarray


def neighbours(model: Estimator, query: Any, X: Any, n: int = 10) -> Neighbours:
    """The `n` samples of X whose codes are nearest to that of each query.

    `query` holds samples as X does. Returns indices into X (Q, n) and distances (Q, n), float64;
    of several at one distance the first in X comes first. A query that is itself in X is found
    there at distance 0. Raises `InputError` if X has fewer than `n` samples.

    >>> import numpy as np
    >>> from diabolo import Autoencoder
    >>> X = np.random.default_rng(0).random((200, 8), dtype=np.float32)
    >>> model = Autoencoder(latent_dim=2, hidden=(), epochs=3, random_state=0).fit(X)
    >>> found = neighbours(model, X[5:7], X, n=3)
    >>> found.indices[:, 0].tolist(), found.distances[:, 0].tolist()
    ([5, 6], [0.0, 0.0])
    """
    n = params.check("n", Count, n)
    return near_codes(model.transform(query), model.transform(X), n)


def near_codes(a: Any, z: Any, n: int) -> Neighbours:
    """`neighbours` of codes: of each in `a` (Q, K) the nearest in `z` (N, K).

    `z` may lie on disk, as `diabolo.data.read` gives a large array: it is read once, in blocks, of
    which one is in memory. The search is exact, a product of each block with the queries.
    """
    a, size = as_codes(a), len(z)
    if n > size:
        raise InputError(f"n is {n}, but X has only {size} samples: ask for fewer.")
    rows = z if isinstance(z, OnDisk) else as_codes(z)
    if rows.ndim != 2 or rows.shape[1] != a.shape[1]:
        raise InputError(
            f"The codes are {tuple(rows.shape)}, but those of the model have {a.shape[1]} numbers:"
            " give codes that this model has made."
        )
    parts = (as_codes(part) if isinstance(z, OnDisk) else part for part in blocks(rows))
    near = nearest(a, parts, min(n + SPARE, size)).indices.numpy()
    few, places = np.unique(near, return_inverse=True)
    exact = np.asarray(rows[few], np.float64)[places.reshape(near.shape)]
    distances = np.linalg.norm(a.numpy().astype(np.float64)[:, None] - exact, axis=2)
    order = np.lexsort((near, distances))[:, :n]
    return Neighbours(*(np.take_along_axis(given, order, axis=1) for given in (near, distances)))


def knn_accuracy(
    codes_train: Any, y_train: Any, codes_test: Any, y_test: Any, k: int = 5
) -> float:
    """Share of the test codes (M, K) whose label most of their `k` nearest training codes have."""
    k = params.check("k", Count, k)
    z, z_test = (as_codes(given).numpy() for given in (codes_train, codes_test))
    y, y_test = np.asarray(y_train), np.asarray(y_test)
    for name, codes, labels in (("training", z, y), ("test", z_test, y_test)):
        if codes.ndim != 2 or not len(codes) or labels.shape != codes.shape[:1]:
            raise InputError(
                f"The {name} codes must be (N, K) with labels (N,), but have shapes {codes.shape}"
                f" and {labels.shape}."
            )
    if z.shape[1] != z_test.shape[1]:
        raise InputError(
            f"The training codes have {z.shape[1]} numbers, but those to test {z_test.shape[1]}."
        )
    if k > len(z):
        raise InputError(f"k is {k}, but there are only {len(z)} training codes: give a lower k.")
    return float(KNeighborsClassifier(n_neighbors=k).fit(z, y).score(z_test, y_test))


def plane(
    codes: np.ndarray, method: Literal["pca", "tsne"] | None = None, *, random_state: Any = 0
) -> tuple[np.ndarray, tuple[str, str]]:
    """Codes (N, K) in two dimensions (N, 2), and the names of the two.

    "pca": their principal components. "tsne": t-SNE, which keeps near codes near and lets the
    distances of far ones go; slower, and seeded. None: codes of two numbers as they are, others
    by PCA.
    """
    method = params.check("method", Literal["pca", "tsne"] | None, method)
    shape = tuple(as_codes(codes).shape)
    if len(shape) != 2 or 0 in shape:
        raise InputError(f"Codes must have shape (N, K), but have {shape}.")
    codes = np.asarray(codes)
    if method == "tsne":
        return _tsne(codes, find_seed(random_state)), ("t-SNE 1", "t-SNE 2")
    if codes.shape[1] == 1:
        return np.column_stack([codes, np.zeros_like(codes)]), ("code 1", "")
    if codes.shape[1] == 2 and method is None:
        return codes, ("code 1", "code 2")
    centred = codes - codes.mean(axis=0)
    components, variances = _components(centred)
    shares = variances / max(float(np.vdot(centred, centred)), 1e-12)
    names = [f"component {i + 1} ({share:.0%} of variance)" for i, share in enumerate(shares)]
    return components, (names[0], names[1])


def _components(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first two principal components (N, 2) of codes (N, K), and their variances (2,) by N.

    From the smaller of the matrices of inner products, (N, N) and (K, K).
    """
    of_samples = 1 < len(centred) < centred.shape[1]
    found = _largest(centred.T if of_samples else centred)
    variances, directions = (array[..., ::-1] for array in found)
    if of_samples:
        return directions * np.sqrt(variances.clip(0)), variances
    return centred @ directions, variances


def _largest(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two largest eigenvalues of x'x, rising, and their vectors (K, 2), of x (N, K).

    By Lanczos' method where x'x is wide, which then is not formed.
    """
    wide = x.shape[1]
    if wide > WIDE:
        operator = LinearOperator((wide, wide), matvec=lambda v: x.T @ (x @ v), dtype=x.dtype)
        start = np.asarray(np.random.default_rng(0).standard_normal(wide), x.dtype)
        with suppress(ArpackError):
            return eigsh(operator, k=2, v0=start, tol=LANCZOS, maxiter=100)
    return eigh(x.T @ x, subset_by_index=[wide - 2, wide - 1])


def _tsne(codes: np.ndarray, seed: int) -> np.ndarray:
    if len(codes) < 5:
        raise InputError(f"t-SNE needs at least 5 samples, but there are {len(codes)}: use pca.")
    if not np.ptp(codes, axis=0).any():
        raise InputError("The codes are all the same, so t-SNE has nothing to part: use pca.")
    layout = TSNE(
        perplexity=min(PERPLEXITY, (len(codes) - 1) / 3),
        init="pca" if codes.shape[1] > 1 else "random",
        random_state=np.random.RandomState(seed % 2**32),
    )
    return np.asarray(layout.fit_transform(codes))
