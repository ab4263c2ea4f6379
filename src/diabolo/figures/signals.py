"""Signals as lines: what went in and what came out, window beside window."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from diabolo.figures.style import (
    COLOURS,
    DPI,
    MARGIN,
    MUTED,
    SMALL,
    WIDTH,
    ConstrainedLayoutEngine,
    finite,
    shortened,
)

CHANNELS, COLUMNS = 4, 3  # that are drawn of a signal; signals beside each other
HEIGHT = 120  # pixels of a channel
TICKS = 5  # time stamps under a series


def signals(
    signals: Mapping[str, np.ndarray],
    captions: Sequence[str] = (),
    *,
    names: Sequence[str] = (),
    title: str | None = None,
) -> Figure:
    """Signals (n, C, T) of several names over each other, a channel in a row of its own.

    `captions` stand over each signal, `names` beside the channels, of which the first are drawn.
    """
    arrays = {name: np.asarray(values, float) for name, values in signals.items()}
    count, channels, _ = next(iter(arrays.values())).shape
    shown, across = min(channels, CHANNELS), min(count, COLUMNS)
    down = -(-count // across)
    lines = max((caption.count("\n") + 1 for caption in captions), default=0)
    figure = _sheet(HEIGHT * shown * down + 60 + 22 * lines * down, title)
    grid = figure.subplots(shown * down, across, squeeze=False, sharex=True)
    for number in range(across * down):
        for channel in range(shown):
            axes = grid[number // across * shown + channel, number % across]
            if number >= count:
                axes.set_axis_off()
                continue
            _draw(axes, {name: a[number, channel] for name, a in arrays.items()})
            if channel == 0 and number < len(captions):
                words = [shortened(c, WIDTH // across - 70) for c in captions[number].split("\n")]
                axes.set_title("\n".join(words), size=SMALL, weight="normal", pad=4)
            if number % across == 0 and channel < len(names):
                axes.set_ylabel(shortened(str(names[channel]), HEIGHT), size=SMALL)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def timeline(
    series: np.ndarray,
    spans: Sequence[tuple[int, int]],
    *,
    names: Sequence[str] = (),
    times: Sequence[str] = (),
    title: str | None = None,
) -> Figure:
    """A whole series (T, C), the first channels, with spans of steps (first, last) shaded."""
    values = np.asarray(series, float).reshape(len(series), -1)
    shown, steps = min(values.shape[1], CHANNELS), np.arange(len(values))
    figure = _sheet(HEIGHT * shown + 70, title)
    for channel, axes in enumerate(figure.subplots(shown, 1, squeeze=False, sharex=True)[:, 0]):
        axes.plot(steps, values[:, channel], color=COLOURS[0], lw=1)
        for first, last in spans:
            axes.axvspan(first - 0.5, last + 0.5, color=COLOURS[6], alpha=0.3, lw=0)
        axes.tick_params(labelsize=SMALL)
        axes.set_xlim(-0.5, len(values) - 0.5)
        if channel < len(names):
            axes.set_ylabel(shortened(str(names[channel]), HEIGHT), size=SMALL)
    if len(times):
        chosen = np.linspace(0, len(values) - 1, TICKS).round().astype(int)
        axes.set_xticks(chosen, [times[step].replace(" ", "\n") for step in chosen])
    return figure


def _sheet(height: int, title: str | None) -> Figure:
    """An empty figure, so many pixels high below its title."""
    layout = ConstrainedLayoutEngine(w_pad=MARGIN / DPI, h_pad=MARGIN / 2 / DPI)
    height += 38 if title else 0
    figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, layout=layout)
    if title:
        figure.suptitle(title, x=MARGIN / WIDTH, ha="left", weight="bold")
    return figure


def _draw(axes: Axes, lines: Mapping[str, np.ndarray]) -> None:
    """One channel of one signal, the first line muted behind the others."""
    for place, (name, values) in enumerate(lines.items()):
        colour = MUTED if place == 0 else COLOURS[place - 1]
        marker: dict[str, Any] = {"marker": "o", "ms": 3} if len(values) == 1 else {}
        axes.plot(
            finite(values), label=name, color=colour, lw=1.6 if place == 0 else 1.2, **marker
        )
    axes.tick_params(labelsize=SMALL)
    axes.margins(x=0.01)
