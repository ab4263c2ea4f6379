"""Layers with a linear way beside them:  x -> A x + b + layers(x).

With the layers' last weights at zero it begins as the linear map alone, and learns from there what
no linear map can do (the identity way of K. He, X. Zhang, S. Ren, J. Sun, "Identity Mappings in
Deep Residual Networks", 2016, where sizes differ).
"""

from typing import cast

import torch
from torch import Tensor, nn

CONVOLUTIONS = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
DRAWN = (nn.Linear, *CONVOLUTIONS)  # layers that begin with drawn weights


class LinearWay(nn.Linear):
    """The linear way of a `Beside`."""


class Beside(nn.Module):
    """(B, ...) -> (B, outputs): layers with a linear way from the flat samples beside them."""

    def __init__(self, features: int, outputs: int, layers: nn.Module) -> None:
        super().__init__()
        self.linear, self.layers = LinearWay(features, outputs), layers

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.layers(x).flatten(1) + self.linear(x.flatten(1)))

    @torch.no_grad()
    def begin(
        self, weight: Tensor, bias: Tensor, size: int = 0, further: Tensor | None = None
    ) -> None:
        """Begin as a linear map: weights (M, F) and biases (M,) of the first outputs.

        Outputs from M to `size` stay as they are drawn; those beyond are the biases `further`
        alone. Weights of inputs beyond F are zero.
        """
        weights, biases = self.linear.weight, self.linear.bias
        weights[: len(weight)] = 0
        weights[: len(weight), : weight.shape[1]] = weight
        biases[: len(bias)] = bias
        if further is not None:
            weights[size:] = 0
            biases[size : size + len(further)] = further
        for parameter in self._last.parameters():
            parameter.zero_()

    @property
    def alone(self) -> bool:
        """Whether the linear way answers alone: training has not moved the layers beside it."""
        return not any(bool(parameter.any()) for parameter in self._last.parameters())

    @property
    def _last(self) -> nn.Module:
        """The last layer with weights beside the way."""
        return [layer for layer in self.layers.modules() if isinstance(layer, DRAWN)][-1]
