"""The models: one file per paper. `MODELS` are all estimators by name."""

from importlib import import_module
from pkgutil import iter_modules

from diabolo.estimator import Estimator

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

MODELS = Estimator.kinds()
