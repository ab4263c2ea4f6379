"""The vector-quantised autoencoder.

A. van den Oord, O. Vinyals, K. Kavukcuoglu, "Neural Discrete Representation Learning", 2017,
equation 3: -log p(x | e) + beta ||z - sg(e)||^2, where e are the vectors of a codebook that are
nearest to the parts of z = encoder(x), and sg stops the gradient; what reaches e goes on to z.
How the codebook learns is in `diabolo.codebook`.
"""

from typing import Annotated, Any

from annotated_types import Ge
from torch import Generator, Tensor, nn

from diabolo.autoregressive import Name
from diabolo.bottleneck import Bottleneck, Code, Encoder
from diabolo.codebook import Codebook, NumberedCode, passing
from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.params import Count


class QuantisedCode(NumberedCode):
    """z = the vectors nearest to what the encoder gives."""

    depth = 1  # codebooks

    def __init__(
        self, size: int, dim: int | None, commitment: float, prior: Name | None = None
    ) -> None:
        super().__init__(prior)
        self.size, self.dim, self.commitment = size, dim, commitment

    def build(self, shape: tuple[int, ...], generator: Generator | None) -> None:
        dim = self.dim or max(d for d in (1, 2, 3, 4) if shape[0] % d == 0)
        if shape[0] % dim:
            raise InputError(f"code_dim must divide the code's {shape[0]} numbers, not be {dim}.")
        book: Any = self.book(dim, generator)
        self.codebook = book
        places = self.depth * shape[0] // dim
        self.number(places, self.size, (book.nearest, book.codes), generator)

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

    def mean_layer(self) -> nn.Module:
        return self.codebook

    def after_step(self, generator: Generator, step: int) -> None:
        self.codebook.learn(*vars(self).pop("seen"), generator)

    def measures(self, encoder: Encoder, x: Tensor) -> dict[str, float]:
        return self.codebook.use(encoder(x))


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
