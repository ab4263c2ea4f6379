"""Reading samples from whatever a user points at."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from diabolo.columns import ColumnKind, mixed
from diabolo.data.arrays import read_npy, read_npz
from diabolo.data.files import why
from diabolo.data.framing import as_fit, read_size
from diabolo.data.idx import looks_like_idx, read_idx
from diabolo.data.mnist import COUNTS, Split, read_split
from diabolo.data.samples import (
    OTHER_IMAGES,
    TABLES,
    Kind,
    Numbers,
    Samples,
    channels_last,
    kind_by_name,
)
from diabolo.data.spec import is_mnist
from diabolo.data.tables import dataset_form, read_code_columns, read_frame
from diabolo.errors import InputError

if TYPE_CHECKING:
    from diabolo.data.images import Found

FORMS = (
    "a source is mnist, mnist:test, mnist:test:100 or mnist:test:3-7, an image, a folder of "
    "images, .npy, .npz, .h5, .zarr, IDX, or a table: .csv, .tsv, .txt, .parquet, .arrow, .feather"
    " or .xlsx, or a folder of .parquet or .arrow files"
)
NO_IMAGES = "has no image files, which alone can be brought to another size: leave size out."
_MNIST = re.compile(r"mnist(?::(train|test)(?::(\d+)(?:-(\d+))?)?)?")


def read(
    source: str | Path,
    *,
    image_shape: tuple[int, int, int] | None = None,
    size: str | None = None,
    fit: str | None = None,
    kinds: Mapping[str, ColumnKind] | None = None,
    index: str | None = None,
    label: str | None = None,
    limit: int | None = None,
    window: int | None = None,
    step: int | None = None,
) -> Samples:
    """Read the samples of `source` in their stored dtype.

    - `mnist` or `mnist:train`: the 60,000 training digits, `mnist:test`: the 10,000 test digits;
      `mnist:test:100`: the first hundred; `mnist:test:3-7`: numbers 3 to 7, counted from 0, both
      included. A path of that name is reached as `./mnist`.
    - An image (png, jpg, bmp, tif, webp, gif, avif, jp2, ico, pgm, ppm), or a folder of them: read
      recursively, sorted by path, hidden files and other suffixes passed over. Pixels come as
      (N, H, W) gray or (N, 3, H, W) RGB; see `diabolo.data.decoding` for orientation, transparency
      and 16 bits. In a folder they are gray only if all are. Images that differ in size are
      brought to one, as `notes` tell. A broken file is left out and named in `failures`.
    - `.h5`, `.hdf5` and `.zarr` with one array, or FILE.h5:NAME for one of several. A large array
      of these and of `.npy` stays on disk, see `diabolo.data.outside`.
    - `.npy`; `.npz` with the array "x" or only one, and labels in "y"; IDX, gzip or not. Arrays
      are numbers, (N, D), (N, H, W) or (N, C, H, W); (N, H, W, C) becomes that, as `notes` tell.
    - Tables: `.csv`, `.tsv`, `.txt`, `.parquet`, `.arrow`, `.feather` and `.xlsx`, as
      `read_frame` reads them, with `kinds`, `index` and `label` as there; a folder of Parquet or
      Arrow files is one. A large one of numbers alone stays on disk.

    `image_shape`, (C, H, W), is what a model takes: images are then converted to C channels and
    that size. It says nothing about the other kinds. `size`, as "64" or "64x48" (width x height),
    and `fit`, "crop", "pad" or "stretch", are of images only: see `diabolo.data.framing`.

    `limit`: only the first samples are read, of a folder the first image files, and the rest costs
    neither time nor memory; nor is it looked at, so that what is wrong there is not found.

    With a `window` the source is one long series, whose windows are the samples: see
    `diabolo.data.series`.

    Raises InputError where the source does not exist, cannot be read or holds no samples.
    """
    wanted, way = None if size is None else read_size(size), as_fit(fit)
    if window is not None:
        from diabolo.data.series import read_series

        roles: Any = {"index": index, "label": label, "kinds": kinds}
        return read_series(source, window, step, limit=limit, **roles)
    text = str(source)
    if not text:
        raise InputError(f"The name of the source is empty: {FORMS}")
    if limit is not None and limit < 1:
        raise InputError(f"A limit is at least 1, but is {limit}.")
    digits = is_mnist(text)
    path = Path(source)
    path, inner = (path, "") if digits else _inside(text)
    kind = "mnist" if digits else _kind_of(path)
    if kind not in TABLES and (index or label):
        raise InputError(f"{source} is no table: leave the names of its index and label out.")
    if kind in ("image", "folder"):
        return _read_images(path, kind, image_shape, size=wanted, fit=way, limit=limit)
    if wanted is not None:
        raise InputError(f"{source} {NO_IMAGES}")
    if kind == "wav":
        raise InputError(f"{source} is a sound, one long series: give a window.")
    if kind in TABLES:
        return _read_table(path, kind, kinds=kinds, index=index, label=label, limit=limit)
    if kind in ("hdf5", "zarr"):
        return _read_group(path, kind, inner, limit)
    return _read_mnist(text, limit) if digits else _read_file(path, kind, limit)


def read_codes(source: str | Path) -> np.ndarray:
    """Read codes (N, K) as `write_codes` writes them, or from any other source of numbers.

    Of a table with the columns code_0, code_1, ... all others are left aside.
    """
    path = Path(source)
    table = kind_by_name(path) in TABLES and path.is_file()
    codes = read_code_columns(path) if table else None
    return read(source).array if codes is None else checked(path, codes)


def read_each(source: str | Path, *, whole: bool = False) -> list[Samples]:
    """Read `source` as `read` does, but its images each in its own size, colours and depth.

    Those of one size, colours and depth are in one array. Every other kind of source is one
    array. The failures are those of the first. `whole`: images of which something would be lost,
    as transparency, are failures.
    """
    files, path = find_files(source), Path(source)
    alone = files is None and whole and kind_by_name(path) == "image" and path.is_file()
    if files is None and not alone:
        return [read(source)]
    from diabolo.data.images import Found, read_parts

    files = files or Found(path.parent, [path.name], [], [])
    parts, failures, notes = read_parts(files.folder, files.names, whole=whole)
    if not parts and alone:
        raise InputError(f"{failures[0]}.")
    if not parts:
        raise _none_usable(files, failures)
    failures, notes = files.failures + failures, files.notes + notes
    return [replace(parts[0], failures=failures, told=notes), *parts[1:]]


def find_files(source: str | Path) -> "Found | None":
    """The image files of a folder; None for another source."""
    path = Path(source)
    if is_mnist(str(source)) or not path.exists() or _kind_of(path) != "folder":
        return None
    return files_in(path)


def files_in(path: Path) -> "Found":
    """The image files of a folder. Raises `InputError` where there are none."""
    from diabolo.data.images import find_images

    files = find_images(path)
    if not files.names:
        reasons = [*files.failures, *files.notes, f"{path} is a folder without images"]
        raise InputError(reasons[0])
    return files


def _none_usable(files: "Found", failures: list[str]) -> InputError:
    return InputError(
        f"none of the {len(files.names)} images in {files.folder} can be used; the first:"
        f" {failures[0]}"
    )


def _read_mnist(source: str, limit: int | None) -> Samples:
    match = _MNIST.fullmatch(source)
    if match is None:
        raise InputError(
            f"{source} is not understood: write mnist, mnist:train, mnist:test, mnist:test:100 "
            "(the first hundred) or mnist:test:3-7"
        )
    split, start, end = match.groups()
    split = cast(Split, split or "train")
    first, stop = 0, COUNTS[split]
    if start is not None:
        first, stop = (0, int(start)) if end is None else (int(start), int(end) + 1)
    if not first < stop <= COUNTS[split]:
        raise InputError(
            f"{source} asks for no images or for some that are not there: there are "
            f"{COUNTS[split]}, numbered 0 to {COUNTS[split] - 1}"
        )
    stop = stop if limit is None else min(stop, first + limit)
    images, labels = read_split(split, limit=stop)
    return Samples(images[first:], _numbers(first, stop), "mnist", labels[first:])


def _kind_of(path: Path) -> Kind:
    try:
        if path.is_dir():
            if dataset_form(path):
                return "parquet"
            return "zarr" if path.suffix.lower() == ".zarr" else "folder"
        if not path.exists():
            raise InputError(f"{path} does not exist: {FORMS}")
        if not path.is_file():
            raise InputError(f"{path} is neither a file nor a folder")
        if path.suffix.lower() in OTHER_IMAGES:
            raise InputError(f"{path} cannot be read: convert it to .png or .jpg.")
        kind = kind_by_name(path)
        if kind in (None, "folder", "zarr"):
            kind = "idx" if looks_like_idx(path) else None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {why(error)}") from error
    if kind is None:
        raise InputError(f"{path} is of no kind that can be read: {FORMS}")
    return kind


def _read_images(
    path: Path,
    kind: Kind,
    image_shape: tuple[int, int, int] | None,
    *,
    limit: int | None,
    **frame: Any,
) -> Samples:
    from diabolo.data.images import Found, read_images

    files = files_in(path) if kind == "folder" else Found(path.parent, [path.name], [], [])
    files = files._replace(names=files.names[:limit])
    found = read_images(files.folder, files.names, image_shape, stays=True, **frame)
    failures, told = files.failures + found.failures, files.notes + found.notes
    if not found.names:
        raise InputError(failures[0]) if kind == "image" else _none_usable(files, found.failures)
    return Samples(
        found.array, found.names, kind, failures=failures, told=told, framing=found.frame
    )


def _read_file(path: Path, kind: Kind, limit: int | None) -> Samples:
    labels = None
    if kind == "npy":
        array = read_npy(path, limit)
    elif kind == "npz":
        array, labels = read_npz(path, limit)
    else:
        array = read_idx(path, limit)
    array, told = checked(path, array), list[str]()
    if not isinstance(array, np.ndarray):
        return Samples(array, Numbers(len(array)), kind)
    if channels_last(array.shape[1:]):
        array = np.ascontiguousarray(np.moveaxis(array, -1, 1))
        told = [f"{path} has its channels last: they are moved to the front, {array.shape[1:]}."]
    return Samples(array, _numbers(0, len(array)), kind, labels, told=told)


def _inside(text: str) -> tuple[Path, str]:
    """The file and the array in it that FILE.h5:NAME or FOLDER.zarr:NAME means."""
    before, colon, name = text.rpartition(":")
    if colon and kind_by_name(Path(before)) in ("hdf5", "zarr") and not Path(text).exists():
        return Path(before), name
    return Path(text), ""


def _read_group(path: Path, kind: Kind, name: str, limit: int | None) -> Samples:
    from diabolo.data.outside import read_group

    array = checked(path, read_group(path, kind, name, limit))
    return Samples(array, Numbers(len(array)), kind)


def _read_table(path: Path, kind: Kind, **known: Any) -> Samples:
    if kind in ("parquet", "arrow") and known["limit"] is None:
        from diabolo.data.outside import read_dataset

        if (found := read_dataset(path, known)) is not None:
            return found
    frame = read_frame(path, **known).like(known["kinds"] or ())
    array = frame.table if mixed(frame.table) else checked(path, frame.array())
    names = _numbers(0, len(array))
    return Samples(array, names, kind, frame.labels, frame.columns, frame=frame)


def checked(path: Path | str, array: Any) -> Any:
    """`array` in native byte order, if it holds numbers in a shape that samples can have."""
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise InputError(f"{path} holds {array.dtype} values; expected bool, integers or floats")
    if array.ndim not in (2, 3, 4, 5):
        raise InputError(
            f"{path} has {array.ndim} dimensions, shape {array.shape}; expected (N, D), "
            "(N, H, W), (N, C, H, W) or (N, C, D, H, W)"
        )
    if 0 in array.shape:
        raise InputError(f"{path} holds no samples: its shape is {array.shape}")
    if not isinstance(array, np.ndarray):  # on disk
        if channels_last(array.shape[1:]):
            raise InputError(
                f"{path} has its channels last, {array.shape[1:]}, and is too large to change in"
                " memory: save it as (N, C, H, W)."
            )
        return array
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _numbers(first: int, stop: int) -> list[str]:
    return [str(number) for number in range(first, stop)]
