"""The law of a pixel, given those before it that lie near, by a network of integers.

Pixels come row by row, the channels of one after the other. The neighbours are those up to `reach`
rows above and as far to either side, and the channels before at the same place; what lies outside
the image is 0. Each value v is looked up in a table of a few numbers ("how large", "not 0", ...),
h = W f + row + column + channel, h <- h + W relu(h) for each block, and of relu(h) come

    p(v > 0),   and of another hidden layer   p(v | v > 0),  v = 1 ... 255,

so that most of the work is left out where nothing is.
"""

from typing import ClassVar, NamedTuple, cast

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F  # noqa: N812

from diabolo.integers import GRID, LARGEST, Whole, rectified, snapped, summed

VALUES = 256
ENDS = (253, 254, 255)  # values that have a number of their own


class Places(NamedTuple):
    """Where pixels of padded images are: indices (N,) of each."""

    image: Tensor
    channel: Tensor
    row: Tensor
    column: Tensor


class Exact(NamedTuple):
    """The layers as whole numbers of 1/32, see `Whole.exact`."""

    first: tuple[Tensor, Tensor]
    blocks: list[tuple[Tensor, Tensor]]
    flag: tuple[Tensor, Tensor]
    hidden: tuple[Tensor, Tensor]
    value: tuple[Tensor, Tensor]
    rows: Tensor
    columns: Tensor
    channels: Tensor


class Neighbours(nn.Module):
    """The laws of pixels (N,) of images (B, C, H, W), which have values 0 to 255."""

    table: Tensor
    MORE: ClassVar[int] = 0  # values that are near beside those of pixels

    @staticmethod
    def lookup() -> Tensor:
        """What is seen of a value, (256, 5): how large, whether not 0, whether one of the ends."""
        value = torch.arange(VALUES)
        seen = [value, (value > 0) * LARGEST, *((value == end) * LARGEST for end in ENDS)]
        return torch.stack(seen, 1).to(torch.uint8)

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        units: int,
        layers: int,
        hidden: int,
        reach: int,
        placed: bool = True,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        self.shape, self.reach, self.placed = shape, reach, placed
        c, h, w = shape if placed else (shape[0], 1, 1)
        self.register_buffer("table", self.lookup())
        values = c * 2 * reach * (reach + 1) + c - 1 + self.MORE
        self.first = Whole(self.table.shape[1] * values + 1, units, bias=False)
        self.flag = Whole(units, 1)
        self.blocks = nn.ModuleList(Whole(units, units) for _ in range(layers))
        self.hidden, self.value = Whole(units, hidden), Whole(hidden, VALUES - 1)
        self.rows = nn.Parameter(torch.zeros(h, units))
        self.columns = nn.Parameter(torch.zeros(w, units))
        self.channels = nn.Parameter(torch.zeros(c, units))
        self._initialise(generator)

    def _initialise(self, generator: Generator | None) -> None:
        """Uniform in 1/sqrt(inputs) either way, as PyTorch's; drawn from the generator."""
        for layer in self.modules():
            if isinstance(layer, Whole):
                bound = layer.in_features**-0.5
                nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def padded(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) with what lies around them."""
        return F.pad(images, (self.reach, self.reach, self.reach, 0))

    def near(self, padded: Tensor, at: Places) -> Tensor:
        """The values of what lies near pixels and comes before them, (N, V); 0 is unknown."""
        channels, height, width = padded.shape[1:]
        corner = (at.image * channels * height + at.row) * width + at.column
        lower = torch.arange(channels, device=padded.device) * height * width
        side = torch.arange(2 * self.reach + 1, device=padded.device)
        window = (side[: self.reach + 1, None] * width + side).flatten()[: -self.reach - 1]
        places = corner[:, None] + (lower[:, None] + window).flatten()
        found = padded.take(places)
        if channels == 1:
            return found
        here = padded[at.image, :-1, at.row + self.reach, at.column + self.reach]
        before = at.channel[:, None] > torch.arange(channels - 1, device=padded.device)
        return torch.cat([found, here * before], 1)

    def pixels(self, padded: Tensor, at: Places) -> Tensor:
        """The values (N,) of pixels."""
        return padded[at.image, at.channel, at.row + self.reach, at.column + self.reach]

    def seen(self, near: Tensor) -> Tensor:
        """What the network is given of values (N, V), as whole numbers (N, M) up to 255."""
        return F.embedding(near.int(), self.table.float()).flatten(1)

    def told(self, at: Places) -> Places:
        """The places as the network knows them: all alike, where it is not `placed`."""
        if self.placed:
            return at
        return Places(at.image, at.channel, torch.zeros_like(at.row), torch.zeros_like(at.row))

    def symbols(self, values: Tensor, near: Tensor) -> Tensor:
        """What the law is of, from 0 to 255: values (N,), each with what is near it."""
        return values

    def values(self, symbols: Tensor, near: Tensor) -> Tensor:
        """The inverse of `symbols`."""
        return symbols

    def features(self, near: Tensor, at: Places, hint: Tensor) -> Tensor:
        """The last activations (N, units), for training."""
        seen = torch.cat([self.seen(near), hint.unsqueeze(1)], 1)
        at = self.told(at)
        h = self.first(seen / (LARGEST + 1)) + snapped(self.rows)[at.row]
        h = h + snapped(self.columns)[at.column] + snapped(self.channels)[at.channel]
        for block in self.blocks:
            h = h + block(rectified(h))
        return rectified(h)

    def nll(self, padded: Tensor, at: Places, hint: Tensor) -> Tensor:
        """-log p in nats of pixels (N,), for training.

        `hint` (N,): what else is known of each, a whole number up to 255.
        """
        near = self.near(padded, at)
        target = self.symbols(self.pixels(padded, at), near).long()
        last = self.features(near, at, hint)
        there = (target > 0).nonzero()[:, 0]
        flag = F.softplus(torch.where(target > 0, -1, 1) * self.flag(last)[:, 0])
        logits = self.value(rectified(self.hidden(last[there])))
        return flag.index_add(
            0, there, F.cross_entropy(logits, target[there] - 1, reduction="none")
        )

    @torch.no_grad()
    def draw(self, padded: Tensor, at: Places, hint: Tensor, generator: Generator) -> Tensor:
        """Values (N,) of pixels, drawn from their law."""
        near = self.near(padded, at)
        last = self.features(near, at, hint)
        logits = self.value(rectified(self.hidden(last)))
        value = torch.multinomial(logits.softmax(1).cpu(), 1, generator=generator) + 1
        there = torch.rand(len(last), 1, generator=generator) < self.flag(last).sigmoid().cpu()
        symbols = torch.where(there, value, 0)[:, 0].to(last.device, torch.uint8)
        return self.values(symbols, near)

    @property
    def hinted(self) -> bool:
        """Whether hints matter."""
        return bool(self.first.weight[:, -1].any())

    @torch.no_grad()
    def exact(self) -> Exact:
        """The network as whole numbers."""
        first, _ = self.first.exact()
        shifts = [snapped(p) * GRID for p in (self.rows, self.columns, self.channels)]
        scaled = first * (GRID / (LARGEST + 1))
        zero = torch.zeros(scaled.shape[1], device=scaled.device)
        blocks = [cast(Whole, block).exact() for block in self.blocks]
        rest = (self.flag.exact(), self.hidden.exact(), self.value.exact())
        return Exact((scaled, zero), blocks, *rest, *shifts)


def last_of(exact: Exact, seen: Tensor, at: Places) -> Tensor:
    """The last activations (N, units) of exact layers, whole numbers, where there are no hints."""
    weight, _ = exact.first
    h = torch.mm(seen, weight[: seen.shape[1]]).round_()
    h.add_(exact.rows[at.row]).add_(exact.columns[at.column])
    h.add_(exact.channels[at.channel])
    for block in exact.blocks:
        h.add_(summed(h.clamp(0, LARGEST), block))
    return h.clamp_(0, LARGEST)


def values_of(exact: Exact, last: Tensor) -> Tensor:
    """Logits (N, 255) of the values above 0."""
    return summed(summed(last, exact.hidden).clamp_(0, LARGEST), exact.value)
