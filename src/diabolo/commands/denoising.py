"""`diabolo denoise`: images of any size, or rows, cleaned by a model that was trained to."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Le

from diabolo import data
from diabolo.arguments import Usage
from diabolo.commands import Engine, Force, Input, Model, Told, command, runs
from diabolo.commands.applying import (
    Corrupt,
    CorruptionSeed,
    Out,
    check_corrupt,
    reconstruct_by,
)
from diabolo.commands.parts import in_memory
from diabolo.commands.photographs import clean_files, image_files
from diabolo.data.files import folder_atomically
from diabolo.data.samples import Samples, kind_by_name
from diabolo.errors import IncompleteError, InputError, complete

if TYPE_CHECKING:
    import numpy as np

    from diabolo.data.images import Found
    from diabolo.estimator import Estimator
    from diabolo.tasks.comparing import Denoised
    from diabolo.tasks.filling import Masks

TUNED = 20  # training images that filters are tuned on
GROUP = 2**22  # bytes of images of a folder that are cleaned at a time
Level = Annotated[
    float | None,
    Ge(0),
    Le(255),
    Usage("--level N"),
    "standard deviation of the noise, of 255 whatever the depth, for a model that is told it;"
    " without it, it is estimated",
]


@command("use", "diabolo denoise runs/dae photo.png --out clean.png")
def denoise(
    model: Model,
    source: Input,
    out: Out,
    *,
    mask: Annotated[
        str | None,
        Usage("--mask INPUT"),
        "fill only what is white here, by photo or a model trained to: of one image, or of the"
        " names of those in a folder",
    ] = None,
    level: Level = None,
    ensemble: Annotated[
        bool, "clean eight ways, turned and mirrored, and take the mean: slower, a little better"
    ] = False,
    corrupt: Corrupt = False,
    seed: CorruptionSeed = 0,
    engine: Engine = None,
    force: Force = False,
) -> Told:
    """Clean images of any size, or rows, with a denoising model.

    Writes INPUT cleaned, in its form, and for images a picture of before and after. Images may
    be of any sizes: they are cleaned in tiles, and photographs one by one, by a network that works
    on any size, with their depth, transparency and profile. `level` is that of the noise, for a
    model that is told it; it is estimated and said. `ensemble`: see `whole.clean`. `corrupt`:
    first corrupted as in training, by the seed, and a table says how far both are from the clean
    ones, and what the classical filters make of some of them. Returns its lines and the paths.
    Raises as `reconstruct` does.
    """
    from diabolo.data.sources import find_files
    from diabolo.tasks import comparing, filling, filters, whole

    fitted = runs.load_model(model, engine)
    _check(fitted, model, mask, level, corrupt=corrupt, ensemble=ensemble)
    drawn: dict[str, Any] = {"corrupt": corrupt, "seed": seed}
    asked: dict[str, Any] = {"level": level, "ensemble": ensemble}
    if fitted.image_shape_ is None:
        return _rows(fitted, source, out, **drawn, engine=engine, force=force)
    out = runs.free_for_result(out, source, force=force)
    picture = runs.free_to_write(out.with_name(f"{out.name}-comparison.png"), force=force)
    masks = None if mask is None else filling.Masks(data.read_each(mask))
    if (
        not corrupt
        and (masks or whole.takes_any_size(fitted))
        and (files := image_files(source, out))
    ):
        of_files = {"masks": masks} if masks else asked
        return clean_files(fitted, files, out, picture, engine, **of_files)
    plain = not (mask or level is not None or ensemble or whole.takes_level(fitted))
    if plain and not corrupt and engine is None and kind_by_name(out) == "folder":
        many = find_files(source)
        if many is not None:
            return _clean_folder(fitted, many, out, picture)
    parts = data.read_each(source)
    runs.tell(parts[0].told)
    if parts[0].on_disk:
        if plain:
            return _rows(fitted, source, out, **drawn, engine=engine, force=force)
        if not corrupt:
            return _clean_array(fitted, parts[0], masks, [out, picture], engine, **asked)
        parts = [in_memory(parts[0])]
        runs.tell(parts[0].told[-1:])
    if len(parts) > 1 and kind_by_name(out) != "folder":
        raise InputError(f"{source} has images of different sizes: give a folder as --out.")
    if masks is not None:
        parts = [masks.on(part) for part in parts]
    numbers = _tell_of(fitted, parts, level)
    done, failures = comparing.each(
        parts, fitted, seed if corrupt else None, engine=engine, **asked
    )
    table = list[str]()
    if corrupt:
        few = _training_images(model, fitted) if filters.installed() else None
        table, numbers["methods"] = comparing.table(done, fitted, few)
    data.write_each(out, [one.output for one in done], [one.samples for one in done])
    return _ended(fitted, [out, picture], done, failures, table, **numbers)


def _rows(fitted: "Estimator", source: str, out: str | Path, **options: Any) -> Told:
    """As `reconstruct` does it: rows, or images of one size."""
    try:
        written = reconstruct_by(fitted, source, out, **options)
    except IncompleteError as error:
        raise IncompleteError(str(error).splitlines(), _told(error.result)) from None
    return _told(written)


def _told(written: list[Path]) -> Told:
    return Told(written, files=[*map(str, written)])


def _clean_folder(model: "Estimator", files: "Found", out: Path, picture: Path) -> Told:
    """Images of any sizes cleaned and written, so many at a time; the first of them are shown."""
    from diabolo.data import encoding, images, outputs
    from diabolo.tasks import comparing

    found, failed = images.headers(files.folder, files.names)
    names = encoding.file_names([*found], [form.mode for form in found.values()])
    targets, shown = dict(zip(found, names, strict=True)), list[comparing.Denoised]()
    with folder_atomically(out) as folder:
        for group in images.groups(found, GROUP):
            parts, broken = images.decoded(files.folder, group)
            failed |= broken
            if parts and not shown:
                _tell_unlike(model, [part.array for part in parts])
            done, more = comparing.each_that_can(parts, model)
            failed |= more
            for one in done:
                named = [targets[name] for name in one.samples.names]
                outputs.write_into(folder, named, one.output, one.samples.array.dtype)
            shown = shown or done
        failures = [*files.failures, *(failed[name] for name in files.names if name in failed)]
        if not shown:
            raise InputError(f"None of the images can be denoised; {failures[0]}")
    runs.tell([*files.notes, *images.notes_on(found, failed)])
    return _ended(model, [out, picture], shown, failures)


def _clean_array(
    model: "Estimator",
    samples: Samples,
    masks: "Masks | None",
    files: list[Path],
    engine: str | None,
    **asked: Any,
) -> Told:
    """Images of one size that are on disk, a block at a time; the first of them are shown.

    `asked` are the level and the ensemble of `denoising.denoise`.
    """
    from diabolo.engines import over
    from diabolo.tasks import comparing, denoising, filling

    few, array = in_memory(samples, comparing.SHOWN), samples.array
    few = few if masks is None else masks.on(few)
    numbers = _tell_of(model, [few], asked["level"])
    shown, _ = comparing.each([few], model, None, **asked)
    if masks is None:
        use = partial(denoising.denoise, model, **asked)
        output = over(use, array, engine)
    else:
        output = over(partial(filling.fill, model), array, engine, masks=masks.of_all(samples))
    data.write(files[0], output, like=samples)
    return _ended(model, files, shown, samples.failures, **numbers)


def _ended(
    model: "Estimator",
    files: list[Path],
    done: "Sequence[Denoised]",
    failures: list[str],
    table: Sequence[str] = (),
    **numbers: Any,
) -> Told:
    """What is told at the end; of images that can be drawn the second file shows some."""
    from diabolo.report import write_picture
    from diabolo.tasks import comparing

    if model.image_shape_ and model.image_shape_[0] in (1, 3):
        write_picture(files[1], lambda: comparing.picture(done))
    else:
        files = files[:1]
    return complete(Told([*table, *files], **numbers, files=[*map(str, files)]), failures)


def _check(
    model: "Estimator",
    name: str | Path,
    mask: str | None,
    level: float | None,
    *,
    corrupt: bool,
    ensemble: bool,
) -> None:
    """Refuse what a model cannot be asked for."""
    from diabolo.tasks import filling, whole

    if model.corruption is None and not model.paired_:
        raise InputError(f"{name} was not trained to denoise: use reconstruct, or fit dae.")
    check_corrupt(model, name, corrupt=corrupt)
    if model.net_.fills and not (mask or corrupt):
        raise InputError(f"{name} was trained to fill holes: give --mask, white where they are.")
    if mask is not None and corrupt:
        raise InputError("Give --mask or --corrupt, not both.")
    if mask is not None and not filling.fills(model):
        raise InputError(
            f"{name} was not trained to fill holes: take photo, or fit one with --corruption"
            " scratches."
        )
    if mask is not None and (level is not None or ensemble):
        raise InputError("Holes are filled without --level and --ensemble: leave them out.")
    if level is not None and not whole.takes_level(model):
        raise InputError(f"{name} takes no level of the noise: leave --level out.")
    if ensemble and not whole.takes_any_size(model):
        raise InputError(f"{name} works on images of one size: leave --ensemble out.")


def _tell_of(model: "Estimator", parts: Sequence[Samples], level: float | None) -> dict[str, Any]:
    """Say the noise of images that have no holes, or how unlike they are what was learnt from."""
    from diabolo.tasks import whole

    if whole.takes_level(model):
        parts = [part for part in parts if part.noisy is None]
        return {"noise": _tell_level(model, parts, level)}
    _tell_unlike(model, [part.array for part in parts])
    return {}


def _tell_level(
    model: "Estimator", parts: Sequence[Samples], level: float | None
) -> dict[str, float | None]:
    """Say the noise of the first image of each size; of 255, by its name."""
    from diabolo.tasks import whole

    levels = dict[str, float | None]()
    for part in parts:
        noise = whole.noise_of(model, part.array[0], level)
        words = whole.in_words(model, noise)
        runs.tell([f"{part.names[0]}: {words}"] if words else [])
        levels[part.names[0]] = None if noise is None else whole.LEVELS * noise.level
    return levels


def _tell_unlike(model: "Estimator", images: "list[np.ndarray]") -> None:
    """Say what the images are that those which the model learnt from were not."""
    import torch

    from diabolo import doctor, unlike
    from diabolo.tasks.denoising import tiles

    if model.image_shape_[0] == 1 and any(one.ndim == 4 and one.shape[1] == 3 for one in images):
        print(
            "The model learnt from gray images: the channels of those in colour are cleaned one"
            " by one.",
            file=sys.stderr,
        )
    rows = torch.from_numpy(tiles(model, images).reshape(-1, model.n_features_in_))
    doctor.tell(unlike.looked(model.usual_, model.net_, rows), aloud=True)


def _training_images(path: str | Path, model: "Estimator") -> "np.ndarray | None":
    """A few of the images of a run, or of the patches of those that it was trained on.

    None where the model is in no run, or these are no more.
    """
    recipe = runs.recipe_beside(path)
    if recipe is None:
        return None
    try:
        if recipe.patches:
            few = replace(recipe, data={**recipe.data, "patches": 4 * TUNED})
            return runs.load_split(few, model.seed_).train
        array = data.read(
            recipe.source, image_shape=model.image_shape_, fit=runs.fit_of(model), limit=TUNED
        ).array
    except InputError:
        return None
    return array.reshape(-1, *(model.image_shape_ or ()))
