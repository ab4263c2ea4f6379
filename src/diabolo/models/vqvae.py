"""The vector-quantised autoencoder.

A. van den Oord, O. Vinyals, K. Kavukcuoglu, "Neural Discrete Representation Learning", 2017,
equation 3: -log p(x | e) + beta ||z - sg(e)||^2, where e are the vectors of a codebook that are
nearest to the parts of z = encoder(x), and sg stops the gradient; what reaches e goes on to z.

The codebook learns as in appendix A.1, by moving averages over the n parts nearest to a vector:
N <- g N + (1 - g) n, m <- g m + (1 - g) sum of the parts, e <- m / N. A vector that hardly
anything is nearest to begins anew at a part of the batch (P. Dhariwal et al., "Jukebox", 2020,
section 3.1), and so do all that the first batch leaves out.
"""

from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Generator, Tensor, nn

from diabolo.autoregressive import Autoregressive, Name
from diabolo.bottleneck import Bottleneck, Code, Encoder, Prior
from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.params import Count

DECAY, DEAD = 0.99, 0.1  # g; of the mean N: a vector with less begins anew


class Codebook(nn.Module):
    """The nearest of so many vectors for each part of a code (B, K); passes gradients on."""

    def __init__(self, size: int, dim: int, generator: Generator | None) -> None:
        super().__init__()
        self.vectors = nn.Buffer(torch.randn(size, dim, generator=generator))
        self.counts = nn.Buffer(torch.zeros(size))  # N; m is N e

    def nearest(self, z: Tensor) -> Tensor:
        """The number of the vector of each part, (B, K / dim): of the largest z'e - |e|^2 / 2."""
        vectors, half = self.vectors.double(), -0.5 * self.vectors.double().square().sum(1)
        parts = z.detach().double().reshape(-1, vectors.shape[1])
        blocks = [parts] if torch.compiler.is_compiling() else parts.split(1024)
        found = [nn.functional.linear(p, vectors, half).argmax(1) for p in blocks]
        return torch.cat(found).view(len(z), -1)

    def codes(self, numbers: Tensor) -> Tensor:
        """What has those numbers, (B, K)."""
        return self.vectors[numbers].flatten(1)

    def forward(self, z: Tensor) -> Tensor:
        return passing(self.codes(self.nearest(z)), z)

    def learn(self, z: Tensor, numbers: Tensor, generator: Generator) -> None:
        """A step of the moving averages over a batch of codes and the numbers of their parts."""
        size, parts = len(self.vectors), z.reshape(-1, self.vectors.shape[1])
        chosen = nn.functional.one_hot(numbers.flatten(), size).to(parts.dtype)
        sums = (self.counts[:, None] * self.vectors).lerp(chosen.t() @ parts, 1 - DECAY)
        self.counts.lerp_(chosen.sum(0), 1 - DECAY)
        dead = self.counts < DEAD * self.counts.mean()
        self.counts.masked_fill_(dead, self.counts.mean())
        drawn = torch.randint(len(parts), dead.shape, generator=generator, device=dead.device)
        fresh = sums / self.counts[:, None]
        self.vectors.copy_(torch.where(dead[:, None], parts[drawn], fresh))

    def use(self, z: Tensor) -> dict[str, float]:
        """The share of the vectors in use, and the perplexity of which one is nearest."""
        return use_of(self.nearest(z).flatten(), len(self.vectors))


def passing(code: Tensor, z: Tensor) -> Tensor:
    """A code as it is; what reaches it goes on to z."""
    return code + (z - z.detach())


class QuantisedCode(Bottleneck):
    """z = the vectors nearest to what the encoder gives."""

    depth = 1  # codebooks

    def __init__(
        self, size: int, dim: int | None, commitment: float, prior: Name | None = None
    ) -> None:
        super().__init__()
        self.size, self.dim, self.commitment, self.named = size, dim, commitment, prior
        self.law: Autoregressive | None = None

    def build(self, shape: tuple[int, ...], generator: Generator | None) -> None:
        dim = self.dim or max(d for d in (1, 2, 3, 4) if shape[0] % d == 0)
        if shape[0] % dim:
            raise InputError(f"code_dim must divide the code's {shape[0]} numbers, not be {dim}.")
        book: Any = self.book(dim, generator)
        self.codebook = book
        if self.named:
            places = self.depth * shape[0] // dim
            self.law = Autoregressive(places, self.size, book.nearest, book.codes, generator)

    def book(self, dim: int, generator: Generator | None) -> nn.Module:
        """What is nearest to parts of so many numbers."""
        return Codebook(self.size, dim, generator)

    def forward(
        self, encoder: Encoder, x: Tensor, generator: Generator | None = None, step: int = 0
    ) -> Code:
        z = encoder(x)
        numbers = self.codebook.nearest(z)
        code = passing(self.codebook.codes(numbers), z)
        if self.training and generator is not None:
            self.seen = z.detach().to(x.dtype), numbers
        terms = {"commitment": (self.commitment, (z - code.detach()).square().sum(1))}
        if self.law is not None:
            terms["prior"] = (1.0, -self.law.log_chance(numbers))
        return Code(code, code, terms)

    def prior(self) -> Prior | None:
        return self.law

    def mean_layer(self) -> nn.Module:
        return self.codebook

    def after_step(self, generator: Generator, step: int) -> None:
        self.codebook.learn(*vars(self).pop("seen"), generator)

    def measures(self, encoder: Encoder, x: Tensor) -> dict[str, float]:
        return self.codebook.use(encoder(x))


def use_of(numbers: Tensor, size: int) -> dict[str, float]:
    """The share of so many numbers in use, and the perplexity of the used ones."""
    used = numbers.bincount(minlength=size).double()
    perplexity = float(torch.distributions.Categorical(used).perplexity())
    return {"codebook_use": float((used > 0).double().mean()), "perplexity": perplexity}


class VQVAE(Estimator):
    """The vector-quantised autoencoder: a code is made of vectors of a learnt codebook.

    Minimises -log p(x | e) + commitment ||z - sg(e)||^2, summed, in nats per sample (van den Oord
    et al. 2017, equation 3), where e are the vectors nearest to the parts of z.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).random((200, 8), dtype=np.float32)
    >>> model = VQVAE(latent_dim=4, code_dim=2, codebook_size=8, epochs=3, random_state=0).fit(X)
    >>> len(np.unique(model.transform(X).reshape(-1, 2), axis=0)) <= 8
    True
    """

    code_dim: Annotated[Count | None, "Numbers in a vector; none: up to 4."] = None
    codebook_size: Annotated[Count, "Vectors in the codebook."] = 512
    commitment: Annotated[Annotated[float, Ge(0)], "Weight of the commitment."] = 0.25
    prior: Annotated[
        Name | None, "Law of which vectors there are, learnt beside them, to draw new codes from."
    ] = None

    def _bottleneck(self, p: Any) -> Bottleneck:
        return QuantisedCode(p.codebook_size, p.code_dim, p.commitment, p.prior)
