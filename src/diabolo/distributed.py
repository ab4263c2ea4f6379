"""Training by the processes that `torchrun` starts, with PyTorch's distributed package.

Every process has the whole data and the whole net. All draw the noise of a whole batch, alike, and
each takes the loss and the gradients of its share of the rows, which are then summed: one step
sums one vector, the gradients with the losses beside them. So every process knows what one process
alone would know, up to rounding, and rank 0 alone can write it. Without the environment variables
of torchrun nothing here does anything.
"""

import atexit
import hashlib
import json
import os
import signal
import threading
from collections.abc import Mapping
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from diabolo.errors import InputError

LOST = (
    "A process of the training was lost, so that it ended: diabolo fit --resume DIR, under"
    " torchrun again, goes on from its last checkpoint."
)


def size() -> int:
    """How many processes train together."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def rank() -> int:
    """The number of this process among them, from 0."""
    return int(os.environ["RANK"]) if size() > 1 else 0


def place(device: torch.device) -> torch.device:
    """The device of this process, of those of the kind: each has its own where they suffice."""
    if size() == 1 or device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())


def join(device: torch.device) -> None:
    """Meet the other processes; gloo on CPUs and where processes share a GPU, else NCCL."""
    if size() == 1 or torch.distributed.is_initialized():
        return
    own = device.type == "cuda" and (
        int(os.environ["LOCAL_WORLD_SIZE"]) <= torch.cuda.device_count()
    )
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _ended)
    if own:
        torch.cuda.set_device(device)
    atexit.register(leave)
    try:
        torch.distributed.init_process_group("nccl" if own else "gloo")
    except RuntimeError:
        raise InputError(LOST) from None


def leave() -> None:
    """Part from the other processes."""
    if size() > 1 and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _ended(*_: Any) -> NoReturn:
    """What torchrun does to the processes that are left when one was lost; rank 0 says it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if rank():
        raise SystemExit(2)
    raise InputError(LOST)


def check_alike(device: torch.device, **facts: Any) -> None:
    """Refuse processes that are to train on other data, say, than rank 0; by JSON values."""
    if size() == 1:
        return
    own = torch.stack([_digest(value) for value in facts.values()]).to(device)
    whole = own.new_zeros(size(), *own.shape)
    whole[rank()] = own
    total(whole)
    for other, theirs in enumerate(whole):
        for name, same in zip(facts, (theirs == whole[0]).all(1).tolist(), strict=True):
            if not same:
                raise InputError(
                    f"Rank {other} has another {name} than rank 0: give every process the same."
                )


def _digest(value: Any) -> Tensor:
    text = json.dumps(value, sort_keys=True)
    return torch.tensor([*hashlib.sha256(text.encode()).digest()])


def check_module(module: nn.Module, *, learns_beside: bool) -> None:
    """Refuse what cannot learn from shares of a batch."""
    if size() == 1:
        return
    normed = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in module.modules())
    if learns_beside or normed:
        raise InputError(
            "This model learns from whole batches beside its loss (a codebook, a critic, batch"
            " statistics), which processes do not share: fit it without torchrun."
        )


def share(rows: int) -> slice:
    """Which rows of a batch this process takes."""
    return slice(rank() * rows // size(), (rank() + 1) * rows // size())


def total(tensor: Tensor) -> Tensor:
    """Sum a tensor over the processes, in place."""
    try:
        torch.distributed.all_reduce(tensor)
    except RuntimeError:
        raise InputError(LOST) from None
    return tensor


def from_first(tensors: Mapping[str, Tensor]) -> None:
    """Give every process the tensors of rank 0, in place."""
    if size() == 1:
        return
    for _, tensor in sorted(tensors.items()):
        if tensor.numel():
            total(tensor if rank() == 0 else tensor.zero_())


class Sums:
    """Sums the gradients of parameters, and the losses of up to `rows` samples, by one call."""

    def __init__(self, parameters: list[nn.Parameter], rows: int) -> None:
        self.parameters = parameters
        self.buffer = parameters[0].new_empty(sum(p.numel() for p in parameters) + rows)

    @torch.no_grad()
    def __call__(self, own: Tensor, rows: int) -> Tensor:
        """The losses (B,) of the whole batch, of those (b,) of the share; gradients in place."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        sizes = [g.numel() for g in gradients]
        losses = own.new_zeros(rows)
        losses[share(rows)] = own
        buffer = self.buffer[: sum(sizes) + rows]
        torch.cat([*(g.reshape(-1) for g in gradients), losses], out=buffer)
        *parts, whole = total(buffer).split([*sizes, rows])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))  # in the order in which it lies in memory
        return whole
