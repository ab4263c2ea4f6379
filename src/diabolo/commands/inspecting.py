"""`diabolo summary`, `evaluate`, `compare` and `report`: what a model is and how good it is."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from diabolo import layers, measures, recipes, store
from diabolo.arguments import Usage
from diabolo.commands import MODEL, Force, Model, ModelOrRecipe, Told, command, results, runs
from diabolo.data.spec import INPUT, is_mnist
from diabolo.errors import InputError, complete

if TYPE_CHECKING:
    import numpy as np


COMPARED = 10  # samples in the picture of several models


def _numbers(numbers: dict[str, Any]) -> None:
    """Print a number a line."""
    for group, values in numbers.items():
        for name, value in (values if isinstance(values, dict) else {"": values}).items():
            shown = f"{value:.6g}" if isinstance(value, float) else value
            print(f"{f'{group} {name}':22}  {shown}")


@command("measure", "diabolo summary runs/ae")
def summary(name: ModelOrRecipe) -> Told:
    """Layers, shapes and parameters of a model or a recipe.

    A model is read from its header, without torch.
    """
    if runs.is_recipe(str(name)):
        return _planned(recipes.read(name))
    config = store.read_config(runs.model_file(name))
    try:
        table = [layers.Layer(**layer) for layer in config["layers"]]
        source = layers.Layer("encoder", "input", config["sample_shape"], 0)
        if not all(map(_can_be_shown, [source, *table])):
            raise ValueError
        text = layers.as_text(table, source.shape)
        return _told(table, [text, *_of_detector(config.get("detector"))])
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{name} is damaged: its layer table cannot be read.") from None


@command("measure", "diabolo evaluate runs/ae --json", show=_numbers)
def evaluate(
    model: Model,
    *,
    source: Annotated[str | None, Usage("--data INPUT"), f"test samples: {INPUT}"] = None,
    everything: Annotated[
        bool,
        Usage("--all"),
        "also the likelihood, what codes tell of labels, and how good samples of digits are",
    ] = False,
) -> dict[str, Any]:
    """The numbers of metrics.json, computed again.

    On the run's own data or on another `source`, which a model outside a run folder needs, those
    of its test samples. `everything` of a finished run's own data is kept in its metrics.json,
    and its report has it.
    """
    from diabolo.tasks.evaluation import evaluate as measure

    fitted, recipe = runs.load_model(model), runs.recipe_beside(model)
    if recipe is None and source is None:
        raise InputError(f"{model} is not in a run folder: say what to test it on with --data.")
    if recipe is not None and source is None:
        split = runs.load_split(recipe, fitted.seed_)
        (numbers, outcome), test = results.measure(fitted, recipe, split), split.test
        failures, tested = split.failures, str(recipe.test)
        learnt = split.learnt, split.labels
    else:
        test = runs.read_for(fitted, source or "")
        runs.tell_unlike(fitted, test)
        condition = runs.condition_of(fitted, test)
        numbers = measure(fitted, test.array, condition=condition, seed=fitted.seed_)
        failures, tested, learnt = test.failures, str(source), (None, None)
    if everything:
        from diabolo import report as page
        from diabolo.tasks.judging import judge

        known = {"of_digits": is_mnist(tested), "seed": fitted.seed_}
        numbers |= judge(fitted, test.array, test.labels, *learnt, **known)
        folder = runs.model_file(model).parent
        if source is None and recipe is not None and runs.is_complete(folder):
            results.write_metrics(folder, numbers)
            page.write(folder, fitted, recipe, numbers, test, outcome=outcome)
    return complete(numbers, failures)


def _table(numbers: dict[str, dict[str, Any]]) -> None:
    """Print runs side by side, a number a line."""
    every = {name: None for values in numbers.values() for name in values}
    rows = [name for name in every if not name.startswith("kl ")]  # of each number of a code
    lines = [["", *numbers]]
    for row in rows:
        cells = (values.get(row, "-") for values in numbers.values())
        lines.append([row, *(f"{c:.5g}" if isinstance(c, float) else str(c) for c in cells)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, *line in lines:
        padded = (f"{cell:>{width}}" for cell, width in zip(line, widths[1:], strict=True))
        print("  ".join([f"{first:{widths[0]}}", *padded]))


@command("measure", "diabolo compare runs/ae runs/vae --out compared.png", show=_table)
def compare(
    models: Annotated[Sequence[str], Usage("MODEL"), MODEL],
    *,
    source: Annotated[
        str | None, Usage("--data INPUT"), "test samples of all; default: each its own"
    ] = None,
    out: Annotated[
        str | Path | None, Usage("--out PATH"), "a picture of what they make of ten samples, .png"
    ] = None,
    force: Force = False,
) -> dict[str, dict[str, Any]]:
    """The numbers of several runs side by side.

    Those of metrics.json, or of the samples in `source`, by the names of the runs. The picture
    shows ten test samples of the first run, as each was given them and made of them.
    """
    if len(models) < 2:
        raise InputError("Give two models or more to compare.")
    path = None if out is None else runs.free_to_write(runs.png(Path(out)), force=force)
    names = _names(models)
    if source is None:
        numbers = [_flat(_known(runs.model_file(model))) for model in models]
    else:
        numbers = [_flat(evaluate(model, source=source)) for model in models]
    if path is not None:
        _draw(path, dict(zip(names, models, strict=True)), source)
    return dict(zip(names, numbers, strict=True))


def _known(file: Path) -> dict[str, Any]:
    """The kind of the model in a file and its numbers: those of its run, or of the file."""
    config = store.read_config(file)
    kept = results.read_metrics(file.parent) if (file.parent / runs.CONFIG).is_file() else {}
    return {"model": config["model"]["kind"]} | (kept or config.get("metrics", {}))


def _names(models: Sequence[str]) -> list[str]:
    """What models are called: the last part of their paths, or these where two have the same."""
    short = [Path(model).stem for model in models]
    return short if len(set(short)) == len(short) else [str(model) for model in models]


def _flat(numbers: dict[str, Any]) -> dict[str, Any]:
    """Numbers in groups, as numbers with longer names."""
    found: dict[str, Any] = {}
    for name, value in numbers.items():
        inner = value.items() if isinstance(value, dict) else ()
        found |= {f"{name} {key}": v for key, v in inner} if inner else {name: value}
    return found


def _draw(path: Path, models: dict[str, str], source: str | None) -> None:
    """The first ten test samples, and what models make of them."""
    import numpy as np

    from diabolo import figures
    from diabolo.report import write_picture
    from diabolo.tasks.evaluation import corrupted, pictured, shown

    first = next(iter(models.values()))
    fitted, recipe = runs.load_model(first), runs.recipe_beside(first)
    if source is not None:
        test = runs.read_for(fitted, source, COMPARED).array
    elif recipe is not None:
        test = runs.load_split(recipe, fitted.seed_).test.array[:COMPARED]
    else:
        raise InputError(f"{first} is not in a run folder: say what to draw with --data.")
    test = np.asarray(test[:COMPARED])
    rows: list[tuple[str, np.ndarray]] = []
    for name, model in models.items():
        fitted = runs.load_model(model)
        if not pictured(fitted):
            raise InputError(f"{model} takes no images, so nothing is drawn: leave --out away.")
        given = corrupted(fitted, test, fitted.seed_)
        rows += [] if rows else [("original", shown(fitted, test))]
        rows += [] if given is test else [(f"given to {name}", shown(fitted, given))]
        rows.append((name, shown(fitted, fitted.reconstruct(given))))
    write_picture(path, lambda: figures.rows(rows))


@command("measure", "diabolo report runs/ae")
def report(folder: Annotated[str | Path, Usage("DIR"), "a run folder"]) -> Path:
    """Draw a run's figures and report again.

    Gives the path of the report.
    """
    from diabolo import report as page

    folder = Path(folder)
    fitted, recipe = runs.load_model(folder), runs.recipe_beside(folder)
    if recipe is None:
        raise InputError(f"{folder} is not a run folder: it has no {runs.CONFIG}.")
    split = runs.load_split(recipe, fitted.seed_)
    numbers, outcome = results.measure(fitted, recipe, split)
    numbers |= measures.added(results.read_metrics(folder))
    results.write_metrics(folder, numbers)
    path = page.write(folder, fitted, recipe, numbers, split.test, outcome=outcome)
    return complete(path, split.failures)


def _of_detector(config: Any) -> list[str]:
    """A line on the detector that is in a file; ValueError where there is none to show."""
    if config is None:
        return []
    if not isinstance(config, dict):
        raise ValueError
    rate, criterion = config.get("false_alarm_rate"), config.get("criterion")
    if type(rate) is not float or not 0 < rate < 1 or not isinstance(criterion, str):
        raise ValueError
    if not (criterion.isidentifier() and len(criterion) < 20):
        raise ValueError
    nets = config.get("nets", 1)
    mean = f" (mean of {nets} networks)" if type(nets) is int and nets > 1 else ""
    rates = f"false-alarm rate {100 * rate:.4g} %"
    return [f"detector of anomalies: {criterion} score{mean}, {rates}"]


def _can_be_shown(layer: layers.Layer) -> bool:
    """Whether a layer of a file takes a line of the table, and a short one."""
    words, numbers = (layer.part, layer.name), (*layer.shape, layer.parameters)
    return (
        all(isinstance(word, str) and word.isprintable() and len(word) < 100 for word in words)
        and all(type(n) is int and 0 <= n < store.LARGEST_SIDE for n in numbers)
        and len(numbers) < 10
    )


def _told(table: list[layers.Layer], lines: list[str]) -> Told:
    """The layer table, in lines and as data."""
    counts = layers.parameter_counts(table)
    return Told(lines, layers=[layer._asdict() for layer in table], parameters=counts)


def _planned(recipe: recipes.Recipe) -> Told:
    """The layer table that a recipe's model would have on its data."""
    from diabolo.defaults import AUTO
    from diabolo.models import kinds
    from diabolo.params import from_config

    model: Any = from_config(recipe.model, kinds())
    counted = model.hidden == AUTO and "source" in recipe.data
    samples = runs.load_split(recipe, 0).train if counted else _few(recipe)
    return _told(model.layers(samples), [str(model.summary(samples))])


def _few(recipe: recipes.Recipe) -> "np.ndarray":
    """Two samples like those of a recipe; where it cuts patches from whatever is given, black."""
    import numpy as np

    if recipe.patches and "source" not in recipe.data:
        return np.zeros((2, 3, *[recipe.patches["size"]] * 2), np.uint8)
    if recipe.patches:
        return runs.load_split(recipe, 0).train[:2]
    return runs.read_source(recipe, 2).array
