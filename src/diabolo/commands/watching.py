"""`diabolo watch`: whether the normal has changed."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Gt, Lt

from diabolo.arguments import Usage
from diabolo.commands import Told, command, runs
from diabolo.commands.detecting import load_detector
from diabolo.commands.piping import PIPE, STREAM, arriving
from diabolo.data.spec import INPUT
from diabolo.errors import InputError, complete

if TYPE_CHECKING:
    from diabolo.data import Samples
    from diabolo.estimator import Estimator


@command("use", "diabolo watch detector.safetensors new.csv")
def watch(
    detector: Annotated[str | Path, Usage("DETECTOR"), "a detector, as detect fit wrote it"],
    source: Annotated[str, Usage(STREAM), f"{INPUT}; - follows standard input"],
    *,
    false_alarm_rate: Annotated[
        float,
        Gt(0),
        Lt(1),
        Usage("--false-alarm-rate RATE"),
        "probability of an alarm in a whole stream in which nothing changes",
    ] = 0.05,
    seed: Annotated[int, Ge(0), "of the numbers that break ties"] = 0,
) -> Told:
    """Say whether the normal has changed.

    Follows the samples of INPUT in their order, and says at which of them it is sure that they
    are no longer like those that calibrated the detector. One odd sample is no change: that is
    for detect score. Of standard input it takes each row of a table as it comes, and ends when the
    normal has changed. Raises `InputError` for a mistake, and `IncompleteError` after the work if
    some files were bad.
    """
    import numpy as np

    from diabolo.tasks.watching import Watcher

    judge = load_detector(detector)
    if runs.windows_of(judge.model_):
        raise InputError("Windows of a series have time steps in common: watch is for samples.")
    watcher = Watcher(judge.calibration_scores_, false_alarm_rate, seed)
    highest, changed, failures = 0.0, None, list[str]()
    for samples in _coming(judge.model_, source):
        before = watcher.count
        found = watcher.follow(np.asarray(judge.score_samples(samples.array)))
        highest = max(highest, float(found.log_martingale.max()))
        failures += samples.failures
        if found.alarm is not None:
            changed = str(found.alarm) if source == PIPE else samples.names[found.alarm - before]
            break
    most = 10 ** min(highest, 300.0)
    lines = [
        f"{watcher.count:,} samples; a change is seen where the martingale reaches"
        f" {1 / false_alarm_rate:.4g}, as in at most {100 * false_alarm_rate:.4g} % of streams"
        " without one."
    ]
    if judge.seen_:
        lines.append("That is not guaranteed: its model had learnt from what calibrated it.")
    said = f"No change is seen: it reached {most:.3g}."
    lines.append(said if changed is None else f"The normal has changed: seen at {changed}.")
    return complete(Told(lines, samples=watcher.count, changed_at=changed, largest=most), failures)


def _coming(model: "Estimator", source: str) -> "Iterator[Samples]":
    """The samples of a source, or those of standard input as they come."""
    if source != PIPE:
        yield runs.read_for(model, source)
        return
    table = model.fitted_.intake.table
    named = bool(model.columns_ or (table is not None and table.names))
    for path in arriving(header=named):
        yield runs.read_for(model, path)
