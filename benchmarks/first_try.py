"""The first try on any data: python -m benchmarks.first_try reconstruct [--sets wine,icons64].

`Autoencoder().fit(X)` with nothing else, beside what needs no training, on the sets of
`first_data`; half of the rows train, drawn by the seed, and the others test.

reconstruct   error of what is held out, beside PCA with the same code
features      accuracy of a logistic regression on the codes, beside PCA's
mnist         error on the test digits with a code of 32, after 1 epoch and after 20
alarms        of a detector among normal rows of five tables, beside what theory allows
filling       a fifth of the cells of five tables, beside scikit-learn's imputers
memory        of `diabolo fit ae --limit 5000` on 3 GB

`--data FOLDER`, or DIABOLO_TABLES, has more tables: .npz with `X`, and `y` = 1 for what is odd.
"""

import argparse
import os
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from benchmarks.first_data import DataSet, every, halves
from benchmarks.first_rows import head, line, measured, middle
from benchmarks.first_uses import alarms, filling, memory
from benchmarks.table import Row
from diabolo import Autoencoder
from diabolo.data import load_mnist
from diabolo.params import named, parse

NOTHING, SAME = 1e-10, 1 + 1e-5  # an error, and a ratio of two, that float32's rounding makes
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


# ---- reconstruct


def reconstruct(options: argparse.Namespace) -> None:
    """Error of what is held out, beside PCA's; in seconds of the processor, of all threads."""
    Autoencoder(epochs=1).fit(np.random.default_rng(0).random((64, 4)))  # loads what a fit needs
    head("set", "N", "D", "K", "ours", "PCA", "ratio", "by seed", "s", "PCA s", "")
    all_rows = []
    for data, rows in measured(reconstruction, options, every(options.sets, options.data)):
        ratio, slow = middle(rows, "ratio"), sum(not row["in time"] for row in rows)
        words = ["loses"] * (ratio > SAME) + ["slow"] * (2 * slow > len(rows))
        errors = [f"{middle(rows, key):.3g}" for key in ("ours", "PCA")]
        seconds = [f"{middle(rows, key):.2f}" for key in ("s", "PCA s")]
        seeds = " ".join(f"{row['ratio']:.4g}" for row in rows)
        sizes = rows[0]["N"], rows[0]["D"], rows[0]["K"]
        line(data.name, *sizes, *errors, f"{ratio:.4g}", seeds, *seconds, ", ".join(words))
        all_rows.append({"ratio": ratio, "slow": "slow" in words, "seeds": rows})
    print(f"\nOf {len(all_rows)} sets, by the median ratio:")
    for limit in (1.0, 0.9):
        count = sum(row["ratio"] <= limit * SAME for row in all_rows)
        each = sum(all(r["ratio"] <= limit * SAME for r in row["seeds"]) for row in all_rows)
        print(f"  at most {limit:.2f} times PCA's error: {count} (with every seed: {each})")
    count = sum(not row["slow"] for row in all_rows)
    print(f"  in at most {TIMES} times PCA's time or {SECONDS:g} s: {count}")


def reconstruction(data: DataSet, seed: int, changes: dict[str, Any]) -> Row:
    """Both errors: of tables in standardised columns, of images in their unit."""
    train, test = halves(len(data.X), seed)
    start = time.process_time()
    model = Autoencoder(random_state=seed).set_params(**changes).fit(data.X[train])
    seconds = time.process_time() - start
    x, t = data.flat(data.X[train]), data.flat(data.X[test])
    k = min(model.code_size_, *x.shape)
    start = time.process_time()
    scaler = StandardScaler(with_mean=not data.image, with_std=not data.image).fit(x)
    pca = PCA(k, random_state=seed).fit(scaler.transform(x))
    others = time.process_time() - start
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


# ---- mnist


def mnist(options: argparse.Namespace) -> None:
    """Test error after one pass over the 60,000 digits and after twenty, beside PCA's."""
    (x, _), (t, _) = load_mnist()
    rows, tested = (a.reshape(len(a), -1) / np.float32(255) for a in (x, t))
    pca = PCA(32, random_state=0).fit(rows)
    theirs = np.square(pca.inverse_transform(pca.transform(tested)) - tested).mean()
    print(f"PCA: {theirs:.5f}", flush=True)
    for epochs in (1, 20):
        changes = dict(options.given) | {"latent_dim": 32, "epochs": epochs}
        errors = []
        for seed in options.seeds:
            model = Autoencoder(random_state=seed).set_params(**changes).fit(x)
            errors.append(np.square((model.reconstruct(t) - t) / 255).mean())
        by_seed = " ".join(f"{error:.5f}" for error in errors)
        print(f"epochs {epochs}: {median(errors):.5f}, by seed {by_seed}", flush=True)


FIGURES = {f.__name__: f for f in (reconstruct, features, mnist, alarms, filling, memory)}

if __name__ == "__main__":
    main()
