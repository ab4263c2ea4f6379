"""What may go on from what: refusals of a warm start, and of a checkpoint to resume from."""

from pathlib import Path
from typing import Any

from diabolo.errors import InputError
from diabolo.params import Seed, check
from diabolo.store import Checkpoints, Contents

FREE = {"device", "verbose", "warm_start"}  # parameters that may differ when a fit goes on
NEW = "none"  # of a parameter that an older file does not know
TRAINING = FREE | {  # and those that may change in a warm start
    "corruption",
    "epochs",
    "batch_size",
    "drop_last",
    "optimizer",
    "learning_rate",
    "epsilon",
    "schedule",
    "validation_fraction",
    "early_stopping",
    "precision",
    "compile",
    "random_state",
}


def as_checkpoints(given: Any) -> Checkpoints | None:
    """What is given as `checkpoint`: nothing, a folder, or what keeps them."""
    if given is None or isinstance(given, Checkpoints):
        return given
    if not isinstance(given, str | Path) or not str(given):
        raise InputError(f"checkpoint must be the name of a folder, but is {given!r}.")
    return Checkpoints(given)


def kept_seed(kept: Contents) -> int:
    """The seed of a checkpoint."""
    return int(check("The seed of the checkpoint", Seed, kept[0].get("seed")))


def check_same_model(config: dict[str, Any], fitted: dict[str, Any]) -> None:
    """Refuse a warm start of a model other than the fitted one."""
    for name, value in config.items():
        if name not in TRAINING and value != fitted.get(name, NEW):
            raise InputError(
                f"{name} cannot change in a warm start: set it back to {fitted.get(name)!r}, or"
                " set warm_start=False."
            )


def check_parameters(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """Refuse a checkpoint of other parameters."""
    for name in ["kind", *sorted({*ours, *theirs} - FREE)]:
        if ours.get(name) != theirs.get(name, NEW):
            raise InputError(
                f"The checkpoint is of another training, whose {name} is {theirs.get(name)!r} and"
                f" not {ours.get(name)!r}: give another folder, or remove it."
            )


def check_origin(config: dict[str, Any], data: dict[str, Any], origin: dict[str, Any]) -> None:
    """Refuse a checkpoint of a training on other data, or that began with other weights."""
    if config["data"] != data:
        raise InputError(
            "The checkpoint is of a training on other data: give those, or another folder."
        )
    if config["training"] != origin:
        raise InputError(
            "The checkpoint is of a training that began with other weights: give another"
            " folder, or remove it."
        )
