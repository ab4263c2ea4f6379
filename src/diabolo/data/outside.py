"""Samples that other libraries hold, as arrays, or as arrays on disk where they are large.

Memory maps and HDF5 arrays without chunks are read where they lie. What has to be decoded (chunks,
Parquet, a `Dataset` of PyTorch or Hugging Face, a `DataLoader`) is decoded once, in order, into an
.npy file that goes when the process does, in the folder that TMPDIR names: so an epoch is a
permutation of all samples, a training that goes on is exact, and what is random in a `Dataset` is
drawn once.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from diabolo.columns import mixed
from diabolo.data import mapped
from diabolo.data.arrays import read_npy, write_blocks
from diabolo.data.files import why
from diabolo.data.frames import Frame
from diabolo.data.mapped import ROWS, on_disk, opened
from diabolo.data.samples import Kind, Numbers, Samples, channels_last
from diabolo.data.tables import dataset_form, read_frame
from diabolo.errors import InputError

BYTES = 2**24  # of a block that is decoded at a time
ITEMS = 256  # of a Dataset that are taken at a time
HEAD = 10_000  # rows of a table by which index and label are told
CELL, COPIES = 100, 3  # bytes that a cell takes while a table of words is read, and of its words


def brought(X: Any) -> Any:
    """X as the models take it: what no library below holds is given back."""
    if isinstance(X, np.ndarray):
        return on_disk(X)
    if isinstance(X, DataLoader | Dataset) and not _is("datasets", X):
        return decoded(_of_loader(X), what="The Dataset")
    for library, read in LIBRARIES.items():
        if _is(library, X):
            return read(X)
    return X


def _is(library: str, X: Any) -> bool:
    return any(kind.__module__.partition(".")[0] == library for kind in type(X).__mro__)


def decoded(blocks: Iterable[np.ndarray], *, what: str = "X", path: Path | None = None) -> Any:
    """Blocks (B, ...) of samples as one array, which lies on disk where it is large.

    In `path`, an .npy file, where one is given. Raises `InputError` where the blocks do not fit
    each other or are no numbers, or the disk has no room.
    """
    stream = iter(blocks)
    held, size = list[np.ndarray](), 0
    for block in stream:
        held.append(_numbers(block, what, held[0] if held else None))
        size += held[-1].nbytes
        if size >= mapped.LARGE:
            break
    if not held:
        raise InputError(f"{what} holds no samples.")
    if size < mapped.LARGE and path is None:
        return np.concatenate(held)
    rest = (_numbers(block, what, held[0]) for block in stream)
    if path is not None:
        write_blocks(path, held[0], _with_room(path, chain(held, rest), what))
        return read_npy(path)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "samples.npy"
        write_blocks(place, held[0], _with_room(place, chain(held, rest), what))
        return read_npy(place)


def _with_room(path: Path, blocks: Iterable[np.ndarray], what: str) -> Iterator[np.ndarray]:
    """The blocks, as long as the disk has room for more."""
    for block in blocks:
        if shutil.disk_usage(path.parent).free < 2 * block.nbytes:
            raise InputError(
                f"{what} takes more room than {path.parent} has, decoded: set TMPDIR to a"
                " folder with more, or give fewer samples."
            )
        yield block


def _numbers(block: Any, what: str, first: np.ndarray | None) -> np.ndarray:
    """A block in a type that is stored, its channels first."""
    array = np.asarray(block)
    if array.dtype.kind not in "biuf" or array.ndim < 2:
        raise InputError(
            f"{what} has items of {array.dtype} and shape {array.shape[1:]}: its items must be"
            " arrays of numbers of one shape, or tuples that begin with one."
        )
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype not in (np.bool_, np.uint8, np.uint16):
        array = array.astype(np.float32, copy=False)
    if channels_last(array.shape[1:]):
        array = np.moveaxis(array, -1, 1)
    if first is not None and (array.shape[1:], array.dtype) != (first.shape[1:], first.dtype):
        found, wanted = (f"{a.shape[1:]} of {a.dtype}" for a in (array, first))
        raise InputError(f"{what} has samples of {found} after others of {wanted}: give one kind.")
    return array


# ---- PyTorch


def _of_loader(X: Any) -> Iterator[np.ndarray]:
    """The items of a Dataset, or of what a DataLoader loads by its workers, in their order."""
    workers = X.num_workers if isinstance(X, DataLoader) else 0
    dataset = X.dataset if isinstance(X, DataLoader) else X
    if isinstance(X, DataLoader) and isinstance(dataset, IterableDataset):
        loader, first = X, _of_batch
    else:
        loader = DataLoader(dataset, ITEMS, num_workers=workers, collate_fn=list)
        first = _of_items
    count, state = 0, torch.get_rng_state()
    try:
        batches = iter(loader)  # which draws a number of the global generator
        torch.set_rng_state(state)
        for batch in batches:
            yield first(batch)
            count += len(batch)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise InputError(
            f"A worker of the DataLoader died after {count:,} samples ({why(error)}): give it"
            " fewer workers, or more memory."
        ) from error


def _of_batch(items: Any) -> np.ndarray:
    """The samples of a batch that was collated."""
    first = items[0] if isinstance(items, tuple | list) else items
    return np.asarray(_plain(first))


def _of_items(items: Any) -> np.ndarray:
    """The samples of a list of items, each an array or a tuple that begins with one."""
    firsts = [
        _plain(item[0] if isinstance(item, tuple | list) and item else item) for item in items
    ]
    try:
        return np.stack([np.asarray(one) for one in firsts])
    except (ValueError, TypeError):
        raise InputError(
            "The Dataset has items of several shapes: give a Dataset that brings them to one."
        ) from None


def _plain(item: Any) -> Any:
    """An item that can be an array; others are refused by their type."""
    if isinstance(item, torch.Tensor):
        dense = item.detach().cpu().to_dense()
        return (dense.float() if dense.dtype == torch.bfloat16 else dense).numpy()
    if not (hasattr(item, "__array__") or hasattr(item, "__array_interface__")):
        keys = f" with the keys {', '.join(map(str, item))}" if isinstance(item, dict) else ""
        raise InputError(
            f"The Dataset has items of type {type(item).__name__}{keys}, which are no arrays: let"
            " its items be arrays, tensors or images, or tuples that begin with one."
        )
    return item


# ---- HDF5, Zarr, Arrow, Hugging Face


def _of_hdf5(X: Any) -> Any:
    _check_array(X, "HDF5")
    place = X.id.get_offset() if X.chunks is None and not X.external else None
    large = X.nbytes >= mapped.LARGE
    if place is not None and X.file.driver == "sec2" and large and X.ndim > 1:
        X.file.flush()
        return opened(Path(X.file.filename), X.dtype, X.shape, place)
    return decoded(_of_slices(X), what=f"The array {X.name}")


def _of_zarr(X: Any) -> Any:
    _check_array(X, "Zarr")
    return decoded(_of_slices(X), what=f"The array {X.name}")


def _check_array(X: Any, form: str) -> None:
    """Refuse a group, whose arrays have names."""
    if not hasattr(X, "shape"):
        names = ", ".join(map(str, X)) or "of which it has none"
        raise InputError(f"X is a {type(X).__name__} of {form}: give one of its arrays, {names}.")


def _of_slices(X: Any, limit: int | None = None) -> Iterator[np.ndarray]:
    """The rows of an array that is read by slices, whole chunks at a time."""
    if X.ndim < 2:
        raise InputError(f"The array {X.name} has shape {X.shape}: give samples (N, ...).")
    chunk = X.chunks[0] if X.chunks else 1
    width = max(1, X.dtype.itemsize * int(np.prod(X.shape[1:])))
    rows = max(1, BYTES // width // chunk) * chunk
    count = X.shape[0] if limit is None else min(limit, X.shape[0])
    for start in range(0, count, rows):
        yield np.asarray(X[start : min(start + rows, count)])


def _of_arrow(X: Any) -> Any:
    """The rows of a data set of Arrow or Parquet files, or of a table, with numbers alone."""
    if not hasattr(X, "to_batches"):
        return X
    odd = [f.name for f in X.schema if not _number(str(f.type))]
    if odd:
        raise InputError(
            f'The column "{odd[0]}" is not numeric: take those that are, or give a DataFrame.'
        )
    return decoded(_of_batches(X), what="The data set")


def _number(kind: str) -> bool:
    return kind in ("bool", "double") or kind.lstrip("u").startswith(("int", "float", "halffloat"))


def _of_batches(X: Any) -> Iterator[np.ndarray]:
    for batch in X.to_batches():
        if len(batch):
            columns = [c.to_numpy(zero_copy_only=False) for c in batch.columns]
            yield np.stack(columns, 1).astype(np.float32)


def read_dataset(path: Path, known: Mapping[str, Any]) -> Samples | None:
    """A large table of numbers in Parquet or Arrow files, on disk.

    Index and label are told by the first rows; `known` as for `read_frame`. None where it is
    small, has gaps or more than numbers, or cannot be read: as what is read into memory.
    """
    try:
        data = import_module("pyarrow.dataset").dataset(path, **dataset_form(path))
        count = data.count_rows()
    except Exception:  # damaged files raise nearly anything, and reading them whole tells what
        return None
    if count * len(data.schema) * 4 < mapped.LARGE:
        return None
    head = read_frame(path, **{**known, "limit": HEAD}).like(known["kinds"] or ())
    array = None
    if head.numeric and not head.renamed and not mixed(head.table):
        with suppress(_GapError):
            array = decoded(_of_columns(data, head), what=str(path))
    if array is None:
        _check_room(path, head, count, len(data.schema))
        return None
    if head.label is not None:
        label = data.to_table(columns=[head.label]).to_pandas()
        head = replace(head, aside=label)
    kind: Kind = "arrow" if path.suffix.lower() in (".arrow", ".feather") else "parquet"
    told = [note for note in head.notes if "empty" not in note]
    names = Numbers(len(array))
    return Samples(array, names, kind, head.labels, head.columns, told=told)


def _check_room(path: Path, head: Frame, count: int, columns: int) -> None:
    """Refuse a table that is to be read into memory and is too large for it, by its first rows."""
    words = head.table.memory_usage(deep=True, index=False).sum() / max(1, len(head.table))
    needed = count * (columns * CELL + COPIES * words)
    if needed > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"):
        raise InputError(
            f"{path} has {count * columns:,} cells, more than there is memory for: give --limit N,"
            " or a table of numbers without gaps."
        )


class _GapError(Exception):
    """A cell is empty."""


def _of_columns(data: Any, head: Frame) -> Iterator[np.ndarray]:
    """The rows of some columns of a data set of files, in the type that `Frame.array` has."""
    stored = head.array().dtype
    options: dict[str, Any] = {"batch_size": ROWS, "batch_readahead": 2, "fragment_readahead": 1}
    if data.format.default_extname == "parquet":  # else much of the file is held
        way = import_module("pyarrow.dataset").ParquetFragmentScanOptions
        options["fragment_scan_options"] = way(use_buffered_stream=True, pre_buffer=False)
    for batch in data.to_batches(columns=head.columns, **options):
        if any(column.null_count for column in batch.columns):
            raise _GapError
        columns = [column.to_numpy(zero_copy_only=False) for column in batch.columns]
        if not all(np.isfinite(column).all() for column in columns):
            raise _GapError
        if len(batch):
            yield np.stack(columns, 1).astype(stored, copy=False)


def _of_hugging_face(X: Any) -> Any:
    """The one column of arrays or images of a data set, or all of its numbers."""
    if not hasattr(X, "features") or X.features is None:
        raise InputError("X is several data sets: give one, such as X['train'].")
    kinds = {name: type(kind).__name__ for name, kind in X.features.items()}
    wide = [name for name, kind in kinds.items() if kind not in ("Value", "ClassLabel")]
    numbers = [n for n, k in kinds.items() if k == "Value" and _number(X.features[n].dtype)]
    if len(wide) > 1 or not (wide or numbers):
        raise InputError(
            f"The data set has the columns {', '.join(kinds)}: select the one of arrays or images,"
            " such as X.select_columns('image')."
        )
    stored = getattr(X.features[wide[0]], "dtype", "") if wide else ""
    whole = stored if _number(stored) else None
    rows = X.select_columns(wide or numbers).with_format("numpy")

    def blocks() -> Iterator[np.ndarray]:
        for block in rows.iter(ITEMS if wide else ROWS):
            if wide:
                items = _of_items(list(block[wide[0]]))
                yield items if whole is None else items.astype(whole)
            else:
                yield np.stack([block[name] for name in numbers], 1).astype(np.float32)

    return decoded(blocks(), what="The data set")


def read_group(path: Path, kind: str, name: str, limit: int | None = None) -> Any:
    """An array in an HDF5 file or a Zarr folder: its only one, or that of a name."""
    library = {"hdf5": "h5py", "zarr": "zarr"}[kind]
    try:
        module = import_module(library)
    except ImportError:
        raise InputError(f'{path} needs {library}: pip install "diabolo[arrays]".') from None
    try:
        group = module.File(path, "r") if kind == "hdf5" else module.open(path, mode="r")
    except Exception as error:  # a damaged file raises nearly anything
        raise InputError(f"{path} cannot be read: {why(error)}") from error
    found = _arrays(group)
    if name not in found and (name or len(found) != 1):
        known = ", ".join(f"{path}:{one}" for one in found) or "none"
        raise InputError(f"{path} has the arrays {known}: give one of these.")
    array = found[name or next(iter(found))]
    if limit is not None:
        return np.concatenate([*_of_slices(array, limit)])
    return brought(array)


def _arrays(group: Any, before: str = "") -> dict[str, Any]:
    """The arrays (N, ...) in a group and the groups in it, by their paths."""
    if hasattr(group, "shape"):
        return {before: group} if group.ndim > 1 else {}
    found = dict[str, Any]()
    for name in group:
        found |= _arrays(group[name], f"{before}/{name}" if before else name)
    return found


LIBRARIES: dict[str, Callable[[Any], Any]] = {
    "h5py": _of_hdf5,
    "zarr": _of_zarr,
    "pyarrow": _of_arrow,
    "datasets": _of_hugging_face,
}
