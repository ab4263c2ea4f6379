"""The network: its layers as boxes from top to bottom, with shapes and parameters."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from diabolo.figures.style import (
    COLOURS,
    MARGIN,
    MUTED,
    NORMAL,
    SMALL,
    WIDTH,
    new_canvas,
    title_height,
)


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
WAY = "+ LinearWay"  # a layer beside the others of its part, which adds to what they give


def architecture(
    layers: Sequence[Layer], *, input_shape: tuple[int, ...], title: str | None = None
) -> Figure:
    """The autoencoder, its encoder and its decoder, from top to bottom, side by side.

    Each box is a layer with its activation, its output shape and its number of parameters; a
    linear way beside the layers of a part is in the box of the layer that it adds to.
    The parts are "encoder", "code" and "decoder"; the parameters of the code count as the
    encoder's. Without a layer of the part "code", the last output of the encoder is shown as it.
    """
    boxes = _boxes(layers, tuple(input_shape))
    turn = max(i for i, box in enumerate(boxes) if box.part != "decoder")
    tops = np.cumsum([title_height(title) + 44, *(_box_height(b) + BOX_GAP for b in boxes)])
    first, second = (
        sum(b.parameters for b in part) for part in (boxes[: turn + 1], boxes[turn + 1 :])
    )
    start = _Box("code", "Code", boxes[turn].shape)
    columns = [
        (f"Autoencoder\ntotal {first + second:,}", boxes, 0),
        (f"Encoder\nencoder {first:,}", boxes[: turn + 1], 0),
        (f"Decoder\ndecoder {second:,}", [start, *boxes[turn + 1 :]], turn),
    ]
    figure, axes = new_canvas(WIDTH, int(tops[-1]) + 44, title)
    for i, (words, part, offset) in enumerate(columns):
        _column(axes, MARGIN + i * (COLUMN + 13), words, part, tops[offset:])
    note = "In each box: the output's shape and the number of parameters"
    axes.text(WIDTH / 2, tops[-1] + 30, note, ha="center", va="center", size=SMALL, color=MUTED)
    return figure


def _boxes(layers: Sequence[Layer], input_shape: tuple[int, ...]) -> list[_Box]:
    boxes = [_Box("input", "Input", input_shape)]
    for layer in _in_turn(layers):
        if layer.part == "decoder" and not any(b.part in ("code", "decoder") for b in boxes):
            boxes.append(_Box("code", "Code", boxes[-1].shape))
        if _folds(layer, boxes[-1]):
            boxes[-1].name += f" + {layer.name}"
        else:
            boxes.append(_Box(layer.part, layer.name, layer.shape, layer.parameters))
    return boxes


def _in_turn(layers: Sequence[Layer]) -> list[Layer]:
    """The layers without linear ways, which go into the last of their part that learns."""
    turn: list[Layer] = [layer for layer in layers if layer.name != WAY]
    last = {layer.part: i for i, layer in enumerate(turn) if layer.parameters}
    for way in layers:
        if way.name == WAY:
            end = turn[last[way.part]]
            both = end.parameters + way.parameters
            turn[last[way.part]] = _Box(end.part, f"{end.name} {WAY}", end.shape, both)
    return turn


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
    arrow = {"arrowstyle": "-|>", "color": MUTED, "lw": 0.8, "shrinkA": 0, "shrinkB": 0}
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
    axes.text(x + 14, middle, part, ha="center", va="center", rotation=90, size=7, color=MUTED)


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
    axes.text(x + 10, y, shape, va="center", size=SMALL, color=MUTED)
    if box.parameters:
        right, count = x + width - 10, f"{box.parameters:,}"
        axes.text(right, y, count, va="center", ha="right", size=SMALL, color=MUTED)


def _part_colour(part: str) -> str:
    return {"encoder": COLOURS[0], "code": COLOURS[1], "decoder": COLOURS[4]}.get(part, MUTED)
