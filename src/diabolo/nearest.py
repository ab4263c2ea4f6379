"""The exact nearest neighbours of rows, in blocks: a matrix product each, and its largest numbers.

|a - b|^2 = |a|^2 - 2 (a'b - |b|^2 / 2), so the nearest rows b of a row a are those of the largest
a'b - |b|^2 / 2. Time O(Q N K), memory O(K) for each row and a block of products.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

QUERIES, PRODUCTS = 512, 2**25  # rows that are sought for at once; products in memory, at most
VALUES = 2**24  # of a block


class Nearest(NamedTuple):
    """Of each query its nearest rows, nearest first: (Q, n), int64, and how far, float32."""

    indices: Tensor
    distances: Tensor


def nearest(queries: Tensor, blocks: Iterable[Tensor], n: int) -> Nearest:
    """The `n` nearest rows to each query (Q, K), of rows that come in blocks (B, K), float32.

    There must be `n` rows or more. Of several at one distance the first come first, but which of
    those at the largest distance are among the `n` is left to rounding.
    """
    middle = queries.float().mean(0)  # near which products keep their digits
    queries = queries - middle
    found, begun = [_none(part) for part in queries.split(QUERIES)], 0
    for block in blocks:
        rows = block.to(queries) - middle
        for i, part in enumerate(queries.split(QUERIES)):
            found[i] = _nearer(found[i], part, rows, begun, n)
        begun += len(rows)
    return Nearest(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _none(queries: Tensor) -> Nearest:
    empty = queries.new_empty(len(queries), 0)
    return Nearest(empty.long(), empty)


def _nearer(before: Nearest, queries: Tensor, rows: Tensor, begun: int, n: int) -> Nearest:
    """The nearest of those before and of the rows of a block that begins at some number."""
    products = torch.addmm(-0.5 * rows.square().sum(1), queries, rows.t())
    chosen = products.topk(min(n, len(rows))).indices
    distances = torch.stack(
        [(row - rows[index]).norm(dim=1) for row, index in zip(queries, chosen, strict=True)]
    )
    indices = torch.cat([before.indices, begun + chosen], 1)
    distances = torch.cat([before.distances, distances], 1)
    order = indices.argsort(dim=1)
    indices, distances = indices.gather(1, order), distances.gather(1, order)
    order = distances.sort(dim=1, stable=True).indices[:, :n]
    return Nearest(indices.gather(1, order), distances.gather(1, order))


def blocks_of(rows: np.ndarray | Tensor) -> Iterable[Tensor]:
    """Rows (N, K) in blocks that fit in memory, with all products with some queries."""
    size = max(1, min(PRODUCTS // QUERIES, VALUES // max(rows.shape[1], 1)))
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        yield block if isinstance(block, Tensor) else torch.from_numpy(block.astype(np.float32))
