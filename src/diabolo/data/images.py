"""Image files to arrays and back.

Gray stays gray, everything else becomes RGB. A palette counts as gray if all its colours are.
Transparent pixels are laid on white. The EXIF orientation is applied. Of several frames the first
is read. Gray pixels are uint8, uint16 (16-bit files) or float32 (TIFF); colour is always uint8,
since Pillow reduces deeper colour to 8 bits.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from diabolo.data.files import is_special, quietly, why
from diabolo.data.samples import IMAGE_SUFFIXES
from diabolo.errors import InputError

READ_FORMATS = tuple(dict.fromkeys(IMAGE_SUFFIXES.values()))
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
    "WEBP": {"lossless": True},
}
MODE_NAMES = {"L": "8-bit gray", "RGB": "8-bit colour", "I;16": "16-bit gray", "F": "float gray"}
LOSSLESS = {".png", ".bmp", ".tif", ".tiff", ".pgm", ".ppm"}
DEEP = {"I", "I;16", "I;16L", "I;16B", "I;16N", "F"}
GRAY = {"1", "L", "LA", "La"} | DEEP
UINT8, UINT16, FLOAT32 = np.dtype("uint8"), np.dtype("uint16"), np.dtype("float32")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Form:
    """What the header of an image file says."""

    size: tuple[int, int]  # width, height
    gray: bool
    dtype: np.dtype

    @property
    def real(self) -> bool:
        return self.dtype.kind == "f"

    def __str__(self) -> str:
        return "{}x{}".format(*self.size) + (" in float pixels" if self.real else "")


@dataclass(frozen=True)
class Target:
    """What the images of one array share; `why` ends the sentence about one that differs."""

    form: Form
    why: str

    @property
    def shape(self) -> tuple[int, ...]:
        width, height = self.form.size
        return (height, width) if self.form.gray else (3, height, width)

    def refusal(self, name: str, form: Form) -> str | None:
        """The sentence about an image that does not fit, or None for one that does."""
        if form.size == self.form.size and form.real == self.form.real:
            return None
        return f"{name} is {form} (width x height), {self.why}"


def find_images(folder: Path) -> tuple[list[str], list[str]]:
    """The paths below `folder` of its image files, sorted, and a sentence for each closed folder.

    Hidden files and folders, and other suffixes, are passed over; linked folders are not followed.
    """
    found: list[str] = []
    closed: list[OSError] = []
    for root, folders, files in os.walk(folder, onerror=closed.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = Path(root).relative_to(folder)
        found += [(inside / name).as_posix() for name in files if _is_image(name)]
    return sorted(found), [
        f"{error.filename} cannot be read: {error.strerror}" for error in closed
    ]


def alike(folder: Path, names: Sequence[str]) -> list[list[str]]:
    """The images `names` in `folder`, parted into those that one array can hold as they are."""
    parts: dict[object, list[str]] = {}
    for name, form in zip(names, forms(folder, names), strict=True):
        parts.setdefault(form, []).append(name)
    return list(parts.values())


def forms(folder: Path, names: Sequence[str]) -> list[Form | str]:
    """What the headers of the images `names` in `folder` say, or a sentence on why not."""
    with quietly(Image.DecompressionBombWarning), ThreadPoolExecutor() as pool:
        return list(pool.map(lambda name: _attempt(name, _form, folder / name), names))


def read_images(
    folder: Path,
    names: Sequence[str],
    image_shape: tuple[int, ...] | None = None,
    *,
    taker: str = "the model takes",
) -> tuple[np.ndarray, list[str], list[str]]:
    """Read the images `names` in `folder` into one array.

    Return the pixels, (N, H, W) where all images are gray or the model's `image_shape` (C, H, W)
    says so, else (N, 3, H, W); the names of the N images that could be read; and one sentence for
    each that could not, or whose size is not the model's, or without a model the most common one.
    16-bit pixels are kept where all are gray 16-bit, and reduced to 8 bits beside others.
    `taker` begins what is said about the model's size.
    """
    if image_shape is not None and image_shape[0] not in (1, 3):
        raise InputError(f"images have 1 or 3 channels, the model takes {image_shape[0]}")
    said = forms(folder, names)
    with quietly(Image.DecompressionBombWarning), ThreadPoolExecutor() as pool:
        target = _target([form for form in said if isinstance(form, Form)], image_shape, taker)
        refused = {
            name: form if isinstance(form, str) else target.refusal(name, form)
            for name, form in zip(names, said, strict=True)
        }
        fitting = [name for name in names if refused[name] is None]
        array, broken = _fill(pool, folder, fitting, target)
    sentences = {name: text for name, text in (refused | broken).items() if text is not None}
    kept = [name for name in names if name not in sentences]
    return array, kept, [sentences[name] for name in names if name in sentences]


def read_mark(path: str | Path) -> np.ndarray:
    """One picture, uint8: (H, W, 4) with its transparency, or where it has none its gray (H, W).

    Raises InputError where it cannot be read.
    """
    with quietly(Image.DecompressionBombWarning):
        pixels = _attempt(str(path), _mark_pixels, Path(path))
    if isinstance(pixels, str):
        raise InputError(f"{pixels}.")
    return pixels


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
    if file_format == "PPM" and pixels.dtype == UINT16:
        pixels = pixels.astype(np.int32)  # Pillow before 11 writes 16-bit PGM only from these
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(path, format=file_format, **OPTIONS.get(file_format, {}))


def write_images(
    folder: Path, names: Sequence[str], pixels: np.ndarray | Sequence[np.ndarray]
) -> None:
    """Write images (H, W) or (H, W, 3), of any sizes, into `folder` as `file_names` names them."""
    modes = [mode_of(one[None]) for one in pixels]
    targets = [folder / name for name in file_names(names, modes)]
    for parent in {target.parent for target in targets}:
        parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor() as pool:
        for _ in pool.map(lambda path, one: write_image(path, one, path.suffix), targets, pixels):
            pass


def _attempt(name: str, function: Callable[..., Result], *arguments: object) -> Result | str:
    """The result of `function`, or a sentence on why the image `name` could not be read."""
    try:
        return function(*arguments)
    except UnidentifiedImageError:
        return f"{name} is not an image that can be read"
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        return f"{name} has more than {Image.MAX_IMAGE_PIXELS} pixels, too many to read safely"
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises nearly anything on a damaged file
        return f"{name} cannot be read: {why(error)}"


@contextmanager
def _open(path: Path) -> Iterator[Image.Image]:
    if is_special(path):  # to open a pipe would wait for its other end
        raise InputError("it is neither a file nor a folder")
    # Given a path, Pillow maps an uncompressed TIFF and garbles it where EXIF turns it.
    with path.open("rb") as file, Image.open(file, formats=READ_FORMATS) as image:
        yield image


def _form(path: Path) -> Form:
    with _open(path) as image:
        size = _upright_size(image)
        gray = image.mode in GRAY or (image.mode in ("P", "PA") and _gray_palette(image))
        deep = FLOAT32 if image.mode == "F" else UINT16
        return Form(size, gray, deep if image.mode in DEEP else UINT8)


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """The size once the EXIF orientation is applied, in most formats without decoding pixels."""
    if image.format == "PNG" and "exif" not in image.info:
        return image.size
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    if turned and image.format == "TIFF":
        image.load()  # Pillow turns a TIFF itself: in some versions now, in others on opening
        return image.size
    return image.size[::-1] if turned else image.size


def _gray_palette(image: Image.Image) -> bool:
    colours = np.array(image.getpalette("RGB")).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def _target(forms: Sequence[Form], image_shape: tuple[int, ...] | None, taker: str) -> Target:
    wanted = None if image_shape is None else (image_shape[2], image_shape[1])
    fitting = [form for form in forms if wanted in (None, form.size)]
    common = Counter((form.size, form.real) for form in fitting).most_common(1)
    size, real = common[0][0] if common else (wanted or (0, 0), False)
    used = [form for form in fitting if (form.size, form.real) == (size, real)]
    gray = all(form.gray for form in used) if image_shape is None else image_shape[0] == 1
    deep = gray and bool(used) and all(form.dtype == UINT16 for form in used)
    form = Form(size, gray, FLOAT32 if real else UINT16 if deep else UINT8)
    why = f"most images here are {form}" if wanted is None else f"{taker} {form} images"
    return Target(form, why)


def _fill(
    pool: ThreadPoolExecutor, folder: Path, names: Sequence[str], target: Target
) -> tuple[np.ndarray, dict[str, str]]:
    """Decode the images into one array, without those that turn out broken, which are named."""
    array = np.empty((len(names), *target.shape), target.form.dtype)

    def decode(row: int) -> str | None:
        pixels = _attempt(names[row], _decode, folder / names[row], target.form)
        if isinstance(pixels, str):
            return pixels
        array[row] = pixels
        return None

    sentences = list(pool.map(decode, range(len(names))))
    whole = [row for row, sentence in enumerate(sentences) if sentence is None]
    for row, source in enumerate(whole):
        if row != source:
            array[row] = array[source]
    broken = {name: text for name, text in zip(names, sentences, strict=True) if text}
    return array[: len(whole)], broken


def _decode(path: Path, form: Form) -> np.ndarray:
    """Pixels (H, W), or (3, H, W) for colour in a colour target."""
    with _open(path) as image:
        ImageOps.exif_transpose(image, in_place=True)
        if image.size != form.size:
            raise ValueError("its header and its pixels differ in size")
        if image.mode in DEEP:
            return _deep_pixels(image, form.dtype)
        pixels = np.asarray(_on_white(image).convert("L" if form.gray else "RGB"))
        return pixels if form.gray else pixels.transpose(2, 0, 1)


def _mark_pixels(path: Path) -> np.ndarray:
    with _open(path) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data:
            return np.asarray(upright.convert("RGBA"))
        if upright.mode in DEEP:
            return _deep_pixels(upright, UINT8).astype(np.uint8)
        return np.asarray(upright.convert("L"))


def _deep_pixels(image: Image.Image, dtype: np.dtype) -> np.ndarray:
    pixels = np.asarray(image)
    if image.mode == "I" and not 0 <= pixels.min() <= pixels.max() <= 65535:
        raise ValueError("its pixels need more than 16 bits")
    return (pixels.astype(np.uint32) + 128) // 257 if dtype == UINT8 else pixels


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA"))


def _is_image(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES


def _holds(suffix: str) -> set[str]:
    return WRITABLE.get(suffix) or WRITABLE[IMAGE_SUFFIXES[suffix]]


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
    if array.dtype in (UINT8, UINT16):
        return array
    return array.astype(np.uint8 if high <= 255 else np.uint16)
