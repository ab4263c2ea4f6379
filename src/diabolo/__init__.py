"""Autoencoders: train them and put them to use."""

import re
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diabolo.codec.coder import Codec as Codec
    from diabolo.data.activations import activations as activations
    from diabolo.estimator import Autoencoder as Autoencoder
    from diabolo.exporting import export as export
    from diabolo.loading import load as load
    from diabolo.models.vae import VAE as VAE
    from diabolo.report.plots import plot_codes as plot_codes
    from diabolo.report.plots import plot_errors as plot_errors
    from diabolo.report.plots import plot_loss as plot_loss
    from diabolo.report.plots import plot_reconstructions as plot_reconstructions
    from diabolo.tasks.anomaly import AnomalyDetector as AnomalyDetector
    from diabolo.tasks.grouping import LatentClusterer as LatentClusterer
    from diabolo.tasks.sampling import LatentSampler as LatentSampler

__version__ = "0.2.0"
_MODEL = re.compile(r"^class (\w+)\(Estimator\):", re.MULTILINE)


def _models() -> Iterator[tuple[str, str]]:
    """The models and where they are, read and not imported."""
    finder: Any
    for finder, name, _ in iter_modules([f"{path}/models" for path in __path__]):
        home = f"{__name__}.models.{name}"
        for model in _MODEL.findall(finder.find_spec(name).loader.get_source(name)):
            yield model, home


_HOMES = {
    "AnomalyDetector": "diabolo.tasks.anomaly",
    "Autoencoder": "diabolo.estimator",
    "Codec": "diabolo.codec.coder",
    "LatentClusterer": "diabolo.tasks.grouping",
    "LatentSampler": "diabolo.tasks.sampling",
    "activations": "diabolo.data.activations",
    "export": "diabolo.exporting",
    "load": "diabolo.loading",
    "plot_codes": "diabolo.report.plots",
    "plot_errors": "diabolo.report.plots",
    "plot_loss": "diabolo.report.plots",
    "plot_reconstructions": "diabolo.report.plots",
    **dict(_models()),
}
__all__ = [*_HOMES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: torch takes seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module 'diabolo' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
