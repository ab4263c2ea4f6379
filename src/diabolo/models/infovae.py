"""The information maximising variational autoencoder.

S. Zhao, J. Song, S. Ermon, "InfoVAE: Balancing Learning and Inference in Variational
Autoencoders", AAAI 2019, equation 6, with the maximum mean discrepancy of section 3.2:

    -log p(x | z) + (1 - a) KL(q(z | x) || p(z)) + (a + l - 1) MMD^2(codes of a batch, p(z))

With a = 0, l = 1 it is the VAE, with a = 1 the MMD-VAE. `beta` is 1 - a, `discrepancy` a + l - 1.
"""

from typing import Annotated, Any

from annotated_types import Ge
from torch import Generator, Tensor

from diabolo.bottleneck import Bottleneck, Code, Encoder
from diabolo.divergence import mmd_standard_normal
from diabolo.estimator import Estimator
from diabolo.posterior import GaussianCode, check_gaussian


class InformedCode(GaussianCode):
    """As a VAE's, with what the drawn codes of a batch add to its discrepancy, in training."""

    of_training = ("mmd",)

    def __init__(self, beta: float, discrepancy: float) -> None:
        super().__init__(beta)
        self.discrepancy = discrepancy

    def forward(
        self, encoder: Encoder, x: Tensor, generator: Generator | None = None, step: int = 0
    ) -> Code:
        code = super().forward(encoder, x, generator, step)
        if not self.training or generator is None:
            return code
        term = mmd_standard_normal(code.z, code.z).to(x.dtype)
        return code._replace(terms=code.terms | {"mmd": (self.discrepancy, term)})


class InfoVAE(Estimator):
    """The InfoVAE: a VAE whose codes are spread like N(0, I) together rather than each alone.

    Minimises -log p(x | z) + beta KL(q(z | x) || N(0, I)) + discrepancy MMD^2(codes, N(0, I)), in
    nats per sample (Zhao et al. 2019, equation 6).

    >>> import numpy as np
    >>> X = np.random.default_rng(0).random((200, 8), dtype=np.float32)
    >>> model = InfoVAE(latent_dim=2, hidden=(16,), epochs=3, random_state=0).fit(X)
    >>> model.sample(5, random_state=0).shape
    (5, 8)
    """

    beta: Annotated[Annotated[float, Ge(0)], "Weight of the KL divergence."] = 0.5
    discrepancy: Annotated[Annotated[float, Ge(0)], "Weight of the discrepancy."] = 100.0

    def _bottleneck(self, p: Any) -> Bottleneck:
        check_gaussian("An InfoVAE", p)
        return InformedCode(p.beta, p.discrepancy)
