"""`diabolo detect feedback`: alarms that were fine."""

from pathlib import Path
from typing import Annotated

from diabolo.arguments import Usage
from diabolo.commands import Told, command, runs
from diabolo.commands.detecting import Detector, free_file, load_detector
from diabolo.data.spec import INPUT
from diabolo.errors import complete


@command(
    "use", "diabolo detect feedback detector.safetensors --normal fine.csv", name="detect feedback"
)
def feedback(
    detector: Detector,
    normal: Annotated[
        str, Usage("--normal INPUT"), f"samples that were flagged and are normal: {INPUT}"
    ],
    *,
    out: Annotated[
        str | Path | None, Usage("--out PATH"), "where to write it, if not to FILE itself"
    ] = None,
    force: Annotated[bool, "replace what is at PATH"] = False,
) -> Told:
    """Tell a detector which of its alarms were fine.

    Calibrates it anew, without training: what was guaranteed stays so, and the fewer samples like
    these are flagged. Each time that the command runs the samples count again. Returns what was
    done; raises `InputError` for a mistake, before anything is written, and `IncompleteError`
    after the work if some files were bad.
    """
    judge, path = load_detector(detector), runs.model_file(detector)
    if out is not None:
        path = free_file(out, detector, normal, force=force)
    samples = runs.read_for(judge.model_, normal)
    n, before = len(samples.array), int((judge.predict(samples.array) == -1).sum())
    after = int((judge.feedback(samples.array).predict(samples.array) == -1).sum())
    judge.save(path)
    line = f"Of {n:,} normal sample{'s' * (n > 1)} {before:,} were flagged, now {after:,}."
    told = Told([line, str(path)], samples=n, before=before, flagged=after, file=str(path))
    return complete(told, samples.failures)
