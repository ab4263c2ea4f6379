"""A model file -> the fitted model, or the detector or sampler that was saved with it."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Len
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from diabolo import store
from diabolo.errors import InputError
from diabolo.estimator import Count, Estimator, find_device
from diabolo.fitting import only_model
from diabolo.models import MODELS
from diabolo.params import UnknownKindError, check, from_config
from diabolo.tasks import anomaly, sampling
from diabolo.tasks.anomaly import AnomalyDetector
from diabolo.tasks.sampling import LatentSampler
from diabolo.train import under

FAST = Field(fail_fast=True)  # a list of a million mistakes has one error
Names = Annotated[list[str], FAST]
Text = Annotated[str, Len(0, 1000)]
Plain = Text | int | float | bool
TASKS: dict[str, tuple[str, Any]] = {  # entry: prefix of its tensors, and its class
    "detector": (anomaly.PREFIX, AnomalyDetector),
    "sampler": (sampling.PREFIX, LatentSampler),
}
Listed = Plain | Annotated[list[Plain], Len(0, 1000)]
Parameter = Listed | dict[Text, Listed]


class _Header(BaseModel):
    """What the header of a model file must hold."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    model: dict[Text, Parameter]
    custom_network: bool
    sample_shape: Annotated[list[Count], Len(1, 3), FAST]
    image_shape: Annotated[list[Count], Len(3, 3), FAST] | None
    dtype: Literal["bool", "uint8", "uint16", "float32"]
    feature_names: Names
    columns: Names | None = None
    seed: Annotated[int, Ge(0)]
    history: dict[str, Annotated[list[int | float | None], FAST]]
    layers: Annotated[list[dict[str, Any]], FAST]
    data: dict[str, int | str] = {}
    findings: Annotated[list[Annotated[Names, Len(3, 3)]], FAST] = []
    metrics: dict[str, Any] = {}
    versions: dict[str, str] = {}
    training: dict[str, int | str] = {}
    detector: dict[Text, Plain] | None = None
    sampler: dict[Text, Plain] | None = None


def load(path: str | Path, *, device: str = "auto", network: Any = None) -> Any:
    """Read the model, detector or sampler that `save` wrote. Runs no code from the file.

    A model of an own pair of modules is given that pair again as `network`, whose weights do not
    matter. Raises `InputError` where the file is no model of ours or does not fit itself.
    """
    find_device(check("device", str, device))
    config, tensors = store.read(path)
    try:
        header = _Header.model_validate(config)
    except ValidationError as error:
        places = error.errors()[0]["loc"][:1]  # none where a name is no text
        entry = next((p for p in places if p in _Header.model_fields), "names of entries")
        raise InputError(f"{path} is damaged: its header has no valid {entry}.") from None
    shape, image = header.sample_shape, header.image_shape
    if image != [1, *shape][-3:] if len(shape) > 1 else image and math.prod(image) != shape[0]:
        raise InputError(f"{path} is damaged: its shapes do not agree.")
    if header.custom_network and network is None:
        raise InputError(f"{path} has a network of its own: give load(..., network=pair).")
    if len({len(values) for values in header.history.values()}) > 1:
        raise InputError(f"{path} is damaged: its history is uneven.")
    try:
        model = from_config(header.model, MODELS)
        assert isinstance(model, Estimator)
        model.set_params(device=device, **({} if network is None else {"network": network}))
        tensors = only_model(tensors)
        task = next((entry for entry in TASKS if getattr(header, entry) is not None), None)
        if task is None:
            model._restore(header.model_dump(), tensors)
            return model
        prefix, cls = TASKS[task]
        own = under(prefix, tensors)
        rest = {name: tensor for name, tensor in tensors.items() if not name.startswith(prefix)}
        model._restore(header.model_dump(), rest)
        restored: Any = from_config({**getattr(header, task), "model": model}, {cls.kind: cls})
        restored._restore(model, own)
        return restored
    except UnknownKindError as error:
        raise InputError(
            f"{path} has a {error.what} of kind {error.name!r}, which is not known here: import"
            " the script that defines it first."
        ) from None
    except (KeyError, IndexError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise InputError(f"{path} is damaged: {str(error).splitlines()[0]:.200}") from None
