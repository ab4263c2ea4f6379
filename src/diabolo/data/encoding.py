"""Pixels to image files."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from diabolo.data.samples import IMAGE_SUFFIXES
from diabolo.errors import InputError

WRITABLE = {
    "PNG": {"L", "RGB", "I;16"},
    "TIFF": {"L", "RGB", "I;16", "F"},
    "BMP": {"L", "RGB"},
    "JPEG": {"L", "RGB"},
    "WEBP": {"L", "RGB"},
    "GIF": {"L"},
    ".pgm": {"L", "I;16"},
    ".ppm": {"RGB"},
}
OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {"compress_level": 3},  # faster than 6, and no larger of photographs
    "WEBP": {"lossless": True},
}
MODE_NAMES = {"L": "8-bit gray", "RGB": "8-bit colour", "I;16": "16-bit gray", "F": "float gray"}
LOSSLESS = {".png", ".bmp", ".tif", ".tiff", ".pgm", ".ppm"}


def to_pixels(array: np.ndarray, *, keep_float: bool = False) -> np.ndarray:
    """Turn images (N, H, W) or (N, C, H, W), C 1 or 3, into what image files hold.

    Return (N, H, W) or (N, H, W, 3), uint8 or uint16 (float32 with `keep_float`, gray only).
    bool becomes 0 and 255, other integers the smallest of the two types that holds them all,
    floats in [0, 1] are scaled to 255. Raises InputError for other shapes and ranges.
    """
    if array.ndim == 4 and array.shape[1] in (1, 3):
        array = array[:, 0] if array.shape[1] == 1 else array.transpose(0, 2, 3, 1)
    elif array.ndim != 3:
        raise InputError(
            f"samples of shape {array.shape[1:]} are no images, which are (H, W), (1, H, W) or "
            "(3, H, W): write .npy, .npz or a table"
        )
    if array.dtype.kind == "f":
        if keep_float and array.ndim == 3:
            return array.astype(np.float32)
        return _float_pixels(array)
    return _integer_pixels(array)


def file_names(names: Sequence[str], modes: Sequence[str]) -> list[str]:
    """Names under which images, each with pixels of its mode, can be stored without loss.

    .png, .bmp, .tif, .tiff, .pgm and .ppm stay where they can hold them; any other suffix becomes
    .png (photo.jpg: photo.png, or photo.jpg.png where there is a photo.png already). Bare numbers
    are filled with zeros to one length, so that the files sort in the order of the samples.
    """
    width = max((len(name) for name in names if name.isdecimal()), default=0)
    kept = {name for name, mode in zip(names, modes, strict=True) if _lossless(name, mode)}
    taken = {name.lower() for name in kept}
    result = []
    for name in names:
        new = name
        if name not in kept:
            stem = name.zfill(width) if name.isdecimal() else name
            new = Path(stem).with_suffix(".png").as_posix()
            new = f"{stem}.png" if new.lower() in taken else new
            taken.add(new.lower())
        result.append(new)
    return result


def mode_of(pixels: np.ndarray) -> str:
    """Pillow's mode for pixels as `to_pixels` returns them."""
    if pixels.ndim == 4:
        return "RGB" if pixels.dtype == np.uint8 else "16-bit colour"
    return {"uint8": "L", "uint16": "I;16", "float32": "F"}[pixels.dtype.name]


def check_writable(path: Path, mode: str) -> None:
    """Raise InputError if the suffix of `path` is of a format that cannot hold `mode`."""
    if mode not in _holds(path.suffix.lower()):
        better = ".png" if mode in WRITABLE["PNG"] else ".npy"
        raise InputError(
            f"{path} cannot hold {MODE_NAMES.get(mode, mode)} images: write {better} instead"
        )


def write_image(path: Path, pixels: np.ndarray, suffix: str) -> None:
    """Write one image, (H, W) or (H, W, 3), in the format of `suffix`."""
    file_format = IMAGE_SUFFIXES[suffix.lower()]
    if file_format == "PPM" and pixels.dtype == np.uint16:
        pixels = pixels.astype(np.int32)  # Pillow before 11 writes 16-bit PGM only from these
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(path, format=file_format, **OPTIONS.get(file_format, {}))


def write_images(
    folder: Path, names: Sequence[str], blocks: Iterable[np.ndarray | Sequence[np.ndarray]]
) -> None:
    """Write blocks of images (H, W) or (H, W, 3), of any sizes, as they come, under `names`."""
    targets = iter([folder / name for name in names])
    with ThreadPoolExecutor() as pool:
        for block in blocks:
            paths = list(islice(targets, len(block)))
            for parent in {path.parent for path in paths}:
                parent.mkdir(parents=True, exist_ok=True)
            for _ in pool.map(lambda p, one: write_image(p, one, p.suffix), paths, block):
                pass


def _holds(suffix: str) -> set[str]:
    return WRITABLE.get(suffix) or WRITABLE.get(IMAGE_SUFFIXES[suffix], set())


def _lossless(name: str, mode: str) -> bool:
    suffix = Path(name).suffix.lower()
    return suffix in LOSSLESS and mode in _holds(suffix)


def _float_pixels(array: np.ndarray) -> np.ndarray:
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 1):
        raise InputError(
            f"float values from {low:g} to {high:g} cannot be written as images, which take "
            "0 to 1: write .npy or .npz"
        )
    return np.rint(array * 255).astype(np.uint8)


def _integer_pixels(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.bool_:
        return array * np.uint8(255)
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > 65535:
        raise InputError(
            f"integers from {low} to {high} cannot be written as images, which take "
            "0 to 65535: write .npy or .npz"
        )
    if array.dtype in (np.uint8, np.uint16):
        return array
    return array.astype(np.uint8 if high <= 255 else np.uint16)
