"""The models: one file per paper. `MODELS` are all estimators by name."""

from importlib import import_module
from pkgutil import iter_modules

from diabolo.estimator import Estimator
from diabolo.params import Parameters

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")


def kinds() -> dict[str, type[Parameters]]:
    """All estimators by name, those too that a user has defined by now."""
    return Estimator.kinds()


MODELS = kinds()  # those that ship
