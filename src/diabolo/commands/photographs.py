"""Photographs cleaned file by file, so that one at a time is in the memory."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diabolo.commands import runs
from diabolo.data.files import folder_atomically
from diabolo.data.samples import kind_by_name
from diabolo.errors import InputError, complete
from diabolo.progress import shares

if TYPE_CHECKING:
    from diabolo.data.images import Found
    from diabolo.estimator import Estimator
    from diabolo.tasks.comparing import Denoised
    from diabolo.tasks.whole import Progress


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
    model: "Estimator", files: "Found", out: Path, picture: Path, **asked: Any
) -> list[str | Path]:
    """Write image files cleaned, in the form of each, and a picture of the first: their paths.

    `asked`: the level of the noise, and whether to take an ensemble, as for `whole.cleaned`.
    Raises `IncompleteError` after the work where some files were bad.
    """
    from diabolo.data.photofile import names_for
    from diabolo.report import write_picture
    from diabolo.tasks import comparing

    runs.tell(files.notes)
    names, failed = names_for(files.folder, files.names)
    good = [name for name in files.names if name not in failed]
    clean = partial(_each, model, files.folder, asked=asked, failed=failed)
    if kind_by_name(out) == "image":
        shown = clean({name: out for name in good})
    else:
        with folder_atomically(out) as folder:
            targets = [folder / name for name in names]
            shown = clean(dict(zip(good, targets, strict=True)))
    written: list[str | Path] = [out]
    if model.image_shape_[0] in (1, 3):
        write_picture(picture, lambda: comparing.picture(shown))
        written.append(picture)
    return complete(written, [*files.failures, *failed.values()])


def _each(
    model: "Estimator",
    folder: Path,
    files: Mapping[str, Path],
    asked: Mapping[str, Any],
    failed: dict[str, str],
) -> "list[Denoised]":
    """Clean files of a folder and write them to where each goes; the first, to be shown.

    Those that fail are added to `failed`.
    """
    from diabolo.data.photofile import check_holds, read_photograph, write_photograph
    from diabolo.tasks import comparing, whole

    shown = list["Denoised"]()
    with shares("cleaning") as tell:
        for number, (name, target) in enumerate(files.items()):
            told = partial(_tell, tell, number, len(files))
            try:
                before = read_photograph(folder / name, name)
                kept = check_holds(target, before.mode)
                after, words = whole.cleaned(model, before, progress=told, **asked)
            except InputError as error:
                failed[name] = str(error)
                continue
            runs.tell([f"{name}: {note}" for note in (*before.told, *words)])
            if kept != after.mode:
                runs.tell([f"{target.name} holds 8 bits a value: write .png to keep them all."])
            target.parent.mkdir(parents=True, exist_ok=True)
            write_photograph(target, after)
            if len(shown) < comparing.PICTURED:
                shown.append(comparing.middle_of(model, name, before.pixels, after.pixels))
    if not shown:
        raise InputError(next(iter(failed.values())))
    return shown


def _tell(tell: "Progress", before: int, count: int, share: float) -> None:
    """How far all of so many are, of which some are done and the next in part."""
    tell((before + share) / count)
