"""How far a row lies from the nearest normal ones: in its columns, and in its code.

With d(x) the mean distance to the k = 5 nearest of the normal rows that are kept, in the
standardised columns (plain) or in the standardised code (code), and e(x) the root of the mean
squared error, that of each column by its mean over the normal rows,

    neighbours   log d_plain - 1/4 mean log d_plain(neighbours of x)
    near_codes   log d_code
    blend        neighbours + 1/4 log d_code + 1/4 log e
    edges        log d_edges, of images, in the features of `diabolo.tasks.edges`

S. Ramaswamy, R. Rastogi, K. Shim, "Efficient Algorithms for Mining Outliers from Large Data
Sets", 2000; F. Angiulli, C. Pizzuti, "Fast Outlier Detection in High Dimensional Spaces", 2002
(the mean). The second term of neighbours goes a quarter of the way to M. Breunig et al., "LOF:
Identifying Density-Based Local Outliers", 2000, which divides by the neighbours' own distance. The
search is exact, by distances of pairs that are each summed alone, so that a row's score does not
depend on the rows beside it.
"""

from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diabolo import infer
from diabolo.estimator import Estimator
from diabolo.nearest import blocks_of
from diabolo.nearest import nearest as nearest_rows
from diabolo.net import Net
from diabolo.scaling import TableScaling
from diabolo.tasks import edges
from diabolo.tasks.oddness import errors

NEAREST = 5  # k
MOST = 5000  # normal rows that are kept, evenly spaced among those learnt from
FEW = 8  # columns of pairs of rows that another runtime holds at once
FLOOR = 1e-3  # of the median distance, added to every one: log 0 is none
LOCAL, WEIGHT = 0.25, 0.25  # see above
SPACES = {
    "neighbours": ("plain",),
    "near_codes": ("code",),
    "blend": ("plain", "code"),
    "edges": ("edges",),
}


def width(net: Net) -> int:
    """E, the values that a network has for a row: of a category one for each that it may be."""
    return int(net.scaling(torch.zeros(1, columns(net), device=net.device)).shape[1])


def columns(net: Net) -> int:
    """D, the stored values of a row."""
    scaling = net.scaling
    return len(scaling.numeric) if isinstance(scaling, TableScaling) else net.features


def shapes(score: str, net: Net, code: int, kept: int) -> dict[str, tuple[int, ...]]:
    """The shapes of what a score learns, by name, for codes of so many numbers and rows kept."""
    e, spaces = width(net), SPACES[score]
    found: dict[str, tuple[int, ...]] = {"floors": (len(spaces),)}
    if "plain" in spaces:
        found |= {"rows": (kept, e), "scale": (e,), "own": (kept,)}
    if "code" in spaces:
        found |= {"codes": (kept, code), "code_scale": (code,)}
    if "edges" in spaces:
        found["edges"] = (kept, edges.WIDTH)
    return found | ({"spread": (columns(net),)} if score == "blend" else {})


def learn(
    score: str, net: Net, rows: Tensor, image: tuple[int, ...] | None = None
) -> dict[str, Tensor]:
    """What a score learns from normal rows (N, D), of images (C, H, W) or none, float64."""
    if len(rows) > MOST:
        rows = rows[torch.linspace(0, len(rows) - 1, MOST).long()]
    spaces, learnt = SPACES[score], dict[str, Tensor]()
    if "plain" in spaces:
        v = infer.in_blocks(net, lambda x: _values(net, x), rows)
        learnt |= {"rows": v, "scale": _spread(v)}
    if "code" in spaces:
        learnt["codes"] = infer.in_blocks(net, lambda x: net.encode(x).double(), rows)
        learnt["code_scale"] = _spread(learnt["codes"])
    if "edges" in spaces and image is not None:
        learnt["edges"] = infer.in_blocks(net, lambda x: edges.features(x, image), rows)
    found = {name: _own(points) for name, points in _kept(score, learnt).items()}
    learnt["floors"] = torch.stack([_floor(found[name]) for name in spaces])
    if "plain" in spaces:
        learnt["own"] = (found["plain"] + learnt["floors"][0]).log()
    if score == "blend":
        mean = infer.in_blocks(net, lambda x: errors(net, x), rows).mean(0)
        least = FLOOR * mean.mean() if mean.any() else mean.new_ones(())
        learnt["spread"] = mean.clamp(min=float(least))
    return learnt


def beside(model: Estimator, X: Any, normal: Any, n: int) -> np.ndarray:
    """The places (N, n) in `normal` of the samples there that are nearest to each of X.

    By the distance of scaled values, without gaps, nearest first; of fewer than `n` all.
    """
    net = model.net_
    points, kept = (
        infer.in_blocks(net, lambda x: _values(net, x).float(), model.rows(rows))
        for rows in (X, normal)
    )
    found = nearest_rows(points, blocks_of(kept), min(n, len(kept)))
    return np.asarray(found.indices)


def score(
    score: str,
    net: Net,
    learnt: dict[str, Tensor],
    image: tuple[int, ...] | None = None,
    spaces: tuple[str, ...] = (),
) -> "_Oddness":
    """The function from stored values (B, D) to how odd they are (B,), float64.

    By the terms of some spaces alone, if given.
    """
    there = {name: tensor.to(net.device) for name, tensor in learnt.items()}
    return _Oddness(score, net, there, image, spaces or SPACES[score])


def alike(first: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether two scores learnt the same in the columns, as of networks that scale alike."""
    return all(torch.equal(first[name], other[name]) for name in ("rows", "scale", "own"))


class _Oddness:
    """See above; the rows that are kept lie ready in every space."""

    def __init__(
        self,
        score: str,
        net: Net,
        learnt: dict[str, Tensor],
        image: tuple[int, ...] | None,
        spaces: tuple[str, ...],
    ) -> None:
        self.net, self.learnt, self.image = net, learnt, image
        self.blend = score == "blend" and "code" in spaces
        self.floors = dict(zip(SPACES[score], learnt["floors"].unbind(), strict=True))
        self.kept = {name: kept for name, kept in _kept(score, learnt).items() if name in spaces}

    def __call__(self, x: Tensor) -> Tensor:
        terms = list[Tensor]()
        for name, points in self.kept.items():
            near = nearest(self._in(name, x), points)
            weight = WEIGHT if name == "code" else 1.0
            terms.append(weight * (_mean(near.values) + self.floors[name]).log())
            if name == "plain":
                terms.append(-LOCAL * _mean(self.learnt["own"][near.indices]))
        if self.blend:
            wrong = (errors(self.net, x) / self.learnt["spread"]).mean(1)
            terms.append(WEIGHT * (wrong.sqrt() + FLOOR).log())
        return reduce(torch.add, terms)

    def _in(self, space: str, x: Tensor) -> Tensor:
        """Rows (B, D) as points of a space, float64."""
        if space == "code":
            return self.net.encode(x).double() / self.learnt["code_scale"]
        if space == "edges" and self.image is not None:
            return edges.features(x, self.image)
        return _values(self.net, x) / self.learnt["scale"]


def nearest(points: Tensor, kept: Tensor, k: int = NEAREST) -> torch.return_types.topk:
    """The distances (B, k) of the nearest of the points that are kept, and their places."""
    return _far(points, kept).topk(min(k, len(kept)), dim=1, largest=False)


def _far(points: Tensor, kept: Tensor) -> Tensor:
    """The distances of all pairs, (B, N)."""
    if torch.compiler.is_compiling():  # other runtimes have no cdist
        parts = [slice(first, first + FEW) for first in range(0, kept.shape[1], FEW)]
        pairs = ((points[:, None, part] - kept[:, part]).square().sum(2) for part in parts)
        return reduce(torch.add, pairs).sqrt()
    return torch.cdist(points, kept, compute_mode="donot_use_mm_for_euclid_dist")


def _kept(score: str, learnt: dict[str, Tensor]) -> dict[str, Tensor]:
    """The rows that are kept, in each space of the score."""
    found = dict[str, Tensor]()
    if "rows" in learnt:
        found["plain"] = learnt["rows"] / learnt["scale"]
    if "codes" in learnt:
        found["code"] = learnt["codes"] / learnt["code_scale"]
    if "edges" in learnt:
        found["edges"] = learnt["edges"]
    return {name: found[name] for name in SPACES[score]}


def _own(points: Tensor) -> Tensor:
    """Mean distances (N,) of points to the nearest others."""

    def others(part: Tensor) -> Tensor:
        return _mean(nearest(part, points, NEAREST + 1).values[:, 1:])

    if len(points) == 1:
        return points.new_zeros(1)
    return infer.blockwise(others, points, device=points.device)


def _mean(values: Tensor) -> Tensor:
    """The mean of each row (B, k), summed one by one: alike wherever the row lies."""
    return reduce(torch.add, values.unbind(1)) / values.shape[1]


def _floor(distances: Tensor) -> Tensor:
    usual = distances.median()
    usual = usual if usual > 0 else distances.mean()
    return FLOOR * usual if usual > 0 else torch.ones_like(usual)


def _values(net: Net, x: Tensor) -> Tensor:
    """Scaled values (B, E) without gaps, float64."""
    return net.scaling.filled(net.scaling(x)).double()


def _spread(values: Tensor) -> Tensor:
    """Standard deviations of columns; 1 of those that are constant."""
    std = values.std(0, correction=0)
    return torch.where(std > 0, std, 1.0)
