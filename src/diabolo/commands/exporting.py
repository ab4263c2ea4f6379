"""`diabolo export`: a model as graphs for other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge

from diabolo.arguments import Usage
from diabolo.commands import Force, command, runs
from diabolo.data.spec import INPUT
from diabolo.errors import InputError

if TYPE_CHECKING:
    from diabolo.data import Samples

LIMIT = 1000  # samples that the files are tried on


def _told(proof: dict[str, Any]) -> None:
    """Print a line for each file."""
    for name, file in proof["files"].items():
        off = max(file["difference"].values())
        words = f"{file['samples']:,} answers, off by at most {off:.1e} of the range"
        if "flipped" in file:
            words += f"; verdicts flipped: {file['flipped']}"
        print(f"{name}: {words}")
    if proof["made_up"]:
        print("The samples were made up: give real ones with --data.")


@command("use", "diabolo export runs/ae --to onnx --out exported/", show=_told)
def export(
    model: Annotated[
        str | Path, Usage("MODEL"), "a .safetensors file, of a detector too, or a run folder"
    ],
    out: Annotated[str | Path, Usage("--out DIR"), "folder of the files"],
    *,
    to: Annotated[Literal["onnx", "torch"], "format: ONNX, or torch.export"] = "onnx",
    source: Annotated[
        str | None, Usage("--data INPUT"), f"what the files are tried on: {INPUT}"
    ] = None,
    limit: Annotated[int, Ge(1), "use the first N samples"] = LIMIT,
    force: Force = False,
) -> dict[str, Any]:
    """Write a model as graphs for other programs, proven to answer alike.

    `model`, `encoder` and `decoder`, and of a detector `detector`, take raw values and give such.
    Each is run on samples, of `source`, of the run's own test data, or made up, and left only if
    it answers as the model does; what was found is kept beside them. Raises `InputError` for a
    mistake, and where an answer differs; then nothing is written.
    """
    from diabolo.exporting import NAMES
    from diabolo.exporting import export as written

    file = runs.model_file(model)
    path = runs.free_folder(out, [str(file)], NAMES, force=force)
    loaded = runs.opened(file)
    fitted = getattr(loaded, "model_", loaded)
    samples = _samples(fitted, model, source, limit)
    if samples is None:
        return written(loaded, path, to)
    condition = runs.condition_of(fitted, samples)
    return written(loaded, path, to, X=samples.array, condition=condition)


def _samples(model: Any, name: str | Path, source: str | None, limit: int) -> "Samples | None":
    """The first samples of a source, or those that a run was tested on; None without any."""
    if source is not None:
        return runs.read_for(model, source, limit)
    try:
        recipe = runs.recipe_beside(name)
        test = None if recipe is None else runs.load_split(recipe, model.seed_).test
    except InputError:  # the data are no longer there
        return None
    return None if test is None else test.rows(slice(limit))
