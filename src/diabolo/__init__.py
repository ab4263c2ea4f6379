"""Autoencoders: train them and put them to use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diabolo.estimator import Autoencoder as Autoencoder
    from diabolo.loading import load as load
    from diabolo.models.vae import VAE as VAE
    from diabolo.tasks.anomaly import AnomalyDetector as AnomalyDetector
    from diabolo.tasks.sampling import LatentSampler as LatentSampler

__version__ = "0.1.0"
__all__ = ["VAE", "AnomalyDetector", "Autoencoder", "LatentSampler", "load"]

_HOMES = {
    "AnomalyDetector": "diabolo.tasks.anomaly",
    "Autoencoder": "diabolo.estimator",
    "LatentSampler": "diabolo.tasks.sampling",
    "VAE": "diabolo.models.vae",
    "load": "diabolo.loading",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: torch takes seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module 'diabolo' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
