"""`python -m diabolo`."""

import signal
import sys
from typing import Any

from diabolo.cli import main


class Interrupt(KeyboardInterrupt):
    """Ctrl-C, which lets `main` choose the exit code.

    After a plain KeyboardInterrupt inside an `exec` of text, as libraries have in their imports,
    CPython ends what -m runs by the signal, though it was caught.
    """


def interrupt(*_: Any) -> None:
    """The handler of SIGINT."""
    raise Interrupt


if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, interrupt)
sys.exit(main())
