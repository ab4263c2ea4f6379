"""Codes that are whole numbers: what the models of the kind share, and codebooks.

A codebook learns as in A. van den Oord, O. Vinyals, K. Kavukcuoglu, "Neural Discrete
Representation Learning", 2017, appendix A.1, by moving averages over the n parts nearest to a
vector: N <- g N + (1 - g) n, m <- g m + (1 - g) sum of the parts, e <- m / N. A vector that hardly
anything is nearest to begins anew at a part of the batch (P. Dhariwal et al., "Jukebox", 2020,
section 3.1), and so do all that the first batch leaves out.
"""

import torch
from torch import Generator, Tensor, nn

from diabolo.autoregressive import Autoregressive, Name, Numbering
from diabolo.bottleneck import Bottleneck, Prior

DECAY, DEAD = 0.99, 0.1  # g; of the mean N: a vector with less begins anew


class Codebook(nn.Module):
    """The nearest of so many vectors for each part of a code (B, K); passes gradients on."""

    def __init__(self, size: int, dim: int, generator: Generator | None) -> None:
        super().__init__()
        vectors = torch.empty(size, dim)
        self.vectors = nn.Buffer(vectors.normal_(generator=generator) if generator else vectors)
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


def use_of(numbers: Tensor, size: int) -> dict[str, float]:
    """The share of so many numbers in use, and the perplexity of the used ones."""
    used = numbers.bincount(minlength=size).double()
    perplexity = float(torch.distributions.Categorical(used).perplexity())
    return {"codebook_use": float((used > 0).double().mean()), "perplexity": perplexity}


class NumberedCode(Bottleneck):
    """A code of parts that are numbered, with the law of these numbers where it is asked for."""

    def __init__(self, prior: Name | None) -> None:
        super().__init__()
        self.named = prior
        self.law: Autoregressive | None = None

    def number(
        self, places: int, values: int, ways: Numbering, generator: Generator | None
    ) -> None:
        """Begin the law of so many numbers below `values`."""
        if self.named:
            self.law = Autoregressive(places, values, *ways, generator)

    def prior(self) -> Prior | None:
        return self.law
