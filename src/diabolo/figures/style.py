"""What all figures share: the theme, the paper with its margins, text, colours and classes.

The paper is opaque, a light grey, so that one picture serves light and dark pages: letters have a
contrast of at least 4.5 with it, and lines of 3. The ten colours are those of M. A. Petroff,
"Accessible Color Sequences for Data Visualization", 2021, the light ones darkened.
"""

import io
import math
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, cast

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.textpath import text_to_path

from diabolo.errors import InputError
from diabolo.figures.fonts import families, legible

DPI = 150
WIDTH = 840
MARGIN = 14
GAP = 6
NAMED = 20  # classes in a legend
SMALL, NORMAL, LARGE = 8.0, 9.5, 11.0
FORMATTED = "$\\mathdefault{"  # how matplotlib's own labels of axes begin
PLAIN: dict[str, Any] = {"size": SMALL, "parse_math": False}

PAPER, TEXT, MUTED, FAINT = "#eff1f4", "#1c1e21", "#535b66", "#d0d4da"
TEN = "2b7fd0 bd7500 bd1f01 78868a 832db6 a96b59 e05a00 857a3e 4a4e57 0f8f98"
COLOURS = [f"#{colour}" for colour in TEN.split()]
_DRAWING = threading.RLock()


THEME: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica Neue", "Helvetica", "Arial", "Segoe UI", "DejaVu Sans"],
    "font.size": NORMAL,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "grid.color": FAINT,
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
    "axes.prop_cycle": cycler(color=COLOURS),
    "legend.facecolor": PAPER,
    "legend.edgecolor": PAPER,
    "legend.fancybox": False,
    "lines.linewidth": 1.8,
}


@contextmanager
def theme() -> Iterator[None]:
    """Draw figures on our paper: the functions of this package and `to_png`.

    The settings are matplotlib's and global, so one thread draws at a time; others wait.
    """
    with _DRAWING, mpl.rc_context(THEME):
        yield


def to_png(figure: Figure) -> bytes:
    """The figure as a PNG; the same figure gives the same bytes."""
    for text in figure.findobj(Text):
        _write(text)
    if layout := figure.get_layout_engine():  # once; savefig would draw everything twice for it
        layout.execute(figure)
        figure.set_layout_engine(None)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def _write(text: Any) -> None:
    """Let a text be drawn as it stands, not as mathematics, in fonts that have its letters."""
    content = text.get_text()
    if "$" in content and not content.startswith(FORMATTED):
        text.set_parse_math(False)
    if not content.isascii():
        weight = text.get_fontweight()
        text.set(text=legible(content, weight), family=list(families(content, weight)))


class Drawing(Figure):
    """A figure that shows itself in a notebook."""

    def _repr_png_(self) -> bytes:
        with theme():
            return to_png(self)


def new_plot(height: int, rows: int = 1, on: Axes | None = None) -> tuple[Figure, Axes]:
    """A figure of so many plots and the first of them; `on`: axes of another's instead."""
    if on is not None:
        return cast(Figure, on.figure), on
    layout = ConstrainedLayoutEngine(w_pad=MARGIN / DPI, h_pad=MARGIN / DPI)
    figure = Drawing(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, layout=layout)
    for row in range(rows):
        figure.add_subplot(rows, 1, row + 1)
    return figure, figure.axes[0]


def new_canvas(width: int, height: int, title: str | None) -> tuple[Figure, Axes]:
    """One pair of axes over the whole figure whose units are pixels, from the top left."""
    width = max(width, 2 * MARGIN + text_width(title or "", LARGE, "bold"))
    figure = Drawing(figsize=(width / DPI, height / DPI), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    axes.set_axis_off()
    if title:
        axes.text(MARGIN, MARGIN, title, va="top", size=LARGE, weight="bold")
    return figure, axes


def title_height(title: str | None) -> int:
    return MARGIN + (38 if title else 0)


def text_width(text: str, size: float, weight: str = "normal") -> int:
    """Width in pixels of the widest line."""
    family: Any = list(families(text, weight))
    font = FontProperties(family=family, weight=weight, size=size)  # type: ignore[arg-type]
    measure, text = text_to_path.get_text_width_height_descent, legible(text, weight)
    widths = [measure(line, font, ismath=False)[0] for line in text.split("\n")]
    return math.ceil(max(widths) * DPI / 72)


def short(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


def shortened(text: str, width: int) -> str:
    """Text without what cannot be drawn, its middle left out where it is too wide."""

    def of(kept: int) -> str:
        return f"{text[: kept // 2]}…{text[len(text) - (kept - kept // 2) :]}"

    whole, text = legible(text), legible(text, brief=True)
    most = min(len(text), width // 3)
    for fitting in (whole, text):
        if most <= 3 or text_width(fitting, SMALL) <= width:
            return fitting
    narrow = bisect_right(range(4, most), width, key=lambda kept: text_width(of(kept), SMALL))
    return of(3 + narrow)


def class_legend(
    figure: Figure,
    names: np.ndarray,
    colours: np.ndarray,
    place: Literal["lower center", "outside lower center"] = "outside lower center",
) -> None:
    handles = [Line2D([], [], marker="o", ls="", color=c, ms=6) for c in colours]
    columns = _legend_columns(names)
    texts = [shortened(str(name), WIDTH // columns - 50) for name in names]
    style: dict[str, Any] = {"handletextpad": 0, "columnspacing": 1}
    style["ncols"] = min(len(texts), columns)
    figure.legend(handles, texts, loc=place, **style)


def _legend_columns(names: np.ndarray) -> int:
    return 10 if max(len(str(name)) for name in names) <= 2 else 4


def legend_lines(labels: np.ndarray | None) -> int:
    """Lines of a legend of the classes, none where there are too many to name."""
    names = np.unique(labels if labels is not None else np.zeros(0))
    return math.ceil(len(names) / _legend_columns(names)) if 0 < len(names) <= NAMED else 0


def class_colours(count: int) -> np.ndarray:
    if count <= 10:
        return np.array([to_rgba(c) for c in COLOURS[:count]])
    return np.asarray(mpl.colormaps["viridis"](np.linspace(0, 1, count)))


def finite(numbers: Sequence[float] | np.ndarray) -> np.ndarray:
    """At least one number; what is infinite is left out of a picture."""
    values = np.array(numbers, float)
    if values.size == 0:
        raise InputError("there are no numbers to draw")
    values[np.isinf(values)] = np.nan
    return values


def view_top(values: np.ndarray) -> float:
    """The largest value, or where a few would spoil the view, one that leaves them out."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 1.0
    low, high, largest = (float(v) for v in np.percentile(finite, [0, 99, 100]))
    return largest if largest - low <= 2 * (high - low) else low + 1.2 * (high - low)


def beyond(values: np.ndarray, top: float) -> str:
    hidden = int((values > top).sum())
    return f", {hidden:,} of {len(values):,} beyond the view" if hidden else ""
