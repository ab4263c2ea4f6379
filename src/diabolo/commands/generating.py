"""`diabolo generate`, `interpolate` and `traverse`: pictures from codes."""

from pathlib import Path

import numpy as np

from diabolo import data, figures
from diabolo.commands import runs
from diabolo.data.samples import IMAGE_SUFFIXES
from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.report import write_picture
from diabolo.tasks import sampling
from diabolo.tasks.evaluation import pictured, shown

DIMENSIONS = 32  # rows of a traversal


def generate(
    model: str | Path,
    out: str | Path,
    *,
    n: int = 64,
    temperature: float = 1.0,
    seed: int = 0,
    force: bool = False,
) -> Path:
    """Write `n` new samples from the prior: one picture of all, an array file, or a folder."""
    if n < 1:
        raise InputError(f"-n must be at least 1, but is {n}.")
    out = runs.free_for_result(out, str(model), force=force)
    fitted = runs.load_model(model)
    new = fitted.sample(n, temperature=temperature, random_state=seed)
    if out.suffix.lower() in IMAGE_SUFFIXES:
        images = _images(fitted, new)
        write_picture(runs.png(out), lambda: figures.grid(images))
    else:
        data.write(out, new, like=runs.as_samples(fitted, new))
    return out


def interpolate(
    model: str | Path,
    a: str,
    b: str,
    out: str | Path,
    *,
    steps: int = 10,
    spherical: bool = False,
    force: bool = False,
) -> Path:
    """Write a strip of pictures from image A to image B, in equal steps of the code."""
    if steps < 2:
        raise InputError(f"--steps must be at least 2, but is {steps}.")
    out = runs.png(runs.free_for_result(runs.free_for_result(out, a, force=force), b, force=force))
    fitted = runs.load_model(model)
    first, last = (runs.read_one(fitted, source)[0] for source in (a, b))
    between = sampling.interpolate(fitted, first, last, steps, spherical=spherical)
    images = _images(fitted, between)
    write_picture(out, lambda: figures.strip(images))
    return out


def traverse(
    model: str | Path, source: str, out: str | Path, *, steps: int = 9, force: bool = False
) -> Path:
    """Write a picture with a row for each code dimension, moved over its range in training.

    The other dimensions stay at the code of the image. Of a code with more than 32 dimensions
    the 32 whose range is widest are shown.
    """
    if steps < 2:
        raise InputError(f"--steps must be at least 2, but is {steps}.")
    out = runs.png(runs.free_for_result(out, source, force=force))
    fitted = runs.load_model(model)
    z = fitted.transform(runs.read_one(fitted, source))[0]
    low, high = fitted.code_range_
    widest = np.sort(np.argsort(low - high, kind="stable")[:DIMENSIONS])
    codes = np.tile(z, (len(widest), steps, 1))
    for row, k in enumerate(widest):
        codes[row, :, k] = np.linspace(low[k], high[k], steps)
    images = _images(fitted, fitted.inverse_transform(codes.reshape(-1, len(z))))
    rows = images.reshape(len(widest), steps, *images.shape[1:])
    labels = [f"{k}" for k in widest]
    write_picture(out, lambda: figures.traversal(rows, labels))
    return out


def _images(model: Estimator, X: np.ndarray) -> np.ndarray:
    if not pictured(model):
        raise InputError("There is no picture of this model's samples: they are no images.")
    return shown(model, X)
