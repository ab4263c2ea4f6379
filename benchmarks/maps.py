"""Maps of two numbers, without labels.

    python -m benchmarks.maps [--held] [--ways pca umap parametric ours] [--limit N]

Each way is fitted on the 60,000 training digits and then places the 10,000 test digits. 5-NN: the
share of these whose class most of the 5 nearest training digits on the map have, in percent;
trustworthiness (J. Venna, S. Kaski, 2001) of the places of the first 2,000 test digits, with 5
neighbours; mse: of the test digits drawn again from their two numbers alone, pixels in [0, 1];
minutes of the processor for the fit. With `--held` the last 10,000 training digits stand in for
the test digits, and the first 50,000 are learnt from: by these figures the recipe was chosen.

`umap` is umap-learn with its defaults and its `transform`, `parametric` its network (Keras); they
are imported if they are installed. `--limit` takes the first training digits.
`--out DIR` keeps checkpoints there, and from them a run that was ended goes on.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.table import Table
from diabolo.data.mnist import read_split

JUDGED = 2000  # samples that trustworthiness is of
Way = tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray] | None]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.maps", description=__doc__)
    parser.add_argument("--held", action="store_true")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--set", nargs="*", default=[], help="of ours: parameter=number")
    parser.add_argument("--json", type=Path, metavar="FOLDER", help="keep the table there")
    options = parser.parse_args()
    x, y = read_split("train")
    t, labels = (x[50_000:], y[50_000:]) if options.held else read_split("test")
    x, y = (a[: options.limit or (50_000 if options.held else None)] for a in (x, y))
    rows, tested = (a.reshape(len(a), -1) / np.float32(255) for a in (x, t))
    table = Table("maps", ["map", "5-NN, %", "trust", "mse", "minutes"], options.json)
    for name in options.ways:
        for title, fit in WAYS[name](options):
            begun = time.process_time()
            place, draw = fit(rows)
            minutes = (time.process_time() - begun) / 60
            codes = place(tested)
            mse = np.square(draw(codes) - tested).mean() if draw else np.nan
            near = KNeighborsClassifier(5).fit(place(rows), y).score(codes, labels)
            trust = trustworthiness(tested[:JUDGED], codes[:JUDGED], n_neighbors=5)
            table.row(title, f"{100 * near:.2f}", f"{trust:.4f}", f"{mse:.4f}", f"{minutes:.1f}")


def pca(options: Any) -> list[tuple[str, Callable[[np.ndarray], Way]]]:
    """Principal components: of two numbers, and of eight."""

    def fitted(rows: np.ndarray, width: int) -> Way:
        found = PCA(width, svd_solver="covariance_eigh").fit(rows)
        return found.transform, found.inverse_transform

    return [(f"PCA-{k}", lambda rows, k=k: fitted(rows, k)) for k in (2, 8)]


def umap(options: Any) -> list[tuple[str, Callable[[np.ndarray], Way]]]:
    """umap-learn, which has no decoder that takes ten thousand places in minutes."""

    def fitted(rows: np.ndarray) -> Way:
        from umap import UMAP

        found = UMAP(random_state=options.seed).fit(rows)
        return found.transform, None

    return [("UMAP", fitted)]


def parametric(options: Any) -> list[tuple[str, Callable[[np.ndarray], Way]]]:
    """umap-learn's network, with its defaults."""

    def fitted(rows: np.ndarray) -> Way:
        from umap.parametric_umap import ParametricUMAP

        found = ParametricUMAP(random_state=options.seed).fit(rows)
        return found.transform, None

    return [("parametric UMAP", fitted)]


def ours(options: Any) -> list[tuple[str, Callable[[np.ndarray], Way]]]:
    """The recipe."""

    def fitted(rows: np.ndarray) -> Way:
        from benchmarks.anomaly import recipe

        model = recipe("embed-2").set_params(random_state=options.seed)
        given = dict(each.split("=") for each in options.set)
        model.set_params(**{k: float(v) if "." in v else int(v) for k, v in given.items()})
        images = np.rint(rows.reshape(-1, 28, 28) * 255).astype(np.uint8)
        model.fit(images, checkpoint=options.out)
        if options.out is not None:
            model.save(options.out / "map.safetensors")

        def place(rows: np.ndarray) -> np.ndarray:
            return model.transform(np.rint(rows.reshape(-1, 28, 28) * 255).astype(np.uint8))

        def draw(codes: np.ndarray) -> np.ndarray:
            return model.inverse_transform(codes).reshape(len(codes), -1) / np.float32(255)

        return place, draw

    return [(f"diabolo embed-2, seed {options.seed}", fitted)]


WAYS = {"pca": pca, "umap": umap, "parametric": parametric, "ours": ours}

if __name__ == "__main__":
    main()
