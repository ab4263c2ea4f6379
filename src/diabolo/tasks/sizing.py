"""How large should the code be? A model trained over a range of sizes, beside PCA.

For each size K, from samples that were held out:

    mse       mean squared error in [0, 1] units (of a table: in its scaled columns)
    mse_8bit  the same with each number of the code kept in one of 256 equal steps between the
              least and the largest of the training codes, so that a sample takes K bytes
    pca_mse   of the best linear method with a code of K numbers: the first K eigenvectors of the
              training covariance (with a corruption the best linear denoiser of rank K)
    accuracy  of the 5 nearest neighbours among the training codes, where there are labels

The knee is found as by Kneedle. With x the position of log K between the least and the largest
size, and y that of the error between its least and its largest value (a larger code counts as at
least as good as a smaller one), it is the size at which (1 - x) - y, the height of the chord over
the curve, is largest; none where that is below `LEAST_BEND`, or where a larger code is worse than
a smaller one by more than that, which an undertrained model is. Up to the knee a doubling of the
code gains more than on average over the range, beyond it less: so it depends on the range.

V. Satopaa, J. Albrecht, D. Irwin, B. Raghavan, "Finding a 'Kneedle' in a Haystack: Detecting Knee
Points in System Behavior", 2011, section III (without smoothing, and with all sizes at hand).
"""

import math
import os
import signal
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone

from diabolo import metrics
from diabolo.columns import mixed
from diabolo.doctor import DoctorWarning
from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.infer import in_threads
from diabolo.inputs import as_rows, find_device, find_seed
from diabolo.networks import takes_images
from diabolo.tasks.embedding import knn_accuracy
from diabolo.tasks.evaluation import best_linear, corrupted, flat, in_units

LEAST_BEND = 0.1
NEIGHBOURS = 5
STEPS = 256  # values that a number of a code can take in 8 bits
SMALL = 2e11  # multiplications that are done before other processes have been started


@dataclass(frozen=True)
class CodeSizes:
    """What `code_sizes` found: a value for each size; None where there are none.

    `models` are the fitted models, `sample_bytes` the size of a sample as it was given.
    """

    sizes: list[int]
    mse: list[float]
    mse_8bit: list[float]
    pca_mse: list[float]
    accuracy: list[float] | None
    pca_accuracy: list[float] | None
    sample_bytes: int
    models: list[Estimator]

    @property
    def bytes(self) -> list[int]:
        """Bytes of a code whose numbers take 8 bits each."""
        return list(self.sizes)

    @property
    def knee(self) -> int | None:
        """The size at the knee of the curve of the error."""
        return knee(self.sizes, self.mse)

    @property
    def suggested(self) -> int | None:
        """The knee; none where the linear method is clearly better than the model there."""
        size = self.knee
        if size is None:
            return None
        at = self.sizes.index(size)
        behind = self.mse[at] - self.pca_mse[at]
        return None if behind > LEAST_BEND * np.ptp(self.mse) else size

    def columns(self) -> dict[str, list[Any]]:
        """The table: a list of values for each name, one value a size."""
        found: dict[str, list[Any] | None] = {
            "size": self.sizes,
            "bytes": self.bytes,
            "ratio": [self.sample_bytes / b for b in self.bytes],
            "mse": self.mse,
            "mse_8bit": self.mse_8bit,
            "pca_mse": self.pca_mse,
            "accuracy": self.accuracy,
            "pca_accuracy": self.pca_accuracy,
        }
        return {name: values for name, values in found.items() if values is not None}


class Trained(NamedTuple):
    """A model of one size, and its numbers."""

    model: Estimator
    mse: float
    mse_8bit: float
    accuracy: float | None


def code_sizes(
    model: Estimator,
    X: Any,
    *,
    X_test: Any,
    sizes: Sequence[int] | None = None,
    X_val: Any = None,
    y: Any = None,
    y_test: Any = None,
    random_state: Any = None,
    n_jobs: int | None = None,
    callback: Callable[[int, Trained], object] | None = None,
) -> CodeSizes:
    """Train copies of `model` with codes of each size on X, with one seed, and test them.

    `sizes` are powers of two by default. `y` and `y_test` are labels, `random_state` is that of
    `model` by default. `n_jobs` models are trained at once, each in a process; without it as many
    as there are cores, and one where there is little to do or a GPU. The result is the same for
    any `n_jobs`. `callback` is called with each size and its `Trained`, in order.

    >>> X = np.random.default_rng(0).random((100, 8), dtype=np.float32)
    >>> from diabolo import Autoencoder
    >>> model = Autoencoder(hidden=(), epochs=2, random_state=0)
    >>> code_sizes(model, X[:80], X_test=X[80:], sizes=[1, 2, 4]).sizes
    [1, 2, 4]
    """
    train, test = as_rows(X), as_rows(X_test)
    _check(model, train, test, n_jobs)
    labels = _labels(y, y_test, train, test)
    wanted = check_sizes(sizes, features(train))
    seed = find_seed(model.random_state if random_state is None else random_state)
    planned = clone(model).set_params(random_state=seed)
    planned.validated()
    samples = Held(train, test, None if X_val is None else as_rows(X_val), labels)
    found = _train(planned, wanted, samples, n_jobs, callback)
    pca_mse, pca_accuracy = _linear(found[0].model, wanted, samples, seed)
    _tell(planned, wanted, found)
    return CodeSizes(
        sizes=wanted,
        mse=[one.mse for one in found],
        mse_8bit=[one.mse_8bit for one in found],
        pca_mse=pca_mse,
        accuracy=None if labels is None else [float(one.accuracy or 0) for one in found],
        pca_accuracy=pca_accuracy,
        sample_bytes=_bytes(found[0].model),
        models=[one.model for one in found],
    )


def features(X: Any) -> int:
    """How many numbers a sample has; refuses a table that has more than numbers."""
    if mixed(X):
        raise InputError(
            "Sizes of the code are tried on numbers alone, and this table has categories, dates or"
            " gaps: fit it with --latent-dim of each size, and compare the runs."
        )
    return math.prod(X.shape[1:])


def check_sizes(sizes: Sequence[int] | None, features: int) -> list[int]:
    """The sizes in rising order; by default up to eight powers of two below `features`."""
    if features < 2:
        raise InputError("Samples of one number have no smaller code: give more features.")
    if sizes is None:
        powers = [2**n for n in range(features.bit_length()) if 2**n < features]
        return powers if len(powers) <= 8 else powers[1:9]
    if len(sizes) == 0:
        raise InputError("There are no sizes: give some, such as 2, 4, 8.")
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
            raise InputError(f"A size must be an integer of at least 1, but is {size!r}.")
        if size >= features:
            raise InputError(
                f"A code of {size} is not smaller than a sample of {features} numbers: give sizes"
                f" below {features}."
            )
    return sorted({int(size) for size in sizes})


def knee(sizes: Sequence[int], errors: Sequence[float]) -> int | None:
    """The size at the knee of a falling curve of errors; None where there is no clear one.

    >>> knee([1, 2, 4, 8, 16], [1.0, 0.5, 0.01, 0.01, 0.0])
    4
    """
    best = np.minimum.accumulate(np.asarray(errors, dtype=np.float64))
    if len(sizes) < 3 or not falling(errors) or best[0] == best[-1]:
        return None
    position = np.log(np.asarray(sizes, dtype=np.float64) / sizes[0])
    height = (1 - position / position[-1]) - (best - best[-1]) / (best[0] - best[-1])
    top = int(height.argmax())
    return int(sizes[top]) if height[top] >= LEAST_BEND else None


def falling(errors: Sequence[float]) -> bool:
    """Whether no larger code is clearly worse than a smaller one."""
    curve = np.asarray(errors, dtype=np.float64)
    best = np.minimum.accumulate(curve)
    return bool(np.isfinite(curve).all() and (curve - best).max() <= LEAST_BEND * np.ptp(curve))


class Held(NamedTuple):
    """The samples to train on, to test on and to validate on, and the labels of the first two."""

    train: Any
    test: Any
    validation: Any
    labels: tuple[np.ndarray, np.ndarray] | None


def _check(model: Any, train: Any, test: Any, n_jobs: Any) -> None:
    if not isinstance(model, Estimator):
        raise InputError(f"model must be an autoencoder, but is {type(model).__name__}.")
    if isinstance(model.network, tuple):
        raise InputError("A network of your own has one size of code: give the name of a network.")
    if train.shape[1:] != test.shape[1:]:
        shapes = f"{tuple(test.shape[1:])}, those of X {tuple(train.shape[1:])}"
        raise InputError(f"The samples of X_test have shape {shapes}: give them the same.")
    if n_jobs is not None and (type(n_jobs) is not int or n_jobs < 1):
        raise InputError(f"n_jobs must be an integer of at least 1, but is {n_jobs!r}.")


def _labels(y: Any, y_test: Any, train: Any, test: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Both arrays of labels; None where there are none."""
    if y is None and y_test is None:
        return None
    if y is None or y_test is None:
        raise InputError("Labels are needed for both X and X_test: give y and y_test.")
    for name, labels, rows in (("y", y, train), ("y_test", y_test, test)):
        if len(labels) != len(rows):
            raise InputError(f"{name} has {len(labels)} labels for {len(rows)} samples.")
    if len(train) < NEIGHBOURS:
        raise InputError(
            f"The {NEIGHBOURS} nearest neighbours need as many samples, but X has {len(train)}:"
            " give more, or no labels."
        )
    return np.asarray(y), np.asarray(y_test)


# ---- training


def _train(
    model: Estimator,
    sizes: list[int],
    samples: Held,
    n_jobs: int | None,
    callback: Callable[[int, Trained], object] | None,
) -> list[Trained]:
    """The models of all sizes, in their order.

    However many are trained at once, each has the threads that all at once would leave to it.
    """
    jobs = min(n_jobs or _jobs(model, len(sizes), samples.train), len(sizes))
    threads = max(1, _cores() // len(sizes))
    pool = Parallel(jobs, return_as="generator", mmap_mode="c")
    tasks = (delayed(_one)(model, size, samples, threads, os.getpid()) for size in sizes)
    trained = []
    for size, one in zip(sizes, pool(tasks), strict=True):
        trained.append(one)
        if callback is not None:
            callback(size, one)
    return trained


def _jobs(model: Estimator, sizes: int, X: Any) -> int:
    """How many models are trained at once."""
    if find_device(model.device).type != "cpu":
        return 1
    planned = clone(model).set_params(latent_dim=1).suited(X)
    parameters = sum(layer.parameters for layer in planned.layers(X[:2]))
    work = 3.0 * parameters * len(X) * planned.epochs * sizes
    return 1 if work < SMALL and not takes_images(model.validated().network) else _cores()


def _cores() -> int:
    """The cores that this process may use."""
    return (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )


def _one(model: Estimator, size: int, samples: Held, threads: int, parent: int) -> Trained:
    """Train and test a model of one size; an interrupt is the business of the first process."""
    if os.getpid() != parent:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    with in_threads(threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", DoctorWarning)
        fitted = clone(model).set_params(latent_dim=size, verbose=False)
        fitted.fit(samples.train, X_val=samples.validation)
        return Trained(fitted, *_tested(fitted, samples))


def _tested(model: Estimator, samples: Held) -> tuple[float, float, float | None]:
    """The error, the error with codes of 8 bits, and the accuracy."""
    seen = corrupted(model, samples.test, model.seed_)
    clean = in_units(model, samples.test)
    train, z = model.transform(samples.train), model.transform(seen)
    errors = [
        metrics.mse(in_units(model, model.inverse_transform(codes)), clean)
        for codes in (z, _in_8_bits(z, train))
    ]
    accuracy = None
    if samples.labels is not None:
        test = z if seen is samples.test else model.transform(samples.test)
        y, y_test = samples.labels
        accuracy = knn_accuracy(train, y, test, y_test, NEIGHBOURS)
    return errors[0], errors[1], accuracy


def _in_8_bits(codes: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Codes as they come back from 256 equal steps over the range of the training codes."""
    low, high = train.min(axis=0), train.max(axis=0)
    step = np.where(high > low, high - low, 1) / (STEPS - 1)
    kept: np.ndarray = np.rint((codes - low) / step).clip(0, STEPS - 1)
    return (low + kept * step).astype(np.float32)


# ---- beside it


def _linear(
    model: Estimator, sizes: list[int], samples: Held, seed: int
) -> tuple[list[float], list[float] | None]:
    """The errors of the best linear method, and its accuracies where there are labels."""
    maps = best_linear(model, samples.train, sizes, seed=seed)
    seen = flat(model, corrupted(model, samples.test, seed))
    train, test = flat(model, samples.train), flat(model, samples.test)
    errors = [metrics.mse(linear(seen), test) for linear in maps]
    if samples.labels is None:
        return errors, None
    widest = maps[-1].factors[0].astype(np.float32)
    (z, z_test), (y, y_test) = (train @ widest, test @ widest), samples.labels
    return errors, [knn_accuracy(z[:, :k], y, z_test[:, :k], y_test, NEIGHBOURS) for k in sizes]


def _bytes(model: Estimator) -> int:
    """Bytes of a sample in the type that the model keeps it in."""
    return int(np.dtype(model.dtype_).itemsize * model.n_features_in_)


def _tell(model: Estimator, sizes: list[int], found: list[Trained]) -> None:
    """Pass on what the doctor found about the models."""
    for size, one in zip(sizes, found, strict=True):
        for finding in one.model.findings_:
            warnings.warn(f"code of {size}: {finding}", DoctorWarning, stacklevel=3)
