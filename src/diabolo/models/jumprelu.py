"""The JumpReLU sparse autoencoder.

S. Rajamanoharan et al., "Jumping Ahead: Improving Reconstruction Fidelity with JumpReLU Sparse
Autoencoders", 2024, equations 9 to 12:  -log p(x | z) + lambda ||z||_0, with z_k = y_k where y_k
exceeds a threshold t_k of its own, which learns by straight-through estimates with the kernel
K(u) = 1 for |u| < 1/2 and the bandwidth e:

    dz/dt = -(t / e) K((y - t) / e),    d||z||_0/dt = -(1 / e) K((y - t) / e)
"""

from typing import Annotated, Any

import torch
from annotated_types import Gt
from torch import Tensor, nn

from diabolo.bottleneck import Bottleneck, Terms
from diabolo.estimator import Estimator
from diabolo.hyperparameters import Kind
from diabolo.units import Revive, SparseCode, Units, check


class Jump(Units):
    """The units above thresholds of their own, which learn."""

    def __init__(self, bandwidth: float) -> None:
        super().__init__()
        self.bandwidth = bandwidth

    def build(self, size: int) -> None:
        self.log_threshold = nn.Parameter(torch.full((size,), self.bandwidth, device="cpu").log())

    def threshold(self, y: Tensor) -> Tensor:
        return self.log_threshold.exp()

    def near(self, y: Tensor) -> Tensor:
        """0, with the gradient of -(1 / e) K((y - t) / e) dt."""
        t = self.threshold(y)
        kernel = ((y - t).abs() < self.bandwidth / 2) / self.bandwidth
        return kernel.detach() * (t.detach() - t)

    def forward(self, y: Tensor) -> Tensor:
        return super().forward(y) + self.threshold(y).detach() * self.near(y)


class JumpCode(SparseCode):
    """z = what exceeds the thresholds, with lambda times the number of active units as a term."""

    written = False

    def terms(self, y: Tensor, z: Tensor) -> Terms:
        assert isinstance(self.units, Jump)
        count = self.units.active(y).to(y.dtype) + self.units.near(y)
        return {"l0_norm": (self.weight, count.sum(1))}


class JumpReLUSAE(Estimator):
    """The JumpReLU sparse autoencoder: each unit has a threshold, by the number of active ones.

    Minimises -log p(x | z) + sparsity ||z||_0, in nats per sample (Rajamanoharan et al. 2024,
    equation 9).

    >>> import numpy as np
    >>> X = np.random.default_rng(0).random((200, 8), dtype=np.float32)
    >>> model = JumpReLUSAE(latent_dim=32, epochs=3, random_state=0).fit(X)
    >>> model.transform(X).shape
    (200, 32)
    """

    network: Kind = "dictionary"
    sparsity: Annotated[Annotated[float, Gt(0)], "Weight of the number of active units."] = 0.1
    bandwidth: Annotated[Annotated[float, Gt(0)], "Of the kernel; thresholds begin there."] = 0.1
    revive: Revive = True

    def _bottleneck(self, p: Any) -> Bottleneck:
        check("A JumpReLUSAE", p)
        return JumpCode(Jump(p.bandwidth), p.sparsity, revive=p.revive)
