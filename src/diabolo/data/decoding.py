"""One image file to pixels.

Gray stays gray, everything else becomes RGB. A palette counts as gray if all its colours are.
Transparent pixels are laid on white. The EXIF orientation is applied. Of several frames the first
is read. Gray pixels are uint8, uint16 (16-bit files) or float32 (TIFF); colour is always uint8,
since Pillow reduces deeper colour to 8 bits.
"""

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from diabolo.data.files import is_special, quietly, why
from diabolo.data.framing import Fit, Size, place
from diabolo.data.samples import IMAGE_SUFFIXES
from diabolo.errors import InputError

DEEP = {"I", "I;16", "I;16L", "I;16B", "I;16N", "F"}
GRAY = {"1", "L", "LA", "La"} | DEEP
OTHER_SPACES = {"CMYK", "LAB", "HSV", "YCbCr"}
FRAMED = {"GIF", "PNG", "WEBP", "TIFF", "AVIF"}
UINT8, UINT16, FLOAT32 = np.dtype("uint8"), np.dtype("uint16"), np.dtype("float32")
LUMA = 0.299, 0.587, 0.114  # of red, green and blue in gray
PLANES, BITS = 284, 258  # tags of a TIFF: PlanarConfiguration, BitsPerSample
REMARKS = 1 << 16  # bytes of a PNM header that are looked at
SPARE = 2.0  # how much finer than needed a JPEG is decoded at least
Result = TypeVar("Result")


@dataclass(frozen=True)
class Form:
    """What the header of an image file says; `lost`: what of it is not read."""

    size: Size
    gray: bool
    dtype: np.dtype
    lost: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def real(self) -> bool:
        return self.dtype.kind == "f"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an array of its pixels: (H, W), or (3, H, W) of a coloured one."""
        width, height = self.size
        return (height, width) if self.gray else (3, height, width)

    @property
    def mode(self) -> str:
        """Pillow's mode for its pixels."""
        if not self.gray:
            return "RGB"
        return {UINT8: "L", UINT16: "I;16", FLOAT32: "F"}[self.dtype]


def attempt(name: str, function: Callable[..., Result], *arguments: object) -> Result | str:
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


def read_form(path: Path) -> Form:
    """What the header of an image file says."""
    with opened(path) as image:
        missing = lost(image)
        size = _upright_size(image)
        gray = is_gray(image)
        deep = FLOAT32 if image.mode == "F" else UINT16
        return Form(size, gray, deep if image.mode in DEEP else UINT8, missing)


def read_pixels(path: Path, form: Form, fit: Fit) -> np.ndarray:
    """The pixels of an image file in a form, which may have another size than the image."""
    with opened(path) as image:
        _decode_coarsely(image, form.size)
        ImageOps.exif_transpose(image, in_place=True)
        pixels = _framed(_plain(image, form), form.size, fit)
    if form.dtype == UINT16:
        return np.rint(pixels).astype(UINT16)
    return pixels.transpose(2, 0, 1) if pixels.ndim == 3 else pixels


def read_mark(path: str | Path) -> np.ndarray:
    """One picture, uint8: (H, W, 4) with its transparency, or where it has none its gray (H, W).

    Raises InputError where it cannot be read.
    """
    with quietly(Image.DecompressionBombWarning):
        pixels = attempt(str(path), _mark_pixels, Path(path))
    if isinstance(pixels, str):
        raise InputError(f"{pixels}.")
    return pixels


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """An image file, of which the header is read."""
    if is_special(path):  # to open a pipe would wait for its other end
        raise InputError("it is neither a file nor a folder")
    # Given a path, Pillow maps an uncompressed TIFF and garbles it where EXIF turns it.
    with path.open("rb") as file:
        _check_remarks(file)
        with Image.open(file, formats=_formats()) as image:
            _check_planes(image)
            yield image


def _check_planes(image: Any) -> None:
    """Refuse a TIFF in deep colour, plane behind plane, of which Pillow takes the wrong bytes."""
    tags = getattr(image, "tag_v2", {})
    if tags.get(PLANES) == 2 and max(tags.get(BITS, (8,))) > 8:
        raise InputError(
            "its 16-bit colours lie plane behind plane: save it interleaved, or as PNG"
        )


def _check_remarks(file: BinaryIO) -> None:
    """Refuse a PNM file with long remarks in its header, which Pillow reads byte by byte."""
    head = file.read(REMARKS)
    file.seek(0)
    words = re.sub(rb"#[^\n\r]*", b"", head).split()
    if re.match(rb"P[1-6]\s", head) and len(head) == REMARKS and len(words) < 4:
        raise InputError("its header has too long remarks")


@lru_cache
def _formats() -> tuple[str, ...]:
    """Those of our formats that this Pillow knows."""
    Image.init()
    return tuple(name for name in dict.fromkeys(IMAGE_SUFFIXES.values()) if name in Image.OPEN)


def lost(image: Image.Image) -> frozenset[str]:
    """What an image has that its pixels, as we read them, have not."""
    found = {
        "transparency": image.has_transparency_data,
        "frames": image.format in FRAMED and getattr(image, "is_animated", False),
        "depth": image.mode not in DEEP and ";16" in str(getattr(image, "tile", "")),
        "space": image.mode in OTHER_SPACES,
    }
    return frozenset(name for name, there in found.items() if there)


def _upright_size(image: Image.Image) -> Size:
    """The size once the EXIF orientation is applied, in most formats without decoding pixels."""
    if image.format == "PNG" and "exif" not in image.info:
        return image.size
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    if turned and image.format == "TIFF":
        image.load()  # Pillow turns a TIFF itself: in some versions now, in others on opening
        return image.size
    return image.size[::-1] if turned else image.size


def is_gray(image: Image.Image) -> bool:
    """Whether an image is gray; one with a palette is, if all its colours are."""
    return image.mode in GRAY or (image.mode in ("P", "PA") and _gray_palette(image))


def is_opaque(path: Path) -> bool:
    """Whether no pixel of an image file lets anything through."""
    with opened(path) as image:
        return image.convert("RGBA").getchannel("A").getextrema() == (255, 255)


def _gray_palette(image: Image.Image) -> bool:
    colours = np.array(image.getpalette("RGB")).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def _decode_coarsely(image: Image.Image, wanted: Size) -> None:
    """Let a JPEG that is much larger than wanted be decoded at a half, a quarter or an eighth."""
    if image.format not in ("JPEG", "MPO"):
        return
    scale = SPARE * max(a / b for a, b in zip(wanted, _upright_size(image), strict=True))
    if scale < 1:
        image.draft(None, (math.ceil(image.width * scale), math.ceil(image.height * scale)))


def _plain(image: Image.Image, form: Form) -> Image.Image:
    """In the mode of a form: gray or RGB of 8 bits, or what is deeper in floats."""
    if image.mode in DEEP:
        pixels = deep_pixels(image, form.dtype)
        if form.dtype != UINT8:
            return Image.fromarray(pixels.astype(np.float32))
        image = Image.fromarray(pixels.astype(np.uint8))
    return _on_white(image).convert("L" if form.gray else "RGB")


def _framed(image: Image.Image, wanted: Size, fit: Fit) -> np.ndarray:
    """The pixels of an image in the size that is wanted."""
    if image.size == wanted:
        return np.asarray(image)
    box, size = place(image.size, wanted, fit)
    enlarged = size[0] > box[2] - box[0]  # where a Lanczos filter would ring
    kernel = Image.Resampling.BICUBIC if enlarged else Image.Resampling.LANCZOS
    pixels = np.asarray(image.resize(size, kernel, box, reducing_gap=3.0))
    if image.mode == "F":  # whose values the filter may overshoot
        pixels = pixels.clip(*image.getextrema())
    missing = (wanted[1] - size[1], wanted[0] - size[0])
    around = [(n // 2, n - n // 2) for n in missing] + [(0, 0)] * (pixels.ndim - 2)
    return np.pad(pixels, around, mode="edge")


def _mark_pixels(path: Path) -> np.ndarray:
    with opened(path) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data:
            return np.asarray(upright.convert("RGBA"))
        if upright.mode in DEEP:
            return deep_pixels(upright, UINT8).astype(np.uint8)
        return np.asarray(upright.convert("L"))


def deep_pixels(image: Image.Image, dtype: np.dtype) -> np.ndarray:
    """The pixels (H, W) of a gray image that is deeper than 8 bits, reduced to them for uint8."""
    pixels = np.asarray(image)
    if image.mode == "I" and not 0 <= pixels.min() <= pixels.max() <= 65535:
        raise ValueError("its pixels need more than 16 bits")
    return in_bytes(pixels) if dtype == UINT8 else pixels


def in_bytes(pixels: np.ndarray) -> np.ndarray:
    """Values of 16 bits in 8, rounded."""
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA"))


def recoded(picture: Image.Image, codec: str, **options: Any) -> Image.Image:
    """A picture as it is once it was written by a codec, in memory."""
    file = BytesIO()
    picture.save(file, codec, **options)
    with Image.open(file) as written:
        return written.convert(picture.mode)
