"""The sparse autoencoder.

A. Ng, "Sparse autoencoder", CS294A lecture notes, 2011, here with the L1 norm of the code, as in
T. Bricken et al., "Towards Monosemanticity", 2023:  -log p(x | z) + lambda sum_k z_k, where
z = relu(encoder(x)) and the atoms of the decoder have length one.
"""

from typing import Annotated, Any

from annotated_types import Gt

from diabolo.bottleneck import Bottleneck
from diabolo.estimator import Estimator
from diabolo.hyperparameters import Kind
from diabolo.units import Revive, SparseCode, Units, check


class SAE(Estimator):
    """The sparse autoencoder: many units, few of them active, by the L1 norm of the code.

    Minimises -log p(x | z) + sparsity sum_k z_k, in nats per sample (Ng 2011; Bricken et al.
    2023). `metrics` have `l0`, the mean number of active units, and `dead`, the share of silent
    ones.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).random((200, 8), dtype=np.float32)
    >>> model = SAE(latent_dim=32, epochs=3, random_state=0).fit(X)
    >>> bool(model.transform(X).min() >= 0)
    True
    """

    network: Kind = "dictionary"
    sparsity: Annotated[Annotated[float, Gt(0)], "Weight of the L1 norm of the code."] = 1.0
    revive: Revive = True

    def _bottleneck(self, p: Any) -> Bottleneck:
        check("An SAE", p)
        return SparseCode(Units(), p.sparsity, revive=p.revive)
