"""The training that the page starts: `diabolo fit` in a process of its own.

It has all processors but one, and gives way to the service. What it says, and after each epoch
its history and ten test samples, come back through a pipe; where the pipe is broken because the
service is gone, the training ends as after Ctrl-C, and its run can be resumed.
"""

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from diabolo import recipes, store
from diabolo.commands import listing, runs, training
from diabolo.commands.parameters import given
from diabolo.data import spec
from diabolo.errors import IncompleteError, InputError, Interrupted, out_of_memory, unknown
from diabolo.studio.pictures import Picture, pictures
from diabolo.tasks.evaluation import corrupted, pictured

SHOWN = 10  # test samples that are reconstructed after each epoch
PATIENCE = 60.0  # seconds in which a training that is stopped must have ended
BUSY = ("starting", "running", "stopping")
ENDED = ("done", "stopped", "failed")


class Shown(BaseModel):
    """Test samples, as the encoder saw them (none without a corruption), and reconstructed."""

    input: list[Picture]
    seen: list[Picture] | None
    output: list[Picture]


class State(BaseModel):
    """How far the training is; `said`: the lines that the command line would have printed.

    `epochs` is 0 until they are known, where the data choose them.
    """

    state: Literal["idle", "starting", "running", "stopping", "done", "stopped", "failed"] = "idle"
    run: str | None = None
    recipe: str | None = None
    epoch: int = 0
    epochs: int = 0
    seconds: float = 0.0
    history: dict[str, list[float | None]] = {}
    message: str = ""
    said: list[str] = []
    findings: list[tuple[str, str, str]] = []
    pictures: Shown | None = None


class BusyError(InputError):
    """There is a training already."""


class Trainer:
    """One training at a time, below the folder that is served."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._state, self._begun = State(), 0.0
        self._process: Any = None

    @property
    def state(self) -> State:
        """A copy of the present state."""
        with self._lock:
            if self._state.state in BUSY:
                self._state.seconds = self._seconds()
            return self._state.model_copy()

    def _seconds(self) -> float:
        return round(time.monotonic() - self._begun, 1)

    def start(self, recipe: str, texts: dict[str, str], options: Mapping[str, Any]) -> State:
        """Begin to train; raises `InputError` for what is wrong with what was given."""
        if recipe not in recipes.names():
            raise unknown("recipe", recipe, recipes.names())
        options = {name: self._below(name, value) for name, value in options.items()}
        mark = texts.get("corruption.image", "none")
        if mark.lower() != "none":
            texts = {**texts, "corruption.image": str(listing.within(self.root, mark))}
        parameters = given(recipes.read(recipe).model, texts)
        plan = training.changed(recipes.read(recipe), parameters, spec.table(options))
        asked = training.new_model(plan).validated().epochs
        epochs = asked if isinstance(asked, int) else 0
        with self._lock:
            if self._state.state in BUSY:
                raise BusyError("There is a training already: stop it first.")
            folder = runs.new_folder(None, plan.name, force=False, root=self.root)
            run = folder.relative_to(self.root).as_posix()
            self._run({"recipe": recipe, "parameters": parameters, "out": folder, **options})
            self._state = State(state="starting", run=run, recipe=recipe, epochs=epochs)
            self._state.message = "Starting: it takes some seconds."
            self._begun = time.monotonic()
        return self.state

    def _below(self, name: str, value: Any) -> Any:
        """The value of a data option; a path, where it is below the folder."""
        path = name in spec.SOURCES and not spec.is_mnist(value)
        return str(listing.within(self.root, value)) if path else value

    def stop(self) -> State:
        """End the training early; what was trained is kept, with a report."""
        with self._lock:
            if self._state.state in ("starting", "running"):
                self._state.state = "stopping"
                self._process.terminate()
        return self.state

    def close(self) -> None:
        """Stop, and wait until what was trained is kept."""
        self.stop()
        if self._process is not None:
            self._process.join(PATIENCE)
            self._process.kill()

    def _run(self, arguments: dict[str, Any]) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=work, args=(theirs, arguments), daemon=False)
        self._process.start()
        theirs.close()
        threading.Thread(target=self._listen, args=(ours, self._process), daemon=True).start()

    def _listen(self, pipe: Connection, process: Any) -> None:
        """Take what a training sends, until it ends."""
        while True:
            try:
                news = pipe.recv()
            except (EOFError, OSError):
                break
            self._take(news)
            if news.get("state") in ENDED:
                return
        process.join()
        state = self.state
        killed = {"state": "failed", "message": _ended(process.exitcode)}
        self._take(_stopped(self.root / str(state.run)) if state.state == "stopping" else killed)

    def _take(self, news: dict[str, Any]) -> None:
        with self._lock:
            if self._state.state == "stopping" and news.get("state") == "running":
                del news["state"]
            said = [*self._state.said, *news.pop("said", "").splitlines()]
            kept = {**news, "said": said, "seconds": self._seconds()}
            self._state = self._state.model_copy(update=kept)


def work(pipe: Connection, arguments: dict[str, Any]) -> None:
    """The process: train, and send what is new in the state."""
    _take_little()
    pipe.send({"message": "Reading the data."})
    try:
        folder = training.fit(
            **arguments,
            say=lambda text: _send(pipe, {"state": "running", "message": "", "said": text}),
            watch=lambda model, test: _send(pipe, _news(model, test)),
        )
        findings = store.read_config(runs.model_file(folder))["findings"]
        ended: dict[str, Any] = {"state": "done", "findings": [tuple(f) for f in findings]}
    except Interrupted:
        ended = {"state": "stopped"}
    except KeyboardInterrupt:
        ended = _stopped(arguments["out"])
    except InputError as error:
        ended = _failed(error)
    except OSError as error:
        ended = {"state": "failed", "message": f"{error.filename}: {error.strerror}."}
    except Exception as error:  # of the memory, or a mistake of ours: nobody else would say it
        ended = _broken(error)
    _send(pipe, ended)


def _failed(error: InputError) -> dict[str, Any]:
    """The end of a training that failed, or only had to leave out what could not be read."""
    folder = error.result if isinstance(error, IncompleteError) else None
    if folder is not None and (folder / runs.MODEL).is_file():
        return {"state": "done", "said": str(error)}
    return {"state": "failed", "message": str(error)}


def _ended(status: int) -> str:
    """Why a training may have ended that says nothing itself."""
    if status == -signal.SIGKILL:
        return (
            "The training was killed from outside, as the system does where memory runs out: give"
            " less data, or a smaller batch_size or network."
        )
    how = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
    return f"The training was ended from outside, {how}."


def _broken(error: Exception) -> dict[str, Any]:
    """The end of a training by an error that is no mistake of the user's."""
    if full := out_of_memory(error):
        return {"state": "failed", "message": full}
    what = f"diabolo has a fault, please report it: {type(error).__name__}: {error}"
    return {"state": "failed", "message": what, "said": traceback.format_exc()}


def _stopped(folder: Path) -> dict[str, Any]:
    """The end of a training that was stopped early, perhaps too early to leave a run."""
    nothing = {"run": None, "message": "Stopped before anything was trained."}
    return {"state": "stopped"} | ({} if runs.is_run(folder) else nothing)


def _take_little() -> None:
    """Be stopped once, be silent, and leave the service a processor."""
    import torch

    def stop(number: int, frame: object) -> None:
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, signal.SIG_IGN)
        raise KeyboardInterrupt

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, stop)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.nice(5)
    torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))


def _send(pipe: Connection, news: dict[str, Any]) -> None:
    try:
        pipe.send(news)
    except BrokenPipeError:
        raise KeyboardInterrupt from None


def _news(model: Any, test: Any) -> dict[str, Any]:
    return {
        "state": "running",
        "epoch": len(model.history_["epoch"]),
        "epochs": model.fitted_.config["epochs"],
        "history": model.history_,
        "pictures": _shown(model, test) if pictured(model) else None,
    }


def _shown(model: Any, test: Any) -> Shown:
    noisy = None if test.noisy is None else test.noisy[:SHOWN]
    clean = test.array[:SHOWN]
    seen = corrupted(model, clean, 0, noisy)
    return Shown(
        input=pictures(model, clean),
        seen=None if seen is clean else pictures(model, seen),
        output=pictures(model, model.reconstruct(seen)),
    )
