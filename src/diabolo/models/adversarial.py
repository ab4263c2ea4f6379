"""The adversarial autoencoder.

A. Makhzani, J. Shlens, N. Jaitly, I. Goodfellow, B. Frey, "Adversarial Autoencoders", 2015,
section 2: -log p(x | z) - lambda log s(D(z)), where s is the logistic function and the critic D,
a small network, learns beside it to tell codes from draws of p(z) = N(0, I):

    minimise  -log s(D(z')) - log(1 - s(D(z))),    z' ~ p(z),  z = encoder(x)
"""

from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Generator, Tensor
from torch.func import functional_call
from torch.nn.functional import softplus

from diabolo import networks
from diabolo.bottleneck import Bottleneck, Code, Encoder, Prior, StandardNormal
from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.networks.dense import Dense

CRITIC = (64, 64)  # units of the critic's hidden layers


class AdversarialCode(Bottleneck):
    """z = encoder(x), which is to look to the critic like a draw of N(0, I)."""

    def __init__(self, weight: float, rate: float) -> None:
        super().__init__()
        self.weight, self.rate = weight, rate

    def build(self, shape: tuple[int, ...], generator: Generator | None) -> None:
        self.size = shape[0]
        sizes = networks.Sizes(shape, CRITIC, 1, "leaky_relu", "identity")
        critic, _ = networks.build(Dense(), sizes, "glorot", generator)
        self.critic = critic.requires_grad_(False)

    def forward(
        self, encoder: Encoder, x: Tensor, generator: Generator | None = None, step: int = 0
    ) -> Code:
        z = encoder(x)
        if self.training and generator is not None:
            self.seen = z.detach().to(x.dtype)
        term = softplus(-self.critic(z).to(x.dtype)).squeeze(1)
        return Code(z, z, {"adversarial": (self.weight, term)})

    def after_step(self, generator: Generator, step: int) -> None:
        """A step of the critic's own loss, by plain gradient descent."""
        z, weights = vars(self).pop("seen"), dict(self.critic.named_parameters())
        learnt = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
        drawn = self.prior().sample(len(z), generator).to(z)
        found, true = (functional_call(self.critic, learnt, codes) for codes in (z, drawn))
        loss = (softplus(found) + softplus(-true)).mean()
        gradients = torch.autograd.grad(loss, list(learnt.values()))
        for weight, gradient in zip(weights.values(), gradients, strict=True):
            weight.sub_(self.rate * gradient)

    def prior(self) -> Prior:
        return StandardNormal(self.size)

    def measures(self, encoder: Encoder, x: Tensor) -> dict[str, float]:
        """How often the critic is right about codes and draws of the prior: 0.5 is a guess."""
        z = encoder(x)
        drawn = self.prior().sample(len(z), Generator().manual_seed(0)).to(z)
        right = torch.cat([self.critic(z) < 0, self.critic(drawn) > 0])
        return {"critic_accuracy": float(right.double().mean())}


class AdversarialAutoencoder(Estimator):
    """The adversarial autoencoder: a critic has codes spread like N(0, I), as new samples' do.

    Minimises -log p(x | z) - adversarial log s(D(z)), in nats per sample, where the critic D(z)
    is the log-odds that z is a draw of N(0, I) (Makhzani et al. 2015, section 2).

    >>> import numpy as np
    >>> X = np.random.default_rng(0).random((200, 8), dtype=np.float32)
    >>> model = AdversarialAutoencoder(latent_dim=2, hidden=(16,), epochs=3, random_state=0).fit(X)
    >>> model.sample(5, random_state=0).shape
    (5, 8)
    """

    adversarial: Annotated[Annotated[float, Ge(0)], "Weight of what the critic thinks."] = 1.0
    critic_rate: Annotated[Annotated[float, Gt(0)], "Step size of the critic."] = 0.1

    def _bottleneck(self, p: Any) -> Bottleneck:
        if p.latent_dim is None or p.code_activation != "identity":
            raise InputError("Codes like N(0, I) need a latent_dim, and no code_activation.")
        return AdversarialCode(p.adversarial, p.critic_rate)
