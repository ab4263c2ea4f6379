"""Parametric UMAP beside a reconstruction: maps that have a place for new samples, and an image
for every place.

T. Sainburg, L. McInnes, T. Q. Gentner, "Parametric UMAP Embeddings for Representation and
Semi-Supervised Learning", Neural Computation 2021, with the graph and the loss of L. McInnes,
J. Healy, J. Melville, "UMAP: Uniform Manifold Approximation and Projection", 2018:

    -log p(x | z) - w ( log q(z_i, z_j) + r m E log(1 - q(z_i, z_k)) ),    z = encoder(x)

(i, j) is an edge, drawn by its weight, of the fuzzy graph of the nearest neighbours of all
samples, see `diabolo.fuzzy`, k any other sample of the step, and q(a, b) = 1 / (1 + alpha |a - b|^
(2 beta)) with alpha and beta by min_dist.

r, of gradients only, rises from 0 to 1 in the first half of the steps. With little
repulsion samples lie as in Laplacian eigenmaps, where groups can pass through each other, which
later they cannot (J. N. Böhm, P. Berens, D. Kobak, "Attraction-Repulsion Spectrum in Neighbor
Embeddings", 2022).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le
from torch import Generator, Tensor

from diabolo.bottleneck import Bottleneck, Code, Encoder
from diabolo.data.source import Source
from diabolo.draw import own, rows_of
from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.fuzzy import Edges, curve, features, graph
from diabolo.params import Count

NEAR = 1e-3  # below 1 - q, so that two samples at one place are pushed apart with some force
RISE = 0.5  # share of the steps in which r rises
TINY = 1e-12  # |a - b|^2, where its power has no gradient


class NeighbourCode(Bottleneck):
    """z = encoder(x); in training, samples that are neighbours are near and others far."""

    of_training = ("neighbours",)

    def __init__(self, weight: float, neighbours: int, negatives: float, min_dist: float) -> None:
        super().__init__()
        self.weight, self.neighbours, self.negatives = weight, neighbours, negatives
        self.curve = curve(min_dist)

    @contextmanager
    def studying(self, net: Any, source: Source, *, seed: int, steps: int) -> Iterator[None]:
        """Know the graph of the samples of a source while the network learns from them."""
        self.steps = steps
        if len(source) > 2:
            edges = Edges(graph(features(net, source, seed), self.neighbours), net.device)
            vars(self)["draw"] = partial(_ends, net, source, edges)
        try:
            yield
        finally:
            vars(self).pop("draw", None)

    def forward(
        self, encoder: Encoder, x: Tensor, generator: Generator | None = None, step: int = 0
    ) -> Code:
        z, draw = encoder(x), vars(self).get("draw")
        if generator is None or draw is None:
            return Code(z, z, {})
        heads, tails = draw(rows_of(len(x), generator), generator)
        risen = min(1.0, step / (RISE * self.steps)) if self.training else 1.0
        losses = own(self.cross_entropy(heads.float(), tails.float(), risen), generator)
        return Code(z, z, {"neighbours": (self.weight, losses.to(x.dtype))})

    def cross_entropy(self, heads: Tensor, tails: Tensor, risen: float = 1.0) -> Tensor:
        """-log q of each edge, and m times the mean -log(1 - q) to the other edges' ends, (B,).

        Of the second `risen` is the share that has gradients.
        """
        alpha, beta = self.curve
        squares = (heads[:, None] - tails).square().sum(2)
        stretched = alpha * (squares + TINY) ** beta  # 1 / q - 1
        apart = -torch.log1p(-(1 - NEAR) / (1 + stretched))
        others = (apart.sum(1) - apart.diagonal()) / max(len(heads) - 1, 1)
        others = torch.lerp(others.detach(), others, risen)
        return torch.log1p(stretched.diagonal()) + self.negatives * others


def _ends(
    net: Any, source: Source, edges: Edges, rows: int, generator: Generator
) -> tuple[Tensor, Tensor]:
    """The codes of both ends (B, K) of so many edges."""
    heads, tails = edges.drawn(rows, generator)
    return net.encoded(source.take(heads), generator), net.encoded(source.take(tails), generator)


class UMAPAutoencoder(Estimator):
    """Parametric UMAP with a decoder: codes in which neighbours stay neighbours, as a map to look
    at or to part into groups, with a place for new samples and a sample for every place.

    Minimises -log p(x | z) + neighbourhood (-log q_ij - negatives E log(1 - q_ik)), in nats per
    sample (Sainburg et al. 2021), over samples and edges of their graph. The graph is of exact
    neighbours, by the scaled values or 50 principal components of them: its time grows with the
    square of the samples (a minute for 60,000), and it keeps 50 numbers and about 20 edges of each
    in memory, however large the samples themselves. `partial_fit` knows neighbours only within
    what it is given.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).random((200, 8), dtype=np.float32)
    >>> model = UMAPAutoencoder(latent_dim=2, hidden=(16,), epochs=3, random_state=0).fit(X)
    >>> model.transform(X).shape
    (200, 2)
    """

    neighbourhood: Annotated[
        Annotated[float, Ge(0)], "Weight of the cross-entropy of the neighbours."
    ] = 10.0
    neighbours: Annotated[Count, "Nearest samples that a sample is to stay near."] = 15
    negatives: Annotated[
        Annotated[float, Ge(0)], "Samples that it is pushed from, for one that it is drawn to."
    ] = 5.0
    min_dist: Annotated[
        Annotated[float, Ge(0), Le(1)], "Distance below which codes of neighbours are near enough."
    ] = 0.1

    def _bottleneck(self, p: Any) -> Bottleneck:
        if p.latent_dim is None or p.code_activation != "identity":
            raise InputError("A map needs a latent_dim, and no code_activation.")
        return NeighbourCode(p.neighbourhood, p.neighbours, p.negatives, p.min_dist)
