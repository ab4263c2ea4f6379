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

from annotated_types import Ge, Gt
from torch import Generator, Tensor

from diabolo import noise
from diabolo.corruption.base import Corrupted, Corruption, need_images, ordered
from diabolo.draw import normal, uniform
from diabolo.errors import InputError

Strength = Annotated[float, Gt(0)]
Auto = Literal["auto"] | Annotated[float, Ge(0)]


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
        found = noise.estimate(x.cpu().numpy() - (low if math.isfinite(low) else 0))
        learnt = {"level": math.sqrt(max(found.floor, 0.0)), "gain": found.slope}
        return type(self)(**learnt | known, strength=self.strength)

    def corrupt(self, x: Tensor, generator: Generator, low: float, high: float) -> Corrupted:
        least, most = self.strength
        by = least + (most - least) * uniform(x.new_empty(len(x), 1), generator)
        spread = self.variance(x, low).sqrt_()
        level = spread.flatten(1).mean(1) * by.square().add(1).sqrt().squeeze(1)
        added, by = spread.mul_(normal(x, generator)), by.view(-1, *(1,) * (x.ndim - 1))
        return Corrupted(x + by * added, level=level, target=x - added / by)

    def check(self, shape: tuple[int, ...], low: float, high: float) -> None:
        ordered("strength", self.strength)

    def variance(self, x: Tensor, low: float) -> Tensor:
        if isinstance(self.level, str) or isinstance(self.gain, str):
            raise InputError("The noise is not known yet: give a level and a gain, or fit.")
        above = x - (low if math.isfinite(low) else 0)
        return above.clamp_min_(0).mul_(self.gain).add_(self.level**2)
