"""Observed false-discovery rates.

    python -m benchmarks.discoveries FOLDER [--splits 200] [--json FOLDER]

The 8 x 8 digits of scikit-learn (zeros to fours are normal, fives to nines are not), and tables
of FOLDER as in `benchmarks.tables`. A detector is fitted once on a third of the normal samples.
Each split draws anew which of the others calibrate it and which, with a tenth of anomalies, are
judged. What is printed is the mean share of normal samples among those flagged, two standard
errors of it, and the mean share of anomalies that are flagged. Theory: at most the rate.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from benchmarks.table import Table
from diabolo import AnomalyDetector
from diabolo.tasks.conformal import discoveries

RATES = (0.05, 0.1, 0.2)
TABLES = ("6_cardio", "31_satimage-2", "38_thyroid")


def main() -> None:
    """Print a row for each data set and rate."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.discoveries", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    x, y = load_digits(return_X_y=True)
    given = {"digits 8 x 8": ((x.reshape(-1, 8, 8) * 255 / 16).astype(np.uint8), y > 4)}
    for name in TABLES:
        with np.load(options.folder / f"{name}.npz") as file:
            given[name] = file["X"], file["y"] == 1
    table = Table("discoveries", ("data", "asked %", "observed %", "+-", "found %"), options.json)
    for name, (X, odd) in given.items():
        for rate, (share, error, power) in observed(X, odd, options.splits).items():
            table.row(name, *(f"{100 * value:.1f}" for value in (rate, share, error, power)))


def observed(
    X: np.ndarray, odd: np.ndarray, splits: int
) -> dict[float, tuple[float, float, float]]:
    """The mean share of false discoveries, twice its standard error, and the power, by rate."""
    draw = np.random.default_rng(0)
    order = draw.permutation(np.flatnonzero(~odd))
    third = len(order) // 3
    detector = AnomalyDetector(random_state=0).fit(X[order[:third]])
    normal, strange = (detector.score_samples(X[i]) for i in (order[third:], np.flatnonzero(odd)))
    wrong, power = np.zeros((2, len(RATES), splits))
    for split in range(splits):
        mixed = draw.permutation(normal)
        held, fresh = np.sort(mixed[:third]), mixed[third:]
        some = draw.choice(strange, min(len(strange), len(fresh) // 9), replace=False)
        below = np.searchsorted(held, np.concatenate([fresh, some]), side="right")
        for i, rate in enumerate(RATES):
            flagged = discoveries((1 + below) / (third + 1), rate)
            wrong[i, split] = flagged[: len(fresh)].sum() / max(flagged.sum(), 1)
            power[i, split] = flagged[len(fresh) :].mean()
    errors = 2 * wrong.std(axis=1) / np.sqrt(splits)
    figures = zip(wrong.mean(axis=1), errors, power.mean(axis=1), strict=True)
    return dict(zip(RATES, figures, strict=True))


if __name__ == "__main__":
    main()
