"""`diabolo` and `python -m diabolo`."""

import signal
import sys
from typing import Any


class Interrupt(KeyboardInterrupt):
    """Ctrl-C, which lets `main` choose the exit code.

    After a plain KeyboardInterrupt inside an `exec` of text, as libraries have in their imports,
    CPython ends what -m runs by the signal, though it was caught.
    """


def interrupt(*_: Any) -> None:
    """The handler of SIGINT."""
    raise Interrupt


def run() -> int:
    """The command line, which may be interrupted while it is being imported, too."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    try:
        from diabolo.cli import main

        return main()
    except KeyboardInterrupt:
        print("diabolo: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(run())
