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
from diabolo.store import Checkpoints
from diabolo.train import Best, Epoch, Training

Contents = tuple[dict[str, Any], dict[str, Tensor]]
TRAINING, BEST = "training ", "best "  # prefixes of the tensors that are not the model's


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

    def resume(self, tensors: dict[str, Tensor]) -> None:
        """Go on from a checkpoint's tensors."""
        self.net.load_state_dict({name: tensors[name] for name in self.net.state_dict()})
        self.best.restore(_without(BEST, tensors))
        self.training.restore(_without(TRAINING, tensors))

    def epochs(self, progress: Progress) -> Generator[Epoch, None, None]:
        """Train on, and give each epoch once its weights are in the net.

        After trouble the net has the best weights so far, and `stopped` says what it was; raises
        `InputError` where there are none yet.
        """

        def step(rows: int) -> None:
            progress.step(rows)
            if self.checkpoints is not None and self.checkpoints.due(within_epoch=True):
                self._keep()

        self.training.on_step = step
        if self.training.trained == 0:
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
            if self.checkpoints is not None and self.checkpoints.due(within_epoch=False):
                self._keep()
            if self.best.exhausted:
                break
        self._keep()

    def _keep(self) -> None:
        """Write a checkpoint, unless the weights are of no use any more."""
        finite = all(bool(p.isfinite().all()) for p in self.net.parameters())
        if self.checkpoints is None or not finite:
            return
        training = self.net.training
        config, tensors = self.contents()
        config["training"] = {"first_epoch": self.training.first_epoch}
        state = _with(TRAINING, self.training.state()) | _with(BEST, self.best.state())
        self.checkpoints.write(config, tensors | state)
        self.net.train(training)


def only_model(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a model file without what a checkpoint has beside them."""
    return {n: t for n, t in tensors.items() if not n.startswith((TRAINING, BEST))}


def _with(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _without(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under a prefix, by their names after it."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
