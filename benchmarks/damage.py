"""Photographs with other damage than noise: networks that undo it, and other methods.

    python -m benchmarks.damage PHOTOS TEST [--only jpeg blur logo holes] [--runs FOLDER]
        [--json FOLDER]

Each network is what `diabolo fit` makes of the folder PHOTOS by the words in `TRAINED` (a run that
is in the folder of runs already is taken), and for holes the model `photo`, as it ships. TEST are
photographs that they never saw, each damaged once, by a seed. PSNR in dB, averages over
photographs: of the whole, of the holes, of where the logo lies. `linear` is the best filter of
9 x 9 pixels in all channels, by least squares on pieces of PHOTOS, and of holes the smooth filling
that the model begins with. The classical methods are scikit-image's: the filter, or the strength,
that is best on these pieces; of holes and logos biharmonic inpainting, which is told where they
are.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from skimage import restoration

from benchmarks.photographs import psnr, read
from benchmarks.table import Table
from diabolo import load
from diabolo.corruption import Corruption, Scratches
from diabolo.gaps import smoothed
from diabolo.tasks.denoising import denoise
from diabolo.tasks.filling import fill
from diabolo.tasks.filters import GRIDS, apply
from diabolo.train import generator

SIGMA = 1.5  # of the blur, in pixels
PIECES, SIDE = 12, 192  # photographs to choose on, and the pixels of each
REACH, ROWS = 4, 20_000  # pixels of the linear filter to each side, and rows of a piece for it
UNET = "--network unet --network.biases True --hidden 24,32,48 --patch-size 64"
BLUR = f"--corruption blur --corruption.sigma={SIGMA} --corruption.noise=0.01"
LOGO = "watermark-photo --corruption.image {runs}/logo.png"
TRAINED = {
    "jpeg": f"photo-dae --corruption jpeg --corruption.quality=10,40 {UNET}",
    "blur": f"photo-dae {BLUR} {UNET}",
    "logo": LOGO,
    "logo-turned": f"{LOGO} --corruption.rotation=-30,30",
    "logo-tiled": f"{LOGO} --corruption.position tiled",
}
DAMAGES = (*TRAINED, "holes")
BALANCES, ROUNDS = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3), (2, 3, 5, 8, 12, 20)


class Pair(NamedTuple):
    """An image (1, 3, H, W) of 0-255, the same damaged (NaN in holes), where both are compared."""

    clean: np.ndarray
    damaged: np.ndarray
    where: np.ndarray


Method = Callable[[Pair], np.ndarray]  # what it makes of the damaged image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--only", nargs="+", choices=DAMAGES, default=[*DAMAGES])
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--json", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    known = read(given.photos, gray=False, limit=PIECES, side=SIDE)
    photographs = read(given.test, gray=False, limit=None, side=None)
    table = Table("damage", ["damage", "before", "linear", "classical", "network"], given.json)
    given.runs.mkdir(parents=True, exist_ok=True)
    logo().save(given.runs / "logo.png")
    for name in given.only:
        model = load("photo" if name == "holes" else trained(name, given), device="cpu")
        corruption = Scratches() if name == "holes" else model.net_.corruption
        pieces, test = pairs(corruption, known), pairs(corruption, photographs)
        classical, method = CLASSICAL.get(name, inpainting)(pieces)
        network = partial(repaired, model)
        methods = [lambda pair: pair.damaged, linear(name, pieces), method, network]
        before, straight, other, ours = (f"{mean(method, test):.2f}" for method in methods)
        before = "-" if name == "holes" else before
        table.row(name, before, straight, f"{other}, {classical}", ours)


def trained(name: str, given: argparse.Namespace) -> Path:
    """The folder of a run, which is trained where it is not there."""
    run: Path = given.runs / name
    if not run.exists():
        words = [word.format(runs=given.runs.absolute()) for word in TRAINED[name].split()]
        words += ["--data", str(given.photos), "--out", str(run), "--precision", "bf16"]
        subprocess.run([sys.executable, "-m", "diabolo", "fit", *words], check=True)
    return run


def logo() -> Image.Image:
    """A logo in three colours, on a transparent ground."""
    picture = Image.new("RGBA", (400, 160))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((5, 5, 155, 155), "#dc2828")
    pen.ellipse((45, 45, 115, 115), "white")
    pen.text((170, 35), "acme", "white", ImageFont.load_default(size=84))
    pen.rectangle((170, 135, 395, 150), "#285adc")
    return picture


def pairs(corruption: Corruption, images: list[np.ndarray]) -> list[Pair]:
    """Images as a corruption damages them, each by its own seed."""
    found = []
    for seed, clean in enumerate(images):
        x = torch.from_numpy(clean / 255)
        damaged = corruption.corrupt(x, generator(seed, "corrupt"), 0.0, 1.0)
        where = torch.ones_like(x) if damaged.mask is None else damaged.mask.expand_as(x)
        found.append(Pair(clean, 255 * damaged.x.numpy(), where.numpy() > 0))
    return found


def mean(method: Method, test: list[Pair]) -> float:
    """The average PSNR of what a method makes of images."""
    return float(np.mean([psnr(method(p)[p.where], p.clean[p.where]) for p in test]))


def repaired(model: Any, pair: Pair) -> np.ndarray:
    """What a model makes of an image, or of its holes."""
    use = fill if np.isnan(pair.damaged).any() else denoise
    return np.asarray(use(model, pair.damaged))


def linear(name: str, pieces: list[Pair]) -> Method:
    """The best filter of the pixels around each, with a constant; of holes the smooth filling."""
    if name == "holes":
        return lambda pair: smoothed(torch.from_numpy(pair.damaged)).numpy()
    draw = np.random.default_rng(0)
    inputs, targets = list[np.ndarray](), list[np.ndarray]()
    for pair in pieces:
        rows = np.flatnonzero(pair.where[0, 0])
        rows = draw.choice(rows, min(ROWS, len(rows)), replace=False)
        inputs.append(around(pair.damaged)[rows])
        targets.append(pair.clean[0].reshape(3, -1).T[rows])
    weights = np.linalg.lstsq(np.vstack(inputs), np.vstack(targets))[0]
    return lambda pair: (around(pair.damaged) @ weights).T.reshape(pair.clean.shape)


def around(image: np.ndarray) -> np.ndarray:
    """What lies around each pixel of an image (1, 3, H, W) and a one, (H W, 1 + 3 * 9 * 9)."""
    edges = [(0, 0), (REACH, REACH), (REACH, REACH)]
    windows = sliding_window_view(
        np.pad(image[0], edges, "symmetric"), (2 * REACH + 1,) * 2, (1, 2)
    )
    rows = windows.transpose(1, 2, 0, 3, 4).reshape(image[0, 0].size, -1)
    return np.hstack([rows, np.ones((len(rows), 1), rows.dtype)])


def best(methods: Mapping[str, Method], pieces: list[Pair]) -> tuple[str, Method]:
    """The method that is best on these pieces, and its name."""
    return max(methods.items(), key=lambda item: mean(item[1], pieces))


def filtered(pieces: list[Pair]) -> tuple[str, Method]:
    """The best filter that takes noise away."""

    def method(name: str, strength: float, pair: Pair) -> np.ndarray:
        return 255 * apply(name, pair.damaged / 255, strength)

    every = ((name, strength) for name, grid in GRIDS.items() for strength in grid)
    return best({f"{n} {s:g}": partial(method, n, s) for n, s in every}, pieces)


def deblurred(pieces: list[Pair]) -> tuple[str, Method]:
    """Wiener's or Richardson and Lucy's deconvolution, which are told the blur."""
    point = np.zeros((13, 13), np.float32)
    point[6, 6] = 1
    spread = ndimage.gaussian_filter(point, SIGMA)

    def planes(function: Callable[..., np.ndarray], strength: float, pair: Pair) -> np.ndarray:
        wide = np.pad(pair.damaged[0] / 255, [(0, 0), (16, 16), (16, 16)], "reflect")
        done = np.stack([function(plane, spread, strength) for plane in wide])
        return 255 * done[None, :, 16:-16, 16:-16].clip(0, 1)

    wiener = {f"Wiener {b:g}": partial(planes, restoration.wiener, b) for b in BALANCES}
    lucy = {
        f"Richardson-Lucy {n}": partial(planes, restoration.richardson_lucy, n) for n in ROUNDS
    }
    return best(wiener | lucy, pieces)


def inpainting(_: list[Pair]) -> tuple[str, Method]:
    """Biharmonic inpainting, which is told where."""

    def method(pair: Pair) -> np.ndarray:
        done = restoration.inpaint_biharmonic(
            pair.damaged[0] / 255, pair.where[0, 0], channel_axis=0, split_into_regions=True
        )
        return 255 * done[None].clip(0, 1)

    return "inpainting", method


CLASSICAL = {"jpeg": filtered, "blur": deblurred}

if __name__ == "__main__":
    main()
