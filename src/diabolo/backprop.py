"""Backpropagation through a chain of linear layers and activations, written out.

It does what autograd does (Rumelhart, Hinton and Williams, "Learning representations by
back-propagating errors", 1986), without the bookkeeping that takes a third of a small network's
step.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from diabolo.beside import Beside

aten = torch.ops.aten
DERIVATIVES: dict[type[nn.Module], Callable[[Any, Tensor, Tensor, Tensor], Tensor]] = {
    # (module, gradient at the output y, input x, y) -> gradient at x
    nn.Identity: lambda _, gradient, x, y: gradient,
    nn.ReLU: lambda _, gradient, x, y: aten.threshold_backward(gradient, y, 0),
    nn.LeakyReLU: lambda m, gradient, x, y: aten.leaky_relu_backward(
        gradient, x, m.negative_slope, False
    ),
    nn.ELU: lambda m, gradient, x, y: aten.elu_backward(gradient, m.alpha, 1, 1, False, x),
    nn.GELU: lambda m, gradient, x, y: aten.gelu_backward(gradient, x, approximate=m.approximate),
    nn.SiLU: lambda _, gradient, x, y: aten.silu_backward(gradient, x),
    nn.Softplus: lambda m, gradient, x, y: aten.softplus_backward(
        gradient, x, m.beta, m.threshold
    ),
    nn.Tanh: lambda _, gradient, x, y: aten.tanh_backward(gradient, y),
    nn.Sigmoid: lambda _, gradient, x, y: aten.sigmoid_backward(gradient, y),
}
Tape = list[tuple[nn.Module, Tensor, Tensor, "Tape"]]


def chain(*parts: nn.Module) -> list[nn.Module] | None:
    """The layers of `parts` in their order; None where they are no plain chain.

    That is `nn.Sequential`s of linear layers and activations without hooks, each there once, with
    parameters of their own that all learn; or such a chain with a linear way beside it.
    """
    layers = [layer for part in parts for layer in _layers(part)]
    known = all(_known(layer) for layer in layers)
    hooked = any(_changed(module) for part in parts for module in part.modules())
    parameters = [p for layer in layers for p in layer.parameters()]
    once = len({id(p) for p in parameters}) == len(parameters)
    learning = all(p.requires_grad and p.is_contiguous() for p in parameters)
    return layers if known and not hooked and once and learning else None


def _known(layer: nn.Module) -> bool:
    """Whether the gradients of a layer are written out here."""
    if isinstance(layer, Beside):
        return all(map(_known, _layers(layer.layers)))
    return type(layer) is nn.Linear or type(layer) in DERIVATIVES


def _changed(module: nn.Module) -> bool:
    """Whether a module does more than its class says, or overwrites its input."""
    hooks = (
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
    )
    return any(hooks) or getattr(module, "inplace", False)


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    if type(module) is nn.Sequential:
        for part in module:
            yield from _layers(part)
    else:
        yield module


def forward(layers: Iterable[nn.Module], x: Tensor) -> Tape:
    """Each layer with its input and its output, for a batch (B, D), and the tape of its own."""
    tape: Tape = []
    for layer in layers:
        inner: Tape = []
        if isinstance(layer, Beside):
            inner = forward(_layers(layer.layers), x)
            y = layer.linear.forward(x).add_(inner[-1][2])
        else:
            y = layer.forward(x)
        tape.append((layer, x, y, inner))
        x = y
    return tape


def backward(tape: Tape, gradient: Tensor, *, whole: bool = False) -> Tensor:
    """Set the parameters' gradients, from that at the output; `whole`: give that at the input."""
    for position, (layer, x, y, inner) in reversed(list(enumerate(tape))):
        wanted = whole or position > 0
        if isinstance(layer, Beside):
            deep = backward(inner, gradient, whole=wanted)
            gradient = _through(layer.linear, x, gradient, wanted=wanted)
            gradient = gradient + deep if wanted else gradient
        elif isinstance(layer, nn.Linear):
            gradient = _through(layer, x, gradient, wanted=wanted)
        else:
            gradient = DERIVATIVES[type(layer)](layer, gradient, x, y)
    return gradient


def _through(layer: nn.Linear, x: Tensor, gradient: Tensor, *, wanted: bool) -> Tensor:
    """Set the gradients of a linear layer; that at its input, if it is wanted."""
    layer.weight.grad = gradient.t() @ x
    if layer.bias is not None:
        layer.bias.grad = gradient.sum(0)
    return gradient @ layer.weight if wanted else gradient
