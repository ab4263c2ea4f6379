"""The layer table of a network: its rows, and how it is written as text."""

from collections.abc import Iterable
from typing import Literal, NamedTuple


class Layer(NamedTuple):
    """One line of the table; `shape` is that of the output, without the batch."""

    part: Literal["encoder", "code", "decoder"]
    name: str
    shape: tuple[int, ...]
    parameters: int


def parameter_counts(layers: Iterable[Layer]) -> dict[str, int]:
    """Parameters of the encoder and of the decoder."""
    counts = {"encoder": 0, "decoder": 0}
    for layer in layers:
        counts["decoder" if layer.part == "decoder" else "encoder"] += layer.parameters
    return counts


def as_text(layers: list[Layer], input_shape: tuple[int, ...]) -> str:
    """The table as text, with the input above and the totals of the two parts below."""
    rows = [
        ("part", "layer", "output shape", "parameters"),
        ("", "input", _shape(input_shape), "0"),
        *((la.part, la.name, _shape(la.shape), f"{la.parameters:,}") for la in layers),
    ]
    part, name, shape, count = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = [f"{a:{part}}  {b:{name}}  {c:{shape}}  {d:>{count}}" for a, b, c, d in rows]
    rule = "-" * len(lines[0])
    counts = parameter_counts(layers)
    sums = " + ".join(f"{name} {count:,}" for name, count in counts.items())
    total = f"{sums} = {sum(counts.values()):,} parameters"
    return "\n".join([lines[0], rule, *lines[1:], rule, total])


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
