"""The pictures of a report: which a model has, and what stands above each of them."""

import math
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from diabolo import figures
from diabolo.data import Samples
from diabolo.estimator import Estimator
from diabolo.recipes import Recipe
from diabolo.tasks.embedding import plane
from diabolo.tasks.evaluation import Outcome, decibels, in_units, pictured, shown
from diabolo.tasks.sampling import interpolate

SHOWN = 10  # samples in a row of pictures
LINES = 6  # signals
MARKED = 0.05  # of an image is under a watermark, where that is to be shown
POINTS = 10_000  # codes in the map


class Picture(NamedTuple):
    """One figure of the report: its file's stem, its heading, what it shows."""

    name: str
    heading: str
    caption: str
    figure: Figure


def gallery(
    model: Estimator, recipe: Recipe, numbers: dict[str, Any], test: Samples, outcome: Outcome
) -> Iterator[Picture]:
    """The pictures that this model has, in the order of the page; under `figures.theme`."""
    if model.history_["epoch"]:
        yield from _training(model)
    count = recipe.report.get("columns", SHOWN)
    if picture := compared(model, test, outcome, count):
        yield picture
    if pictured(model):
        if outcome.estimate is not None:
            yield _cleaned(outcome, count)
        elif outcome.corrupted:
            how = "corrupted as in training" if test.noisy is None else "their noisy partners"
            yield _denoised(outcome, count, numbers["test"], how)
    if outcome.estimate is None:
        yield _errors(model, outcome)
    if model.code_size_ > 1 and len(outcome.codes) > 2:
        yield _latent(test.labels, outcome)
    if model.net_.bottleneck.prior() is not None and pictured(model):
        yield from _generated(model, test)
    yield _architecture(model)


def compared(model: Estimator, test: Samples, outcome: Outcome, count: int) -> Picture | None:
    """Samples and their reconstructions, drawn as their kind is; None: they cannot be."""
    if model.grid_ is None:
        return _table(model, test)
    if len(model.grid_) == 2:
        return _signals(model, test, outcome)
    if len(model.grid_) == 4:
        return _volumes(model, test.array[:count])
    return _images(model, test.array[:count]) if pictured(model) else None


def loss(model: Estimator, on: Axes | None = None) -> Figure:
    """The loss over the epochs so far."""
    history = model.history_
    validation = [v for v in history["val_loss"] if v is not None]
    return figures.loss(history["loss"], validation or None, unit=model.loss_unit_, on=on)


def _training(model: Estimator) -> Iterator[Picture]:
    yield Picture("loss", "Loss over the epochs", "Mean over an epoch.", loss(model))
    seconds = timedelta(seconds=round(sum(model.history_["seconds"])))
    title = f"Epoch: {len(model.history_['epoch'])}, Elapsed: {str(seconds).zfill(8)}"
    figure = figures.iterations(model.step_loss_, unit=model.loss_unit_, title=title)
    caption = "One batch each, from 0."
    yield Picture("iterations", "Loss over the iterations", caption, figure)


def _images(model: Estimator, X: np.ndarray) -> Picture:
    """Rows of images, of their codes and of what came out."""
    code = np.asarray(model.transform(X))
    rows = [
        ("original", in_units(model, X)),
        (f"code ({code.shape[1]})", code),
        ("reconstruction", shown(model, model.reconstruct(X))),
    ]
    shape = " x ".join(map(str, figures.code_shape(code.shape[1])))
    caption = (
        f"Test images, their codes as pictures of {shape}, and what the decoder makes of them."
    )
    return Picture("reconstructions", "Reconstructions", caption, figures.rows(rows))


def _denoised(outcome: Outcome, count: int, test: dict[str, float], how: str) -> Picture:
    shown = _shown(outcome, count)
    clean = outcome.clean[shown]
    pictures = {
        "noisy": outcome.seen[shown].clip(0, 1),
        "denoised": outcome.output[shown].clip(0, 1),
    }
    captions = {name: decibels(values, clean) for name, values in pictures.items()}
    before, after = (test.get(name, math.inf) for name in ("noisy_psnr", "psnr"))
    caption = (
        f"Clean test images, {how}, and denoised. Over all test images the PSNR"
        f" is {before:.1f} dB before and {after:.1f} dB after. The last"
        " row is the difference between denoised and clean, black where there is none."
    )
    difference = np.abs(pictures["denoised"] - clean)
    rows = [("clean", clean), *pictures.items(), ("difference", difference)]
    return Picture("denoised", "Denoised", caption, figures.rows(rows, captions=captions))


def _shown(outcome: Outcome, count: int) -> np.ndarray:
    """The first test samples; where marks are laid over some, the first that have one."""
    if outcome.masks is None:
        return np.arange(min(count, len(outcome.seen)))
    marked = outcome.masks.reshape(len(outcome.masks), -1).mean(1) > MARKED
    return np.argsort(~marked, kind="stable")[:count]


def _cleaned(outcome: Outcome, count: int) -> Picture:
    """Before and after, where there are no clean images."""
    noisy, clean = outcome.seen[:count].clip(0, 1), outcome.output[:count].clip(0, 1)
    caption = (
        "Noisy test images, what came of them, and what was taken away (gray: nothing), which"
        " should be noise and show nothing of the images."
    )
    rows = [("noisy", noisy), ("denoised", clean), ("taken", 0.5 + noisy - clean)]
    return Picture("denoised", "Denoised", caption, figures.rows(rows))


def _table(model: Estimator, test: Samples) -> Picture:
    X = test.array[:30]
    clean, output = in_units(model, X), in_units(model, model.reconstruct(X))
    table = model.fitted_.intake.table
    columns = test.columns or [str(i) for i in range(X.shape[1])]
    if table is not None:
        columns = table.values_named
    caption = "Test rows in scaled units, their reconstructions, and the difference."
    figure = figures.table_rows(clean, output, columns)
    return Picture("reconstructions", "Reconstructions", caption, figure)


def _signals(model: Estimator, test: Samples, outcome: Outcome) -> Picture:
    """Some test signals as they were given, and what came out."""
    index = np.linspace(0, len(test.array) - 1, min(len(test.array), LINES)).astype(int)
    shape = (len(index), *model.grid_)
    lines = {"noisy": outcome.seen} if outcome.corrupted else {}
    lines |= {"original": outcome.clean, "reconstruction": outcome.output}
    figure = figures.signals(
        {name: rows[index].reshape(shape) for name, rows in lines.items()},
        [test.names[i] for i in index],
        names=test.columns or [],
    )
    caption = "Test signals in scaled units, and what the decoder makes of their codes."
    return Picture("reconstructions", "Reconstructions", caption, figure)


def _volumes(model: Estimator, X: np.ndarray) -> Picture:
    """The middle slices of the first channel of volumes, and of what came out."""
    low, high = model.net_.scaling.peak.tolist()

    def middle(volumes: np.ndarray) -> np.ndarray:
        shaped = np.asarray(volumes, np.float32).reshape(-1, *model.grid_)
        slices: np.ndarray = (shaped[:, 0, shaped.shape[2] // 2] - low) / ((high - low) or 1)
        return slices.clip(0, 1)

    rows = [("original", middle(X)), ("reconstruction", middle(model.reconstruct(X)))]
    caption = "The middle slices of test volumes, and what the decoder makes of their codes."
    return Picture("reconstructions", "Reconstructions", caption, figures.rows(rows))


def _errors(model: Estimator, outcome: Outcome) -> Picture:
    caption = "Squared error of each test sample, mean over its values"
    caption += ", from the mean code." if model.net_.bottleneck.sampling else "."
    figure = figures.error_histogram(outcome.errors, unit="mean squared error")
    return Picture("error_histogram", "Reconstruction error", caption, figure)


def _latent(labels: np.ndarray | None, outcome: Outcome) -> Picture:
    codes = outcome.codes[:POINTS]
    points, axes = plane(codes)
    kind = "corrupted test samples" if outcome.corrupted else "test samples"
    caption = f"The codes of {len(codes):,} {kind}{'' if labels is None else ', by label'}."
    shown = None if labels is None else labels[:POINTS]
    figure = figures.latent(points, shown, axes=axes)
    return Picture("latent", "Codes in two dimensions", caption, figure)


def _generated(model: Estimator, test: Samples) -> Iterator[Picture]:
    """New samples, and the way from one test image to another."""
    new = shown(model, model.sample(64, random_state=model.seed_))
    caption = "64 new images, decoded from random codes."
    figure = figures.grid(new, title="Generated Images")
    yield Picture("generated", "Generated", caption, figure)
    between = shown(model, interpolate(model, test.array[0], test.array[1 % len(test.array)], 11))
    caption = "From one test image to another, in equal steps of the code."
    yield Picture("interpolation", "Interpolation", caption, figures.strip(between))


def _architecture(model: Estimator) -> Picture:
    caption = "The autoencoder, its encoder alone and its decoder alone."
    figure = figures.architecture(model.layers(), input_shape=model.sample_shape_)
    return Picture("architecture", "Architecture", caption, figure)
