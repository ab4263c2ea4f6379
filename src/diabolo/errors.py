"""What a user did wrong: one exception, one sentence."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from errno import ENOMEM
from traceback import walk_tb
from typing import Any, TypeVar

DOING = {  # what a room is for
    "data": "read the data",
    "intake": "take the samples in",
    "train": "train",
    "linear": "find the best linear method",
    "doctor": "examine the model",
    "infer": "apply the model",
    "report": "draw the report",
    "store": "keep the model",
}
_ASKED = re.compile(r"allocate ([\d.]+) (bytes|[KMGT]i?B)")
T = TypeVar("T")


class InputError(ValueError):
    """A mistake in what was given; its message is one sentence that says what and what to do."""


class DoctorWarning(UserWarning):
    """How those who call from Python are told of what is wrong but no error."""


class Interrupted(KeyboardInterrupt):
    """An interrupt of a training that leaves a usable model: `result`, its record."""

    def __init__(self, result: Any = None) -> None:
        super().__init__()
        self.result = result


class IncompleteError(InputError):
    """Some of what was given could not be done, the rest was, and `result` came of it.

    The message has one sentence, a line, for each failure.
    """

    def __init__(self, failures: list[str], result: Any) -> None:
        super().__init__("\n".join(failures))
        self.result = result

    def __reduce__(self) -> Any:
        return type(self), (str(self).split("\n"), self.result)


def out_of_memory(error: BaseException) -> str | None:
    """A sentence on an error that says that there was not enough memory; None: it says not.

    Python, numpy and torch each say it in their own way; torch on a CPU by a `RuntimeError`.
    """
    text = str(error)
    full = isinstance(error, MemoryError) or getattr(error, "errno", None) == ENOMEM
    full |= type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in text
    if not full:
        return None
    size = _ASKED.search(text)
    asked = f", {_in_units(*size.groups())} more was asked for" if size else ""
    return (
        f"The memory is not enough{_doing(error)}{asked}: take fewer samples (--limit N), smaller"
        " ones (--size), or a smaller batch_size or network."
    )


def _in_units(number: str, unit: str) -> str:
    """A size as a person reads it; torch says bytes on a CPU."""
    if unit != "bytes":
        return f"{number} {unit}"
    return f"{int(number) / 1e9:.2f} GB" if len(number) > 9 else f"{int(number) / 1e6:.2f} MB"


def _doing(error: BaseException) -> str:
    """What was being done, by the innermost of our rooms that say it."""
    frames = [frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__)]
    rooms = [name.split(".")[1] for name in frames if name.startswith("diabolo.")]
    return next((f" to {DOING[room]}" for room in reversed(rooms) if room in DOING), "")


def complete(result: T, failures: list[str]) -> T:
    """`result`, or an `IncompleteError` that carries it where there were failures."""
    if failures:
        raise IncompleteError(failures, result)
    return result


def unknown(what: str, name: object, known: Iterable[str]) -> InputError:
    """The error for a name that is not among `known`, with the nearest one."""
    choices = sorted(known)
    close = get_close_matches(str(name), choices, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(choices)}."
    return InputError(f"There is no {what} {str(name)!r}; {hint}")
