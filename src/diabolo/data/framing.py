"""One size for images of many: which one, and how an image comes to it.

`crop` scales an image to cover the size and cuts around its middle, `pad` scales it to fit in and
goes on with the colours of its edges, `stretch` gives up its proportions. Where no size is asked
for, that of most images is kept, if it is small enough to be learnt whole; otherwise it is the
largest square of `SIDES` that the shorter sides of most images reach.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

from diabolo.errors import InputError

Size = tuple[int, int]  # width, height
Fit = Literal["crop", "pad", "stretch"]
HOW: dict[Fit, str] = {
    "crop": "scaled to cover it and cut around the middle",
    "pad": "scaled to fit in, the rest in the colours of their edges",
    "stretch": "stretched to it",
}
LARGEST = 128 * 128  # pixels of an image that is learnt from as it is
SIDES = (8, 16, 24, 32, 48, 64)
FORM = re.compile(r"([1-9]\d{0,3})(?:x([1-9]\d{0,3}))?", re.ASCII)


class Place(NamedTuple):
    """The part `box` (left, top, right, bottom) of an image, and the size that it is given."""

    box: tuple[float, float, float, float]
    size: Size


def read_size(text: str) -> Size:
    """What "64" or "64x48" means. Raises `InputError` for another text."""
    found = FORM.fullmatch(text.strip().lower())
    if found is None:
        raise InputError(
            f"A size is a number of pixels, such as 64, or width x height, such as 64x48, up to"
            f" 9999, but is {text!r}."
        )
    return int(found[1]), int(found[2] or found[1])


def as_fit(name: str | None) -> Fit | None:
    """The way of that name to bring an image to a size."""
    ways = get_args(Fit)
    if name is not None and name not in ways:
        raise InputError(f"fit must be one of {', '.join(ways)}, but is {name!r}.")
    return None if name is None else ways[ways.index(name)]


def in_words(size: Size) -> str:
    """A size as it is written: 64x48."""
    return "{}x{}".format(*size)


def choose(sizes: Sequence[Size]) -> Size:
    """The size that images of some sizes are brought to; one alone stays as it is.

    >>> choose([(28, 28)] * 2 + [(30, 28)]), choose([(400, 300)] * 2), choose([(22, 18), (40, 9)])
    ((28, 28), (64, 48), (8, 8))
    """
    if len(sizes) == 1:
        return sizes[0]
    (usual, count), *others = Counter(sizes).most_common()
    if 2 * count > len(sizes) and usual[0] * usual[1] <= LARGEST:
        return usual
    if not others:
        scale = SIDES[-1] / max(usual)
        return max(SIDES[0], round(usual[0] * scale)), max(SIDES[0], round(usual[1] * scale))
    shorter = sorted(min(size) for size in sizes)[(len(sizes) - 1) // 2]
    side = max((side for side in SIDES if side <= shorter), default=SIDES[0])
    return side, side


def place(size: Size, wanted: Size, fit: Fit) -> Place:
    """Which part of an image of a size becomes how large, within the size that is wanted."""
    (width, height), (wide, high) = size, wanted
    whole = (0.0, 0.0, float(width), float(height))
    if fit == "stretch":
        return Place(whole, wanted)
    if fit == "pad":
        scale = min(wide / width, high / height)
        return Place(whole, (max(1, round(width * scale)), max(1, round(height * scale))))
    scale = max(wide / width, high / height)
    left, top = (width - wide / scale) / 2, (height - high / scale) / 2
    return Place((max(0.0, left), max(0.0, top), width - left, height - top), wanted)


def unframed(
    box: tuple[int, int, int, int], size: Size, wanted: Size, fit: Fit
) -> tuple[int, int, int, int]:
    """Where a box (x, y, width, height) in the framed image lies in the image as it was.

    >>> unframed((2, 2, 4, 4), (20, 40), (8, 8), "pad")
    (0, 10, 20, 20)
    >>> unframed((0, 0, 8, 4), (20, 40), (8, 8), "crop")
    (0, 10, 20, 10)
    """
    part, made = place(size, wanted, fit)
    found = []
    for axis in (0, 1):
        low, high = part[axis], part[axis + 2]
        scale, pad = (high - low) / made[axis], (wanted[axis] - made[axis]) // 2
        ends = (box[axis] - pad, box[axis] + box[axis + 2] - pad)
        first, last = (min(max(low + scale * end, 0), size[axis]) for end in ends)
        found.append((math.floor(first), math.ceil(last) - math.floor(first)))
    (x, width), (y, height) = found
    return x, y, width, height
