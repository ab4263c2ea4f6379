"""The first try on any data: python -m benchmarks.first_try reconstruct [--sets wine,icons64].

`Autoencoder().fit(X)` with nothing else, beside what needs no training, on the sets of
`first_data`; half of the rows train, drawn by the seed, and the others test.

reconstruct   error of what is held out, beside PCA with the same code
features      accuracy of a logistic regression on the codes, beside PCA's
alarms        of a detector among normal rows of five tables, beside what theory allows
filling       a fifth of the cells of five tables, beside scikit-learn's imputers
memory        of `diabolo fit ae --limit 5000` on 3 GB

`--data FOLDER`, or DIABOLO_TABLES, has more tables: .npz with `X`, and `y` = 1 for what is odd.
"""

import argparse
import csv
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from scipy.stats import betabinom, norm
from sklearn.decomposition import PCA
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from benchmarks.first_data import DataSet, every, halves, normal, read
from benchmarks.table import Row
from diabolo import AnomalyDetector, Autoencoder
from diabolo.params import named, parse

NOTHING = 1e-10  # an error that float32's rounding makes
TIMES, SECONDS = 20, 20.0  # the time rule: so many times PCA's, or so long
LOSS = 0.005  # of accuracy, that is allowed
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


def main() -> None:
    """Print the table that is asked for."""
    options = asked()
    warnings.simplefilter("ignore")
    FIGURES[options.figure](options)


def asked() -> argparse.Namespace:
    """The command line."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.first_try", description=__doc__, formatter_class=layout
    )
    parser.add_argument("figure", choices=FIGURES)
    parser.add_argument("--sets", type=lambda text: text.split(","), help="a,b; else all")
    numbers = "0,1,2 if not given, and the first 200 for alarms"
    parser.add_argument("--seeds", type=lambda text: [*map(int, text.split(","))], help=numbers)
    parser.add_argument("--data", type=Path, default=os.environ.get("DIABOLO_TABLES"))
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument(
        "--with", dest="given", type=given, action="append", default=[], help="epochs=5, ..."
    )
    parser.add_argument("--csv", type=Path, help="every row, into this file")
    options = parser.parse_args()
    options.seeds = options.seeds or range(200 if options.figure == "alarms" else 3)
    return options


def given(text: str) -> tuple[str, Any]:
    """A parameter of `Autoencoder` that is not left at its default: hidden=64,32."""
    name, _, value = text.partition("=")
    declared = {p.name: p for p in Autoencoder.declared()}
    return name, parse(named("parameter", name, declared), value)


def measured(
    measure: Callable[..., Row], options: argparse.Namespace, sets: Iterable[DataSet]
) -> Iterator[tuple[DataSet, list[Row]]]:
    """Each set with a row for each seed; all rows also go into the file that is asked for."""
    rows: list[Row] = []
    seeds, changes = options.seeds, dict(options.given)
    with ProcessPoolExecutor(options.jobs) as pool:
        runner: Any = map if options.jobs == 1 else pool.map
        for data in sets:
            n = len(seeds)
            found = list(runner(measure, [data] * n, seeds, [changes] * n))
            rows += [{"set": data.name, "seed": s} | r for s, r in zip(seeds, found, strict=True)]
            write(options.csv, rows)
            yield data, found


def write(path: Path | None, rows: list[Row]) -> None:
    """All rows so far, where there is a file for them."""
    if path:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


def head(*cells: str) -> None:
    """Begin a table in Markdown."""
    line(*cells)
    print("|---" * len(cells) + "|", flush=True)


def line(name: str, *cells: Any) -> None:
    """A row of it."""
    print("|", " | ".join([name.ljust(16), *(str(c).rjust(7) for c in cells)]), "|", flush=True)


def middle(rows: list[Row], key: str) -> float:
    """The median over the seeds."""
    return median(row[key] for row in rows)


# ---- reconstruct


def reconstruct(options: argparse.Namespace) -> None:
    """Error of what is held out, beside PCA's."""
    Autoencoder(epochs=1).fit(np.random.default_rng(0).random((64, 4)))  # loads what a fit needs
    head("set", "N", "D", "K", "ours", "PCA", "ratio", "by seed", "s", "PCA s", "")
    all_rows = []
    for data, rows in measured(reconstruction, options, every(options.sets, options.data)):
        ratio, slow = middle(rows, "ratio"), sum(not row["in time"] for row in rows)
        words = ["loses"] * (ratio > 1) + ["slow"] * (2 * slow > len(rows))
        errors = [f"{middle(rows, key):.3g}" for key in ("ours", "PCA")]
        seconds = [f"{middle(rows, key):.2f}" for key in ("s", "PCA s")]
        seeds = " ".join(f"{row['ratio']:.4g}" for row in rows)
        sizes = rows[0]["N"], rows[0]["D"], rows[0]["K"]
        line(data.name, *sizes, *errors, f"{ratio:.4g}", seeds, *seconds, ", ".join(words))
        all_rows.append({"ratio": ratio, "slow": "slow" in words, "seeds": rows})
    print(f"\nOf {len(all_rows)} sets, by the median ratio:")
    for limit in (1.0, 0.9):
        count = sum(row["ratio"] <= limit for row in all_rows)
        each = sum(all(r["ratio"] <= limit for r in row["seeds"]) for row in all_rows)
        print(f"  at most {limit:.2f} times PCA's error: {count} (with every seed: {each})")
    count = sum(not row["slow"] for row in all_rows)
    print(f"  in at most {TIMES} times PCA's time or {SECONDS:g} s: {count}")


def reconstruction(data: DataSet, seed: int, changes: dict[str, Any]) -> Row:
    """Both errors: of tables in standardised columns, of images in their unit."""
    train, test = halves(len(data.X), seed)
    start = time.perf_counter()
    model = Autoencoder(random_state=seed).set_params(**changes).fit(data.X[train])
    seconds = time.perf_counter() - start
    x, t = data.flat(data.X[train]), data.flat(data.X[test])
    k = min(model.code_size_, *x.shape)
    start = time.perf_counter()
    scaler = StandardScaler(with_mean=not data.image, with_std=not data.image).fit(x)
    pca = PCA(k, random_state=seed).fit(scaler.transform(x))
    others = time.perf_counter() - start
    t, found = map(scaler.transform, (t, data.flat(np.asarray(model.reconstruct(data.X[test])))))
    errors = [
        float(np.square(y - t).mean()) for y in (found, pca.inverse_transform(pca.transform(t)))
    ]
    ours, theirs = (max(error, NOTHING) for error in errors)
    return {
        "N": len(data.X),
        "D": x.shape[1],
        "K": model.code_size_,
        "ours": errors[0],
        "PCA": errors[1],
        "ratio": ours / theirs,
        "s": seconds,
        "PCA s": others,
        "in time": seconds <= max(TIMES * others, SECONDS),
    }


# ---- features


def features(options: argparse.Namespace) -> None:
    """Accuracy of a logistic regression on the codes, beside PCA's."""
    sets = (d for d in every(options.sets, options.data) if d.y is not None)
    head("set", "N", "classes", "K", "ours, %", "PCA, %", "ours - PCA", "by seed", "")
    lost = []
    for data, rows in measured(accuracy, options, sets):
        gain = middle(rows, "gain")
        figures = [f"{100 * middle(rows, key):.2f}" for key in ("ours", "PCA", "gain")]
        seeds = " ".join(f"{100 * row['gain']:.2f}" for row in rows)
        sizes = len(data.X), len(np.unique(data.y)), rows[0]["K"]
        line(data.name, *sizes, *figures, seeds, "loses" if gain < -LOSS else "")
        lost += [data.name] * (gain < -LOSS)
    print(f"\nMore than {100 * LOSS:g} % below PCA: {', '.join(lost) or 'none'}")


def accuracy(data: DataSet, seed: int, changes: dict[str, Any]) -> Row:
    """Of both pipelines, on what is held out; PCA sees standardised columns or an image's unit."""
    train, test = halves(len(data.X), seed)
    model = Autoencoder(random_state=seed).set_params(**changes)
    ours = classifier(model).fit(data.X[train], data.y[train])
    k = ours[0].code_size_
    first = FunctionTransformer() if data.image else StandardScaler()
    x = data.flat(data.X)
    pca = PCA(min(k, *x[train].shape), random_state=seed)
    theirs = classifier(first, pca).fit(x[train], data.y[train])
    scores = ours.score(data.X[test], data.y[test]), theirs.score(x[test], data.y[test])
    return {"K": k, "ours": scores[0], "PCA": scores[1], "gain": scores[0] - scores[1]}


def classifier(*first: Any) -> Pipeline:
    """Logistic regression after these steps."""
    return make_pipeline(*first, StandardScaler(), LogisticRegression(max_iter=2000))


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


FIGURES = {f.__name__: f for f in (reconstruct, features, alarms, filling, memory)}

if __name__ == "__main__":
    main()
