"""What users give, as arrays of numbers, seeds and devices; what is none is refused."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from diabolo.data.samples import channels_last
from diabolo.errors import InputError
from diabolo.params import Seed, check


def as_array(X: Any) -> Any:
    """X as something with a shape and rows of numbers: tables of pandas and the like as they are.

    Raises `InputError` for what is ragged, masked, text, dates or the like.
    """
    array = _regular(X)
    if hasattr(array, "columns"):
        _check_columns(array)
    else:
        _check_type(array)
    return array


def as_rows(X: Any, *, sure: bool = False) -> Any:
    """X as `as_array` gives it, with 2 to 5 dimensions; `sure`: in whatever order they are."""
    array = as_array(X)
    shape = tuple(array.shape)
    if len(shape) < 2:
        raise InputError(
            f"Reshape your data to 2 to 5 dimensions, one sample as X[None]: X has shape {shape}."
        )
    if len(shape) > 5:
        raise InputError(f"X must have 2 to 5 dimensions, but has shape {shape}.")
    if not sure:
        check_layout("X", shape[1:])
    return array


def check_layout(name: str, shape: tuple[int, ...]) -> None:
    """Refuse samples that are clearly (H, W, C), whose rows would be taken for channels."""
    if channels_last(shape):
        raise InputError(
            f"{name} has samples of shape {shape}, channels last, but images are (C, H, W): give"
            " X.transpose(0, 3, 1, 2), of a tensor X.permute(0, 3, 1, 2)."
        )


def as_float32(rows: np.ndarray, *, distinct: bool) -> np.ndarray:
    """`rows` (N, D) as float32; refuses what would become infinite or, if `distinct`, the same."""
    with np.errstate(over="ignore"):
        narrow = rows.astype(np.float32)
    if np.isinf(narrow).any():
        raise InputError("X has values too large for float32: scale it down.")
    if distinct and rows.dtype.itemsize > narrow.dtype.itemsize:
        exact = rows.astype(np.float64)
        spread = np.ptp(exact, axis=0)
        lost = np.abs(exact - narrow).max(axis=0) > 0.01 * spread
        if (columns := np.flatnonzero(lost & (spread > 0))).size:
            raise InputError(
                f"The values of column {columns[0]} of X are too large for their differences:"
                " subtract their mean."
            )
    return narrow


def stored_type(X: Any) -> str:
    """The type in which the values of X are kept: bool, uint8, uint16, else float32."""
    dtype = np.asarray(as_array(X)[:1]).dtype.newbyteorder("=")
    return str(dtype) if dtype in (np.bool_, np.uint8, np.uint16) else "float32"


def as_codes(X: Any) -> Tensor:
    """Codes as a float32 tensor of finite numbers."""
    array = _regular(X)
    try:
        array = np.asarray(array)
        if array.dtype.kind not in "biufO":
            raise TypeError
        with np.errstate(over="ignore"):
            z = np.array(array, dtype=np.float32)
    except (ValueError, TypeError):
        raise InputError("Codes must be numbers of shape (N, K).") from None
    if not np.isfinite(z).all():
        raise InputError(
            "Codes hold NaN, infinity or values too large for float32: give finite ones."
        )
    return torch.from_numpy(z)


def like(X: Any, out: Tensor) -> Any:
    """torch in, torch out; anything else gets numpy."""
    return out if isinstance(X, Tensor) else out.numpy()


def in_a_sentence(message: str) -> str:
    """What scikit-learn says about X, in one sentence that says what to do."""
    if "contains NaN" in message:
        return "X contains NaN: fill it in, or drop those samples."
    if "contains infinity" in message:
        return (
            "X contains infinity or values too large for float32: scale it down, or drop those"
            " samples."
        )
    return message


def find_seed(random_state: Any) -> int:
    """A seed from whatever scikit-learn calls a random state, the global one left alone."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    return int(check("random_state", Seed, random_state))


def find_device(name: str) -> torch.device:
    """The device of that name, or an `InputError` where it is not there."""
    if name == "auto":
        there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        return torch.device(next((kind for kind in there if there[kind]), "cpu"))
    try:
        device = torch.device(name)
        torch.Generator(device)  # which the device "meta", without values, has not
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise InputError(f"There is no device {name!r} here: use 'auto' or 'cpu'.") from None
    return device


def _regular(X: Any) -> Any:
    """X as something with a shape, and with all its values."""
    if isinstance(X, Tensor):
        if X.is_meta:
            raise InputError(
                "X is a tensor of device 'meta', which has no values: give one that has."
            )
        if X.layout != torch.strided:
            raise TypeError("Sparse tensors are not supported: give X.to_dense().")
        X = X.detach().cpu()
        return (X.float() if X.dtype in (torch.float16, torch.bfloat16) else X).numpy()
    if np.ma.is_masked(X):
        raise InputError(
            "X is a masked array with masked values: fill them in, such as X.filled(0)."
        )
    if hasattr(X, "getbands"):
        raise InputError("X is one image of Pillow: give a list of images, or an array.")
    try:
        return X if hasattr(X, "shape") else np.asarray(X)
    except ValueError:
        raise InputError(
            "X is ragged: its samples differ in size, give them all the same."
        ) from None


def _check_columns(table: Any) -> None:
    for name in table.columns:
        if not _is_number(np.asarray(table[name])):
            raise InputError(f'The column "{name}" of X is not numeric: drop it or encode it.')


def _check_type(array: Any) -> None:
    """Say in a sentence what scikit-learn would say in many, or pass."""
    kind = getattr(getattr(array, "dtype", None), "kind", "")
    if kind == "O" and array.ndim == 0:
        given = array.item()
        words = "None" if given is None else f"of type {type(given).__name__}"
        raise InputError(f"X must be an array of numbers, but is {words}.")
    if kind == "U" and array.ndim == 0:
        raise InputError(
            "X must be an array of numbers, but is a text: read it with diabolo.data.read."
        )
    if kind == "c":
        raise InputError("Complex data not supported: give real numbers, such as np.abs(X).")
    if kind in ("M", "m"):
        raise InputError("X holds dates or times: convert them to numbers.")
    if kind == "V":
        raise InputError("X has named fields: give a plain array of numbers.")
    if kind and not _is_number(array):
        raise InputError("X holds text: encode it as numbers.")


def _is_number(values: Any) -> bool:
    """Whether scikit-learn can make floats of values (what it raises a TypeError for passes)."""
    if values.dtype.kind != "O":
        return values.dtype.kind in "biuf"
    try:
        values.astype(float)
    except ValueError:
        return False
    except TypeError:
        return True
    return True
