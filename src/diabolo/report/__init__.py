"""A run folder's pictures and its page: every figure, drawn for light and dark, in one file."""

import base64
import math
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure

from diabolo import figures
from diabolo.data import Samples, atomically
from diabolo.doctor import Finding, found, worse_than_linear
from diabolo.estimator import Estimator
from diabolo.params import Parameters
from diabolo.recipes import Recipe
from diabolo.report.words import described, story, verdict
from diabolo.tasks.embedding import plane
from diabolo.tasks.evaluation import corrupted, decibels, errors, in_units, pictured, shown
from diabolo.tasks.sampling import interpolate

__all__ = ["draw_loss", "verdict", "write", "write_picture"]

SHOWN = 10  # samples in a row of pictures
POINTS = 10_000  # codes in the map


NAMES = {  # of the numbers, where they can be plainer than in metrics.json
    "mse": "mean squared error",
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "bce": "BCE, nats per value",
    "nll": "negative log-likelihood, nats",
    "kl": "KL, nats",
    "elbo": "ELBO, nats",
    "noisy_mse": "before: mean squared error",
    "noisy_psnr": "before: PSNR, dB",
    "noisy_ssim": "before: SSIM",
    "damage": "damage outside the mark: mean squared error",
    "full_rank_mse": "of any rank: mean squared error",
}


class Picture(NamedTuple):
    """One figure of the report: its file's stem, its heading, what it shows, how to draw it."""

    name: str
    heading: str
    caption: str
    draw: Callable[[], Figure]


def write(
    folder: Path, model: Estimator, recipe: Recipe, numbers: dict[str, Any], test: Samples
) -> Path:
    """Draw all figures into `folder/figures` and write `folder/report.html`; its path."""
    pictures = _gallery(model, recipe, numbers, test)
    drawn = []
    for picture in pictures:
        light, dark = _drawn(picture)
        _write_bytes(folder / "figures" / f"{picture.name}.png", light)
        drawn.append({**picture._asdict(), "light": _inlined(light), "dark": _inlined(dark)})
    page = Environment(
        loader=PackageLoader("diabolo.report", "."), autoescape=True, trim_blocks=True
    ).get_template("page.html")
    text = page.render(
        recipe=recipe,
        story=story(model, recipe, numbers, _data(model, recipe, numbers, test)),
        verdict=verdict(numbers),
        findings=_findings(model, numbers),
        numbers=numbers,
        pictures=drawn,
        table=model.summary(),
        parameters=_parameters(model),
        names=NAMES,
    )
    with atomically(folder / "report.html") as temporary:
        temporary.write_text(text, encoding="utf-8")
    return folder / "report.html"


def _findings(model: Estimator, numbers: dict[str, Any]) -> list[Finding]:
    """What was wrong with the training, and with its result."""
    return [*model.findings_, *found(worse_than_linear(numbers))]


def _parameters(model: Estimator) -> dict[str, str]:
    """The hyperparameters as one reads them."""
    values = {p.name: getattr(model, p.name) for p in model.declared() if p.name != "verbose"}
    return {
        name: described(value) if isinstance(value, Parameters) else str(value).lower()
        for name, value in values.items()
    }


def draw_loss(folder: Path, model: Estimator) -> None:
    """Draw the loss so far into `folder/loss.png`."""
    write_picture(folder / "loss.png", lambda: _loss(model))


def write_picture(path: Path, draw: Callable[[], Figure]) -> None:
    """Draw a figure into a PNG file, whole or not at all."""
    with figures.theme():
        _write_bytes(path, figures.to_png(draw()))


def _drawn(picture: Picture) -> tuple[bytes, bytes]:
    """A picture as PNG for a light and for a dark page."""
    pngs = []
    for dark in (False, True):
        with figures.theme(dark):
            pngs.append(figures.to_png(picture.draw()))
    return pngs[0], pngs[1]


def _gallery(
    model: Estimator, recipe: Recipe, numbers: dict[str, Any], test: Samples
) -> list[Picture]:
    """The pictures that this model has, in the order of the page."""
    found = [*_training_pictures(model)]
    if model.image_shape_ is None:
        found += _table_pictures(model, test)
    elif pictured(model):
        found += _image_pictures(model, recipe, numbers, test)
    found += _error_pictures(model, test)
    if model.net_.bottleneck.sampling:
        found += _prior_pictures(model, test)
    return [*found, _architecture(model)]


def _training_pictures(model: Estimator) -> list[Picture]:
    if not model.history_["epoch"]:
        return []
    seconds = timedelta(seconds=round(sum(model.history_["seconds"])))
    title = f"Epoch: {len(model.history_['epoch'])}, Elapsed: {str(seconds).zfill(8)}"

    def by_step() -> Figure:
        return figures.iterations(model.step_loss_, unit=model.loss_unit_, title=title)

    return [
        Picture("loss", "Loss over the epochs", "Mean over an epoch.", lambda: _loss(model)),
        Picture("iterations", "Loss over the iterations", "One batch each, from 0.", by_step),
    ]


def _loss(model: Estimator) -> Figure:
    history = model.history_
    validation = [v for v in history["val_loss"] if v is not None]
    return figures.loss(history["loss"], validation or None, unit=model.loss_unit_)


def _image_pictures(
    model: Estimator, recipe: Recipe, numbers: dict[str, Any], test: Samples
) -> list[Picture]:
    """Rows of images, of their codes and of what came out."""
    X = test.array[: recipe.report.get("columns", SHOWN)]
    clean, code = in_units(model, X), np.asarray(model.transform(X))
    rows = [
        ("original", clean),
        (f"code ({code.shape[1]})", code),
        ("reconstruction", shown(model, model.reconstruct(X))),
    ]
    shape = " x ".join(map(str, figures.code_shape(code.shape[1])))
    caption = (
        f"Test images, their codes as pictures of {shape}, and what the decoder makes of them."
    )
    found = [
        Picture("reconstructions", "Reconstructions", caption, lambda: figures.rows(rows)),
    ]
    if model.corruption is None and test.noisy is None:
        return found
    noisy = corrupted(model, X, model.seed_, None if test.noisy is None else test.noisy[: len(X)])
    how = "corrupted as in training" if test.noisy is None else "their noisy partners"
    return [*found, _denoised(model, noisy, clean, numbers, how)]


def _denoised(
    model: Estimator, noisy: np.ndarray, clean: np.ndarray, numbers: dict[str, Any], how: str
) -> Picture:
    pictures = {"noisy": shown(model, noisy), "denoised": shown(model, model.reconstruct(noisy))}
    captions = {name: decibels(values, clean) for name, values in pictures.items()}
    before, after = (numbers["test"].get(name, math.inf) for name in ("noisy_psnr", "psnr"))
    caption = (
        f"Clean test images, {how}, and denoised. Over all test images the PSNR"
        f" is {before:.1f} dB before and {after:.1f} dB after. The last"
        " row is the difference between denoised and clean, black where there is none."
    )
    difference = np.abs(pictures["denoised"] - clean)
    rows = [("clean", clean), *pictures.items(), ("difference", difference)]
    return Picture("denoised", "Denoised", caption, lambda: figures.rows(rows, captions=captions))


def _table_pictures(model: Estimator, test: Samples) -> list[Picture]:
    X = test.array[:30]
    clean, output = in_units(model, X), in_units(model, model.reconstruct(X))
    columns = test.columns or [str(i) for i in range(X.shape[1])]
    caption = "Test rows in scaled units, their reconstructions, and the difference."
    return [
        Picture(
            "reconstructions",
            "Reconstructions",
            caption,
            lambda: figures.table_rows(clean, output, columns),
        )
    ]


def _error_pictures(model: Estimator, test: Samples) -> list[Picture]:
    """The histogram of errors and the map of codes."""
    wrong = errors(model, test.array, model.seed_, test.noisy)
    caption = "Squared error of each test sample, mean over its values"
    caption += ", from the mean code." if model.net_.bottleneck.sampling else "."
    found = [
        Picture(
            "error_histogram",
            "Reconstruction error",
            caption,
            lambda: figures.error_histogram(wrong, unit="mean squared error"),
        )
    ]
    X = test.array[:POINTS]
    if model.code_size_ > 1 and len(X) > 2:
        points, axes = plane(np.asarray(model.transform(X)))
        labels = None if test.labels is None else test.labels[:POINTS]
        caption = f"The codes of {len(X):,} test samples{'' if labels is None else ', by label'}."
        found.append(
            Picture(
                "latent",
                "Codes in two dimensions",
                caption,
                lambda: figures.latent(points, labels, axes=axes),
            )
        )
    return found


def _prior_pictures(model: Estimator, test: Samples) -> list[Picture]:
    """New samples, and the way from one test image to another."""
    if not pictured(model):
        return []
    new = shown(model, model.sample(64, random_state=model.seed_))
    between = shown(model, interpolate(model, test.array[0], test.array[1 % len(test.array)], 11))
    return [
        Picture(
            "generated",
            "Generated",
            "64 new images, decoded from random codes.",
            lambda: figures.grid(new, title="Generated Images"),
        ),
        Picture(
            "interpolation",
            "Interpolation",
            "From one test image to another, in equal steps of the code.",
            lambda: figures.strip(between),
        ),
    ]


def _architecture(model: Estimator) -> Picture:
    return Picture(
        "architecture",
        "Architecture",
        "The autoencoder, its encoder alone and its decoder alone.",
        lambda: figures.architecture(model.layers(), input_shape=model.sample_shape_),
    )


def _data(model: Estimator, recipe: Recipe, numbers: dict[str, Any], test: Samples) -> str:
    """What a run was trained and tested on, in words."""
    name = "MNIST" if recipe.source == "mnist" else Path(recipe.source).name
    what = "rows" if model.image_shape_ is None else "patches" if recipe.patches else "images"
    shape = " x ".join(map(str, model.sample_shape_))
    if recipe.pairs:
        noisy, clean = (Path(path).name for path in recipe.pairs)
        what, name = f"pairs of {what}", f"{clean}, whose noisy partners are from {noisy}"
    trained = f"{numbers['samples']:,} {what} of {shape} values from {name}"
    return f"{trained} (tested on {len(test.array):,} others)"


def _inlined(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _write_bytes(path: Path, content: bytes) -> None:
    with atomically(path) as temporary:
        temporary.write_bytes(content)
