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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, Protocol

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.textpath import TextPath
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, PercentFormatter

from diabolo.errors import InputError

DPI = 150
WIDTH = 840
MARGIN = 14
GAP = 6
NAMED = 20  # classes in a legend
SMALL, NORMAL, LARGE = 8.0, 9.5, 11.0
HEAT = "inferno"  # colours of errors, from black
PLAIN: dict[str, Any] = {"size": SMALL, "parse_math": False}

LIGHT = {
    "page": "#ffffff",
    "text": "#1c1e21",
    "muted": "#5f6773",
    "faint": "#d9dce1",
    "colours": "3f90da ffa90e bd1f01 94a4a2 832db6 a96b59 e76300 b9ac70 4a4e57 92dadd",
}
DARK = {
    "page": "#15171c",
    "text": "#e8eaed",
    "muted": "#a3a9b3",
    "faint": "#3a3f48",
    "colours": "5aa9f0 ffc04d f0604d c3cfcd b07be0 c9917f ff8a3d d6ca90 6f7788 a5e8ea",
}
_DRAWING = threading.RLock()


@contextmanager
def theme(dark: bool = False) -> Iterator[None]:
    """Draw figures for a light or a dark page: the functions below and `to_png`.

    The settings are matplotlib's and global, so one thread draws at a time; others wait.
    """
    with _DRAWING, mpl.rc_context(_settings(DARK if dark else LIGHT)):
        yield


def _settings(colours: Mapping[str, str]) -> dict[Any, Any]:
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
        "legend.edgecolor": page,
        "legend.fancybox": False,
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
    curves = {"training": loss, "validation": val_loss}
    for name, curve in curves.items():
        if curve is not None:
            values = _values(curve)
            label = f"{name}  {_number(values[-1])}"
            axes.plot(epochs, values, label=label, **_markers(len(epochs)))
    axes.set(xlabel="Epoch", ylabel=f"Loss ({unit})")
    axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend()
    return figure


def iterations(step_loss: Sequence[float] | np.ndarray, *, unit: str, title: str) -> Figure:
    """Loss per iteration and its running mean, from 0; a few peaks may lie above the view."""
    values = _values(step_loss)
    figure, axes = _plot(520)
    steps = np.arange(1, len(values) + 1)
    window = max(1, len(values) // 100)
    if window == 1:
        axes.plot(steps, values, **_markers(len(values)))
    else:
        axes.plot(steps, values, lw=0.5, alpha=0.5, label="each iteration")
        mean = _running_mean(values, window)
        axes.plot(steps, mean, color=_colours()[6], label=f"mean of {window}")
        axes.legend(loc="upper right")
    top = 1.05 * _view(values) or 1.0
    axes.set(xlim=(0, len(values) + 1), ylim=(0, top), title=title)
    axes.set(xlabel=f"Iteration{_hidden(values, top)}", ylabel=f"Loss ({unit})")
    axes.grid(True, axis="both")
    return figure


def sizes(
    sizes: Sequence[int],
    curves: Mapping[str, tuple[Sequence[float] | None, Sequence[float] | None]],
    *,
    sample_bytes: int,
    knee: int | None = None,
    linear: str = "PCA",
) -> Figure:
    """What codes of each size are good for: the "error", and where there are any "accuracy".

    Each is a pair, of the autoencoder and of the best linear method. Under each size stands how
    often its bytes go into those of a sample; a line marks the knee.
    """
    drawn = {name: pair for name, pair in curves.items() if pair[0] is not None}
    if len(sizes) == 0 or "error" not in drawn:
        raise InputError("there are no sizes to draw, or no errors of them")
    figure, _ = _plot(60 + 440 * len(drawn), rows=len(drawn))
    titles = {"error": "Mean squared error", "accuracy": "Accuracy of 5 nearest neighbours"}
    for axes, (name, pair) in zip(figure.axes, drawn.items(), strict=True):
        _curves(axes, sizes, pair, ("autoencoder", linear))
        axes.set_title(f"{titles[name]}, held-out samples")
        if name == "error" and min(min(values) for values in pair if values is not None) > 0:
            axes.set_yscale("log")
            axes.yaxis.set(
                major_locator=LogLocator(subs=(1, 2, 5)),
                major_formatter="{x:g}",
                minor_locator=NullLocator(),
            )
        if name == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        _mark_knee(axes, sizes, knee)
    ratios = [f"{k}\n{_ratio(sample_bytes / k)}" for k in sizes]
    figure.axes[-1].set_xticks(sizes, ratios)
    figure.axes[-1].set_xlabel("Numbers in the code = its bytes at 8 bits each; compression")
    return figure


def _curves(
    axes: Axes,
    sizes: Sequence[int],
    pair: tuple[Sequence[float] | None, Sequence[float] | None],
    names: tuple[str, str],
) -> None:
    """The curves of two methods over sizes, on a scale of doublings."""
    styles: list[dict[str, Any]] = [{}, {"color": _colours()[6], "ls": (0, (4, 2))}]
    for values, name, style in zip(pair, names, styles, strict=True):
        if values is not None:
            axes.plot(sizes, _values(values), label=name, marker="o", ms=4, **style)
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(k) for k in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.legend()


def _mark_knee(axes: Axes, sizes: Sequence[int], knee: int | None) -> None:
    if knee is None:
        return
    axes.axvline(knee, color=_muted(), lw=1, ls=(0, (3, 2)), zorder=1)
    axes.annotate(
        f"knee: {knee}",
        (knee, 0),
        xycoords=axes.get_xaxis_transform(),
        xytext=(5, 5),
        textcoords="offset points",
        size=SMALL,
        color=_muted(),
    )


def _ratio(value: float) -> str:
    return f"{value:.0f}:1" if value >= 10 else f"{value:.2g}:1"


def _values(numbers: Sequence[float] | np.ndarray) -> np.ndarray:
    """At least one number; what is infinite is left out of a picture."""
    values = np.array(numbers, float)
    if values.size == 0:
        raise InputError("there are no numbers to draw")
    values[np.isinf(values)] = np.nan
    return values


def _markers(count: int) -> dict[str, Any]:
    return {"marker": "o", "ms": 4} if count <= 30 else {}


def _view(values: np.ndarray) -> float:
    """The largest value, or where a few would spoil the view, one that leaves them out."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 1.0
    low, high, largest = (float(v) for v in np.percentile(finite, [0, 99, 100]))
    return largest if largest - low <= 2 * (high - low) else low + 1.2 * (high - low)


def _hidden(values: np.ndarray, top: float) -> str:
    hidden = int((values > top).sum())
    return f", {hidden:,} of {len(values):,} beyond the view" if hidden else ""


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
    values = _values(values[np.isfinite(values)])
    figure, axes = _plot(560)
    low, high = float(values.min()), _view(values)
    spread = high - low or abs(low) or 1.0
    if low == high:
        low, high = low - spread / 2, high + spread / 2
    bins = 60 if np.ptp(values) else 15
    counts, _, _ = axes.hist(values, bins=bins, range=(low, high), alpha=0.75)
    last = float(np.percentile(values, 99))
    axes.set_xlim(low - 0.02 * spread, max(high, last + 0.42 * spread))
    axes.set_ylim(0, 1.55 * float(np.max(counts)))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    _mark(axes, values)
    hidden = _hidden(values, high)
    axes.set(xlabel=f"Error ({unit}){hidden}", ylabel="Frequency", title=title)
    return figure


def _mark(axes: Axes, values: np.ndarray) -> None:
    """Lines that fall from left to right, so that each one's label is clear of the others."""
    marks = [(float(np.percentile(values, q)), f"{q}% below") for q in (5, 50, 95, 99)]
    marks = sorted([*marks, (float(values.mean()), "mean")])
    paper = {"facecolor": mpl.rcParams["axes.facecolor"], "lw": 0, "pad": 1}
    for i, (x, name) in enumerate(marks):
        height = 0.97 - 0.068 * i
        colour, dashes = (_colours()[2], "-") if name == "mean" else (_muted(), (0, (3, 2)))
        axes.axvline(x, 0, height, color=colour, lw=1, ls=dashes)
        axes.annotate(
            f"{name}  {_number(x)}",
            (x, height),
            xycoords=axes.get_xaxis_transform(),
            xytext=(5, -1),
            textcoords="offset points",
            va="top",
            size=SMALL,
            color=colour,
            bbox=paper,
        )


def latent(
    points: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    axes: tuple[str, str] = ("code 1", "code 2"),
    title: str | None = None,
) -> Figure:
    """Codes in two dimensions, one colour a class, with the class named in its middle."""
    if points.ndim != 2 or points.shape[1] != 2:
        raise InputError(f"points in two dimensions are (N, 2); these are {points.shape}")
    figure, plot = _plot(840)
    size = float(np.clip(40000 / max(len(points), 1), 4, 30))
    colours: Any = to_rgba(_colours()[0], 0.4)
    if labels is not None:
        names, index = np.unique(labels, return_inverse=True)
        palette = _class_colours(len(names))
        colours = palette[index] * (1, 1, 1, 0.6)
    plot.scatter(points[:, 0], points[:, 1], s=size, color=colours, lw=0, rasterized=True)
    if labels is not None and len(names) <= NAMED:
        _name_classes(
            plot, names, [np.median(points[index == i], axis=0) for i in range(len(names))]
        )
        _class_legend(figure, names, palette)
    plot.set(xlabel=axes[0], ylabel=axes[1], title=title)
    plot.grid(False)
    return figure


def _name_classes(plot: Axes, names: np.ndarray, middles: Sequence[np.ndarray]) -> None:
    """Write each name at its middle; names that would cover each other are moved apart."""
    plot.autoscale_view()
    to_page, to_data = plot.transData, plot.transData.inverted()
    places = to_page.transform(np.array(middles))
    for _ in range(50):
        gaps = places[:, None] - places
        distance = np.hypot(gaps[..., 0], gaps[..., 1]) + 1e-9
        push = np.clip(26 - distance, 0, None) / distance / 4
        places = places + (gaps * push[..., None]).sum(axis=1)
    halo = [withStroke(linewidth=3, foreground=mpl.rcParams["figure.facecolor"])]
    style: dict[str, Any] = {"weight": "bold", "size": LARGE, "path_effects": halo}
    for name, (x, y) in zip(names, to_data.transform(places), strict=True):
        plot.text(x, y, str(name), ha="center", va="center", **style)


def _class_legend(
    figure: Figure,
    names: np.ndarray,
    colours: np.ndarray,
    place: Literal["lower center", "outside lower center"] = "outside lower center",
) -> None:
    handles = [Line2D([], [], marker="o", ls="", color=c, ms=6) for c in colours]
    texts = [str(name) for name in names]
    style: dict[str, Any] = {"handletextpad": 0, "columnspacing": 1}
    style["ncols"] = min(len(texts), _legend_columns(names))
    figure.legend(handles, texts, loc=place, **style)


def _legend_columns(names: np.ndarray) -> int:
    return 10 if max(len(str(name)) for name in names) <= 2 else 4


def _legend_lines(labels: np.ndarray | None) -> int:
    """Lines of a legend of the classes, none where there are too many to name."""
    names = np.unique(labels if labels is not None else np.zeros(0))
    return math.ceil(len(names) / _legend_columns(names)) if 0 < len(names) <= NAMED else 0


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
    names = [name if len(name) <= 20 else f"{name[:19]}…" for name in columns]
    if len(columns) > 30:
        names = []
    tall = 60 + int(np.clip(20 * len(x), 60, 400))
    figure, _ = _plot(3 * tall + 30 + 11 * max(map(len, names), default=0), rows=3)
    titles = ["original, each column from 0 to 1", "reconstruction", "difference"]
    for axes, title, values in zip(figure.axes, titles, [x, y, y - x], strict=True):
        _heat_map(figure, axes, title, values)
    figure.axes[2].set_xticks(range(len(names)), names, rotation=90, size=SMALL)
    return figure


def _heat_map(figure: Figure, axes: Axes, name: str, values: np.ndarray) -> None:
    colours: Any = "viridis"
    low, high = 0.0, 1.0
    if name == "difference":
        blue, orange, middle = _colours()[0], _colours()[6], mpl.rcParams["figure.facecolor"]
        colours = LinearSegmentedColormap.from_list(name, [blue, middle, orange])
        high = min(float(np.abs(values).max()), 1.0) or 1.0
        low = -high
    image = axes.imshow(values, cmap=colours, vmin=low, vmax=high, aspect="auto")
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02)
    bar.ax.spines[:].set_visible(False)
    bar.ax.tick_params(labelsize=SMALL)
    axes.set_title(name, size=NORMAL, pad=6)
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _plot(height: int, rows: int = 1) -> tuple[Figure, Axes]:
    layout = ConstrainedLayoutEngine(w_pad=MARGIN / DPI, h_pad=MARGIN / DPI)
    figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, layout=layout)
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
    pictures = [_pictures(values) for _, values in rows]
    labels = [textwrap.fill(label, 15, break_long_words=False) for label, _ in rows]
    notes = [captions.get(label, ()) for label, _ in rows]
    left = MARGIN + 10 + max(_text_width(label, NORMAL) for label in labels)
    lattice = _lattice(left, counts.pop(), _finest([values for _, values in rows]))
    steps = [_step(p, lattice, note) for p, note in zip(pictures, notes, strict=True)]
    top = _title_height(title)
    figure, axes = _canvas(lattice.width, top + sum(steps) - GAP + MARGIN, title)
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
        whole = _pictures(np.stack(line))
        shown.append((whole, captions[number] if captions else ()))
        height, width = whole.shape[1:3]
        if width > cell:
            side = min(cell, height)
            top, left = (height - side) // 2, (width - cell) // 2
            middle = whole[:, top : top + side, left : left + cell]
            shown.append((middle, ["zoom into the middle"]))
    heads = MARGIN + 22
    steps = [_height(p, cell) + GAP + (40 if any(note) else 0) for p, note in shown]
    figure, axes = _canvas(WIDTH, heads + sum(steps) - GAP + MARGIN, None)
    for number, label in enumerate(labels):
        x = MARGIN + cell / 2 + number * lattice.pitch
        axes.text(x, heads - 7, label, ha="center", va="baseline", size=NORMAL)
    top = heads
    for (pictures, note), step in zip(shown, steps, strict=True):
        _line(axes, pictures, note, lattice, top)
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
    return _tiles(images, math.ceil(math.sqrt(max(len(images), 1))), title, ())


def strip(
    images: np.ndarray, *, title: str | None = None, captions: Sequence[str] | None = None
) -> Figure:
    """Pictures in one row, such as an interpolation; more than 12 in several."""
    lines = math.ceil(max(len(images), 1) / 12)
    return _tiles(images, math.ceil(len(images) / lines), title, captions or ())


def neighbours(images: np.ndarray, captions: Sequence[str]) -> Figure:
    """A picture and those like it, six a row, with short lines of text under each."""
    return _tiles(images, min(max(len(images), 1), 6), None, captions)


def _tiles(images: np.ndarray, columns: int, title: str | None, captions: Sequence[str]) -> Figure:
    pictures = _pictures(images)
    lattice = _lattice(MARGIN, columns, _finest([images]))
    gap, top = lattice.pitch - lattice.cell, _title_height(title)
    step = _step(pictures, lattice, captions) - GAP + gap
    lines = math.ceil(len(pictures) / columns)
    figure, axes = _canvas(lattice.width, top + lines * step - gap + MARGIN, title)
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


def contact_sheet(
    rows: Sequence[tuple[str, np.ndarray]],
    errors: np.ndarray,
    captions: Sequence[Sequence[str]],
    *,
    title: str | None = None,
) -> Figure:
    """Samples, each as pictures side by side, last its errors (n, H, W) as a heatmap.

    `rows` are as in `rows`. The errors share one scale of colours, from 0, which a bar at the
    bottom explains; `captions` gives the lines of text under each sample.
    """
    heat, top = _heat(errors)
    columns = [(name, _pictures(values)) for name, values in rows] + [("error", heat)]
    across = min(len(heat), max(6 // len(columns), 1))
    lattice = _sheet_lattice([name for name, _ in columns], across, errors.shape[-1])
    step = _height(heat, lattice.cell) + 20 * max(map(len, captions)) + 6 + GAP + MARGIN
    first, down = _title_height(title) + 22, math.ceil(len(heat) / across)
    figure, axes = _canvas(lattice.width, first + down * step + 52, title)
    for number, (name, _) in enumerate(columns * across):
        block, k = divmod(number, len(columns))
        x = lattice.left + block * lattice.pitch + k * (lattice.cell + GAP) + lattice.cell / 2
        axes.text(x, first - 5, name, ha="center", color=_muted(), size=SMALL)
    for i, lines in enumerate(captions):
        place = (lattice.left + i % across * lattice.pitch, first + i // across * step)
        _sheet_block(axes, [pictures[i] for _, pictures in columns], lines, lattice.cell, place)
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
        text = _shortened(line, len(pictures) * (cell + GAP) - GAP)
        style = PLAIN | ({"color": _muted()} if k else {})
        axes.text(x, y + height + 6 + 20 * k, text, va="top", **style)


def _heat(errors: np.ndarray) -> tuple[np.ndarray, float]:
    """Heatmaps (n, h, w, 3) of errors, and the largest of these, which is the lightest."""
    top = float(errors.max()) or 1.0
    return mpl.colormaps[HEAT](errors / top)[..., :3], top


def _sheet_lattice(names: Sequence[str], across: int, pixels: int) -> _Lattice:
    """Blocks of a cell for each name with small gaps, `across` of them with larger ones."""
    between, room, each = 22, WIDTH - 2 * MARGIN, len(names)
    cell = ((room + between) // across - between + GAP) // each - GAP
    cell = max(min(cell, 168), *(_text_width(name, SMALL) for name in names))
    if cell >= pixels:
        cell -= cell % pixels
    pitch = each * (cell + GAP) - GAP + between
    return _Lattice(MARGIN, cell, pitch, 2 * MARGIN + across * pitch - between)


def _heat_bar(axes: Axes, x: int, y: int, top: float) -> None:
    """The scale of colours from 0 to `top`."""
    zero, words = "0", f"{_number(top)}  squared error, in scaled units"
    left = x + _text_width(zero, SMALL) + 8
    axes.text(x, y + 7, zero, va="center_baseline", size=SMALL, color=_muted())
    colours = mpl.colormaps[HEAT](np.linspace(0, 1, 256))[None, :, :3]
    axes.imshow(colours, extent=(left, left + 160, y + 14, y), aspect="auto")
    axes.text(left + 168, y + 7, words, va="center_baseline", size=SMALL, color=_muted())


def _shortened(text: str, width: int) -> str:
    """Text without what cannot be drawn, its middle left out where it is too wide."""
    text = short = "".join(c if c.isprintable() else "?" for c in text)
    kept = min(len(text), width // 3)
    while kept > 3 and _text_width(short.replace("$", "S"), SMALL) > width:
        kept -= 1
        short = f"{text[: kept // 2]}…{text[len(text) - (kept - kept // 2) :]}"
    return short


SHARE = "share of the row's squared error"


def odd_columns(
    shares: np.ndarray, labels: Sequence[str], columns: Sequence[str], *, title: str | None = None
) -> Figure:
    """A heat map of each column's share of a row's error, (n, D), with the rows' labels.

    Of more than 30 columns those are shown whose share is largest in some row.
    """
    picked = np.sort(np.argsort(-shares.max(axis=0), kind="stable")[:30])
    names = [_shortened(columns[i], 240) for i in picked]
    tall = max(_text_width(name.replace("$", "S"), SMALL) for name in names)
    figure, axes = _plot(90 + tall + 24 * max(len(labels), 4))
    colours = [mpl.rcParams["figure.facecolor"], _colours()[6], _colours()[2]]
    top = float(shares.max()) or 1.0
    image = axes.imshow(
        shares[:, picked],
        cmap=LinearSegmentedColormap.from_list("shares", colours),
        vmin=0,
        vmax=top,
        aspect="auto",
    )
    axes.hlines(np.arange(1, len(labels)) - 0.5, -0.5, len(names) - 0.5, lw=0.4, color=_faint())
    axes.vlines(np.arange(1, len(names)) - 0.5, -0.5, len(labels) - 0.5, lw=0.4, color=_faint())
    axes.add_patch(
        Rectangle(
            (-0.5, -0.5), len(names), len(labels), fill=False, ec=_muted(), lw=0.6, clip_on=False
        )
    )
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02)
    bar.set_label("share of error" if len(labels) < 10 else SHARE, size=SMALL)
    bar.ax.spines[:].set_visible(False)
    bar.ax.tick_params(labelsize=SMALL)
    axes.set_xticks(range(len(names)), names, rotation=90, **PLAIN)
    axes.set_yticks(range(len(labels)), [_shortened(label, 300) for label in labels], **PLAIN)
    axes.set_title(title or "", size=NORMAL, pad=6)
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    return figure


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
    widest = max(
        [1, *(_text_width(part, SMALL) for text in captions for part in text.split("\n"))]
    )
    style: dict[str, Any] = {"size": SMALL * min(1, (lattice.pitch - 6) / widest)}
    for i, picture in enumerate(pictures):
        _picture(axes, picture, (lattice.left + i * lattice.pitch, top, lattice.cell, height))
    for i, text in enumerate(captions):
        x = lattice.left + lattice.cell / 2 + i * lattice.pitch
        axes.text(x, top + height + 4, text, ha="center", va="top", color=_muted(), **style)


def _pictures(values: np.ndarray) -> np.ndarray:
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
    axes.add_patch(Rectangle((x, y), width, height, fill=False, ec=_faint(), lw=0.5))


# Maps of samples


MAP = 1260  # pixels of its width
THUMBNAILS = (112, 84, 56, 42, 28)  # pixels of the longer side, the first that draws enough
ENOUGH = 0.6  # of the samples


def sample_map(
    points: np.ndarray,
    images: Callable[[np.ndarray], np.ndarray] | None = None,
    *,
    shape: tuple[int, ...] = (),
    labels: np.ndarray | None = None,
    values: np.ndarray | None = None,
    unit: str = "",
    title: str | None = None,
    note: str = "",
) -> Figure:
    """Samples at their places (N, 2), as points or as small pictures on a grid.

    `images` gives those of an index, (n, *shape). A cell of the grid shows at most one image,
    that nearest to its middle; the other samples are points. The colours are those of the
    `labels` (N,), or of `values` (N,), which are in `unit`.
    """
    if labels is not None and labels.dtype.kind in "iuf" and len(np.unique(labels)) > NAMED:
        values, unit, labels = labels.astype(float), "label", None
    places, tall = _in_unit_square(points)
    sheet = _sheet(places, tall, shape) if images else None
    width, height = sheet.extent if sheet else (MAP - 2 * MARGIN, round(tall * MAP))
    drawn = sheet.drawn if sheet else np.zeros(0, int)
    if sheet and len(drawn) < len(points):
        note += f"{len(drawn):,} of {len(points):,} are drawn, the others are points behind."
    left, top = (MAP - width) // 2, _title_height(title) + 30
    foot = 115 if values is not None else 30 + 32 * _legend_lines(labels)
    figure, axes = _canvas(MAP, top + height + foot, title)
    axes.text(MARGIN, top - 10, note, va="bottom", size=SMALL, color=_muted())
    colours = _map_colours(figure, labels, values, unit, len(points))
    rest = np.setdiff1d(np.arange(len(points)), drawn)
    x, y = ((left, top) + places[rest] * (width, height)).T
    size = 8 if sheet else float(np.clip(40000 / len(points), 4, 30))
    axes.scatter(x, y, s=size, color=colours[rest], lw=0, rasterized=True)
    if sheet and images:
        picture = sheet.filled(_pictures(images(drawn)), colours[drawn])
        place = (left, left + width, top + height, top)
        axes.imshow(picture, extent=place, aspect="auto", interpolation="nearest", zorder=2)
    return figure


def snap(places: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each cell of a grid over the unit square the sample nearest to its middle.

    Returns the indices of these samples (n,) and their cells, (row, column), (n, 2).
    """
    count = (rows, columns)
    scaled = places[:, ::-1] * count
    cells = np.minimum(scaled.astype(int), np.subtract(count, 1))
    off = ((scaled - cells - 0.5) ** 2).sum(axis=1)
    order = np.lexsort((off, cells[:, 1], cells[:, 0]))
    _, first = np.unique(cells[order] @ (columns, 1), return_index=True)
    return order[first], cells[order[first]]


def _in_unit_square(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Places from the top left in [0, 1], and how tall the square is to be for its width."""
    low, span = points.min(axis=0), np.ptp(points, axis=0)
    places = np.where(span > 0, (points - low) / np.where(span > 0, span, 1), 0.5)
    places[:, 1] = 1 - places[:, 1]
    return places, float(np.clip(span[1] / (span[0] or 1), 0.5, 1)) if span.any() else 0.5


@dataclass
class _Sheet:
    """A grid of framed thumbnails (height, width): the samples drawn and their cells."""

    size: tuple[int, int]
    count: tuple[int, int]
    drawn: np.ndarray
    cells: np.ndarray

    @property
    def frame(self) -> int:
        return max(3, max(self.size) // 14)

    @property
    def pitch(self) -> tuple[int, int]:
        height, width = self.size
        return height + 2 * self.frame + 2, width + 2 * self.frame + 2

    @property
    def extent(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.count[1] * self.pitch[1], self.count[0] * self.pitch[0]

    def filled(self, pictures: np.ndarray, colours: np.ndarray) -> np.ndarray:
        """The whole grid (H, W, 4), transparent where nothing is drawn."""
        (rows, columns), (high, wide), edge = self.count, self.pitch, self.frame + 1
        tiles = np.zeros((len(pictures), high, wide, 4))
        tiles[:, 1:-1, 1:-1] = colours[:, None, None]
        inner = _resized(pictures, self.size)
        inner = inner if inner.ndim == 4 else inner[..., None]
        tiles[:, edge:-edge, edge:-edge, :3] = inner
        grid = np.zeros((rows, columns, high, wide, 4))
        grid[tuple(self.cells.T)] = tiles
        return grid.swapaxes(1, 2).reshape(rows * high, columns * wide, 4)


def _sheet(places: np.ndarray, tall: float, shape: tuple[int, ...]) -> _Sheet:
    """The grid with the largest thumbnails that still draws enough of the samples."""
    room = MAP - 2 * MARGIN
    longest, nothing = max(shape[-2:]), np.zeros(0, int)
    for side in THUMBNAILS:
        size = _thumbnail(shape, side - side % longest if side > longest else side)
        sheet = _Sheet(size, (1, 1), nothing, nothing)
        high, wide = sheet.pitch
        sheet.count = max(1, round(tall * room) // high), max(1, room // wide)
        sheet.drawn, sheet.cells = snap(places, *sheet.count)
        if len(sheet.drawn) >= ENOUGH * len(places):
            break
    return sheet


def _thumbnail(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    height, width = shape[-2:]
    scale = side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _resized(pictures: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pictures (n, h, w) or (n, h, w, 3) of another size: repeated pixels, or means of pixels."""
    for axis, new in enumerate(size, start=1):
        old = pictures.shape[axis]
        if new >= old:
            pictures = pictures.take(np.arange(new) * old // new, axis=axis)
            continue
        starts = np.arange(new) * old // new
        counts = np.diff([*starts, old]).reshape(
            [-1 if a == axis else 1 for a in range(pictures.ndim)]
        )
        pictures = np.add.reduceat(pictures, starts, axis=axis) / counts
    return pictures


def _map_colours(
    figure: Figure, labels: np.ndarray | None, values: np.ndarray | None, unit: str, count: int
) -> np.ndarray:
    """A colour for each sample (count, 4), explained at the foot of the figure."""
    if labels is not None:
        names, index = np.unique(labels, return_inverse=True)
        palette = _class_colours(len(names))
        if len(names) <= NAMED:
            _class_legend(figure, names, palette, "lower center")
        return palette[index]
    if values is None:
        return np.tile(to_rgba(_colours()[0]), (count, 1))
    top = _view(values)
    ramp = [mpl.rcParams["grid.color"], _colours()[1], _colours()[2]]
    scale = ScalarMappable(
        Normalize(values.min(), top), LinearSegmentedColormap.from_list("error", ramp)
    )
    tall = figure.get_figheight() * DPI
    place = figure.add_axes((0.3, 50 / tall, 0.4, 14 / tall))
    bar = figure.colorbar(scale, cax=place, orientation="horizontal")
    bar.outline.set_visible(False)
    place.tick_params(labelsize=SMALL)
    words: dict[str, Any] = {"size": SMALL, "loc": "center", "weight": "normal", "pad": 4}
    place.set_title(f"{unit}{_hidden(values, top)}", **words)
    return np.asarray(scale.to_rgba(values))


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
        (f"Autoencoder\ntotal {first + second:,}", boxes, 0),
        (f"Encoder\nencoder {first:,}", boxes[: turn + 1], 0),
        (f"Decoder\ndecoder {second:,}", [start, *boxes[turn + 1 :]], turn),
    ]
    figure, axes = _canvas(WIDTH, int(tops[-1]) + 44, title)
    for i, (words, part, offset) in enumerate(columns):
        _column(axes, MARGIN + i * (COLUMN + 13), words, part, tops[offset:])
    note = "In each box: the output's shape and the number of parameters"
    axes.text(WIDTH / 2, tops[-1] + 30, note, ha="center", va="center", size=SMALL, color=_muted())
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
    """The name, broken before a "+" where it is too long."""
    return [line.replace("+_", "+ ") for line in textwrap.wrap(box.name.replace("+ ", "+_"), 23)]


def _box_height(box: _Box) -> int:
    return max(66, 14 + LINE * (1 + len(_box_lines(box))))


def _column(axes: Axes, x: int, words: str, boxes: Sequence[_Box], tops: np.ndarray) -> None:
    title, total = words.split("\n")
    middle = x + BAR + (COLUMN - BAR) / 2
    axes.text(middle, tops[0] - 16, title, ha="center", weight="bold", size=NORMAL)
    ends = [top + _box_height(box) for top, box in zip(tops, boxes, strict=False)]
    arrow = {"arrowstyle": "-|>", "color": _muted(), "lw": 0.8, "shrinkA": 0, "shrinkB": 0}
    for i, box in enumerate(boxes):
        _draw_box(axes, x + BAR, float(tops[i]), box)
        if i:
            axes.annotate("", (middle, tops[i]), (middle, ends[i - 1]), arrowprops=arrow)
    for part, group in groupby(range(len(boxes)), key=lambda i: boxes[i].part):
        members = list(group)
        _bar(axes, x, tops[members[0]], ends[members[-1]], part)
    axes.text(middle, ends[-1] + 10, total, ha="center", va="top", weight="bold", size=SMALL)


def _bar(axes: Axes, x: int, top: float, bottom: float, part: str) -> None:
    """What the boxes between top and bottom belong to, as a colour and a word."""
    colour = _part_colour(part)
    axes.add_patch(Rectangle((x, top), 4, bottom - top, color=colour, lw=0))
    middle = (top + bottom) / 2
    axes.text(x + 14, middle, part, ha="center", va="center", rotation=90, size=7, color=_muted())


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
    width = max(width, 2 * MARGIN + _text_width(title or "", LARGE, "bold"))
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    axes.set_axis_off()
    if title:
        axes.text(MARGIN, MARGIN, title, va="top", size=LARGE, weight="bold")
    return figure, axes


def _title_height(title: str | None) -> int:
    return MARGIN + (38 if title else 0)


def _text_width(text: str, size: float, weight: str = "normal") -> int:
    """Width in pixels of the widest line."""
    font = FontProperties(weight=weight, size=size)  # type: ignore[arg-type]
    lines = [line for line in text.split("\n") if line.strip()]
    widths = [TextPath((0, 0), line, prop=font).get_extents().width for line in lines]
    return math.ceil(max(widths, default=0) * DPI / 72)


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


def _colours() -> list[str]:
    colours: list[str] = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    return colours


def _faint() -> str:
    return str(mpl.rcParams["grid.color"])


def _muted() -> str:
    return str(mpl.rcParams["xtick.color"])
