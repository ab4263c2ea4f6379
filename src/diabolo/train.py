"""The training engine: a module with a loss and a data source, epoch by epoch.

It knows nothing of autoencoders. Within an epoch nothing waits for the device: step losses stay
on it until the epoch ends. All randomness comes from generators made of (seed, purpose, epoch).
"""

import ctypes
import gc
import math
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import KW_ONLY, dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Generator, Tensor, nn

from diabolo import distributed
from diabolo.data.source import Batch, Source, taken
from diabolo.draw import Pooled, Shared, restore, state_of
from diabolo.errors import InputError
from diabolo.optim import Optimizer

OPTIMIZER, NOISE, WEIGHTS = "optimizer ", "noise ", "weights "  # prefixes in a state

Learn = Callable[[Batch, Generator, int, float], Tensor]
"""(batch, generator, step, weight) -> loss of each sample, (B,); sets the parameters' gradients to
those of the losses' sum times the weight."""


class Trainable(Protocol):
    """What the engine asks of a module."""

    def loss(self, batch: Batch, generator: Generator, step: int) -> Tensor:
        """Loss of each sample, (B,)."""
        ...

    def learner(self) -> Learn | None:
        """`loss` with its gradients written out; None leaves them to autograd."""
        ...

    def after_step(self, generator: Generator, step: int) -> object:
        """What is learnt beside the loss."""
        ...

    def train(self) -> object: ...

    def eval(self) -> object: ...


@dataclass(frozen=True)
class Epoch:
    """What an epoch gave: mean losses per sample, seconds of training, the loss of each step."""

    loss: float
    val_loss: float | None
    seconds: float
    steps: np.ndarray


def prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, with a prefix to their names."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names have a prefix, by what follows it."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def generator(
    seed: int, purpose: str, epoch: int = 0, device: str = "cpu", *, pooled: bool = False
) -> Shared:
    """An independent generator for each (seed, purpose, epoch); `pooled` on a CPU only."""
    entropy = np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), epoch])
    state = int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1))
    made = Pooled() if pooled else Shared(device)
    made.manual_seed(state)
    return made


@dataclass
class Training:
    """The training of a module, in place: iterating trains, and gives an `Epoch` after each.

    The module is then in eval mode. The optimiser works on the mean loss of a batch divided by
    `divisor`. The last, partial batch of an epoch is left out with `drop_last`. `on_step` hears
    the rows of each finished step. Between two steps the `state` can be kept, and restored in
    another training of the same module and data, which then goes on as this one would have.
    """

    module: Trainable
    source: Source
    optimizer: Optimizer
    _: KW_ONLY
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    validation: Source | None = None
    schedule: str = "constant"
    drop_last: bool = False
    divisor: float = 1.0
    first_epoch: int = 0
    precision: str = "float32"
    compiled: bool = False
    on_step: Callable[[int], object] = lambda rows: None

    def __post_init__(self) -> None:
        rows, size = len(self.source), self.batch_size
        if self.drop_last and rows < size:
            given = f"there are {rows} samples for a batch_size of {size}"
            raise InputError(f"drop_last leaves no batch: {given}.")
        rows = rows // size * size if self.drop_last else rows
        self.device = self.optimizer.device
        self.steps = math.ceil(rows / size)
        self.losses = torch.empty(rows, device=self.device)
        self.epoch, self.step, self.start = self.first_epoch, 0, 0.0
        self.noise = self._noise()
        _keep_freed_memory()

    def __iter__(self) -> Iterator[Epoch]:
        with _compiled(self.module) if self.compiled else nullcontext():
            while self.epoch < self.first_epoch + self.epochs:
                yield self._epoch()

    @property
    def trained(self) -> int:
        """Rows that this training has taken steps on so far."""
        whole = (self.epoch - self.first_epoch) * len(self.losses)
        return whole + min(self.step * self.batch_size, len(self.losses))

    def state(self) -> dict[str, Tensor]:
        """Where the training is, apart from the module's own state."""
        seconds = time.perf_counter() - self.start if self.step else 0.0
        position = {
            "position": torch.tensor([self.epoch, self.step]),
            "seconds": torch.tensor(seconds, dtype=torch.float64),
        }
        optimizer = prefixed(OPTIMIZER, self.optimizer.tensors())
        if self.step == 0:
            return position | optimizer
        noise = prefixed(NOISE, state_of(self.noise))
        done = self.losses[: self.step * self.batch_size]
        return position | optimizer | noise | {"losses": done}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state`; of another training, raises KeyError, Value- or RuntimeError."""
        self.epoch, self.step = map(int, state["position"].tolist())
        done = self.epoch - self.first_epoch
        if not (0 <= done <= self.epochs and 0 <= self.step <= self.steps):
            raise ValueError("it stands at no step of this training")
        self.start = time.perf_counter() - float(state["seconds"])
        kept = under(OPTIMIZER, state)
        for name, tensor in self.optimizer.tensors().items():
            tensor.copy_(kept[name])
        self.noise = self._noise()
        if self.step:
            self.losses[: self.step * self.batch_size] = state["losses"].to(self.device)
            restore(self.noise, under(NOISE, state))

    def _noise(self) -> Shared:
        kind = self.device.type
        return generator(self.seed, "noise", self.epoch, str(self.device), pooled=kind == "cpu")

    def _epoch(self) -> Epoch:
        """Train to the end of the epoch, and take its losses together."""
        if self.step == 0:
            self.start, self.noise = time.perf_counter(), self._noise()
        self.module.train()
        tf32 = self.precision == "tf32" and self.device.type == "cuda"
        with torch.autocast(self.device.type, enabled=False), _tf32() if tf32 else nullcontext():
            self._steps()
        losses = self.losses.cpu().double()
        seconds = time.perf_counter() - self.start
        self.epoch, self.step = self.epoch + 1, 0
        self.module.eval()
        checked = self.check()
        if checked is not None:
            checked = checked.clone()  # which inference mode has made
            distributed.from_first({"val_loss": checked})
        val_loss = None if checked is None else float(checked.sum()) / len(checked)
        per_step = np.array([float(batch.mean()) for batch in losses.split(self.batch_size)])
        return Epoch(float(losses.mean()), val_loss, seconds, per_step)

    def check(self) -> Tensor | None:
        """The losses of the samples to validate on, where there are some."""
        if self.validation is None:
            return None
        noise = generator(self.seed, "check", 0, self.device.type)
        return losses(self.module, self.validation, noise)

    def _steps(self) -> None:
        """The steps of the epoch that are still to do."""
        order = torch.randperm(
            len(self.source), generator=generator(self.seed, "order", self.epoch)
        )
        batches = order.to(self.device).split(self.batch_size)
        kept = self.losses.split(self.batch_size)
        simple = self.precision != "bf16" and not self.compiled
        learn = (self.module.learner() if simple else None) or _autograd(
            self.module.loss, self.device, self.precision
        )
        together = None
        if distributed.size() > 1:
            together = distributed.Sums(self.optimizer.parameters, self.batch_size)
        begun = self.step
        samples = taken(self.source, batches[begun : self.steps])
        for step, batch in enumerate(samples, start=begun):
            index, number = batches[step], self.epoch * self.steps + step
            weight = 1 / (len(index) * self.divisor)
            if together is not None:
                self.noise.share, self.noise.rows = distributed.share(len(index)), len(index)
            loss = learn(batch, self.noise, number, weight)
            if together is not None:
                loss = together(loss, len(index))
            done = (number / self.steps - self.first_epoch) / self.epochs
            self.optimizer.step(self.learning_rate * RATES[self.schedule](done))
            self.module.after_step(self.noise, number)
            kept[step].copy_(loss)
            self.step = step + 1
            self.on_step(len(index))


class Best:
    """Keeps a module's weights of the best epoch (without validation: the last finished one)."""

    def __init__(self, module: nn.Module, patience: int | None) -> None:
        self.module, self.patience = module, patience
        self.loss, self.waited = math.inf, 0
        self.weights: dict[str, Tensor] = {}

    def see(self, val_loss: float | None) -> None:
        """Keep the weights if they are the best so far."""
        if val_loss is not None and not val_loss < self.loss:
            self.waited += 1
            return
        self.waited = 0
        if val_loss is not None:
            self.loss = val_loss
        self.weights = {name: t.detach().clone() for name, t in self.module.state_dict().items()}

    @property
    def exhausted(self) -> bool:
        """Whether there was no better epoch for too long."""
        return self.patience is not None and self.waited >= self.patience

    def put_back(self) -> None:
        """Give the module the weights of the best epoch, if there was one."""
        if self.weights:
            self.module.load_state_dict(self.weights)

    def state(self) -> dict[str, Tensor]:
        """What it knows."""
        seen = torch.tensor([self.loss, self.waited], dtype=torch.float64)
        return {"seen": seen} | prefixed(WEIGHTS, self.weights)

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state`. Raises KeyError or RuntimeError where it is another module's."""
        self.loss, self.waited = float(state["seen"][0]), int(state["seen"][1])
        if kept := under(WEIGHTS, state):
            own = self.module.state_dict()
            self.weights = {name: t.clone().copy_(kept[name]) for name, t in own.items()}


@contextmanager
def _compiled(net: Any) -> Iterator[None]:
    """Encoder and decoder are compiled meanwhile: the whole loss draws, which none can compile."""
    parts = net.encoder, net.decoder
    for part in parts:
        part.compile()
    try:
        yield
    finally:
        for part in parts:
            part._compiled_call_impl = None  # as it was before `compile`


def _autograd(loss_of: Callable[..., Tensor], device: torch.device, precision: str) -> Learn:
    """`loss_of` with the gradients that autograd finds; its products in bf16 if asked for."""

    def learn(batch: Batch, generator: Generator, step: int, weight: float) -> Tensor:
        with torch.autocast(
            device.type, torch.bfloat16, enabled=precision == "bf16", cache_enabled=False
        ):
            loss = loss_of(batch, generator, step)
        (loss.sum() * weight).backward()
        return loss.detach()

    return learn


def split(
    source: Source, validation: Source | None, p: Any, seed: int
) -> tuple[Source, Source | None]:
    """Training and validation samples; `p` has `validation_fraction` and `early_stopping`.

    Raises `InputError` where one of them would have none.
    """
    share = p.validation_fraction
    if validation is not None:
        if share:
            raise InputError("Give X_val or validation_fraction, not both.")
        return source, validation
    if share == 0:
        if p.early_stopping:
            raise InputError("early_stopping needs X_val or a validation_fraction.")
        return source, None
    held = round(len(source) * share)
    if held in (0, len(source)):
        raise InputError(
            f"A validation_fraction of {share:g} leaves none of {len(source)} samples to"
            f" {'train' if held else 'validate'} on: give more samples, or X_val."
        )
    order = torch.randperm(len(source), generator=generator(seed, "split"))
    validation, source = source.split(order[:held], order[held:])
    return source, validation


def losses(module: Trainable, source: Source, noise: Generator, rows: int = 1024) -> Tensor:
    """The loss of each sample of a source, (N,), without training."""
    with torch.inference_mode():
        blocks = torch.arange(len(source), device=noise.device).split(rows)
        return torch.cat([module.loss(source.take(index), noise, 0) for index in blocks])


def _half_cosine(t: float) -> float:
    """From 1 at t = 0 to 0 at t = 1."""
    return (1 + math.cos(math.pi * t)) / 2


def _one_cycle(t: float) -> float:
    """From 1/25 up to 1 in the first 30 %, then down to 0 (Smith and Topin 2018)."""
    rise = 0.3
    if t < rise:
        return 1 - 0.96 * _half_cosine(t / rise)
    return _half_cosine((t - rise) / (1 - rise))


def _trapezoid(t: float) -> float:
    """From 1/25 up to 1 in the first 10 %, then as it is, in the last 20 % down to 0.

    A. Hägele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations",
    2024, section 3.
    """
    return min(1.0, 0.04 + 0.96 * t / 0.1, (1 - t) / 0.2)


RATES: dict[str, Callable[[float], float]] = {  # share of the peak rate, by share of the training
    "constant": lambda t: 1.0,
    "one_cycle": _one_cycle,
    "cosine": _half_cosine,
    "trapezoid": _trapezoid,
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


def give_back_memory() -> None:
    """Free what only refers to itself; a glibc then returns what it has kept for a next batch."""
    gc.collect()
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
