"""The residual vector-quantised autoencoder.

N. Zeghidour et al., "SoundStream", 2021, algorithm 1: of each part of z = encoder(x) the first
codebook has the nearest vector, the next the nearest to what is left over, and so on; their sum
is the code. -log p(x | e) + beta ||z - sg(e)||^2, and each codebook learns as that of a `VQVAE`.
"""

from collections.abc import Iterator
from typing import Annotated, Any, cast

import torch
from annotated_types import Ge
from torch import Generator, Tensor, nn

from diabolo.autoregressive import Name
from diabolo.bottleneck import Bottleneck
from diabolo.codebook import Codebook, passing
from diabolo.estimator import Estimator
from diabolo.models.vqvae import QuantisedCode
from diabolo.params import Count


class Residual(nn.Module):
    """(B, K) -> (B, K): sums of vectors of several codebooks; passes gradients on."""

    def __init__(self, depth: int, size: int, dim: int, generator: Generator | None) -> None:
        super().__init__()
        self.books = nn.ModuleList(Codebook(size, dim, generator) for _ in range(depth))

    def steps(self, z: Tensor, numbers: Tensor) -> Iterator[tuple[Codebook, Tensor, Tensor]]:
        """Each codebook, what those before it leave over of z, and the numbers (B, T) in it."""
        books = cast("list[Codebook]", self.books)
        for book, part in zip(books, numbers.chunk(len(books), 1), strict=True):
            yield book, z, part
            z = z - book.codes(part)

    def nearest(self, z: Tensor) -> Tensor:
        """Those of the vectors of each part in the first codebook, in the next, ..., (B, T)."""
        found, rest = list[Tensor](), z.detach()
        for book in cast("list[Codebook]", self.books):
            found.append(book.nearest(rest))
            rest = rest - book.codes(found[-1])
        return torch.cat(found, 1)

    def codes(self, numbers: Tensor) -> Tensor:
        """What has those numbers, (B, K)."""
        books = cast("list[Codebook]", self.books)
        each = zip(books, numbers.chunk(len(books), 1), strict=True)
        return torch.stack([book.codes(part) for book, part in each]).sum(0)

    def forward(self, z: Tensor) -> Tensor:
        return passing(self.codes(self.nearest(z)), z)

    def learn(self, z: Tensor, numbers: Tensor, generator: Generator) -> None:
        for book, rest, part in [*self.steps(z, numbers)]:
            book.learn(rest, part, generator)

    def use(self, z: Tensor) -> dict[str, float]:
        """The means of the codebooks."""
        each = [book.use(rest) for book, rest, _ in self.steps(z, self.nearest(z))]
        return {name: sum(one[name] for one in each) / len(each) for name in each[0]}


class ResidualCode(QuantisedCode):
    """z = the sums of vectors nearest to what the encoder gives, and to what they leave over."""

    def __init__(
        self,
        depth: int,
        size: int,
        dim: int | None,
        commitment: float,
        prior: Name | None = None,
    ) -> None:
        super().__init__(size, dim, commitment, prior)
        self.depth = depth

    def book(self, dim: int, generator: Generator | None) -> nn.Module:
        return Residual(self.depth, self.size, dim, generator)


class ResidualVQVAE(Estimator):
    """The residual vector-quantised autoencoder: a code is sums of vectors of several codebooks.

    Minimises -log p(x | e) + commitment ||z - sg(e)||^2, summed, in nats per sample (Zeghidour et
    al. 2021, algorithm 1). A part has `depth` log2 `codebook_size` bits.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).random((200, 8), dtype=np.float32)
    >>> model = ResidualVQVAE(latent_dim=4, depth=2, codebook_size=8, epochs=3, random_state=0)
    >>> model.fit(X).transform(X).shape
    (200, 4)
    """

    depth: Annotated[Count, "Codebooks, one after the other."] = 4
    code_dim: Annotated[Count | None, "Numbers in a vector; none: up to 4."] = None
    codebook_size: Annotated[Count, "Vectors in a codebook."] = 256
    commitment: Annotated[Annotated[float, Ge(0)], "Weight of the commitment."] = 0.25
    prior: Annotated[Name | None, "Law of the vectors' numbers, as of a VQVAE."] = None

    def _bottleneck(self, p: Any) -> Bottleneck:
        return ResidualCode(p.depth, p.codebook_size, p.code_dim, p.commitment, p.prior)
