"""Anomaly detection beside PCA and PyOD: python -m benchmarks.anomaly [--digits 0 8] [--seeds 3].

Every table is the area under the ROC curve in percent, normal against the rest. A detector is
fitted on normal training samples only; the settings were chosen on held-out training digits (8
and 2, against the other training digits). PyOD's rows appear where it is installed.
"""

import argparse
import importlib
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from benchmarks.table import Table
from diabolo import AnomalyDetector, recipes
from diabolo.data import load_mnist
from diabolo.models import MODELS
from diabolo.params import from_config

# of normal samples, of those to score and of a seed: how odd each is
Score = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
PYOD = {
    "ECOD": "ecod",
    "IForest": "iforest",
    "KNN": "knn",
    "PCA": "pca",
    "AutoEncoder": "auto_encoder",
}
CRITERIA = ("auto", "reconstruction", "latent", "combined")


def main() -> None:
    """Print the tables that are asked for."""
    options = parse()
    warnings.simplefilter("ignore")
    if "mnist" in options.tables:
        seeds = range(options.first, options.first + options.seeds)
        mnist(options.digits, seeds, options.pyod, options.json)
    if "digits" in options.tables:
        small_digits(options.seeds, options.json)
    if "tumours" in options.tables:
        tumours(options.seeds, options.json)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.anomaly", description=__doc__)
    parser.add_argument("--digits", nargs="+", type=int, choices=range(10), default=range(10))
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--pyod", type=int, default=1000, help="training digits for PyOD; 0: none")
    tables = ("mnist", "digits", "tumours")
    parser.add_argument("--tables", nargs="+", choices=tables, default=tables)
    parser.add_argument("--json", type=Path, metavar="FOLDER", help="keep the table there")
    return parser.parse_args()


# ---- the ways


def ours(criterion: str, **changes: Any) -> Score:
    """A detector with the recipe one-class, of these images or with these changes."""

    def score(normal: np.ndarray, tested: np.ndarray, seed: int) -> np.ndarray:
        model = recipe("one-class").set_params(random_state=seed, **changes)
        return _judged(AnomalyDetector(model, criterion=criterion), normal, tested, seed)

    return score


def recipe(name: str) -> Any:
    """The model of a recipe, not fitted."""
    return from_config(recipes.read(name).model, MODELS)


def own_choice(criterion: str) -> Score:
    """A detector that takes the model that suits the size of the table."""

    def score(normal: np.ndarray, tested: np.ndarray, seed: int) -> np.ndarray:
        return _judged(AnomalyDetector(criterion=criterion), normal, tested, seed)

    return score


def _judged(
    detector: AnomalyDetector, normal: np.ndarray, tested: np.ndarray, seed: int
) -> np.ndarray:
    detector.set_params(random_state=seed, calibration_fraction=0.1)
    return -np.asarray(detector.fit(normal).score_samples(tested))


def pca(components: int, *, standard: bool = False) -> Score:
    """The squared error of what principal components leave."""

    def score(normal: np.ndarray, tested: np.ndarray, seed: int) -> np.ndarray:
        x, t = flat(normal, tested, standard=standard)
        found = PCA(components, random_state=seed).fit(x)
        return np.square(found.inverse_transform(found.transform(t)) - t).mean(axis=1)

    return score


def pyod(limit: int | None = None, *, standard: bool = False) -> dict[str, Score]:
    """PyOD's detectors as they come, fitted on the first `limit` samples; none if not there."""
    try:
        classes = [
            (name, getattr(importlib.import_module(f"pyod.models.{module}"), name))
            for name, module in PYOD.items()
        ]
    except ImportError:
        return {}

    def of(kind: Any) -> Score:
        def score(normal: np.ndarray, tested: np.ndarray, seed: int) -> np.ndarray:
            x, t = flat(normal[:limit], tested, standard=standard)
            found = kind()
            if "random_state" in found.get_params():
                found.set_params(random_state=seed)
            return found.fit(x).decision_function(t)

        return score

    share = f", {limit:,} training samples" if limit else ""
    return {f"PyOD {name}{share}": of(kind) for name, kind in classes}


def flat(
    normal: np.ndarray, tested: np.ndarray, *, standard: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Both as rows of float64, divided by 255 or standardised by what is normal."""
    x, t = (a.reshape(len(a), -1).astype(np.float64) for a in (normal, tested))
    if not standard:
        return x / 255, t / 255
    mean, std = x.mean(axis=0), x.std(axis=0)
    std[std == 0] = 1
    return (x - mean) / std, (t - mean) / std


# ---- the tables


def mnist(digits: Sequence[int], seeds: Sequence[int], limit: int, folder: Path | None) -> None:
    """One digit is normal: all its training images, scored on all 10,000 test digits."""
    (x, y), (t, labels) = load_mnist()
    ways = {
        "diabolo edges": ours("edges", epochs=1),  # which asks no model
        "diabolo one-class, shape": ours("shape"),
        "the same, reconstruction": ours("reconstruction"),
        "plain 784-128-32, reconstruction": ours(
            "reconstruction", hidden=(128,), latent_dim=32, corruption=None
        ),
        "PCA-32 residual": pca(32),
        **(pyod(limit) if limit else {}),
    }
    print(f"\nOne-class MNIST, seeds {list(seeds)}\n", flush=True)
    kept = Table("one-class-mnist", heads(digits), folder)
    measure(kept, digits, ways, lambda d, _: (x[y == d], t, labels != d), seeds)


def small_digits(seeds: int, folder: Path | None) -> None:
    """One of scikit-learn's 8x8 digits is normal; half of its images train."""
    x, y = load_digits(return_X_y=True)
    x = (x.reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)
    changes = {"epochs": 200, "batch_size": 32}

    def given(digit: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        train, test = train_test_split(x[y == digit], test_size=0.5, random_state=seed)
        return train, *_tested(test, x[y != digit])

    ways = {
        "diabolo edges": ours("edges", epochs=1),
        "diabolo one-class, shape": ours("shape", **changes),
        "the same, reconstruction": ours("reconstruction", **changes),
        "PCA-16 residual": pca(16),
        **pyod(),
    }
    print(f"\nOne-class 8x8 digits of scikit-learn, {seeds} seeds\n", flush=True)
    measure(Table("one-class-8x8", heads(range(10)), folder), range(10), ways, given, range(seeds))


def tumours(seeds: int, folder: Path | None) -> None:
    """Breast cancer: benign is normal, half of the benign samples train."""
    x, y = load_breast_cancer(return_X_y=True)

    def given(_: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        train, test = train_test_split(x[y == 1], test_size=0.5, random_state=seed)
        return train, *_tested(test, x[y == 0])

    ways = {f"diabolo, {name}": own_choice(name) for name in CRITERIA}
    ways |= {"PCA-10 residual": pca(10, standard=True), **pyod(standard=True)}
    print(f"\nBreast cancer, benign is normal, {seeds} seeds\n", flush=True)
    measure(Table("tumours", heads(["benign"]), folder), [1], ways, given, range(seeds))


def _tested(test: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is scored, and which of it is not normal."""
    tested = np.concatenate([test, others])
    return tested, np.arange(len(tested)) >= len(test)


def heads(columns: Iterable[Any]) -> list[str]:
    """The head of a table: the mean is over columns and seeds."""
    return ["AUROC, %", *map(str, columns), "mean", "sd of seeds"]


def measure(
    kept: Table,
    columns: Sequence[int],
    ways: dict[str, Score],
    given: Callable[[int, int], tuple[np.ndarray, np.ndarray, np.ndarray]],
    seeds: Sequence[int],
) -> None:
    """A row for each way."""
    for name, way in ways.items():
        figures = np.empty((len(seeds), len(columns)))
        for i, seed in enumerate(seeds):
            for j, column in enumerate(columns):
                normal, tested, odd = given(column, seed)
                figures[i, j] = 100 * roc_auc_score(odd, way(normal, tested, seed))
        cells = [f"{value:.2f}" for value in (*figures.mean(axis=0), figures.mean())]
        kept.row(name, *cells, f"{figures.mean(axis=1).std():.2f}")


if __name__ == "__main__":
    main()
