"""Reading .npy and .npz; nothing pickled is ever loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

from diabolo.data.files import quietly, why
from diabolo.errors import InputError


def read_npy(path: Path) -> np.ndarray:
    """The array of a .npy file; mapped first, so that a wrong header takes no memory."""
    with _explained(path, "NumPy array"):
        return np.array(np.lib.format.open_memmap(path, mode="r"), order="C")


def read_npz(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """The array "x" of a .npz file, or its only one, and its labels "y" (N,) if it has them."""
    with _explained(path, "NumPy archive"), path.open("rb") as file:
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, NpzFile):
            raise ValueError("it is a single array, name it .npy")
        name = _main_array(path, archive.files)
        labels = archive["y"] if "y" in archive.files and name != "y" else None
        return _checked_labels(path, archive[name], labels)


def _main_array(path: Path, names: list[str]) -> str:
    candidates = [name for name in names if name != "y"] or names
    if "x" in candidates:
        return "x"
    if len(candidates) != 1:
        found = ", ".join(names) or "none"
        raise InputError(f'{path} has the arrays {found}; name the one to read "x"')
    return candidates[0]


def _checked_labels(
    path: Path, array: np.ndarray, labels: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    if labels is not None and labels.shape != array.shape[:1]:
        raise InputError(
            f'{path} has labels "y" of shape {labels.shape} for samples of shape {array.shape}'
        )
    return array, labels


@contextmanager
def _explained(path: Path, what: str) -> Iterator[None]:
    """Turn what NumPy raises on a bad file into one sentence."""
    try:
        with quietly():
            yield
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read: {why(error)}") from error
    except Exception as error:  # a damaged header raises nearly anything, tokenizer errors too
        reason = why(error)
        if "ickle" in reason or "Python objects" in reason:
            reason = "it does not begin like one, or it holds Python objects, which are not loaded"
        raise InputError(f"{path} is not a {what} that can be read: {reason}") from error
