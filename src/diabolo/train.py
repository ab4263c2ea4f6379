"""The training engine: a module with a loss and a data source, epoch by epoch.

It knows nothing of autoencoders. Within an epoch nothing waits for the device: step losses stay
on it until the epoch ends. All randomness comes from generators made of (seed, purpose, epoch).
"""

import collections.abc
import time
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from diabolo.errors import InputError


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


def generator(seed: int, purpose: str, epoch: int = 0, device: str = "cpu") -> Generator:
    """An independent generator for each (seed, purpose, epoch)."""
    entropy = np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), epoch])
    state = int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1))
    return Generator(device).manual_seed(state)


def train(
    module: Trainable,
    source: Source,
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int,
    batch_size: int,
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

    The optimiser is handed the mean loss of a batch divided by `divisor`. The last, partial batch
    of an epoch is left out with `drop_last`. `on_step` hears the rows of each finished step.
    """
    n, device = len(source), optimizer.param_groups[0]["params"][0].device
    steps = n // batch_size if drop_last else -(-n // batch_size)
    if steps == 0:
        raise InputError(
            f"drop_last leaves no batch: there are {n} samples for a batch_size of {batch_size}."
        )
    scheduler = _scheduler(schedule, optimizer, steps * epochs)
    loss_of = torch.compile(module.loss) if compiled else module.loss
    for epoch in range(first_epoch, first_epoch + epochs):
        start = time.perf_counter()
        module.train()
        noise = generator(seed, "noise", epoch, device.type)
        order = torch.randperm(n, generator=generator(seed, "order", epoch)).to(device)
        losses = torch.empty(steps, device=device)
        rows = min(steps * batch_size, n)
        for step, index in enumerate(order[:rows].split(batch_size)):
            with _autocast(device, precision):
                loss = loss_of(*source.take(index), noise, epoch * steps + step).mean()
            optimizer.zero_grad()
            (loss / divisor).backward()
            optimizer.step()
            scheduler.step()
            losses[step] = loss.detach()
            on_step(len(index))
        per_step = losses.cpu().numpy()
        seconds = time.perf_counter() - start
        sizes = np.full(steps, batch_size)
        sizes[-1] = rows - (steps - 1) * batch_size
        module.eval()
        val_loss = None
        if validation is not None:
            val_loss = mean_loss(module, validation, generator(seed, "check", 0, device.type))
        yield Epoch(float(np.average(per_step, weights=sizes)), val_loss, seconds, per_step)


def mean_loss(module: Trainable, source: Source, noise: Generator, rows: int = 1024) -> float:
    """The mean loss per sample over a source, without training."""
    with torch.inference_mode():
        sums = [
            module.loss(*source.take(index), noise, 0).sum()
            for index in torch.arange(len(source), device=noise.device).split(rows)
        ]
        return float(torch.stack(sums).sum()) / len(source)


def make_optimizer(
    name: str, module: nn.Module, learning_rate: float, epsilon: float
) -> torch.optim.Optimizer:
    """Adam, AdamW or SGD with momentum 0.9 over the module's parameters, in their fused form."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    match name:
        case "adam":
            return torch.optim.Adam(parameters, learning_rate, eps=epsilon, fused=True)
        case "adamw":
            return torch.optim.AdamW(parameters, learning_rate, eps=epsilon, fused=True)
        case _:
            return torch.optim.SGD(parameters, learning_rate, momentum=0.9, fused=True)


def _scheduler(name: str, optimizer: torch.optim.Optimizer, steps: int) -> LRScheduler:
    peak = optimizer.param_groups[0]["lr"]
    match name:
        case "one_cycle":
            return OneCycleLR(optimizer, peak, total_steps=steps + 1, cycle_momentum=False)
        case "cosine":
            return CosineAnnealingLR(optimizer, steps)
        case _:
            return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)


def _autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)
