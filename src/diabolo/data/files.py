"""Writing a file or a folder whole or not at all, and what libraries say put in one line."""

import csv
import errno
import os
import secrets
import shutil
import tempfile
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Any

from diabolo.errors import InputError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

# `warnings.catch_warnings` swaps the filters of the whole process: one thread at a time.
_FILTERS = threading.Lock()


@contextmanager
def atomically(path: str | Path, *, lasting: bool = False) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` if the block succeeds.

    The temporary name keeps the suffix, so writers that look at it behave as usual. `lasting`: it
    is there after a power cut, too. Raises `InputError` where the path cannot be written.
    """
    path = Path(path)
    check_file(path)
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
        try:
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL, 0o666))  # less what umask takes
            yield temporary
            if lasting:
                sync(temporary)
            temporary.replace(path)
            if lasting:
                sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file, or which files are in a folder, would outlast a power cut."""
    with suppress(PermissionError):  # Windows opens no folders
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def check_file(path: Path) -> None:
    """Refuse a folder, a device or a socket where a file is to be written."""
    if path.is_dir():
        raise InputError(f"{path} is a folder: give the name of a file.")
    if is_special(path):
        raise InputError(f"{path} is no file, and is left alone: write elsewhere.")


def is_special(path: Path) -> bool:
    """Whether a device, a pipe or a socket is there."""
    return path.exists() and not (path.is_file() or path.is_dir())


def check_own(path: Path, other: Sequence[Path]) -> None:
    """Refuse to replace a folder with files that nothing of ours would put there."""
    if other:
        raise InputError(
            f"{path} has other files in it, such as {other[0].name}: it is left alone."
        )


def real(path: str | Path) -> Path:
    """Where a path leads; the path itself where its links lead round in a circle."""
    try:
        return Path(path).resolve()
    except RuntimeError:  # of Python before 3.13
        return Path(path).absolute()


def check_place(path: Path) -> None:
    """Refuse a path where nothing can be written, before any work is done for it."""
    folder = path.parent
    while not os.path.lexists(folder):
        folder = folder.parent
    with _explained(path), tempfile.TemporaryDirectory(prefix=".", dir=folder):
        pass


def leftovers(path: Path) -> Iterator[Path]:
    """The temporary files beside `path` of writings that were killed."""
    yield from path.parent.glob(f".{escape(path.stem)}-{'?' * 8}{path.suffix}")


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files beside `path` of writings that were killed."""
    for leftover in leftovers(path):
        leftover.unlink(missing_ok=True)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """An error of the system in a sentence."""
    try:
        yield
    except OSError as error:
        space = "free space or " if error.errno in FULL else ""
        raise InputError(
            f"{path} cannot be written: {why(error)}; {space}write elsewhere."
        ) from error


@contextmanager
def folder_atomically(path: str | Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`; put it in the place of `path` if the block succeeds.

    What was at `path` before is removed, but only once the new folder is complete.
    """
    given, path = Path(path), Path(path).absolute()
    with _explained(given):
        path.parent.mkdir(parents=True, exist_ok=True)
        room = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    new, old = room / "new", room / "old"
    try:
        with _explained(given):
            new.mkdir()
            yield new
            if path.is_dir():
                path.rename(old)
            try:
                new.rename(path)
            except OSError:
                if old.exists():
                    old.rename(path)
                raise
    finally:
        shutil.rmtree(room, ignore_errors=True)


def write_csv(path: Path, header: Iterable[Any], rows: Iterable[Iterable[Any]]) -> None:
    """Write lines of cells; the names of files among them may be no text."""
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def why(error: BaseException) -> str:
    """The reason that an exception gives, in one line."""
    text = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    return text.splitlines()[0]


@contextmanager
def quietly(*errors: type[Warning]) -> Iterator[None]:
    """Silence every warning inside the block, threads it starts included, and raise `errors`."""
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for error in errors:
            warnings.simplefilter("error", error)
        yield
