"""A model file -> the fitted model."""

from pathlib import Path
from typing import Any

from diabolo import store
from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.models import MODELS
from diabolo.params import from_config


def load(path: str | Path, *, device: str = "auto", network: Any = None) -> Estimator:
    """Read the model that `save` wrote. Runs no code from the file.

    A model of an own pair of modules is given that pair again as `network`: its weights are
    overwritten. Raises `InputError` where the file is no model of ours or does not fit itself.
    """
    config, tensors = store.read(path)
    try:
        if config["custom_network"] and network is None:
            raise InputError(f"{path} has a network of its own: give load(..., network=pair).")
        model = from_config(config["model"], MODELS)
        model.set_params(device=device, **({} if network is None else {"network": network}))
        model._restore(config, tensors)
    except (KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"{path} is damaged: {str(error).splitlines()[0]}") from None
    return model
