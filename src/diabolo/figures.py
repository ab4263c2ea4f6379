"""Pictures of what an autoencoder learnt: functions of arrays that return a matplotlib Figure.

Values of images are in [0, 1]. Pictures are laid out in pixels at `DPI`, at most `WIDTH` wide,
with whole multiples of an image's own pixels, and letters that can be read at 360 pixels.
Colours come from the theme in force:

    with theme(dark=False):
        png = to_png(loss([0.27, 0.12, 0.10], unit="nats per pixel"))

The ten colours of the digits follow M. A. Petroff, "Accessible Color Sequences for Data
Visualization", 2021 (lighter on a dark page).
"""

import io
import math
import textwrap
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.textpath import TextPath
from matplotlib.ticker import MaxNLocator

from diabolo.errors import InputError

DPI = 150
WIDTH = 840
MARGIN = 14
GAP = 6
SMALL, NORMAL, LARGE = 8.0, 9.5, 11.0

LIGHT = {
    "page": "#ffffff",
    "text": "#1c1e21",
    "muted": "#5f6773",
    "faint": "#d9dce1",
    "colours": "3f90da ffa90e bd1f01 94a4a2 832db6 a96b59 e76300 b9ac70 717581 92dadd",
}
DARK = {
    "page": "#15171c",
    "text": "#e8eaed",
    "muted": "#a3a9b3",
    "faint": "#3a3f48",
    "colours": "5aa9f0 ffc04d f0604d b3c2c0 b07be0 c9917f ff8a3d d6ca90 868c9b a5e8ea",
}
_DRAWING = threading.RLock()


@contextmanager
def theme(dark: bool = False) -> Iterator[None]:
    """Draw figures for a light or a dark page; one thread at a time, others wait."""
    with _DRAWING, mpl.rc_context(_settings(DARK if dark else LIGHT)):
        yield


def _settings(colours: Mapping[str, str]) -> dict[str, object]:
    page, text, muted, faint = (colours[k] for k in ("page", "text", "muted", "faint"))
    return {
        "font.family": "sans-serif",
        "font.sans-serif": ["Helvetica Neue", "Helvetica", "Arial", "Segoe UI", "DejaVu Sans"],
        "font.size": NORMAL,
        "figure.facecolor": page,
        "axes.facecolor": page,
        "text.color": text,
        "axes.labelcolor": text,
        "axes.edgecolor": muted,
        "xtick.color": muted,
        "ytick.color": muted,
        "grid.color": faint,
        "grid.linewidth": 0.6,
        "axes.grid.axis": "y",
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.linewidth": 0.6,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "axes.titlesize": LARGE,
        "axes.titleweight": "bold",
        "axes.titlepad": 10,
        "axes.prop_cycle": cycler(color=[f"#{c}" for c in colours["colours"].split()]),
        "legend.frameon": False,
        "lines.linewidth": 1.8,
    }


def to_png(figure: Figure) -> bytes:
    """The figure as a PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


# Curves


def loss(
    loss: Sequence[float],
    val_loss: Sequence[float] | None = None,
    *,
    unit: str,
    first_epoch: int = 1,
) -> Figure:
    """Training and validation loss over the epochs, each with its last value."""
    figure, axes = _plot(520)
    epochs = np.arange(first_epoch, first_epoch + len(loss))
    marker = "o" if len(epochs) <= 30 else ""
    for name, values in [("training", loss), ("validation", val_loss)]:
        if values is not None and len(values):
            label = f"{name}  {_number(values[-1])}"
            axes.plot(epochs, np.asarray(values, float), marker=marker, ms=4, label=label)
    axes.set(xlabel="Epoch", ylabel=f"Loss ({unit})")
    axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend(loc="upper right")
    return figure


def iterations(step_loss: Sequence[float] | np.ndarray, *, unit: str, title: str) -> Figure:
    """Loss per iteration and its running mean, from 0; a few early peaks may lie above."""
    values = np.asarray(step_loss, float)
    figure, axes = _plot(520)
    steps = np.arange(1, len(values) + 1)
    window = max(1, len(values) // 100)
    if window > 1:
        axes.plot(steps, values, lw=0.5, alpha=0.45)
    label = f"mean of {window} iterations" if window > 1 else None
    axes.plot(steps, _running_mean(values, window), color=_colours()[1], label=label)
    top = _view(values)
    hidden = int((values > top).sum())
    axes.set(xlim=(0, len(values) + 1), ylim=(0, top), title=title)
    note = f"Iteration ({hidden} of {len(values):,} above the view)" if hidden else "Iteration"
    axes.set(xlabel=note, ylabel=f"Loss ({unit})")
    axes.grid(True, axis="both")
    if label:
        axes.legend(loc="upper right")
    return figure


def _view(values: np.ndarray) -> float:
    """An upper end of the axis that a few extreme values do not spoil."""
    largest, high = float(values.max()), float(np.percentile(values, 99))
    top = 1.05 * largest if largest <= 1.5 * high else 1.15 * high
    return top if top > 0 else 1.0


def _running_mean(values: np.ndarray, window: int) -> np.ndarray:
    sums = np.concatenate([[0.0], np.cumsum(values)])
    centre = np.arange(len(values))
    low = np.maximum(centre - window // 2, 0)
    high = np.minimum(centre + window // 2 + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)


def error_histogram(
    errors: Sequence[float] | np.ndarray, *, unit: str, title: str = "Test Data"
) -> Figure:
    """How many samples have which reconstruction error, with mean and percentiles."""
    values = np.asarray(errors, float)
    figure, axes = _plot(560)
    spread = float(np.ptp(values)) or abs(float(values[0])) or 1.0
    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = low - spread / 2, high + spread / 2
    bins = 1 if len(values) == 1 else 60
    counts, _, _ = axes.hist(values, bins=bins, range=(low, high), alpha=0.75)
    p99 = float(np.percentile(values, 99))
    axes.set_xlim(low - 0.02 * spread, max(high, p99 + 0.42 * spread))
    axes.set_ylim(0, 1.55 * float(np.max(counts)))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    _mark(axes, values)
    axes.set(xlabel=f"Error ({unit})", ylabel="Frequency", title=title)
    return figure


def _mark(axes: Axes, values: np.ndarray) -> None:
    """Lines that fall from left to right, so that each one's label is clear of the others."""
    marks = [(float(np.percentile(values, q)), f"{q}% below") for q in (5, 50, 95, 99)]
    marks = sorted([*marks, (float(values.mean()), "mean")])
    accent = _colours()[2]
    for i, (x, name) in enumerate(marks):
        height = 0.97 - 0.068 * i
        colour = accent if name == "mean" else _muted()
        axes.axvline(x, 0, height, color=colour, lw=1, ls="-" if name == "mean" else (0, (3, 2)))
        axes.annotate(
            f"{name}  {_number(x)}",
            (x, height),
            xycoords=axes.get_xaxis_transform(),
            xytext=(4, 0),
            textcoords="offset points",
            va="top",
            size=SMALL,
            color=colour,
        )


def latent(
    points: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    axes: tuple[str, str] = ("code 1", "code 2"),
    title: str | None = None,
) -> Figure:
    """Codes in two dimensions, one colour a class, with the class named in its middle."""
    figure, plot = _plot(840)
    dots = {"s": float(np.clip(30000 / max(len(points), 1), 3, 30)), "lw": 0, "rasterized": True}
    if labels is None:
        plot.scatter(*points.T, alpha=0.4, **dots)
    else:
        names, index = np.unique(labels, return_inverse=True)
        colours = _class_colours(len(names))
        plot.scatter(*points.T, c=[(*c[:3], 0.55) for c in colours[index]], **dots)
        if len(names) <= 20:
            _name_classes(figure, plot, points, names, index, colours)
    plot.set(xlabel=axes[0], ylabel=axes[1], title=title)
    plot.grid(False)
    return figure


def _name_classes(
    figure: Figure,
    plot: Axes,
    points: np.ndarray,
    names: np.ndarray,
    index: np.ndarray,
    colours: np.ndarray,
) -> None:
    halo = [withStroke(linewidth=3, foreground=mpl.rcParams["figure.facecolor"])]
    for i, name in enumerate(names):
        x, y = np.median(points[index == i], axis=0)
        style = {"weight": "bold", "size": LARGE, "path_effects": halo}
        plot.text(x, y, str(name), ha="center", va="center", **style)
    handles = [Line2D([], [], marker="o", ls="", color=c, ms=6) for c in colours]
    figure.legend(
        handles,
        [str(name) for name in names],
        loc="outside lower center",
        ncols=min(len(names), 10),
        handletextpad=0,
        columnspacing=1,
    )


def _class_colours(count: int) -> np.ndarray:
    if count <= 10:
        return np.array([to_rgba(c) for c in _colours()[:count]])
    return np.asarray(mpl.colormaps["viridis"](np.linspace(0, 1, count)))


def table_rows(original: np.ndarray, output: np.ndarray, columns: Sequence[str]) -> Figure:
    """Heat maps of samples (N, D), of their reconstructions and of the difference.

    Each column is scaled to the range of its originals. Up to 30 columns are named.
    """
    if original.shape != output.shape or original.shape[1] != len(columns):
        shapes = f"{original.shape}, {output.shape} and {len(columns)} names"
        raise InputError(f"originals, outputs and column names must agree, not {shapes}")
    low, high = original.min(axis=0), original.max(axis=0)
    span = np.where(high > low, high - low, 1)
    x, y = (original - low) / span, (output - low) / span
    named = len(columns) <= 30
    longest = max(len(name) for name in columns) if named else 0
    height = 3 * (70 + int(np.clip(26 * len(x), 60, 400))) + 90 + 11 * min(longest, 24)
    figure, _ = _plot(height, rows=3)
    for axes, name, values in zip(
        figure.axes, ["original", "reconstruction", "difference"], [x, y, y - x], strict=True
    ):
        _heat_map(figure, axes, name, values)
    if named:
        names = [name if len(name) <= 24 else f"{name[:23]}…" for name in columns]
        figure.axes[2].set_xticks(range(len(names)), names, rotation=90, size=SMALL)
    return figure


def _heat_map(figure: Figure, axes: Axes, name: str, values: np.ndarray) -> None:
    blue, orange = _colours()[0], _colours()[6]
    middle = mpl.rcParams["figure.facecolor"]
    if name == "difference":
        limit = float(np.abs(values).max()) or 1.0
        colours = LinearSegmentedColormap.from_list(name, [blue, middle, orange])
        image = axes.imshow(values, cmap=colours, vmin=-limit, vmax=limit, aspect="auto")
    else:
        image = axes.imshow(values, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(labelsize=SMALL)
    axes.set_title(name, size=NORMAL, pad=6)
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _plot(height: int, rows: int = 1) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, layout="constrained")
    figure.get_layout_engine().set(w_pad=MARGIN / DPI, h_pad=MARGIN / DPI)  # type: ignore[union-attr]
    for row in range(rows):
        figure.add_subplot(rows, 1, row + 1)
    return figure, figure.axes[0]


# Rows and tiles of pictures


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
    pictures = [(label.replace(" ", "\n"), _pictures(values)) for label, values in rows]
    left = MARGIN + 10 + max(_text_width(label, NORMAL) for label, _ in pictures)
    cell = _cell(WIDTH - left - MARGIN, counts.pop(), [p for _, p in pictures])
    notes = [captions.get(label, ()) for label, _ in rows]
    return _draw_rows(pictures, notes, left, cell, title)


def _draw_rows(
    pictures: Sequence[tuple[str, np.ndarray]],
    notes: Sequence[Sequence[str]],
    left: int,
    cell: int,
    title: str | None,
) -> Figure:
    heights = [_height(values, cell) for _, values in pictures]
    steps = [h + GAP + (26 if note else 0) for h, note in zip(heights, notes, strict=True)]
    top = _title_height(title)
    pitch = cell + GAP
    width = left + len(pictures[0][1]) * pitch - GAP + MARGIN
    figure, axes = _canvas(width, top + sum(steps) - GAP + MARGIN, title)
    for (label, values), note, height, step in zip(pictures, notes, heights, steps, strict=True):
        middle = top + height / 2
        axes.text(left - 10, middle, label, ha="right", va="center_baseline", size=NORMAL)
        for i, picture in enumerate(values):
            _picture(axes, picture, left + i * pitch, top, cell, height)
        _captions(axes, note, left + cell / 2, top + height + 4, pitch)
        top += step
    return figure


def traversal(
    images: np.ndarray,
    labels: Sequence[str],
    *,
    captions: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """What each dimension of the code does: (K, S, H, W) or (K, S, C, H, W), one row each.

    `captions` stand under the last row: the S values that the dimension takes.
    """
    below = {labels[-1]: captions} if captions else None
    return rows(list(zip(labels, images, strict=True)), captions=below, title=title)


def grid(images: np.ndarray, *, title: str | None = None) -> Figure:
    """Pictures as a nearly square table, read line by line."""
    return _tiles(images, math.ceil(math.sqrt(len(images))), title, ())


def strip(
    images: np.ndarray, *, title: str | None = None, captions: Sequence[str] | None = None
) -> Figure:
    """Pictures in one row, such as an interpolation; more than 12 in several."""
    lines = math.ceil(len(images) / 12)
    return _tiles(images, math.ceil(len(images) / lines), title, captions or ())


def _tiles(images: np.ndarray, columns: int, title: str | None, captions: Sequence[str]) -> Figure:
    pictures = _pictures(images)
    cell = _cell(WIDTH - 2 * MARGIN, columns, [pictures])
    height, pitch, top = _height(pictures, cell), cell + GAP, _title_height(title)
    step = height + GAP + (26 if captions else 0)
    lines = math.ceil(len(pictures) / columns)
    width = 2 * MARGIN + columns * pitch - GAP
    figure, axes = _canvas(width, top + lines * step - GAP + MARGIN, title)
    for line in range(lines):
        part = slice(line * columns, (line + 1) * columns)
        for i, picture in enumerate(pictures[part]):
            _picture(axes, picture, MARGIN + i * pitch, top + line * step, cell, height)
        below = top + line * step + height + 4
        _captions(axes, captions[part], MARGIN + cell / 2, below, pitch)
    return figure


def _pictures(values: np.ndarray) -> np.ndarray:
    """Gray (n, h, w), NaN where empty, or colour (n, h, w, 3); all in [0, 1]."""
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


def _cell(room: int, count: int, pictures: Sequence[np.ndarray]) -> int:
    """Width of a picture: what there is room for, in whole multiples of its own pixels."""
    each = int(np.clip((room - (count - 1) * GAP) // count, 24, 168))
    finest = max(p.shape[2] for p in pictures)
    return each - each % finest if each >= finest else each


def _height(pictures: np.ndarray, cell: int) -> int:
    height, width = pictures.shape[1:3]
    return max(round(cell * height / width), cell // 4)


def _picture(axes: Axes, picture: np.ndarray, x: int, y: int, width: int, height: int) -> None:
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
    frame = mpl.rcParams["grid.color"]
    axes.add_patch(Rectangle((x, y), width, height, fill=False, ec=frame, lw=0.5))


def _captions(axes: Axes, texts: Sequence[str], x: float, y: float, pitch: int) -> None:
    widest = max((_text_width(text, SMALL) for text in texts), default=1)
    size = SMALL * min(1.0, (pitch - 4) / max(widest, 1))
    for i, text in enumerate(texts):
        axes.text(x + i * pitch, y, text, ha="center", va="top", size=size, color=_muted())


# The network


class Layer(Protocol):
    """One line of a network's summary; `shape` is its output's, without the batch."""

    @property
    def part(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def parameters(self) -> int: ...


@dataclass
class _Box:
    """A layer with the activations that follow it."""

    part: str
    name: str
    shape: tuple[int, ...]
    parameters: int = 0


COLUMN, BAR, BOX_GAP, LINE = 262, 26, 30, 21


def architecture(
    layers: Sequence[Layer], *, input_shape: tuple[int, ...], title: str | None = None
) -> Figure:
    """The autoencoder, its encoder and its decoder, from top to bottom, side by side.

    Each box is a layer with its activation, its output shape and its number of parameters.
    The parts are "encoder", "code" and "decoder"; the parameters of the code count as the
    encoder's. Without a layer of the part "code", the last output of the encoder is shown as it.
    """
    boxes = _boxes(layers, tuple(input_shape))
    turn = max(i for i, box in enumerate(boxes) if box.part != "decoder")
    tops = np.cumsum([_title_height(title) + 44, *(_box_height(b) + BOX_GAP for b in boxes)])
    first, second = (
        sum(b.parameters for b in part) for part in (boxes[: turn + 1], boxes[turn + 1 :])
    )
    start = _Box("code", "Code", boxes[turn].shape)
    columns = [
        ("Autoencoder", boxes, 0, f"total {first + second:,}"),
        ("Encoder", boxes[: turn + 1], 0, f"encoder {first:,}"),
        ("Decoder", [start, *boxes[turn + 1 :]], turn, f"decoder {second:,}"),
    ]
    figure, axes = _canvas(WIDTH, int(tops[-1]) + 40, title)
    for i, (name, part, offset, total) in enumerate(columns):
        _column(axes, MARGIN + i * (COLUMN + 13), name, part, tops[offset:], total)
    return figure


def _boxes(layers: Sequence[Layer], input_shape: tuple[int, ...]) -> list[_Box]:
    boxes = [_Box("input", "Input", input_shape)]
    for layer in layers:
        if layer.part == "decoder" and not any(b.part in ("code", "decoder") for b in boxes):
            boxes.append(_Box("code", "Code", boxes[-1].shape))
        if _folds(layer, boxes[-1]):
            boxes[-1].name += f" + {layer.name}"
        else:
            boxes.append(_Box(layer.part, layer.name, layer.shape, layer.parameters))
    return boxes


def _folds(layer: Layer, box: _Box) -> bool:
    same = layer.part == box.part and tuple(layer.shape) == box.shape
    return same and not layer.parameters


def _box_lines(box: _Box) -> list[str]:
    return textwrap.wrap(box.name, 23)


def _box_height(box: _Box) -> int:
    return max(66, 14 + LINE * (1 + len(_box_lines(box))))


def _column(
    axes: Axes, x: int, title: str, boxes: Sequence[_Box], tops: np.ndarray, total: str
) -> None:
    middle = x + BAR + (COLUMN - BAR) / 2
    axes.text(middle, tops[0] - 16, title, ha="center", weight="bold", size=NORMAL)
    for i, box in enumerate(boxes):
        _draw_box(axes, x + BAR, float(tops[i]), box)
    ends = [top + _box_height(box) for top, box in zip(tops, boxes, strict=False)]
    for end, start in zip(ends, tops[1:], strict=False):
        if end != ends[-1]:
            arrow = {"arrowstyle": "-|>", "color": _muted(), "lw": 0.8, "shrinkA": 0, "shrinkB": 0}
            axes.annotate("", (middle, start), (middle, end), arrowprops=arrow)
    for part, group in groupby(range(len(boxes)), key=lambda i: boxes[i].part):
        members = list(group)
        _bar(axes, x, tops[members[0]], ends[members[-1]], part)
    axes.text(middle, ends[-1] + 10, total, ha="center", va="top", weight="bold", size=SMALL)


def _bar(axes: Axes, x: float, top: float, bottom: float, part: str) -> None:
    """What the boxes between top and bottom belong to, as a colour and a word."""
    colour = _part_colour(part)
    axes.add_patch(Rectangle((x, top), 4, bottom - top, color=colour, lw=0))
    style = {"ha": "center", "va": "center", "rotation": 90, "size": 7, "color": _muted()}
    axes.text(x + 14, (top + bottom) / 2, part, **style)


def _draw_box(axes: Axes, x: float, top: float, box: _Box) -> None:
    colour, width, height = _part_colour(box.part), COLUMN - BAR, _box_height(box)
    patch = FancyBboxPatch(
        (x, top), width, height, boxstyle="round,pad=0,rounding_size=7", ec=colour, lw=1
    )
    patch.set_facecolor((*to_rgba(colour)[:3], 0.13))
    axes.add_patch(patch)
    lines = _box_lines(box)
    y = top + (height - LINE * (1 + len(lines))) / 2 + LINE / 2
    for line in lines:
        axes.text(x + 10, y, line, va="center", size=SMALL)
        y += LINE
    shape = " × ".join(str(size) for size in box.shape)  # noqa: RUF001
    axes.text(x + 10, y, shape, va="center", size=SMALL, color=_muted())
    if box.parameters:
        right, count = x + width - 10, f"{box.parameters:,}"
        axes.text(right, y, count, va="center", ha="right", size=SMALL, color=_muted())


def _part_colour(part: str) -> str:
    colours = _colours()
    return {"encoder": colours[0], "code": colours[1], "decoder": colours[4]}.get(part, _muted())


# Shared


def _canvas(width: int, height: int, title: str | None) -> tuple[Figure, Axes]:
    """One pair of axes over the whole figure whose units are pixels, from the top left."""
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    axes.set_axis_off()
    if title:
        axes.text(MARGIN, MARGIN, title, va="top", size=LARGE, weight="bold")
    return figure, axes


def _title_height(title: str | None) -> int:
    return MARGIN + (38 if title else 0)


def _text_width(text: str, size: float) -> int:
    """Width in pixels of the widest line."""
    widths = [
        TextPath((0, 0), line or " ", size=size).get_extents().width for line in text.split("\n")
    ]
    return math.ceil(max(widths) * DPI / 72)


def _number(value: float) -> str:
    return f"{value:.3g}"


def _colours() -> list[str]:
    colours: list[str] = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    return colours


def _muted() -> str:
    return str(mpl.rcParams["xtick.color"])
