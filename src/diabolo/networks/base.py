"""What every network shares: its base, what it is built from, and the initial weights.

The decoder ends before its output activation, which belongs to the likelihood. Weights are
drawn from a generator that is passed in, never from torch's global one.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
from torch import Generator, nn

from diabolo.beside import DRAWN, Beside
from diabolo.errors import InputError
from diabolo.params import Parameters

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": partial(nn.LeakyReLU, 0.2),
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}
Activation = Literal[
    "relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh", "sigmoid", "identity"
]
Shape = tuple[int, ...]
Pair = tuple[nn.Module, nn.Module]


@dataclass(frozen=True)
class Sizes:
    """What a pair is built for: the shape of a sample, (D,) or (C, *sides), and its layers.

    `latent` None makes the last hidden layer the code. The encoder gives `outputs` numbers per
    code dimension (a VAE's mean and log-variance: 2), the decoder `per_value` for each value of a
    sample: of images, signals and volumes, as so many times C channels. A condition is `given`
    numbers more beside the code, and beside the values: of images and such, as so many more
    channels. `linear`: with a linear way beside the layers, see `Beside`.
    """

    shape: Shape
    hidden: Sequence[int]
    latent: int | None
    activation: Activation
    code_activation: Activation
    outputs: int = 1
    per_value: int = 1
    given: int = 0
    linear: bool = False


class Network(Parameters, ABC):
    """Base of the networks."""

    hidden: ClassVar[tuple[int, ...]]  # sizes of the hidden layers where none are given
    images: ClassVar[bool] = True  # whether it takes (B, C, *sides), or flat batches (B, D)
    dimensions: ClassVar[tuple[int, ...]] = (2,)  # how many sides there may be
    mapped: ClassVar[bool] = False  # whether a code is so many numbers at each of some places
    bounded: ClassVar[bool] = True  # whether an activation may squash what the decoder gives
    any_size: ClassVar[bool] = False  # whether its code is the output, for images of any size
    gives: ClassVar[str] = "values of any size"  # what the decoder of an unbounded one gives

    @abstractmethod
    def pair(self, sizes: Sizes) -> Pair:
        """The encoder, batch -> (B, `outputs` K), and the decoder, (B, K) -> values."""

    def begin(self, encoder: nn.Module, decoder: nn.Module) -> None:
        """Set weights that do not begin as they are drawn."""

    def check(self, shape: Shape) -> None:
        """Raise `InputError` where it cannot take samples of `shape`, (C, *sides) or (D,)."""
        sides = len(shape) - 1
        if not self.images or sides in self.dimensions:
            return
        if sides:
            able = " or ".join(map(str, self.dimensions))
            raise InputError(
                f"A {self.kind} network works in {able} dimensions, not {sides}: use"
                " network='conv' or 'dense'."
            )
        signals = ", dimensions=1 if rows are signals" if 1 in self.dimensions else ""
        raise InputError(
            f"A {self.kind} network needs images: give X as (N, C, H, W){signals}, or"
            f" image_shape for {math.prod(shape)} columns."
        )

    def check_output(self, activation: str) -> None:
        """Raise `InputError` where its output cannot have this activation."""
        if not self.bounded and activation != "identity":
            raise InputError(
                f"A {self.kind} network gives {self.gives}, which nothing may squash: use"
                " likelihood='gaussian' and leave output_activation out."
            )


def takes_images(network: Any) -> bool:
    """Whether a network, or an own pair of modules, takes samples in their own shape."""
    return not isinstance(network, Network) or network.images


def build(
    network: Network, sizes: Sizes, init: Literal["glorot", "torch"], generator: Generator | None
) -> Pair:
    """The pair of a network, its weights drawn from `generator`.

    With PyTorch's `init` they are those that the layers, written out, would have had if torch's
    global generator had been in that state. Without a generator they have shapes but no memory,
    on the "meta" device.
    """
    with torch.device("meta"):
        encoder, decoder = _pair(network, sizes)
    if generator is None:
        return encoder, decoder
    if not all(map(_known, (*encoder.modules(), *decoder.modules()))):
        with _global_seed(generator.initial_seed()):
            encoder, decoder = _pair(network, sizes)
    for module in (encoder, decoder):
        held = module.state_dict()
        if any(tensor.is_meta for tensor in held.values()):
            empty = {name: torch.empty(t.shape, dtype=t.dtype) for name, t in held.items()}
            module.load_state_dict(empty, assign=True)
        module.apply(partial(_initialise, init=init, generator=generator))
    with torch.no_grad():
        network.begin(encoder, decoder)
    for module in (encoder, decoder):
        lay_out(module)
    return encoder, decoder


def _pair(network: Network, sizes: Sizes) -> Pair:
    """The pair of a network, with a linear way beside each where it is asked for."""
    encoder, decoder = network.pair(sizes)
    if not sizes.linear or sizes.latent is None:
        return encoder, decoder
    features, extent = math.prod(sizes.shape), math.prod(sizes.shape[1:])
    beside = sizes.given * (extent if network.images else 1)
    return (
        Beside(features + beside, sizes.outputs * sizes.latent, encoder),
        Beside(sizes.latent + sizes.given, sizes.per_value * features, decoder),
    )


def _known(module: nn.Module) -> bool:
    """Whether `_initialise` sets all that a layer itself has."""
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return not own or isinstance(module, DRAWN)


def lay_out(module: nn.Module) -> None:
    """Put the weights of convolutions into the order in memory that is fastest for them."""
    if all(parameter.ndim < 5 for parameter in module.parameters()):
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


@contextmanager
def _global_seed(seed: int) -> Iterator[None]:
    """torch's global generator, of the CPU, in a state of its own; afterwards as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _initialise(module: nn.Module, init: str, generator: Generator) -> None:
    """Glorot uniform with zero biases, or PyTorch's own U(-1/sqrt(fan_in), 1/sqrt(fan_in))."""
    if not isinstance(module, DRAWN):
        return
    with torch.no_grad():
        if init == "glorot":
            nn.init.xavier_uniform_(module.weight, generator=generator)
            if module.bias is not None:
                module.bias.zero_()
            return
        bound = 1 / math.sqrt(module.weight[0].numel())
        for parameter in module.parameters(recurse=False):
            parameter.uniform_(-bound, bound, generator=generator)


def convolution(sides: int) -> Any:
    """The convolution along so many sides, 1 to 3."""
    return (nn.Conv1d, nn.Conv2d, nn.Conv3d)[sides - 1]


def transposed(sides: int) -> Any:
    """The transposed convolution along so many sides, 1 to 3."""
    return (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[sides - 1]


def padding(missing: Sequence[int]) -> tuple[int, ...]:
    """What is added behind each side, as torch takes it: the last side first."""
    return tuple(n for side in reversed(missing) for n in (0, side))


def chain(sizes: Sequence[int], activation: Activation) -> list[nn.Module]:
    """Linear layers from size to size, an activation after each."""
    return [
        module
        for before, after in pairwise(sizes)
        for module in (nn.Linear(before, after), ACTIVATIONS[activation]())
    ]


def code_layers(bottom: Shape, sizes: Sizes) -> tuple[list[nn.Module], list[nn.Module]]:
    """From the last feature map to the code, and from the code to the first one."""
    encoder: list[nn.Module] = [nn.Flatten()]
    decoder: list[nn.Module] = [nn.Unflatten(1, bottom)]
    if sizes.latent is None:
        if sizes.given:
            raise InputError("A condition stands beside a code that is a vector: give latent_dim.")
        return encoder, decoder
    units = math.prod(bottom)
    encoder += [nn.Linear(units, sizes.outputs * sizes.latent), *after(sizes.code_activation)]
    return encoder, [nn.Linear(sizes.latent + sizes.given, units), *decoder]


def need_layers(network: Network, sizes: Sizes) -> None:
    """Refuse a network without hidden layers."""
    if not sizes.hidden:
        raise InputError(
            f"A {network.kind} network needs at least one number of channels in hidden."
        )


def need_no_code(network: Network, sizes: Sizes) -> None:
    """Refuse what a network that gives the clean image itself cannot have."""
    need_layers(network, sizes)
    if sizes.latent is not None:
        raise InputError(
            f"A {network.kind} network has no narrow code: give latent_dim none, not"
            f" {sizes.latent}."
        )
    if sizes.per_value != 1:
        raise InputError(
            f"A {network.kind} network gives one number for each value: use likelihood='gaussian'."
        )


def after(name: Activation) -> list[nn.Module]:
    """The activation after a layer, as a list of layers."""
    return [] if name == "identity" else [ACTIVATIONS[name]()]
