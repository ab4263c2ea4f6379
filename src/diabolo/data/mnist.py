"""MNIST, the handwritten digits that ship with the package: 60,000 to train on, 10,000 to test.

Yann LeCun, Léon Bottou, Yoshua Bengio, Patrick Haffner, "Gradient-based learning applied to
document recognition", 1998. The licence of the four files is in `mnist/LICENSE`.
"""

from importlib.resources import as_file, files
from pathlib import Path
from typing import Literal

import numpy as np

from diabolo.data.idx import read_idx
from diabolo.errors import InputError

Split = Literal["train", "test"]
COUNTS: dict[Split, int] = {"train": 60_000, "test": 10_000}  # of those of the package
PREFIX: dict[Split, str] = {"train": "train", "test": "t10k"}


def load_mnist(
    directory: str | Path | None = None,
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return (x_train, y_train), (x_test, y_test).

    Images are uint8 (60000, 28, 28) and (10000, 28, 28), labels uint8 (60000,) and (10000,).
    `directory` holds the four files under their usual names, gzip or unpacked (Fashion-MNIST and
    KMNIST, for example); None takes the digits that ship with the package. Raises InputError
    where a file is missing or damaged.
    """
    return read_split("train", directory), read_split("test", directory)


def read_split(
    split: Split, directory: str | Path | None = None, limit: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the images (N, H, W) and the labels (N,) of one split; raises as `load_mnist`.

    With a `limit`, only the first ones are read.
    """
    images = _read(f"{PREFIX[split]}-images-idx3-ubyte", directory, limit)
    labels = _read(f"{PREFIX[split]}-labels-idx1-ubyte", directory, limit)
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise InputError(
            f"the {split} files in {directory} do not belong together: images {images.shape}, "
            f"labels {labels.shape}, expected (N, H, W) and (N,)"
        )
    return images, labels


def _read(name: str, directory: str | Path | None, limit: int | None) -> np.ndarray:
    if directory is None:
        with as_file(files("diabolo.data") / "mnist" / f"{name}.gz") as path:
            return read_idx(path, limit)
    for path in (Path(directory, f"{name}.gz"), Path(directory, name)):
        if path.is_file():
            return read_idx(path, limit)
    raise InputError(f"{directory} has no {name}.gz, nor {name} unpacked")
