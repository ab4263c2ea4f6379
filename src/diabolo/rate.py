"""The law of codes that are whole numbers, which tells how many nats they take.

Each number has a discretised logistic law, P(n) = F(n + 1/2) - F(n - 1/2), whose mean and scale
depend on the numbers that came before. They come in four steps: a quarter of the channels at each
quarter of the places, a checkerboard of 2 x 2 that differs from step to step (J. Li, B. Li,
Y. Lu, "Neural Video Compression with Diverse Contexts", 2023, section 3.3), so that a step knows
what is around it in all channels, and all of a step are coded at once.
"""

import torch
from torch import Generator, Tensor, nn

STEPS, REACH = 4, 5  # and the side of what a number sees of each channel
ORDER = ((0, 3), (1, 2))  # of the places of 2 x 2
LARGEST = 30.0  # numbers count as no larger where others depend on them
LOG_SCALE = (-3.5, 6.0)
LEAST = 1e-7  # probability


class Law(nn.Module):
    """p(code) of maps (B, C, h, w); `units` of each network that looks around, none without.

    For a number of qualities, 0, 1, ..., between which there are others.
    """

    def __init__(self, channels: int, units: int, qualities: int) -> None:
        super().__init__()
        self.channels, self.units = channels, units
        self.steps = STEPS if units else 1
        self.usual = nn.Parameter(torch.zeros(self.steps, qualities, 2 * channels))
        if units:
            self.inner = nn.Parameter(torch.zeros(self.steps - 1, qualities, units))
            self.around = nn.ModuleList(Around(channels, units) for _ in range(self.steps - 1))

    def begin(self, generator: Generator) -> None:
        """Draw the first weights."""
        for parameter in self.parameters():
            if parameter.ndim == 4:
                nn.init.xavier_uniform_(parameter, generator=generator)

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
