"""Codes as features, without labels: python -m benchmarks.embedding [--data digits8] [--seeds 3].

Autoencoders and PCA are fitted on the 60,000 training digits; then 5 nearest neighbours and
logistic regression (the linear probe) on their codes and labels. Accuracy on the 10,000 test
digits, in percent. The settings of the recipes were chosen by the 5 nearest neighbours of the
last 10,000 training digits among the codes of the first 50,000.

With `--data digits8`, scikit-learn's 1,797 digits of 8 x 8 pixels: the last 500 test, codes have 2
and 16 numbers, and the recipes are as they are but for `SMALL`, the code, and shifts as much
smaller as the images. Nothing was chosen on them.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.anomaly import recipe
from benchmarks.table import Table
from diabolo.data import load_mnist

WIDTHS = {"mnist": (2, 32), "digits8": (2, 16)}
SMALL = {"epochs": 100, "batch_size": 32}
Split = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.embedding", description=__doc__)
    parser.add_argument("--data", choices=WIDTHS, default="mnist")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--widths", nargs="+", type=int, choices=(2, 16, 32))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    small = options.data == "digits8"
    (x, y), (t, labels) = digits8() if small else load_mnist()
    name = f"features-{options.data}"
    table = Table(name, ("codes", "5-NN, %", "linear probe, %"), options.json)
    for width in options.widths or WIDTHS[options.data]:
        flat = [a.reshape(len(a), -1) / np.float32(255) for a in (x, t)]
        found = PCA(width, random_state=0).fit(flat[0])
        table.row(f"PCA-{width}", *accuracies(*map(found.transform, flat), y, labels))
        for seed in range(options.seeds):
            model = planned(width, small).set_params(random_state=seed).fit(x)
            codes = map(model.transform, (x, t))
            table.row(f"`embed-{width}`, seed {seed}", *accuracies(*codes, y, labels))


def digits8() -> Split:
    """scikit-learn's digits as bytes (N, 8, 8) with their labels: to train, and the last 500."""
    found = load_digits()
    x, y = np.rint(found.images * (255 / 16)).astype(np.uint8), found.target
    return (x[:-500], y[:-500]), (x[-500:], y[-500:])


def planned(width: int, small: bool) -> Any:
    """The model of the recipe for codes so wide, not fitted."""
    model = recipe("embed-2" if width == 2 else "embed-32").set_params(latent_dim=width)
    if small:
        model.set_params(**SMALL)
        if (affine := model.corruption) is not None:
            model.set_params(corruption=replace(affine, shift=affine.shift * 8 / 28))
    return model


def accuracies(codes: Any, tested: Any, y: np.ndarray, labels: np.ndarray) -> list[str]:
    """Both accuracies of the codes."""
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    ways = (KNeighborsClassifier(5), linear)
    return [f"{100 * way.fit(codes, y).score(tested, labels):.2f}" for way in ways]


if __name__ == "__main__":
    main()
