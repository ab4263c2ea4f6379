"""`diabolo fit`: train a recipe into a run folder."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from diabolo import recipes, report
from diabolo.commands import runs
from diabolo.errors import IncompleteError, InputError
from diabolo.estimator import Estimator
from diabolo.models import MODELS
from diabolo.params import from_config, to_config
from diabolo.recipes import Recipe
from diabolo.tasks.evaluation import evaluate

LIVE_SECONDS = 10.0  # between two drawings of the loss while training
Say = Callable[[str], object]


def fit(
    recipe: str | Path,
    *,
    parameters: dict[str, Any] | None = None,
    data: str | None = None,
    test: str | None = None,
    limit: int | None = None,
    out: str | Path | None = None,
    force: bool = False,
    say: Say = lambda text: None,
) -> Path:
    """Train `recipe` with changed `parameters` and data, and return the run folder.

    Writes the model, its recipe, history, metrics, figures and report. An interrupt keeps what
    was trained so far, reports on it, and is raised again. Raises `InputError` for a mistake,
    before anything is written, and `IncompleteError` after the work if some files were bad.
    """
    plan = _changed(recipes.read(recipe), parameters or {}, data, test, limit)
    model = from_config(plan.model, MODELS)
    assert isinstance(model, Estimator)
    model.set_params(verbose=True).validated()
    folder = runs.new_folder(out, plan.name, force=force)
    split = runs.load_split(plan, plan.model["random_state"])
    say(f"Number of {_what(split.train)} in the dataset: {len(split.train)}")
    run = _Run(folder, plan, split, model)
    try:
        model.fit(split.train, X_val=split.validation, callback=run.epoch_done)
    except KeyboardInterrupt:
        if not hasattr(model, "code_size_"):
            raise
        say("Interrupted: keeping the best model so far.")
        run.finish()
        say(run.words())
        raise
    run.finish()
    say(run.words())
    if split.failures:
        raise IncompleteError(split.failures)
    return folder


def _changed(
    recipe: Recipe,
    parameters: dict[str, Any],
    data: str | None,
    test: str | None,
    limit: int | None,
) -> Recipe:
    """The recipe with what was given instead of its own."""
    model: dict[str, Any] = {"random_state": 0, **recipe.model}
    for name, value in parameters.items():
        model[name] = _merged(model.get(name), value)
    if limit is not None and limit < 1:
        raise InputError(f"limit must be at least 1, but is {limit}.")
    paths = {"source": data, "test": test}
    given: dict[str, Any] = {k: _absolute(v) for k, v in paths.items() if v is not None}
    if limit is not None:
        given["limit"] = limit
    kept = {k: v for k, v in recipe.data.items() if data is None or k == "validation"}
    return replace(recipe, model=model, data={**kept, **given})


def _merged(old: Any, new: Any) -> Any:
    """A part of the same kind with some of its parameters changed; anything else is replaced."""
    parts = isinstance(old, dict) and isinstance(new, dict)
    return {**old, **new} if parts and new.get("kind", old["kind"]) == old["kind"] else new


def _absolute(source: str) -> str:
    """A path that still holds when the run's recipe is fitted from elsewhere."""
    return str(Path(source).resolve()) if Path(source).exists() else source


class _Run:
    """The files of a run while it trains and when it ends."""

    def __init__(self, folder: Path, plan: Recipe, split: runs.Split, model: Estimator) -> None:
        self.folder, self.plan, self.split, self.model = folder, plan, split, model
        self.drawn = time.monotonic()
        self.begun = False
        self.numbers: dict[str, Any] = {}

    def epoch_done(self, model: Estimator) -> None:
        """Keep the weights and the history of a finished epoch; draw the loss now and then."""
        self._begin()
        model.save(self.folder / runs.CHECKPOINT)
        runs.write_history(self.folder, model.history_)
        if time.monotonic() - self.drawn > LIVE_SECONDS:
            report.draw_loss(self.folder / runs.FIGURES, model)
            self.drawn = time.monotonic()

    def finish(self) -> None:
        """Write the model, its numbers, pictures and report."""
        self._begin()
        model, test = self.model, self.split.test
        model.save(self.folder / runs.MODEL)
        (self.folder / runs.CHECKPOINT).unlink(missing_ok=True)
        runs.write_history(self.folder, model.history_)
        self.numbers = _costs(model, self.plan, len(self.split.train)) | evaluate(
            model, test.array, self.split.train, seed=model.seed_
        )
        runs.write_metrics(self.folder, self.numbers)
        report.write(self.folder, model, self.plan, self.numbers, test)

    def words(self) -> str:
        """The result in a few words, and where the report is."""
        return f"{report.verdict(self.numbers)}\nReport: {self.folder / runs.REPORT}"

    def _begin(self) -> None:
        """Write the recipe, once; an earlier run in the folder goes."""
        if self.begun:
            return
        self.begun = True
        runs.clear(self.folder)
        settings = to_config(self.model)
        del settings["verbose"]
        runs.write_config(self.folder, replace(self.plan, model=settings))


def _costs(model: Estimator, plan: Recipe, samples: int) -> dict[str, Any]:
    """What the run was and what it took."""
    seconds, epochs = sum(model.history_["seconds"]), len(model.history_["epoch"])
    return {
        "recipe": plan.name,
        "seed": model.seed_,
        "epochs": epochs,
        "samples": samples,
        "parameters": sum(layer.parameters for layer in model.layers()),
        "seconds": round(seconds, 3),
        "images_per_second": round(samples * epochs / seconds) if seconds else 0,
        "device": str(model.net_.scaling.shift.device),
    }


def _what(array: Any) -> str:
    return "rows" if array.ndim == 2 else "images"
