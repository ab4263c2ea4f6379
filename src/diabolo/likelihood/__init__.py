"""Likelihoods p(x | z): how far a decoder's output is from the data, in nats; by name."""

from importlib import import_module
from pkgutil import iter_modules

from diabolo.likelihood.base import Likelihood
from diabolo.likelihood.bernoulli import Bernoulli
from diabolo.likelihood.gaussian import Gaussian

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["Bernoulli", "Gaussian", "Likelihood"]
