"""`diabolo reconstruct`, `denoise`, `encode` and `decode`: a model used on files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from diabolo import data, figures, metrics, store
from diabolo.commands import runs
from diabolo.errors import InputError, complete
from diabolo.estimator import Estimator
from diabolo.tasks.evaluation import in_units, pictured

SHOWN = 10  # samples in the picture of input and output


def reconstruct(
    model: str | Path,
    source: str,
    out: str | Path,
    *,
    corrupt: bool = False,
    seed: int = 0,
    force: bool = False,
) -> list[Path]:
    """Write the reconstructions of INPUT, in its form, and for images a picture of both.

    `corrupt`: first corrupted as in training, by the seed. Returns the paths. Raises `InputError`
    for a mistake, before anything is written, and `IncompleteError` after the work if some files
    were bad.
    """
    out = runs.free_for_result(out, source, force=force)
    picture = runs.free_to_write(_picture_beside(out), force=force)
    fitted = runs.load_model(model)
    samples = runs.read_for(fitted, source)
    clean = samples.array
    seen = fitted.corrupt(clean, random_state=seed) if corrupt else clean
    output = fitted.reconstruct(seen)
    data.write(out, output, like=samples)
    written = [out]
    if pictured(fitted):
        rows = {"original": clean, "corrupted": seen} if corrupt else {"input": seen}
        _draw_comparison(fitted, rows | {"output": output}, picture)
        written.append(picture)
    return complete(written, samples.failures)


def denoise(model: str | Path, source: str, out: str | Path, **options: Any) -> list[Path]:
    """As `reconstruct`, by a model that was trained with a corruption; refuses another."""
    corruption = store.read_config(runs.model_file(model))["model"].get("corruption")
    if corruption in (None, "none"):
        raise InputError(f"{model} was not trained to denoise: use reconstruct, or fit dae-32.")
    return reconstruct(model, source, out, **options)


def encode(model: str | Path, source: str, out: str | Path, *, force: bool = False) -> list[Path]:
    """Write the mean codes of INPUT, (N, K) float32, to .npy, .npz, .csv or .parquet."""
    out = runs.free_for_result(out, source, force=force)
    if out.suffix not in (".npy", ".npz", ".csv", ".parquet"):
        raise InputError(f"Codes go to .npy, .npz, .csv or .parquet, not {out.name!r}.")
    fitted = runs.load_model(model)
    samples = runs.read_for(fitted, source)
    codes = fitted.transform(samples.array)
    data.write(out, codes)
    return complete([out], samples.failures)


def decode(model: str | Path, codes: str, out: str | Path, *, force: bool = False) -> list[Path]:
    """Write what the decoder makes of a file of codes, in the type of the training data."""
    out = runs.free_for_result(out, codes, force=force)
    fitted = runs.load_model(model)
    z = data.read(codes).array
    output = fitted.inverse_transform(z)
    data.write(out, output, like=runs.as_samples(fitted, output))
    return [out]


def _picture_beside(out: Path) -> Path:
    return out.with_name(f"{out.name}-comparison.png")


def _draw_comparison(model: Estimator, rows: dict[str, np.ndarray], path: Path) -> None:
    """The first samples, row under row, with PSNR where the original is among the rows."""
    shown = [(name, in_units(model, values[:SHOWN]).clip(0, 1)) for name, values in rows.items()]
    captions: dict[str, list[str]] = {}
    if "original" in rows:
        clean = shown[0][1]
        for name, values in shown[1:]:
            errors = metrics.mse_per_sample(values, clean)
            captions[name] = [f"{metrics.psnr(error):.1f} dB" for error in errors]
    write_picture(path, lambda: figures.rows(shown, captions=captions))


def write_picture(path: Path, draw: Callable[[], Any]) -> None:
    """Draw a figure into a PNG file, whole or not at all."""
    with figures.theme(dark=False), data.atomically(path) as temporary:
        temporary.write_bytes(figures.to_png(draw()))
