"""Folders of many images, decoded once: pixels in a file of the user's cache, mapped from there.

A file is known by the names, sizes and times of the images and what was made of them, so that a
folder that changes is decoded again. Beside it stands why some images could not be read. The files
used last stay, up to `MOST` bytes of them; the folder (XDG_CACHE_HOME, or ~/.cache, and in it
diabolo/images) can be removed at any time.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diabolo.data.arrays import read_npy
from diabolo.data.files import atomically
from diabolo.data.outside import decoded
from diabolo.errors import InputError

MOST = 20 * 2**30  # bytes of all files
VERSION = 1  # of how images are decoded
Block = tuple[np.ndarray, dict[str, str]]  # pixels, and why some have none


def place() -> Path:
    """The folder of the files."""
    own = os.environ.get("XDG_CACHE_HOME")
    return (Path(own) if own else Path.home() / ".cache") / "diabolo" / "images"


def key_of(folder: Path, names: Sequence[str], how: str) -> str:
    """What a file is known by: the images, and how they are decoded."""
    total = hashlib.sha256(f"{VERSION} {folder.resolve()} {how}".encode())
    for name in names:
        found = (folder / name).stat()
        total.update(f"{name}\n{found.st_size} {found.st_mtime_ns}\n".encode(errors="replace"))
    return total.hexdigest()[:32]


def kept(
    folder: Path, names: Sequence[str], how: str, size: int, blocks: Callable[[], Iterator[Block]]
) -> tuple[Any, dict[str, str]] | None:
    """The pixels of images as an array on disk, and why some have none.

    `size` is how many bytes `blocks` will have. None where there is no room for them.
    """
    try:
        path = place() / f"{key_of(folder, names, how)}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".json")
        if not (path.exists() and beside.exists()):
            if shutil.disk_usage(path.parent).free < 2 * size or size > MOST:
                return None
            _make_room(size)
            _decode(path, beside, blocks())
        os.utime(path)
        broken: dict[str, str] = json.loads(beside.read_text(encoding="utf-8"))
        return read_npy(path), broken
    except (OSError, ValueError, InputError):  # not to be written, or damaged
        return None


def _decode(path: Path, beside: Path, blocks: Iterator[Block]) -> None:
    broken = dict[str, str]()

    def pixels() -> Iterator[np.ndarray]:
        for array, why in blocks:
            broken.update(why)
            if len(array):
                yield array

    decoded(pixels(), path=path)
    with atomically(beside) as temporary:
        temporary.write_text(json.dumps(broken), encoding="utf-8")


def _make_room(size: int) -> None:
    """Remove the files that were used longest ago."""
    files = sorted(place().glob("*.npy"), key=lambda path: path.stat().st_mtime)
    total = sum(path.stat().st_size for path in files)
    for path in files:
        if total + size <= MOST:
            return
        total -= path.stat().st_size
        path.with_suffix(".json").unlink(missing_ok=True)
        path.unlink(missing_ok=True)
