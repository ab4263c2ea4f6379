"""PyOD's `AutoEncoder`, without batch normalisation, dropout, standardisation or decay."""

from typing import Any

import numpy as np
from pyod.models.auto_encoder import AutoEncoder

from benchmarks.task import Laps, Result, Task


def train(task: Task) -> Result:
    """The epochs of `fit`; the loss is of the scores that it gives the training data at last."""
    model = Timed(
        lr=task.rate,
        epoch_num=task.epochs,
        batch_size=task.batch_size,
        optimizer_params={"weight_decay": 0, "adam_eps": task.epsilon},
        hidden_neuron_list=list(task.half[1:]),
        batch_norm=False,
        dropout_rate=0,
        preprocessing=False,
        verbose=0,
        random_state=task.seed,
    )
    model.fit(task.scaled(task.images))
    loss = float(np.mean(model.decision_scores_**2)) / 784
    differs = "no partial batch, linear output"
    differs += ", squared error instead of cross-entropy" if task.bernoulli else ""
    differs += ", no noise" if task.std else ""
    parameters = sum(p.numel() for p in model.model.parameters())
    return Result(model.laps.seconds, loss, parameters, differs=differs)


class Timed(AutoEncoder):
    """Times the epochs."""

    def train(self, train_loader: Any) -> None:
        """All epochs."""
        self.laps = Laps()
        self.laps.start()
        super().train(train_loader)

    def epoch_update(self) -> None:
        """What PyOD calls after each epoch."""
        self.laps.stop()
        self.laps.start()
