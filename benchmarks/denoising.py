"""Denoisers side by side: classical filters, the best linear map, and this library.

    python -m benchmarks.denoising [--only mnist photographs digits8] [--corruption gaussian]
        [--epochs N] [--limit N] [--patches N] [--json FOLDER]
    python -m benchmarks.denoising MODEL FOLDER    (see `benchmarks.photographs`)

MNIST: recipe conv-dae, with the corruption replaced; the classical filters on the first 1,000 test
images, their strengths chosen on 50 training images; the linear map, fitted on corrupted training
images, and the network on all 10,000 as well. scikit-learn's photographs: recipe photo-dae,
trained on patches of flower.jpg, on parts of which its settings were chosen; china.jpg denoised in
tiles. scikit-learn's 8 x 8 digits: the last 500 for testing. Prints a table of each in Markdown:
PSNR in dB, SSIM in brackets, and the seconds that an image took, in the mean of the corruptions.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.photographs import main as benchmark_photographs
from benchmarks.table import Table
from diabolo import Autoencoder, data, metrics, recipes
from diabolo.corruption import Corruption, GaussianNoise, Masking, SaltAndPepper
from diabolo.linear import fit_linear
from diabolo.models import MODELS
from diabolo.params import from_config
from diabolo.tasks.denoising import corrupt, denoise, in_tiles
from diabolo.tasks.evaluation import best_linear
from diabolo.tasks.filters import GRIDS, apply, tune

OURS = "ours"
TUNED = 50
SIDE = 16
MNIST = {
    "Gaussian noise 0.5": GaussianNoise(0.5),
    "salt and pepper 0.3": SaltAndPepper(0.3),
    "masking 50 %": Masking(0.5),
}
PHOTOGRAPHS = {"Gaussian noise 0.1": GaussianNoise(0.1), "Gaussian noise 0.2": GaussianNoise(0.2)}


class Row(NamedTuple):
    """A denoiser's numbers on some test images."""

    name: str
    mse: float
    ssim: float | None
    seconds: float = 0.0

    def __str__(self) -> str:
        ssim = "" if self.ssim is None else f" ({self.ssim:.3f})"
        return f"{metrics.psnr(self.mse):.2f}{ssim}"


def measured(
    name: str, clean: np.ndarray, noisy: np.ndarray, method: Callable[[np.ndarray], Any]
) -> Row:
    """The row of a method, which is given all noisy images at once."""
    started = time.perf_counter()
    output = np.asarray(method(noisy))
    seconds = (time.perf_counter() - started) / len(noisy)
    return Row(name, metrics.mse(output, clean), metrics.ssim(output, clean), seconds)


def unit(images: np.ndarray) -> np.ndarray:
    """Images of bytes, rounded or not, in [0, 1]."""
    return images.astype(np.float32) / 255


def classical_rows(
    clean: np.ndarray, noisy: np.ndarray, train: np.ndarray, noisy_train: np.ndarray
) -> list[Row]:
    """The corrupted images themselves, and the filters with strengths from training images."""
    strengths = tune(train, noisy_train)
    rows = [Row("corrupted", metrics.mse(noisy, clean), metrics.ssim(noisy, clean))]
    for name in GRIDS:
        rows.append(measured(name, clean, noisy, partial(apply, name, strength=strengths[name])))
    return rows


def linear_map(model: Any, train: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The best linear denoiser of full rank, fitted on corrupted training images."""
    (best,) = best_linear(model, train, [None])
    return lambda x: best(x.reshape(len(x), -1)).reshape(x.shape).clip(0, 1)


def small_images(train: np.ndarray, test: np.ndarray, model: Any, first: int) -> list[Row]:
    """Rows on the `first` test images, and of the fast methods on all, where there are more."""
    noisy = model.corrupt(test, random_state=0)
    few, linear = train[:TUNED], linear_map(model, train)
    tuning = unit(few), unit(model.corrupt(few, random_state=1))
    rows = classical_rows(unit(test[:first]), unit(noisy[:first]), *tuning)

    def network(x: np.ndarray) -> np.ndarray:
        return unit(model.reconstruct(x * 255))

    for count in sorted({first, len(test)}):
        which = "" if count == first else f", all {count:,}"
        for name, method in (("best linear denoiser, full rank", linear), (OURS, network)):
            rows.append(measured(name + which, unit(test[:count]), unit(noisy[:count]), method))
    return rows


def planned(recipe: str, corruption: Corruption, epochs: int | None) -> Any:
    """The model of a recipe with another corruption, and epochs where they are given."""
    model: Any = from_config(recipes.read(recipe).model, MODELS)
    model.set_params(corruption=corruption, random_state=0)
    return model if epochs is None else model.set_params(epochs=epochs)


def mnist(corruption: Corruption, epochs: int | None, limit: int | None) -> list[Row]:
    """The rows of MNIST."""
    (train, _), (test, _) = data.load_mnist()
    train = train[:limit]
    model = planned("conv-dae", corruption, epochs)
    model.fit(train)
    print(f"{model.epochs} epochs on {len(train):,} digits", flush=True)
    return small_images(train, test, model, 1000)


def digits8(corruption: Corruption) -> list[Row]:
    """The rows of scikit-learn's 8 x 8 digits, whose 17 levels become bytes."""
    from sklearn.datasets import load_digits

    images = np.rint(load_digits().images * (255 / 16)).astype(np.uint8)
    train, test = images[:-500], images[-500:]
    model = Autoencoder(
        hidden=(512, 512),
        latent_dim=None,
        corruption=corruption,
        likelihood="bernoulli",
        epochs=60,
        batch_size=32,
        schedule="one_cycle",
        learning_rate=2e-3,
        random_state=0,
    )
    model.fit(train)
    return small_images(train, test, model, 500)


def photographs(corruption: Corruption, epochs: int | None, patches: int) -> list[Row]:
    """The rows of scikit-learn's photographs: trained on flower.jpg, tested on china.jpg."""
    from sklearn.datasets import load_sample_images

    china, flower = (image.transpose(2, 0, 1)[None] for image in load_sample_images().images)
    recipe = recipes.read("photo-dae")
    model = planned("photo-dae", corruption, epochs)
    started = time.perf_counter()
    model.fit(data.patches(flower, recipe.patches["size"], patches, random_state=0))
    trained = time.perf_counter() - started
    print(f"trained for {trained:.0f} s on {patches:,} patches, {model.epochs} epochs", flush=True)
    linear = linear_in_tiles(model, flower)
    noisy = corrupt(model, china, random_state=0)
    piece = flower[..., 85:341, 192:448]
    tuning = unit(piece), unit(corrupt(model, piece, random_state=1))
    rows = classical_rows(unit(china), unit(noisy), *tuning)
    methods: dict[str, Callable[[np.ndarray], Any]] = {
        f"best linear denoiser of {SIDE} x {SIDE} pixels": linear,
        OURS: lambda x: unit(denoise(model, x * 255)),
    }
    return rows + [measured(name, unit(china), unit(noisy), one) for name, one in methods.items()]


def linear_in_tiles(model: Any, photograph: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The best linear denoiser of small tiles in colour, blended where they overlap."""
    pieces = data.patches(photograph, SIDE, 40_000, random_state=0)
    seen = data.patches(corrupt(model, photograph, random_state=2), SIDE, 40_000, random_state=0)
    rows = unit(seen).reshape(len(seen), -1), unit(pieces).reshape(len(pieces), -1)
    (best,) = fit_linear([rows], [None])

    def tiles(x: np.ndarray) -> np.ndarray:
        return best(x.reshape(len(x), -1)).reshape(x.shape)

    return lambda x: in_tiles(tiles, x, (SIDE, SIDE), overlap=0.8).clip(0, 1)


def table(name: str, found: dict[str, list[Row]], folder: Path | None) -> None:
    """The table of a set of images: a row of each method, a column of each corruption."""
    kept = Table(f"denoising-{name}", ["", *found, "seconds an image"], folder)
    for rows in zip(*found.values(), strict=True):
        kept.row(rows[0].name, *rows, f"{np.mean([row.seconds for row in rows]):.2g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    names = ["mnist", "photographs", "digits8"]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    kinds = sorted(corruption.kind for corruption in MNIST.values())
    parser.add_argument("--corruption", nargs="+", choices=kinds, default=kinds, help="of MNIST")
    parser.add_argument("--epochs", type=int, help="on MNIST and photographs")
    parser.add_argument("--limit", type=int, help="MNIST training images, or of a folder (all)")
    parser.add_argument("--patches", type=int, default=20_000, help="of flower.jpg (20000)")
    parser.add_argument("--json", type=Path, metavar="DIR", help="keep the tables there")
    parser.add_argument("model", nargs="?", help="a denoiser of photographs, such as photo")
    parser.add_argument("folder", nargs="?", help="of clean images to measure it on")
    parser.add_argument("--side", type=int, help="pixels of the middle of each (all)")
    parser.add_argument("--levels", nargs="+", type=float, default=[15, 25, 50])
    parser.add_argument("--without", nargs="+", default=[], help="bm3d, 'non-local means'")
    given = parser.parse_args()
    if given.folder:
        benchmark_photographs(given)
        return
    mnists = {name: c for name, c in MNIST.items() if c.kind in given.corruption}
    makers: dict[str, tuple[dict[str, Any], Callable[[Any], list[Row]]]] = {
        "digits8": ({"Gaussian noise 0.3": GaussianNoise(0.3)}, digits8),
        "photographs": (PHOTOGRAPHS, lambda c: photographs(c, given.epochs, given.patches)),
        "mnist": (mnists, lambda c: mnist(c, given.epochs, given.limit)),
    }
    for name, (corruptions, rows) in makers.items():
        if name in given.only:
            table(name, {title: rows(one) for title, one in corruptions.items()}, given.json)


if __name__ == "__main__":
    main()
