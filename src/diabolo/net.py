"""The autoencoder as a plain module:  L(x) = E[-log p(x | z)] + penalty(z, x),  x~ ~ C(x~ | x).

`Net` joins an encoder, a decoder, a bottleneck (the kind of code), a likelihood, a corruption and
the scaling of the stored values. It takes and gives flat batches (B, D) of stored values.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Literal, NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.overrides import TorchFunctionMode

from diabolo import backprop
from diabolo.corruption import Corruption
from diabolo.errors import InputError
from diabolo.layers import Layer
from diabolo.likelihood import Likelihood

BLOCK = 64  # rows of every inference call of dense networks; the last is padded to it
IMAGES = 16  # of networks that take images, which are faster with fewer; see `Net.block`


class Code(NamedTuple):
    """What a bottleneck gives: the code z, its mean (B, K), and the penalty in nats (B,)."""

    z: Tensor
    mean: Tensor
    penalty: Tensor | float


class Bottleneck(nn.Module):
    """The plain code z = encoder(x), without penalty; base of every kind of code."""

    outputs = 1  # numbers the encoder gives per code dimension
    penalised = False  # whether the loss has a penalty, so that it is in nats per sample
    sampling = False  # whether the code is drawn

    def forward(
        self, encoder: nn.Module, x: Tensor, generator: Generator | None = None, step: int = 0
    ) -> Code:
        """The code of a scaled batch; without a generator nothing is drawn and z is the mean."""
        z = encoder(x)
        return Code(z, z, 0.0)

    def codes(self, encoder: nn.Module, x: Tensor) -> list[Code]:
        """The codes that a sample's score is the mean over, the same noise for every row."""
        return [self(encoder, x)]

    def kl(self, encoder: nn.Module, x: Tensor) -> Tensor:
        """The unweighted KL (B, K) of a scaled batch's codes, where they are drawn."""
        raise NotImplementedError

    def mean_layer(self) -> nn.Module:
        """What maps the encoder's output to the mean code."""
        return nn.Identity()

    def prior(self, n: int, k: int, generator: Generator) -> Tensor | None:
        """`n` codes (n, K) from the model's prior; None where it has none."""
        return None


class Scaling(nn.Module):
    """Affine map from stored values to the network's: scaled = (x - shift) / scale.

    `low` and `high` bound the scaled values (infinite without a range). `peak` holds the stored
    values that count as 0 and 1 when an image's error is measured.
    """

    shift: Tensor
    scale: Tensor
    bounds: Tensor
    peak: Tensor

    def __init__(
        self, shift: Tensor, scale: Tensor, low: float, high: float, peak: Tensor
    ) -> None:
        super().__init__()
        self.register_buffer("shift", shift)
        self.register_buffer("scale", scale)
        self.register_buffer("bounds", torch.tensor([low, high]))
        self.register_buffer("peak", peak)
        self.low, self.high, self.shifted = low, high, bool(shift.any())

    def forward(self, x: Tensor) -> Tensor:
        """Scaled float32 of stored values of any type."""
        scaled = x.to(self.scale.dtype, copy=True)
        return (scaled.sub_(self.shift) if self.shifted else scaled).div_(self.scale)

    def inverse(self, scaled: Tensor) -> Tensor:
        """Stored units of scaled values, clipped to the range where there is one."""
        if math.isfinite(self.high):
            scaled = scaled.clamp(self.low, self.high)
        return scaled * self.scale + self.shift


def learn_scaling(kind: str | None, x: Tensor, *, image: bool) -> Scaling:
    """The scaling of `kind` ("unit", "symmetric", "standard" or None) for stored values (N, D).

    "unit": integers are divided by their type's maximum; float images by their global minimum
    and maximum (kept when already within [0, 1]); float tables column by column. "symmetric": the
    same, to [-1, 1]. "standard": mean 0 and variance 1, of an image's pixels together, of a
    table's columns each. A column without spread counts as if its spread were 1.
    """
    limits = _limits(x, image)
    peak = torch.stack([limits[0].min(), limits[1].max()])
    if kind is None:
        return Scaling(torch.tensor(0.0), torch.tensor(1.0), -math.inf, math.inf, peak)
    if kind == "standard":
        variance, mean = torch.var_mean(x.double(), dim=None if image else 0, correction=0)
        std = variance.sqrt().float()
        return Scaling(mean.float(), _nonzero(std), -math.inf, math.inf, peak)
    low, high = limits
    span = _nonzero(high - low)
    if kind == "unit":
        return Scaling(low, span, 0.0, 1.0, peak)
    return Scaling(low + span / 2, span / 2, -1.0, 1.0, peak)


def _limits(x: Tensor, image: bool) -> tuple[Tensor, Tensor]:
    """The stored values that count as the lowest and the highest."""
    if not x.is_floating_point():
        top = 1.0 if x.dtype == torch.bool else float(torch.iinfo(x.dtype).max)
        return torch.tensor(0.0), torch.tensor(top)
    if not image:
        return x.amin(0), x.amax(0)
    low, high = x.min(), x.max()
    if low >= 0 and high <= 1:
        return torch.tensor(0.0), torch.tensor(1.0)
    return low, high


def _nonzero(scale: Tensor) -> Tensor:
    return torch.where(scale == 0, 1.0, scale)


class Net(nn.Module):
    """An autoencoder on flat batches of stored values."""

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        *,
        bottleneck: Bottleneck,
        likelihood: Likelihood,
        corruption: Corruption | None,
        scaling: Scaling,
        input_shape: tuple[int, ...],
        image_shape: tuple[int, int, int] | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.bottleneck, self.likelihood = bottleneck, likelihood
        self.corruption, self.scaling = corruption, scaling
        self.input_shape, self.image_shape = input_shape, image_shape

    @property
    def features(self) -> int:
        """D, the number of values in a sample."""
        return math.prod(self.input_shape)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.scaling.shift.device

    @property
    def finite(self) -> bool:
        """Whether all parameters are numbers."""
        return all(bool(p.isfinite().all()) for p in self.parameters())

    @property
    def code_size(self) -> int:
        """K, the numbers in a code."""
        x = torch.zeros(1, self.features, device=next(self.parameters()).device)
        with torch.inference_mode():
            return self.bottleneck(self.encoder, self.shaped(x)).mean.shape[1]

    def loss(self, source: Tensor, target: Tensor, generator: Generator, step: int) -> Tensor:
        """Nats per sample, (B,), of stored batches: what training minimises the mean of."""
        seen, clean = self._seen(source, target, generator)
        nll, penalty = self.terms(seen, clean, generator, step)
        return nll + penalty

    def learner(self) -> Callable[..., Tensor] | None:
        """`loss` with its gradients written out; None where the network is no plain chain.

        Takes what `loss` takes and a weight; gives the losses, and leaves the gradients of their
        sum times the weight in the parameters.
        """
        layers = backprop.chain(self.encoder, self.decoder)
        if layers is None or type(self.bottleneck) is not Bottleneck:
            return None

        @torch.no_grad()
        def learn(
            source: Tensor, target: Tensor, generator: Generator, step: int, weight: float
        ) -> Tensor:
            seen, clean = self._seen(source, target, generator)
            tape = backprop.forward(layers, seen)
            nll, gradient = self.likelihood.nll_and_gradient(tape[-1][-1], clean)
            backprop.backward(tape, gradient.mul_(weight))
            return nll

        return learn

    def _seen(self, source: Tensor, target: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Scaled batches of what the encoder sees and of what it should give."""
        clean = self.scaling(target)
        return self.corrupt(clean if source is target else self.scaling(source), generator), clean

    def terms(
        self, seen: Tensor, clean: Tensor, generator: Generator, step: int = 0
    ) -> tuple[Tensor, Tensor | float]:
        """Negative log-likelihood and penalty, (B,) each, of scaled batches; the code is drawn."""
        code = self.bottleneck(self.encoder, self.shaped(seen), generator, step)
        return self.likelihood.nll(self.decoder(code.z).flatten(1), clean), code.penalty

    def score(self, x: Tensor) -> Tensor:
        """Minus the nll at the mean code, or the ELBO where codes are random; (B, D) -> (B,)."""
        scaled = self.scaling(x)
        codes = self.bottleneck.codes(self.encoder, self.shaped(scaled))
        scaled = self.likelihood.supported(scaled)
        scores = [
            -self.likelihood.nll(self.decoder(c.z).flatten(1), scaled) - c.penalty for c in codes
        ]
        return torch.stack(scores).mean(0)

    def corrupt(self, scaled: Tensor, generator: Generator) -> Tensor:
        """A scaled batch as the encoder sees it in training."""
        if self.corruption is None:
            return scaled
        low, high = self.scaling.low, self.scaling.high
        return self.corruption.corrupt(self.pictured(scaled), generator, low, high).x.flatten(1)

    def check_corruption(self) -> None:
        """Raise `InputError` where the samples cannot be corrupted."""
        if self.corruption is not None:
            shape = self.image_shape or (self.features,)
            self.corruption.check(shape, self.scaling.low, self.scaling.high)

    def pictured(self, batch: Tensor) -> Tensor:
        """A flat batch (B, D) as images (B, C, H, W), where samples are images."""
        return batch if self.image_shape is None else batch.view(-1, *self.image_shape)

    def shaped(self, batch: Tensor) -> Tensor:
        """A flat batch (B, D) in the shape that the encoder takes."""
        return batch.reshape(-1, *self.input_shape)

    def in_blocks(self, function: Callable[..., Tensor], *arrays: Tensor) -> Tensor:
        """`function` over rows, on the device of the network; see the function `in_blocks`."""
        return in_blocks(function, *arrays, device=self.device, rows=self.block)

    @cached_property
    def block(self) -> int:
        """How many rows every inference call has.

        So many that each layer has whole vectors of 32 values: functions such as the sigmoid work
        on what is left over in another way, which differs in the last bit.
        """
        if len(self.input_shape) == 1:
            return BLOCK
        sizes = [self.features, *(math.prod(layer.shape) for layer in trace(self))]
        return IMAGES if all(size % 2 == 0 for size in sizes) else 2 * IMAGES

    def encode(self, x: Tensor) -> Tensor:
        """Mean codes (B, K) of stored values (B, D)."""
        return self.bottleneck(self.encoder, self.shaped(self.scaling(x))).mean

    def decode(self, z: Tensor) -> Tensor:
        """Stored values (B, D) of codes (B, K)."""
        return self.scaling.inverse(self.likelihood.mean(self.decoder(z).flatten(1)))


def in_blocks(
    function: Callable[..., Tensor],
    *arrays: Tensor,
    device: torch.device | str,
    rows: int = BLOCK,
) -> Tensor:
    """`function` over blocks of so many rows, the last one padded with zeros.

    Every call has the same shape, and a linear layer treats all rows alike, so a row's answer
    does not depend on the rows beside it.
    """
    n = len(arrays[0])
    out: Tensor | None = None
    with torch.inference_mode(), _AlikeRows():
        for start in range(0, max(n, 1), rows):
            stop = min(start + rows, n)
            block = function(*(_padded(a[start:stop], rows).to(device) for a in arrays))
            if out is None:
                out = torch.empty((n, *block.shape[1:]), dtype=block.dtype)
            out[start:stop] = block[: stop - start]
    assert out is not None
    return out


class _AlikeRows(TorchFunctionMode):
    """Computes linear layers as W X', whose rows are worked in full vectors.

    The usual X W' may treat the last rows of a block by another kernel, which differs in the
    last bit.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function is F.linear:
            return _linear(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """torch.nn.functional.linear; on a batch of vectors as W X'."""
    flat = input.ndim == 2
    y = (weight @ input.t()).t().contiguous() if flat else input @ weight.t()
    return y if bias is None else y + bias


def _padded(part: Tensor, rows: int) -> Tensor:
    missing = rows - len(part)
    return torch.cat([part, part.new_zeros(missing, *part.shape[1:])]) if missing else part


def trace(net: Net) -> list[Layer]:
    """The network's layers with the shape of their output (without the batch) and parameters."""
    found: list[Layer] = []
    with torch.inference_mode():
        x = net.shaped(torch.zeros(1, net.features, device=net.device))
        found += _traced("encoder", net.encoder, x)
        z = net.bottleneck(net.encoder, x).mean
        if net.bottleneck.sampling:
            found.append(Layer("code", "Sampling", tuple(z.shape[1:]), 0))
        found += _traced("decoder", net.decoder, z)
        found += _traced("decoder", net.likelihood.layer(), net.decoder(z))
    return found


def _traced(part: Literal["encoder", "decoder"], module: nn.Module, x: Tensor) -> list[Layer]:
    """The leaves of `module` in the order in which a batch passes them."""
    found: list[Layer] = []

    def note(leaf: nn.Module, _: object, output: Tensor) -> None:
        parameters = sum(p.numel() for p in leaf.parameters())
        found.append(Layer(part, _name(leaf), tuple(output.shape[1:]), parameters))

    with watched([m for m in module.modules() if not any(m.children())], note):
        module(x)
    return found


@contextmanager
def watched(modules: Iterable[nn.Module], note: Callable[..., None]) -> Iterator[None]:
    """`note(module, inputs, output)` is called whenever one of `modules` has worked."""
    hooks = [module.register_forward_hook(note) for module in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _name(module: nn.Module) -> str:
    name = type(module).__name__
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        size = "x".join(map(str, module.kernel_size))
        stride = f" /{module.stride[0]}" if module.stride[0] > 1 else ""
        return f"{name} {size}{stride}"
    return name


def check_pair(net: Net) -> None:
    """Raise `InputError` where a pair of own modules does not fit the data."""
    x = net.shaped(torch.zeros(2, net.features))
    where = f"a batch of shape (B, {', '.join(map(str, net.input_shape))})"
    with torch.inference_mode():
        try:
            z = net.bottleneck(net.encoder, x).mean
        except (RuntimeError, ValueError, AttributeError) as error:
            raise InputError(f"The encoder cannot take {where}: {_first_line(error)}") from None
        if z.ndim != 2:
            shape = tuple(z.shape[1:])
            raise InputError(
                f"A code must be a vector, but the encoder gives {shape}: flatten it."
            )
        try:
            y = net.decoder(z)
        except RuntimeError as error:
            code = f"codes of shape {tuple(z.shape)}"
            raise InputError(f"The decoder cannot take {code}: {_first_line(error)}") from None
    wanted = net.likelihood.per_value * net.features
    if y[0].numel() != wanted:
        raise InputError(
            f"The decoder gives {y[0].numel()} values a sample, but a sample has {wanted}."
        )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
