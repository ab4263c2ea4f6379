"""Optimisers over ATen's fused kernels, the ones that `torch.optim` calls with `fused=True`.

They do without what surrounds those kernels there: a second of imports (the compiler's), and a
good part of a small network's step.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Optimizer(ABC):
    """Moves parameters against their gradients; those without a gradient stay."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]
        self.device = self.parameters[0].device

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Update the parameters, and drop their gradients."""
        moved = [(p, p.grad) for p in self.parameters if p.grad is not None]
        self._move([p for p, _ in moved], [gradient for _, gradient in moved], learning_rate)
        for p, _ in moved:
            p.grad = None

    @abstractmethod
    def _move(self, parameters: list[Tensor], gradients: list[Tensor], rate: float) -> None: ...

    def _zeros(self) -> dict[Tensor, Tensor]:
        return {p: torch.zeros_like(p) for p in self.parameters}


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, algorithm 1), with decay that of AdamW.

    Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], *, epsilon: float = 1e-8, decay: float = 0.0
    ) -> None:
        super().__init__(parameters)
        self.epsilon, self.decay = epsilon, decay
        self.mean, self.square = self._zeros(), self._zeros()
        self.steps = torch.zeros((), device=self.device)

    def _move(self, parameters: list[Tensor], gradients: list[Tensor], rate: float) -> None:
        self.steps += 1
        torch.ops.aten._fused_adamw_(
            parameters,
            gradients,
            [self.mean[p] for p in parameters],
            [self.square[p] for p in parameters],
            [],
            [self.steps] * len(parameters),
            lr=rate,
            beta1=0.9,
            beta2=0.999,
            weight_decay=self.decay,
            eps=self.epsilon,
            amsgrad=False,
            maximize=False,
        )


class SGD(Optimizer):
    """Stochastic gradient descent with momentum 0.9."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        super().__init__(parameters)
        self.velocity = self._zeros()

    def _move(self, parameters: list[Tensor], gradients: list[Tensor], rate: float) -> None:
        torch.ops.aten._fused_sgd_(
            parameters,
            gradients,
            [self.velocity[p] for p in parameters],
            weight_decay=0.0,
            momentum=0.9,
            lr=rate,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            is_first_step=False,
        )


def make_optimizer(name: str, module: nn.Module, epsilon: float) -> Optimizer:
    """The optimiser "adam", "adamw" (decay 0.01) or "sgd" of a module's parameters."""
    if name == "sgd":
        return SGD(module.parameters())
    return Adam(module.parameters(), epsilon=epsilon, decay=0.01 if name == "adamw" else 0.0)
