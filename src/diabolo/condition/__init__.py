"""Conditions: what encoder and decoder are given beside a sample; by name."""

from importlib import import_module
from pkgutil import iter_modules

from diabolo.condition.base import Condition
from diabolo.condition.labels import Labels
from diabolo.condition.values import Values

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["Condition", "Labels", "Values"]
