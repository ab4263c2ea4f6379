"""The variational autoencoder.

Kingma and Welling, "Auto-Encoding Variational Bayes", 2013, equation 10:
-log p(x | z) + KL(q(z | x) || p(z)), with q(z | x) = N(m, s^2) and p(z) = N(0, I), see
`diabolo.posterior`. The weight `beta` of the KL is from Higgins et al., "beta-VAE", 2017, equation
4; how it may change is in `diabolo.annealing`, what else p(z) may be in `diabolo.priors`.
"""

from typing import Annotated, Any

from annotated_types import Ge

from diabolo import priors
from diabolo.annealing import Annealing
from diabolo.bottleneck import Bottleneck
from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.posterior import GaussianCode, check_gaussian, check_prior


class VAE(Estimator):
    """The variational autoencoder: codes are Gaussians, new samples come from N(0, I).

    Minimises -log p(x | z) + beta KL(q(z | x) || N(0, I)), both summed, in nats per sample
    (Kingma and Welling 2013, equation 10).

    >>> import numpy as np
    >>> X = np.random.default_rng(0).random((200, 8), dtype=np.float32)
    >>> model = VAE(latent_dim=2, hidden=(16,), epochs=3, random_state=0).fit(X)
    >>> model.sample(5, random_state=0).shape
    (5, 8)
    """

    beta: Annotated[Annotated[float, Ge(0)], "Weight of the KL divergence."] = 1.0
    warmup: Annotated[
        Annotated[int, Ge(0)], "Steps in which that weight, or the capacity, rises from 0."
    ] = 0
    cycle: Annotated[
        Annotated[int, Ge(0)], "Steps of a cycle, in whose first half it rises; 0: it rises once."
    ] = 0
    free_bits: Annotated[
        Annotated[float, Ge(0)], "Nats of KL divergence that each number of a code has for free."
    ] = 0.0
    capacity: Annotated[
        Annotated[float, Ge(0)] | None, "Nats that the KL divergence is to have; none: as few."
    ] = None
    prior: Annotated[
        priors.Name,
        "Law of the codes: normal, or one that is learnt, a mixture, vamp (of learnt inputs) or"
        " a flow.",
    ] = "normal"

    def _bottleneck(self, p: Any) -> Bottleneck:
        check_gaussian("A VAE", p)
        if p.capacity is not None and p.free_bits:
            raise InputError("A VAE takes a capacity or free_bits, not both.")
        asked = Annealing(p.warmup, p.cycle, p.free_bits, p.capacity)
        check_prior(p)
        return GaussianCode(p.beta, asked if asked != Annealing() else None, p.prior)
