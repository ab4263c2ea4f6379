"""The contractive autoencoder.

S. Rifai, P. Vincent, X. Muller, X. Glorot, Y. Bengio, "Contractive Auto-Encoders: Explicit
Invariance During Feature Extraction", ICML 2011, equation 4: -log p(x | z) + l ||df/dx||_F^2 at
z = f(x), the squared entries of the encoder's Jacobian summed.
"""

from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Generator, Tensor, nn

from diabolo.beside import Beside
from diabolo.bottleneck import Bottleneck, Code, Encoder
from diabolo.estimator import Estimator

VALUES = 1 << 24  # numbers of Jacobians that are found at once


class ContractiveCode(Bottleneck):
    """z = f(x), with the squared Frobenius norm of df/dx as a term."""

    def __init__(self, contraction: float) -> None:
        super().__init__()
        self.contraction = contraction

    def forward(
        self, encoder: Encoder, x: Tensor, generator: Generator | None = None, step: int = 0
    ) -> Code:
        z, norm = contracted(encoder, x)
        return Code(z, z, {"jacobian": (self.contraction, norm)})

    def probes(self, encoder: Encoder, x: Tensor) -> list[Code]:
        """The code alone: there is no bound that the Jacobian would belong to."""
        return [super().forward(encoder, x)]


def contracted(encoder: Encoder, x: Tensor) -> tuple[Tensor, Tensor]:
    """The code z = f(x) (B, K) of a scaled batch, and ||df/dx||_F^2, (B,)."""
    learning = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.enable_grad():
        first, rest, gram = parted(encoder)
        inner = first(x.clone().requires_grad_())
        z = rest(inner.clone())  # which a layer may overwrite
        norm = squared_jacobian(z, inner, gram, learning=learning)
    return z if learning else z.detach(), norm


def parted(encoder: Encoder) -> tuple[Encoder, Encoder, Tensor | None]:
    """What comes first, a linear layer Wx + b that narrows, with WW'; and the rest.

    As ||JW||^2 = sum(JWW' * J), the wide Jacobian of x is then not needed. With a linear way
    beside the layers, W has its rows above those of the first layer. Other encoders are all rest,
    after the identity and None; as they are, for a compiled one has no second derivatives.
    """
    way = [encoder.linear] if isinstance(encoder, Beside) else []
    layers = encoder.layers if isinstance(encoder, Beside) else encoder
    if type(layers) is nn.Sequential and len(layers) and type(layers[0]) is nn.Linear:
        first, rest = [*way, layers[0]], layers[1:]
        weight = torch.cat([layer.weight for layer in first])
        if len(weight) < weight.shape[1]:
            sizes = [layer.out_features for layer in first]

            def further(y: Tensor) -> Tensor:
                *beside, inner = y.split(sizes, 1)
                return sum(beside, start=rest(inner.clone()))

            return lambda x: torch.cat([f(x) for f in first], 1), further, weight @ weight.t()
    return nn.Identity(), getattr(encoder, "forward", encoder), None


def squared_jacobian(z: Tensor, x: Tensor, gram: Tensor | None, *, learning: bool) -> Tensor:
    """||dz/dx W||_F^2 of each sample, `gram` WW' or None for I; (B, K), (B, ...) -> (B,).

    `learning`: with a graph behind.
    """
    norm = torch.zeros(len(x), device=x.device)
    for units in torch.eye(z.shape[1]).to(z).split(max(VALUES // max(x.numel(), 1), 1)):
        rows = _gradients(z, x, units[:, None].expand(-1, *z.shape), learning).flatten(2)
        squares = rows * (rows if gram is None else rows @ gram)
        norm = norm + squares.sum((0, 2), dtype=torch.promote_types(rows.dtype, norm.dtype))
    return norm


def _gradients(z: Tensor, x: Tensor, units: Tensor, learning: bool) -> Tensor:
    """d(units . z)/dx, (U, B, K) -> (U, B, ...): at once, or one by one where layers refuse."""
    how = {"create_graph": learning, "retain_graph": True}
    try:
        return torch.autograd.grad(z, x, units, is_grads_batched=True, **how)[0]
    except RuntimeError:
        return torch.stack([torch.autograd.grad(z, x, unit, **how)[0] for unit in units])


class ContractiveAutoencoder(Estimator):
    """The contractive autoencoder: codes that change little where the samples do.

    Minimises -log p(x | z) + contraction ||df/dx||_F^2 at the scaled x, both summed, in nats per
    sample (Rifai et al. 2011, equation 4).

    >>> import numpy as np
    >>> X = np.random.default_rng(0).random((200, 8), dtype=np.float32)
    >>> model = ContractiveAutoencoder(latent_dim=2, hidden=(), epochs=3, random_state=0).fit(X)
    >>> model.transform(X).shape
    (200, 2)
    """

    contraction: Annotated[Annotated[float, Ge(0)], "Weight of the squared Jacobian."] = 0.1

    def _bottleneck(self, p: Any) -> Bottleneck:
        return ContractiveCode(p.contraction)
