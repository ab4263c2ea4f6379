"""Maps: samples where their codes are, as points or small pictures, and tables as heat maps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from diabolo.errors import InputError
from diabolo.figures.pictures import as_pictures
from diabolo.figures.style import (
    COLOURS,
    DPI,
    FAINT,
    LARGE,
    MARGIN,
    MUTED,
    NAMED,
    NORMAL,
    PAPER,
    PLAIN,
    SMALL,
    beyond,
    class_colours,
    class_legend,
    legend_lines,
    new_canvas,
    new_plot,
    shortened,
    text_width,
    title_height,
    view_top,
)

MAP = 1260  # pixels of its width
THUMBNAILS = (112, 84, 56, 42, 28)  # pixels of the longer side, the first that draws enough
ENOUGH = 0.6  # of the samples
LONGEST = 220  # pixels of the name of a column
SHARE = "share of the row's squared error"


def latent(
    points: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    axes: tuple[str, str] = ("code 1", "code 2"),
    title: str | None = None,
    on: Axes | None = None,
) -> Figure:
    """Codes in two dimensions, one colour a class, with the class named in its middle."""
    if points.ndim != 2 or points.shape[1] != 2:
        raise InputError(f"points in two dimensions are (N, 2); these are {points.shape}")
    figure, plot = new_plot(840, on=on)
    size = float(np.clip(40000 / max(len(points), 1), 4, 30))
    colours: Any = to_rgba(COLOURS[0], 0.4)
    if labels is not None:
        names, index = np.unique(labels, return_inverse=True)
        palette = class_colours(len(names))
        colours = palette[index] * (1, 1, 1, 0.6)
    plot.scatter(points[:, 0], points[:, 1], s=size, color=colours, lw=0, rasterized=True)
    if labels is not None and len(names) <= NAMED:
        _name_classes(
            plot, names, [np.median(points[index == i], axis=0) for i in range(len(names))]
        )
        if on is None:
            class_legend(figure, names, palette)
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
    halo = [withStroke(linewidth=3, foreground=PAPER)]
    style: dict[str, Any] = {"weight": "bold", "size": LARGE, "path_effects": halo}
    for name, (x, y) in zip(names, to_data.transform(places), strict=True):
        plot.text(x, y, shortened(str(name), LONGEST), ha="center", va="center", **style)


def table_rows(original: np.ndarray, output: np.ndarray, columns: Sequence[str]) -> Figure:
    """Heat maps of samples (N, D), of their reconstructions and of the difference.

    Each column is scaled to the range of its originals, gaps (NaN) are blank. Up to 30 columns
    are named.
    """
    if original.shape != output.shape or original.shape[1] != len(columns):
        shapes = f"{original.shape}, {output.shape} and {len(columns)} names"
        raise InputError(f"originals, outputs and column names must agree, not {shapes}")
    low, high = np.fmin.reduce(original), np.fmax.reduce(original)
    span = np.where(high > low, high - low, 1)
    x, y = (original - low) / span, (output - low) / span
    names = [shortened(name, LONGEST) for name in columns]
    if len(columns) > 30:
        names = []
    tall = 60 + int(np.clip(20 * len(x), 60, 400))
    foot = max((text_width(name, SMALL) for name in names), default=0)
    figure, _ = new_plot(3 * tall + 30 + foot, rows=3)
    titles = ["original, each column from 0 to 1", "reconstruction", "difference"]
    for axes, title, values in zip(figure.axes, titles, [x, y, y - x], strict=True):
        _heat_map(figure, axes, title, values)
    figure.axes[2].set_xticks(range(len(names)), names, rotation=90, **PLAIN)
    return figure


def _heat_map(figure: Figure, axes: Axes, name: str, values: np.ndarray) -> None:
    colours: Any = "viridis"
    low, high = 0.0, 1.0
    if name == "difference":
        blue, orange, middle = COLOURS[0], COLOURS[6], PAPER
        colours = LinearSegmentedColormap.from_list(name, [blue, middle, orange])
        high = min(float(np.fmax.reduce(np.abs(values), axis=None)), 1.0) or 1.0
        low = -high
    image = axes.imshow(values, cmap=colours, vmin=low, vmax=high, aspect="auto")
    axes.set(xticks=[], yticks=[])
    _explain(figure, axes, image, name)


def _explain(figure: Figure, axes: Axes, image: AxesImage, title: str) -> Colorbar:
    """Bare axes under a title, and beside them a bar that says what colours mean."""
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02)
    bar.ax.tick_params(labelsize=SMALL)
    axes.set_title(title, size=NORMAL, pad=6)
    axes.grid(False)
    for one in (bar.ax, axes):
        one.spines[:].set_visible(False)
    return bar


def odd_columns(
    shares: np.ndarray, labels: Sequence[str], columns: Sequence[str], *, title: str | None = None
) -> Figure:
    """A heat map of each column's share of a row's error, (n, D), with the rows' labels.

    Of more than 30 columns those are shown whose share is largest in some row.
    """
    picked = np.sort(np.argsort(-shares.max(axis=0), kind="stable")[:30])
    names = [shortened(columns[i], LONGEST) for i in picked]
    tall = max(text_width(name.replace("$", "S"), SMALL) for name in names)
    each = 24 + 12 * any("\n" in label for label in labels)
    figure, axes = new_plot(90 + tall + each * max(len(labels), 4))
    colours = [PAPER, COLOURS[6], COLOURS[2]]
    top = float(shares.max()) or 1.0
    image = axes.imshow(
        shares[:, picked],
        cmap=LinearSegmentedColormap.from_list("shares", colours),
        vmin=0,
        vmax=top,
        aspect="auto",
    )
    axes.hlines(np.arange(1, len(labels)) - 0.5, -0.5, len(names) - 0.5, lw=0.4, color=FAINT)
    axes.vlines(np.arange(1, len(names)) - 0.5, -0.5, len(labels) - 0.5, lw=0.4, color=FAINT)
    axes.add_patch(
        Rectangle(
            (-0.5, -0.5), len(names), len(labels), fill=False, ec=MUTED, lw=0.6, clip_on=False
        )
    )
    bar = _explain(figure, axes, image, title or "")
    bar.set_label("share of error" if len(labels) < 10 else SHARE, size=SMALL)
    axes.set_xticks(range(len(names)), names, rotation=90, **PLAIN)
    lines = ["\n".join(shortened(line, 300) for line in label.split("\n")) for label in labels]
    axes.set_yticks(range(len(labels)), lines, **PLAIN)
    axes.tick_params(length=0)
    return figure


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
    left, top = (MAP - width) // 2, title_height(title) + 30
    foot = 115 if values is not None else 30 + 32 * legend_lines(labels)
    figure, axes = new_canvas(MAP, top + height + foot, title)
    axes.text(MARGIN, top - 10, note, va="bottom", size=SMALL, color=MUTED)
    colours = _map_colours(figure, labels, values, unit, len(points))
    rest = np.setdiff1d(np.arange(len(points)), drawn)
    x, y = ((left, top) + places[rest] * (width, height)).T
    size = 8 if sheet else float(np.clip(40000 / len(points), 4, 30))
    axes.scatter(x, y, s=size, color=colours[rest], lw=0, rasterized=True)
    if sheet and images:
        picture = sheet.filled(as_pictures(images(drawn)), colours[drawn])
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
        palette = class_colours(len(names))
        if len(names) <= NAMED:
            class_legend(figure, names, palette, "lower center")
        return palette[index]
    if values is None:
        return np.tile(to_rgba(COLOURS[0]), (count, 1))
    top = view_top(values)
    ramp = [FAINT, COLOURS[1], COLOURS[2]]
    scale = ScalarMappable(
        Normalize(values.min(), top), LinearSegmentedColormap.from_list("error", ramp)
    )
    tall = figure.get_figheight() * DPI
    place = figure.add_axes((0.3, 50 / tall, 0.4, 14 / tall))
    bar = figure.colorbar(scale, cax=place, orientation="horizontal")
    bar.outline.set_visible(False)
    place.tick_params(labelsize=SMALL)
    words: dict[str, Any] = {"size": SMALL, "loc": "center", "weight": "normal", "pad": 4}
    place.set_title(f"{unit}{beyond(values, top)}", **words)
    return np.asarray(scale.to_rgba(values))
