"""How well images are denoised: beside the noisy and the clean ones, and classical filters."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import numpy as np
from scipy import ndimage

from diabolo import figures, metrics
from diabolo.data import Samples
from diabolo.engines import over
from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.tasks import denoising, filling, filters, whole
from diabolo.tasks.evaluation import damage, in_units

SHOWN = 10  # small images in the picture
LARGE, PICTURED = 64, 3  # the side from which images are drawn large, and then how many
PIECE = 128  # side of a piece of the training images that filters are tuned on
TUNING_PIXELS = 2**16  # of those images together
COMPARED, MIDDLE = 100, 512  # images that filters are compared on, and the side of their middle
COMPARED_PIXELS = 2**19  # of those images together
Numbers = dict[str, dict[str, float | None]]  # of each method: mse, psnr, ...
Outcome = tuple[np.ndarray, float]  # images in [0, 1] units, and the seconds a megapixel


@dataclass(frozen=True)
class Denoised:
    """Images of one size, what was made of them, and the same in [0, 1] units.

    `marks` are the masks of their watermarks, `speed` the seconds a megapixel.
    """

    samples: Samples
    output: np.ndarray
    clean: np.ndarray | None
    seen: np.ndarray
    denoised: np.ndarray
    marks: np.ndarray | None
    speed: float

    def middle(self, count: int) -> Self:
        """The first of them, cut to their middle, or around their marks; not the output."""
        images = {name: getattr(self, name) for name in ("clean", "seen", "denoised", "marks")}
        corners = [self._corner(number) for number in range(min(count, len(self.denoised)))]
        cut: Any = {
            name: np.stack(
                [
                    image[:, y : y + MIDDLE, x : x + MIDDLE]
                    for image, (y, x) in zip(array, corners, strict=False)
                ]
            )
            for name, array in images.items()
            if array is not None
        }
        return replace(self, **cut)

    def _corner(self, number: int) -> tuple[int, int]:
        """Where the middle of an image begins, or what is around its mark."""
        height, width = self.denoised.shape[-2:]
        y, x = height / 2, width / 2
        if self.marks is not None and self.marks[number].any():
            y, x = ndimage.center_of_mass(self.marks[number].mean(0))
        top, left = (
            int(np.clip(round(at - MIDDLE / 2), 0, max(0, side - MIDDLE)))
            for at, side in ((y, height), (x, width))
        )
        return top, left

    def numbers(self, images: np.ndarray, speed: float) -> list[float]:
        """MSE, SSIM and damage of a method's outcome, and its speed; not a number where none."""
        assert self.clean is not None
        similar = metrics.ssim(images, self.clean)
        hurt = math.nan if self.marks is None else damage(self.clean, images, self.marks)
        mse = metrics.mse(images, self.clean)
        return [mse, math.nan if similar is None else similar, hurt, speed]


def each(
    parts: Sequence[Samples],
    model: Estimator,
    seed: int | None,
    level: float | None = None,
    *,
    ensemble: bool = False,
    engine: str | None = None,
) -> tuple[list[Denoised], list[str]]:
    """The images of each size denoised, those that the model cannot take named.

    `level` and `ensemble` as for `denoising.denoise`, by an engine.
    """
    options: Any = {"level": level, "ensemble": ensemble, "engine": engine}
    if len(parts) == 1:
        return [_denoised(parts[0], model, seed, **options)], parts[0].failures
    done, failed = each_that_can(parts, model, seed, **options)
    failures = [*parts[0].failures, *failed.values()]
    if not done:
        raise InputError(f"None of the images can be denoised; {failures[0]}")
    return done, failures


def each_that_can(
    parts: Sequence[Samples], model: Estimator, seed: int | None = None, **options: Any
) -> tuple[list[Denoised], dict[str, str]]:
    """The images of each size denoised; a sentence on each that the model cannot take."""
    done, failed = list[Denoised](), dict[str, str]()
    for samples in parts:
        try:
            done.append(_denoised(samples, model, seed, **options))
        except InputError as error:
            failed |= {name: f"{name}: {error}" for name in samples.names}
    return done, failed


def middle_of(model: Estimator, name: str, before: np.ndarray, after: np.ndarray) -> Denoised:
    """The middle of one photograph (H, W) or (C, H, W), to be drawn."""
    units = whole.units_of(model, before)
    top, left = (max(0, side - MIDDLE) // 2 for side in before.shape[-2:])
    where = np.s_[..., top : top + MIDDLE, left : left + MIDDLE]
    seen, denoised = (
        (image[where].reshape(1, -1, *image[where].shape[-2:]).astype(np.float32) - units.black)
        / units.span
        for image in (before, after)
    )
    samples = Samples(before[where][None], [name], "image")
    return Denoised(samples, after[where][None], None, seen, denoised, None, math.nan)


def _denoised(
    samples: Samples,
    model: Estimator,
    seed: int | None,
    *,
    engine: str | None = None,
    **asked: Any,
) -> Denoised:
    clean, marks = samples.array, None
    seen = clean if samples.noisy is None else samples.noisy
    if seed is not None:
        seen = denoising.corrupt(model, clean, random_state=seed)
        marks = denoising.marks(model, clean, random_state=seed)
    started = time.perf_counter()
    if seen is not clean and (gaps := np.isnan(seen)).any():
        output = filling.fill(model, clean, filling.holes(gaps))
    else:
        output = over(partial(denoising.denoise, model), seen, engine, **asked)
    ended = time.perf_counter()
    before, noisy, after = (in_units(model, images) for images in (clean, seen, output))
    speed = _speed(ended - started, after)
    return Denoised(samples, output, None if seed is None else before, noisy, after, marks, speed)


def again(done: Sequence[Denoised], model: Estimator) -> list[Denoised]:
    """The same corrupted images, denoised by another model that works on any size."""
    found = list[Denoised]()
    for one in done:
        started = time.perf_counter()
        images = np.asarray(denoising.denoise(model, one.seen))
        speed = _speed(time.perf_counter() - started, images)
        found.append(replace(one, denoised=images, speed=speed))
    return found


def _speed(seconds: float, images: np.ndarray) -> float:
    """Seconds a megapixel."""
    return seconds * 1e6 / (len(images) * math.prod(images.shape[-2:]))


def _strengths(few: np.ndarray | None, model: Estimator) -> filters.Strengths:
    """Strengths of the filters, tuned on a few training images where there are some."""
    if few is None:
        return filters.MIDDLE
    try:
        noisy = denoising.corrupt(model, few, random_state=1)
    except InputError:
        return filters.MIDDLE
    pieces = [in_units(model, images)[..., :PIECE, :PIECE] for images in (few, noisy)]
    count = max(1, TUNING_PIXELS // math.prod(pieces[0].shape[-2:]))
    return filters.tune(*(piece[:count] for piece in pieces))


def table(
    done: Sequence[Denoised],
    model: Estimator,
    training: np.ndarray | None,
    others: Mapping[str, Sequence[Denoised]] | None = None,
) -> tuple[list[str], Numbers]:
    """How far images are from the clean ones, a line a method, and what that was measured on.

    And the same as numbers, by method.

    `training` are a few training images, which filters are tuned on, where there are some.
    `others`: the same images, denoised by other models.
    """
    if not filters.installed():
        numbers = _numbers(done, _outcomes(others or {}))
        return [*_lines(numbers), filters.NEEDED], numbers
    strengths, few = _strengths(training, model), _compared(done)
    beside = _outcomes({name: _compared(more) for name, more in (others or {}).items()})
    cleaned = {
        f"{name} {strength:g}": [_filtered(one, name, strength) for one in few]
        for name, strength in strengths.items()
    }
    chosen = "set beforehand" if strengths is filters.MIDDLE else "the best on training images"
    notes = [f"Strengths of the filters (the number beside the name): {chosen}."]
    count, total = (sum(len(one.denoised) for one in many) for many in (few, done))
    part = "the middle" if few[0].marks is None else "what is around the mark"
    cut = f"{part}, at most {MIDDLE} x {MIDDLE} pixels, of " if _large(few) else ""
    if cut or count < total:
        first = f"the first {count:,} of {total:,} images" if count < total else "each image"
        notes.append(f"Filters are slow: all of this was measured on {cut}{first}.")
    numbers = _numbers(few, cleaned | beside)
    return [*_lines(numbers), *notes], numbers


def _outcomes(others: Mapping[str, Sequence[Denoised]]) -> dict[str, list[Outcome]]:
    """What other models made of the images, by their names."""
    return {name: [(one.denoised, one.speed) for one in more] for name, more in others.items()}


def _compared(done: Sequence[Denoised]) -> list[Denoised]:
    """The first images, and of large ones the middle, with which filters are done in seconds."""
    few, images, pixels = list[Denoised](), COMPARED, COMPARED_PIXELS
    for one in done:
        area = math.prod(min(side, MIDDLE) for side in one.denoised.shape[-2:])
        count = min(images, len(one.denoised), max(pixels // area, int(not few)))
        if not count:
            break
        few.append(one.middle(count))
        images, pixels = images - count, pixels - count * area
    return few


def _large(done: Sequence[Denoised]) -> bool:
    return any(max(one.output.shape[-2:]) > MIDDLE for one in done)


def _filtered(one: Denoised, name: str, strength: float) -> Outcome:
    started = time.perf_counter()
    images = filters.apply(name, one.seen, strength)
    return images, _speed(time.perf_counter() - started, images)


def _numbers(done: Sequence[Denoised], cleaned: Mapping[str, Sequence[Outcome]]) -> Numbers:
    """Means over all images, by what the filters made of them; without damage where no mark is."""
    methods = {
        "corrupted": [(one.seen, math.nan) for one in done],
        **cleaned,
        "denoised": [(one.denoised, one.speed) for one in done],
    }
    counts, found = [len(one.denoised) for one in done], Numbers()
    marked = any(one.marks is not None for one in done)
    for name, outcomes in methods.items():
        each = [one.numbers(*outcome) for one, outcome in zip(done, outcomes, strict=True)]
        mse, ssim, hurt, speed = np.average(each, axis=0, weights=counts).tolist()
        values = {"mse": mse, "psnr": metrics.psnr(mse), "ssim": ssim, "damage": hurt}
        values |= {"seconds_per_megapixel": speed}
        found[name] = {
            n: value if math.isfinite(value) else None
            for n, value in values.items()
            if marked or n != "damage"
        }
    return found


def _lines(numbers: Numbers) -> list[str]:
    """The same as a table."""
    marked = any("damage" in values for values in numbers.values())
    lines = [
        f"{'':20}  {'MSE':>8}  {'PSNR, dB':>8}  {'SSIM':>5}{'   damage' * marked}  s/megapixel"
    ]
    for name, values in numbers.items():
        shown = [f"{_or_dash(values['mse'], '.4f'):>8}", f"{_or_dash(values['psnr'], '.2f'):>8}"]
        shown += [f"{_or_dash(values['ssim'], '.3f'):>5}"]
        shown += [f"{_or_dash(values['damage'], '.5f'):>7}"] if marked else []
        speed = _or_dash(values["seconds_per_megapixel"], ".2g")
        lines.append(f"{name:20}  {'  '.join(shown)}  {speed:>11}")
    return lines + ["Damage: the mean squared error outside the mark."] * marked


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def picture(done: Sequence[Denoised]) -> figures.Figure:
    """Before, after and their difference: of small images ten, of large ones three."""
    first = done[0]
    names = ["denoised"] if first.clean is None else ["corrupted", "denoised"]
    if len(done) == 1 and max(first.denoised.shape[-2:]) <= LARGE:
        rows = {name: values[:SHOWN].clip(0, 1) for name, values in _rows(first).items()}
        captions = {
            name: _captions(rows[name], rows["original"]) for name in names if "original" in rows
        }
        return figures.rows(list(rows.items()), captions=captions)
    lines, notes = list[list[np.ndarray]](), list[list[str]]()
    for whole_ones in done[:PICTURED]:
        one = whole_ones if whole_ones.marks is None else whole_ones.middle(PICTURED)
        rows = _rows(one)
        for number in range(min(len(one.denoised), PICTURED - len(lines))):
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


def _rows(one: Denoised) -> dict[str, np.ndarray]:
    """The pictures to be drawn; a difference of 0 is gray, that of most weight black or white."""
    before = one.seen if one.clean is None else one.clean
    difference = one.denoised - before
    axes = tuple(range(1, difference.ndim))
    most = np.quantile(np.abs(difference), 0.999, axis=axes, keepdims=True)
    gray = 0.5 + 0.5 * difference / np.maximum(most, 1e-6)
    if one.clean is None:
        return {"input": before, "denoised": one.denoised, "difference": gray}
    return {"original": before, "corrupted": one.seen, "denoised": one.denoised, "error": gray}


def _captions(pictures: np.ndarray, clean: np.ndarray) -> list[str]:
    """PSNR and, where it has one, SSIM of each picture."""
    errors = metrics.mse_per_sample(pictures, clean)
    similar = [metrics.ssim(p[None], c[None]) for p, c in zip(pictures, clean, strict=True)]
    return [
        f"{metrics.psnr(error):.1f} dB" + ("" if ssim is None else f"\nSSIM {ssim:.2f}")
        for error, ssim in zip(errors, similar, strict=True)
    ]
