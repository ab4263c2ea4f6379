"""Codes that are Gaussians, q(z | x) = N(m, s^2), which the variational models share.

Kingma and Welling, "Auto-Encoding Variational Bayes", 2013, equation 10: their divergence from
p(z) = N(0, I), or from one of `diabolo.priors`, is a term; of a prior that is learnt it is that of
one draw.
"""

import math
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from diabolo import priors
from diabolo.annealing import Annealing
from diabolo.bottleneck import Bottleneck, Code, Encoder, Prior, StandardNormal
from diabolo.divergence import kl_by_dimension, kl_standard_normal
from diabolo.draw import of_share
from diabolo.errors import InputError

LOG_VARIANCE = (-20.0, 20.0)
PAIRS = 4  # of opposite draws, of which a score is the mean
ACTIVE_VARIANCE = 0.01  # of a posterior mean over the data (Burda et al. 2016)


class GaussianCode(Bottleneck):
    """z = m + s e with e ~ N(0, I); the encoder gives (m, log s^2), log s^2 bounded."""

    outputs = 2
    sampling = True
    bound: str | None = "elbo"

    def __init__(
        self,
        beta: float = 1.0,
        annealing: Annealing | None = None,
        prior: priors.Name = "normal",
    ) -> None:
        super().__init__()
        self.beta, self.annealing, self.named = beta, annealing, prior
        self.law: priors.Law | None = None

    def build(self, shape: tuple[int, ...], generator: Generator | None) -> None:
        self.size = shape[0] // 2
        self.law = priors.prior(self.named, self.size, self.takes, generator)

    def begin(self, variances: Tensor) -> tuple[Tensor, Tensor]:
        """The linear VAE's optimum: probabilistic PCA with the noise variance beta.

        J. Lucas, G. Tucker, R. Grosse, M. Norouzi, "Don't Blame the ELBO!", 2019, section 4.
        """
        noise = (self.beta / variances).clamp(math.exp(LOG_VARIANCE[0]), 1)
        return (1 - noise).sqrt(), noise.log()

    def forward(
        self, encoder: Encoder, x: Tensor, generator: Generator | None = None, step: int = 0
    ) -> Code:
        mean, log_variance = moments(encoder, x)
        if generator is None:
            return self._drawn(mean, log_variance, torch.zeros_like(mean))
        noise = of_share(mean, generator)
        if self.training and self.law is not None:
            self.law.see(encoder, moments)
        code = self._drawn(mean, log_variance, noise)
        if not self.training or self.annealing is None:
            return code
        kl = code.terms["kl"][1][:, None] if self.law else kl_by_dimension(mean, log_variance)
        return code._replace(terms={"kl": self.annealing.term(self.beta, kl, step)})

    def _drawn(self, mean: Tensor, log_variance: Tensor, noise: Tensor) -> Code:
        """The code of noise (B, K); under a law of its own, with the divergence of this draw."""
        z = mean + (0.5 * log_variance).exp() * noise
        kl = (
            log_ratio(z, log_variance, noise, self.law)
            if self.law
            else kl_standard_normal(mean, log_variance)
        )
        return Code(z, mean, {"kl": (self.beta, kl)})

    def probes(self, encoder: Encoder, x: Tensor) -> list[Code]:
        """Four antithetic pairs of draws."""
        mean, log_variance = moments(encoder, x)
        return [self._drawn(mean, log_variance, e.expand_as(mean)) for e in opposites(mean)]

    def mean_layer(self) -> nn.Module:
        return FirstHalf()

    def prior(self) -> Prior:
        return self.law or StandardNormal(self.size)

    def measures(self, encoder: Encoder, x: Tensor) -> dict[str, float]:
        """Active units: numbers whose posterior mean varies over the data by more than 0.01.

        Y. Burda, R. Grosse, R. Salakhutdinov, "Importance Weighted Autoencoders", 2016, section
        5.2.
        """
        mean, _ = moments(encoder, x)
        return {"active_units": int((mean.double().var(0) > ACTIVE_VARIANCE).sum())}


def moments(encoder: Encoder, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and bounded log-variance (B, K) of a scaled batch's posteriors."""
    mean, log_variance = encoder(x).chunk(2, dim=1)
    return mean, log_variance.clamp(*LOG_VARIANCE)


def log_ratio(z: Tensor, log_variance: Tensor, noise: Tensor, law: Prior | None) -> Tensor:
    """log q(z | x) - log p(z) of codes z = m + s e, (B,), of noise e (B, K); None: of N(0, I)."""
    if law is None:
        return 0.5 * (z.square() - noise.square() - log_variance).sum(1)
    own = -0.5 * (noise.square() + log_variance + math.log(2 * math.pi)).sum(1)
    return own - law.log_prob(z)


def check_prior(p: Any) -> None:
    """Raise `InputError` where a prior has inputs to learn, and these would need a condition."""
    if p.prior == "vamp" and p.condition is not None:
        raise InputError("prior='vamp' takes no condition: use 'mixture' or 'flow'.")


def opposites(mean: Tensor) -> Tensor:
    """Standard normal noise for codes like `mean`, the same always: pairs of opposites, (8, K)."""
    half = torch.from_numpy(_noise(mean.shape[1])).to(mean)
    return torch.cat([half, -half])


@cache
def _noise(k: int) -> np.ndarray:
    """Standard normal noise (4, K); kept, so that a graph of a score has it as a constant."""
    return torch.randn(PAIRS, k, generator=Generator().manual_seed(0)).numpy()


def check_gaussian(model: str, p: Any) -> None:
    """Raise `InputError` where the parameters of a model ask for no Gaussian code."""
    if p.latent_dim is None:
        raise InputError(f"{model} needs a latent_dim: its code has a mean and a variance.")
    if p.code_activation != "identity":
        raise InputError(f"{model}'s code takes no activation: leave code_activation out.")


class FirstHalf(nn.Module):
    """(B, 2K) -> (B, K): the means among a Gaussian encoder's outputs."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, : x.shape[1] // 2]
