"""The training engine: a module with a loss and a data source, epoch by epoch.

It knows nothing of autoencoders. Within an epoch nothing waits for the device: step losses stay
on it until the epoch ends. All randomness comes from generators made of (seed, purpose, epoch).
"""

import collections.abc
import math
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Generator, Tensor

from diabolo.draw import Pooled
from diabolo.errors import InputError
from diabolo.optim import Optimizer

Learn = Callable[[Tensor, Tensor, Generator, int, float], Tensor]
"""(source, target, generator, step, weight) -> loss of each sample, (B,); sets the parameters'
gradients to those of the losses' sum times the weight."""


class Source(Protocol):
    """Data that can be taken by index."""

    def __len__(self) -> int: ...

    def take(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The (input, target) batches of these rows, on the module's device."""
        ...


class Trainable(Protocol):
    """What the engine asks of a module."""

    def loss(self, source: Tensor, target: Tensor, generator: Generator, step: int) -> Tensor:
        """Loss of each sample, (B,)."""
        ...

    def learner(self) -> Learn | None:
        """`loss` with its gradients written out; None leaves them to autograd."""
        ...

    def train(self) -> object: ...

    def eval(self) -> object: ...


@dataclass(frozen=True)
class Rows:
    """A tensor (N, D) that is its own target."""

    x: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: Tensor) -> tuple[Tensor, Tensor]:
        batch = self.x.index_select(0, index)
        return batch, batch


@dataclass(frozen=True)
class Epoch:
    """What an epoch gave: mean losses per sample, seconds of training, the loss of each step."""

    loss: float
    val_loss: float | None
    seconds: float
    steps: np.ndarray


def generator(
    seed: int, purpose: str, epoch: int = 0, device: str = "cpu", *, pooled: bool = False
) -> Generator:
    """An independent generator for each (seed, purpose, epoch); `pooled` on a CPU only."""
    entropy = np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), epoch])
    state = int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1))
    return (Pooled() if pooled else Generator(device)).manual_seed(state)


def train(
    module: Trainable,
    source: Source,
    optimizer: Optimizer,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    validation: Source | None = None,
    schedule: str = "constant",
    drop_last: bool = False,
    divisor: float = 1.0,
    first_epoch: int = 0,
    precision: str = "float32",
    compiled: bool = False,
    on_step: Callable[[int], object] = lambda rows: None,
) -> collections.abc.Generator[Epoch, None, None]:
    """Train `module` in place, and give an `Epoch` after each, with the module in eval mode.

    The optimiser works on the mean loss of a batch divided by `divisor`. The last, partial batch
    of an epoch is left out with `drop_last`. `on_step` hears the rows of each finished step.
    """
    device, share = optimizer.device, RATES[schedule]
    rows = len(source) // batch_size * batch_size if drop_last else len(source)
    if rows == 0:
        given = f"there are {len(source)} samples for a batch_size of {batch_size}"
        raise InputError(f"drop_last leaves no batch: {given}.")
    steps = math.ceil(rows / batch_size)
    loss_of = torch.compile(module.loss) if compiled else module.loss
    simple = precision != "bf16" and not compiled
    tf32 = precision == "tf32" and device.type == "cuda"
    _keep_freed_memory()
    for epoch in range(first_epoch, first_epoch + epochs):
        start = time.perf_counter()
        module.train()
        noise = generator(seed, "noise", epoch, device.type, pooled=device.type == "cpu")
        order = torch.randperm(len(source), generator=generator(seed, "order", epoch))
        losses = torch.empty(rows, device=device)
        batches = zip(order.to(device).split(batch_size), losses.split(batch_size), strict=False)
        learn = (module.learner() if simple else None) or _autograd(loss_of, device, precision)
        with torch.autocast(device.type, enabled=False), _tf32() if tf32 else nullcontext():
            for step, (index, kept) in enumerate(batches, epoch * steps):
                loss = learn(*source.take(index), noise, step, 1 / (len(index) * divisor))
                optimizer.step(learning_rate * share((step / steps - first_epoch) / epochs))
                kept.copy_(loss)
                on_step(len(index))
        losses = losses.cpu().double()
        seconds = time.perf_counter() - start
        module.eval()
        val_loss = None
        if validation is not None:
            val_loss = mean_loss(module, validation, generator(seed, "check", 0, device.type))
        per_step = np.array([float(batch.mean()) for batch in losses.split(batch_size)])
        yield Epoch(float(losses.mean()), val_loss, seconds, per_step)


def _autograd(loss_of: Callable[..., Tensor], device: torch.device, precision: str) -> Learn:
    """`loss_of` with the gradients that autograd finds; its products in bf16 if asked for."""

    def learn(
        source: Tensor, target: Tensor, generator: Generator, step: int, weight: float
    ) -> Tensor:
        with torch.autocast(
            device.type, torch.bfloat16, enabled=precision == "bf16", cache_enabled=False
        ):
            loss = loss_of(source, target, generator, step)
        loss.backward(torch.full_like(loss, weight))
        return loss.detach()

    return learn


def mean_loss(module: Trainable, source: Source, noise: Generator, rows: int = 1024) -> float:
    """The mean loss per sample over a source, without training."""
    with torch.inference_mode():
        sums = [
            module.loss(*source.take(index), noise, 0).sum()
            for index in torch.arange(len(source), device=noise.device).split(rows)
        ]
        return float(torch.stack(sums).sum()) / len(source)


def _half_cosine(t: float) -> float:
    """From 1 at t = 0 to 0 at t = 1."""
    return (1 + math.cos(math.pi * t)) / 2


def _one_cycle(t: float) -> float:
    """From 1/25 up to 1 in the first 30 %, then down to 0 (Smith and Topin 2018)."""
    rise = 0.3
    if t < rise:
        return 1 - 0.96 * _half_cosine(t / rise)
    return _half_cosine((t - rise) / (1 - rise))


RATES: dict[str, Callable[[float], float]] = {  # share of the peak rate, by share of the training
    "constant": lambda t: 1.0,
    "one_cycle": _one_cycle,
    "cosine": _half_cosine,
}


@contextmanager
def _tf32() -> Iterator[None]:
    """CUDA's float32 products in tf32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _keep_freed_memory() -> None:
    """Have the C library keep freed blocks of up to 31 MiB for the next batch.

    glibc returns blocks larger than the largest one freed so far to the system, and each of a
    step's temporaries would have its pages mapped and cleared anew (mallopt(3)).
    """
    torch.empty(31 << 20, dtype=torch.uint8)
