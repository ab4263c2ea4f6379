"""What a first model is for: alarms, filled cells, and what a large file costs.

The figures `alarms`, `filling` and `memory` of `first_try`.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from scipy.stats import betabinom, norm
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler

from benchmarks.first_data import DataSet, halves, normal, read
from benchmarks.first_rows import head, line, measured, middle
from benchmarks.table import Row
from diabolo import AnomalyDetector, Autoencoder

RATE = 0.05  # of false alarms
WATCHED = "breast_cancer", "pima", "yeast", "vowels", "cardio"
FILLED = "breast_cancer", "wine", "diabetes", "vowels", "cardio"
BIG = 1_000_000, 3072  # bytes
FIT = """
import sys
from diabolo.cli import main
code = main(sys.argv[1:])
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
sys.exit(code or f"peak: {int(status['VmHWM'].split()[0]) // 1024} MB")
"""


# ---- alarms


def alarms(options: argparse.Namespace) -> None:
    """False alarms among fresh normal rows, a split for each seed.

    Theory: of m fresh rows, Beta-binomial(m, l, n + 1 - l) are flagged where n calibrate and
    l = floor(rate (n + 1)); equal scores make it fewer. Bands hold 95 % of the single rates and,
    for their mean, 99 %.
    """
    sets = (normal(name, options.data) for name in options.sets or WATCHED)
    head(
        "table", "rows", "held", "fresh", "mean, %", "band", "sd", "theory", "band of one", "in it"
    )
    for data, rows in measured(alarmed, options, sets):
        held, fresh = rows[0]["held"], rows[0]["fresh"]
        flagged = int(RATE * (held + 1))
        law = betabinom(fresh, flagged, held + 1 - flagged)
        rates = np.array([row["alarms"] for row in rows])
        wide = norm.ppf(0.995) * law.std() / len(rows) ** 0.5
        least, most = law.ppf([0.025, 0.975])
        inside = np.mean((rates >= least) & (rates <= most))
        unit = 100 / fresh
        line(
            data.name,
            *(len(data.X), held, fresh, f"{rates.mean() * unit:.2f}"),
            f"{(law.mean() - wide) * unit:.2f}-{(law.mean() + wide) * unit:.2f}",
            *(f"{sd * unit:.2f}" for sd in (rates.std(), law.std())),
            f"{least * unit:.1f}-{most * unit:.1f}",
            f"{100 * inside:.1f} %",
        )


def alarmed(data: DataSet, seed: int, changes: dict[str, Any]) -> Row:
    """How many of the fresh rows a detector flags that was fitted on the others."""
    known, fresh = halves(len(data.X), seed)
    model = Autoencoder().set_params(**changes) if changes else None
    detector = AnomalyDetector(model, false_alarm_rate=RATE, random_state=seed)
    odd = detector.fit(data.X[known]).predict(data.X[fresh]) < 0
    held = len(detector.calibration_scores_)
    return {"held": held, "fresh": len(fresh), "alarms": int(odd.sum())}


# ---- filling


def filling(options: argparse.Namespace) -> None:
    """Error of what is filled in, at the cells that were taken away, in standardised columns."""
    sets = (read(name, options.data) for name in options.sets or FILLED)
    ways = ("mean", "neighbours", "iterative", "ours")
    head("RMSE", "N", "D", *ways, "ours / iterative", "by seed", "")
    for data, rows in measured(filled, options, sets):
        ratios = [row["ours"] / row["iterative"] for row in rows]
        figures = [f"{middle(rows, way):.3f}" for way in ways]
        seeds = " ".join(f"{ratio:.3f}" for ratio in ratios)
        words = "loses" if median(ratios) > 1 else ""
        line(data.name, *data.X.shape, *figures, f"{median(ratios):.3f}", seeds, words)


def filled(data: DataSet, seed: int, changes: dict[str, Any]) -> Row:
    """Each way's error; the imputers see standardised columns, ours the table as it is."""
    X = data.X.astype(np.float64)
    gone = np.random.default_rng(seed).random(X.shape) < 0.2
    holes = np.where(gone, np.nan, X)
    unit, seen = StandardScaler().fit(X), StandardScaler().fit(holes)
    ways = {"mean": SimpleImputer(), "neighbours": KNNImputer()}
    ways["iterative"] = IterativeImputer(random_state=seed)
    found = {
        name: seen.inverse_transform(way.fit_transform(seen.transform(holes)))
        for name, way in ways.items()
    }
    found["ours"] = Autoencoder(random_state=seed).set_params(**changes).fit(holes).fill(holes)
    return {
        name: float(np.sqrt(np.square((values - X) / unit.scale_)[gone].mean()))
        for name, values in found.items()
    }


# ---- memory


def memory(_: argparse.Namespace) -> None:
    """The most memory that a training takes which needs 5,000 rows of a file of 3 GB."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "big.npy")
        rows = np.lib.format.open_memmap(path, "w+", np.uint8, BIG)  # sparse: takes no disk
        rows[:5000] = np.random.default_rng(0).integers(0, 256, (5000, BIG[1]))
        del rows
        words = ["fit", "ae", "--data", path, "--limit", "5000", "--out", Path(folder, "run")]
        done = subprocess.run(
            [sys.executable, "-c", FIT, *words], capture_output=True, text=True, check=False
        )
    print(done.stderr.strip().splitlines()[-1])
