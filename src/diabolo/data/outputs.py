"""Writing results in the form that a path's name asks for."""

from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from diabolo.data.arrays import write_blocks
from diabolo.data.files import atomically, check_file, folder_atomically
from diabolo.data.idx import write_idx
from diabolo.data.samples import TABLES, Samples, kind_by_name
from diabolo.data.tables import table_of, write_frame, write_table
from diabolo.errors import InputError

UNLIKE = "cannot hold images of different sizes: give a folder, a path without suffix"
BYTES, PART = 2**24, 2**16  # of an array, and rows of a table, that are written at a time


def write(
    path: str | Path,
    array: Any,
    like: Samples | None = None,
    *,
    dtype: DTypeLike | None = None,
) -> None:
    """Write samples (N, ...) to `path`, whole or not at all, replacing what was there.

    Values are rounded and clipped to `dtype` (that of `like`; else left as they are) where it is
    an integer type; for bool, 0.5 and above is true. The suffix of `path` says the rest:

    - an image suffix: one image, N must be 1; no suffix: a folder of images, named as the samples
      of `like` ("0", "1", ... without it), in their sub-folders. Names without a suffix, and
      those whose format is lossy or cannot hold the pixels, become .png; numbers are filled with
      zeros to sort in order. Floats must lie in [0, 1] and are scaled to 255, but a gray TIFF
      holds floats as they are; bool is written as 0 and 255; 16-bit gray stays 16-bit.
    - .npy; .npz (array "x"); names with "idx" or "ubyte" or ending in .gz: IDX.
    - a table, .csv, .tsv, .txt, .parquet, .arrow, .feather or .xlsx: one row a sample under the
      columns of `like`, in its form; without a table there "0", "1", ..., or "code_0", "code_1",
      ... where rows are not as wide as the samples of `like`. A DataFrame can be written as one.
    - .wav: the sound that `like` was.

    Windows of a series are put back together, a row for each time step, beside its time stamps.

    Raises InputError where the form cannot hold the values or the path cannot be written.
    """
    path = Path(path)
    kind = kind_by_name(path)
    if kind != "folder":
        check_file(path)
    if hasattr(array, "columns"):
        _write_frame(path, array, like)
        return
    array = array if isinstance(array, np.memmap) else np.asarray(array)
    if like is not None and like.series is not None:
        array = like.series.joined(array)
    if array.ndim == 0 or array.size == 0:
        raise InputError(f"there are no samples to write to {path}: shape {array.shape}")
    own = getattr(like.array, "dtype", array.dtype) if like else array.dtype  # a table has many
    wanted = np.dtype(own if dtype is None else dtype)
    if kind == "npy":
        write_blocks(path, _to_type(array[:1], wanted, path), _blocks(path, array, wanted))
    elif kind == "folder":
        _write_folder(path, array, wanted, like)
    else:
        _write(path, _to_type(array, wanted, path), like)


def write_codes(path: str | Path, codes: np.ndarray, of: Samples) -> None:
    """Write codes (N, K) to .npy, .npz, .csv or .parquet, whole or not at all.

    Tables have the columns code_0, code_1, ..., before them `file` for images read from files,
    and `label` where the samples have labels. An .npz has the codes in "x", and so the names in
    "names" and the labels in "y".
    """
    path, beside = Path(path), dict[str, np.ndarray]()
    if of.kind in ("image", "folder"):
        # A name on disk may hold bytes that are no text.
        beside["file"] = np.array([name.encode(errors="replace").decode() for name in of.names])
    if of.labels is not None:
        beside["label"] = of.labels
    if of.series is not None:
        beside["start"], beside["end"] = of.series.ends
    match kind_by_name(path):
        case "csv" | "parquet" | "arrow" | "excel":
            columns = [f"code_{column}" for column in range(codes.shape[1])]
            _write_in_parts(path, codes, columns, beside)
        case "npz":
            renamed: Any = {{"file": "names", "label": "y"}[k]: v for k, v in beside.items()}
            with atomically(path) as temporary:
                np.savez(temporary, x=codes, **renamed)
        case _:
            write(path, codes)


def _write_in_parts(
    path: Path, codes: np.ndarray, columns: list[str], beside: dict[str, np.ndarray]
) -> None:
    """A table of codes, which may lie in a file and be many, so many rows at a time."""
    suffix, blocks = path.suffix.lower(), range(0, len(codes), PART)
    if suffix not in (".csv", ".parquet") or len(blocks) < 2:
        write_table(path, codes, columns, beside)
        return
    rows = [slice(start, start + PART) for start in blocks]
    parts = (
        table_of(path, codes[part], columns, {n: v[part] for n, v in beside.items()})
        for part in rows
    )
    with atomically(path) as temporary:
        if suffix == ".csv":
            with temporary.open("a", encoding="utf-8", newline="") as file:
                for number, frame in enumerate(parts):
                    frame.to_csv(file, index=False, header=number == 0, lineterminator="\n")
            return
        arrow, parquet = (import_module(f"pyarrow{name}") for name in ("", ".parquet"))
        first = arrow.Table.from_pandas(next(parts), preserve_index=False)
        with parquet.ParquetWriter(temporary, first.schema) as file:
            file.write_table(first)
            for frame in parts:
                file.write_table(arrow.Table.from_pandas(frame, first.schema, False))


def write_each(path: str | Path, arrays: Sequence[np.ndarray], like: Sequence[Samples]) -> None:
    """Write images of several sizes, one array (N, ...) a size, as `write` writes one.

    Into a folder, or one array to whatever `path` names. Raises InputError for another path.
    """
    if len(arrays) == 1:
        write(path, arrays[0], like[0])
        return
    path = Path(path)
    if kind_by_name(path) != "folder":
        raise InputError(f"{path} {UNLIKE}")
    from diabolo.data import encoding

    pictures, names = list[np.ndarray](), list[str]()
    for array, samples in zip(arrays, like, strict=True):
        values = _to_type(array, samples.array.dtype, path)
        tiffs = all(name.lower().endswith((".tif", ".tiff")) for name in samples.names)
        pictures.extend(encoding.to_pixels(values, keep_float=tiffs))
        names += samples.names
    modes = [encoding.mode_of(pixels[None]) for pixels in pictures]
    for mode in modes:
        encoding.check_writable(path / "0.png", mode)
    with folder_atomically(path) as folder:
        encoding.write_images(folder, encoding.file_names(names, modes), [pictures])


def write_folder(path: str | Path, parts: Iterable[tuple[np.ndarray, Sequence[str]]]) -> None:
    """Write images (N, ...) of 8 bits or bool with their names, as they come; see `write_each`.

    What a file is called depends on the names of all: each is named at the end.
    """
    from diabolo.data import encoding

    names, modes, held = list[str](), list[str](), list[Path]()
    with folder_atomically(path) as folder, TemporaryDirectory(dir=folder) as place:
        for array, some in parts:
            pixels = encoding.to_pixels(array)
            mode = encoding.mode_of(pixels)
            suffixes = [Path(encoding.file_names([name], [mode])[0]).suffix for name in some]
            files = [f"{number}{suffix}" for number, suffix in enumerate(suffixes, len(held))]
            encoding.write_images(Path(place), files, [pixels])
            names += some
            modes += [mode] * len(some)
            held += [Path(place, file) for file in files]
        for file, name in zip(held, encoding.file_names(names, modes), strict=True):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            file.rename(folder / name)


def write_into(folder: Path, names: Sequence[str], array: np.ndarray, dtype: np.dtype) -> None:
    """Write images (N, ...), in a type that files hold, under names that `file_names` gave."""
    from diabolo.data import encoding

    pixels = encoding.to_pixels(_to_type(array, dtype, folder), keep_float=True)
    encoding.write_images(folder, names, [pixels])


def _write(path: Path, array: np.ndarray, like: Samples | None) -> None:
    match kind_by_name(path):
        case "image":
            _write_image(path, array)
        case "npz":
            with atomically(path) as temporary:
                np.savez(temporary, x=array)
        case "wav":
            _write_sound(path, array, like)
        case "idx":
            write_idx(path, array)
        case "csv" | "parquet" | "arrow" | "excel":
            rows = array.reshape(len(array), -1)
            columns = _columns(rows.shape[1], like)
            own = like is not None and columns == like.columns
            write_table(path, rows, columns, like=like.frame if like and own else None)
        case _:
            raise InputError(
                f"{path} names no kind that can be written: end it in an image suffix, .npy, "
                ".npz, .csv, .parquet or .idx, or in none for a folder of images"
            )


def _blocks(path: Path, array: np.ndarray, wanted: np.dtype) -> Iterator[np.ndarray]:
    """An array in a type, in parts, as it may lie in a file and be larger than the memory."""
    rows = max(1, BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        yield _to_type(array[start : start + rows], wanted, path)
        if isinstance(array, np.memmap):
            import_module("diabolo.data.mapped").let_go(array)


def write_npy(path: str | Path, blocks: Iterable[np.ndarray]) -> None:
    """Write blocks (N, ...) of one shape and type as one array, as they come."""
    stream = iter(blocks)
    first = next(stream, None)
    if first is None:
        raise InputError(f"there are no samples to write to {path}")
    write_blocks(Path(path), first, _alike(path, first, chain([first], stream)))


def _alike(
    path: str | Path, first: np.ndarray, blocks: Iterable[np.ndarray]
) -> Iterator[np.ndarray]:
    """The blocks, which must be of the shape and type of the first."""
    for block in blocks:
        if (block.shape[1:], block.dtype) != (first.shape[1:], first.dtype):
            raise InputError(f"{path} {UNLIKE}")
        yield block


def _write_sound(path: Path, array: np.ndarray, like: Samples | None) -> None:
    """A series (T,) or (T, C) as the sound that it was."""
    if like is None or like.series is None or like.kind != "wav":
        raise InputError(f"{path} is a sound, which only a sound can become: write to .npy")
    from scipy.io import wavfile

    with atomically(path) as temporary:
        wavfile.write(temporary, round(1 / float(like.series.stamps[1])), array)


def _write_frame(path: Path, table: Any, like: Samples | None) -> None:
    if kind_by_name(path) not in TABLES:
        raise InputError(
            f"{path} cannot hold a table: end it in .csv, .tsv, .txt, .parquet, .arrow,"
            " .feather or .xlsx"
        )
    write_frame(path, table, None if like is None else like.frame)


def _write_image(path: Path, array: np.ndarray) -> None:
    from diabolo.data import encoding

    if len(array) != 1:
        raise InputError(
            f"{path} is one image and there are {len(array)} samples: give a folder, a path "
            "without suffix"
        )
    suffix = path.suffix.lower()
    pixels = encoding.to_pixels(array, keep_float=suffix in (".tif", ".tiff"))
    encoding.check_writable(path, encoding.mode_of(pixels))
    with atomically(path) as temporary:
        encoding.write_image(temporary, pixels[0], suffix)


def _write_folder(path: Path, array: np.ndarray, wanted: np.dtype, like: Samples | None) -> None:
    from diabolo.data import encoding

    names = [str(row) for row in range(len(array))] if like is None else like.names
    if len(names) != len(array):
        raise ValueError(f"{len(array)} samples for {len(names)} names")
    tiffs = all(name.lower().endswith((".tif", ".tiff")) for name in names)
    alone = wanted.kind in "bf" or wanted in (np.uint8, np.uint16)  # else by the range of all
    parts = _blocks(path, array, wanted) if alone else [_to_type(array, wanted, path)]
    pixels = (encoding.to_pixels(part, keep_float=tiffs) for part in parts)
    first = next(pixels)
    mode = encoding.mode_of(first)
    if not tiffs:
        encoding.check_writable(path / "0.png", mode)
    with folder_atomically(path) as folder:
        named = encoding.file_names(names, [mode] * len(names))
        encoding.write_images(folder, named, chain([first], pixels))


def _columns(width: int, like: Samples | None) -> list[str]:
    if like is not None and like.columns is not None and len(like.columns) == width:
        return like.columns
    if like is not None and np.asarray(like.array[:1]).size != width:
        return [f"code_{column}" for column in range(width)]
    return [str(column) for column in range(width)]


def _to_type(array: np.ndarray, dtype: np.dtype, path: Path) -> np.ndarray:
    """`array` as `dtype`; to integers rounded and clipped, to bool split at one half."""
    if array.dtype == dtype or dtype.kind == "f":
        return array.astype(dtype, copy=False)
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise InputError(f"the values for {path} hold NaN, which {dtype} cannot")
    if dtype.kind == "b":
        return array >= 0.5
    # A common type holds both ranges; only beside 64-bit integers is float64 too coarse for it.
    common = np.result_type(array.dtype, dtype)
    values = np.rint(array.astype(common)) if array.dtype.kind == "f" else array.astype(common)
    info = np.iinfo(dtype)
    if common.kind == "f" and float(info.max) > info.max:
        return np.clip(values, info.min, np.nextafter(float(info.max), 0)).astype(dtype)
    return np.clip(values, info.min, info.max).astype(dtype)
