"""A denoiser of photographs beside BM3D and non-local means, on a folder of clean images.

    python -m benchmarks.denoising MODEL FOLDER [--limit N] [--side N] [--levels 15 25 50]
        [--without bm3d] [--json FOLDER]

Noise is Gaussian, drawn by a seed for each image, and not clipped (sigma on 0-255). The model is
told the level, and is blind; BM3D is told it (`bm3d` from PyPI; K. Dabov, A. Foi, V. Katkovnik,
K. Egiazarian, "Image Denoising by Sparse 3-D Transform-Domain Collaborative Filtering", 2007).
Non-local means has the strength that is best for these very images. Averages of the PSNR in dB,
of gray and of colour, as Markdown; at sigma 0 the least, which is the harm that is done.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.table import Table
from diabolo import load, metrics, noise
from diabolo.tasks.denoising import denoise
from diabolo.tasks.filters import GRIDS, apply

Method = Callable[[np.ndarray, float], np.ndarray]  # (1, C, H, W) of 0-255 and its level
MEANS = "non-local means"


def read(folder: Path, *, gray: bool, limit: int | None, side: int | None) -> list[np.ndarray]:
    """The images of a folder, (1, C, H, W) float32 of 0-255, the middle of each."""
    found = list[np.ndarray]()
    for path in sorted(folder.iterdir())[:limit]:
        with Image.open(path) as image:
            if not gray and image.mode == "L":
                continue
            pixels = np.asarray(image.convert("L" if gray else "RGB"), np.float32)
        top, left = (max(0, n - (side or n)) // 2 for n in pixels.shape[:2])
        pixels = pixels[top : top + (side or 10**6), left : left + (side or 10**6)]
        found.append(np.atleast_3d(pixels).transpose(2, 0, 1)[None])
    return found


def noisy(images: list[np.ndarray], level: float) -> list[np.ndarray]:
    """The images with noise of a level, by a seed each."""
    draws = (np.random.default_rng(seed) for seed in range(len(images)))
    return [
        image + level * draw.standard_normal(image.shape, np.float32)
        for image, draw in zip(images, draws, strict=True)
    ]


def psnr(image: np.ndarray, clean: np.ndarray) -> float:
    return float(metrics.psnr(metrics.mse(image / 255, clean / 255)))


def bm3d_of(image: np.ndarray, level: float) -> np.ndarray:
    """As BM3D cleans an image that it is told the level of."""
    import bm3d

    planes = image[0].transpose(1, 2, 0) / 255
    colour = planes.shape[2] == 3
    done = (bm3d.bm3d_rgb if colour else bm3d.bm3d)(planes, level / 255)
    return 255 * np.atleast_3d(done).transpose(2, 0, 1)[None].astype(np.float32)


def means(images: list[np.ndarray], seen: list[np.ndarray]) -> tuple[float, float]:
    """The best average of non-local means over its strengths, and the strength."""
    found = {}
    for strength in GRIDS[MEANS]:
        each = (255 * apply(MEANS, y / 255, strength) for y in seen)
        found[strength] = np.mean([psnr(y, x) for y, x in zip(each, images, strict=True)])
    best = max(found, key=lambda s: float(found[s]))
    return float(found[best]), best


def rows(model: Any, images: list[np.ndarray], level: float, without: list[str]) -> dict[str, str]:
    """The average of each method on images with noise of a level."""
    seen = noisy(images, level)
    methods: dict[str, Method] = {
        "noisy": lambda y, _: y,
        "ours, told": partial(denoise, model),
        "ours, blind": lambda y, _: denoise(model, y),
        "ours, blind, ensemble": lambda y, _: denoise(model, y, ensemble=True),
    }
    if level and "bm3d" not in without:
        methods["BM3D, told"] = bm3d_of
    average = np.mean if level else np.min
    found = {
        name: f"{average([psnr(f(y, level), x) for x, y in zip(images, seen, strict=True)]):.2f}"
        for name, f in methods.items()
        if level or name == "ours, blind"
    }
    if level and MEANS not in without:
        found[MEANS + ", tuned"] = "{:.2f} ({:g})".format(*means(images, seen))
    levels = [noise.estimate(y[0]).level for y in seen]
    found["level found"] = f"{np.mean(levels):.1f} ({min(levels):.1f}-{max(levels):.1f})"
    return found


def main(given: Any) -> None:
    """Print the tables."""
    model = load(given.model, device="cpu")
    for gray in (True, False):
        images = read(Path(given.folder), gray=gray, limit=given.limit, side=given.side)
        if not images:
            continue
        kind = "gray" if gray else "colour"
        print(f"\n## {len(images)} images, {kind}\n")
        for number, level in enumerate([*given.levels, 0]):
            found = rows(model, images, level, given.without)
            if not number:
                names = [*found]
                title = f"photographs-{Path(given.folder).name}-{kind}"
                table = Table(title, ["sigma", *names], given.json)
            table.row(f"{level:g}", *(found.get(name, "-") for name in names))
