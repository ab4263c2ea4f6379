"""A model file -> the fitted model."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Len
from pydantic import BaseModel, ConfigDict, ValidationError

from diabolo import store
from diabolo.errors import InputError
from diabolo.estimator import Count, Estimator, find_device
from diabolo.fitting import only_model
from diabolo.models import MODELS
from diabolo.params import check, from_config


class _Header(BaseModel):
    """What the header of a model file must hold."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    model: dict[str, Any]
    custom_network: bool
    sample_shape: Annotated[list[Count], Len(1, 3)]
    image_shape: Annotated[list[Count], Len(3, 3)] | None
    dtype: Literal["bool", "uint8", "uint16", "float32"]
    feature_names: list[str]
    columns: list[str] | None = None
    seed: Annotated[int, Ge(0)]
    history: dict[str, list[int | float | None]]
    layers: list[dict[str, Any]]
    data: dict[str, int | str] = {}
    findings: list[Annotated[list[str], Len(3, 3)]] = []
    metrics: dict[str, Any] = {}
    versions: dict[str, str] = {}
    training: dict[str, int | str] = {}


def load(path: str | Path, *, device: str = "auto", network: Any = None) -> Estimator:
    """Read the model that `save` wrote. Runs no code from the file.

    A model of an own pair of modules is given that pair again as `network`, whose weights do not
    matter. Raises `InputError` where the file is no model of ours or does not fit itself.
    """
    find_device(check("device", str, device))
    config, tensors = store.read(path)
    try:
        header = _Header.model_validate(config)
    except ValidationError as error:
        entry = error.errors()[0]["loc"][0]
        raise InputError(f"{path} is damaged: its header has no valid {entry}.") from None
    if header.image_shape and math.prod(header.image_shape) != math.prod(header.sample_shape):
        raise InputError(f"{path} is damaged: its shapes do not agree.")
    if header.custom_network and network is None:
        raise InputError(f"{path} has a network of its own: give load(..., network=pair).")
    if len({len(values) for values in header.history.values()}) > 1:
        raise InputError(f"{path} is damaged: its history is uneven.")
    for names in (header.feature_names, header.columns or []):
        if names and len(names) != math.prod(header.sample_shape):
            raise InputError(f"{path} is damaged: it has too many or too few names of columns.")
    model = from_config(header.model, MODELS)
    assert isinstance(model, Estimator)
    model.set_params(device=device, **({} if network is None else {"network": network}))
    try:
        model._restore(header.model_dump(), only_model(tensors))
    except (KeyError, IndexError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise InputError(f"{path} is damaged: {str(error).splitlines()[0]}") from None
    return model
