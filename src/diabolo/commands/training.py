"""`diabolo fit`: train a recipe into a run folder, or go on with a run that was ended early."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Unpack

from diabolo import data, recipes, shipped
from diabolo.arguments import Argument, Usage
from diabolo.commands import Further, command, results, runs
from diabolo.commands.parameters import as_part, further, given
from diabolo.data import Samples, files, spec
from diabolo.errors import IncompleteError, InputError, Interrupted, complete
from diabolo.recipes import Recipe
from diabolo.store import Checkpoints, Contents

if TYPE_CHECKING:
    from diabolo.estimator import Estimator

COMPARED, SIDE, TUNED = 5, 256, 80  # photographs, their middles; patches that filters are tuned on
HELD_OUT = "The middle of photographs held out, corrupted as in training:"
LIVE_SECONDS = 10.0  # between two drawings of the loss while training
RESUMED = "--resume goes on with the run as it was begun: give nothing else."
WHICH = "Say which RECIPE to fit (see diabolo recipes), or --resume DIR."
Say = Callable[[str], object]
Watch = Callable[[Any, Any], object]  # a model and the samples it is tested on


def _hyperparameters(words: Sequence[str]) -> tuple[str, list[Argument]]:
    """The arguments for the hyperparameters of the recipe; of a run that is resumed none."""
    resumed = [n for n, word in enumerate(words) if word.split("=")[0] == "--resume"]
    title, found = ("", []) if resumed else further(words)
    if not {"-h", "--help"} & set(words):
        if words and not (resumed or found):
            raise InputError(WHICH)
        if resumed and len(words) > 2 - ("=" in words[resumed[0]]):
            raise InputError(RESUMED)
    return title, found


def _numbers(folder: Path) -> dict[str, Any]:
    """What --json prints of a run: its numbers and its folder."""
    return {"folder": str(folder), **results.read_metrics(folder)}


@command(
    "train",
    "diabolo fit ae-32 --limit 5000 --epochs 3 --out runs/ae",
    further=Further("parameters", _hyperparameters),
    numbers=_numbers,
)
def fit(
    recipe: Annotated[
        str | Path | None,
        Usage("RECIPE"),
        "a name (see diabolo recipes) or a .toml file, whose parameters fit RECIPE --help lists",
    ] = None,
    *,
    resume: Annotated[
        str | Path | None, Usage("--resume DIR"), "go on with the run in DIR instead"
    ] = None,
    parameters: Mapping[str, Any] | None = None,
    out: Annotated[
        str | Path | None, Usage("--out DIR"), "run folder; default runs/RECIPE-DATE-N"
    ] = None,
    force: Annotated[bool, "replace an earlier run in DIR, and save a broken model"] = False,
    start: Annotated[
        str | None, Usage("--start MODEL"), "begin with the weights of MODEL; none: anew"
    ] = None,
    say: Say = lambda text: None,
    watch: Watch = lambda model, test: None,
    **options: Unpack[spec.Options],
) -> Path:
    """Train a recipe into a run folder.

    Trains `recipe` with changed `parameters`, values or texts, and data, or goes on with the run
    in `resume`; returns the run folder. `noisy` and `clean`, in place of `data`, are pairs: of two
    folders the images of one name, of two files the rows. The recipe's own corruption is then off,
    unless `parameters` give one. `patches` and `patch_size`: so many square pieces of the images,
    which may differ in size. Writes the model, its recipe, history, metrics, figures and report;
    of a model that the doctor finds broken all but itself, and raises `InputError`, unless
    `force`. An interrupt keeps what was trained so far, reports on it, and is raised again. Raises
    `InputError` for a mistake, before anything is written, and `IncompleteError` after the work if
    some files were bad.
    """
    if resume is not None:
        if any([recipe, parameters, *options.values(), out, force, start]):
            raise InputError(RESUMED)
        return _resume(Path(resume), say)
    if recipe is None:
        raise InputError(WHICH)
    original = recipes.read(recipe)
    plan = changed(original, given(original.model, parameters or {}), spec.table(options))
    if start is not None:
        plan = replace(plan, start=_beginning(start))
    model = new_model(plan)
    from diabolo import distributed

    if distributed.rank():
        return _help(None, plan, model)
    folder = runs.new_folder(out, plan.name, force=force)
    if options.get("noisy") and original.model.get("corruption") and model.corruption is None:
        say("The noise is that of the pairs: the recipe's own corruption is off.")
    with runs.reserved(folder):
        return _train(folder, plan, model, say, watch, force=force)


def _resume(folder: Path, say: Say) -> Path:
    """Go on with the run in `folder` from its last checkpoint; otherwise as `fit`.

    The result is the one that the run would have had, to the bit. Says so where it is complete.
    """
    if not (folder / runs.CONFIG).is_file():
        raise InputError(f"{folder} holds no run to resume: it has no {runs.CONFIG}.")
    if runs.is_complete(folder):
        say(f"{folder} is complete: there is nothing to resume.")
        return folder
    plan = recipes.read(folder / runs.CONFIG)
    model = new_model(plan)
    from diabolo import distributed

    if distributed.rank():
        return _help(folder, plan, model)
    with runs.reserved(folder):
        runs.tidy(folder)
        return _train(folder, plan, model, say, lambda model, test: None, resumed=True)


def _beginning(start: str) -> str:
    """What a recipe says of the model to begin with: a name, or a path from anywhere."""
    if start == "none":
        return ""
    return start if shipped.find(start) else str(runs.model_file(start).resolve())


def new_model(plan: Recipe) -> "Estimator":
    """The estimator that a recipe describes, its parameters checked; it shows its progress."""
    from diabolo import distributed
    from diabolo.estimator import Estimator
    from diabolo.models import kinds
    from diabolo.params import from_config

    own = {"dimensions": 1} if "window" in plan.data else {}
    model = from_config(own | plan.model, kinds())
    assert isinstance(model, Estimator)
    if plan.start:
        wanted = model.get_params(deep=False)
        model = runs.load_model(plan.start).set_params(**wanted | {"warm_start": True})
    model.set_params(verbose=distributed.rank() == 0).validated()
    return model


def _help(folder: Path | None, plan: Recipe, model: "Estimator") -> Path:
    """Train as rank 0 does, and write nothing; see `distributed`."""
    split = runs.load_split(plan, plan.model["random_state"])
    kept = None if folder is None else Checkpoints(folder)
    model.fit(split.samples, X_val=split.validation, checkpoint=kept)
    return folder or Path()


def _train(
    folder: Path,
    plan: Recipe,
    model: "Estimator",
    say: Say,
    watch: Watch,
    *,
    force: bool = False,
    resumed: bool = False,
) -> Path:
    split = runs.load_split(plan, plan.model["random_state"])
    pairs = "pairs of " if plan.pairs else ""
    what = "patches" if plan.patches else _what(split.learnt, plan)
    say(f"Number of {pairs}{what} in the dataset: {len(split.learnt)}")
    if plan.test in (spec.HELD_OUT, spec.HELD_OUT_FIRST):
        say(f"Held out beside these, to test on: {len(split.test.array)}")
    for note in split.notes:
        say(note)
    plan = replace(plan, data=plan.data | split.framing)
    run = _Run(folder, plan, split, model, force=force, resumed=resumed)
    kept = _RunCheckpoints(run, resumed=resumed)

    def epoch_done(model: "Estimator") -> None:
        if len(model.history_["epoch"]) == 1 and (chosen := _chosen(model)):
            say(f"Chosen by the data: {chosen}.")
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
        say(f"diabolo fit --resume {quote(str(folder))} goes on with it.")
        raise
    run.finish(say)
    runs.sync(folder)
    kept.remove()
    return complete(folder, [*run.refusal(), *split.failures])


def changed(recipe: Recipe, parameters: dict[str, Any], data: dict[str, Any]) -> Recipe:
    """The recipe with what was given instead of its own; `data` is like its [data]."""
    if recipe.pairs and spec.PATHS & set(data) == {"test"}:
        raise InputError(f"{recipe.name} learns from pairs: --test needs --data as well.")
    new = bool({"source", "noisy"} & set(data))
    held = {"validation", "without_clean"} | spec.OF_PIECES
    kept = {k: v for k, v in recipe.data.items() if not new or k in held}
    if "validation_fraction" in parameters:
        kept.pop("validation", None)
    spec.check(kept | data)
    alone = "noisy" not in kept | data and bool((kept | data).get("without_clean"))
    model = _with_parameters(recipe, parameters, pairs="noisy" in data, noisy=alone)
    changed = sorted({*parameters, *(["data"] if new else [])} - {"random_state", "epochs"})
    title = f"{recipe.title}; changed: {', '.join(changed)}" if changed else recipe.title
    notes = [] if new else recipe.notes
    data = spec.absolute(kept) | data
    plan = replace(recipe, title=title, notes=notes, model=model, data=data)
    if "limit" in data and "test" not in data and plan.test == spec.HELD_OUT and not plan.patches:
        data["test"] = spec.HELD_OUT_FIRST
    return plan


def _with_parameters(
    recipe: Recipe, parameters: dict[str, Any], *, pairs: bool, noisy: bool
) -> dict[str, Any]:
    """A recipe's [model] with changed parameters; pairs need no corruption, noisy images one."""
    model: dict[str, Any] = {"random_state": 0, **recipe.model}
    if pairs and "corruption" not in parameters:
        model.pop("corruption", None)
    if noisy:
        model["corruption"] = _of_noisy(model.get("corruption"), parameters.get("corruption"))
    for name, value in parameters.items():
        model[name] = _merged(model.get(name), value)
    if model["random_state"] in (None, "none"):
        raise InputError("A run needs a seed that can be repeated: give --seed a number.")
    return model


def _of_noisy(own: Any, given: Any) -> Any:
    """The corruption for noisy images: the recipe's own if it is such a one."""
    from diabolo.corruption import Corruption

    kinds = Corruption.kinds()
    fitting = [kind for kind, part in kinds.items() if part.of_noisy]
    wanted = as_part(given).get("kind", fitting[0])
    if wanted not in fitting:
        raise InputError(
            f"--without-clean goes with the corruption {fitting[0]}: leave --corruption {wanted}"
            " out."
        )
    return own if as_part(own).get("kind") in fitting else {"kind": wanted}


def _merged(old: Any, new: Any) -> Any:
    """A part of the same kind with some of its parameters changed; anything else is replaced."""
    if not isinstance(new, dict) or not isinstance(old, dict | str):
        return new
    old = as_part(old)
    return {**old, **new} if new.get("kind", old["kind"]) == old["kind"] else new


class _Run:
    """The files of a run while it trains and when it ends."""

    def __init__(
        self,
        folder: Path,
        plan: Recipe,
        split: runs.Split,
        model: "Estimator",
        *,
        force: bool,
        resumed: bool,
    ) -> None:
        self.folder, self.plan, self.split, self.model = folder, plan, split, model
        self.force = force
        self.drawn = time.monotonic()
        self.begun = self.resumed = resumed
        self.numbers: dict[str, Any] = {}

    def begin(self) -> None:
        """Write the recipe, once; an earlier run in the folder goes. It must stay there."""
        if self.begun:
            if not (self.folder / runs.CONFIG).is_file():
                raise InputError(f"{self.folder} was removed in the training, which ends here.")
            return
        from diabolo.params import to_config

        self.begun = True
        runs.clear(self.folder)
        settings = to_config(self.model)
        del settings["verbose"]
        results.write_config(self.folder, replace(self.plan, model=settings))
        files.sync(self.folder.parent)

    def epoch_done(self, model: "Estimator") -> None:
        """Keep the history of a finished epoch; draw the loss now and then."""
        from diabolo import report

        self.begin()
        results.write_history(self.folder, model.history_)
        if time.monotonic() - self.drawn > LIVE_SECONDS:
            report.draw_loss(self.folder / runs.FIGURES, model)
            self.drawn = time.monotonic()

    def undo(self) -> None:
        """Leave nothing of a new run that failed before its first epoch was done."""
        if self.begun and not self.resumed and not (self.folder / runs.HISTORY).exists():
            runs.clear(self.folder)

    def finish(self, say: Say) -> None:
        """Write the model, its numbers, pictures and report, and say what came of it."""
        from diabolo import report
        from diabolo.train import give_back_memory

        self.begin()
        self._save()
        give_back_memory()
        try:
            self._report()
        except KeyboardInterrupt:
            if not self.refusal():
                name = quote(str(self.folder))
                say(f"The model is saved; diabolo report {name} makes its report.")
            raise
        for line in [*self._compared(), report.verdict(self.numbers, self.model.net_)]:
            say(line)
        say(f"Report: {self.folder / runs.REPORT}")

    def _compared(self) -> list[str]:
        """A table of what becomes of photographs held out.

        By filters, by the model that training began with, and by this one.
        """
        held, model, start = self.split.held, self.model, self.plan.start
        if not start or held is None or model.corruption is None or model.net_.of_noisy:
            return []
        from diabolo.tasks import comparing

        parts = [
            Samples(image[None], [str(number)], "npy")
            for number, image in enumerate(held.middles(COMPARED, SIDE))
        ]
        done, _ = comparing.each(parts, model, model.seed_)
        before = {f"begun with {start}": comparing.again(done, runs.load_model(start))}
        few = data.cut(Samples(self.split.learnt[:TUNED], [], "npy")).array
        return [HELD_OUT, *comparing.table(done, model, few, before)[0]]

    def refusal(self) -> list[str]:
        """Why the model is not in the folder: it is broken, and not forced into it."""
        from diabolo.doctor import refusal

        return [] if self.force else refusal(self.model.findings_)

    def _save(self) -> None:
        """Write the model, or where it is broken see to it that there is none."""
        path = self.folder / runs.MODEL
        if self.refusal():
            path.unlink(missing_ok=True)
        else:
            self.model.save(path)

    def _report(self) -> None:
        from diabolo import report

        model, test = self.model, self.split.test
        results.write_history(self.folder, model.history_)
        self.numbers, outcome = results.measure(model, self.plan, self.split)
        model.fitted_ = replace(model.fitted_, metrics=self.numbers)
        self._save()
        results.write_metrics(self.folder, self.numbers)
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


def _chosen(model: "Estimator") -> str:
    """What was found for the parameters that were left to the data."""
    from diabolo.defaults import AUTO, FOUND
    from diabolo.report.words import described

    found = {n: model.fitted_.config[n] for n in FOUND if getattr(model, n) == AUTO}
    if model.corruption is not None and AUTO in model.corruption.get_params().values():
        found["corruption"] = described(model.net_.corruption)
    lists = {n: ",".join(map(str, value)) for n, value in found.items() if type(value) is list}
    return ", ".join(f"{name} {value}" for name, value in (found | lists).items())


def _what(array: Any, plan: Recipe) -> str:
    if "window" in plan.data:
        return "windows"
    return "rows" if array.ndim == 2 else "images"
