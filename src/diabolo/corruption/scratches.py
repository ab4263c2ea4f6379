"""Holes to be filled:  x~ = x where m = 0, a gap where m = 1, with m drawn as scratches are.

Strokes, spots and letters are laid over an image until a share of it is gone. Gaps are NaN, which
a network is given filled smoothly (`diabolo.gapless`): it learns what is missing there.
Irregular masks as in G. Liu et al., "Image Inpainting for Irregular Holes Using Partial
Convolutions", ECCV 2018.
"""

import math
import string
from dataclasses import field
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge
from PIL import Image, ImageDraw, ImageFont
from torch import Generator, Tensor

from diabolo.corruption.base import (
    Corrupted,
    Corruption,
    Share,
    need_images,
    need_range,
    ordered,
)

Width = Annotated[float, Ge(1)]
LETTERS = string.ascii_letters + string.digits
LARGEST = 2**62
MOST = 10_000  # marks on an image


class Scratches(Corruption, kind="scratches"):
    """Erases strokes, spots and letters of images (B, C, H, W), in all channels.

    `mask` (B, 1, H, W) is where, and `level` the share of the pixels that is gone.
    """

    share: Annotated[
        tuple[Share, Share], "Range of the share that is erased (--corruption.share=0.05,0.25)."
    ] = field(default=(0.05, 0.25), kw_only=False)
    width: Annotated[tuple[Width, Width], "Range of the strokes' width, in pixels."] = (1.0, 8.0)
    erases = True

    def corrupt(self, x: Tensor, generator: Generator, low: float, high: float) -> Corrupted:
        self.check(x.shape[1:], low, high)
        seeds = torch.randint(LARGEST, (len(x),), generator=generator, device=generator.device)
        masks = [self._mask(x.shape[3], x.shape[2], seed) for seed in seeds.tolist()]
        mask = torch.from_numpy(np.stack(masks)).unsqueeze(1).to(x)
        return Corrupted(x.masked_fill(mask > 0, math.nan), mask, mask.mean((1, 2, 3)))

    def check(self, shape: tuple[int, ...], low: float, high: float) -> None:
        need_images("Scratches need", shape, "'masking'")
        need_range("Scratches need", low, high)
        for name in ("share", "width"):
            ordered(name, getattr(self, name))

    def _mask(self, width: int, height: int, seed: int) -> np.ndarray:
        """Where an image is erased, (H, W) of 0 and 1."""
        draw = np.random.default_rng(seed)
        wanted = draw.uniform(*self.share) * width * height
        picture = Image.new("L", (width, height))
        pen, kinds = ImageDraw.Draw(picture), (_stroke, _stroke, _spot, _word)
        for _ in range(MOST):
            if np.count_nonzero(mask := np.asarray(picture)) >= wanted:
                break
            kinds[draw.integers(len(kinds))](pen, draw, draw.uniform(*self.width))
        return mask


def _stroke(pen: ImageDraw.ImageDraw, draw: np.random.Generator, width: float) -> None:
    """A line that bends, across a part of the image."""
    place, angle = draw.uniform(0, pen.im.size), draw.uniform(0, 2 * math.pi)
    reach, bend = draw.uniform(0.1, 1) * max(pen.im.size) / 4, draw.normal(0, 0.3)
    turns = angle + bend * np.arange(4)
    steps = np.stack([np.cos(turns), np.sin(turns)], 1) * reach
    points = [tuple(point) for point in np.vstack([place, place + steps.cumsum(0)])]
    pen.line(points, 1, round(width), joint="curve")


def _spot(pen: ImageDraw.ImageDraw, draw: np.random.Generator, width: float) -> None:
    """An ellipse, as wide as a stroke and up to twice as long."""
    (x, y), (a, b) = draw.uniform(0, pen.im.size), width * draw.uniform(0.5, 1, 2)
    pen.ellipse((x - a, y - b, x + a, y + b), 1)


def _word(pen: ImageDraw.ImageDraw, draw: np.random.Generator, width: float) -> None:
    """Some letters, whose lines are about as wide as a stroke."""
    word = "".join(draw.choice(list(LETTERS), draw.integers(2, 8)))
    place = draw.uniform(-0.2, 0.8, 2) * pen.im.size
    pen.text(tuple(place), word, 1, ImageFont.load_default(max(6.0, 6 * width)))
