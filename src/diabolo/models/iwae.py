"""The importance weighted autoencoder.

Y. Burda, R. Grosse, R. Salakhutdinov, "Importance Weighted Autoencoders", ICLR 2016, equation 8:
the bound  E log 1/k sum_i p(x, z_i) / q(z_i | x)  on log p(x), of k codes z_i drawn from
q(z | x) = N(m, s^2), with p(z) = N(0, I). With one draw it is the VAE's.
"""

import math
from typing import Annotated, Any

import torch
from torch import Generator, Tensor

from diabolo import priors
from diabolo.bottleneck import Bottleneck, Code, Encoder, Prior
from diabolo.draw import of_share
from diabolo.estimator import Estimator
from diabolo.params import Count
from diabolo.posterior import (
    GaussianCode,
    check_gaussian,
    check_prior,
    log_ratio,
    moments,
    opposites,
)


class WeightedCode(GaussianCode):
    """k draws z = m + s e, each with the term log q(z | x) - log p(z); undrawn, e = 0."""

    bound = "iwae"

    def __init__(self, samples: int, prior: priors.Name = "normal") -> None:
        super().__init__(prior=prior)
        self.draws = samples

    def forward(
        self, encoder: Encoder, x: Tensor, generator: Generator | None = None, step: int = 0
    ) -> Code:
        mean, log_variance = moments(encoder, x)
        if generator is None:
            return weighted(mean, log_variance, torch.zeros_like(mean), self.law)
        noise = of_share(mean, generator, self.draws)
        if self.training and self.law is not None:
            self.law.see(encoder, moments)
        return weighted(mean, log_variance, noise, self.law)

    def probes(self, encoder: Encoder, x: Tensor) -> list[Code]:
        """Four antithetic pairs of draws."""
        mean, log_variance = moments(encoder, x)
        noises = [e.expand_as(mean) for e in opposites(mean)]
        return [weighted(mean, log_variance, noise, self.law) for noise in noises]

    def reduce(self, losses: Tensor) -> Tensor:
        """-log of the mean weight, (draws, B) -> (B,)."""
        return math.log(len(losses)) - (-losses).logsumexp(0)


def weighted(mean: Tensor, log_variance: Tensor, noise: Tensor, law: Prior | None) -> Code:
    """The codes of noise (draws * B, K), with log q(z | x) - log p(z)."""
    draws = noise.shape[0] // mean.shape[0]
    log_variance = log_variance.repeat(draws, 1)
    z = mean.repeat(draws, 1) + (0.5 * log_variance).exp() * noise
    ratio = log_ratio(z, log_variance, noise, law)
    return Code(z, mean, {"log_ratio": (1.0, ratio)})


class IWAE(Estimator):
    """The importance weighted autoencoder: a VAE whose bound is of several draws, and tighter.

    Minimises -log 1/k sum_i p(x | z_i) p(z_i) / q(z_i | x), k = `samples`, in nats per sample
    (Burda et al. 2016, equation 8).

    >>> import numpy as np
    >>> X = np.random.default_rng(0).random((200, 8), dtype=np.float32)
    >>> model = IWAE(latent_dim=2, hidden=(16,), epochs=3, samples=3, random_state=0).fit(X)
    >>> model.sample(5, random_state=0).shape
    (5, 8)
    """

    samples: Annotated[Count, "Codes drawn for each sample of a loss (k)."] = 5
    prior: Annotated[priors.Name, "Law of the codes, as of a VAE."] = "normal"

    def _bottleneck(self, p: Any) -> Bottleneck:
        check_gaussian("An IWAE", p)
        check_prior(p)
        return WeightedCode(p.samples, p.prior)
