"""A fit under way: its epochs, the best weights so far, its checkpoints, and what stops it.

A checkpoint is a model file, which any use of a model can read, with the state of the training
beside it. A fit that goes on from one ends with the weights and the history, to the bit, that it
would have had without the interruption.
"""

from collections.abc import Callable, Generator
from typing import Any

from torch import Tensor

from diabolo.doctor import Finding
from diabolo.errors import InputError
from diabolo.net import Net
from diabolo.progress import Progress
from diabolo.store import Checkpoints, Contents, checksum
from diabolo.train import Best, Epoch, Training, prefixed, under

STATE, BEST = "training ", "best "  # prefixes of the tensors that are not the model's
FREE = {"device", "verbose", "warm_start"}  # parameters that may differ when a fit goes on


class Fit:
    """A training with what surrounds it.

    `contents` gives the model file of the net as it is; `trouble` says what is so wrong about an
    epoch that training stops.
    """

    def __init__(
        self,
        net: Net,
        training: Training,
        best: Best,
        *,
        checkpoints: Checkpoints | None,
        contents: Callable[[], Contents],
        trouble: Callable[[Epoch], Finding | None],
    ) -> None:
        self.net, self.training, self.best = net, training, best
        self.checkpoints, self.contents, self.trouble = checkpoints, contents, trouble
        self.stopped: Finding | None = None
        self.kept: tuple[int, int] | None = None  # the epoch and step of the last checkpoint
        self.origin: dict[str, Any] = {}
        if checkpoints is not None:
            start = checksum(net.state_dict())
            self.origin = {"first_epoch": training.first_epoch, "weights_sha256": start}

    def resume(self, checkpoint: Contents, model: dict[str, Any], data: dict[str, Any]) -> None:
        """Go on from a checkpoint; refuses one of other parameters, data or first weights."""
        config, tensors = checkpoint
        _check_parameters(config["model"], model)
        if config["data"] != data:
            raise InputError(
                "The checkpoint is of a training on other data: give those, or another folder."
            )
        if config["training"] != self.origin:
            raise InputError(
                "The checkpoint is of a training that began with other weights: give another"
                " folder, or remove it."
            )
        self.net.load_state_dict({name: tensors[name] for name in self.net.state_dict()})
        self.best.restore(under(BEST, tensors))
        self.training.restore(under(STATE, tensors))
        self.kept = self.training.epoch, self.training.step

    def epochs(self, progress: Progress) -> Generator[Epoch, None, None]:
        """Train on, and give each epoch once its weights are in the net.

        After trouble the net has the best weights so far, and `stopped` says what it was; raises
        `InputError` where there are none yet.
        """

        def step(rows: int) -> None:
            progress.step(rows)
            if self._due(within_epoch=True):
                self._keep()

        self.training.on_step = step
        if self.kept is None:
            self._keep()
        for epoch in () if self.best.exhausted else self.training:
            self.stopped = self.trouble(epoch)
            if self.stopped is not None:
                if not self.best.weights:
                    raise InputError(f"{self.stopped.what} {self.stopped.fix}")
                self.best.put_back()
                return
            self.best.see(epoch)
            yield epoch
            if self._due(within_epoch=False):
                self._keep()
            if self.best.exhausted:
                break
        self._keep()

    def _due(self, *, within_epoch: bool) -> bool:
        return self.checkpoints is not None and self.checkpoints.due(within_epoch=within_epoch)

    def _keep(self) -> None:
        """Write a checkpoint, unless there is one or the weights are of no use any more."""
        now = self.training.epoch, self.training.step
        if self.checkpoints is None or self.kept == now or not self.net.finite:
            return
        training = self.net.training
        self.checkpoints.write(self._contents)
        self.net.train(training)
        self.kept = now

    def _contents(self) -> Contents:
        config, tensors = self.contents()
        state = prefixed(STATE, self.training.state()) | prefixed(BEST, self.best.state())
        return config | {"training": self.origin}, tensors | state


def only_model(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a model file without what a checkpoint has beside them."""
    return {n: t for n, t in tensors.items() if not n.startswith((STATE, BEST))}


def _check_parameters(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    for name in ["kind", *sorted({*ours, *theirs} - FREE)]:
        if ours.get(name) != theirs.get(name):
            raise InputError(
                f"The checkpoint is of another training, whose {name} is {theirs.get(name)!r} and"
                f" not {ours.get(name)!r}: give another folder, or remove it."
            )
