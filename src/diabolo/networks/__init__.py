"""Networks: (encoder, decoder) pairs whose sizes follow from the shape of a sample, by name."""

from importlib import import_module
from pkgutil import iter_modules

from diabolo.networks.base import (
    ACTIVATIONS,
    Activation,
    Network,
    Sizes,
    build,
    lay_out,
    takes_images,
)

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["ACTIVATIONS", "Activation", "Network", "Sizes", "build", "lay_out", "takes_images"]
