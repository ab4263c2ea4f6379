"""The law of a pixel, given those before it that lie near, by a network of integers.

Pixels come row by row, the channels of one after the other. The neighbours are those up to `reach`
rows above and as far to either side, and the channels before at the same place; what lies outside
the image is 0. Each value v is looked up in a table of a few numbers ("how large", "not 0", ...),
h = W f + row + column + channel, h <- h + W relu(h) for each block, and of relu(h) come

    p(v = guess),   and of another hidden layer   p(v = guess + s mod 256 | s > 0),  s = 1 ... 255,

so that most of the work is left out where the guess is right. The guess is 0, or with `smooth` the
plane through the three next neighbours cut to their range (M. J. Weinberger, G. Seroussi, G.
Sapiro, LOCO-I, 2000, eq. 1), and neighbours are seen as they differ from it.
"""

from typing import NamedTuple, cast

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


def plain_table() -> Tensor:
    """What is seen of a value, (256, 5): how large, whether not 0, whether one of the ends."""
    value = torch.arange(VALUES)
    seen = [value, (value > 0) * LARGEST, *((value == end) * LARGEST for end in ENDS)]
    return torch.stack(seen, 1).to(torch.uint8)


def smooth_table() -> Tensor:
    """What is seen of a difference, +256 (511, 3): coarse and fine, and its size."""
    d = torch.arange(-255, 256)
    seen = [d, (8 * d).clamp(-LARGEST, LARGEST), (4 * d.abs()).clamp(max=LARGEST)]
    return torch.stack(seen, 1).to(torch.int16)


class Neighbours(nn.Module):
    """Logits of pixels (N,) of images (B, C, H, W), which have values 0 to 255."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        units: int,
        layers: int,
        hidden: int,
        reach: int,
        hints: bool = False,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        self.shape, self.reach, self.hints = shape, reach, hints
        c, h, w = shape
        window = torch.ones(reach + 1, 2 * reach + 1, dtype=torch.bool)
        window[reach, reach:] = False
        self.down, self.along = (window.nonzero().t() - reach).unbind()
        self.register_buffer("table", plain_table())
        seen = self.table.shape[1] * (c * len(self.down) + c - 1) + hints
        self.first, self.flag = Whole(seen, units, bias=False), Whole(units, 1)
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

    def seen(self, padded: Tensor, at: Places, hint: Tensor | None = None) -> Tensor:
        """What the network is given of pixels, (N, M), as whole numbers up to 255.

        `hint` (N,): of each pixel, what is known of it besides.
        """
        near = padded[
            at.image[:, None],
            :,
            at.row[:, None] + self.reach + self.down.to(padded.device),
            at.column[:, None] + self.reach + self.along.to(padded.device),
        ]  # (N, neighbours, C)
        parts = [self.table[near.flatten(1).long()].flatten(1)]
        if (c := self.shape[0]) > 1:
            here = padded[at.image, : c - 1, at.row + self.reach, at.column + self.reach]
            before = at.channel[:, None] > torch.arange(c - 1, device=padded.device)
            parts.append((self.table[here.long()] * before.unsqueeze(2)).flatten(1))
        found = torch.cat(parts, 1).float()
        return found if hint is None else torch.cat([found, hint.unsqueeze(1)], 1)

    def features(self, seen: Tensor, at: Places) -> Tensor:
        """The last activations (N, units), for training."""
        h = self.first(seen / (LARGEST + 1)) + snapped(self.rows)[at.row]
        h = h + snapped(self.columns)[at.column] + snapped(self.channels)[at.channel]
        for block in self.blocks:
            h = h + block(rectified(h))
        return rectified(h)

    def nll(self, padded: Tensor, at: Places, hint: Tensor | None = None) -> Tensor:
        """-log p in nats of pixels (N,), for training."""
        target = padded[at.image, at.channel, at.row + self.reach, at.column + self.reach].long()
        last = self.features(self.seen(padded, at, hint), at)
        there = (target > 0).nonzero()[:, 0]
        flag = F.softplus(torch.where(target > 0, -1, 1) * self.flag(last)[:, 0])
        logits = self.value(rectified(self.hidden(last[there])))
        return flag.index_add(
            0, there, F.cross_entropy(logits, target[there] - 1, reduction="none")
        )

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
    """The last activations (N, units) of exact layers, whole numbers."""
    h = summed(seen, exact.first).add_(exact.rows[at.row]).add_(exact.columns[at.column])
    h.add_(exact.channels[at.channel])
    for block in exact.blocks:
        h.add_(summed(h.clamp(0, LARGEST), block))
    return h.clamp_(0, LARGEST)


def values_of(exact: Exact, last: Tensor) -> Tensor:
    """Logits (N, 255) of the values above 0."""
    return summed(summed(last, exact.hidden).clamp_(0, LARGEST), exact.value)
