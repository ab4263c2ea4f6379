"""Writing a file or a folder whole or not at all, and what libraries say put in one line."""

import os
import shutil
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# `warnings.catch_warnings` swaps the filters of the whole process: one thread at a time.
_FILTERS = threading.Lock()


@contextmanager
def atomically(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` if the block succeeds.

    The temporary name keeps the suffix, so writers that look at it behave as usual.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def folder_atomically(path: str | Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`; put it in the place of `path` if the block succeeds.

    What was at `path` before is removed, but only once the new folder is complete.
    """
    path = Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    room = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    new, old = room / "new", room / "old"
    try:
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
