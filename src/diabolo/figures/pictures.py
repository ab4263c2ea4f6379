"""Rows, tiles and sheets of pictures, with whole multiples of an image's own pixels."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from diabolo.errors import InputError
from diabolo.figures.style import (
    COLOURS,
    FAINT,
    GAP,
    MARGIN,
    MUTED,
    NORMAL,
    PAPER,
    PLAIN,
    SMALL,
    WIDTH,
    new_canvas,
    short,
    shortened,
    text_width,
    title_height,
)

Box = tuple[int, int, int, int]
HEAT = "inferno"  # colours of errors, from black


def code_shape(k: int) -> tuple[int, int]:
    """Rows and columns in which a code of `k` numbers is drawn as a picture.

    A square number is a square, up to 32 others one row; beyond, the two factors next to the
    root, or where they differ too much a near square whose last cells stay empty.
    """
    root = math.isqrt(k)
    if root**2 == k:
        return root, root
    if k <= 32:
        return 1, k
    rows = next(r for r in range(root, 0, -1) if k % r == 0)
    if k // rows <= 4 * rows:
        return rows, k // rows
    return math.ceil(k / (root + 1)), root + 1


def rows(
    rows: Sequence[tuple[str, np.ndarray]],
    *,
    captions: Mapping[str, Sequence[str]] | None = None,
    title: str | None = None,
) -> Figure:
    """Labelled rows of pictures, one sample a column: originals, codes, reconstructions.

    A row is (n, H, W), (n, C, H, W) or codes (n, K), drawn through `code_shape` from black
    (the least value of the row) to white. `captions` gives short strings for under the
    pictures of a row, by its label.
    """
    captions = captions or {}
    counts = {len(values) for _, values in rows}
    if len(counts) != 1 or 0 in counts:
        raise InputError(f"rows of pictures must be of one length, not {sorted(counts)}")
    pictures = [as_pictures(values) for _, values in rows]
    labels = [textwrap.fill(label, 15, break_long_words=False) for label, _ in rows]
    notes = [captions.get(label, ()) for label, _ in rows]
    left = MARGIN + 10 + max(text_width(label, NORMAL) for label in labels)
    lattice = _lattice(left, counts.pop(), _finest([values for _, values in rows]))
    steps = [_step(p, lattice, note) for p, note in zip(pictures, notes, strict=True)]
    top = title_height(title)
    figure, axes = new_canvas(lattice.width, top + sum(steps) - GAP + MARGIN, title)
    for label, values, note, step in zip(labels, pictures, notes, steps, strict=True):
        middle = top + _height(values, lattice.cell) / 2
        axes.text(left - 10, middle, label, ha="right", va="center_baseline", size=NORMAL)
        _line(axes, values, note, lattice, top)
        top += step
    return figure


def panels(
    labels: Sequence[str],
    lines: Sequence[Sequence[np.ndarray]],
    *,
    captions: Sequence[Sequence[str]] | None = None,
) -> Figure:
    """Large images under their labels, (H, W) or (C, H, W): the whole, and its middle enlarged.

    A line has the versions of one image, one for each label; `captions` stand under the whole.
    The middle is drawn pixel by pixel, as its label says, and left out where the whole shows as
    much.
    """
    cell = (WIDTH - 2 * MARGIN - (len(labels) - 1) * GAP) // len(labels)
    lattice = _Lattice(MARGIN, cell, cell + GAP, WIDTH)
    shown: list[tuple[np.ndarray, Sequence[str]]] = []
    for number, line in enumerate(lines):
        whole = as_pictures(np.stack(line))
        shown.append((whole, captions[number] if captions else ()))
        height, width = whole.shape[1:3]
        if width > cell:
            side = min(cell, height)
            top, left = (height - side) // 2, (width - cell) // 2
            middle = whole[:, top : top + side, left : left + cell]
            shown.append((middle, ["zoom into the middle"]))
    heads = MARGIN + 22
    steps = [_height(p, cell) + GAP + (40 if any(note) else 0) for p, note in shown]
    figure, axes = new_canvas(WIDTH, heads + sum(steps) - GAP + MARGIN, None)
    for number, label in enumerate(labels):
        x = MARGIN + cell / 2 + number * lattice.pitch
        axes.text(x, heads - 7, label, ha="center", va="baseline", size=NORMAL)
    top = heads
    for (pictures, note), step in zip(shown, steps, strict=True):
        _line(axes, pictures, note, lattice, top)
        top += step
    return figure


def traversal(images: np.ndarray, labels: Sequence[str]) -> Figure:
    """What each dimension of the code does: (K, S, H, W) or (K, S, C, H, W), one row each."""
    return rows(list(zip(labels, images, strict=True)))


def grid(images: np.ndarray, *, title: str | None = None) -> Figure:
    """Pictures as a nearly square table, read line by line."""
    return _tiles(images, math.ceil(math.sqrt(max(len(images), 1))), title, ())


def strip(
    images: np.ndarray, *, title: str | None = None, captions: Sequence[str] | None = None
) -> Figure:
    """Pictures in one row, such as an interpolation; more than 12 in several."""
    lines = math.ceil(max(len(images), 1) / 12)
    return _tiles(images, math.ceil(len(images) / lines), title, captions or ())


def neighbours(images: np.ndarray, captions: Sequence[str]) -> Figure:
    """A picture and those like it, six a row, with lines of text under each, cut to its width."""
    columns = min(max(len(images), 1), 6)
    room = _lattice(MARGIN, columns, _finest([images])).pitch - GAP
    cut = ["\n".join(shortened(line, room) for line in text.split("\n")) for text in captions]
    return _tiles(images, columns, None, cut)


def _tiles(images: np.ndarray, columns: int, title: str | None, captions: Sequence[str]) -> Figure:
    pictures = as_pictures(images)
    lattice = _lattice(MARGIN, columns, _finest([images]))
    gap, top = lattice.pitch - lattice.cell, title_height(title)
    step = _step(pictures, lattice, captions) - GAP + gap
    lines = math.ceil(len(pictures) / columns)
    figure, axes = new_canvas(lattice.width, top + lines * step - gap + MARGIN, title)
    for line in range(lines):
        part = slice(line * columns, (line + 1) * columns)
        _line(axes, pictures[part], captions[part], lattice, top + line * step)
    return figure


@dataclass
class _Lattice:
    """Where the columns of pictures stand, in pixels."""

    left: int
    cell: int
    pitch: int
    width: int


def _lattice(left: int, count: int, pixels: int) -> _Lattice:
    """Cells as wide as there is room for, in whole multiples of an image's own pixels."""
    room = WIDTH - left - MARGIN
    cell = int(np.clip((room + GAP) // count - GAP, 24, 168))
    if cell >= pixels:
        cell -= cell % pixels
    gap = int(np.clip((room - count * cell) // max(count - 1, 1), GAP, max(GAP, cell // 6)))
    return _Lattice(left, cell, cell + gap, left + count * (cell + gap) - gap + MARGIN)


def _finest(arrays: Sequence[np.ndarray]) -> int:
    """Width of the widest images; codes, which have no pixels of their own, do not count."""
    return max((values.shape[-1] for values in arrays if values.ndim > 2), default=1)


def _step(pictures: np.ndarray, lattice: _Lattice, captions: Sequence[str]) -> int:
    lines = max((text.count("\n") + 1 for text in captions), default=0)
    return _height(pictures, lattice.cell) + GAP + (4 + 20 * lines if lines else 0)


def _line(
    axes: Axes, pictures: np.ndarray, captions: Sequence[str], lattice: _Lattice, top: int
) -> None:
    height = _height(pictures, lattice.cell)
    widest = max([1, *(text_width(part, SMALL) for text in captions for part in text.split("\n"))])
    style: dict[str, Any] = {"size": SMALL * min(1, (lattice.pitch - 6) / widest)}
    for i, picture in enumerate(pictures):
        _picture(axes, picture, (lattice.left + i * lattice.pitch, top, lattice.cell, height))
    for i, text in enumerate(captions):
        x = lattice.left + lattice.cell / 2 + i * lattice.pitch
        axes.text(x, top + height + 4, text, ha="center", va="top", color=MUTED, **style)


def as_pictures(values: np.ndarray) -> np.ndarray:
    """Gray (n, h, w), NaN where empty, or colour (n, h, w, 3); all in [0, 1]."""
    if len(values) == 0:
        raise InputError("there are no pictures to draw")
    if values.ndim == 2:
        return _code_pictures(values)
    if values.ndim == 4 and values.shape[1] == 1:
        values = values[:, 0]
    elif values.ndim == 4 and values.shape[1] == 3:
        values = np.moveaxis(values, 1, -1)
    elif values.ndim != 3:
        raise InputError(
            f"pictures are (n, H, W), (n, 1, H, W) or (n, 3, H, W); this is {values.shape}"
        )
    return np.clip(values, 0, 1)


def _code_pictures(codes: np.ndarray) -> np.ndarray:
    low, high = codes.min(), codes.max()
    height, width = code_shape(codes.shape[1])
    cells = np.full((len(codes), height * width), np.nan)
    cells[:, : codes.shape[1]] = (codes - low) / ((high - low) or 1)
    return cells.reshape(-1, height, width)


def _height(pictures: np.ndarray, cell: int) -> int:
    height, width = pictures.shape[1:3]
    return max(round(cell * height / width), cell // 4)


def _picture(axes: Axes, picture: np.ndarray, place: tuple[int, int, int, int]) -> None:
    x, y, width, height = place
    shrunk = picture.shape[1] > width
    axes.imshow(
        picture,
        cmap="gray",
        vmin=0,
        vmax=1,
        extent=(x, x + width, y + height, y),
        aspect="auto",
        interpolation="antialiased" if shrunk else "nearest",
    )
    axes.add_patch(Rectangle((x, y), width, height, fill=False, ec=FAINT, lw=0.5))


def contact_sheet(
    rows: Sequence[tuple[str, np.ndarray]],
    errors: np.ndarray,
    captions: Sequence[Sequence[str]],
    *,
    boxes: Sequence[Box | None] = (),
    title: str | None = None,
) -> Figure:
    """Samples, each as pictures side by side, last its errors (n, H, W) as a heatmap.

    A box (x, y, width, height), in pixels of the images, is drawn on the first and on the errors.

    `rows` are as in `rows`. The errors share one scale of colours, from 0, which a bar at the
    bottom explains; `captions` gives the lines of text under each sample.
    """
    heat, top = _heat(errors)
    columns = [(name, as_pictures(values)) for name, values in rows] + [("error", heat)]
    across = min(len(heat), max(6 // len(columns), 1))
    lattice = _sheet_lattice([name for name, _ in columns], across, errors.shape[-1])
    step = _height(heat, lattice.cell) + 20 * max(map(len, captions)) + 6 + GAP + MARGIN
    first, down = title_height(title) + 22, math.ceil(len(heat) / across)
    figure, axes = new_canvas(lattice.width, first + down * step + 52, title)
    for number, (name, _) in enumerate(columns * across):
        block, k = divmod(number, len(columns))
        x = lattice.left + block * lattice.pitch + k * (lattice.cell + GAP) + lattice.cell / 2
        axes.text(x, first - 5, name, ha="center", color=MUTED, size=SMALL)
    for i, lines in enumerate(captions):
        place = (lattice.left + i % across * lattice.pitch, first + i // across * step)
        _sheet_block(axes, [pictures[i] for _, pictures in columns], lines, lattice.cell, place)
        if i < len(boxes) and (box := boxes[i]) is not None:
            scale = lattice.cell / errors.shape[-1]
            for k in (0, len(columns) - 1):
                _box(axes, box, scale, (place[0] + k * (lattice.cell + GAP), place[1]))
    _heat_bar(axes, lattice.left, first + down * step + 4, top)
    return figure


def _sheet_block(
    axes: Axes,
    pictures: Sequence[np.ndarray],
    lines: Sequence[str],
    cell: int,
    place: tuple[int, int],
) -> None:
    """Pictures side by side, and lines of text under them, the first the darkest."""
    (x, y), height = place, _height(pictures[-1][None], cell)
    for k, picture in enumerate(pictures):
        _picture(axes, picture, (x + k * (cell + GAP), y, cell, height))
    for k, line in enumerate(lines):
        text = shortened(line, len(pictures) * (cell + GAP) - GAP)
        style = PLAIN | ({"color": MUTED} if k else {})
        axes.text(x, y + height + 6 + 20 * k, text, va="top", **style)


def _box(axes: Axes, box: Box, scale: float, place: tuple[int, int]) -> None:
    """A frame around a part of a picture that is drawn at a place."""
    x, y, width, height = (scale * side for side in box)
    for colour, thick in ((PAPER, 2.4), (COLOURS[2], 1.2)):
        where = place[0] + x, place[1] + y
        axes.add_patch(Rectangle(where, width, height, fill=False, ec=colour, lw=thick))


def _heat(errors: np.ndarray) -> tuple[np.ndarray, float]:
    """Heatmaps (n, h, w, 3) of errors, and the largest of these, which is the lightest."""
    top = float(errors.max()) or 1.0
    return mpl.colormaps[HEAT](errors / top)[..., :3], top


def _sheet_lattice(names: Sequence[str], across: int, pixels: int) -> _Lattice:
    """Blocks of a cell for each name with small gaps, `across` of them with larger ones."""
    between, room, each = 22, WIDTH - 2 * MARGIN, len(names)
    cell = ((room + between) // across - between + GAP) // each - GAP
    cell = max(min(cell, 168), *(text_width(name, SMALL) for name in names))
    if cell >= pixels:
        cell -= cell % pixels
    pitch = each * (cell + GAP) - GAP + between
    return _Lattice(MARGIN, cell, pitch, 2 * MARGIN + across * pitch - between)


def _heat_bar(axes: Axes, x: int, y: int, top: float) -> None:
    """The scale of colours from 0 to `top`."""
    zero, words = "0", f"{short(top)}  squared error, in scaled units"
    left = x + text_width(zero, SMALL) + 8
    axes.text(x, y + 7, zero, va="center_baseline", size=SMALL, color=MUTED)
    colours = mpl.colormaps[HEAT](np.linspace(0, 1, 256))[None, :, :3]
    axes.imshow(colours, extent=(left, left + 160, y + 14, y), aspect="auto")
    axes.text(left + 168, y + 7, words, va="center_baseline", size=SMALL, color=MUTED)
