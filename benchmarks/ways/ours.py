"""This library, as a recipe trains it, on the stored uint8 images."""

from typing import Any

from benchmarks.task import Result, Task, rates
from diabolo.models import MODELS
from diabolo.params import from_config


def train(task: Task) -> Result:
    """`fit`."""
    model = fitted(task, task.epochs, task.images)
    parameters = sum(p.numel() for p in model.net_.parameters())
    return Result(model.history_["seconds"], model.history_["loss"][-1], parameters)


def infer(task: Task) -> dict[str, float]:
    """`transform` and `reconstruct`."""
    model = fitted(task, 1, task.images[: task.batch_size])
    return rates(model.transform, model.reconstruct, task.images)


def fitted(task: Task, epochs: int, x: Any) -> Any:
    """The recipe's model, fitted on x."""
    return from_config(task.model | {"epochs": epochs, "random_state": task.seed}, MODELS).fit(x)
