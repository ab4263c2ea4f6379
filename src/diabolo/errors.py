"""What a user did wrong: one exception, one sentence."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, TypeVar

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
