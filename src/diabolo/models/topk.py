"""The top-k sparse autoencoder.

L. Gao et al., "Scaling and Evaluating Sparse Autoencoders", 2024, section 2.3: z keeps the k
largest units of the encoder's, which makes a penalty needless:  -log p(x | z).
"""

from typing import Annotated, Any

from torch import Tensor

from diabolo.bottleneck import Bottleneck
from diabolo.estimator import Estimator
from diabolo.hyperparameters import Kind
from diabolo.params import Count
from diabolo.sparse import kth_largest
from diabolo.units import Revive, SparseCode, Units, check


class Largest(Units):
    """The k largest units of each sample, where they are above 0."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def threshold(self, y: Tensor) -> Tensor:
        return kth_largest(y, min(self.k, y.shape[1]))


class TopKSAE(Estimator):
    """The top-k sparse autoencoder: the k largest units of a sample are active.

    Minimises -log p(x | z) (Gao et al. 2024, section 2.3).

    >>> import numpy as np
    >>> X = np.random.default_rng(0).random((200, 8), dtype=np.float32)
    >>> model = TopKSAE(latent_dim=32, k=3, epochs=3, random_state=0).fit(X)
    >>> int((model.transform(X) > 0).sum(1).max())
    3
    """

    network: Kind = "dictionary"
    k: Annotated[Count, "Active units of a sample."] = 32
    revive: Revive = True

    def _bottleneck(self, p: Any) -> Bottleneck:
        check("A TopKSAE", p)
        return SparseCode(Largest(p.k), revive=p.revive)
