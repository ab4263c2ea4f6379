"""What a layer of a PyTorch module gives for many inputs: rows to learn from."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor, nn

from diabolo.data.outside import decoded
from diabolo.errors import InputError, unknown


def activations(
    module: nn.Module,
    layer: str,
    inputs: Any,
    *,
    path: str | Path | None = None,
    batch_size: Annotated[int, Ge(1)] = 64,
) -> Any:
    """The activations (N, D), float32, of a named layer of a module, over inputs.

    `layer` is a name as in `module.named_modules()`. `inputs` is an array or a tensor (M, ...), of
    which `batch_size` are given at a time, or an iterable of batches: a tensor or array each, a
    tuple of arguments, or a dict of them by name. Vectors (B, D) give a row each; sequences
    (B, T, D) one for each place, maps (B, C, H, W) one of C values for each pixel. Where a layer
    gives a tuple, its first is taken.

    In `path`, where one is given, an .npy file, which is read as a memory-mapped array that `fit`
    takes, larger than the memory or not; what is long lies on disk without one, too. The module
    is in eval mode meanwhile, and afterwards as it was. Raises `InputError` where there is no such
    layer, or it does not work on these inputs.

    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> activations(net, "1", np.zeros((100, 4), np.float32)).shape
    (100, 8)
    """
    layers = {name: child for name, child in module.named_modules() if name}
    if layer not in layers:
        raise unknown("layer", layer, layers)
    if path is not None and Path(path).suffix != ".npy":
        raise InputError(f"{path} is no .npy file: give a path that ends in .npy.")
    found = _found(module, layers[layer], layer, _batches(inputs, batch_size))
    return decoded(found, what=f"Layer {layer}", path=None if path is None else Path(path))


def _batches(inputs: Any, size: int) -> Iterable[Any]:
    """The batches of inputs."""
    if isinstance(inputs, np.ndarray | Tensor):
        return (inputs[i : i + size] for i in range(0, len(inputs), size))
    return inputs if isinstance(inputs, Iterable) else [inputs]


def _found(
    module: nn.Module, layer: nn.Module, name: str, batches: Iterable[Any]
) -> Iterator[np.ndarray]:
    """The rows of each batch."""
    kept: list[Any] = []
    hook = layer.register_forward_hook(lambda _, given, output: kept.append(output))
    modes = {part: part.training for part in module.modules()}
    device = next((t.device for t in module.parameters()), torch.device("cpu"))
    module.eval()
    try:
        for batch in batches:
            with torch.no_grad():
                _run(module, batch, device)
            if not kept:
                raise InputError(f"The module does not use its layer {name} on these inputs.")
            for output in kept:
                yield _rows(output, name)
            kept.clear()
    finally:
        hook.remove()
        for part, mode in modes.items():
            part.training = mode


def _run(module: nn.Module, batch: Any, device: torch.device) -> None:
    """The module on a batch: one argument, a tuple of them, or a dict of them by name."""
    if hasattr(batch, "keys"):
        module(**{key: _placed(batch[key], device) for key in batch.keys()})  # noqa: SIM118
    else:
        several = batch if isinstance(batch, tuple | list) else [batch]
        module(*(_placed(one, device) for one in several))


def _placed(value: Any, device: torch.device) -> Any:
    value = torch.as_tensor(value) if isinstance(value, np.ndarray) else value
    return value.to(device) if isinstance(value, Tensor) else value


def _rows(output: Any, name: str) -> np.ndarray:
    """An output as rows (N, D), float32."""
    output = output[0] if isinstance(output, tuple | list) else output
    if not isinstance(output, Tensor) or output.ndim < 2:
        raise InputError(f"Layer {name} gives no tensor (B, ..., D): name another.")
    channels = output.movedim(1, -1) if output.ndim > 3 else output
    return channels.reshape(-1, channels.shape[-1]).float().cpu().numpy()
