"""A model file -> the fitted model, or the detector, sampler or clusterer saved with it."""

from pathlib import Path
from typing import Any

from diabolo import hub, shipped, store
from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.fitted import Header
from diabolo.fitting import only_model
from diabolo.inputs import find_device
from diabolo.models import kinds
from diabolo.params import UnknownKindError, check, from_config
from diabolo.tasks import anomaly, grouping, sampling
from diabolo.tasks.anomaly import AnomalyDetector
from diabolo.tasks.grouping import LatentClusterer
from diabolo.tasks.sampling import LatentSampler
from diabolo.train import under

TASKS: dict[str, tuple[str, Any]] = {  # entry: prefix of its tensors, and its class
    "detector": (anomaly.PREFIX, AnomalyDetector),
    "sampler": (sampling.PREFIX, LatentSampler),
    "clusterer": (grouping.PREFIX, LatentClusterer),
}


def load(path: str | Path, *, device: str = "auto", network: Any = None) -> Any:
    """Read the model, detector, sampler or clusterer that `save` wrote. No code of it is run.

    `path` may be a run folder, the name of a model that comes with the package, as "photo", or
    `hf://owner/name`: that is fetched from the Hugging Face Hub, and kept in its cache.
    A model of an own pair of modules is given that pair again as `network`, whose weights do not
    matter. Raises `InputError` where the file is no model of ours or does not fit itself.
    """
    find_device(check("device", str, device))
    path = hub.find(path) or shipped.find(path) or Path(path)
    if not path.exists():
        raise InputError(shipped.absent(path))
    path = path / store.MODEL if path.is_dir() else path
    config, tensors = store.read(path)
    header = Header.checked(path, config)
    if header.custom_network and network is None:
        raise InputError(f"{path} has a network of its own: give load(..., network=pair).")
    try:
        model = from_config(header.model, kinds())
        assert isinstance(model, Estimator)
        model.set_params(device=device, **({} if network is None else {"network": network}))
        tensors = only_model(tensors)
        task = next((entry for entry in TASKS if getattr(header, entry) is not None), None)
        if task is None:
            return model.load_record(header.model_dump(), tensors)
        prefix, cls = TASKS[task]
        own = under(prefix, tensors)
        rest = {name: tensor for name, tensor in tensors.items() if not name.startswith(prefix)}
        model.load_record(header.model_dump(), rest)
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
