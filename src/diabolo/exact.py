"""Networks whose answers are the same everywhere, to the bit.

Weights are rounded to whole multiples of 2^-16 and what a layer gives to those of 2^-12, at most
2^10. Sums of their products are then whole multiples of 2^-28 below 2^24, which float64 holds
exactly, so that neither their order nor the machine matters (J. Ballé, N. Johnston, D. Minnen,
"Integer Networks for Data Compression with Latent-Variable Models", 2019, in fixed point). What
is not a sum is one operation that IEEE 754 rounds in one way.
"""

import copy

import torch
from torch import Tensor, nn

from diabolo.beside import DRAWN
from diabolo.errors import InputError

WEIGHT, VALUE, LARGEST = 2.0**16, 2.0**12, 2.0**10
SUM = 2.0**14  # of the weights of one output, at most
PLAIN = (nn.Identity, nn.ReLU, nn.LeakyReLU, nn.Flatten, nn.Unflatten, nn.PixelShuffle)


def settled(x: Tensor) -> Tensor:
    """Rounded to the values that layers take from each other."""
    return (x * VALUE + 0.5).floor().clamp(-LARGEST * VALUE, LARGEST * VALUE) / VALUE


def exact(module: nn.Module) -> nn.Module:
    """A copy of a network in float64 that answers so; `InputError` where its layers cannot."""
    copied = copy.deepcopy(module).to("cpu", torch.float64).eval().requires_grad_(False)
    for parameter in copied.parameters():
        parameter.copy_((parameter * WEIGHT).round() / WEIGHT)
    for layer in copied.modules():
        _check(layer)
        layer.register_forward_hook(lambda _, given, found: settled(found))
    return copied


def _check(layer: nn.Module) -> None:
    kind = type(layer)
    if kind.__module__.startswith("torch.nn.modules.activation") and kind not in PLAIN:
        raise InputError(
            f"{kind.__name__} is not the same on every machine: use activation='relu' or"
            " 'leaky_relu', or network='gdn', and output_activation='identity'."
        )
    if isinstance(layer, DRAWN):
        weight = layer.weight.abs()
        across = weight.flatten(1).sum(1).max(), weight.transpose(0, 1).flatten(1).sum(1).max()
        if not float(max(across)) < SUM:
            raise InputError(f"A weight of {kind.__name__} is too large to be exact.")
