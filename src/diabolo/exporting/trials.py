"""What the graphs of a model are tried on: a sample alone, others in blocks, images of many sizes.

Samples are flat rows (N, D) of the stored type; conditions (N, M) lie beside them as a graph takes
them, see `diabolo.exporting.graphs`.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from diabolo.estimator import Estimator
from diabolo.exporting.graphs import Use, given
from diabolo.infer import in_blocks
from diabolo.tasks import whole
from diabolo.train import generator

MADE = 256  # samples that are made up where there are none
GAPS = 0.1  # of the cells of made-up rows
BLOCK = 256  # samples at a time
VALUES = 2**20  # of the samples that a denoiser of any size is tried on
STRONG = 50.0  # level of noise, of 255, where the model was trained for any
Inputs = tuple[Tensor, ...]


def samples(model: Estimator, X: Any, condition: Any) -> tuple[Tensor, list[Tensor]]:
    """Rows (N, D) of X, or made up, and what lies beside them (N, M): a list of one, or of none.

    Levels go from 1 of 255 to the strongest; of labels and values a tenth are missing.
    """
    learnt = model.fitted_.intake.condition
    rows = (_made_up(model) if X is None else model.rows(X)).to(getattr(torch, model.dtype_))
    n = len(rows)
    if learnt is not None and learnt.drawn:
        low, high = model.net_.scaling.peak.tolist()
        most = max(min(whole.strongest(model), STRONG), 1.0)
        return rows, [torch.linspace(1, most, n).unsqueeze(1) * (high - low) / whole.LEVELS]
    beside = model.given(condition, n)
    if learnt is not None:
        beside = beside or [torch.tensor(learnt.examples(n))]
        beside[0][::10] = math.nan
    return rows, beside


def _made_up(model: Estimator) -> Tensor:
    """Samples (N, D) over the range of those in training; without one, normal about their mean."""
    scaling, draw = model.net_.scaling, generator(0, "export")
    size = MADE, math.prod(model.fitted_.intake.shape)
    if math.isfinite(scaling.high):
        scaled = scaling.low + (scaling.high - scaling.low) * torch.rand(size, generator=draw)
    else:
        scaled = torch.randn(size, generator=draw)
    rows = model.net_.limited(scaling.inverse(scaled))
    if model.fitted_.intake.table is not None:
        rows[torch.rand(rows.shape, generator=draw) < GAPS] = math.nan
    return rows


def trials(model: Estimator, use: Use, rows: Tensor, beside: list[Tensor]) -> list[Inputs]:
    """What a graph is run on, batch by batch."""
    x = rows.reshape(-1, *model.sample_shape_)
    if use.takes[0] == "z":
        told = [given(model.net_, one) for one in beside]
        x = in_blocks(model.net_, model.net_.encode, rows, *told)
    others = beside[: len(use.takes) - 1]
    if not use.sides:
        return [*_parts(x, *others)]
    few = max(VALUES // model.net_.features, 2)
    x, others = x[:few], [one[:few] for one in others]
    height, width = x.shape[-2:]
    small = x[..., : height - height // 3, : width - width // 5]
    wide = torch.cat([x, x.flip(0)], -1)[..., : 2 * width - 1]
    return [part for images in (x, small, wide) for part in _parts(images, *others)]


def _parts(*arrays: Tensor) -> Iterator[Inputs]:
    """One sample, then the others, of which there are at least two."""
    if len(arrays[0]) < 3:
        arrays = tuple(torch.cat([one] * 3) for one in arrays)
    yield tuple(one[:1].contiguous() for one in arrays)
    for start in range(1, len(arrays[0]), BLOCK):
        yield tuple(one[start : start + BLOCK].contiguous() for one in arrays)
