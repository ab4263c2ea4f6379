"""Curves over epochs, iterations and code sizes, and the histogram of errors."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, PercentFormatter

from diabolo.errors import InputError
from diabolo.figures.style import (
    COLOURS,
    MUTED,
    PAPER,
    SMALL,
    beyond,
    finite,
    new_plot,
    short,
    view_top,
)


def loss(
    loss: Sequence[float],
    val_loss: Sequence[float] | None = None,
    *,
    unit: str,
    first_epoch: int = 1,
    on: Axes | None = None,
) -> Figure:
    """Training and validation loss over the epochs, each with its last value."""
    figure, axes = new_plot(520, on=on)
    epochs = np.arange(first_epoch, first_epoch + len(loss))
    curves = {"training": loss, "validation": val_loss}
    for name, curve in curves.items():
        if curve is not None:
            values = finite(curve)
            label = f"{name}  {short(values[-1])}"
            axes.plot(epochs, values, label=label, **_markers(len(epochs)))
    axes.set(xlabel="Epoch", ylabel=f"Loss ({unit})")
    axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend()
    return figure


def iterations(step_loss: Sequence[float] | np.ndarray, *, unit: str, title: str) -> Figure:
    """Loss per iteration and its running mean, from 0; a few peaks may lie above the view."""
    values = finite(step_loss)
    figure, axes = new_plot(520)
    steps = np.arange(1, len(values) + 1)
    window = max(1, len(values) // 100)
    if window == 1:
        axes.plot(steps, values, **_markers(len(values)))
    else:
        axes.plot(steps, values, lw=0.5, alpha=0.5, label="each iteration")
        mean = _running_mean(values, window)
        axes.plot(steps, mean, color=COLOURS[6], label=f"mean of {window}")
        axes.legend(loc="upper right")
    top = 1.05 * view_top(values) or 1.0
    axes.set(xlim=(0, len(values) + 1), ylim=(0, top), title=title)
    axes.set(xlabel=f"Iteration{beyond(values, top)}", ylabel=f"Loss ({unit})")
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
    figure, _ = new_plot(60 + 440 * len(drawn), rows=len(drawn))
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
    styles: list[dict[str, Any]] = [{}, {"color": COLOURS[6], "ls": (0, (4, 2))}]
    for values, name, style in zip(pair, names, styles, strict=True):
        if values is not None:
            axes.plot(sizes, finite(values), label=name, marker="o", ms=4, **style)
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(k) for k in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.legend()


def _mark_knee(axes: Axes, sizes: Sequence[int], knee: int | None) -> None:
    if knee is None:
        return
    axes.axvline(knee, color=MUTED, lw=1, ls=(0, (3, 2)), zorder=1)
    axes.annotate(
        f"knee: {knee}",
        (knee, 0),
        xycoords=axes.get_xaxis_transform(),
        xytext=(5, 5),
        textcoords="offset points",
        size=SMALL,
        color=MUTED,
    )


def _ratio(value: float) -> str:
    return f"{value:.0f}:1" if value >= 10 else f"{value:.2g}:1"


def _markers(count: int) -> dict[str, Any]:
    return {"marker": "o", "ms": 4} if count <= 30 else {}


def _running_mean(values: np.ndarray, window: int) -> np.ndarray:
    sums = np.concatenate([[0.0], np.cumsum(values)])
    centre = np.arange(len(values))
    low = np.maximum(centre - window // 2, 0)
    high = np.minimum(centre + window // 2 + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)


def error_histogram(
    errors: Sequence[float] | np.ndarray,
    *,
    unit: str,
    title: str = "Test Data",
    on: Axes | None = None,
) -> Figure:
    """How many samples have which reconstruction error, with mean and percentiles."""
    values = np.asarray(errors, float)
    values = finite(values[np.isfinite(values)])
    figure, axes = new_plot(560, on=on)
    low, high = float(values.min()), view_top(values)
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
    hidden = beyond(values, high)
    axes.set(xlabel=f"Error ({unit}){hidden}", ylabel="Frequency", title=title)
    return figure


def _mark(axes: Axes, values: np.ndarray) -> None:
    """Lines that fall from left to right, so that each one's label is clear of the others."""
    marks = [(float(np.percentile(values, q)), f"{q}% below") for q in (5, 50, 95, 99)]
    marks = sorted([*marks, (float(values.mean()), "mean")])
    paper = {"facecolor": PAPER, "lw": 0, "pad": 1}
    for i, (x, name) in enumerate(marks):
        height = 0.97 - 0.068 * i
        colour, dashes = (COLOURS[2], "-") if name == "mean" else (MUTED, (0, (3, 2)))
        axes.axvline(x, 0, height, color=colour, lw=1, ls=dashes)
        axes.annotate(
            f"{name}  {short(x)}",
            (x, height),
            xycoords=axes.get_xaxis_transform(),
            xytext=(5, -1),
            textcoords="offset points",
            va="top",
            size=SMALL,
            color=colour,
            bbox=paper,
        )


def score_histogram(scores: Mapping[str, np.ndarray], threshold: float) -> Figure:
    """How normal samples are, several sets of them by name, and where anomalies begin.

    The first set is that which calibrates; what is far below it is counted in the first bar.
    """
    sets = {name: np.asarray(values, float) for name, values in scores.items()}
    first = next(iter(sets.values()))
    wide = float(np.ptp(first)) or abs(float(first[0])) or 1.0
    lowest = min(float(values.min()) for values in sets.values())
    low = max(min(lowest, first.min()), float(first.min()) - wide)
    high = max(float(np.percentile(values, 99.5)) for values in sets.values())
    count = int(np.clip(2 * math.sqrt(len(first)), 12, 60))
    bins = np.linspace(low, max(high, float(first.max())), count + 1)
    figure, axes = new_plot(460)
    for (name, values), colour in zip(sets.items(), (MUTED, COLOURS[0]), strict=False):
        inside = values.clip(bins[0], bins[-1])
        weights = np.full(len(values), 100 / len(values))
        filled: dict[str, Any] = (
            {"alpha": 0.45} if colour == MUTED else {"histtype": "step", "lw": 1.8}
        )
        label = f"{name} ({len(values):,})"
        axes.hist(inside, bins.tolist(), weights=weights, color=colour, label=label, **filled)
    if np.isfinite(threshold):
        label = f"threshold  {short(threshold)}"
        axes.axvline(threshold, color=COLOURS[2], lw=1.4, ls=(0, (4, 2)), label=label)
    below = int(sum((values < low).sum() for values in sets.values()))
    more = f"; {below:,} further below are in the first bar" if below else ""
    axes.set(xlabel=f"Score: lower is odder{more}", ylabel="Samples, %")
    axes.set_ylim(0, 1.35 * axes.get_ylim()[1])
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.legend(loc="upper left")
    return figure


def calibration(
    rates: np.ndarray, shares: np.ndarray, band: np.ndarray | None = None, *, asked: float
) -> Figure:
    """The share of alarms that is observed at each false-alarm rate asked for.

    `band` (2, R) is where it lies in 95 of 100 cases if nothing but chance parts the two.
    """
    figure, axes = new_plot(520)
    if band is not None:
        label = "95 of 100 sets of normal samples"
        axes.fill_between(
            rates, band[0], band[1], step="post", color=MUTED, alpha=0.25, lw=0, label=label
        )
    axes.plot(rates, rates, color=MUTED, lw=1, ls=(0, (4, 2)), label="as asked")
    axes.step(rates, shares, where="post", color=COLOURS[0], label="observed")
    there = float(shares[max(int(np.searchsorted(rates, asked, side="right")) - 1, 0)])
    label = f"asked {100 * asked:.3g} %, observed {100 * there:.3g} %"
    axes.plot([asked], [there], "o", color=COLOURS[2], ms=6, label=label)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set(xlim=(0, rates[-1]), ylim=(0, None))
    axes.set(xlabel="False-alarm rate asked for", ylabel="Share of samples flagged")
    axes.grid(True, axis="both")
    axes.legend(loc="upper left")
    return figure
