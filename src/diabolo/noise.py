"""The noise of images, as cameras have it:  Var[y | x] = slope x + floor.

Blocks of 8 x 8 pixels in their discrete cosine transform: white noise has the same variance at
all frequencies, and what is at low ones is independent of what is at high ones. So, of blocks of
like brightness, those with the least at low frequencies are flat, and the variance at their high
frequencies is that of the noise (N. Ponomarenko, V. Lukin, M. Zriakhov, A. Kaarna, J. Astola,
"An Automatic Approach to Lossy Compression of AVIRIS Images", 2007; M. Colom, A. Buades,
"Analysis and Extension of the Ponomarenko et al. Method", 2013). A line is laid through the
variances of all brightnesses, after what clipping took from them is given back (A. Foi, M.
Trimeche, V. Katkovnik, K. Egiazarian, "Practical Poissonian-Gaussian Noise Modeling and Fitting
for Single-Image Raw-Data", 2008); it is level where a slope would explain little.

With such a slope the generalised Anscombe transform makes the noise Gaussian, of one level (M.
Makitalo, A. Foi, "Optimal Inversion of the Generalized Anscombe Transformation for
Poisson-Gaussian Noise", 2013).
"""

import math
from functools import cache, reduce
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import dct
from scipy.special import ndtr
from torch import Tensor

from diabolo.data.decoding import LUMA
from diabolo.errors import InputError

SIDE = 8  # of a block
LEAST = 2 * SIDE  # pixels a side of an image
BLOCKS, IN_A_BIN, BINS = 2**17, 2**12, 16  # of a channel at most; of a brightness at least
FLAT, FEW = 0.01, 64  # share of the blocks of a brightness that count as flat, and how many
CLIPPED = 1e-4  # share of the values at an end of their range where they are found clipped
LEFT = 0.5  # of a variance that clipping must leave
MISFIT, REAL, STEEP = 0.02, 0.4, 1.15  # where a slope is real: a level line fits so badly, a
# slope leaves less than that share of its misfit, and changes the deviation so much
PLAIN = 2.0  # variances of noise at low frequencies, up to which a slope is looked for
SPAN = 0.4  # of the range of brightness, in which there must be such to look for one
LEAK = 0.1  # of the variance of texture at low frequencies, what it has at high ones
ALIKE = 1.2  # times, from which the noise of colours is not independent
NOTHING = 1e-9  # of the largest variance
ROUNDS = 40


class Noise(NamedTuple):
    """Var[y | x] = slope x + floor, in the units of an image; `level`: the deviation over it.

    `alike`: how much stronger the gray image's noise is than if that of its colours were
    independent; up to 1.49, where it is the same in all, as where a JPEG has blurred the colours.
    """

    slope: float
    floor: float
    level: float
    alike: float = 1.0


class _Flat(NamedTuple):
    """Of the flat blocks of each brightness: their mean, variances at high and low frequencies."""

    mean: np.ndarray
    high: np.ndarray
    low: np.ndarray


def estimate(image: np.ndarray) -> Noise:
    """The noise of an image, (H, W) or (C, H, W) of any type, the same for all channels.

    Or that of images (N, C, H, W) which have the same. Raises `InputError` where a side has less
    than `LEAST` pixels.

    >>> image = 100 + 5 * np.random.default_rng(0).standard_normal((64, 64))
    >>> round(estimate(image).level)
    5
    """
    height, width = image.shape[-2:]
    if min(height, width) < LEAST:
        raise InputError(
            f"An image of {width} x {height} pixels is too small to tell its"
            f" noise: give the level, or {LEAST} x {LEAST} pixels."
        )
    images = image if image.ndim == 4 else image.reshape(1, -1, height, width)
    planes = images.transpose(1, 0, 2, 3)
    found = _estimate(planes)
    if len(planes) != len(LUMA) or found.level == 0:
        return found
    weighted = (np.float32(w) * plane for w, plane in zip(LUMA, planes, strict=True))
    gray = reduce(np.add, weighted)
    alike = _estimate(gray[None]).level / (math.hypot(*LUMA) * found.level)
    return found._replace(alike=min(alike, 1 / math.hypot(*LUMA))) if alike > ALIKE else found


def _estimate(planes: np.ndarray) -> Noise:
    """The noise of channels (C, N, H, W), the same for all: no more than half of their range."""
    blocks = [_blocks(plane) for plane in planes]
    ends = _ends(blocks)
    parts = [_flat(part, ends) for part in blocks]
    found = _unclipped(_Flat(*(np.concatenate(p) for p in zip(*parts, strict=True))), ends)
    slope, floor = _line(found)
    mean = float(np.mean([part.mean(dtype=np.float64) for part in blocks]))
    level = math.sqrt(max(slope * mean + floor, 0.0))
    most = max(float(np.ptp(part)) for part in blocks) / 2
    return Noise(slope, floor, level) if level <= most else Noise(0.0, most**2, most)


def _blocks(plane: np.ndarray) -> np.ndarray:
    """Blocks (B, 64) float32 of the same channel of images (N, H, W), evenly over them."""
    windows = sliding_window_view(plane, (SIDE, SIDE), axis=(1, 2))
    total = math.prod(windows.shape[:3])
    places = np.arange(total) if total <= BLOCKS else np.arange(BLOCKS) * total // BLOCKS
    found = windows[np.unravel_index(places, windows.shape[:3])]
    return found.reshape(-1, SIDE * SIDE).astype(np.float32)


def _ends(blocks: list[np.ndarray]) -> tuple[float, float]:
    """Where values are clipped, infinite where they are not."""
    low = min(float(part.min()) for part in blocks)
    high = max(float(part.max()) for part in blocks)
    at_low, at_high = (
        np.mean([(part == end).mean() for part in blocks]) > CLIPPED for end in (low, high)
    )
    return low if at_low else -math.inf, high if at_high else math.inf


def _flat(blocks: np.ndarray, ends: tuple[float, float]) -> _Flat:
    """The flat blocks of a channel, by their brightness; without those that are all clipped."""
    means = blocks.mean(axis=1)
    inside = np.ptp(blocks, axis=1) > 0
    inside |= (means != ends[0]) & (means != ends[1])
    blocks, means = blocks[inside], means[inside]
    order = np.argsort(means, kind="stable")
    count = min(BINS, max(1, len(blocks) // IN_A_BIN))
    rows = [_flat_of(blocks[part], means[part]) for part in np.array_split(order, count)]
    return _Flat(*np.array([row for row in rows if row], np.float64).reshape(-1, 3).T)


def _flat_of(blocks: np.ndarray, means: np.ndarray) -> tuple[float, float, float] | None:
    if not len(blocks):
        return None
    basis, order = _cosines()
    squares = np.square(blocks @ basis)
    low, high = squares[:, (order > 0) & (order <= SIDE)], squares[:, order > SIDE]
    energy = low.mean(axis=1)
    few = min(len(energy), max(FEW, int(FLAT * len(energy))))
    most = np.partition(energy, few - 1)[few - 1]
    for _ in range(2):  # and all that have no more there than noise has
        flat = energy <= most
        variance = float(np.median(high[flat].mean(axis=0, dtype=np.float64)))
        most = max(most, variance)
    return float(means[flat].mean(dtype=np.float64)), variance, float(energy[flat].mean())


@cache
def _cosines() -> tuple[np.ndarray, np.ndarray]:
    """The orthonormal cosines (64, 64), one a column, and the order i + j of each."""
    one, k = dct(np.eye(SIDE), axis=0, norm="ortho"), np.arange(SIDE)
    return np.kron(one, one).T.astype(np.float32), np.add.outer(k, k).ravel()


def _unclipped(found: _Flat, ends: tuple[float, float]) -> _Flat:
    """Means and variances as they were before values were clipped, where enough is left.

    From those of a clipped Gaussian, by a fixed point.
    """
    if not any(map(math.isfinite, ends)) or not len(found.mean):
        return found
    x, s = found.mean.copy(), np.sqrt(found.high)
    deviation = np.maximum(s, 1e-12)
    for _ in range(ROUNDS):
        mean, variance = _clipped(x, s := np.maximum(s, 1e-12), ends)
        x += found.mean - mean
        s = s * np.clip(deviation / np.sqrt(np.maximum(variance, 1e-24)), 0.5, 2)
    kept = found.high >= LEFT * s**2
    kept |= kept.sum() == 0
    return _Flat(x[kept], s[kept] ** 2, found.low[kept] * (s**2 / deviation**2)[kept])


def _clipped(x: np.ndarray, s: np.ndarray, ends: tuple[float, float]) -> tuple[np.ndarray, ...]:
    """Mean and variance of a Gaussian of mean x and deviation s, clipped to a range."""
    low, high = (np.clip((end - x) / s, -40, 40) for end in ends)
    at_low, at_high = np.exp(-(low**2) / 2), np.exp(-(high**2) / 2)
    below, above = ndtr(low), ndtr(-high)
    root = math.sqrt(2 * math.pi)
    mean = low * below + high * above + (at_low - at_high) / root
    square = low**2 * below + high**2 * above + (1 - below - above)
    square += (low * at_low - high * at_high) / root
    return x + s * mean, s**2 * (square - mean**2)


def _line(found: _Flat) -> tuple[float, float]:
    """Slope and floor of variances over means: robust, relative least squares.

    What has much at low frequencies has texture, and counts less; for a slope not at all.
    """
    mean, variance, low = found
    if not len(mean) or not variance.any():
        return 0.0, 0.0
    variance = np.maximum(variance, NOTHING * variance.max())
    leaked = LEAK / (1 - LEAK) * np.maximum(low - variance, 0)
    flat = (variance / np.maximum(low, variance)) ** 6
    plain = low <= PLAIN * variance
    variance = np.maximum(variance - leaked, 1e-3 * variance)
    flat *= np.square(variance.min() / variance)  # for texture only adds to noise
    level, _ = _fitted(np.ones((len(mean), 1)), variance, flat)
    if plain.any() and np.ptp(mean[plain]) > SPAN * np.ptp(mean):
        slope, floor = _slope(mean[plain], variance[plain])
        if slope > 0:
            return slope, floor
    return 0.0, float(level[0])


def _slope(mean: np.ndarray, variance: np.ndarray) -> tuple[float, float]:
    """The slope and the floor, 0 where a level line does about as well."""
    if len(mean) <= 2:
        return 0.0, 0.0
    ones = np.ones_like(mean)
    columns = np.stack([mean, ones], 1)
    _, misfit = _fitted(columns[:, 1:], variance, ones)
    (slope, floor), left = _fitted(columns, variance, ones)
    if floor < 0:
        (slope,), left = _fitted(columns[:, :1], variance, ones)
        floor = 0.0
    least, most = slope * mean.min() + floor, slope * mean.max() + floor
    real = slope > 0 and most > STEEP**2 * max(least, 1e-12)
    real &= misfit > MISFIT and left < REAL * misfit
    return (float(slope), float(floor)) if real else (0.0, 0.0)


def _fitted(
    columns: np.ndarray, variance: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, float]:
    """Coefficients of columns by iterated least squares, and what it leaves a weight."""
    robust, model = np.ones_like(variance), variance
    for _ in range(ROUNDS):
        root = np.sqrt(weights * robust) / model
        found = np.linalg.lstsq(columns * root[:, None], variance * root, rcond=None)[0]
        model = np.maximum(columns @ found, 0.05 * np.median(variance))
        off = variance / model - 1
        scale = max(float(np.median(np.abs(off))), 0.01)
        robust = 1 / (1 + np.square(off / (3 * scale)))
    return found, float(np.average(np.minimum(np.square(off), 1), weights=weights))


class Anscombe(NamedTuple):
    """x -> 2 / a sqrt(a x + 3/8 a^2 + b), after which noise of the variance a x + b has 1.

    Its inverse is the unbiased one: of the mean of what was transformed, the mean of x, in closed
    form (Makitalo and Foi 2013; the same, "A Closed-Form Approximation of the Exact Unbiased
    Inverse of the Anscombe Variance-Stabilizing Transformation", 2011, eq. 10).
    """

    slope: float
    floor: float

    def __call__(self, x: Tensor) -> Tensor:
        a, b = self
        return (a * x + (0.375 * a**2 + b)).clamp(min=0).sqrt() * (2 / a)

    def inverse(self, y: Tensor) -> Tensor:
        a, b = self
        y = y.clamp(min=2 * math.sqrt(0.375))
        root = math.sqrt(1.5)
        counts = y**2 / 4 - 0.125 + root / 4 / y - 1.375 / y**2 + 0.625 * root / y**3
        return a * counts - b / a
