"""A codec of photographs beside JPEG, WebP and AVIF, as Pillow writes them.

    python -m benchmarks.lossy MODEL [FOLDER] --out curves [--json FOLDER]
    python -m benchmarks.lossy MODEL --digits [--json FOLDER]

Writes curves.png, and curves-crops.png with a piece of each photograph near half a bit per pixel;
prints what each codec reaches at some rates. Without a FOLDER the photographs are those of
scikit-image and scikit-learn. Bits per pixel are those of whole files, headers included. A curve
goes through the means over the photographs of bits per pixel and of what is measured, quality by
quality.

With --digits: MNIST's test digits in one file of a model that `diabolo fit digits-lossy` trained,
beside WebP, which sees them as one sheet.
"""

import argparse
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import pyplot as plt
from PIL import Image

from benchmarks.table import Table
from diabolo import Codec, load, metrics
from diabolo.data import read

RATES = np.round(np.arange(0.15, 1.501, 0.05), 2)
SAID = (0.25, 0.5, 0.75, 1.0)
OTHERS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "JPEG": ((3, 5, 8, 12, 18, 26, 36, 48, 60, 72, 80, 86, 91, 95), {"optimize": True}),
    "WEBP": ((0, 2, 5, 10, 20, 30, 45, 60, 72, 80, 86, 91, 95), {"method": 6}),
    "AVIF": ((12, 20, 28, 36, 44, 52, 60, 68, 76, 84, 90), {}),
}
FINEST = 1.0  # between our qualities
EFFORT = 50  # steps, in a row of their own
PLACES = {"psnr": 1, "ms_ssim": 4}  # of what is measured
CROP, NEAR = 160, 0.5


class Point(NamedTuple):
    """A file of a photograph: its bits per pixel, dB, MS-SSIM, and the pixels."""

    rate: float
    psnr: float
    ms_ssim: float
    pixels: np.ndarray


def photographs(folder: Path | None) -> dict[str, np.ndarray]:
    """Photographs (H, W) or (H, W, 3), by name."""
    if folder is None:
        from skimage import data
        from sklearn.datasets import load_sample_images

        china, flower = load_sample_images().images
        found = {name: getattr(data, name)() for name in ("astronaut", "chelsea", "coffee")}
        return found | {"china": china, "flower": flower}
    found = {}
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            found[path.stem] = np.asarray(image if image.mode == "L" else image.convert("RGB"))
    return found


def point(photo: np.ndarray, size: int, pixels: np.ndarray) -> Point:
    a, b = (np.atleast_3d(p).transpose(2, 0, 1)[None] / 255 for p in (photo, pixels))
    error = metrics.psnr(metrics.mse(a, b))
    alike = metrics.ms_ssim(a, b)
    return Point(
        8 * size / photo.shape[0] / photo.shape[1],
        error,
        np.nan if alike is None else alike,
        pixels,
    )


def by_pillow(kind: str, photo: np.ndarray) -> list[Point]:
    """A photograph in all qualities of a format."""
    sizes = (saved(kind, photo, quality) for quality in OTHERS[kind][0])
    return [point(photo, size, pixels) for size, pixels in sizes]


def saved(kind: str, photo: np.ndarray, quality: int) -> tuple[int, np.ndarray]:
    """The bytes of a photograph in a format, and what comes back of them."""
    file = BytesIO()
    Image.fromarray(photo).save(file, kind, quality=quality, **OTHERS[kind][1])
    with Image.open(file) as image:
        pixels = np.asarray(image.convert("L" if photo.ndim == 2 else "RGB"))
    return len(file.getvalue()), pixels


def by_model(model: Any, name: str, photo: np.ndarray, effort: int = 0) -> list[Point]:
    """A photograph in all qualities of a model, with some effort."""
    images = np.atleast_3d(photo).transpose(2, 0, 1)[None]
    found = []
    for quality in np.arange(1, model.qualities + FINEST, FINEST):
        codec = Codec(model, name=name, quality=float(quality), effort=effort)
        content = codec.compress(images)
        pixels = codec.decompress(content)[0].transpose(1, 2, 0).reshape(photo.shape)
        found.append(point(photo, len(content), pixels))
    return found


def mean_curve(points: list[list[Point]], measure: str) -> np.ndarray:
    """The means over photographs at each quality, interpolated at `RATES`; NaN beyond them."""
    rates = np.mean([[p.rate for p in some] for some in points], 0)
    values = np.mean([[getattr(p, measure) for p in some] for some in points], 0)
    found: np.ndarray = np.interp(np.log(RATES), np.log(rates), values, left=np.nan, right=np.nan)
    return found


def picture(curves: dict[str, dict[str, np.ndarray]], path: Path) -> None:
    """The curves of both measures side by side."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    labels = {"psnr": "PSNR (dB)", "ms_ssim": "MS-SSIM (dB, -10 log10(1 - value))"}
    for one, (measure, label) in zip(axes, labels.items(), strict=True):
        for name, curve in curves.items():
            values = curve[measure]
            shown = -10 * np.log10(1 - values) if measure == "ms_ssim" else values
            ours = name not in OTHERS
            one.plot(RATES, shown, label=name, lw=2.5 if ours else 1.5)
        one.set(xlabel="bits per pixel, whole file", ylabel=label, xlim=(0.1, 1.5))
        one.grid(alpha=0.3)
        one.legend()
    figure.savefig(path, dpi=110)


def crops(
    found: dict[str, dict[str, list[Point]]], photos: dict[str, np.ndarray], path: Path
) -> None:
    """The middle of each photograph as it is, and of each codec's file nearest to half a bit."""
    columns = ["original", *found]
    figure, axes = plt.subplots(
        len(photos),
        len(columns),
        figsize=(2.1 * len(columns), 2.25 * len(photos)),
        layout="constrained",
        squeeze=False,
    )
    for row, (name, photo) in zip(axes, photos.items(), strict=True):
        top, left = ((side - CROP) // 2 for side in photo.shape[:2])
        for one, column in zip(row, columns, strict=True):
            pixels, title = photo, name
            if column in found:
                best = min(found[column][name], key=lambda p: abs(p.rate - NEAR))
                pixels, title = best.pixels, f"{column} {best.rate:.2f} {best.psnr:.1f} dB"
            one.imshow(
                pixels[top : top + CROP, left : left + CROP],
                cmap="gray",
                vmin=0,
                vmax=255,
                interpolation="nearest",
            )
            one.set_title(title, fontsize=8)
            one.axis("off")
    figure.savefig(path, dpi=160)


def digits(model: Any, folder: Path | None) -> None:
    """The table of test digits."""
    test = np.array(read("mnist:test").array)
    table = Table("lossy-digits", ("test digits", "bytes each", "mse"), folder)
    sheet = test.reshape(100, 100, 28, 28).transpose(0, 2, 1, 3).reshape(2800, 2800)
    for quality in (0, 5, 10):
        size, pixels = saved("WEBP", sheet, quality)
        error = metrics.mse(pixels / 255, sheet / 255)
        table.row(f"WebP, quality {quality}", f"{size / len(test):.1f}", f"{error:.5f}")
    for quality in (1, 3, 5):
        for effort in (0, EFFORT):
            codec = Codec(model, quality=quality, effort=effort)
            content = codec.compress(test)
            error = metrics.mse(codec.decompress(content) / 255, test / 255)
            size = f"{len(content) / len(test):.1f}"
            table.row(f"ours, quality {quality}, effort {effort}", size, f"{error:.5f}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("model")
    arguments.add_argument("folder", type=Path, nargs="?")
    arguments.add_argument("--digits", action="store_true")
    arguments.add_argument("--out", type=Path, default=Path("lossy"))
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    model = load(given.model)
    if given.digits:
        return digits(model, given.json)
    photos = photographs(given.folder)
    name = Path(given.model).stem
    makers: dict[str, Callable[[np.ndarray], list[Point]]] = {
        name: lambda photo: by_model(model, name, photo),
        f"{name}, effort {EFFORT}": lambda photo: by_model(model, name, photo, EFFORT),
    }
    makers |= {kind: lambda photo, kind=kind: by_pillow(kind, photo) for kind in OTHERS}
    found, curves = {}, {}
    heads = [f"{measure} at {rate:g} bits" for measure in ("dB", "MS-SSIM") for rate in SAID]
    table = Table("lossy", ("codec", *heads, "seconds"), given.json)
    for codec, make in makers.items():
        begun = time.perf_counter()
        found[codec] = {title: make(photo) for title, photo in photos.items()}
        spent = time.perf_counter() - begun
        each = [*found[codec].values()]
        curves[codec] = {measure: mean_curve(each, measure) for measure in PLACES}
        said = [
            "-" if np.isnan(value) else f"{value:.{places}f}"
            for measure, places in PLACES.items()
            for value in (curves[codec][measure][np.argmin(abs(RATES - r))] for r in SAID)
        ]
        table.row(codec, *said, f"{spent:.0f}")
    picture(curves, given.out.with_suffix(".png"))
    crops(found, photos, given.out.with_name(f"{given.out.name}-crops.png"))
    return None


if __name__ == "__main__":
    main()
