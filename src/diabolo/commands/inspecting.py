"""`diabolo summary`, `evaluate` and `report`: what a model is and how good it is."""

from pathlib import Path
from typing import Any

from diabolo import data, layers, recipes, store
from diabolo.commands import runs
from diabolo.errors import IncompleteError, InputError


def summary(name: str | Path) -> str:
    """The layer table of a MODEL (read from its header, without torch) or of a RECIPE."""
    if _is_recipe(str(name)):
        return _planned(recipes.read(name))
    config = store.read_config(runs.model_file(name))
    try:
        table = [layers.Layer(**layer) for layer in config["layers"]]
        return layers.as_text(table, tuple(config["sample_shape"]))
    except (KeyError, TypeError):
        raise InputError(f"{name} is damaged: its layer table cannot be read.") from None


def evaluate(model: str | Path, *, source: str | None = None) -> dict[str, Any]:
    """The numbers of `metrics.json`, computed again: on `source`, or on the run's own test data.

    A model outside a run folder needs a source, and is not compared with the linear method,
    whose training data are not known.
    """
    from diabolo.tasks.evaluation import evaluate as measure

    fitted, recipe = runs.load_model(model), runs.recipe_beside(model)
    if recipe is None and source is None:
        raise InputError(f"{model} is not in a run folder: say what to test it on with --data.")
    split = recipe and runs.load_split(recipe, fitted.seed_)
    test = split.test if split and source is None else runs.read_for(fitted, source or "")
    known = {} if recipe is None else runs.read_metrics(runs.model_file(model).parent)
    numbers = known | measure(fitted, test.array, split and split.train, seed=fitted.seed_)
    if test.failures:
        raise IncompleteError(test.failures)
    return numbers


def report(folder: str | Path) -> Path:
    """Draw the figures and the report of a run folder again; the path of the report."""
    from diabolo import report as page

    folder = Path(folder)
    fitted, recipe = runs.load_model(folder), runs.recipe_beside(folder)
    if recipe is None:
        raise InputError(f"{folder} is not a run folder: it has no {runs.CONFIG}.")
    test = runs.load_split(recipe, fitted.seed_).test
    numbers = runs.read_metrics(folder)
    return page.write(folder, fitted, recipe, numbers, test)


def _is_recipe(name: str) -> bool:
    """A bare word is a recipe unless a run folder has its name; a path has a slash or a suffix."""
    path = Path(name)
    return path.suffix == ".toml" or (path.name == name and not path.suffix and not path.is_dir())


def _planned(recipe: recipes.Recipe) -> str:
    """The layer table that a recipe's model would have on its data."""
    from diabolo.models import MODELS
    from diabolo.params import from_config

    samples = data.read("mnist:test:2" if recipe.source == "mnist" else recipe.source)
    return from_config(recipe.model, MODELS).summary(samples.array[:2])  # type: ignore[attr-defined]
