"""How good are digits from which law.

    python -m benchmarks.generation [RECIPE ...] [--data digits8] [--json FOLDER]

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

from benchmarks.embedding import SMALL, digits8
from benchmarks.table import Table
from diabolo import recipes
from diabolo.commands import runs
from diabolo.data import load_mnist
from diabolo.metrics import frechet_distance
from diabolo.models import MODELS
from diabolo.params import from_config
from diabolo.tasks.digits import quality
from diabolo.tasks.sampling import LatentSampler, copies

NAMES = ("vae-conv", "vae", "ae-32-fast", "ae")
NAMES8 = ("vae", "ae")
LAWS = (("gaussian", 1), ("mixture", 32), ("mixture", 64), ("mixture", 128))
LAWS8 = (("gaussian", 1), ("mixture", 8), ("mixture", 32))  # of the few small digits
K = 32  # of PCA, and 16 for the small digits
LOOKED = 1000  # new samples, and test samples, whose nearest training samples are looked for
Model = Any
Row = tuple[str, np.ndarray]


class Linear:
    """PCA in the place of an autoencoder, sampled by a mixture of Gaussians on its codes."""

    def __init__(self, x: np.ndarray, components: int) -> None:
        self.shape = x.shape[1:]
        self.pca = PCA(_width(x), random_state=0).fit(_rows(x))
        codes = self.pca.transform(_rows(x))
        self.law = GaussianMixture(components, reg_covar=1e-3, tol=1e-2, random_state=0).fit(codes)

    def sample(self, n: int) -> np.ndarray:
        """`n` images (n, H, W) in [0, 1] units."""
        codes = self.law.sample(n)[0]
        return self.pca.inverse_transform(codes).clip(0, 1).reshape(-1, *self.shape)


def rows(x: np.ndarray, given: argparse.Namespace) -> Iterator[Row]:
    """Each law by name, with its new digits in [0, 1] units."""
    for components in (1, 32):
        yield (
            f"PCA-{_width(x)}, {_words(components)}",
            Linear(x[: given.fit], components).sample(given.n),
        )
    for name in given.models:
        model = trained(name, x, given)
        epochs = len(model.history_["epoch"])
        words = f"{name} ({epochs} epoch{'s' * (epochs > 1)})"
        if model.net_.bottleneck.prior() is not None:
            yield f"{words}, prior", model.sample(given.n, random_state=0) / 255
        for law, count in LAWS8 if _small(x) else LAWS:
            sampler = LatentSampler(model, law=law, components=count, random_state=0)
            new = sampler.fit(x[: given.fit]).sample(given.n, random_state=0)
            yield f"{words}, {_words(count)}", new / 255


def trained(name: str, x: np.ndarray, given: argparse.Namespace) -> Model:
    """The model of a run that is there, or one trained now by the recipe."""
    if given.runs is not None and (given.runs / name).is_dir():
        return runs.load_model(given.runs / name)
    config = {"random_state": 0, **recipes.read(name).model}
    if _small(x):
        config |= SMALL | ({"likelihood": "bernoulli"} if config["kind"] == "VAE" else {})
    config |= {} if given.epochs is None else {"epochs": given.epochs}
    return from_config(config, MODELS).fit(x[: given.limit])


def cells(new: np.ndarray, x: np.ndarray, test: np.ndarray) -> list[str]:
    """What is said of new digits."""
    near = copies(255 * new[:LOOKED].astype(np.float32), x, test[:LOOKED])["share_near"]
    if _small(x):
        distance = frechet_distance(new.reshape(len(new), -1), _rows(test))
        return [f"{distance:.3f}", f"{near:.1%}"]
    found = quality(new, test)
    sure = (f"{found[key]:.3f}" for key in ("confidence", "balance"))
    return [f"{found['frechet']:.1f}", *sure, f"{near:.1%}"]


def _small(x: np.ndarray) -> bool:
    return x.shape[1:] == (8, 8)


def _width(x: np.ndarray) -> int:
    return 16 if _small(x) else K


def _words(components: int) -> str:
    return "Gaussian" if components == 1 else f"mixture of {components}"


def _rows(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1) / np.float32(255)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="RECIPE", help="vae-conv vae ae-32-fast ae")
    parser.add_argument("--data", choices=("mnist", "digits8"), default="mnist")
    parser.add_argument("-n", type=int, default=10_000, help="new digits a row (10000)")
    parser.add_argument("--epochs", type=int, help="default: the recipe's; 30 for vae-conv")
    parser.add_argument("--limit", type=int, help="train on the first N digits")
    parser.add_argument("--fit", type=int, default=60_000, help="digits to fit laws to (60000)")
    parser.add_argument("--runs", type=Path, metavar="DIR", help="where trained runs are")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    (x, _), (test, _) = load_mnist() if given.data == "mnist" else digits8()
    given.models = given.models or (NAMES8 if _small(x) else NAMES)
    heads = ["Fréchet of pixels"] if _small(x) else ["Fréchet", "confidence", "balance"]
    table = Table(f"generation-{given.data}", ("digits", *heads, "near copies"), given.json)
    held = min(given.n, len(test))
    table.row("training digits: the floor", *cells(x[-held:] / 255, x[:-held], test))
    for name, new in rows(x, given):
        table.row(name, *cells(new, x, test))


if __name__ == "__main__":
    main()
