"""`diabolo fit`: train a recipe into a run folder, or go on with a run that was ended early."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from diabolo import recipes, report
from diabolo.commands import runs
from diabolo.commands.parameters import as_part
from diabolo.data import Samples
from diabolo.errors import IncompleteError, InputError, Interrupted, complete
from diabolo.estimator import Estimator
from diabolo.models import MODELS
from diabolo.params import from_config, to_config
from diabolo.recipes import Recipe
from diabolo.store import Checkpoints, Contents

LIVE_SECONDS = 10.0  # between two drawings of the loss while training
Say = Callable[[str], object]
Watch = Callable[[Estimator, Samples], object]


def fit(
    recipe: str | Path,
    *,
    parameters: dict[str, Any] | None = None,
    data: str | None = None,
    test: str | None = None,
    noisy: str | None = None,
    clean: str | None = None,
    limit: int | None = None,
    patches: int | None = None,
    patch_size: int | None = None,
    out: str | Path | None = None,
    force: bool = False,
    say: Say = lambda text: None,
    watch: Watch = lambda model, test: None,
) -> Path:
    """Train `recipe` with changed `parameters` and data, and return the run folder.

    `noisy` and `clean`, in place of `data`, are pairs: of two folders the images of one name, of
    two files the rows. The recipe's own corruption is then off, unless `parameters` give one.
    `patches` and `patch_size`: so many square pieces of the images, which may differ in size.
    Writes the model, its recipe, history, metrics, figures and report. An interrupt keeps what
    was trained so far, reports on it, and is raised again. Raises `InputError` for a mistake,
    before anything is written, and `IncompleteError` after the work if some files were bad.
    """
    origin = origin_of(data=data, test=test, noisy=noisy, clean=clean)
    original, parameters = recipes.read(recipe), parameters or {}
    pieces = {"patches": patches, "patch_size": patch_size}
    plan = changed(original, parameters, origin, limit, pieces)
    model = new_model(plan)
    folder = runs.new_folder(out, plan.name, force=force)
    if noisy is not None and original.model.get("corruption") and model.corruption is None:
        say("The noise is that of the pairs: the recipe's own corruption is off.")
    return _train(folder, plan, model, say, watch, resumed=False)


def resume(folder: str | Path, *, say: Say = lambda text: None) -> Path:
    """Go on with the run in `folder` from its last checkpoint; otherwise as `fit`.

    The result is the one that the run would have had, to the bit. Says so where it is complete.
    """
    folder = Path(folder)
    if not (folder / runs.CONFIG).is_file():
        raise InputError(f"{folder} holds no run to resume: it has no {runs.CONFIG}.")
    if runs.is_complete(folder):
        say(f"{folder} is complete: there is nothing to resume.")
        return folder
    plan = recipes.read(folder / runs.CONFIG)
    runs.tidy(folder)
    return _train(folder, plan, new_model(plan), say, lambda model, test: None, resumed=True)


def new_model(plan: Recipe) -> Estimator:
    """The estimator that a recipe describes, its parameters checked; it shows its progress."""
    model = from_config(plan.model, MODELS)
    assert isinstance(model, Estimator)
    model.set_params(verbose=True).validated()
    return model


def _train(
    folder: Path, plan: Recipe, model: Estimator, say: Say, watch: Watch, *, resumed: bool
) -> Path:
    split = runs.load_split(plan, plan.model["random_state"])
    pairs = "pairs of " if plan.pairs else ""
    what = "patches" if plan.patches else _what(split.train)
    say(f"Number of {pairs}{what} in the dataset: {len(split.train)}")
    run = _Run(folder, plan, split, model, resumed=resumed)
    kept = _RunCheckpoints(run, resumed=resumed)

    def epoch_done(model: Estimator) -> None:
        run.epoch_done(model)
        watch(model, split.test)

    try:
        model.fit(
            split.samples,
            X_val=split.validation,
            callback=epoch_done,
            checkpoint=kept,
        )
    except InputError as error:
        run.undo()
        if split.failures:
            raise IncompleteError([str(error), *split.failures], None) from None
        raise
    except Interrupted:
        say("Interrupted: keeping the best model so far.")
        run.finish(say)
        say(f"diabolo fit --resume {folder} goes on with it.")
        raise
    run.finish(say)
    kept.remove()
    return complete(folder, split.failures)


def origin_of(
    *,
    data: str | None = None,
    test: str | None = None,
    noisy: str | None = None,
    clean: str | None = None,
) -> dict[str, str]:
    """Where samples come from, of what was given; refuses what does not go together."""
    if (noisy is None) != (clean is None):
        raise InputError("--noisy and --clean go together: give both, or --data.")
    if noisy is not None and data is not None:
        raise InputError("Give --data, or --noisy and --clean, not both.")
    if noisy is not None and test is not None:
        raise InputError(
            "--test cannot be given with --noisy and --clean: a tenth of the pairs is held out."
        )
    given = {"source": data, "test": test, "noisy": noisy, "clean": clean}
    return {name: _absolute(source) for name, source in given.items() if source is not None}


def changed(
    recipe: Recipe,
    parameters: dict[str, Any],
    origin: dict[str, str],
    limit: int | None,
    pieces: Mapping[str, int | None] = MappingProxyType({}),
) -> Recipe:
    """The recipe with what was given instead of its own; `pieces`: patches and patch_size."""
    sizes = _sizes(limit=limit, **pieces)
    model: dict[str, Any] = {"random_state": 0, **recipe.model}
    if "noisy" in origin and "corruption" not in parameters:
        model.pop("corruption", None)
    for name, value in parameters.items():
        model[name] = _merged(model.get(name), value)
    if model["random_state"] in (None, "none"):
        raise InputError("A run needs a seed that can be repeated: give --seed a number.")
    pairs = "noisy" in origin or (recipe.pairs and "source" not in origin)
    if pairs and set(pieces) & set(sizes):
        raise InputError("Pairs are taken whole: leave --patches and --patch-size out.")
    if recipe.pairs and set(origin) == {"test"}:
        raise InputError(f"{recipe.name} learns from pairs: --test needs --data as well.")
    new = not {"source", "noisy"}.isdisjoint(origin)
    held = {"validation"} if "noisy" in origin else {"validation", "patches", "patch_size"}
    kept = {k: v for k, v in recipe.data.items() if not new or k in held}
    if "validation_fraction" in parameters:
        kept.pop("validation", None)
    paths = {k: _absolute(v) for k, v in kept.items() if k in ("source", "test", "noisy", "clean")}
    source = kept | paths | origin | sizes
    changed = sorted({*parameters, *(["data"] if new else [])} - {"random_state", "epochs"})
    title = f"{recipe.title}; changed: {', '.join(changed)}" if changed else recipe.title
    notes = [] if new else recipe.notes
    return replace(recipe, title=title, notes=notes, model=model, data=source)


def _sizes(**given: int | None) -> dict[str, int]:
    """Those that were given, which count something."""
    sizes = {name: value for name, value in given.items() if value is not None}
    for name, value in sizes.items():
        if value < 1:
            raise InputError(f"{name} must be at least 1, but is {value}.")
    return sizes


def _merged(old: Any, new: Any) -> Any:
    """A part of the same kind with some of its parameters changed; anything else is replaced."""
    if not isinstance(new, dict) or not isinstance(old, dict | str):
        return new
    old = as_part(old)
    return {**old, **new} if new.get("kind", old["kind"]) == old["kind"] else new


def _absolute(source: str) -> str:
    """A path that still holds when the run's recipe is fitted from elsewhere."""
    if source.partition(":")[0] == "mnist" or not Path(source).exists():
        return source
    return str(Path(source).resolve())


class _Run:
    """The files of a run while it trains and when it ends."""

    def __init__(
        self, folder: Path, plan: Recipe, split: runs.Split, model: Estimator, *, resumed: bool
    ) -> None:
        self.folder, self.plan, self.split, self.model = folder, plan, split, model
        self.drawn = time.monotonic()
        self.begun = self.resumed = resumed
        self.numbers: dict[str, Any] = {}

    def begin(self) -> None:
        """Write the recipe, once; an earlier run in the folder goes."""
        if self.begun:
            return
        self.begun = True
        runs.clear(self.folder)
        settings = to_config(self.model)
        del settings["verbose"]
        runs.write_config(self.folder, replace(self.plan, model=settings))

    def epoch_done(self, model: Estimator) -> None:
        """Keep the history of a finished epoch; draw the loss now and then."""
        self.begin()
        runs.write_history(self.folder, model.history_)
        if time.monotonic() - self.drawn > LIVE_SECONDS:
            report.draw_loss(self.folder / runs.FIGURES, model)
            self.drawn = time.monotonic()

    def undo(self) -> None:
        """Leave nothing of a new run that failed before its first epoch was done."""
        if self.begun and not self.resumed and not (self.folder / runs.HISTORY).exists():
            runs.clear(self.folder)
            with suppress(OSError):
                self.folder.rmdir()

    def finish(self, say: Say) -> None:
        """Write the model, its numbers, pictures and report, and say what came of it."""
        self.begin()
        model, test = self.model, self.split.test
        model.save(self.folder / runs.MODEL)
        try:
            self._report(model, test)
        except KeyboardInterrupt:
            say(f"The model is saved; diabolo report {self.folder} makes its report.")
            raise
        say(f"{report.verdict(self.numbers, model.net_)}\nReport: {self.folder / runs.REPORT}")

    def _report(self, model: Estimator, test: Samples) -> None:
        runs.write_history(self.folder, model.history_)
        self.numbers, outcome = runs.measure(model, self.plan, self.split)
        model.fitted_ = replace(model.fitted_, metrics=self.numbers)
        model.save(self.folder / runs.MODEL)
        runs.write_metrics(self.folder, self.numbers)
        report.write(self.folder, model, self.plan, self.numbers, test, outcome=outcome)


class _RunCheckpoints(Checkpoints):
    """The checkpoints of a run, which begins with the first of them.

    An earlier run in the folder stays until this one has trained for an epoch.
    """

    def __init__(self, run: _Run, *, resumed: bool) -> None:
        super().__init__(run.folder)
        self.run, self.resumed = run, resumed

    def write(self, contents: Callable[[], Contents]) -> None:
        if not self.run.begun and runs.is_run(self.run.folder):
            self.written = time.monotonic()
            return
        self.run.begin()
        super().write(contents)

    def read(self) -> Contents | None:
        return super().read() if self.resumed else None


def _what(array: Any) -> str:
    return "rows" if array.ndim == 2 else "images"
