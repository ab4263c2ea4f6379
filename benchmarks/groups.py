"""Groups without labels: python -m benchmarks.groups [--held] [--seeds 3] [--set epochs=12].

Fitted on the 60,000 training digits; then the groups of the 10,000 test digits are held against
their labels: accuracy by the best pairing of ten groups with ten digits, in percent, and the
normalised mutual information. `auto` is how many groups are found where the number is not given;
minutes are those of the processor for the fit. `--held`: the last 10,000 training digits stand in
for the test digits. The autoencoder is the recipe `embed-32`; or with `--model FILE` a fitted one.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from benchmarks.anomaly import recipe
from benchmarks.table import Table
from diabolo import LatentClusterer, load
from diabolo.data.mnist import read_split
from diabolo.tasks.grouping import agreement


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.groups", description=__doc__)
    parser.add_argument("--held", action="store_true")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--model", help="a fitted one")
    parser.add_argument("--set", nargs="*", default=[], help="parameter=number")
    parser.add_argument("--json", type=Path, metavar="FOLDER", help="keep the table there")
    options = parser.parse_args()
    x, y = read_split("train")
    t, labels = (x[50_000:], y[50_000:]) if options.held else read_split("test")
    x = x[:50_000] if options.held else x
    table = Table("groups", ["groups", "accuracy, %", "NMI", "auto", "minutes"], options.json)
    table.row("PCA-10 and a mixture", *agreeing(plain(x)(t), labels), "", "")
    given = dict(each.split("=") for each in options.set)
    more = {k: float(v) if "." in v else int(v) for k, v in given.items()}
    for seed in range(options.seeds):
        begun = time.process_time()
        if options.model is None:
            model = recipe("embed-32").set_params(**more, random_state=seed).fit(x)
        else:
            model = load(options.model)
        found = LatentClusterer(model, groups=10, prefit=True, random_state=seed).fit(x)
        minutes = (time.process_time() - begun) / 60
        free = LatentClusterer(model, prefit=True, random_state=seed).fit(x)
        agreed = agreeing(found.predict(t), labels)
        name = f"diabolo LatentClusterer, seed {seed}"
        table.row(name, *agreed, free.n_groups_, f"{minutes:.1f}")


def plain(x: np.ndarray) -> Any:
    """A mixture on ten principal components."""
    flat = x.reshape(len(x), -1) / np.float32(255)
    components = PCA(10, svd_solver="covariance_eigh").fit(flat)
    mixture = GaussianMixture(10, random_state=0).fit(components.transform(flat))

    def groups(t: np.ndarray) -> np.ndarray:
        rows = t.reshape(len(t), -1) / np.float32(255)
        return np.asarray(mixture.predict(components.transform(rows)))

    return groups


def agreeing(groups: np.ndarray, labels: np.ndarray) -> tuple[str, str]:
    """How groups agree with labels."""
    found = agreement(labels, groups)
    return f"{100 * found['accuracy']:.2f}", f"{found['nmi']:.3f}"


if __name__ == "__main__":
    main()
