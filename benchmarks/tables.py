"""Detection on tables beside PyOD: python -m benchmarks.tables FOLDER [--seeds 5] [--only NAME].

FOLDER has tables with known anomalies, an .npz each with X and y (1: anomaly), such as ADBench's
(S. Han et al., 2022). As V. Livernoche et al., "On Diffusion Modeling for Anomaly Detection",
2024: a random half of the normal rows trains, the other half and all anomalies are tested. What
is printed is the area under the ROC curve in percent, the mean over the seeds, and the seconds of
the processor that a table takes. All have their defaults; PyOD's are given rows as they are and
standardised. `--nets N`: only our own scores that ask a network, of one and of the mean of N.
"""

import argparse
import importlib
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.table import Table
from diabolo import AnomalyDetector

# of normal rows, of those to score and of a seed: how odd each is
Score = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
PYOD = {
    "KNN": "knn",
    "ECOD": "ecod",
    "IForest": "iforest",
    "LOF": "lof",
    "PCA": "pca",
    "AutoEncoder": "auto_encoder",
}
ASKING = ("blend", "near_codes", "reconstruction")  # a network
OURS = ("auto", *ASKING)


def main() -> None:
    """Print a row a table and a column a way, as they are measured, and the mean."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="+", help="tables with one of these words in their name")
    parser.add_argument("--ways", nargs="+", help="only these columns")
    parser.add_argument("--nets", type=int, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FOLDER", help="keep the table there")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    ways = {f"diabolo {c}": partial(ours, c, 1) for c in OURS} | pyod(raw=False) | pyod(raw=True)
    if options.nets:
        each = [(c, n) for c in ASKING for n in (1, options.nets)]
        ways = {f"{c}, {n} net{'s' * (n > 1)}": partial(ours, c, n) for c, n in each}
    ways = {name: way for name, way in ways.items() if name in (options.ways or ways)}
    name = "nets" if options.nets else "tables"
    table, found = Table(name, ["AUROC, %", "rows", "columns", *ways], options.json), []
    for path in sorted(options.folder.glob("*.npz")):
        if options.only and not any(word in path.stem for word in options.only):
            continue
        with np.load(path) as file:
            X, odd = file["X"], file["y"] == 1
        areas, seconds = measured(ways, X, odd, options.seeds)
        found.append(areas)
        cells = [f"{a:.1f} ({s:.1f} s)" for a, s in zip(areas, seconds, strict=True)]
        table.row(path.stem, *X.shape, *cells)
    means = [f"{mean:.2f}" for mean in np.mean(found, axis=0)]
    table.row(f"mean of {len(found)}", "", "", *means)


def measured(
    ways: dict[str, Score], X: np.ndarray, odd: np.ndarray, seeds: int
) -> tuple[np.ndarray, np.ndarray]:
    """Of each way the mean area in percent, and the mean seconds to fit and to score."""
    areas, seconds = np.empty((2, seeds, len(ways)))
    for seed, (train, test, labels) in enumerate(halves(X, odd, seeds)):
        for i, way in enumerate(ways.values()):
            begin = time.process_time()
            scores = way(train, test, seed)
            seconds[seed, i] = time.process_time() - begin
            areas[seed, i] = 100 * roc_auc_score(labels, np.nan_to_num(scores))
    return areas.mean(axis=0), seconds.mean(axis=0)


def halves(
    X: np.ndarray, odd: np.ndarray, seeds: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each seed the rows to train on, those to score, and which of these are odd."""
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(np.flatnonzero(~odd))
        half = len(order) // 2
        tested = np.concatenate([order[half:], np.flatnonzero(odd)])
        yield X[order[:half]], X[tested], odd[tested]


def ours(criterion: Any, nets: int, train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """A detector as it comes; a fifth of the rows calibrates it."""
    detector = AnomalyDetector(criterion=criterion, nets=nets, random_state=seed)
    return -np.asarray(detector.fit(train).score_samples(test))


def pyod(*, raw: bool) -> dict[str, Score]:
    """PyOD's detectors as they come, of rows as they are or standardised."""

    def of(module: str, name: str, train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
        found = getattr(importlib.import_module(f"pyod.models.{module}"), name)()
        if "random_state" in found.get_params():
            found.set_params(random_state=seed)
        if not raw:
            mean, std = train.mean(axis=0), train.std(axis=0)
            std[std == 0] = 1
            train, test = (train - mean) / std, (test - mean) / std
        return np.asarray(found.fit(train).decision_function(test))

    return {f"{n}{', raw' * raw}": partial(of, module, n) for n, module in PYOD.items()}


if __name__ == "__main__":
    main()
