"""How odd the values of a sample are, which cell of a row is, and what would have been normal."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from diabolo import infer
from diabolo.columns import Column, Columns, as_frame
from diabolo.estimator import Estimator
from diabolo.likelihood.mixed import Mixed
from diabolo.net import Net

BLUR = 1.5  # pixels, of the score "shape"
REACH = 8.5  # standard deviations of a blur, beyond which weights are below rounding
UNKNOWN = 10.0  # nats, of a category that was not there in training


class OddCell(NamedTuple):
    """A cell of a row: its column, its share of the row's error, its value, and a normal one."""

    column: str
    share: float
    value: str
    normal: str

    def __str__(self) -> str:
        return f"{self.column}: {self.value} (normal: {self.normal})"


def column_names(model: Estimator) -> np.ndarray:
    """The names of a table's columns: x0, x1, ... where it has none."""
    table = model.fitted_.intake.table
    names = getattr(model, "feature_names_in_", model.columns_)
    if table is not None and table.names:
        names = table.names
    if names is None:
        names = [f"x{i}" for i in range(model.n_features_in_)]
    return np.asarray(names, dtype=object)


def shares(model: Estimator, X: Any) -> np.ndarray:
    """The share of each column in the error of a table's row, (N, D) float64.

    Where a table has categories or gaps, it is what the error of the whole row is less without
    that cell: one odd cell makes the others look odd.
    """
    net, rows = model.net_, model.rows(X)
    found = infer.in_blocks(net, lambda x: errors(net, x), rows).numpy()
    total = found.sum(axis=1, keepdims=True)
    if model.fitted_.intake.table is not None:
        found = (total - without_one(net, rows)).clip(0)
    return np.asarray(found / np.where(total > 0, total, 1))


def odd_cells(model: Estimator, X: Any, shares: np.ndarray, names: Sequence[Any]) -> list[OddCell]:
    """The oddest cell of each row of a table by its `shares`, and what would have been normal.

    That is, where a table has categories or gaps, what the rest of the row says of it; of a table
    of numbers, what the model makes of the row.
    """
    net, rows, table = model.net_, model.rows(X).float(), model.fitted_.intake.table
    odd, hidden = torch.from_numpy(shares.argmax(axis=1)), rows.clone()
    if table is not None:
        hidden[torch.arange(len(rows)), odd] = math.nan
    normal = infer.in_blocks(net, net.reconstruct if table is None else net.fill, hidden)
    columns, cells = table or Columns(Column(None) for _ in names), list[OddCell]()
    for i, j in enumerate(odd.tolist()):
        value, usual = (columns[j].words(float(a[i, j])) for a in (rows, normal))
        if columns[j].categories and rows[i, j] < 0:
            value = str(as_frame(X)[names[j]].iloc[i])
        cells.append(OddCell(str(names[j]), float(shares[i, j]), value, usual))
    return cells


def without_one(net: Net, rows: Tensor) -> np.ndarray:
    """The summed error of rows (N, D) without each cell, (N, D); inf without a gap."""
    rest = rows.new_full(rows.shape, math.inf, dtype=torch.float64)
    for j in range(rows.shape[1]):
        there = (~rows[:, j].isnan()).nonzero().flatten()
        hidden = rows[there]
        hidden[:, j] = math.nan
        rest[there, j] = infer.in_blocks(net, lambda x: errors(net, x).sum(1), hidden)
    return rest.numpy()


def error(net: Net, x: Tensor) -> Tensor:
    """The mean of `errors` over the values that are there, (B,)."""
    found = errors(net, x)
    if not net.likelihood.tabular:
        return found.mean(1)
    return found.sum(1) / (~x.isnan()).sum(1).clamp(min=1)


def errors(net: Net, x: Tensor) -> Tensor:
    """Squared errors (B, D) of the mean code's reconstruction, in scaled units, float64.

    Of a table with categories or gaps its likelihood's own measure.
    """
    decoded = net.decoded(net.encode(x))
    if isinstance(net.likelihood, Mixed):
        odd = net.likelihood.oddness(decoded, net.scaling(x)).double()
        return odd + UNKNOWN * net.likelihood.scaling.unknown(x)
    output = net.likelihood.mean(decoded)
    return (output.double() - net.scaling(x).double()).square()


def shape_errors(net: Net, x: Tensor, image: tuple[int, ...]) -> Tensor:
    """|G(x - x^)|^2 / |G x| (B,) of images (C, H, W), brightness from 0 to 1, float64."""
    dark, bright = net.scaling.peak.double()
    scaled = net.likelihood.mean(net.decoded(net.encode(x))).double()
    output = scaled * net.scaling.scale + net.scaling.shift

    def power(values: Tensor) -> Tensor:
        pixels = (values / (bright - dark)).unflatten(1, image).movedim(0, -1).contiguous()
        soft = blurred(blurred(pixels, 1), 2)
        return soft.flatten(0, -2).t().contiguous().square().mean(1)

    return power(output - x.double()) / power(x.double() - dark).sqrt()


def blurred(pixels: Tensor, dim: int, width: float = BLUR) -> Tensor:
    """A convolution along a dimension with a Gaussian of a `width`, its standard deviation.

    By single sums and products, which are alike wherever a value lies; a matrix product's are not.
    """
    n, peak = pixels.shape[dim], 1 / (math.sqrt(2 * math.pi) * width)
    reach = max(0, min(n, math.ceil(REACH * width)) - 1)
    around = F.pad(pixels, [0, 0] * (pixels.ndim - 1 - dim) + [reach, reach])
    out = peak * pixels
    for off in range(1, reach + 1):
        weight = peak * math.exp(-0.5 * (off / width) ** 2)
        out += weight * around.narrow(dim, reach - off, n)
        out += weight * around.narrow(dim, reach + off, n)
    return out
