"""From stored values to the network's and back:  scaled = (x - shift) / scale.

It lies in the network, so that whatever has the network takes raw values.
"""

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F  # noqa: N812

from diabolo.columns import Columns
from diabolo.data.source import ROWS, Source
from diabolo.draw import uniform
from diabolo.gaps import conditional_mean, fit_gaussian

WIDEST = 128  # values of a row that a Gaussian is learnt of
LEAST = 1e-12
BELIEVED = 200  # hidden numbers, see `TableScaling.judge`
HIDDEN = 0.4  # the largest share of a row's cells that are hidden in training
ROWS_OF_EM = 2000  # that it is learnt from


class Scaling(nn.Module):
    """Affine map from stored values to the network's: scaled = (x - shift) / scale.

    `low` and `high` bound the scaled values (infinite without a range). `peak` holds the stored
    values that count as 0 and 1 when an image's error is measured.
    """

    shift: Tensor
    scale: Tensor
    bounds: Tensor
    peak: Tensor

    def __init__(
        self, shift: Tensor, scale: Tensor, low: float, high: float, peak: Tensor
    ) -> None:
        super().__init__()
        self.register_buffer("shift", shift)
        self.register_buffer("scale", scale)
        self.register_buffer("bounds", torch.tensor([low, high]))
        self.register_buffer("peak", peak)
        self.low, self.high, self.shifted = low, high, bool(shift.any())

    def forward(self, x: Tensor) -> Tensor:
        """Scaled float32 of stored values of any type."""
        scaled = x.to(self.scale.dtype, copy=True)
        return (scaled.sub_(self.shift) if self.shifted else scaled).div_(self.scale)

    def inverse(self, scaled: Tensor) -> Tensor:
        """Stored units of scaled values, clipped to the range where there is one."""
        if math.isfinite(self.high):
            scaled = scaled.clamp(self.low, self.high)
        return (scaled * self.scale).add_(self.shift)

    def filled(self, scaled: Tensor) -> Tensor:
        """Scaled values as an encoder takes them: without gaps, where there may be some."""
        return scaled

    def agreed(self, scaled: Tensor, output: Tensor) -> Tensor:
        """What gaps in scaled values are filled with, where a network gives this output."""
        return output

    def judge(self, hidden: Tensor, output: Tensor, scaled: Tensor) -> None:
        """Learn how `agreed` is to weigh, from scaled values of which some were hidden."""

    def hidden(self, scaled: Tensor, generator: Generator) -> Tensor:
        """A scaled batch with what is hidden from the encoder in training."""
        return scaled


class TableScaling(Scaling):
    """From the cells of rows (B, D) to the network's values (B, E), and back.

    A number is standardised. A category becomes one value for each that its column may have, 1 for
    its own and 0 for the others, minus its share in training; so 0 is the mean of every value,
    and what an encoder is given for gaps, which are NaN. The inverse takes the most probable.

    `sizes` has the number of categories of each column, None for numbers.
    """

    column: Tensor  # (E,): which column a value is of
    code: Tensor  # (E,): which category of it
    number: Tensor  # (E,): whether it is a number
    numbers: Tensor  # those that are numbers
    categories: Tensor  # those that are not
    places: Tensor  # (C, M): where the values of the C columns of categories lie; E for none
    mean: Tensor  # (E,), and
    precision: Tensor  # (E, E): of a Gaussian of scaled rows; empty of a wide table
    trust: Tensor  # how far the network, and not the Gaussian, is right about hidden numbers
    back: Tensor  # where those of categories lie in (C * M)
    numeric: Tensor  # (D,): whether a column is of numbers
    order: Tensor  # (D,): of the columns among numbers, columns of categories, and empty ones

    def __init__(
        self,
        shift: Tensor,
        scale: Tensor,
        peak: Tensor,
        sizes: Sequence[int | None],
        gaussian: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        super().__init__(shift, scale, -math.inf, math.inf, peak)
        mean, precision = gaussian or (torch.zeros_like(shift), torch.empty(0, 0))
        self.register_buffer("mean", mean)
        self.register_buffer("precision", precision)
        self.register_buffer("trust", torch.tensor(0.5))
        found = [
            (i, k, n is None) for i, n in enumerate(sizes) for k in range(1 if n is None else n)
        ]
        column, code, number = (torch.tensor(part) for part in zip(*found, strict=True))
        blocks = [i for i, n in enumerate(sizes) if n]
        places = torch.full((len(blocks), max((n or 0 for n in sizes), default=0)), len(found))
        for row, i in enumerate(blocks):
            mine = (column == i).nonzero().flatten()
            places[row, : len(mine)] = mine
        numeric, empty = ([i for i, n in enumerate(sizes) if n == k] for k in (None, 0))
        indices = {
            "column": column,
            "code": code,
            "number": number,
            "numbers": number.nonzero().flatten(),
            "categories": (~number).nonzero().flatten(),
            "places": places,
            "back": (places < len(found)).flatten().nonzero().flatten(),
            "numeric": torch.tensor([n is None for n in sizes]),
            "order": torch.tensor([*numeric, *blocks, *empty]).argsort(),
        }
        for name, index in indices.items():
            self.register_buffer(name, index, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Scaled values (B, E) of stored ones (B, D); NaN in gaps."""
        return (self.expanded(x.to(self.scale.dtype)) - self.shift) / self.scale

    def expanded(self, x: Tensor) -> Tensor:
        """The values (B, E) of stored ones (B, D), before they are shifted."""
        values = x[:, self.column]
        hot = torch.where(values >= 0, (values == self.code).to(values.dtype), math.nan)
        return torch.where(self.number, values, hot)

    def unknown(self, x: Tensor) -> Tensor:
        """Which stored values (B, D) are categories that were not there in training."""
        return (x < 0) & ~self.numeric

    def inverse(self, scaled: Tensor) -> Tensor:
        values = scaled * self.scale + self.shift
        most, place = self.blocks(values).max(2) if len(self.places) else (values[:, :0],) * 2
        codes = torch.where(most.isnan(), most, place.to(values.dtype))
        return self.joined(values[:, self.numbers], codes, math.nan)

    def blocks(self, values: Tensor) -> Tensor:
        """The values of categories (B, E) by column, (B, C, M); -inf where there are fewer."""
        return F.pad(values, (0, 1), value=-math.inf)[:, self.places]

    def joined(self, numbers: Tensor, categories: Tensor, empty: float) -> Tensor:
        """Something of each number and each category, as one of each column (B, D)."""
        found = torch.cat([numbers, categories], 1)
        return F.pad(found, (0, len(self.order) - found.shape[1]), value=empty)[:, self.order]

    def agreed(self, scaled: Tensor, output: Tensor) -> Tensor:
        """Of numbers what the network and the Gaussian say, weighed by `trust`."""
        if not len(self.precision):
            return output
        return torch.where(self.number, self.filled(scaled).lerp(output, self.trust), output)

    def judge(self, hidden: Tensor, output: Tensor, scaled: Tensor) -> None:
        """Least squares for the hidden numbers: the share of the way to the network's.

        Half of the way counts as if `BELIEVED` of them had told it.
        """
        linear = self.filled(hidden)
        apart, wanted = output - linear, scaled - linear
        known = self.number & hidden.isnan() & ~scaled.isnan()
        if known.any():
            apart, wanted = apart[known].double(), wanted[known].double()
            share = (apart @ wanted) / apart.square().sum().clamp(min=LEAST)
            n = len(apart)
            self.trust.fill_((n * float(share.clamp(0, 1)) + BELIEVED / 2) / (n + BELIEVED))

    def hidden(self, scaled: Tensor, generator: Generator) -> Tensor:
        """Cells become gaps, of each row another share of them."""
        share = HIDDEN * uniform(scaled[:, :1], generator)
        cells = uniform(scaled.new_empty(len(scaled), len(self.order)), generator) < share
        return scaled.masked_fill(cells[:, self.column], math.nan)

    def filled(self, scaled: Tensor) -> Tensor:
        if not len(self.precision):
            return torch.where(scaled.isnan(), 0.0, scaled)
        return conditional_mean(scaled, self.mean, self.precision)


def learn_table(columns: Columns, source: Source) -> TableScaling:
    """The scaling of a table: means and deviations of numbers, shares of categories.

    To the cells of a column half a cell more of each category is counted.
    """
    sizes, e = columns.sizes, columns.width
    peak = torch.tensor([0.0, 1.0])
    raw = TableScaling(torch.zeros(e), torch.ones(e), peak, sizes)
    count, middle, total, squares = (torch.zeros(e, dtype=torch.float64) for _ in range(4))
    for index in torch.arange(len(source)).split(ROWS):
        block = raw.expanded(source.take(index).target.double())
        middle = torch.where(count > 0, middle, block.nanmean(0).nan_to_num())
        off = (block - middle).nan_to_num()
        count += (~block.isnan()).sum(0)
        total += off.sum(0)
        squares += off.square().sum(0)
    off = total / count.clamp(min=1)
    spread = (squares / count.clamp(min=1) - off.square()).clamp(min=0).sqrt()
    many = torch.tensor([column.width for column in columns])[raw.column]
    share = (total + middle * count + 0.5) / (count + 0.5 * many)
    shift = torch.where(raw.number, middle + off, share).float()
    scale = torch.where(raw.number, spread, 1.0).float()
    found = TableScaling(shift, _nonzero(scale), peak, sizes)
    if e > WIDEST:
        return found
    few = source.take(torch.linspace(0, len(source) - 1, min(len(source), ROWS_OF_EM)).long())
    return TableScaling(shift, found.scale, peak, sizes, fit_gaussian(found(few.target)))


def learn_scaling(
    kind: str | None, values: Source, *, image: bool, table: Columns | None = None
) -> Scaling:
    """The scaling of `kind` ("unit", "symmetric", "standard" or None) for stored values.

    "unit": integers are divided by their type's maximum; float images by their global minimum
    and maximum (kept when already within [0, 1]); float tables column by column. "symmetric": the
    same, to [-1, 1]. "standard": mean 0 and variance 1, of an image's pixels together, of a
    table's columns each. A column without spread counts as if its spread were 1. The columns of
    a `table` with categories or gaps are always standardised.
    """
    if table is not None:
        return learn_table(table, values)
    low, high = _limits(values, image)
    peak = torch.stack([low.min(), high.max()])
    if kind is None:
        return Scaling(torch.tensor(0.0), torch.tensor(1.0), -math.inf, math.inf, peak)
    if kind == "standard":
        _, _, mean, variance = values.statistics()
        if image:
            mean, variance = mean.mean(), variance.mean() + mean.var(correction=0)
        return Scaling(mean.float(), _nonzero(variance.sqrt().float()), -math.inf, math.inf, peak)
    span = _nonzero(high - low)
    if kind == "unit":
        return Scaling(low, span, 0.0, 1.0, peak)
    return Scaling(low + span / 2, span / 2, -1.0, 1.0, peak)


def read_scaling(
    tensors: dict[str, Tensor], features: int, columns: Columns | None = None
) -> Scaling:
    """The scaling among the tensors of a model file; ValueError where it is none."""
    if columns is not None:
        features = columns.width
    names = ("shift", "scale", "bounds", "peak")
    shift, scale, bounds, peak = found = [tensors[f"scaling.{name}"] for name in names]
    whole = {(), (features,)}
    if not {shift.shape, scale.shape} <= whole or bounds.shape != (2,) or peak.shape != (2,):
        raise ValueError("the scaling does not fit the samples.")
    if any(tensor.dtype != torch.float32 for tensor in found):
        raise ValueError("the scaling has a wrong type.")
    low, high = bounds.tolist()
    if columns is not None and (shift.shape, scale.shape) != ((features,),) * 2:
        raise ValueError("the scaling does not fit the columns.")
    if not (shift.isfinite().all() and scale.isfinite().all() and scale.all() and low < high):
        raise ValueError("the scaling has values that are none.")
    if columns is not None:
        gaussian = tensors["scaling.mean"], tensors["scaling.precision"]
        return TableScaling(shift, scale, peak, columns.sizes, gaussian)
    return Scaling(shift, scale, low, high, peak)


def _limits(values: Source, image: bool) -> tuple[Tensor, Tensor]:
    """The stored values that count as the lowest and the highest."""
    dtype = values.dtype
    if not dtype.is_floating_point:
        top = 1.0 if dtype == torch.bool else float(torch.iinfo(dtype).max)
        return torch.tensor(0.0), torch.tensor(top)
    low, high, _, _ = values.statistics()
    if not image:
        return low, high
    low, high = low.min(), high.max()
    if low >= 0 and high <= 1:
        return torch.tensor(0.0), torch.tensor(1.0)
    return low, high


def _nonzero(scale: Tensor) -> Tensor:
    return torch.where(scale == 0, 1.0, scale)
