"""`diabolo denoise`: images of any size, or rows, cleaned by a model that was trained to."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from diabolo import data, figures, metrics
from diabolo.commands import runs
from diabolo.commands.applying import SHOWN, reconstruct_by
from diabolo.data import Samples
from diabolo.data.samples import kind_by_name
from diabolo.errors import InputError, complete
from diabolo.estimator import Estimator
from diabolo.recipes import Recipe
from diabolo.report import write_picture
from diabolo.tasks import denoising, filters

LARGE, PICTURED = 64, 3  # the side from which images are drawn large, and then how many
TUNED, PIECE = 20, 128  # training images that filters are tuned on, and the side of a piece
COLUMNS = f"{'':18}  {'MSE':>8}  {'PSNR, dB':>8}  {'SSIM':>5}  seconds an image"


def denoise(
    model: str | Path,
    source: str,
    out: str | Path,
    *,
    corrupt: bool = False,
    beside: bool = False,
    seed: int = 0,
    force: bool = False,
) -> list[str | Path]:
    """Write INPUT cleaned, in its form, and for images a picture of before and after.

    Images may be of any sizes: they are cleaned in tiles. `corrupt`: first corrupted as in
    training, by the seed, and a table says how far both are from the clean ones; `beside` adds
    the classical filters to it. Returns its lines and the paths. Raises as `reconstruct` does.
    """
    fitted = runs.load_model(model)
    if fitted.corruption is None and not fitted.paired_:
        raise InputError(f"{model} was not trained to denoise: use reconstruct, or fit dae-32.")
    if beside and not corrupt:
        raise InputError("--beside compares with the clean images: give --corrupt as well.")
    if fitted.image_shape_ is None:
        if beside:
            raise InputError(f"--beside is for images, and {model} cleans rows of a table.")
        return list(reconstruct_by(fitted, source, out, corrupt=corrupt, seed=seed, force=force))
    out = runs.free_for_result(out, source, force=force)
    picture = runs.free_to_write(out.with_name(f"{out.name}-comparison.png"), force=force)
    parts = data.read_each(source)
    if len(parts) > 1 and kind_by_name(out) != "folder":
        raise InputError(f"{source} has images of different sizes: give a folder as --out.")
    strengths = _strengths(model, fitted) if beside else None
    done, failures = _each(parts, fitted, seed if corrupt else None)
    if strengths is not None:
        for one in done:
            one.filter(strengths)
    data.write_each(out, [one.output for one in done], [one.samples for one in done])
    written: list[str | Path] = [*_table(done, strengths), out] if corrupt else [out]
    if fitted.image_shape_[0] in (1, 3):
        write_picture(picture, lambda: _picture(done))
        written.append(picture)
    return complete(written, failures)


@dataclass
class _Done:
    """Images of one size, what was made of them, and the same in [0, 1] units."""

    samples: Samples
    output: np.ndarray
    clean: np.ndarray | None
    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def filter(self, strengths: filters.Strengths) -> None:
        """Add what the classical filters make of the corrupted images."""
        noisy, ours = self.pictures["corrupted"], self.pictures.pop("denoised")
        for name, strength in strengths.items():
            started = time.perf_counter()
            self.pictures[name] = filters.apply(name, noisy, strength)
            self.seconds[name] = time.perf_counter() - started
        self.pictures["denoised"] = ours


def _each(
    parts: Sequence[Samples], model: Estimator, seed: int | None
) -> tuple[list[_Done], list[str]]:
    """The images of each size denoised, those that the model cannot take named."""
    done, failures = list[_Done](), list(parts[0].failures)
    for samples in parts:
        try:
            done.append(_denoised(samples, model, seed))
        except InputError as error:
            if len(parts) == 1:
                raise
            failures += [f"{name}: {error}" for name in samples.names]
    if not done:
        raise InputError(f"None of the images can be denoised; {failures[0]}")
    return done, failures


def _denoised(samples: Samples, model: Estimator, seed: int | None) -> _Done:
    clean = seen = samples.array
    if seed is not None:
        seen = denoising.corrupt(model, clean, random_state=seed)
    started = time.perf_counter()
    output = denoising.denoise(model, seen)
    seconds = {"denoised": time.perf_counter() - started}
    pictures = {"corrupted" if seed is not None else "input": _unit(model, seen)}
    pictures["denoised"] = _unit(model, output)
    return _Done(samples, output, None if seed is None else _unit(model, clean), pictures, seconds)


def _unit(model: Estimator, images: np.ndarray) -> np.ndarray:
    """Images in [0, 1] units, (N, H, W) or (N, C, H, W)."""
    low, high = model.net_.scaling.peak.tolist()
    scaled = (images.astype(np.float32) - low) / ((high - low) or 1)
    return scaled.reshape(-1, *(model.image_shape_ or ())) if images.ndim == 2 else scaled


def _strengths(path: str | Path, model: Estimator) -> filters.Strengths:
    """Strengths of the filters, tuned on training images where the run says which they were."""
    recipe = runs.recipe_beside(path)
    if recipe is None:
        return filters.MIDDLE
    few = _training_images(recipe, model)
    clean = few[..., :PIECE, :PIECE]
    noisy = denoising.corrupt(model, few, random_state=1)[..., :PIECE, :PIECE]
    return filters.tune(_unit(model, clean), _unit(model, noisy))


def _training_images(recipe: Recipe, model: Estimator) -> np.ndarray:
    """A few of the images of a run, or of the patches of those that it was trained on."""
    if recipe.patches:
        few = replace(recipe, data={**recipe.data, "patches": 4 * TUNED})
        return runs.load_split(few, model.seed_).train
    array = data.read(recipe.source, image_shape=model.image_shape_).array[:TUNED]
    return array.reshape(-1, *(model.image_shape_ or ()))


def _table(done: Sequence[_Done], strengths: filters.Strengths | None) -> list[str]:
    """How far the images are from the clean ones, means over all; a line a method."""
    lines, count = [COLUMNS], sum(len(one.output) for one in done)
    for name in done[0].pictures:
        sums: dict[str, float] = defaultdict(float)
        for one in done:
            assert one.clean is not None
            sums["mse"] += metrics.mse_per_sample(one.pictures[name], one.clean).sum()
            similar = metrics.ssim(one.pictures[name], one.clean)
            sums["ssim"] += np.nan if similar is None else similar * len(one.clean)
            sums["seconds"] += one.seconds.get(name, np.nan)
        mse, ssim, seconds = (sums[key] / count for key in ("mse", "ssim", "seconds"))
        strength = f" {strengths[name]:g}" if strengths and name in strengths else ""
        shown = ["-" if np.isnan(ssim) else f"{ssim:.3f}"]
        shown.append("-" if np.isnan(seconds) else f"{seconds:.2g}")
        label = f"{name}{strength}"
        lines.append(
            f"{label:20}{mse:8.4f}  {metrics.psnr(mse):8.2f}  {shown[0]:>5}  {shown[1]:>16}"
        )
    if strengths is not None:
        chosen = "set beforehand" if strengths is filters.MIDDLE else "the best on training images"
        lines.append(f"Strengths of the filters (the number beside the name): {chosen}.")
    return lines


def _picture(done: Sequence[_Done]) -> figures.Figure:
    """Before, after and their difference: of small images ten, of large ones three."""
    first = done[0]
    names = ["denoised"] if first.clean is None else ["corrupted", "denoised"]
    if len(done) == 1 and max(first.pictures["denoised"].shape[-2:]) <= LARGE:
        rows = {name: values[:SHOWN].clip(0, 1) for name, values in _rows(first).items()}
        captions = {
            name: _captions(rows[name], rows["original"]) for name in names if "original" in rows
        }
        return figures.rows(list(rows.items()), captions=captions)
    lines, notes = list[list[np.ndarray]](), list[list[str]]()
    for one in done[:PICTURED]:
        rows = _rows(one)
        for number in range(min(len(one.output), PICTURED - len(lines))):
            lines.append([values[number] for values in rows.values()])
            notes.append(
                [
                    _captions(values[number, None], rows["original"][number, None])[0]
                    if name in names and "original" in rows
                    else ""
                    for name, values in rows.items()
                ]
            )
    return figures.panels(list(_rows(first)), lines, captions=notes)


def _rows(one: _Done) -> dict[str, np.ndarray]:
    """The pictures to be drawn; a difference of 0 is gray, that of most weight black or white."""
    before = one.pictures.get("input") if one.clean is None else one.clean
    assert before is not None
    after = one.pictures["denoised"]
    difference = after - before
    most = np.quantile(np.abs(difference), 0.999, axis=tuple(range(1, after.ndim)), keepdims=True)
    gray = 0.5 + 0.5 * difference / np.maximum(most, 1e-6)
    if one.clean is None:
        return {"input": before, "denoised": after, "difference": gray}
    seen = one.pictures["corrupted"]
    return {"original": before, "corrupted": seen, "denoised": after, "error": gray}


def _captions(pictures: np.ndarray, clean: np.ndarray) -> list[str]:
    """PSNR and, where it has one, SSIM of each picture."""
    errors = metrics.mse_per_sample(pictures, clean)
    similar = [metrics.ssim(p[None], c[None]) for p, c in zip(pictures, clean, strict=True)]
    return [
        f"{metrics.psnr(error):.1f} dB" + ("" if ssim is None else f"\nSSIM {ssim:.2f}")
        for error, ssim in zip(errors, similar, strict=True)
    ]
