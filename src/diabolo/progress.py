"""Progress: a bar in a terminal, in a notebook the loss as a picture, elsewhere plain lines."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Self

from tqdm import tqdm

LINES = 20  # about so many, of a training of more epochs that are fast
SLOW = 10.0  # seconds without a line
SHARE = 20.0  # of the time, one part for drawing
Tell = Callable[[float], object]  # is told the share of some work that is done
BAR = "{desc}  |{bar:16}| {elapsed} elapsed, {remaining} left"


class Progress:
    """Shows epoch, loss, validation loss, samples per second, elapsed and remaining time.

    `total` is the number of samples of the whole training, `done` and `epoch` what of it was
    trained before, `unit` that of the losses. Silent unless `shown`.
    """

    def __init__(
        self,
        epochs: int,
        total: int,
        *,
        epoch: int = 0,
        done: int = 0,
        what: str = "images",
        unit: str = "nats",
        shown: bool = True,
    ) -> None:
        self.epochs, self.what, self.shown = epochs, what, shown
        self.epoch, self.first = epoch, epoch
        self.start = self.told = time.perf_counter()
        self.unit, self.losses = unit, list[tuple[float, float | None]]()
        self.picture: Any = _in_notebook() if shown else None
        self.due = 0.0
        self.bar = tqdm(
            total=total,
            initial=done,
            bar_format=BAR,
            disable=not (shown and self.picture is None and sys.stderr.isatty()),
            desc=f"epoch {min(epoch + 1, epochs)}/{epochs}",
            dynamic_ncols=True,
        )

    def step(self, rows: int) -> None:
        """`rows` more samples have been trained on."""
        self.bar.update(rows)

    def epoch_done(self, loss: float, val_loss: float | None, rate: float) -> None:
        """An epoch ended with these losses, at `rate` samples per second."""
        self.epoch += 1
        validation = "" if val_loss is None else f"  val_loss {val_loss:.5g}"
        speed = f"{rate:,.0f} {self.what}/s"
        state = f"loss {loss:.5g}{validation}  {speed}"
        self.losses.append((loss, val_loss))
        if self.picture:
            self._draw(speed)
        elif self.bar.disable:
            self._line(state)
        else:
            epoch = min(self.epoch + 1, self.epochs)
            self.bar.set_description_str(f"epoch {epoch}/{self.epochs}  {state}", refresh=False)

    def _line(self, state: str) -> None:
        now, often = time.perf_counter(), max(self.epochs // LINES, 1)
        last = self.epoch == self.epochs
        if not self.shown or (self.epoch % often and not last and now - self.told < SLOW):
            return
        self.told, elapsed = now, now - self.start
        remaining = elapsed / (self.epoch - self.first) * (self.epochs - self.epoch)
        times = f"elapsed {_clock(elapsed)}  remaining {_clock(remaining)}"
        print(f"epoch {self.epoch}/{self.epochs}  {state}  {times}", file=sys.stderr, flush=True)

    def _draw(self, speed: str) -> None:
        """The loss so far, in place of the picture before; of many fast epochs not each."""
        start = time.perf_counter()
        if start < self.due and self.epoch < self.epochs:
            return
        from IPython.display import Image

        from diabolo import figures

        loss, val_loss = zip(*self.losses, strict=True)
        validation = None if None in val_loss else val_loss
        with figures.theme():
            figure = figures.loss(loss, validation, unit=self.unit, first_epoch=self.first + 1)
            figure.axes[0].set_title(f"epoch {self.epoch}/{self.epochs}  {speed}")
            self.picture.update(Image(figures.to_png(figure)))
        now = time.perf_counter()
        self.due = now + SHARE * (now - start)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()


def _in_notebook() -> Any:
    """A place in the cell that runs, for a picture that changes; None where there is no cell."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if getattr(shell, "kernel", None) is None:
        return None
    from IPython.display import display

    return display(display_id=True)


@contextmanager
def shares(what: str) -> Iterator[Tell]:
    """Gives a function that is told the share of some work that is done, and shows it."""
    start = told = time.perf_counter()
    with tqdm(
        total=1.0, bar_format=BAR, disable=not sys.stderr.isatty(), desc=what, leave=False
    ) as bar:

        def tell(share: float) -> None:
            nonlocal told
            bar.update(share - bar.n)
            now = time.perf_counter()
            if bar.disable and now - told > SLOW and 0 < share < 1:
                told, left = now, (now - start) / share * (1 - share)
                print(
                    f"{what}  {share:.0%}  remaining {_clock(left)}", file=sys.stderr, flush=True
                )

        yield tell


def untold(share: float) -> None:
    """Nobody is told."""


def within(tell: Tell, start: float, size: float, whole: float) -> Tell:
    """As `tell`, which is told of the whole, for a part of it."""
    return lambda share: tell((start + share * size) / whole)


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
