"""The law of codes that are whole numbers, which tells how many nats they take.

Each number has a discretised logistic law, P(n) = F(n + 1/2) - F(n - 1/2), whose mean and scale
depend on the numbers that came before. They come in four steps: a quarter of the channels at each
quarter of the places, a checkerboard of 2 x 2 that differs from step to step (J. Li, B. Li,
Y. Lu, "Neural Video Compression with Diverse Contexts", 2023, section 3.3), so that a step knows
what is around it in all channels, and all of a step are coded at once.
"""

import math

import torch
from torch import Generator, Tensor, nn

from diabolo.draw import uniform_of_share

STEPS, REACH = 4, 5  # and the side of what a number sees of each channel
ORDER = ((0, 3), (1, 2))  # of the places of 2 x 2
LARGEST = 30.0  # numbers count as no larger where others depend on them
LOG_SCALE = (-3.5, 6.0)
LEAST = 1e-7  # probability


class Law(nn.Module):
    """p(code) of maps (B, C, h, w); `units` of each network that looks around, none without.

    For a number of qualities, 0, 1, ..., between which there are others. The first weights are
    drawn from the generator; without one, only their shapes matter.
    """

    def __init__(
        self, channels: int, units: int, qualities: int, generator: Generator | None = None
    ) -> None:
        super().__init__()
        self.channels, self.units = channels, units
        self.steps = STEPS if units else 1
        self.usual = nn.Parameter(torch.zeros(self.steps, qualities, 2 * channels))
        if units:
            self.inner = nn.Parameter(torch.zeros(self.steps - 1, qualities, units))
            with torch.random.fork_rng(devices=[]):  # whose numbers are replaced
                parts = [Around(channels, units) for _ in range(self.steps - 1)]
            self.around = nn.ModuleList(parts)
        if generator is not None:
            self._begin(generator)

    def _begin(self, generator: Generator) -> None:
        for name, parameter in self.named_parameters():
            if parameter.ndim == 4:
                nn.init.xavier_uniform_(parameter, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def order(self, height: int, width: int) -> Tensor:
        """The step that each number of a map (C, h, w) is coded in."""
        places = torch.tensor(ORDER).repeat(-(-height // 2), -(-width // 2))[:height, :width]
        groups = torch.arange(self.channels) * STEPS // self.channels
        return (places - groups[:, None, None]) % self.steps

    def moments(self, known: Tensor, step: int, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Means and logarithms of scales, (B, C, h, w) or of one place, for all numbers.

        Of a step, by what is `known`, which is zero elsewhere; `quality` (B,).
        """
        found = between(self.usual[step], quality)
        if step:
            found = found + self.around[step - 1](known, between(self.inner[step - 1], quality))
        mean, log_scale = found.chunk(2, 1)
        return mean, log_scale.clamp(*LOG_SCALE)

    def forward(self, code: Tensor, value: Tensor, quality: Tensor) -> Tensor:
        """Nats (B, C, h, w) of values, each as if those before it were those of the code."""
        order = self.order(*code.shape[2:]).to(code.device)
        mean = log_scale = torch.zeros_like(value)
        for step in range(self.steps):
            m, s = self.moments(code * (order < step), step, quality)
            now = order == step
            mean, log_scale = torch.where(now, m, mean), torch.where(now, s, log_scale)
        return nats(value, mean, log_scale)


class Around(nn.Module):
    """What the known numbers around each place tell of its own: (B, C, h, w) -> (B, 2C, h, w)."""

    def __init__(self, channels: int, units: int) -> None:
        super().__init__()
        c = 2 * channels
        self.near = nn.Conv2d(c, c, REACH, padding=REACH // 2, groups=c)
        self.up, self.down = nn.Conv2d(c, units, 1), nn.Conv2d(units, c, 1)

    def forward(self, known: Tensor, inner: Tensor) -> Tensor:
        x = known.clamp(-LARGEST, LARGEST)
        hidden = self.up(self.near(torch.cat([x, x.abs()], 1))) + inner
        found: Tensor = self.down(hidden.relu())
        return found


def between(table: Tensor, quality: Tensor) -> Tensor:
    """Rows of a table (Q, F) at qualities (B,), which may lie between two: (B, F, 1, 1)."""
    low = quality.floor().long().clamp(0, max(len(table) - 2, 0))
    high, share = (low + 1).clamp(max=len(table) - 1), (quality - low).to(table)[:, None]
    return (table[low] * (1 - share) + table[high] * share)[..., None, None]


def nats(value: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """-log P(value) under discretised logistic laws."""
    narrow, distance = (-log_scale).exp(), -(value - mean).abs()
    upper, lower = ((distance + half) * narrow for half in (0.5, -0.5))
    return -(upper.sigmoid() - lower.sigmoid()).clamp_min(LEAST).log()


class Rounded(nn.Module):
    """Codes (B, K) of what an encoder gives: step round(gain y / step), of tables (C,)."""

    def __init__(self, step: Tensor, gain: Tensor) -> None:
        super().__init__()
        self.step, self.gain = step, gain

    def forward(self, y: Tensor) -> Tensor:
        maps = y.view(len(y), len(self.step), -1)
        step = self.step[:, None]
        return ((maps * self.gain[:, None] / step).round() * step).flatten(1)


def first_steps(weight: float, qualities: int, channels: int) -> Tensor:
    """Steps (Q, C) whose squared error is worth its rate, by its weight, at the middle quality.

    A step between two qualities is the root of 2.
    """
    finer = 2.0 ** (0.5 * (qualities // 2 - torch.arange(float(qualities), device="cpu")))
    return torch.empty(qualities, channels).copy_(math.sqrt(12 * weight) * finer[:, None])


def some_quality(like: Tensor, qualities: int, generator: Generator) -> Tensor:
    """A quality for each sample of a batch, each as often as the others, (B,) as `like`."""
    drawn = uniform_of_share(like, generator) * qualities
    return drawn.floor().clamp(max=qualities - 1)


def as_maps(y: Tensor, channels: int, x: Tensor) -> Tensor:
    """What an encoder gives of x, (B, K), as maps (B, C, h, w): of images as they lie in them."""
    return y.view(len(x), channels, *sides(x, y.shape[1] // channels))


def sides(x: Tensor, places: int) -> tuple[int, ...]:
    """The sides of a map of so many places, of images (B, C, H, W); else of a vector."""
    if x.ndim == 4 and places > 1:
        for step in range(1, max(x.shape[2:]) + 1):
            height, width = (-(-side // step) for side in x.shape[2:])
            if height * width == places:
                return height, width
    return places, 1
