"""Recorrupting noisy images, so that a denoiser learns from these alone:

    y1 = y + a s z,    y2 = y - s z / a,    z ~ N(0, 1),    s^2 = gain y + level^2

y = x + n has the noise n with Var n = s^2, independent from pixel to pixel. What is added to y1
and taken from y2 is so correlated that their noises are not: E[(n + a s z)(n - s z / a)] = 0. So
a network that is to give y2 for y1 learns what it would if it were to give the clean x, of which
E|f(y1) - y2|^2 = E|f(y1) - x|^2 + (1 + 1 / a^2) E s^2. T. Pang, H. Zheng, Y. Quan, H. Ji,
"Recorrupted-to-Recorrupted: Unsupervised Deep Learning for Image Denoising", CVPR 2021, eq. 8-10.
Here a is drawn for each image: a small one keeps near the noise that there will be in use, and a
large one makes a gradient that is less noisy.
"""

import math
from dataclasses import field
from typing import Annotated, Literal, Self

import numpy as np
from annotated_types import Ge, Gt
from scipy.optimize import nnls
from torch import Generator, Tensor

from diabolo.corruption.base import Corrupted, Corruption, need_images, ordered
from diabolo.draw import normal, uniform
from diabolo.errors import InputError

Strength = Annotated[float, Gt(0)]
Auto = Literal["auto"] | Annotated[float, Ge(0)]
BLOCK, BINS = 8, 8  # pixels a side; groups of like brightness
FLAT, FEWEST = 0.02, 32  # blocks that count as flat: their share, and how many at least
CLIPPED = 0.02  # share of a block's values that may be at the end of their range


class Recorrupted(Corruption, kind="recorrupted"):
    """Makes noisy images (B, C, H, W) noisier, and gives targets of an independent noise.

    The noise that they have is estimated from them where it is not given, in scaled units:
    variances are `level`^2 + `gain` (x - low). It must not depend on that of pixels nearby, as it
    does after sharpening or compression. Nothing is clipped. `Corrupted.level` is the mean
    deviation of the noise of y1.
    """

    level: Annotated[Auto, "Standard deviation of the noise of images where they are dark."] = (
        field(default="auto", kw_only=False)
    )
    gain: Annotated[Auto, "Variance that it has more for each unit of brightness."] = "auto"
    strength: Annotated[tuple[Strength, Strength], "Range of a, by which images get noisier."] = (
        0.4,
        1.2,
    )
    of_noisy = True
    spreads = True

    def learnt(self, x: Tensor, low: float) -> Self:
        if "auto" not in (self.level, self.gain):
            return self
        need_images("Estimating noise", x.shape[1:], "a level and a gain")
        known = {name: v for name in ("level", "gain") if (v := getattr(self, name)) != "auto"}
        gain, level = noise_of(x.cpu().numpy() - (low if math.isfinite(low) else 0))
        return type(self)(**{"level": level, "gain": gain} | known, strength=self.strength)

    def corrupt(self, x: Tensor, generator: Generator, low: float, high: float) -> Corrupted:
        least, most = self.strength
        by = least + (most - least) * uniform(x.new_empty(len(x), 1), generator)
        spread = self.variance(x, low).sqrt_()
        level = spread.flatten(1).mean(1) * by.square().add(1).sqrt().squeeze(1)
        noise, by = spread.mul_(normal(x, generator)), by.view(-1, *(1,) * (x.ndim - 1))
        return Corrupted(x + by * noise, level=level, target=x - noise / by)

    def check(self, shape: tuple[int, ...], low: float, high: float) -> None:
        ordered("strength", self.strength)

    def variance(self, x: Tensor, low: float) -> Tensor:
        if isinstance(self.level, str) or isinstance(self.gain, str):
            raise InputError("The noise is not known yet: give a level and a gain, or fit.")
        above = x - (low if math.isfinite(low) else 0)
        return above.clamp_min_(0).mul_(self.gain).add_(self.level**2)


def noise_of(images: np.ndarray) -> tuple[float, float]:
    """The gain and the level of the noise of images (N, C, H, W).

    Of squares of 2 x 2 pixels the mean, and the difference of the diagonals, have independent
    noises. So of the blocks of like brightness those whose means differ least are flat, and their
    diagonals tell the variance of the noise there.
    """
    planes = images.reshape(-1, *images.shape[-2:]).astype(np.float64)
    rows, columns = (side // BLOCK for side in planes.shape[1:])
    if not rows * columns:
        raise InputError(
            f"Images of {images.shape[-1]} x {images.shape[-2]} pixels are too small to tell their"
            f" noise: give a level and a gain, or {BLOCK} x {BLOCK} pixels."
        )
    cut = planes[:, : rows * BLOCK, : columns * BLOCK]
    blocks = cut.reshape(-1, rows, BLOCK // 2, 2, columns, BLOCK // 2, 2)
    blocks = blocks.transpose(0, 1, 4, 2, 5, 3, 6).reshape(-1, BLOCK * BLOCK // 4, 2, 2)
    ends = (blocks == planes.min()) | (blocks == planes.max())
    inside = blocks[ends.mean((1, 2, 3)) <= CLIPPED]
    blocks = inside if len(inside) >= FEWEST else blocks
    means = blocks.mean((2, 3))
    diagonals = (blocks[..., 0, 0] + blocks[..., 1, 1] - blocks[..., 0, 1] - blocks[..., 1, 0]) / 2
    bright, rough, variance = means.mean(1), means.var(1), np.square(diagonals).mean(1)
    found = list[tuple[float, float]]()
    for group in np.array_split(np.argsort(bright), min(BINS, max(1, len(bright) // FEWEST))):
        count = max(FEWEST, int(FLAT * len(group)))
        flat = group[np.argsort(rough[group])[:count]]
        found.append((bright[flat].mean(), variance[flat].mean()))
    at, seen = np.array(found).T
    weight = 1 / np.maximum(seen, 1e-12)
    (gain, floor), _ = nnls(np.stack([at, np.ones_like(at)], 1) * weight[:, None], seen * weight)
    return float(gain), math.sqrt(floor)
