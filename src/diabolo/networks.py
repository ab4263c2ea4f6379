"""Networks: (encoder, decoder) pairs whose sizes follow from the shape of a sample.

The decoder ends before its output activation, which belongs to the likelihood. Weights are
drawn from a generator that is passed in, never from torch's global one.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from diabolo.errors import InputError

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


def dense(
    shape: Shape,
    hidden: Sequence[int],
    latent: int | None,
    *,
    activation: Activation,
    code_activation: Activation,
    outputs: int = 1,
) -> Pair:
    """Fully connected: D -> hidden -> K and its mirror, on flat batches (B, D).

    `latent` None makes the last hidden layer the code. The encoder gives `outputs` numbers per
    code dimension (a VAE's mean and log-variance: 2).
    """
    sizes = [math.prod(shape), *hidden]
    encoder = _chain(sizes, activation)
    if latent is None:
        return nn.Sequential(*encoder), nn.Sequential(*_chain(sizes[::-1], activation)[:-1])
    encoder += [nn.Linear(sizes[-1], outputs * latent), *_activations(code_activation)]
    decoder = _chain([latent, *sizes[::-1]], activation)[:-1]
    return nn.Sequential(*encoder), nn.Sequential(*decoder)


def conv(
    shape: Shape,
    hidden: Sequence[int],
    latent: int | None,
    *,
    activation: Activation,
    code_activation: Activation,
    outputs: int = 1,
) -> Pair:
    """Convolutional, on (B, C, H, W): a 3x3 convolution that halves H and W for each of `hidden`.

    A linear layer makes the code. Back: a linear layer, a 3x3 transposed convolution that doubles
    for each of `hidden` reversed, and one to C channels. Halving rounds up, and each doubling
    restores the exact size it came from. `latent` None: the last feature map is the code.
    """
    channels, sizes = [shape[0], *hidden], [shape[1:]]
    encoder: list[nn.Module] = []
    for before, after in pairwise(channels):
        encoder += [nn.Conv2d(before, after, 3, stride=2, padding=1), *_activations(activation)]
        sizes.append(tuple((n + 1) // 2 for n in sizes[-1]))
    bottom = (channels[-1], *sizes[-1])
    end, decoder = _code_layers(bottom, latent, outputs, code_activation)
    encoder += end
    widths = [channels[-1], *reversed(hidden)]
    for (before, after), (small, large) in zip(
        pairwise(widths), pairwise(sizes[::-1]), strict=True
    ):
        extra = (large[0] - (2 * small[0] - 1), large[1] - (2 * small[1] - 1))
        decoder.append(
            nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=extra)
        )
        decoder += _activations(activation)
    decoder.append(nn.ConvTranspose2d(widths[-1], shape[0], 3, padding=1))
    return nn.Sequential(*encoder), nn.Sequential(*decoder)


def subpixel(
    shape: Shape,
    hidden: Sequence[int],
    latent: int | None,
    *,
    activation: Activation,
    code_activation: Activation,
    outputs: int = 1,
) -> Pair:
    """Convolutional, on (B, C, H, W), with no convolution at full resolution.

    The image becomes 4C channels of half its height and width, a 3x3 convolution follows, and one
    that halves again for each further of `hidden`; then a residual block. Back, each doubling is
    a 3x3 convolution to four times the channels, laid out as pixels (Shi et al., "Real-Time Single
    Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network",
    2016). Sides are padded to multiples of 2 for each of `hidden`. `latent` as in `conv`.
    """
    if not hidden:
        raise InputError("A subpixel network needs at least one number of channels in hidden.")
    halvings = 2 ** len(hidden)
    padding = (0, -shape[2] % halvings, 0, -shape[1] % halvings)
    bottom = (hidden[-1], -(-shape[1] // halvings), -(-shape[2] // halvings))
    encoder: list[nn.Module] = [nn.ZeroPad2d(padding)] if any(padding) else []
    encoder += [nn.PixelUnshuffle(2), nn.Conv2d(4 * shape[0], hidden[0], 3, padding=1)]
    encoder += _activations(activation)
    for before, after in pairwise(hidden):
        encoder += [nn.Conv2d(before, after, 3, stride=2, padding=1), *_activations(activation)]
    end, decoder = _code_layers(bottom, latent, outputs, code_activation)
    encoder += [Residual(hidden[-1], activation), *end]
    for number, (before, after) in enumerate(pairwise([*reversed(hidden), shape[0]])):
        decoder += _activations(activation) if number else []
        decoder += [nn.Conv2d(before, 4 * after, 3, padding=1), nn.PixelShuffle(2)]
    if any(padding):
        decoder.append(nn.ZeroPad2d((0, -padding[1], 0, -padding[3])))
    return nn.Sequential(*encoder), nn.Sequential(*decoder)


def residual(
    shape: Shape,
    hidden: Sequence[int],
    latent: int | None,
    *,
    activation: Activation,
    code_activation: Activation,
    outputs: int = 1,
) -> Pair:
    """Convolutional, on (B, C, H, W): begins as the identity, and learns the noise to take away.

    The code is the clean image itself, so that there is no `latent`, and the decoder only gives
    it its shape. See `WithoutNoise`; `hidden` are the channels of its layers.
    """
    if not hidden:
        raise InputError("A residual network needs at least one number of channels in hidden.")
    if latent is not None:
        raise InputError(
            f"A residual network has no narrow code: give latent_dim none, not {latent}."
        )
    encoder = WithoutNoise(shape, hidden, activation)
    return nn.Sequential(encoder, nn.Flatten()), nn.Sequential(nn.Unflatten(1, shape))


class WithoutNoise(nn.Module):
    """x -> x - noise(x), by 3x3 convolutions at half the resolution; (B, C, H, W) as it came.

    The residual learning of K. Zhang, W. Zuo, Y. Chen, D. Meng and L. Zhang, "Beyond a Gaussian
    Denoiser", 2017, on the image laid out as 4C channels of half its height and width, as in
    K. Zhang, W. Zuo and L. Zhang, "FFDNet", 2018; without their batch normalisation and noise map.
    The last convolution begins at zero. Odd sides are padded.
    """

    def __init__(self, shape: Shape, hidden: Sequence[int], activation: Activation) -> None:
        super().__init__()
        padding = (0, shape[2] % 2, 0, shape[1] % 2)
        layers: list[nn.Module] = [nn.ZeroPad2d(padding)] if any(padding) else []
        layers.append(nn.PixelUnshuffle(2))
        for before, after in pairwise([4 * shape[0], *hidden]):
            layers += [nn.Conv2d(before, after, 3, padding=1), *_activations(activation)]
        layers += [nn.Conv2d(hidden[-1], 4 * shape[0], 3, padding=1), nn.PixelShuffle(2)]
        if any(padding):
            layers.append(nn.ZeroPad2d((0, -padding[1], 0, -padding[3])))
        self.noise = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x - self.noise(x)

    def begin_as_identity(self) -> None:
        """Make the noise zero."""
        last = [layer for layer in self.noise if isinstance(layer, nn.Conv2d)][-1]
        for parameter in last.parameters():
            parameter.zero_()


class Residual(nn.Module):
    """x -> activation(x + conv(activation(conv(x)))), both 3x3 (He et al. 2016)."""

    def __init__(self, channels: int, activation: Activation) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.between = ACTIVATIONS[activation]()
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.last = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x + self.second(self.between(self.first(x))))


def build(
    network: Callable[..., Pair],
    init: Literal["glorot", "torch"],
    generator: Generator | None,
    **sizes: object,
) -> Pair:
    """A pair made by one of the functions above, its weights drawn from `generator`.

    With PyTorch's `init` they are those that the layers, written out, would have had if torch's
    global generator had been in that state. Without a generator they have shapes but no memory,
    on the "meta" device.
    """
    with torch.device("meta"):
        encoder, decoder = network(**sizes)
    if generator is None:
        return encoder, decoder
    for module in (encoder, decoder):
        module.to_empty(device="cpu")
        module.apply(partial(_initialise, init=init, generator=generator))
        lay_out(module)
    return encoder, decoder


def lay_out(module: nn.Module) -> None:
    """Put the weights of convolutions into the order in memory that is fastest for them."""
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _initialise(module: nn.Module, init: str, generator: Generator) -> None:
    """Glorot uniform with zero biases, or PyTorch's own U(-1/sqrt(fan_in), 1/sqrt(fan_in))."""
    if isinstance(module, WithoutNoise):  # which comes after its layers
        with torch.no_grad():
            module.begin_as_identity()
    if not isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        return
    assert module.bias is not None
    with torch.no_grad():
        if init == "glorot":
            nn.init.xavier_uniform_(module.weight, generator=generator)
            module.bias.zero_()
        else:
            bound = 1 / math.sqrt(module.weight[0].numel())
            module.weight.uniform_(-bound, bound, generator=generator)
            module.bias.uniform_(-bound, bound, generator=generator)


def _chain(sizes: Sequence[int], activation: Activation) -> list[nn.Module]:
    """Linear layers from size to size, an activation after each."""
    return [
        module
        for before, after in pairwise(sizes)
        for module in (nn.Linear(before, after), ACTIVATIONS[activation]())
    ]


def _code_layers(
    bottom: Shape, latent: int | None, outputs: int, code_activation: Activation
) -> tuple[list[nn.Module], list[nn.Module]]:
    """From the last feature map to the code, and from the code to the first one."""
    encoder: list[nn.Module] = [nn.Flatten()]
    decoder: list[nn.Module] = [nn.Unflatten(1, bottom)]
    if latent is None:
        return encoder, decoder
    units = math.prod(bottom)
    encoder += [nn.Linear(units, outputs * latent), *_activations(code_activation)]
    return encoder, [nn.Linear(latent, units), *decoder]


def _activations(name: Activation) -> list[nn.Module]:
    return [] if name == "identity" else [ACTIVATIONS[name]()]
