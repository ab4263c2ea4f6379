"""Denoisers side by side: classical filters, the best linear map, and this library.

    python -m benchmarks.denoising [--only mnist photographs digits8] [--corruption gaussian]
        [--epochs N] [--limit N] [--patches N]
    python -m benchmarks.denoising MODEL FOLDER    (see `benchmarks.photographs`)

MNIST: recipe conv-dae, with the corruption replaced; the classical filters on the first 1,000 test
images, their strengths chosen on 50 training images; the linear map, fitted on corrupted training
images, and the network on all 10,000 as well. scikit-learn's photographs: recipe photo-dae,
trained on patches of flower.jpg, on parts of which its settings were chosen; china.jpg denoised in
tiles. scikit-learn's 8 x 8 digits: the last 500 for testing. Prints tables in Markdown.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from benchmarks.photographs import main as benchmark_photographs
from diabolo import Autoencoder, data, metrics, recipes
from diabolo.corruption import Corruption, GaussianNoise, Masking, SaltAndPepper
from diabolo.linear import fit_linear
from diabolo.models import MODELS
from diabolo.params import from_config
from diabolo.tasks.denoising import corrupt, denoise, in_tiles
from diabolo.tasks.evaluation import best_linear
from diabolo.tasks.filters import GRIDS, apply, tune

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
    seconds: float | None = None

    def __str__(self) -> str:
        ssim = "-" if self.ssim is None else f"{self.ssim:.3f}"
        seconds = "-" if self.seconds is None else f"{self.seconds:.2g}"
        psnr = metrics.psnr(self.mse)
        return f"| {self.name} | {self.mse:.4f} | {psnr:.2f} | {ssim} | {seconds} |"


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
        strength = strengths[name]
        label = f"{name} ({strength:g})"
        rows.append(measured(label, clean, noisy, partial(apply, name, strength=strength)))
    return rows


def linear_map(model: Any, train: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The best linear denoiser of full rank, fitted on corrupted training images."""
    (best,) = best_linear(model, train, [None])
    return lambda x: best(x.reshape(len(x), -1)).reshape(x.shape).clip(0, 1)


def small_images(
    train: np.ndarray, test: np.ndarray, model: Any, first: int
) -> tuple[list[Row], list[Row]]:
    """Rows on the `first` test images, and of the fast methods on all."""
    noisy = model.corrupt(test, random_state=0)
    few = train[:TUNED]
    linear = linear_map(model, train)

    def network(x: np.ndarray) -> np.ndarray:
        return unit(model.reconstruct(x * 255))

    tables = []
    for count in (first, len(test)):
        clean, seen = unit(test[:count]), unit(noisy[:count])
        rows = [
            measured("best linear denoiser, full rank", clean, seen, linear),
            measured("**diabolo**", clean, seen, network),
        ]
        tables.append(rows)
    tuning = unit(few), unit(model.corrupt(few, random_state=1))
    classic = classical_rows(unit(test[:first]), unit(noisy[:first]), *tuning)
    return classic + tables[0], tables[1]


def planned(recipe: str, corruption: Corruption, epochs: int | None) -> Any:
    """The model of a recipe with another corruption, and epochs where they are given."""
    model: Any = from_config(recipes.read(recipe).model, MODELS)
    model.set_params(corruption=corruption, random_state=0)
    return model if epochs is None else model.set_params(epochs=epochs)


def mnist(corruption: Corruption, epochs: int | None, limit: int | None) -> None:
    """The tables of MNIST."""
    (train, _), (test, _) = data.load_mnist()
    train = train[:limit]
    model = planned("conv-dae", corruption, epochs)
    model.fit(train)
    rows, whole = small_images(train, test, model, 1000)
    print_table(f"first 1,000 test images, {model.epochs} epochs on {len(train):,}", rows)
    print_table("all 10,000 test images", whole)


def digits8(corruption: Corruption, epochs: int) -> None:
    """The table of scikit-learn's 8 x 8 digits, whose 17 levels become bytes."""
    from sklearn.datasets import load_digits

    images = np.rint(load_digits().images * (255 / 16)).astype(np.uint8)
    train, test = images[:-500], images[-500:]
    model = Autoencoder(
        hidden=(512, 512),
        latent_dim=None,
        corruption=corruption,
        likelihood="bernoulli",
        epochs=epochs,
        batch_size=32,
        schedule="one_cycle",
        learning_rate=2e-3,
        random_state=0,
    )
    model.fit(train)
    print_table(f"500 test images, {epochs} epochs", small_images(train, test, model, 500)[0])


def photographs(corruption: Corruption, epochs: int | None, patches: int) -> None:
    """The table of scikit-learn's photographs: trained on flower.jpg, tested on china.jpg."""
    from sklearn.datasets import load_sample_images

    china, flower = (image.transpose(2, 0, 1)[None] for image in load_sample_images().images)
    recipe = recipes.read("photo-dae")
    model = planned("photo-dae", corruption, epochs)
    started = time.perf_counter()
    model.fit(data.patches(flower, recipe.patches["size"], patches, random_state=0))
    trained = time.perf_counter() - started
    linear = linear_in_tiles(model, flower)
    noisy = corrupt(model, china, random_state=0)
    piece = flower[..., 85:341, 192:448]
    tuning = unit(piece), unit(corrupt(model, piece, random_state=1))
    rows = classical_rows(unit(china), unit(noisy), *tuning)
    methods: dict[str, Callable[[np.ndarray], Any]] = {
        f"best linear denoiser of {SIDE} x {SIDE} pixels": linear,
        "**diabolo**": lambda x: unit(denoise(model, x * 255)),
    }
    rows += [measured(name, unit(china), unit(noisy), one) for name, one in methods.items()]
    print_table(
        f"china.jpg, trained for {trained:.0f} s on {patches:,} patches of flower.jpg,"
        f" {model.epochs} epochs",
        rows,
    )


def linear_in_tiles(model: Any, photograph: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The best linear denoiser of small tiles in colour, blended where they overlap."""
    pieces = data.patches(photograph, SIDE, 40_000, random_state=0)
    seen = data.patches(corrupt(model, photograph, random_state=2), SIDE, 40_000, random_state=0)
    rows = unit(seen).reshape(len(seen), -1), unit(pieces).reshape(len(pieces), -1)
    (best,) = fit_linear([rows], [None])

    def tiles(x: np.ndarray) -> np.ndarray:
        return best(x.reshape(len(x), -1)).reshape(x.shape)

    return lambda x: in_tiles(tiles, x, (SIDE, SIDE), overlap=0.8).clip(0, 1)


def print_table(title: str, rows: list[Row]) -> None:
    """A table in Markdown."""
    print(f"\n{title}\n\n| | MSE | PSNR, dB | SSIM | seconds an image |\n|---|---|---|---|---|")
    print(*rows, sep="\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    names = ["mnist", "photographs", "digits8"]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    kinds = sorted(corruption.kind for corruption in MNIST.values())
    parser.add_argument("--corruption", nargs="+", choices=kinds, default=kinds, help="of MNIST")
    parser.add_argument("--epochs", type=int, help="on MNIST and photographs")
    parser.add_argument("--limit", type=int, help="MNIST training images, or of a folder (all)")
    parser.add_argument("--patches", type=int, default=20_000, help="of flower.jpg (20000)")
    parser.add_argument("model", nargs="?", help="a denoiser of photographs, such as photo")
    parser.add_argument("folder", nargs="?", help="of clean images to measure it on")
    parser.add_argument("--side", type=int, help="pixels of the middle of each (all)")
    parser.add_argument("--levels", nargs="+", type=float, default=[15, 25, 50])
    parser.add_argument("--without", nargs="+", default=[], help="bm3d, 'non-local means'")
    given = parser.parse_args()
    if given.folder:
        benchmark_photographs(given)
        return
    if "digits8" in given.only:
        print("\n## scikit-learn's digits, Gaussian noise 0.3")
        digits8(GaussianNoise(0.3), 60)
    if "photographs" in given.only:
        for name, corruption in PHOTOGRAPHS.items():
            print(f"\n## Photographs, {name}")
            photographs(corruption, given.epochs, given.patches)
    if "mnist" in given.only:
        chosen = {name: c for name, c in MNIST.items() if c.kind in given.corruption}
        for name, corruption in chosen.items():
            print(f"\n## MNIST, {name}")
            mnist(corruption, given.epochs, given.limit)


if __name__ == "__main__":
    main()
