"""Visible watermarks:  x~ = (1 - a m) x + a m c.

m in [0, 1] is the mask of the mark (a text, or a picture) as it lies in the image, c its colour,
and a its opacity. Opacity, place, size and angle are drawn anew for each image. Dekel, Rubinstein,
Liu and Freeman, "On the Effectiveness of Visible Watermarks", 2017, eq. 1.
"""

import math
from dataclasses import field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Gt, Le
from PIL import Image, ImageDraw, ImageFont
from torch import Generator, Tensor
from torch.nn import functional as F  # noqa: N812

from diabolo.corruption.base import (
    Corrupted,
    Corruption,
    Share,
    need_images,
    need_range,
    ordered,
)
from diabolo.data.decoding import LUMA, read_mark
from diabolo.data.files import why
from diabolo.draw import uniform
from diabolo.errors import InputError

Width = Annotated[float, Gt(0), Le(10)]
LETTERS = 96  # pixels, size of the letters before the mark is brought to the size of the images
LONGEST = 200
LARGEST = 4096  # pixels, of the picture of a mark; on larger images it is enlarged
AIMED = 0.75  # of the pieces of images have their middle in the box around a mark at random places
TILES = 1.25, 1.75  # distance of tiled marks, in widths and in heights of one


class Watermark(Corruption, kind="watermark"):
    """Lays a half transparent mark over images (B, C, H, W): x~ = (1 - a m) x + a m c.

    A model file keeps the path of `image`, not the picture: it is read again only to corrupt.
    """

    text: Annotated[str, "What the mark reads."] = field(default="SAMPLE", kw_only=False)
    image: Annotated[
        str | None,
        "A picture instead of the text: where it is not transparent, with its colours, or if"
        " nothing of it is, where it is bright.",
    ] = None
    position: Annotated[
        Literal["fixed", "random", "tiled"],
        "In the middle, drawn for each image (inside it, if it fits), or all over.",
    ] = "random"
    opacity: Annotated[tuple[Share, Share], "Range that the opacity a is drawn from."] = (0.3, 0.7)
    scale: Annotated[
        tuple[Width, Width], "Range of the mark's width, relative to the image's."
    ] = (0.5, 0.9)
    rotation: Annotated[
        tuple[float, float], "Range of its angle, in degrees (--corruption.rotation=-10,10)."
    ] = (0.0, 0.0)
    colour: Annotated[Share, "Of a text or a bright picture, from 0, low, to 1, high."] = 1.0

    def corrupt(self, x: Tensor, generator: Generator, low: float, high: float) -> Corrupted:
        whole = x.new_tensor([0, 0, *x.shape[2:]]).expand(len(x), -1)
        u = uniform(x.new_empty(len(x), 5), generator)
        top = max(1, round(self.scale[1] * x.shape[3]))
        return self._laid(x, whole, u, top, ends=(low, high))

    def corrupt_pieces(
        self, x: Tensor, window: Tensor, generator: Generator, low: float, high: float
    ) -> Corrupted:
        """Each piece of its image under a mark, of the size that it has in the image.

        A mark whose place is random lies mostly so that the piece has some of it: see `AIMED`.
        """
        u = uniform(x.new_empty(len(x), 6), generator)
        widest = self.scale[1] * int(window[:, 3].max())
        top = 2 ** max(0, math.ceil(math.log2(widest)))  # the same for all that are beside it
        return self._laid(x, window.to(x), u, top, ends=(low, high))

    def _laid(
        self, x: Tensor, window: Tensor, u: Tensor, top: int, *, ends: tuple[float, float]
    ) -> Corrupted:
        """Marks over pieces (B, C, H, W); `top`: the width of the largest picture of a mark.

        `u` (B, 5 or 6) decides on opacity, place, size and angle, and on which are aimed at.
        """
        low, high = ends
        self.check(x.shape[1:], low, high)
        level = _between(self.opacity, u[:, 0])
        width = _between(self.scale, u[:, 3]) * window[:, 3]
        coarse = (top / width).log2().floor().clamp(0, math.log2(top)).long()
        laid = x.new_empty(len(x), 1 + x.shape[1], *x.shape[2:])
        for halvings in coarse.unique().tolist():
            mark = self._mark(x, max(1, round(top / 2**halvings)))
            here = (coarse == halvings).nonzero()[:, 0]
            aspect = mark.shape[2] / mark.shape[3]
            grid = self._grid(x, window[here], width[here], aspect, u[here, 1:])
            shown = mark.expand(len(here), -1, -1, -1)
            laid[here] = F.grid_sample(shown, grid, align_corners=False)
        mask, colours = laid[:, :1], laid[:, 1:]
        opacity = level.view(-1, 1, 1, 1)
        colours = colours * (high - low) + mask * low
        marked = ((1 - opacity * mask) * x + opacity * colours).clamp_(low, high)
        return Corrupted(marked, mask, level)

    def check(self, shape: tuple[int, ...], low: float, high: float) -> None:
        need_images("A watermark", shape, "'gaussian' or 'masking'")
        need_range("A watermark needs", low, high)
        for name in ("opacity", "scale", "rotation"):
            ordered(name, getattr(self, name))
        self._rendered(1)

    def _rendered(self, width: int) -> np.ndarray:
        """The mark so many pixels wide: see `_render`."""
        changed = None if self.image is None else _changed(self.image)
        return _render(self.text, self.image, min(width, LARGEST), changed)

    def _mark(self, x: Tensor, width: int) -> Tensor:
        """Mask and colours times mask, (1, 1 + C, h, w), in [0, 1]."""
        mark = torch.from_numpy(self._rendered(width)).to(x)
        mask, colours, channels = mark[:1], mark[1:], x.shape[1]
        if not len(colours):
            colours = mask * self.colour
        elif channels != len(colours):
            colours = torch.einsum("c,chw->hw", colours.new_tensor(LUMA), colours)
        return torch.cat([mask, colours.expand(channels, -1, -1)]).unsqueeze(0)

    def _grid(self, x: Tensor, window: Tensor, width: Tensor, aspect: float, u: Tensor) -> Tensor:
        """Where in the mark each pixel lies, (B, H, W, 2), in half sides of it from its middle.

        Marks are `width` (B,) wide, `aspect` is their height by their width; `u` (B, 4 or 5)
        decides on place and angle, and on which are aimed at.
        """
        corner, size = window[:, :2].flip(1), window[:, 2:].flip(1)
        sides = torch.stack([width, width * aspect], 1)
        angle = _between(self.rotation, u[:, 3]).deg2rad()
        cos, sin = angle.cos(), angle.sin()
        turn = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
        box = (turn.abs() @ sides.unsqueeze(2)).squeeze(2)
        if self.position == "tiled":
            reach = sides * sides.new_tensor(TILES)
        else:
            reach = (size - box).clamp_min(0) * (self.position == "random")
        middle = (u[:, :2] - 0.5) * reach
        side = window.new_tensor([*x.shape[:1:-1]])
        if self.position == "random" and u.shape[1] > 4:
            near = corner + (side - size) / 2
            ends = [(near + half).clamp(-reach / 2, reach / 2) for half in (-box / 2, box / 2)]
            aimed = ends[0] + (ends[1] - ends[0]) * u[:, :2]
            middle = torch.where(u[:, 4:] < AIMED, aimed, middle)
        axes = [torch.arange(n, device=x.device, dtype=x.dtype) for n in x.shape[2:]]
        pixels = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], -1).view(-1, 2)
        pixels = pixels + (corner - (size - 1) / 2).unsqueeze(1)
        place = (pixels - middle.unsqueeze(1)) @ turn.mT / (sides / 2).unsqueeze(1)
        if self.position == "tiled":
            half = place.new_tensor(TILES)
            place = (place + half).remainder(2 * half) - half
        return place.view(-1, *x.shape[2:], 2)


def _between(ends: tuple[float, float], u: Tensor) -> Tensor:
    """Numbers of U[0, 1) as numbers between two ends."""
    return ends[0] + (ends[1] - ends[0]) * u


def _changed(path: str) -> int:
    """When a file was changed."""
    try:
        return Path(path).stat().st_mtime_ns
    except OSError as error:
        sentence = f"The watermark's image {path} cannot be read: {why(error)}."
        raise InputError(sentence) from None


@lru_cache(maxsize=32)
def _render(text: str, image: str | None, width: int, changed: int | None) -> np.ndarray:
    """The mark, so many pixels wide: its mask, and of a coloured one its colours times the mask.

    (1, h, w) or (4, h, w), in [0, 1]; `changed` is when the file of the picture was.
    """
    picture = _written(text, width) if image is None else Image.fromarray(read_mark(image))
    if picture.mode == "RGBA":
        picture = picture.convert("RGBa")
    if not np.atleast_3d(np.asarray(picture))[..., -1].any():
        raise InputError(f"The watermark {image or text!r} has nothing to be seen: give another.")
    width = max(1, min(width, LARGEST * picture.width // picture.height))
    height = max(1, round(width * picture.height / picture.width))
    small = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
    channels = np.atleast_3d(small).transpose(2, 0, 1).astype(np.float32) / 255
    return np.roll(channels, 1, axis=0)


def _written(text: str, width: int) -> Image.Image:
    """A text, white on black, without borders, about as wide or wider."""
    if not 0 < len(text.strip()) <= LONGEST:
        raise InputError(f"The text of a watermark must have 1 to {LONGEST} letters.")
    canvas = ImageDraw.Draw(Image.new("L", (1, 1)))
    across = canvas.textlength(text, font=ImageFont.load_default(LETTERS))
    font = ImageFont.load_default(LETTERS * max(1.0, width / max(1.0, across)))
    left, top, right, bottom = map(math.floor, canvas.textbbox((0, 0), text, font=font))
    picture = Image.new("L", (right - left + 2, bottom - top + 2))
    ImageDraw.Draw(picture).text((-left, -top), text, fill=255, font=font)
    return picture.crop(picture.getbbox() or (0, 0, 1, 1))
