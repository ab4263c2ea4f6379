"""Photographs cleaned file by file, so that one at a time is in the memory."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from diabolo.commands import Told, runs
from diabolo.data.files import folder_atomically
from diabolo.data.samples import kind_by_name
from diabolo.errors import InputError, complete
from diabolo.progress import Tell, shares, untold, within

if TYPE_CHECKING:
    from diabolo.data.images import Found
    from diabolo.estimator import Estimator
    from diabolo.tasks.comparing import Denoised
    from diabolo.tasks.filling import Masks


def image_files(source: str, out: Path) -> "Found | None":
    """The image files of a source, where what comes of them is to be image files again."""
    from diabolo.data.images import Found
    from diabolo.data.sources import find_files

    path, kind = Path(source), kind_by_name(out)
    if kind not in ("image", "folder") or not path.exists():
        return None
    if path.is_file():
        image = kind_by_name(path) == "image"
        return Found(path.parent, [path.name], [], []) if image else None
    files = find_files(source)
    if files is not None and len(files.names) > 1 and kind == "image":
        raise InputError(f"{out} is one image and {source} has more: give a folder as --out.")
    return files


def clean_files(
    model: "Estimator",
    files: "Found",
    out: Path,
    picture: Path,
    engine: str | None = None,
    **asked: Any,
) -> Told:
    """Write image files cleaned, in the form of each, and a picture of the first: their paths.

    And the noise of each, of 255, by its name.

    `asked`: the level of the noise, and whether to take an ensemble, as for `whole.cleaned`; or
    the `masks` in which they are filled.
    Raises `IncompleteError` after the work where some files were bad.
    """
    from diabolo.data.photofile import names_for
    from diabolo.report import write_picture
    from diabolo.tasks import comparing

    runs.tell(files.notes)
    names, failed = names_for(files.folder, files.names)
    good = [name for name in files.names if name not in failed]
    one = partial(_cleaned, model, files.folder.resolve(), asked)
    levels = dict[str, float | None]()
    clean = partial(_each, one, engine=engine, failed=failed, levels=levels)
    if kind_by_name(out) == "image":
        shown = clean({name: out.absolute() for name in good})
    else:
        with folder_atomically(out) as folder:
            targets = [folder.absolute() / name for name in names]
            shown = clean(dict(zip(good, targets, strict=True)))
    written: list[str | Path] = [out]
    if model.image_shape_[0] in (1, 3):
        write_picture(picture, lambda: comparing.picture(shown))
        written.append(picture)
    told = Told(written, noise=levels, files=[*map(str, written)])
    return complete(told, [*files.failures, *failed.values()])


class _Cleaned(NamedTuple):
    """A photograph that was cleaned and written: what is said of it, and a picture."""

    said: list[str]
    failure: str | None = None
    shown: "Denoised | None" = None
    level: float | None = None


def _each(
    one: Callable[..., _Cleaned],
    files: Mapping[str, Path],
    *,
    engine: str | None,
    failed: dict[str, str],
    levels: dict[str, float | None],
) -> "list[Denoised]":
    """Clean files and write them to where each goes; the first, to be shown.

    Those that fail are added to `failed`, the noise of the others to `levels`.
    """
    from diabolo.engines import mapper
    from diabolo.tasks import comparing

    shown, items = list["Denoised"](), [*files.items()]
    with shares("cleaning") as tell:
        told = [within(tell, number, 1, len(items)) for number in range(len(items))]
        found = map(one, items, told) if engine is None else mapper(engine)(one, items)
        for number, ((name, _), cleaned) in enumerate(zip(items, found, strict=True)):
            runs.tell(cleaned.said)
            if cleaned.failure is not None:
                failed[name] = cleaned.failure
                continue
            levels[name] = cleaned.level
            if cleaned.shown is not None and len(shown) < comparing.PICTURED:
                shown.append(cleaned.shown)
            told[number](1.0)
    if not shown:
        raise InputError(next(iter(failed.values())))
    return shown


def _cleaned(
    model: "Estimator",
    folder: Path,
    asked: Mapping[str, Any],
    file: tuple[str, Path],
    progress: Tell = untold,
) -> _Cleaned:
    """Clean a file of a folder, and write it to where it goes."""
    from diabolo.data.photofile import check_holds, read_photograph, write_photograph
    from diabolo.tasks import comparing, whole

    name, target = file
    try:
        before = read_photograph(folder / name, name)
        kept = check_holds(target, before.mode)
        masks: Masks | None = asked.get("masks")
        if masks is None:
            after, noise, words = whole.cleaned(model, before, progress=progress, **asked)
        else:
            after, noise, words = masks.filled(model, before, name, progress), None, ""
    except InputError as error:
        return _Cleaned([], str(error))
    said = [f"{name}: {note}" for note in (*before.told, words) if note]
    if kept != after.mode:
        said.append(f"{target.name} holds 8 bits a value: write .png to keep them all.")
    target.parent.mkdir(parents=True, exist_ok=True)
    write_photograph(target, after)
    shown = comparing.middle_of(model, name, before.pixels, after.pixels)
    return _Cleaned(said, None, shown, None if noise is None else whole.LEVELS * noise.level)
