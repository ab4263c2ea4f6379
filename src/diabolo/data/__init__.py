"""Files in, arrays out: MNIST, IDX, NumPy files, images and tables, alone or in pairs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diabolo.data.files import atomically as atomically
    from diabolo.data.idx import read_idx as read_idx
    from diabolo.data.idx import write_idx as write_idx
    from diabolo.data.mnist import load_mnist as load_mnist
    from diabolo.data.outputs import write as write
    from diabolo.data.outputs import write_codes as write_codes
    from diabolo.data.outputs import write_each as write_each
    from diabolo.data.pairs import read_pairs as read_pairs
    from diabolo.data.photographs import cut as cut
    from diabolo.data.photographs import split_patches as split_patches
    from diabolo.data.photographs import split_photographs as split_photographs
    from diabolo.data.pieces import patches as patches
    from diabolo.data.samples import Samples as Samples
    from diabolo.data.series import Windows as Windows
    from diabolo.data.sources import read as read
    from diabolo.data.sources import read_codes as read_codes
    from diabolo.data.sources import read_each as read_each

_HOMES = {
    "files": ["atomically"],
    "idx": ["read_idx", "write_idx"],
    "mnist": ["load_mnist"],
    "outputs": ["write", "write_codes", "write_each"],
    "pairs": ["read_pairs"],
    "photographs": ["cut", "split_patches", "split_photographs"],
    "pieces": ["patches"],
    "samples": ["Samples"],
    "series": ["Windows"],
    "sources": ["read", "read_codes", "read_each"],
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: NumPy takes a while."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
