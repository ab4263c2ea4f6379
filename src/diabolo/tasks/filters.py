"""The classical filters of scikit-image, which a denoiser must beat.

Median; total variation (A. Chambolle, "An Algorithm for Total Variation Minimization and
Applications", 2004); soft wavelet thresholds (S. G. Chang, B. Yu and M. Vetterli, "Adaptive
Wavelet Thresholding for Image Denoising and Compression", 2000); non-local means (A. Buades,
B. Coll and J.-M. Morel, "A Non-Local Algorithm for Image Denoising", 2005). Each has one
parameter of strength, which `tune` chooses on training images.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from diabolo import metrics
from diabolo.errors import InputError

Filter = Callable[[np.ndarray], np.ndarray]  # of one image (H, W) or (H, W, 3), in [0, 1]
Strengths = Mapping[str, float]
GRIDS: dict[str, tuple[float, ...]] = {
    "median": (3, 5, 7, 9),
    "total variation": (0.05, 0.07, 0.1, 0.14, 0.2, 0.3, 0.4, 0.5, 0.8, 1.2),
    "wavelet": (0.05, 0.07, 0.1, 0.14, 0.2, 0.3, 0.4, 0.5, 0.7),
    "non-local means": (0.04, 0.05, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8),
}
MIDDLE: Strengths = {
    "median": 3,
    "total variation": 0.3,
    "wavelet": 0.2,
    "non-local means": 0.2,
}
NEEDED = "The classical filters need scikit-image and PyWavelets: pip install 'diabolo[filters]'."
LEAST = 8  # pixels a side, to which smaller images are continued by their borders


def installed() -> bool:
    """Whether there is what the filters need."""
    try:
        _scikit_image()
    except InputError:
        return False
    return True


def classical(noisy: np.ndarray, strengths: Strengths = MIDDLE) -> dict[str, np.ndarray]:
    """Images (N, H, W) or (N, C, H, W) in [0, 1] as each filter cleans them, by its name.

    `strengths` are those that `tune` found: the side of the median's window, the weight of the
    total variation, the standard deviation of the noise for wavelets, and for non-local means
    its h, at which differences between 5 x 5 patches count as noise.
    """
    return {name: apply(name, noisy, strengths[name]) for name in GRIDS}


def tune(clean: np.ndarray, noisy: np.ndarray) -> dict[str, float]:
    """The strength of each filter, out of `GRIDS`, that brings these images nearest to clean.

    By the mean squared error. Give training images, not those to be tested on.
    """
    return {
        name: min(grid, key=lambda s: metrics.mse(apply(name, noisy, s), clean))
        for name, grid in GRIDS.items()
    }


def apply(name: str, noisy: np.ndarray, strength: float) -> np.ndarray:
    """Images (N, H, W) or (N, C, H, W) in [0, 1] as one filter cleans them, float32."""
    if noisy.ndim not in (3, 4):
        raise InputError(f"Images are (N, H, W) or (N, C, H, W), but these are {noisy.shape}.")
    if noisy.dtype.kind != "f":
        raise InputError(
            f"The filters take images in [0, 1], but these are {noisy.dtype}: divide them by"
            " their largest possible value."
        )
    height, width = noisy.shape[-2:]
    edges = [(0, 0)] * (noisy.ndim - 2) + [(0, max(0, LEAST - n)) for n in (height, width)]
    planes = np.pad(noisy.astype(np.float32), edges, mode="edge")
    colour = planes.ndim == 4 and planes.shape[1] == 3
    if planes.ndim == 4 and not colour:
        planes = planes.reshape(-1, *planes.shape[2:])
    elif colour:
        planes = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
    clean = _filter(name, strength, colour)
    result = np.stack([clean(image) for image in planes]).clip(0, 1).astype(np.float32)
    result = (result.transpose(0, 3, 1, 2) if colour else result)[..., :height, :width]
    return result.reshape(noisy.shape)


def _filter(name: str, strength: float, colour: bool) -> Filter:
    restoration, filters = _scikit_image()
    axis: dict[str, Any] = {"channel_axis": -1 if colour else None}
    if name == "median":
        side = int(strength)
        window = np.ones((side, side, 1) if colour else (side, side))
        return partial(filters.median, footprint=window)
    if name == "total variation":
        return partial(restoration.denoise_tv_chambolle, weight=strength, **axis)
    if name == "wavelet":
        return partial(restoration.denoise_wavelet, sigma=strength, convert2ycbcr=colour, **axis)
    return partial(
        restoration.denoise_nl_means, patch_size=5, patch_distance=6, h=strength, **axis
    )


def _scikit_image() -> tuple[Any, Any]:
    try:
        import pywt  # noqa: F401
        from skimage import filters, restoration
    except ImportError:
        raise InputError(NEEDED) from None
    return restoration, filters
