"""Inference: rows in blocks, so that answers stay the same to the bit; and tracing.

Every call of a network has whole blocks of rows, and every layer treats all rows alike, so a
row's answer does not depend on the rows beside it, on how many they are, on its place, or on
the number of threads.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.overrides import TorchFunctionMode

from diabolo import backprop
from diabolo.beside import CONVOLUTIONS, Beside, LinearWay
from diabolo.layers import Layer
from diabolo.net import Net

BLOCK = 64  # rows of an inference call of dense networks, or a multiple of them
IMAGES = 16  # of networks that take images, which are faster with fewer; see `block_of`
LARGE = 2**18  # values of an image that is fast alone
VECTOR = 32  # values
VALUES = 2**20  # of a wide block: so many that what a call costs hardly counts
TINY = 64  # numbers of a matrix whose product with a wide block is shared among threads otherwise
LONG = 128  # inputs; of more, the parts of a sum depend on the rows and the threads
FEW, LANES = 16, 8  # outputs, which several threads share out unless they are whole lanes
_BLOCKS: WeakKeyDictionary[Net, int] = WeakKeyDictionary()


def in_blocks(
    net: Net, function: Callable[..., Tensor], *arrays: Tensor, wide: bool = False
) -> Tensor:
    """`function` over rows, on the device of the network; see `blockwise`.

    `wide`: it may have many blocks in a call, as it only does what the network does, with no
    products of its own and no random numbers.
    """
    rows = block_of(net)
    most = _wide(net, rows) if wide else rows
    return blockwise(function, *arrays, device=net.device, rows=rows, most=most)


def _wide(net: Net, rows: int) -> int:
    """The most rows of a call, a multiple of `rows`: more of them in a chain of dense layers.

    More than two threads may share out a sigmoid in parts that are no whole vectors.
    """
    parts = [*net.encoder.modules(), *net.decoder.modules()]
    known = (nn.Sequential, nn.Linear, Beside, LinearWay, *backprop.DERIVATIVES)
    plain = all(type(m) in known for m in parts) and not net.bottleneck.state_dict()
    if not plain or net.device.type != "cpu" or torch.get_num_threads() > 2:
        return rows
    return max(VALUES // net.features // rows, 1) * rows


def block_of(net: Net) -> int:
    """How many rows a block of a network has.

    So many that each layer has whole vectors of 32 values: functions such as the sigmoid work
    on what is left over in another way, which differs in the last bit.
    """
    if net not in _BLOCKS:
        _BLOCKS[net] = BLOCK if len(net.input_shape) == 1 else _images_at_once(net)
    return _BLOCKS[net]


def _images_at_once(net: Net) -> int:
    """As many as are fast, of large images one, and of all layers whole vectors."""
    sizes = [net.features, *(math.prod(layer.shape) for layer in trace(net))]
    fast = min(max(LARGE // net.features, 1), IMAGES)
    return max(1 << fast.bit_length() - 1, VECTOR // math.gcd(VECTOR, *sizes))


def blockwise(
    function: Callable[..., Tensor],
    *arrays: Tensor,
    device: torch.device | str,
    rows: int = BLOCK,
    most: int = BLOCK,
) -> Tensor:
    """`function` over whole blocks of so many rows, the last one padded with zeros.

    A call has at `most` so many rows, a multiple of `rows`.
    """
    n = len(arrays[0])
    out: Tensor | None = None
    exact = torch.autocast(torch.device(device).type, enabled=False)
    with torch.inference_mode(), exact, _AlikeRows():
        for start in range(0, max(n, 1), most):
            stop = min(start + most, n)
            block = function(*(_padded(a[start:stop], rows).to(device) for a in arrays))
            if out is None:
                out = torch.empty((n, *block.shape[1:]), dtype=block.dtype)
            out[start:stop] = block[: stop - start]
    assert out is not None
    return out


@contextmanager
def in_threads(count: int) -> Iterator[None]:
    """Let torch compute in `count` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
    few = len(weight)
    if few < FEW:
        weight = F.pad(weight, (0, 0, 0, -few % LANES))
    if input.ndim != 2:
        y = input @ weight.t()
    elif weight.numel() > TINY or len(input) <= BLOCK:
        y = _product(weight, input.t()).t().contiguous()
    else:
        y = torch.cat([_product(weight, part.t()).t() for part in input.split(BLOCK)])
    y = y[..., :few]
    return y if bias is None else y.add_(bias)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """A B of matrices, summed over `LONG` at a time."""
    first, *others = zip(a.split(LONG, 1), b.split(LONG, 0), strict=True)
    y = torch.mm(*first)
    for parts in others:
        y.addmm_(*parts)
    return y


def _padded(part: Tensor, rows: int) -> Tensor:
    """`part` with zeros up to a multiple of `rows`, and to one at least."""
    missing = -len(part) % rows if len(part) else rows
    return torch.cat([part, part.new_zeros(missing, *part.shape[1:])]) if missing else part


def trace(net: Net) -> list[Layer]:
    """The network's layers with the shape of their output (without the batch) and parameters."""
    found: list[Layer] = []
    with torch.inference_mode():
        x = net.shaped(torch.zeros(1, net.features, device=net.device))
        encode = net.encoding(None)
        found += _traced("encoder", net.encoder, lambda: encode(x))
        z = net.bottleneck(encode, x).mean
        if net.bottleneck.sampling:
            found.append(Layer("code", "Sampling", tuple(z.shape[1:]), 0))
        found += _traced("decoder", net.decoder, lambda: net.decoded(z))
        output, last = net.decoder(net.joined(z, None)), net.likelihood.layer()
        found += _traced("decoder", last, lambda: last(output))
    return found


def _traced(
    part: Literal["encoder", "decoder"], module: nn.Module, run: Callable[[], object]
) -> list[Layer]:
    """The leaves of `module` in the order in which a batch passes them when it is run."""
    found: list[Layer] = []

    def note(leaf: nn.Module, _: object, output: Tensor) -> None:
        parameters = sum(p.numel() for p in leaf.parameters())
        found.append(Layer(part, _name(leaf), tuple(output.shape[1:]), parameters))

    with watched([m for m in module.modules() if not any(m.children())], note):
        run()
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
    if isinstance(module, LinearWay):
        return f"+ {name}"
    if isinstance(module, CONVOLUTIONS):
        size = "x".join(map(str, module.kernel_size))
        stride = f" /{module.stride[0]}" if module.stride[0] > 1 else ""
        return f"{name} {size}{stride}"
    return name
