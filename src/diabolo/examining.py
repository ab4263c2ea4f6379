"""A trained network examined: the doctor's rules on what it makes of some samples."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from diabolo.data.source import Batch
from diabolo.doctor import (
    Finding,
    codebook_collapse,
    collapse,
    constant_columns,
    dead_units,
    flat_output,
    found,
    rising_validation,
    unscaled,
    wide_code,
)
from diabolo.infer import in_blocks, watched
from diabolo.net import Net


def examine(
    net: Net,
    batch: Batch,
    codes: Tensor,
    *,
    vectors: bool = True,
    columns: Sequence[str] | None = None,
    val_losses: Sequence[float] = (),
) -> list[Finding]:
    """What is wrong with a trained network, on a stored batch and the codes (B, K) of it.

    `vectors`: codes are no feature maps. `columns`: samples are rows of a table, with these names
    or none ([]).
    """
    source, x = batch.source, batch.target
    scaled = net.scaling.filled(net.scaling(x))
    output = net.scaling(in_blocks(net, net.decode, codes, *batch.beside).to(net.device))
    output = net.scaling.filled(output)
    restrained = net.corruption is not None or bool(net.probe[1]) or source is not x
    restrained |= net.bottleneck.overcomplete
    return found(
        unscaled(scaled),
        None if columns is None else constant_columns(x, columns),
        wide_code(codes.shape[1], net.features, restrained=restrained),
        of_code(net, batch, codes) if vectors else None,
        flat_output(scaled, output, net.scaling.low),
        rising_validation(val_losses),
    )


def of_code(net: Net, batch: Batch, codes: Tensor) -> Finding | None:
    """What is wrong with the codes (B, K) of a stored batch, by the measures of the bottleneck."""
    x = net.shaped(net.scaling(batch.source))
    with torch.inference_mode():
        encode = net.encoding(batch.given)
        measures = net.bottleneck.measures(encode, x)
        terms = net.bottleneck(encode, x).terms if "active_units" in measures else {}
    if "codebook_use" in measures:
        use, perplexity = measures["codebook_use"], measures["perplexity"]
        return codebook_collapse(use, perplexity, len(codes)) or dead_units(codes)
    if net.bottleneck.overcomplete:
        return None  # rare units are silent in a few samples
    if len(codes) < 2 or "active_units" not in measures:
        return dead_units(codes)
    size = codes.shape[1]
    kl = float(terms["kl"][1].double().mean()) / size if "kl" in terms else None
    return collapse(int(measures["active_units"]), size, kl)


def broken_layer(module: nn.Module, run: Callable[[], object]) -> str | None:
    """The first layer of `module` to work in `run` whose weights or output are not finite.

    A layer is a module without children; its name and kind are given, "encoder.2 (Linear)".
    """
    names = {leaf: name for name, leaf in module.named_modules() if not list(leaf.children())}
    broken: list[str] = []

    def note(leaf: nn.Module, _: object, output: object) -> None:
        tensors = [*leaf.parameters(), *_tensors(output)]
        if not all(bool(t.isfinite().all()) for t in tensors):
            broken.append(f"{names[leaf]} ({type(leaf).__name__})".lstrip())

    with torch.no_grad(), watched(names, note):
        run()
    return broken[0] if broken else None


def _tensors(output: object) -> list[Tensor]:
    parts = output if isinstance(output, tuple | list) else [output]
    return [part for part in parts if isinstance(part, Tensor)]
