"""How fast a model trains on this machine, beside the matrix products of its steps alone.

Nothing that trains by gradients on this machine can be faster than those products: forward, and
backward to the weights and to the input of every layer but the first.
"""

import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor, nn

from diabolo.estimator import Estimator
from diabolo.infer import watched
from diabolo.net import Net

Convolution = nn.Conv2d | nn.ConvTranspose2d
SIDE = 1024  # of the square matrices whose product measures the rate for convolutions


class Timing(NamedTuple):
    """Seconds per epoch of `samples` samples: of each training round, and of the products."""

    samples: int
    seconds: list[float]
    floor: list[float]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios of training to products."""
        return float(np.median(np.divide(self.seconds, self.floor)))


def compare(model: Estimator, X: Any, *, rounds: int = 3) -> Timing:
    """Train copies of `model` on X, in turn with the products of the same steps.

    A round is the second of two epochs, so that nothing is timed that happens once.
    """
    timing = Timing(len(X), [], [])
    settings: dict[str, Any] = {"epochs": 2, "validation_fraction": 0.0, "early_stopping": None}
    settings |= {"drop_last": False, "random_state": 0}
    for _ in range(rounds):
        fitted = clone(model).set_params(**settings).fit(X)
        timing.seconds.append(fitted.history_["seconds"][1])
        timing.floor.append(floor(fitted.net_, fitted.fitted_config_["batch_size"], len(X)))
    return timing


def floor(net: Net, batch_size: int, samples: int) -> float:
    """Seconds that the matrix products of an epoch's steps take with `torch.mm(out=)`.

    Those of a convolution are counted, and take the time of a square product with as many
    multiplications.
    """
    steps, rest = divmod(samples, batch_size)
    batches = ((batch_size, steps), (rest, 1))
    return sum(_of_steps(net, rows, steps) for rows, steps in batches if rows and steps)


def _of_steps(net: Net, rows: int, steps: int) -> float:
    """Seconds that the products of so many steps of so many rows take."""
    products, multiplications = _step(net, rows)
    dense = _seconds(lambda: _multiply(products), steps, net.device) if products else 0.0
    if not multiplications:
        return dense
    a, out = torch.rand(SIDE, SIDE, device=net.device), torch.empty(SIDE, SIDE, device=net.device)
    whole = _seconds(lambda: torch.mm(a, a, out=out), 10, net.device) / 10
    return dense + steps * multiplications / SIDE**3 * whole


def _step(net: Net, batch_size: int) -> tuple[list[tuple[Tensor, Tensor, Tensor]], int]:
    """The products (a, b, out) of a step's linear layers; the multiplications of the others."""
    products: list[tuple[Tensor, Tensor, Tensor]] = []
    multiplications = 0
    for layer, image, first in _layers(net):
        ways = 2 if first else 3
        if isinstance(layer, nn.Linear):
            products += islice(_linear(layer, batch_size), ways)
        else:
            multiplications += ways * batch_size * _taps(layer, image)
    return products, multiplications


def _layers(net: Net) -> list[tuple[nn.Module, Tensor, bool]]:
    """The layers that multiply, in their order, each with what it gives for one sample or takes.

    A convolution works once for each pixel it gives, a transposed one for each it takes. And
    whether a layer sees the sample itself.
    """
    found: list[tuple[nn.Module, Tensor, bool]] = []
    samples: list[Tensor] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        samples.append(inputs[0])
        first = inputs[0].data_ptr() == samples[0].data_ptr()
        image = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        found.append((layer, image, first))

    layers = [m for m in net.modules() if isinstance(m, nn.Linear | Convolution)]
    with watched(layers, note), torch.inference_mode():
        net.decode(net.encode(torch.zeros(1, net.features, device=net.device)))
    return found


def _linear(layer: nn.Linear, rows: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Forward, to the weights, to the input."""
    like = layer.weight.detach()
    x, y = (torch.rand(rows, n).to(like) for n in (layer.in_features, layer.out_features))
    yield x, like.t(), torch.empty_like(y)
    yield y.t(), x, torch.empty_like(like)
    yield y, like, torch.empty_like(x)


def _taps(layer: nn.Module, image: Tensor) -> int:
    """The multiplications of a convolution for one sample."""
    assert isinstance(layer, Convolution)
    return image.shape[2:].numel() * layer.weight.numel()


def _multiply(products: list[tuple[Tensor, Tensor, Tensor]]) -> None:
    for a, b, out in products:
        torch.mm(a, b, out=out)


def _seconds(work: Callable[[], object], times: int, device: torch.device) -> float:
    work()
    _wait(device)
    start = time.perf_counter()
    for _ in range(times):
        work()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
