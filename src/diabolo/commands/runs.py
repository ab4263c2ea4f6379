"""The run folder, the data a recipe names, and where results may be written."""

import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diabolo import commands, data, hub, recipes, shipped
from diabolo.commands.parts import (
    check_alike,
    hold_out,
    image_shape,
    in_memory,
    needed,
    parted,
    with_columns,
)
from diabolo.data import Samples, files, spec
from diabolo.data.files import check_own, check_place, is_special, remove_leftovers
from diabolo.data.samples import IMAGE_SUFFIXES
from diabolo.errors import InputError
from diabolo.names import check_names, is_frame
from diabolo.recipes import Recipe
from diabolo.store import MODEL, Checkpoints, read_config

if TYPE_CHECKING:
    import numpy as np

    from diabolo.estimator import Estimator

CONFIG = "config.toml"
PICTURES = (
    "loss",
    "iterations",
    "reconstructions",
    "denoised",
    "error_histogram",
    "latent",
    "generated",
    "interpolation",
    "architecture",
)
METRICS, HISTORY, FIGURES, REPORT = "metrics.json", "history.csv", "figures", "report.html"
RUNS = "runs"  # where run folders are made that no one named
LOCK = ".lock"  # held by the process that writes into a run folder


@dataclass(frozen=True)
class Split:
    """The data of a run; of pairs, what is trained on is clean.

    `learnt` is an array, or a source of patches.
    """

    learnt: Any
    validation: Samples | None
    test: Samples
    noisy: "np.ndarray | None" = None
    columns: list[str] | None = None
    failures: list[str] = field(default_factory=list)
    labels: "np.ndarray | None" = None  # of the training samples
    notes: list[str] = field(default_factory=list)
    framing: dict[str, str] = field(default_factory=dict)
    held: Any = None  # the source of the patches to test on

    @cached_property
    def train(self) -> Any:
        """The training samples as an array."""
        return data.cut(Samples(self.learnt, [], "npy")).array

    @property
    def samples(self) -> Samples:
        """The training samples with all that is known of them."""
        return Samples(
            self.learnt,
            [],
            "npy",
            self.labels,
            self.columns,
            noisy=self.noisy,
            framing=self.framing,
        )


def load_split(recipe: Recipe, seed: int) -> Split:
    """Read the data that a recipe names and part it as the recipe says."""
    training, testing = _read_both(recipe, seed)
    train, validation = training.rows(slice(recipe.data.get("limit"))), None
    given = len(train.array)
    if recipe.data.get("validation") == "test":
        validation = testing
    if share := recipe.validation_share:
        held = int(given * share)
        if recipe.patches:
            parts = train.array.parted(held)
            validation, train = (replace(train, array=part) for part in parts)
        else:
            train, validation = (train.rows(part) for part in (slice(held, None), slice(held)))
    elif train.series is not None and recipe.model.get("validation_fraction", "auto") == "auto":
        train, validation = parted(train, train.series.parted())
    if recipe.pairs and recipe.without_clean:
        train = train.both_ways()
    if len(train.array) == 0 or (validation is not None and len(validation.array) == 0):
        raise InputError(f"{given} samples are too few to train and to validate on: give more.")
    if not recipe.patches:
        check_alike(train.array, testing.array, recipe.test)
    return Split(
        train.array,
        validation,
        data.cut(testing),
        train.noisy,
        training.columns,
        training.failures + testing.failures,
        train.labels,
        training.notes + testing.told,
        training.framing,
        testing.array if recipe.patches else None,
    )


def _read_both(recipe: Recipe, seed: int) -> tuple[Samples, Samples]:
    """What a recipe trains and tests on."""
    held_out = recipe.test in (spec.HELD_OUT, spec.HELD_OUT_FIRST)
    if recipe.patches:
        test = None if held_out else recipe.test
        noisy = recipe.pairs[0] if recipe.pairs else None
        return data.split_photographs(
            recipe.source, test, noisy=noisy, seed=seed, least=_channels(recipe), **recipe.patches
        )
    training = read_source(recipe, needed(recipe))
    if held_out:
        return hold_out(training, seed)
    kinds = None if training.frame is None else training.frame.kinds
    fit, roles = training.framing.get("fit"), _roles(recipe)
    shape = image_shape(training.array)
    testing = data.read(recipe.test, image_shape=shape, fit=fit, kinds=kinds, **roles)
    testing = in_memory(testing)
    if is_frame(training.array) and testing.frame is not None:
        testing = with_columns(testing, training.columns or [])
    return training, testing


def _channels(recipe: Recipe) -> int:
    """The channels of the images that a recipe's training begins with; 1 where it begins anew."""
    shape = read_config(model_file(recipe.start))["image_shape"] if recipe.start else None
    return int(shape[0]) if shape else 1


def read_source(recipe: Recipe, limit: int | None = None) -> Samples:
    """The samples that a recipe names, those to test on aside; of pairs with the noisy."""
    frame = spec.frame(recipe.data)
    if recipe.pairs:
        return data.read_pairs(*recipe.pairs, limit=limit, **frame)
    return data.read(recipe.source, limit=limit, **_roles(recipe), **frame)


def _roles(recipe: Recipe) -> dict[str, Any]:
    return {key: recipe.data[key] for key in (*spec.ROLES, *spec.SERIES) if key in recipe.data}


def new_folder(out: str | Path | None, recipe: str, *, force: bool, root: Path = Path()) -> Path:
    """The folder a run may write into: `out`, or the next free `runs/<recipe>-<date>-<n>`."""
    if out is None:
        place = root / RUNS / f"{recipe}-{date.today().isoformat()}"
        check_place(place / MODEL)
        place.parent.mkdir(parents=True, exist_ok=True)
        return next(p for n in count(1) if _made(p := place.with_name(f"{place.name}-{n}")))
    folder = Path(out)
    broken = is_broken(folder)
    free_to_write(folder, force=force or broken)
    if folder.is_file():
        raise InputError(f"{folder} is a file, not a run folder: give another --out.")
    check_place(folder / MODEL)
    if folder.is_dir() and not (_is_empty(folder) or broken or is_run(folder)):
        raise InputError(f"{folder} is not a run folder: it is left alone, give another --out.")
    return folder


def _made(folder: Path) -> bool:
    """Whether a folder could be made; not where there is one."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def _is_empty(folder: Path) -> bool:
    """Whether nothing is in a folder but what a run left that was killed as it began."""
    left = {path for file in _files(folder) for path in files.leftovers(file)}
    return set(folder.iterdir()) <= left | {folder / LOCK}


@contextmanager
def reserved(folder: Path) -> Iterator[None]:
    """Write into a run folder alone; raises `InputError` where another process does.

    One that stays empty goes, with the folders that were made for it.
    """
    from filelock import FileLock, Timeout

    made = [path for path in (folder, *folder.parents) if not path.exists()]
    made = made or [folder, *(p for p in folder.parents[:1] if p.name == RUNS)]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK, timeout=0):
            try:
                yield
            finally:
                (folder / LOCK).unlink(missing_ok=True)
    except Timeout:
        raise InputError(
            f"Another process writes into {folder}: give another --out, or wait for its end."
        ) from None
    finally:
        with suppress(OSError):
            for path in made:
                path.rmdir()


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run, finished or not."""
    return (folder / MODEL).is_file() or bool(Checkpoints(folder).found())


def is_broken(folder: Path) -> bool:
    """Whether a folder holds what a run leaves of a broken model: all but the model."""
    return not is_run(folder) and all((folder / n).is_file() for n in (CONFIG, HISTORY, REPORT))


def is_complete(folder: Path) -> bool:
    """Whether a run has come to its end."""
    written = all((folder / name).is_file() for name in (MODEL, METRICS, REPORT))
    return written and not Checkpoints(folder).found()


def clear(folder: Path) -> None:
    """Remove the files of an earlier run from its folder, and nothing else."""
    tidy(folder)
    Checkpoints(folder).remove()
    for path in _files(folder):
        path.unlink(missing_ok=True)


def tidy(folder: Path) -> None:
    """Remove what a killed run left half-written."""
    for path in _files(folder):
        remove_leftovers(path)


def sync(folder: Path) -> None:
    """See to it that a run outlasts a power cut."""
    for path in (*filter(Path.is_file, _files(folder)), folder, folder.parent):
        files.sync(path)


def _files(folder: Path) -> list[Path]:
    """Every file that a run writes, its checkpoints aside."""
    names = (MODEL, CONFIG, METRICS, HISTORY, REPORT)
    pictures = [folder / FIGURES / f"{name}.png" for name in PICTURES]
    return [*(folder / name for name in names), *pictures]


def free_to_write(path: str | Path, *, force: bool) -> Path:
    """`path`, unless something is there that may not be replaced."""
    path = Path(path)
    if is_special(path):
        raise InputError(f"{path} is no file, and is left alone: give another --out.")
    if path.exists() and not force and not (path.is_dir() and _is_empty(path)):
        raise InputError(f"{path} exists: give another --out, or --force to replace it.")
    return path


def free_for_result(path: str | Path, source: str, *, force: bool) -> Path:
    """`path`, unless it holds the source or is a folder with more than images in it."""
    path = free_to_write(path, force=force)
    check_place(path)
    check_apart(path, [source])
    inside = path.rglob("*") if path.is_dir() else ()
    check_own(path, [p for p in inside if p.is_file() and p.suffix.lower() not in IMAGE_SUFFIXES])
    return path


def free_folder(
    path: str | Path, sources: Sequence[str], written: Collection[str], *, force: bool
) -> Path:
    """`path`, unless it holds a source or is no folder of nothing but what is `written` there."""
    path = free_to_write(path, force=force)
    check_place(path)
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file: give the name of a folder.")
    check_apart(path, sources)
    inside = sorted(path.iterdir()) if path.is_dir() else ()
    check_own(path, [p for p in inside if p.name not in written])
    return path


def check_apart(path: Path, sources: Sequence[str]) -> None:
    """Refuse to put results in the place of what they are made of."""
    for source in sources:
        given = files.real(source)
        if files.real(path) in (given, *given.parents):
            raise InputError(f"{path} holds the input: give another --out.")


def is_recipe(name: str) -> bool:
    """A bare word is a recipe unless a run folder has its name; a path has a slash or a suffix."""
    path = Path(name)
    return path.suffix == ".toml" or (path.name == name and not path.suffix and not path.is_dir())


def png(path: Path) -> Path:
    """`path`, if its name is that of a PNG file."""
    if path.suffix.lower() != ".png":
        raise InputError(f"The picture is written as .png, not {path.name!r}.")
    return path


def load_model(path: str | Path, engine: str | None = None) -> "Estimator":
    """The model in a .safetensors file (of a detector, its model) or a run folder."""
    model: Estimator = getattr(loaded := opened(path, engine), "model_", loaded)
    return model


def opened(path: str | Path, engine: str | None = None) -> Any:
    """What is in a model file or a run folder, on the device that is asked for."""
    from diabolo.loading import load

    return load(model_file(path), device="cpu" if engine else commands.device.get())


def read_for(model: "Estimator", source: str | Path, limit: int | None = None) -> Samples:
    """Samples of INPUT: images with the model's channels and size, tables with its columns.

    What was done to images for that is told.
    """
    table = model.fitted_.intake.table
    kinds: Any = dict.fromkeys(model.columns_ or (), "number")
    if table is not None:
        kinds = {column.name: column.kind for column in table}
    way = windows_of(model) or {"image_shape": model.image_shape_, "fit": fit_of(model)}
    samples = data.read(source, kinds=kinds, limit=limit, **way)
    tell(samples.told)
    if table is not None and samples.frame is not None:
        samples = with_columns(samples, table.names)
        check_names(f"The table {source}", list(samples.array.columns), list(table.names))
        return samples
    if is_frame(samples.array) and samples.frame is not None:
        samples = replace(samples, array=samples.frame.array())
    if model.columns_ and samples.columns:
        check_names(f"The table {source}", samples.columns, model.columns_)
    return samples


def read_body_for(model: "Estimator", name: str, body: bytes) -> Samples:
    """As `read_for`, the bytes of a file of that name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"samples{Path(name).suffix.lower()}"
        path.write_bytes(body)
        try:
            samples = read_for(model, path)
            model.rows(samples.array)  # which refuses what it cannot take
        except InputError as error:
            raise InputError(str(error).replace(str(path), name)) from None
    return samples


def windows_of(model: "Estimator") -> dict[str, Any]:
    """In which windows a series is given to a model that has learnt from those of one."""
    return {key: model.data_[key] for key in spec.SERIES if key in model.data_}


def fit_of(model: "Estimator") -> str | None:
    """How the images that a model learnt from were brought to its size."""
    fit = model.data_.get("fit")
    return None if fit is None else str(fit)


def tell(notes: Sequence[str]) -> None:
    """Say what was done to the samples, beside what a command prints."""
    for note in notes:
        print(note, file=sys.stderr, flush=True)


def condition_of(model: "Estimator", samples: Samples) -> "np.ndarray | None":
    """The labels of samples, where the model has learnt with them as its condition."""
    return None if model.condition is None else samples.labels


def tell_unlike(model: "Estimator", samples: Samples) -> None:
    """Warn on stderr of samples that are unlike those which the model was trained on."""
    from diabolo.doctor import tell

    tell(model.unlike(samples.array, condition=condition_of(model, samples)), aloud=True)


def read_one(model: "Estimator", source: str) -> "np.ndarray":
    """The one sample that a source must be, (1, ...)."""
    import numpy as np

    samples = read_for(model, source)
    if len(samples.array) != 1:
        raise InputError(
            f"{source} has {len(samples.array)} samples: give one, such as mnist:test:3-3."
        )
    return samples.array if is_frame(samples.array) else np.asarray(samples.array)


def as_samples(model: "Estimator", array: Any) -> Samples:
    """What the model made, with the names of its columns where it has them."""
    names = [str(number) for number in range(len(array))]
    if is_frame(array):
        return Samples(array, names, "csv", columns=model.columns_)
    stored = array[:0].astype(model.dtype_)
    return Samples(stored, names, "csv" if model.columns_ else "npy", columns=model.columns_)


def model_file(path: str | Path) -> Path:
    """The model file that a MODEL argument means."""
    path = hub.find(path) or shipped.find(path) or Path(path)
    if not path.is_dir():
        if not path.exists():
            raise InputError(shipped.absent(path))
        if is_special(path):
            raise InputError(f"{path} is neither a file nor a folder.")
        return path
    for file in (path / MODEL, *Checkpoints(path).found()):
        if file.is_file():
            return file
    raise InputError(f"{path} is not a run folder: it has no {MODEL}.")


def recipe_beside(path: str | Path) -> Recipe | None:
    """The recipe in the run folder that a model is in; None where the file stands alone."""
    config = model_file(path).parent / CONFIG
    return recipes.read(config) if config.is_file() else None
