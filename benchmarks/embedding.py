"""Codes as features, without labels: python -m benchmarks.embedding [--seeds 3].

Autoencoders and PCA are fitted on the 60,000 training digits; then 5 nearest neighbours and
logistic regression (the linear probe) on their codes and labels. Accuracy on the 10,000 test
digits, in percent. The settings of the recipes were chosen by the 5 nearest neighbours of the
last 10,000 training digits among the codes of the first 50,000.
"""

import argparse
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.anomaly import recipe
from diabolo.data import load_mnist

WIDTHS = (2, 32)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.embedding", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--widths", nargs="+", type=int, choices=WIDTHS, default=WIDTHS)
    options = parser.parse_args()
    (x, y), (t, labels) = load_mnist()
    print("| codes | 5-NN | linear probe |", "|---|---|---|", sep="\n", flush=True)
    for width in options.widths:
        flat = [a.reshape(len(a), -1) / np.float32(255) for a in (x, t)]
        found = PCA(width, random_state=0).fit(flat[0])
        row(f"PCA-{width}", *map(found.transform, flat), y, labels)
        for seed in range(options.seeds):
            model = recipe(f"embed-{width}").set_params(random_state=seed).fit(x)
            row(f"diabolo embed-{width}, seed {seed}", *map(model.transform, (x, t)), y, labels)


def row(name: str, codes: Any, tested: Any, y: np.ndarray, labels: np.ndarray) -> None:
    """Print both accuracies of the codes."""
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    ways = (KNeighborsClassifier(5), linear)
    figures = [f"{100 * way.fit(codes, y).score(tested, labels):.2f}" for way in ways]
    print("|", " | ".join([name, *figures]), "|", flush=True)


if __name__ == "__main__":
    main()
