"""The Wasserstein autoencoder, with the maximum mean discrepancy.

I. Tolstikhin, O. Bousquet, S. Gelly, B. Schölkopf, "Wasserstein Auto-Encoders", ICLR 2018,
algorithm 2: -log p(x | z) + lambda MMD^2(codes of a batch, N(0, I)), z = encoder(x); here with the
discrepancy in closed form, which needs no draws of N(0, I).
"""

from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Generator, Tensor, nn

from diabolo.bottleneck import Bottleneck, Code, Encoder, Prior, StandardNormal
from diabolo.divergence import mmd_standard_normal
from diabolo.errors import InputError
from diabolo.estimator import Estimator

KEPT = 256  # codes of the last steps, which stand for a batch where there is none


class DiscrepantCode(Bottleneck):
    """z = encoder(x), with what each code adds to the discrepancy as a term."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def build(self, shape: tuple[int, ...], generator: Generator | None) -> None:
        self.kept = nn.Buffer(torch.zeros(KEPT, shape[0]))

    def forward(
        self, encoder: Encoder, x: Tensor, generator: Generator | None = None, step: int = 0
    ) -> Code:
        z = encoder(x)
        codes = self.kept.to(z)
        if self.training and generator is not None:
            codes, self.seen = z, z.detach().to(x.dtype)
        return Code(z, z, {"mmd": (self.weight, mmd_standard_normal(z, codes).to(x.dtype))})

    def after_step(self, generator: Generator, step: int) -> None:
        new = vars(self).pop("seen")[:KEPT]
        self.kept.copy_(torch.cat([new, self.kept[: KEPT - len(new)]]))

    def prior(self) -> Prior:
        return StandardNormal(self.kept.shape[1])

    def measures(self, encoder: Encoder, x: Tensor) -> dict[str, float]:
        """The discrepancy of the codes of all samples to N(0, I)."""
        z = encoder(x).double()
        each = [mmd_standard_normal(part, z) for part in z.split(KEPT)]
        return {"discrepancy": float(torch.cat(each).mean())}


class WAE(Estimator):
    """The Wasserstein autoencoder: the codes of a batch are spread like N(0, I), as new ones are.

    Minimises -log p(x | z) + discrepancy MMD^2(codes, N(0, I)), in nats per sample (Tolstikhin et
    al. 2018, algorithm 2).

    >>> import numpy as np
    >>> X = np.random.default_rng(0).random((200, 8), dtype=np.float32)
    >>> model = WAE(latent_dim=2, hidden=(16,), epochs=3, random_state=0).fit(X)
    >>> model.sample(5, random_state=0).shape
    (5, 8)
    """

    discrepancy: Annotated[Annotated[float, Ge(0)], "Weight of the discrepancy."] = 100.0

    def _bottleneck(self, p: Any) -> Bottleneck:
        if p.latent_dim is None or p.code_activation != "identity":
            raise InputError("Codes like N(0, I) need a latent_dim, and no code_activation.")
        return DiscrepantCode(p.discrepancy)
