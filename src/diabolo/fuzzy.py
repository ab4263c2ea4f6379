"""The fuzzy graph of nearest neighbours: how surely samples are near each other, in (0, 1].

L. McInnes, J. Healy, J. Melville, "UMAP: Uniform Manifold Approximation and Projection", 2018,
section 3.1: p_ij = exp(-(d_ij - rho_i) / sigma_i), joined as p + p' - p p'. And the curve by which
places in a map are near each other.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import curve_fit
from scipy.sparse import coo_matrix
from torch import Generator, Tensor

from diabolo.data.source import ROWS, Source
from diabolo.linear import reduced
from diabolo.nearest import blocks_of, nearest

WIDE, LEARNT = 50, 2**25  # principal components that distances are of; values that teach them
BISECTIONS = 64
TINY = 1e-12  # sigma


class Graph(NamedTuple):
    """Both ends of the edges of a graph (E,), int64, and their weights in (0, 1]."""

    heads: Tensor
    tails: Tensor
    weights: Tensor


class Edges:
    """The edges of a graph on a device, to be drawn by their weights."""

    def __init__(self, graph: Graph, device: torch.device) -> None:
        self.heads, self.tails = graph.heads.to(device), graph.tails.to(device)
        self.totals = graph.weights.double().cumsum(0).to(device)

    def drawn(self, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Both ends of so many edges."""
        totals = self.totals
        options: Any = {"generator": generator, "device": totals.device, "dtype": totals.dtype}
        places = torch.rand(count, **options) * totals[-1]
        edges = torch.searchsorted(totals, places).clamp(max=len(totals) - 1)
        return self.heads[edges], self.tails[edges]


def features(net: Any, source: Source, seed: int) -> Tensor:
    """What distances between samples are of: scaled values (N, D), or their first principal
    components (N, 50). In blocks, so that of samples on disk only these are in memory."""

    def rows(index: Tensor) -> Tensor:
        scaled = net.scaling(source.take(index.to(net.device)).source)
        return torch.as_tensor(net.filled(scaled)).cpu().float()

    every = torch.arange(len(source))
    if net.features <= WIDE:
        return torch.cat([rows(index) for index in every.split(ROWS)])
    some = every[:: math.ceil(len(source) * net.features / LEARNT)]
    taught = rows(some).numpy()
    found = reduced(taught, taught, WIDE, seed=seed)
    axes = torch.from_numpy(found.decode / np.sqrt(found.variances)[:, None]).float()
    mean = torch.from_numpy(found.mean_y).float()
    return torch.cat([(rows(index) - mean) @ axes.t() for index in every.split(ROWS)])


def graph(rows: Tensor, neighbours: int) -> Graph:
    """The fuzzy graph of rows (N, K).

    The neighbours of a row are `neighbours` or, of fewer rows, all others.
    """
    n = min(neighbours, len(rows) - 1)
    found = nearest(rows, blocks_of(rows), n + 1)
    itself = found.indices == torch.arange(len(rows))[:, None]
    itself[:, -1] |= ~itself.any(1)  # among many of one value the row may not be its own nearest
    indices, distances = (t[~itself].view(len(rows), n) for t in found)
    heads = torch.arange(len(rows)).repeat_interleave(n)
    ends = (heads.numpy(), indices.flatten().numpy())
    weights = coo_matrix(
        (memberships(distances).flatten().double().numpy(), ends), shape=(len(rows),) * 2
    ).tocsr()
    both = (weights + weights.T - weights.multiply(weights.T)).tocoo()
    kept = both.data > 0
    heads, tails = (torch.from_numpy(end[kept].astype(np.int64)) for end in both.coords)
    return Graph(heads, tails, torch.from_numpy(both.data[kept]).float())


def memberships(distances: Tensor) -> Tensor:
    """exp(-(d - rho) / sigma) of the distances (N, n) to a row's neighbours, nearest first.

    rho is the least that is not 0; sigma is found so that the sum is log2 n (algorithm 3), and at
    least a thousandth of the mean distance.
    """
    n = distances.shape[1]
    some = torch.where(distances > 0, distances, math.inf).amin(1, keepdim=True)
    off = (distances.double() - torch.where(some.isinf(), 0, some)).clamp(min=0)
    low, high = torch.zeros(len(off), 1).double(), off.amax(1, keepdim=True).clamp(min=1) * 1e4
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        large = torch.exp(-off / middle).sum(1, keepdim=True) > math.log2(max(n, 2))
        low, high = torch.where(large, low, middle), torch.where(large, middle, high)
    least = 1e-3 * distances.double().mean(1, keepdim=True)
    return torch.exp(-off / torch.maximum(high, least).clamp(min=TINY)).float()


def curve(min_dist: float) -> tuple[float, float]:
    """alpha and beta for which 1 / (1 + alpha d^(2 beta)) is most like exp(-(d - min_dist)), and
    like 1 below min_dist."""
    d = np.linspace(0, 3, 300)
    wanted = np.where(d < min_dist, 1.0, np.exp(-(d - min_dist)))
    (alpha, beta), _ = curve_fit(lambda d, a, b: 1 / (1 + a * d ** (2 * b)), d, wanted)
    return float(alpha), float(beta)
