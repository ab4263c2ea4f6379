"""Files in, arrays out: MNIST, IDX, NumPy files, images and tables, alone or in pairs."""

from diabolo.data.files import atomically
from diabolo.data.idx import read_idx, write_idx
from diabolo.data.mnist import load_mnist
from diabolo.data.outputs import write, write_codes, write_each
from diabolo.data.pairs import read_pairs
from diabolo.data.patches import patches, split_patches
from diabolo.data.samples import Samples
from diabolo.data.sources import read, read_codes, read_each

__all__ = [
    "Samples",
    "atomically",
    "load_mnist",
    "patches",
    "read",
    "read_codes",
    "read_each",
    "read_idx",
    "read_pairs",
    "split_patches",
    "write",
    "write_codes",
    "write_each",
    "write_idx",
]
