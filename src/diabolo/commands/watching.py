"""`diabolo watch`: whether the normal has changed."""

from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Gt, Lt

from diabolo.arguments import Usage
from diabolo.commands import Input, Told, command, runs
from diabolo.commands.detecting import load_detector
from diabolo.errors import InputError, complete


@command("use", "diabolo watch detector.safetensors new.csv")
def watch(
    detector: Annotated[str | Path, Usage("DETECTOR"), "a detector, as detect fit wrote it"],
    source: Input,
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
    for detect score. Raises `InputError` for a mistake, and `IncompleteError` after the work if
    some files were bad.
    """
    from diabolo.tasks.watching import watch as follow

    judge = load_detector(detector)
    if runs.windows_of(judge.model_):
        raise InputError("Windows of a series have time steps in common: watch is for samples.")
    samples = runs.read_for(judge.model_, source)
    scores = judge.score_samples(samples.array)
    found = follow(judge.calibration_scores_, scores, false_alarm_rate, seed)
    most = 10 ** min(float(found.log_martingale.max()), 300.0)
    changed = None if found.alarm is None else samples.names[found.alarm]
    lines = [
        f"{len(scores):,} samples; a change is seen where the martingale reaches"
        f" {1 / false_alarm_rate:.4g}, as in at most {100 * false_alarm_rate:.4g} % of streams"
        " without one."
    ]
    if judge.seen_:
        lines.append("That is not guaranteed: its model had learnt from what calibrated it.")
    said = f"No change is seen: it reached {most:.3g}."
    lines.append(said if changed is None else f"The normal has changed: seen at {changed}.")
    return complete(
        Told(lines, samples=len(scores), changed_at=changed, largest=most), samples.failures
    )
