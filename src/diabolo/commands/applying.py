"""`diabolo reconstruct`, `encode` and `decode`: a model used on files."""

from pathlib import Path

import numpy as np

from diabolo import data, figures
from diabolo.commands import runs
from diabolo.errors import InputError, complete
from diabolo.estimator import Estimator
from diabolo.report import write_picture
from diabolo.tasks.evaluation import decibels, pictured, shown

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
    return reconstruct_by(
        runs.load_model(model), source, out, corrupt=corrupt, seed=seed, force=force
    )


def reconstruct_by(
    fitted: Estimator, source: str, path: str | Path, *, corrupt: bool, seed: int, force: bool
) -> list[Path]:
    """As `reconstruct`, by a model that is loaded."""
    out = runs.free_for_result(path, source, force=force)
    picture = runs.free_to_write(out.with_name(f"{out.name}-comparison.png"), force=force)
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


def encode(model: str | Path, source: str, out: str | Path, *, force: bool = False) -> list[Path]:
    """Write the mean codes of INPUT, (N, K) float32, to .npy, .npz, .csv or .parquet.

    All but .npy keep the names of image files and the labels, where INPUT has them.
    """
    out = runs.free_for_result(out, source, force=force)
    if out.suffix not in (".npy", ".npz", ".csv", ".parquet"):
        raise InputError(f"Codes go to .npy, .npz, .csv or .parquet, not {out.name!r}.")
    fitted = runs.load_model(model)
    samples = runs.read_for(fitted, source)
    codes = fitted.transform(samples.array)
    data.write_codes(out, codes, of=samples)
    return complete([out], samples.failures)


def decode(model: str | Path, codes: str, out: str | Path, *, force: bool = False) -> list[Path]:
    """Write what the decoder makes of a file of codes, in the type of the training data."""
    out = runs.free_for_result(out, codes, force=force)
    fitted = runs.load_model(model)
    output = fitted.inverse_transform(data.read_codes(codes))
    data.write(out, output, like=runs.as_samples(fitted, output))
    return [out]


def _draw_comparison(model: Estimator, rows: dict[str, np.ndarray], path: Path) -> None:
    """The first samples, row under row, with PSNR where the original is among the rows."""
    pictures = {name: shown(model, values[:SHOWN]) for name, values in rows.items()}
    captions = {
        name: decibels(values, pictures["original"])
        for name, values in pictures.items()
        if "original" in pictures and name != "original"
    }
    write_picture(path, lambda: figures.rows(list(pictures.items()), captions=captions))
