"""The first try on any data: python -m benchmarks.first_try reconstruct [--sets wine,icons64].

`Autoencoder().fit(X)` with nothing else, beside what needs no training, on the sets of
`first_data`; half of the rows train, drawn by the seed, and the others test.

reconstruct   error of what is held out, beside PCA with the same code
features      accuracy of a logistic regression on the codes, beside PCA's

`--data FOLDER`, or DIABOLO_TABLES, has more tables: .npz with `X`, and `y` = 1 for what is odd.
"""

import argparse
import csv
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from benchmarks.first_data import DataSet, every
from benchmarks.table import Row
from diabolo import Autoencoder
from diabolo.params import named, parse

NOTHING = 1e-10  # an error that float32's rounding makes
TIMES, SECONDS = 20, 20.0  # the time rule: so many times PCA's, or so long
LOSS = 0.005  # of accuracy, that is allowed


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
    parser.add_argument("--seeds", type=lambda text: [*map(int, text.split(","))], default="0,1,2")
    parser.add_argument("--data", type=Path, default=os.environ.get("DIABOLO_TABLES"))
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument(
        "--with", dest="given", type=given, action="append", default=[], help="epochs=5, ..."
    )
    parser.add_argument("--csv", type=Path, help="every row, into this file")
    return parser.parse_args()


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


def halves(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which rows train, and which test."""
    order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[: (n + 1) // 2]), np.sort(order[(n + 1) // 2 :])


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


FIGURES = {"reconstruct": reconstruct, "features": features}

if __name__ == "__main__":
    main()
