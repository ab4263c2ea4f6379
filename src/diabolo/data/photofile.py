"""One photograph as it is kept in a file, and back: depth, transparency, profile and all.

Colour of 16 bits, which Pillow reduces to 8, is read twice: as the high and as the low bytes of
its values. It is written as PNG (ISO/IEC 15948), the only form for it here.
"""

import re
import struct
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps

from diabolo.data.decoding import (
    DEEP,
    OTHER_SPACES,
    attempt,
    deep_pixels,
    in_bytes,
    is_gray,
    lost,
    opened,
)
from diabolo.data.encoding import OPTIONS, file_names
from diabolo.data.files import atomically, quietly
from diabolo.data.images import LOST
from diabolo.data.samples import IMAGE_SUFFIXES
from diabolo.errors import InputError

MARK = b"Exif\0\0"  # before the EXIF of a JPEG
TURNED = {5: 5, 6: 8, 7: 7, 8: 6}  # orientations by a quarter turn, and what undoes each
WITH_EXIF = {"JPEG", "PNG", "WEBP"}
EIGHT = {"L", "RGB"}
HOLDS = {
    "PNG": EIGHT | {"LA", "RGBA", "16-bit L", "16-bit LA", "16-bit RGB", "16-bit RGBA"},
    "TIFF": EIGHT | {"LA", "RGBA", "16-bit L", "float L"},
    "WEBP": EIGHT | {"LA", "RGBA"},
    "JPEG": EIGHT,
    "BMP": EIGHT,
    "PPM": EIGHT,
}
PILLOW = {  # modes that hold as much, in the formats of `encoding`
    **{"L": "L", "RGB": "RGB", "16-bit L": "I;16", "float L": "F"},
    **dict.fromkeys(("LA", "RGBA", "16-bit LA", "16-bit RGB", "16-bit RGBA"), "RGB"),
}
DEEP_COLOUR = re.compile(r"(RGBA?|LA);16[BLN]")
PALETTE = "has a palette: it is written without one"
SPACE = "is in {}: it is written as RGB"


@dataclass(frozen=True, eq=False)
class Photograph:
    """The pixels (H, W) or (3, H, W) of an image file as they lie there, and what is beside them.

    They are uint8, uint16 or, of a TIFF, float32; `alpha` (H, W) is of their type. `exif` has the
    orientation, which is not applied. `told`: what of the file is not kept.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    told: tuple[str, ...] = ()

    @property
    def mode(self) -> str:
        """What a format must be able to hold."""
        depth = {"uint8": "", "uint16": "16-bit "}.get(self.pixels.dtype.name, "float ")
        colours = "L" if self.pixels.ndim == 2 else "RGB"
        return depth + colours + ("" if self.alpha is None else "A")

    @property
    def upright(self) -> tuple[int, ...]:
        """Height and width as it is seen."""
        size = self.pixels.shape[-2:]
        return size[::-1] if _orientation(self.exif) in TURNED else size

    def as_stored(self, mask: np.ndarray) -> np.ndarray:
        """A mask (H, W) of it as it is seen, as its pixels lie."""
        seen = _orientation(self.exif)
        image = Image.fromarray(mask.astype(np.uint8))
        image.getexif()[ExifTags.Base.Orientation] = TURNED.get(seen, seen)
        return np.asarray(ImageOps.exif_transpose(image)).astype(bool)


def read_photograph(path: Path, name: str = "") -> Photograph:
    """The photograph in an image file; `InputError` where it cannot be read."""
    with quietly(Image.DecompressionBombWarning):
        found = attempt(name or str(path), _read, path)
    if isinstance(found, str):
        raise InputError(found)
    return found


def names_for(folder: Path, names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Names under which photographs are stored without loss, and a sentence on each unreadable.

    As `encoding.file_names` has them; names of the others are as they were.
    """
    with quietly(Image.DecompressionBombWarning):
        modes = {name: attempt(name, _mode, folder / name) for name in names}
    failed = {name: said for name, said in modes.items() if said not in PILLOW}
    kept = [
        PILLOW[mode] if mode in HOLDS.get(IMAGE_SUFFIXES[Path(name).suffix.lower()], ()) else ""
        for name, mode in modes.items()
        if name not in failed
    ]
    return file_names([name for name in names if name not in failed], kept), failed


def check_holds(path: Path, mode: str) -> str:
    """The mode in which one goes to a path: of 8 bits where it holds no more.

    Raises `InputError` where the format has no transparency or cannot be written.
    """
    holds = HOLDS.get(IMAGE_SUFFIXES[path.suffix.lower()], set())
    for kept in (mode, mode.removeprefix("16-bit ").removeprefix("float ")):
        if kept in holds:
            return kept
    what = "photographs" if not holds else "transparency"
    raise InputError(f"{path} cannot hold {what}: write .png instead.")


def write_photograph(path: Path, photograph: Photograph) -> None:
    """Write a photograph, whole or not at all, in the format of the path's suffix.

    In 8 bits where it holds no more. Raises `InputError` as `check_holds` does, and where the
    path cannot be written.
    """
    mode = check_holds(path, photograph.mode)
    if mode != photograph.mode:
        photograph = _in_bytes(photograph)
    with atomically(path) as temporary:
        if mode.startswith("16-bit") and mode != "16-bit L":
            with temporary.open("wb") as file:
                file.writelines(_deep_png(photograph))
        else:
            _save(temporary, photograph, IMAGE_SUFFIXES[path.suffix.lower()])


def _mode(path: Path) -> str:
    with opened(path) as image:
        colours = "L" if is_gray(image) else "RGB"
        alpha = "A" if image.has_transparency_data and image.mode not in DEEP else ""
        real = "float " if image.mode == "F" else ""
        deep = "16-bit " if not real and (image.mode in DEEP or _is_deep(image)) else ""
        if "LA;16" in str(getattr(image, "tile", "")):
            colours = "L"
        return real + deep + colours + alpha


def _read(path: Path) -> Photograph:
    with opened(path) as image:
        gone = lost(image) & ({"frames"} if _is_deep(image) else {"frames", "depth"})
        told = [f"{LOST[kind][0]} {LOST[kind][2]}" for kind in sorted(gone)]
        space, profile = image.mode, image.info.get("icc_profile")
        deep = _is_deep(image)
        exif = image.info.get("exif") if image.format in WITH_EXIF else None
        if deep:
            pixels = _deep(path)
        elif image.mode in DEEP:
            pixels = deep_pixels(image, np.dtype("float32" if image.mode == "F" else "uint16"))
        else:
            told += [PALETTE] if space in ("P", "PA") else []
            pixels = np.asarray(_plain(image))
    if space in OTHER_SPACES:
        without = ", without its colour profile" if profile else ""
        told, profile = [*told, SPACE.format(space) + without], None
    if pixels.dtype.kind == "i":
        pixels = pixels.astype(np.uint16)
    exif = exif and MARK + exif.removeprefix(MARK)
    return Photograph(*_parted(pixels), profile, exif, tuple(told))


def _is_deep(image: Any) -> bool:
    """Whether it is in colour, or gray with transparency, of 16 bits that can be had."""
    raw = [
        str(tile.args[0] if isinstance(tile.args, tuple | list) else tile.args)
        for tile in getattr(image, "tile", [])
    ]
    return image.mode not in DEEP and bool(raw) and all(map(DEEP_COLOUR.fullmatch, raw))


def _plain(image: Image.Image) -> Image.Image:
    """In one of the modes L, LA, RGB and RGBA."""
    mode = "L" if is_gray(image) else "RGB"
    mode += "A" if image.has_transparency_data else ""
    return image if image.mode == mode else image.convert(mode)


def _parted(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels (H, W) or (H, W, 1 to 4) as colours and transparency."""
    if pixels.ndim == 2:
        return pixels, None
    alpha = pixels[..., -1] if pixels.shape[2] in (2, 4) else None
    if pixels.shape[2] < 3:
        return pixels[..., 0], alpha
    return pixels[..., :3].transpose(2, 0, 1), alpha


def _deep(path: Path) -> np.ndarray:
    """The pixels (H, W, C) of an image in colour, or gray with transparency, of 16 bits."""
    image: Any
    with opened(path) as image:
        if "LA;16" in str(image.tile):  # four bytes a pixel, as RGBA has
            image._mode, image.tile = "RGBA", [t._replace(args="RGBA") for t in image.tile]
            values = np.asarray(image).astype(np.uint16)
            return values[..., ::2] << 8 | values[..., 1::2]
        high = np.asarray(image).astype(np.uint16)
    with opened(path) as image:
        image.tile = [tile._replace(args=_swapped(tile.args)) for tile in image.tile]
        return high << 8 | np.asarray(image)


def _swapped(arguments: Any) -> Any:
    """The arguments of a decoder, for the other byte of each value."""
    if isinstance(arguments, str):
        other = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
        return arguments[:-1] + other[arguments[-1]]
    return (_swapped(arguments[0]), *arguments[1:])


def _in_bytes(photograph: Photograph) -> Photograph:
    """In 8 bits."""
    pixels, alpha = (
        _eight(array) if array is not None else None
        for array in (photograph.pixels, photograph.alpha)
    )
    assert pixels is not None
    return replace(photograph, pixels=pixels, alpha=alpha)


def _eight(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "f":
        top = 255.0 if array.max() <= 1 else 1.0
        return np.rint((array * top).clip(0, 255)).astype(np.uint8)
    return in_bytes(array)


def _joined(photograph: Photograph) -> np.ndarray:
    """Its pixels (H, W) or (H, W, C)."""
    pixels, alpha = photograph.pixels, photograph.alpha
    planes = [pixels] if pixels.ndim == 2 else [*pixels]
    planes += [] if alpha is None else [alpha]
    return planes[0] if len(planes) == 1 else np.stack(planes, axis=-1)


def _save(path: Path, photograph: Photograph, kind: str) -> None:
    image = Image.fromarray(np.ascontiguousarray(_joined(photograph)))
    options: dict[str, Any] = dict(OPTIONS.get(kind, {}))
    if photograph.icc and kind in WITH_EXIF | {"TIFF"}:
        options["icc_profile"] = photograph.icc
    if photograph.exif and kind in WITH_EXIF:
        options["exif"] = photograph.exif
    elif photograph.exif:
        image.getexif()[ExifTags.Base.Orientation] = _orientation(photograph.exif)
        image = ImageOps.exif_transpose(image)
        image.info.pop("exif", None)
    image.save(path, format=kind, **options)


def _orientation(exif: bytes | None) -> int:
    """How an image is turned to be seen, as its EXIF says: 1 to 8; 1 is not at all."""
    read = Image.Exif()
    read.load(exif or b"")
    return int(read.get(ExifTags.Base.Orientation, 1))


def _deep_png(photograph: Photograph) -> Iterator[bytes]:
    """A PNG file of 16 bits, in parts; each row as the differences of its pixels."""
    pixels = _joined(photograph)
    height, width, channels = pixels.shape
    kind = {2: 4, 3: 2, 4: 6}[channels]
    yield b"\x89PNG\r\n\x1a\n"
    yield _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
    if photograph.icc:
        yield _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(photograph.icc))
    if photograph.exif:
        yield _chunk(b"eXIf", photograph.exif.removeprefix(MARK))
    packed = zlib.compressobj(4)
    for row in pixels:
        values = row.astype(">u2").reshape(-1).view(np.uint8)
        values[2 * channels :] -= values[: -2 * channels].copy()
        if part := packed.compress(b"\1" + values.tobytes()):
            yield _chunk(b"IDAT", part)
    yield _chunk(b"IDAT", packed.flush())
    yield _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
