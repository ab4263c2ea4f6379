"""Corruptions C(x~ | x): what a denoising autoencoder learns to undo."""

from importlib import import_module
from pkgutil import iter_modules

from diabolo.corruption.affine import Affine
from diabolo.corruption.base import Corrupted, Corruption
from diabolo.corruption.blur import Blur
from diabolo.corruption.jpeg import Jpeg
from diabolo.corruption.noise import (
    BlindGaussian,
    GaussianNoise,
    Masking,
    Poisson,
    SaltAndPepper,
    Speckle,
)
from diabolo.corruption.recorrupted import Recorrupted
from diabolo.corruption.scratches import Scratches
from diabolo.corruption.watermark import Watermark

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = [
    "Affine",
    "BlindGaussian",
    "Blur",
    "Corrupted",
    "Corruption",
    "GaussianNoise",
    "Jpeg",
    "Masking",
    "Poisson",
    "Recorrupted",
    "SaltAndPepper",
    "Scratches",
    "Speckle",
    "Watermark",
]
