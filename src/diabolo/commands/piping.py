"""`-` in place of a file: read from standard input, written to standard output.

What comes in is kept in a temporary file whose suffix its first bytes tell; what goes out has the
form of what came in, or that of a suffix: `--out -.png`.
"""

import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from io import TextIOBase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from diabolo.arguments import Argument
from diabolo.errors import InputError

PIPE, OUT, TEXT, MODEL = "-", "out", ".csv", ".safetensors"
STREAM = "INPUT|-"  # of an argument that is followed as it comes; see `arriving`
MOST = 1 << 20  # bytes that are read at a time
BEGINNINGS = {
    b"\x89PNG": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"\x93NUMPY": ".npy",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
    b"PAR1": ".parquet",
    b"ARROW1": ".arrow",
    b"\x89DIA": ".dia",
    b"\x1f\x8b": ".idx.gz",
}
INSIDE = {b"WEBP": ".webp", b"WAVE": ".wav"}  # of a RIFF file


@contextmanager
def piped(declared: Mapping[str, Argument], values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The values of a command, with files where `-` stands; at the end the result is written.

    What the command prints goes to standard error then, line by line, but for the names of files
    that do not stay. Raises `InputError` where two read from standard input, or the result is not
    one file.
    """
    inputs = [name for name in values if values[name] == PIPE and _is_read(declared[name])]
    writes = str(values.get(OUT, "")).partition(".")[0] == PIPE
    if len(inputs) > 1:
        raise InputError("Standard input can be read once: give - for one file.")
    if not inputs and not writes:
        yield dict(values)
        return
    with TemporaryDirectory(prefix="diabolo-") as folder:
        given = dict(values) | {name: _kept(Path(folder)) for name in inputs}
        if not writes:
            yield given
            return
        own, form = str(values[OUT])[1:], _form(declared, given)
        given[OUT] = str(Path(folder) / "out" / f"result{own or form}")
        Path(given[OUT]).parent.mkdir()
        with redirect_stdout(_Aside(folder)):
            yield given
        _write(Path(given[OUT]))


class _Aside(TextIOBase):
    """Passes each line on to standard error, but for the names of what is in a folder."""

    def __init__(self, folder: str) -> None:
        self.folder, self.line = folder, ""

    def write(self, text: str) -> int:
        *lines, self.line = (self.line + text).split("\n")
        for line in lines:
            if not line.startswith(self.folder):
                print(line, file=sys.stderr, flush=True)
        return len(text)


def arriving(*, header: bool) -> Iterator[Path]:
    """Standard input as it comes, in files: of a table the rows that are there, a row a line.

    Each is one for as long as it is looked at. With a `header` the first line is in every one.
    Anything but a table comes whole.
    """
    stream: Any = sys.stdin.buffer
    part = stream.read1(MOST)
    if not part:
        raise InputError("Nothing came by standard input.")
    with TemporaryDirectory(prefix="diabolo-") as folder:
        path = Path(folder) / f"input{_suffix(part)}"
        if path.suffix != TEXT:
            path.write_bytes(part + stream.read())
            yield path
            return
        head, rest = b"", b""
        while part or rest:
            lines, end, rest = (rest + part).rpartition(b"\n") if part else (rest, b"\n", b"")
            if header and not head and end:
                head, _, lines = lines.partition(b"\n")
            if lines.strip():
                path.write_bytes(b"\n".join([head, lines, b""] if head else [lines, b""]))
                yield path
            part = stream.read1(MOST)


def _is_read(argument: Argument) -> bool:
    """Whether an argument names what is read: by its place, or as INPUT; a stream reads itself."""
    return argument.metavar != STREAM and (argument.metavar == "INPUT" or not argument.flag)


def _kept(folder: Path) -> str:
    """Standard input as a file."""
    content = sys.stdin.buffer.read()
    if not content:
        raise InputError("Nothing came by standard input.")
    path = folder / f"input{_suffix(content)}"
    path.write_bytes(content)
    return str(path)


def _suffix(content: bytes) -> str:
    inside = {content[:8] + kind: suffix for kind, suffix in INSIDE.items()}
    known = inside if content.startswith(b"RIFF") else BEGINNINGS
    return next((known[begin] for begin in known if content.startswith(begin)), TEXT)


def _form(declared: Mapping[str, Argument], given: Mapping[str, Any]) -> str:
    """The suffix of what is read; of what is no file .npy."""
    read = [str(given[name]) for name in given if _is_read(declared[name])]
    files = [Path(one) for one in read if Path(one).is_file() and not one.endswith(MODEL)]
    return next((file.suffix for file in files), ".npy")


def _write(path: Path) -> None:
    if not path.is_file():
        raise InputError("The result is not one file: give --out a folder in place of -.")
    with path.open("rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.buffer.flush()
