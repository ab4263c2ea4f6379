"""Pictures of what an autoencoder learnt: functions of arrays that return a matplotlib Figure.

Values of images are in [0, 1]. Pictures are laid out in pixels at `DPI`, at most `WIDTH` wide,
with whole multiples of an image's own pixels, and letters that can be read at 360 pixels.
Colours come from the theme in force:

    with theme():
        png = to_png(loss([0.27, 0.12, 0.10], unit="nats per pixel"))
"""

from matplotlib.figure import Figure

from diabolo.figures.curves import (
    calibration,
    error_histogram,
    iterations,
    loss,
    score_histogram,
    sizes,
)
from diabolo.figures.maps import latent, odd_columns, sample_map, snap, table_rows
from diabolo.figures.network import Layer, architecture
from diabolo.figures.pictures import (
    code_shape,
    contact_sheet,
    grid,
    neighbours,
    panels,
    rows,
    strip,
    traversal,
)
from diabolo.figures.signals import signals, timeline
from diabolo.figures.style import DPI, GAP, MARGIN, WIDTH, theme, to_png

__all__ = [
    "DPI",
    "GAP",
    "MARGIN",
    "WIDTH",
    "Figure",
    "Layer",
    "architecture",
    "calibration",
    "code_shape",
    "contact_sheet",
    "error_histogram",
    "grid",
    "iterations",
    "latent",
    "loss",
    "neighbours",
    "odd_columns",
    "panels",
    "rows",
    "sample_map",
    "score_histogram",
    "signals",
    "sizes",
    "snap",
    "strip",
    "table_rows",
    "theme",
    "timeline",
    "to_png",
    "traversal",
]
