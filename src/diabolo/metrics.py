"""How far a reconstruction is from its original: numbers of two arrays of the same shape.

    mse   mean of (a - b)^2 over all values
    psnr  -10 log10(mse) decibels, for values whose peak is 1
    ssim  mean over 7x7 windows of
          (2 ma mb + c1)(2 sab + c2) / ((ma^2 + mb^2 + c1)(saa + sbb + c2)),
          m: mean, s: sample covariance, c1 = 0.01^2, c2 = 0.03^2
    ms_ssim  as ssim, over five scales
    bce   mean of -x log p - (1 - x) log(1 - p), logarithms not below -100

Values are in [0, 1]. Everything is summed in float64, in blocks, so memory stays small.

Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image Quality Assessment: From Error
Visibility to Structural Similarity", 2004, eq. 13 (here with a uniform window, as in
scikit-image's defaults).
"""

from collections.abc import Iterator

import numpy as np

from diabolo.errors import InputError

WINDOW = 7
GAUSSIAN_SIDE, DEVIATION = 11, 1.5
SCALE_POWERS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
BLOCK_VALUES = 1 << 18


def mse(a: np.ndarray, b: np.ndarray) -> float:
    """Mean squared difference of all values."""
    return float(mse_per_sample(a, b).mean())


def mse_per_sample(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean squared difference of each sample: (N, ...) -> (N,), float64."""
    return np.concatenate([_sample_means((p - q) ** 2) for p, q in _blocks(a, b)])


def psnr(mse: float) -> float:
    """Peak signal-to-noise ratio in dB of a pooled mean squared error; infinite for 0."""
    return float(-10 * np.log10(mse)) if mse > 0 else float("inf")


def bce(p: np.ndarray, x: np.ndarray) -> float:
    """Binary cross-entropy per value in nats of the probabilities `p` for the data `x`."""
    if p.size and not (p.min() >= 0 and p.max() <= 1):
        raise InputError(f"probabilities lie in [0, 1]; these in [{p.min():g}, {p.max():g}]")
    means = [_sample_means(_cross_entropy(q, y)) for q, y in _blocks(p, x)]
    return float(np.concatenate(means).mean())


def ssim(a: np.ndarray, b: np.ndarray) -> float | None:
    """Mean structural similarity of images (N, H, W) or (N, C, H, W) with values in [0, 1].

    The mean over images of scikit-image's `structural_similarity(a, b, data_range=1)`; the
    channels of a colour image are averaged. None where a 7x7 window does not fit: smaller
    images, and data that are no images.
    """
    if a.ndim not in (3, 4) or min(a.shape[-2:]) < WINDOW:
        return None
    means = [_sample_means(_similarity(p, q)) for p, q in _blocks(a, b)]
    return float(np.concatenate(means).mean())


def ms_ssim(a: np.ndarray, b: np.ndarray) -> float | None:
    """Multi-scale structural similarity of images (N, H, W) or (N, C, H, W), values in [0, 1].

    Over five scales, each half of that before by means of 2 x 2: the product of the contrast and
    structure terms of `ssim`, and of its luminance at the last, each to its power; negative
    terms count as 0. Windows are Gaussian, of 11 x 11 with a deviation of 1.5; the mean over
    channels and images. None where a side is below 176, at which the last has no whole window.

    Z. Wang, E. P. Simoncelli, A. C. Bovik, "Multi-Scale Structural Similarity for Image Quality
    Assessment", 2003, eq. 7.
    """
    if a.ndim not in (3, 4) or min(a.shape[-2:]) < GAUSSIAN_SIDE << len(SCALE_POWERS) - 1:
        return None
    return float(np.concatenate([_multi_scale(p, q) for p, q in _blocks(a, b)]).mean())


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """The squared Fréchet distance of the Gaussians with the moments of features (N, F), (M, F).

    |m - n|^2 + tr(C + D - 2 (C D)^1/2), in float64 (M. Heusel et al., "GANs Trained by a Two
    Time-Scale Update Rule Converge to a Local Nash Equilibrium", 2017, eq. 6). The trace of the
    root is the sum of the singular values of D^1/2 C^1/2, which exist for any covariances.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise InputError(
            f"Features are (N, F) and (M, F), of two samples or more each; these are {a.shape}"
            f" and {b.shape}."
        )
    x, y = a.astype(np.float64), b.astype(np.float64)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError("The features hold NaN or infinity: leave those samples out.")
    c, d = (np.atleast_2d(np.cov(z, rowvar=False)) for z in (x, y))
    root = np.linalg.svd(_root(d) @ _root(c), compute_uv=False).sum()
    gap = x.mean(axis=0) - y.mean(axis=0)
    return max(float(gap @ gap + np.trace(c) + np.trace(d) - 2 * root), 0.0)


def mean_max_cosine(known: np.ndarray, found: np.ndarray) -> float:
    """How well a known dictionary (M, D) is found again among atoms (K, D): 1 where all of it is.

    The mean over the known directions of the largest cosine with an atom (L. Sharkey, D. Braun,
    B. Millidge, "Taking Features out of Superposition with Sparse Autoencoders", 2022).
    """
    a, b = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (known, found))
    return float((a @ b.T).max(1).mean())


def _root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root of a covariance (F, F)."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)


def _blocks(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    if a.shape != b.shape:
        raise InputError(f"two arrays of one shape are compared; these are {a.shape}, {b.shape}")
    if a.size == 0:
        raise InputError("there are no values to compare")
    step = max(1, BLOCK_VALUES * len(a) // a.size)
    for start in range(0, len(a), step):
        block = slice(start, start + step)
        yield a[block].astype(np.float64), b[block].astype(np.float64)


def _sample_means(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1).mean(axis=1)


def _cross_entropy(p: np.ndarray, x: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        log_p, log_q = np.log(p), np.log1p(-p)
    return -x * np.maximum(log_p, -100) - (1 - x) * np.maximum(log_q, -100)


def _similarity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    c1, c2 = 0.01**2, 0.03**2
    unbiased = WINDOW**2 / (WINDOW**2 - 1)
    mean_a, mean_b = _window_means(a), _window_means(b)
    product, squares = mean_a * mean_b, mean_a**2 + mean_b**2
    covariance = unbiased * (_window_means(a * b) - product)
    variances = unbiased * (_window_means(a * a + b * b) - squares)
    return (2 * product + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))


def _window_means(images: np.ndarray) -> np.ndarray:
    """Means of all whole windows, by running sums: (..., H, W) -> (..., H - 6, W - 6)."""
    sums = np.cumsum(images, axis=-2)
    sums[..., WINDOW:, :] -= sums[..., :-WINDOW, :].copy()
    sums = np.cumsum(sums[..., WINDOW - 1 :, :], axis=-1)
    sums[..., WINDOW:] -= sums[..., :-WINDOW].copy()
    return sums[..., WINDOW - 1 :] / WINDOW**2


def _multi_scale(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """MS-SSIM of each channel of images (N, ..., H, W), in a row."""
    c1, c2, found = 0.01**2, 0.03**2, np.float64(1)
    for power in SCALE_POWERS:
        mean_a, mean_b = _smoothed(a), _smoothed(b)
        product, squares = mean_a * mean_b, mean_a**2 + mean_b**2
        structure = (2 * (_smoothed(a * b) - product) + c2) / (
            _smoothed(a * a + b * b) - squares + c2
        )
        last = structure * (2 * product + c1) / (squares + c1)
        term = last if power is SCALE_POWERS[-1] else structure
        found = found * np.maximum(term.mean((-2, -1)), 0) ** power
        a, b = _halved(a), _halved(b)
    return np.ravel(found)


def _smoothed(images: np.ndarray) -> np.ndarray:
    """Means by a Gaussian of all whole windows: (..., H, W) -> (..., H - 10, W - 10)."""
    beside = np.arange(GAUSSIAN_SIDE) - GAUSSIAN_SIDE // 2
    weights = np.exp(-0.5 * (beside / DEVIATION) ** 2)
    weights /= weights.sum()
    for axis in (-1, -2):
        n = images.shape[axis] - GAUSSIAN_SIDE + 1
        images = sum(w * np.take(images, np.arange(k, k + n), axis) for k, w in enumerate(weights))
    return images


def _halved(images: np.ndarray) -> np.ndarray:
    """Means of 2 x 2; an odd last row or column is left out."""
    height, width = (side // 2 * 2 for side in images.shape[-2:])
    even = images[..., :height, :width]
    return (even[..., ::2, :] + even[..., 1::2, :]).reshape(
        *even.shape[:-2], height // 2, width // 2, 2
    ).mean(-1) / 2
