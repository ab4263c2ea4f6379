"""A watermark that many images carry at one place: found from them, and taken away.

    J_k = (1 - a) I_k + b,    b = a W    =>    I_k = g J_k - v,    g = 1 / (1 - a),  v = g b

J_k are the images, I_k what is below the mark, a (its matte times its opacity) and its colour W
the same in all. T. Dekel, M. Rubinstein, C. Liu and W. T. Freeman, "On the Effectiveness of
Visible Watermarks", 2017: as images differ and their gradients are sparse, what is alike in the
gradients of most is the mark's. Here that is asked of pairs of neighbours p, q, between which
I_k hardly changes. Where J_k(p) spreads over the images less than J_k(q), by

    log g(p) - log g(q) = log std_k J_k(q) / std_k J_k(p),

robustly, the mark is stronger; and v(p) - v(q) is the median of g J_k(p) - g J_k(q). Both
gradients are integrated by least squares (Poisson's equation), with nothing outside the mark.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import ndimage, signal, sparse
from scipy.sparse import linalg

from diabolo.data.decoding import LUMA
from diabolo.errors import InputError

LEAST = 20  # images that a mark is estimated from
SEARCHED = 800  # pixels of a side, beyond which a mark is first looked for in smaller images
BAND = 2**22  # values of the images that are worked on at a time
ROUNDS = 4  # of reweighting
SURE, SMALL = 7.0, 24  # standard errors that an edge has at least; pixels of a mark
SOFT = 0.01  # differences between neighbours below which all count alike
NOTHING, MOST = 0.02, 0.97  # alphas below which there is no mark, and the largest
COARSE, FINE = np.linspace(0.04, 0.96, 24), np.linspace(-0.04, 0.04, 17)  # opacities tried


class Mark(NamedTuple):
    """A mark as it lies in images: I = (J - light) / (1 - alpha), from its first pixel on.

    `alpha` (h, w) is its matte times its opacity, `light` (C, h, w) its colours times alpha, both
    in [0, 1]; `corner` is the y and x of its first pixel in the image.
    """

    alpha: np.ndarray
    light: np.ndarray
    corner: tuple[int, int]

    @property
    def opacity(self) -> float:
        """What alpha is where the mark is whole."""
        strong = self.alpha[self.alpha > 0.7 * np.quantile(self.alpha[self.alpha > 0], 0.95)]
        return float(np.median(strong))

    @property
    def matte(self) -> np.ndarray:
        """Alpha without the opacity, (h, w) in [0, 1]."""
        return np.minimum(self.alpha / self.opacity, 1)

    @property
    def colour(self) -> np.ndarray:
        """Its colours, (C, h, w) in [0, 1]; 0 where it is not."""
        seen = np.where(self.alpha > 0, self.alpha, 1)
        return np.clip(self.light / seen, 0, 1)

    @property
    def area(self) -> tuple[slice, slice, slice]:
        """Where it lies in an image (C, H, W)."""
        (y, x), (height, width) = self.corner, self.alpha.shape
        return slice(None), slice(y, y + height), slice(x, x + width)


class _Gradient(NamedTuple):
    """Differences of neighbours, (..., H, W), the second less the first, and their certainty."""

    down: np.ndarray
    across: np.ndarray
    sure: tuple[np.ndarray, np.ndarray]  # 1 / standard error, (H, W) each


def estimate(images: np.ndarray) -> tuple[Mark, np.ndarray]:
    """The mark that images (K, C, H, W), uint8 or uint16, share; and which of them have it, (K,).

    They may be memory-mapped: bands of rows are worked on. Raises `InputError` where there are
    too few images, or no mark that more than half of them share.
    """
    if len(images) < LEAST:
        raise InputError(
            f"A mark is estimated from {LEAST} images or more that carry it, but there"
            f" {'is 1' if len(images) == 1 else f'are {len(images)}'}: give more, or the mark's"
            " own file with --mark."
        )
    (top, left), near = _near(images)
    mark, sharing = _shared(near)
    return mark._replace(corner=(mark.corner[0] + top, mark.corner[1] + left)), sharing


def _near(images: np.ndarray) -> tuple[tuple[int, int], np.ndarray]:
    """The part of large images in which there is a mark, and where it begins."""
    factor = math.ceil(max(images.shape[2:]) / SEARCHED)
    if factor == 1:
        return (0, 0), images
    height, width = (side // factor for side in images.shape[2:])
    small = np.empty((*images.shape[:2], height, width), np.uint16)
    for image, into in zip(images, small, strict=True):
        whole = unit(image[:, : height * factor, : width * factor])
        blocks = whole.reshape(len(image), height, factor, width, factor).mean((2, 4))
        into[:] = np.rint(blocks * np.iinfo(np.uint16).max)
    every = np.ones(len(images), bool)
    shift = _shift(small, every, np.ones((height, width), np.float32))
    _, support = _support(_log_gain(small, every), shift)
    if not support.any():
        raise _none(len(images))
    spans = [
        (max(0, (span.start - 3) * factor), (span.stop + 3) * factor)
        for span in ndimage.find_objects(support.astype(int))[0]
    ]
    (top, bottom), (left, right) = spans
    return (top, left), images[:, :, top:bottom, left:right]


def _shared(images: np.ndarray) -> tuple[Mark, np.ndarray]:
    """What `estimate` gives, of the part of images where a mark is."""
    mark, edges = _estimated(images, np.ones(len(images), bool))
    sharing = _sharing(images, mark, edges)
    if sharing.all():
        return mark, sharing
    if sharing.sum() < max(LEAST // 2, len(images) / 2):
        raise InputError(
            f"Only {sharing.sum()} of the {len(images)} images may share a mark at one place, too"
            " few to tell it: give images of one size that carry the same mark at the same place,"
            " or the mark's own file with --mark."
        )
    mark, edges = _estimated(images, sharing)
    return mark, _sharing(images, mark, edges)


def _estimated(images: np.ndarray, chosen: np.ndarray) -> tuple[Mark, np.ndarray]:
    """The mark of the chosen images, and where its edges are, (H, W)."""
    gain = _log_gain(images, chosen)
    shift = _shift(images, chosen, np.ones(images.shape[2:], np.float32))
    edges, support = _support(gain, shift)
    log_g = np.maximum(_integrated(gain, support), 0)
    alpha = np.minimum(1 - np.exp(-log_g), MOST)
    g = 1 / (1 - alpha)
    v = _shift(images, chosen, g.astype(np.float32))
    light = np.stack(
        [
            _integrated(_Gradient(down, across, v.sure), support) / g
            for down, across in zip(v.down, v.across, strict=True)
        ]
    )
    seen = (alpha > NOTHING) | (np.abs(light).max(0) > NOTHING)
    if not (alpha > NOTHING).any():
        raise _none(int(chosen.sum()))
    area = ndimage.find_objects(seen.astype(int))[0]
    corner = (area[0].start, area[1].start)
    return Mark((alpha * seen)[area], (light * seen)[:, *area], corner), edges


def _none(count: int) -> InputError:
    return InputError(
        f"There is no mark to be found that the {count} images share at one place: give images of"
        " one size that carry the same mark at the same place, or its own file with --mark."
    )


def _bands(images: np.ndarray, chosen: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Bands of rows, each with the first of the next, and the images there, in [0, 1]."""
    count, channels, height, width = images.shape
    rows = max(8, BAND // (count * channels * width))
    top = float(np.iinfo(images.dtype).max)
    for start in range(0, height, rows):
        stop = min(height, start + rows)
        band = images[:, :, start : min(height, stop + 1)]
        yield slice(start, stop), band[chosen].astype(np.float32) / np.float32(top)


def _pairs(
    band: np.ndarray, rows: int
) -> Iterator[tuple[np.ndarray, np.ndarray, tuple[int, int]]]:
    """Neighbours in a band, downwards and across, each with how many there are."""
    below = band[:, :, 1:]
    yield band[:, :, : below.shape[2]], below, (below.shape[2], band.shape[3])
    yield band[:, :, :rows, :-1], band[:, :, :rows, 1:], (rows, band.shape[3] - 1)


def _log_gain(images: np.ndarray, chosen: np.ndarray) -> _Gradient:
    """The gradient of log g, by the spread of neighbours over the images."""
    shape = images.shape[2:]
    found, sure = ([np.zeros(shape, np.float32) for _ in range(2)] for _ in range(2))
    for rows, band in _bands(images, chosen):
        for axis, (first, second, (height, width)) in enumerate(
            _pairs(band, rows.stop - rows.start)
        ):
            where = slice(rows.start, rows.start + height), slice(0, width)
            found[axis][where], sure[axis][where] = _spreads(first, second)
    return _Gradient(found[0], found[1], (sure[0], sure[1]))


def _spreads(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log std first / std second over the images, pairs that differ much counting less.

    With 1 / standard error. Images that no common line fits are those with an edge between.
    """
    weight = np.ones((len(first), 1, *first.shape[2:]), np.float32)
    log = np.zeros(first.shape[2:], np.float32)
    for _ in range(ROUNDS):
        total = weight.sum(0)
        p = first - (weight * first).sum(0) / total
        q = second - (weight * second).sum(0) / total
        pp, qq, pq = ((weight * a * b).sum((0, 1)) for a, b in ((p, p), (q, q), (p, q)))
        floor = SOFT**2 * total[0] / 4
        log = 0.5 * np.log((pp + floor) / (qq + floor))
        off = (p * np.exp(-log / 2) - q * np.exp(log / 2)) ** 2
        weight = 1 / np.sqrt(off.mean(1, keepdims=True) + SOFT**2)
    alike = np.clip(pq / np.sqrt((pp + floor) * (qq + floor)), 0, 0.9999)
    return log, np.sqrt(len(first) * alike**2 / (1 - alike**2))


def _shift(images: np.ndarray, chosen: np.ndarray, g: np.ndarray) -> _Gradient:
    """The gradient of v, (C, H, W): the medians of those of g J."""
    shape = images.shape[1:]
    found = [np.zeros(shape, np.float32) for _ in range(2)]
    sure = [np.zeros(shape[1:], np.float32) for _ in range(2)]
    for rows, band in _bands(images, chosen):
        scaled = band * g[rows.start : rows.start + band.shape[2]]
        for axis, (first, second, (height, width)) in enumerate(
            _pairs(scaled, rows.stop - rows.start)
        ):
            where = slice(rows.start, rows.start + height), slice(0, width)
            steps = second - first
            middle = np.median(steps, axis=0)
            spread = np.median(np.abs(steps - middle), axis=0).mean(0)
            found[axis][:, *where] = middle
            sure[axis][where] = np.sqrt(len(steps)) / (1.9 * (spread + SOFT / 4))
    return _Gradient(found[0], found[1], (sure[0], sure[1]))


def _support(gain: _Gradient, shift: _Gradient) -> tuple[np.ndarray, np.ndarray]:
    """Where the mark has surely edges, and the area that they surround, (H, W) each."""
    found = np.zeros(gain.down.shape, bool)
    for log, step, how, sure in zip(gain[:2], shift[:2], gain.sure, shift.sure, strict=True):
        found |= np.maximum(np.abs(log) * how, np.abs(step).max(0) * sure) > SURE
    found = ndimage.binary_closing(np.pad(found, 3), iterations=2)[3:-3, 3:-3]
    parts, count = ndimage.label(found, np.ones((3, 3)))
    sizes = ndimage.sum_labels(found, parts, np.arange(count + 1))
    edges = (sizes >= SMALL)[parts] & found
    if not edges.any():
        return edges, edges
    return edges, ndimage.binary_dilation(ndimage.binary_fill_holes(edges), iterations=2)


def _integrated(gradient: _Gradient, support: np.ndarray) -> np.ndarray:
    """The map (H, W) of a gradient, by weighted least squares; 0 outside the support."""
    number = np.full(support.shape, -1)
    number[support] = np.arange(support.sum())
    matrix = sparse.csr_matrix((int(support.sum()),) * 2)
    right = np.zeros(int(support.sum()))
    sides = ((np.s_[:-1, :], np.s_[1:, :]), (np.s_[:, :-1], np.s_[:, 1:]))
    for (first, second), step, sure in zip(sides, gradient[:2], gradient.sure, strict=True):
        here = support[first] | support[second]
        ends = np.stack([number[first][here], number[second][here]], 1)
        pair, end = np.nonzero(ends >= 0)
        signs = np.where(end, 1.0, -1.0)
        shape = len(ends), len(right)
        difference = sparse.csr_matrix((signs, (pair, ends[pair, end])), shape)
        weighted = difference.T.multiply(_weights(sure[first][here])).tocsr()
        matrix += weighted @ difference
        right += weighted @ step[first][here]
    result = np.zeros(support.shape)
    if len(right):
        diagonal = sparse.diags(1 / np.maximum(matrix.diagonal(), 1e-12))
        result[support] = linalg.cg(matrix, right, rtol=1e-5, maxiter=3000, M=diagonal)[0]
    return result


def _weights(sure: np.ndarray) -> np.ndarray:
    """Squared certainties, none of which counts for too little or too much."""
    usual = np.median(sure) if sure.size else 1.0
    return np.clip(sure / max(float(usual), 1e-6), 0.2, 3.0) ** 2


def _sharing(images: np.ndarray, mark: Mark, edges: np.ndarray) -> np.ndarray:
    """Which images have smaller steps at the edges of the mark without it."""
    here = edges[mark.area[1:]]
    found = np.zeros(len(images), bool)
    for number, image in enumerate(images):
        part = unit(image[mark.area])
        found[number] = _roughness(part, mark, here) < _roughness(part, None, here)
    return found


def _roughness(part: np.ndarray, mark: Mark | None, here: np.ndarray) -> float:
    """The steps between neighbours of an image without the mark, weighted by 1 - alpha."""
    clean = part if mark is None else (part - mark.light) / (1 - mark.alpha)
    kept = np.ones(here.shape) if mark is None else 1 - mark.alpha
    total = 0.0
    for axis in (1, 2):
        steps = np.abs(np.diff(clean, axis=axis)).mean(0)
        scale = np.sqrt(_before(kept, axis - 1) * _behind(kept, axis - 1))
        total += float(np.minimum(steps * scale, 10 * SOFT)[_before(here, axis - 1)].sum())
    return total


def _before(array: np.ndarray, axis: int) -> np.ndarray:
    return np.delete(array, -1, axis)


def _behind(array: np.ndarray, axis: int) -> np.ndarray:
    return np.delete(array, 0, axis)


def unit(image: np.ndarray) -> np.ndarray:
    """Whole numbers as float32 in [0, 1]."""
    return image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)


def remove(image: np.ndarray, mark: Mark) -> np.ndarray:
    """An image (C, H, W), uint8 or uint16, without the mark, in its type.

    What the division makes of the rounding of the pixels is smoothed where the image is.
    """
    top = np.iinfo(image.dtype).max
    clean = (unit(image[mark.area]) - mark.light) / (1 - mark.alpha)
    clean = _smoothed(clean, ((1 / (1 - mark.alpha)) ** 2 - 1) / (12.0 * top**2))
    result = image.copy()
    pixels = np.rint(clean.clip(0, 1) * top).astype(image.dtype)
    result[mark.area] = np.where(
        mark.alpha + np.abs(mark.light).max(0) > 0, pixels, image[mark.area]
    )
    return result


def _smoothed(image: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Wiener's filter in windows of 5 x 5, of an image whose noise has a known variance."""
    mean = ndimage.uniform_filter(image, (0, 5, 5))
    variance = ndimage.uniform_filter(image**2, (0, 5, 5)) - mean**2
    share = np.maximum(variance - noise, 0) / np.maximum(variance, 1e-12)
    return mean + share * (image - mean)


def locate(image: np.ndarray, matte: np.ndarray, colour: np.ndarray) -> Mark:
    """A mark whose matte (h, w) and colours (C, h, w) are known, where it lies in an image.

    By the correlation of gradients; its opacity is the one without which the steps at its edges
    are smallest. Raises `InputError` where it is larger than the image, or is not in it.
    """
    if len(image) == 1:
        colour = np.einsum("c,chw->hw", LUMA, colour)[None]
    part, light = unit(image), matte * colour
    if matte.shape[0] > part.shape[1] or matte.shape[1] > part.shape[2]:
        raise InputError(
            f"The mark is {matte.shape[1]}x{matte.shape[0]}, larger than the image,"
            f" {part.shape[2]}x{part.shape[1]} (width x height): give it at the size that it has"
            " there."
        )
    edges = np.hypot(ndimage.sobel(matte, 0), ndimage.sobel(matte, 1)) > 0.1
    found = [
        (_best(part, [Mark(a * matte, a * light, place) for a in COARSE], edges), place)
        for place in _places(part, matte, light)
    ]
    (gain, near), place = max(found, key=lambda pair: pair[0][0])
    if gain < 0.1:
        raise InputError(
            "The mark is not to be found in it: give the mark at the size that it has there."
        )
    fine = COARSE[near] + FINE
    marks = [Mark(np.minimum(a * matte, MOST), a * light, place) for a in fine[fine > 0]]
    return marks[_best(part, marks, edges)[1]]


def _places(part: np.ndarray, matte: np.ndarray, light: np.ndarray) -> list[tuple[int, int]]:
    """The likeliest places of a mark: where gradients are most like its own, of either sign."""
    score = np.zeros(tuple(np.subtract(part.shape[1:], matte.shape) + 1))
    middle = np.median(part, axis=(1, 2))
    for channel, own in enumerate(light - matte * middle[:, None, None]):
        for axis in (0, 1):
            steps = np.clip(ndimage.sobel(part[channel], axis) / 8, -5 * SOFT, 5 * SOFT)
            score += signal.fftconvolve(steps, ndimage.sobel(own, axis)[::-1, ::-1], "valid")
    found = list[tuple[int, int]]()
    for _ in range(5):
        y, x = map(int, np.unravel_index(score.argmax(), score.shape))
        found.append((y, x))
        score[max(0, y - 4) : y + 5, max(0, x - 4) : x + 5] = -np.inf
    return found


def _best(part: np.ndarray, marks: list[Mark], edges: np.ndarray) -> tuple[float, int]:
    """The share of the steps at the edges that goes with the best of some marks; its number."""
    area = part[marks[0].area]
    rough = [_roughness(area, mark, edges) for mark in marks]
    least = int(np.argmin(rough))
    return 1 - rough[least] / max(_roughness(area, None, edges), 1e-9), least
