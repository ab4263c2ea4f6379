"""`diabolo size`: how large the code should be."""

import warnings
from math import log2
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge

from diabolo import recipes
from diabolo.arguments import Usage
from diabolo.commands import Told, command, results, runs
from diabolo.commands.training import changed, new_model
from diabolo.data import spec
from diabolo.data.files import folder_atomically, write_csv
from diabolo.errors import complete
from diabolo.recipes import Recipe

if TYPE_CHECKING:
    from diabolo.tasks.sizing import CodeSizes, Trained

TABLE, NUMBERS, PICTURE = "sizes.csv", "sizes.json", "sizes.png"


@command("train", "diabolo size mnist --limit 1000 --epochs 3 --sizes 2,8,32 --out sizes/")
def size(
    source: spec.Source,
    out: Annotated[str | Path, Usage("--out DIR"), "folder of the table and picture"],
    *,
    recipe: Annotated[str, Usage("--recipe RECIPE"), "what is trained (ae)"] = "ae",
    sizes: Annotated[
        list[Annotated[int, Ge(1)]] | None,
        Usage("--sizes K,K,..."),
        "sizes of the code (powers of two)",
    ] = None,
    epochs: Annotated[int | None, Ge(1), "passes over the data (the recipe's)"] = None,
    limit: spec.Limit = None,
    test: spec.Test = None,
    size: spec.Size = None,
    fit: spec.Fit = None,
    jobs: Annotated[int | None, Ge(1), "models trained at once (as many as cores)"] = None,
    seed: Annotated[int, Ge(0), "of all"] = 0,
    force: Annotated[bool, "replace those of an earlier one"] = False,
) -> Told:
    """How large the code should be: a model of each size, beside PCA.

    Trains `recipe` with codes of each size, writes a table and a picture. Gives the lines of the
    table, and the suggestion.
    """
    from diabolo.doctor import DoctorWarning
    from diabolo.tasks.sizing import check_sizes, code_sizes, features

    given = {"epochs": epochs, "random_state": seed}
    parameters = {name: value for name, value in given.items() if value is not None}
    data = spec.table({"data": source, "test": test, "limit": limit, "size": size, "fit": fit})
    plan = changed(recipes.read(recipe), parameters, data)
    model = new_model(plan)
    sources = [source, *([test] if test else [])]
    folder = runs.free_folder(out, sources, (TABLE, NUMBERS, PICTURE), force=force)
    split = runs.load_split(plan, seed)
    wanted = check_sizes(sizes, features(split.train))
    counts = {"train": len(split.train), "test": len(split.test.array)}
    runs.tell(["{train} samples to train on, {test} to test on".format(**counts), *split.notes])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DoctorWarning)
        found = code_sizes(
            model,
            split.train,
            X_test=split.test.array,
            sizes=wanted,
            X_val=split.validation,
            y=split.labels if split.test.labels is not None else None,
            y_test=split.test.labels if split.labels is not None else None,
            n_jobs=jobs,
            callback=_trained,
        )
    numbers = _numbers(found, plan, counts)
    _write(folder, found, numbers)
    lines = [*_table(found), "", *_notes(plan, found), suggestion(found), str(folder / PICTURE)]
    return complete(Told(lines, **numbers), split.failures)


def _trained(size: int, one: "Trained") -> None:
    """Show that a size is done, and what the doctor says of it."""
    seconds = sum(one.model.history_["seconds"])
    warned = [f"Warning: code of {size}: {finding}" for finding in one.model.findings_]
    runs.tell([f"size {size}  mse {one.mse:.5g}  {seconds:.1f} s of training", *warned])


def _numbers(found: "CodeSizes", plan: Recipe, samples: dict[str, int]) -> dict[str, Any]:
    """What `sizes.json` has."""
    model, columns = found.models[0], found.columns()
    rows = zip(*columns.values(), strict=True)
    return {
        "recipe": plan.name,
        "data": plan.source,
        "seed": model.seed_,
        "epochs": model.fitted_config_["epochs"],
        "samples": samples,
        "sample_bytes": found.sample_bytes,
        "suggested": found.suggested,
        "sizes": [dict(zip(columns, row, strict=True)) for row in rows],
    }


def _write(folder: Path, found: "CodeSizes", numbers: dict[str, Any]) -> None:
    """All three files, or none."""
    from diabolo.report import write_picture

    with folder_atomically(folder) as new:
        columns = found.columns()
        write_csv(new / TABLE, columns, zip(*columns.values(), strict=True))
        results.write_json(new / NUMBERS, numbers)
        write_picture(new / PICTURE, lambda: picture(found))


def picture(found: "CodeSizes") -> Any:
    """The figure of the curves."""
    from diabolo import figures

    return figures.sizes(
        found.sizes,
        {"error": (found.mse, found.pca_mse), "accuracy": (found.accuracy, found.pca_accuracy)},
        sample_bytes=found.sample_bytes,
        knee=found.suggested,
        linear=_linear(found),
    )


def _linear(found: "CodeSizes") -> str:
    """What the best linear method is called."""
    return "PCA" if found.models[0].corruption is None else "linear"


def _table(found: "CodeSizes") -> list[str]:
    linear = _linear(found)
    heads = {
        "size": "size",
        "bytes": "bytes",
        "ratio": "ratio",
        "mse": "mse",
        "mse_8bit": "8-bit mse",
        "pca_mse": f"{linear} mse",
        "accuracy": "accuracy",
        "pca_accuracy": f"{linear} accuracy",
    }
    columns = found.columns()
    shown = [
        [heads[name], *(_shown(name, value) for value in values)]
        for name, values in columns.items()
    ]
    widths = [max(map(len, column)) for column in shown]
    lines = zip(*shown, strict=True)
    return ["  ".join(map(str.rjust, line, widths)) for line in lines]


def _shown(name: str, value: float) -> str:
    if name in ("size", "bytes"):
        return str(value)
    if name == "ratio":
        return f"{value:.3g}:1" if value < 100 else f"{value:.0f}:1"
    return f"{value:.1%}" if "accuracy" in name else f"{value:.4g}"


def _notes(plan: Recipe, found: "CodeSizes") -> list[str]:
    """What has to be known to read the table."""
    notes = []
    if plan.model.get("latent_dim") == "none":
        notes.append(
            f"The code of {plan.name} is its last hidden layer: here it has a code of its own."
        )
    if found.models[0].corruption is not None:
        notes.append(
            "The errors are of cleaned samples, and linear is the best linear denoiser of that"
            " rank."
        )
    better = [
        str(k) for k, a, b in zip(found.sizes, found.mse, found.pca_mse, strict=False) if b < a
    ]
    if better:
        notes.append(
            f"{_linear(found)} has the smaller mse at {', '.join(better)}: there the model needs"
            " more --epochs or samples, or another --recipe, to be worth it."
        )
    return notes


def suggestion(found: "CodeSizes") -> str:
    """Which size, and why, in a sentence."""
    first, last = found.sizes[0], found.sizes[-1]
    size = found.suggested
    if size is None:
        return f"No size is suggested: {_why_none(found)}"
    at = found.sizes.index(size)
    best = [min(found.mse[: n + 1]) for n in range(len(found.sizes))]
    before = (best[0] - best[at]) / log2(size / first)
    after = (best[at] - best[-1]) / log2(last / size)
    return (
        f"Suggested size: {size}, the knee of the error (Kneedle): up to it a doubling of"
        f" the code takes {before:.2g} off the mse, from it to {last} only {after:.2g}."
    )


def _why_none(found: "CodeSizes") -> str:
    from diabolo.tasks.sizing import falling

    if len(found.sizes) < 3:
        return "a knee needs at least three --sizes."
    if not falling(found.mse):
        return (
            "a larger code is clearly worse than a smaller one; train longer, with more --epochs."
        )
    if found.knee is not None:
        return (
            f"the error has its knee at {found.knee}, but there {_linear(found)} is clearly"
            " better; train longer, with more --epochs."
        )
    return (
        f"from {found.sizes[0]} to {found.sizes[-1]} the error has no clear knee; take the"
        " smallest code whose error is small enough, or try other --sizes."
    )
