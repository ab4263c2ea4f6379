"""Diffusion maps: places at which codes are near each other that many short steps join.

    psi_i(x) = l_i^t r_i(x),    P r_i = l_i r_i,    P = D^-1 W

W is the fuzzy graph of the 15 nearest codes of each (as UMAP's, see `diabolo.fuzzy`), D its
row sums, and t the steps of a walk on it. R. Coifman, S. Lafon, "Diffusion maps", 2006, equation
9. Places are taken to length 1, so that only their directions matter (A. Ng, M. Jordan, Y. Weiss,
"On Spectral Clustering", 2001). A new code has the mean of its neighbours' places, by its steps
to them: r_i(x) = sum_j p(x, j) r_i(j) / l_i (Nyström; Coifman and Lafon 2006, "Geometric
harmonics", equation 2).
"""

from typing import NamedTuple, Self

import numpy as np
import torch
from scipy.sparse import coo_array, diags_array
from scipy.sparse.linalg import eigsh
from torch import Tensor

from diabolo.fuzzy import graph, memberships
from diabolo.nearest import blocks_of, nearest

NEIGHBOURS = 15
STEPS, SHARE = 20, 0.5  # t, at most, and the share of the numbers that is left of sum l^t
FEW = 10  # codes for each number of a place, at least
KEPT = 20_000  # codes of which the graph is, at most
TOLERANCE = 1e-6  # of eigenvalues, relative
TINY = 1e-12
ROWS = 8192  # of new codes that are placed at once


class DiffusionMap(NamedTuple):
    """`codes` (M, K) float32, and l^(t - 1) r for each, (M, Q) float32."""

    codes: Tensor
    places: Tensor

    @classmethod
    def of(cls, codes: np.ndarray, size: int, seed: int, *, groups: int | None = None) -> Self:
        """The map of codes (N, K), or of 20,000 of them, with `size` numbers; of few codes with
        fewer, but one for each of the groups. The steps are so few that sum_i l_i^t is left as
        large as the number of groups, or half of the numbers."""
        draw = np.random.default_rng(seed)
        some = np.sort(draw.permutation(len(codes))[:KEPT])
        kept = torch.from_numpy(codes[some].astype(np.float32))
        heads, tails, weights = graph(kept, NEIGHBOURS)
        joined = coo_array(
            (weights.double().numpy(), (heads.numpy(), tails.numpy())), shape=(len(kept),) * 2
        ).tocsr()
        scale = 1 / np.sqrt(np.maximum(joined.sum(axis=1), TINY))
        walk = diags_array(scale) @ joined @ diags_array(scale)  # D^1/2 P D^-1/2
        size = max(1, min(size, max(len(kept) // FEW, groups or 2), len(kept) - 2))
        values, vectors = eigsh(walk, size, which="LA", tol=TOLERANCE, v0=draw.random(len(kept)))
        values = values.clip(min=0)
        left = min(groups or size, SHARE * size)
        steps = 1 + sum(bool((values**t).sum() >= left) for t in range(2, STEPS + 1))
        places = vectors * scale[:, None] * values ** (steps - 1)
        return cls(kept, torch.from_numpy(places.astype(np.float32)))

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        """The places of codes (N, K), (N, Q) float64 of length 1."""
        wanted = torch.from_numpy(codes.astype(np.float32))
        places = torch.cat([self._place(part) for part in wanted.split(ROWS)]).double().numpy()
        return np.asarray(places / np.linalg.norm(places, axis=1, keepdims=True).clip(min=TINY))

    def _place(self, codes: Tensor) -> Tensor:
        near = nearest(codes, blocks_of(self.codes), min(NEIGHBOURS, len(self.codes)))
        return torch.einsum("ij,ijk->ik", memberships(near.distances), self.places[near.indices])
