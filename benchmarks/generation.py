"""How good are digits from which law: `python -m benchmarks.generation` prints a markdown table.

Each row is a model and the law that its codes are drawn from, fitted to training digits alone:
the Fréchet distance of 10,000 new digits to the test digits by the features of
`diabolo.tasks.digits` (the floor is that of as many training digits), how sure the classifier
is of them, how evenly it finds the ten classes, and the share of near copies of training digits.
PCA is the autoencoder without hidden layers. `--runs DIR` takes DIR/vae-conv and the like where
they are and says how many epochs they have; others are trained, by their recipe but for `--epochs`
and `--limit`.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from diabolo import recipes
from diabolo.commands import runs
from diabolo.data import load_mnist
from diabolo.models import MODELS
from diabolo.params import from_config
from diabolo.tasks.digits import quality
from diabolo.tasks.sampling import LatentSampler, copies

NAMES = ("vae-conv", "vae", "ae-32-fast", "ae")
LAWS = (("gaussian", 1), ("mixture", 32), ("mixture", 64), ("mixture", 128))
K = 32  # of PCA
LOOKED = 1000  # new samples, and test samples, whose nearest training samples are looked for
Model = Any
Row = tuple[str, np.ndarray]


class Linear:
    """PCA in the place of an autoencoder, sampled by a mixture of Gaussians on its codes."""

    def __init__(self, x: np.ndarray, components: int) -> None:
        self.pca = PCA(K, random_state=0).fit(_rows(x))
        codes = self.pca.transform(_rows(x))
        self.law = GaussianMixture(components, reg_covar=1e-3, tol=1e-2, random_state=0).fit(codes)

    def sample(self, n: int) -> np.ndarray:
        """`n` images (n, 28, 28) in [0, 1] units."""
        codes = self.law.sample(n)[0]
        return self.pca.inverse_transform(codes).clip(0, 1).reshape(-1, 28, 28)


def rows(x: np.ndarray, given: argparse.Namespace) -> Iterator[Row]:
    """Each law by name, with its new digits in [0, 1] units."""
    for components in (1, 32):
        yield f"PCA-{K}, {_words(components)}", Linear(x[: given.fit], components).sample(given.n)
    for name in given.models:
        model = trained(name, x, given)
        epochs = len(model.history_["epoch"])
        words = f"{name} ({epochs} epoch{'s' * (epochs > 1)})"
        if model.net_.bottleneck.sampling:
            yield f"{words}, prior", model.sample(given.n, random_state=0) / 255
        for law, count in LAWS:
            sampler = LatentSampler(model, law=law, components=count, random_state=0)
            new = sampler.fit(x[: given.fit]).sample(given.n, random_state=0)
            yield f"{words}, {_words(count)}", new / 255


def trained(name: str, x: np.ndarray, given: argparse.Namespace) -> Model:
    """The model of a run that is there, or one trained now by the recipe."""
    if given.runs is not None and (given.runs / name).is_dir():
        return runs.load_model(given.runs / name)
    config = {"random_state": 0, **recipes.read(name).model}
    config |= {} if given.epochs is None else {"epochs": given.epochs}
    return from_config(config, MODELS).fit(x[: given.limit])


def line(name: str, new: np.ndarray, x: np.ndarray, test: np.ndarray) -> str:
    """A row of the table."""
    found = quality(new, test)
    near = copies(255 * new[:LOOKED].astype(np.float32), x, test[:LOOKED])["share_near"]
    numbers = (f"{found[key]:.3f}" for key in ("confidence", "balance"))
    return f"| {name} | {found['frechet']:.1f} | {' | '.join(numbers)} | {near:.1%} |"


def _words(components: int) -> str:
    return "Gaussian" if components == 1 else f"mixture of {components}"


def _rows(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1) / np.float32(255)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=NAMES, metavar="RECIPE")
    parser.add_argument("-n", type=int, default=10_000, help="new digits a row (10000)")
    parser.add_argument("--epochs", type=int, help="default: the recipe's; 30 for vae-conv")
    parser.add_argument("--limit", type=int, help="train on the first N digits")
    parser.add_argument("--fit", type=int, default=60_000, help="digits to fit laws to (60000)")
    parser.add_argument("--runs", type=Path, metavar="DIR", help="where trained runs are")
    given = parser.parse_args()
    (x, _), (test, _) = load_mnist()
    print("| digits | Fréchet | confidence | balance | near copies |")
    print("|---|---:|---:|---:|---:|", flush=True)
    print(line("training digits: the floor", x[-given.n :] / 255, x[: -given.n], test), flush=True)
    for name, new in rows(x, given):
        print(line(name, new, x, test), flush=True)


if __name__ == "__main__":
    main()
