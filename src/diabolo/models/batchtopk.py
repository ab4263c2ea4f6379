"""The batch top-k sparse autoencoder.

B. Bussmann, P. Leask, N. Nanda, "BatchTopK Sparse Autoencoders", 2024, equations 4 and 5: in
training the k B largest units of a batch are active, however many of a sample; later those above
a threshold, the mean of the smallest that were active in training.
"""

from typing import Annotated, Any

import torch
from torch import Tensor, nn

from diabolo.bottleneck import Bottleneck
from diabolo.estimator import Estimator
from diabolo.hyperparameters import Kind
from diabolo.params import Count
from diabolo.sparse import kth_largest
from diabolo.units import Revive, SparseCode, Units, check

RATE = 0.01  # of the moving mean


class LargestOfBatch(Units):
    """The k B largest units of a batch in training, later those above their usual threshold."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def build(self, size: int) -> None:
        self.usual = nn.Buffer(torch.zeros(()))

    def threshold(self, y: Tensor) -> Tensor:
        if not self.training:
            return self.usual
        count = min(self.k * len(y), y.numel())
        least = kth_largest(y.reshape(1, -1), count).squeeze().clamp(min=0)
        with torch.no_grad():
            self.usual.copy_(
                torch.where(self.usual > 0, self.usual.lerp(least.to(self.usual), RATE), least)
            )
        return least


class BatchTopKSAE(Estimator):
    """The batch top-k sparse autoencoder: k active units a sample, in the mean.

    Minimises -log p(x | z) (Bussmann et al. 2024, equation 4).

    >>> import numpy as np
    >>> X = np.random.default_rng(0).random((200, 8), dtype=np.float32)
    >>> model = BatchTopKSAE(latent_dim=32, k=3, epochs=3, random_state=0).fit(X)
    >>> model.transform(X).shape
    (200, 32)
    """

    network: Kind = "dictionary"
    k: Annotated[Count, "Active units of a sample, in the mean."] = 32
    revive: Revive = True

    def _bottleneck(self, p: Any) -> Bottleneck:
        check("A BatchTopKSAE", p)
        return SparseCode(LargestOfBatch(p.k), revive=p.revive)
