"""Optimisers over ATen's fused kernels, the ones that `torch.optim` calls with `fused=True`.

They do without what surrounds those kernels there: a second of imports (the compiler's), and a
good part of a small network's step.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn

Tensors = list[Tensor]


class Optimizer(ABC):
    """Moves parameters against their gradients; those without a gradient stay.

    It keeps `states` numbers for each number of the parameters, zero at first. Gradients that are
    there already are dropped.
    """

    states: int

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]
        self.state = [[torch.zeros_like(p) for p in self.parameters] for _ in range(self.states)]
        self.device = self.parameters[0].device
        self._drop_gradients()

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Update the parameters, and drop their gradients."""
        gradients = [p.grad for p in self.parameters]
        rows = zip(self.parameters, gradients, *self.state, strict=True)
        if moved := [row for row in rows if row[1] is not None]:
            self._move(learning_rate, *map(list, zip(*moved, strict=True)))
        self._drop_gradients()

    def tensors(self) -> dict[str, Tensor]:
        """Everything it remembers, as it lies in memory."""
        rows = enumerate(self.state)
        return {f"{k} {i}": state for k, row in rows for i, state in enumerate(row)}

    def _drop_gradients(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    @abstractmethod
    def _move(self, rate: float, parameters: Tensors, gradients: Tensors, *state: Tensors) -> None:
        """Change parameters and state in place."""


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, algorithm 1), with a decay AdamW.

    Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2. The steps
    that correct the bias are counted for all parameters together.
    """

    states = 2  # the running means of the gradient and of its square

    def __init__(
        self, parameters: Iterable[nn.Parameter], *, epsilon: float = 1e-8, decay: float = 0.0
    ) -> None:
        super().__init__(parameters)
        self.epsilon, self.decay = epsilon, decay
        self.steps = torch.zeros((), device=self.device)

    def tensors(self) -> dict[str, Tensor]:
        return super().tensors() | {"steps": self.steps}

    def _move(self, rate: float, parameters: Tensors, gradients: Tensors, *state: Tensors) -> None:
        self.steps += 1
        torch.ops.aten._fused_adamw_(
            parameters,
            gradients,
            *state,
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

    states = 1  # the velocity

    def _move(self, rate: float, parameters: Tensors, gradients: Tensors, *state: Tensors) -> None:
        torch.ops.aten._fused_sgd_(
            parameters,
            gradients,
            *state,
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
