"""Corruptions C(x~ | x): what a denoising autoencoder learns to undo."""

from diabolo.corruption.affine import Affine
from diabolo.corruption.blur import Blur
from diabolo.corruption.noise import (
    Corruption,
    GaussianNoise,
    Masking,
    Poisson,
    SaltAndPepper,
    Speckle,
)
from diabolo.corruption.watermark import Watermark

__all__ = [
    "Affine",
    "Blur",
    "Corruption",
    "GaussianNoise",
    "Masking",
    "Poisson",
    "SaltAndPepper",
    "Speckle",
    "Watermark",
]
