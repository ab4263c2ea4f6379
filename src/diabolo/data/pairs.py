"""Reading pairs: noisy samples and the clean ones that should come of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from diabolo.data.samples import Samples
from diabolo.data.sources import read
from diabolo.errors import InputError


def read_pairs(noisy: str | Path, clean: str | Path, *, limit: int | None = None) -> Samples:
    """The clean samples with their noisy partners; both sources are as `read` takes them.

    Of two folders, images whose paths are the same but for the suffix are a pair (a/1.jpg and
    a/1.png), and are read in the form and size of the clean ones. `failures` names those without
    a partner and those that cannot be read. Of two other sources, the rows are pairs. `limit`:
    only the first pairs are read.

    Raises InputError where there are no pairs, or where their sides are not alike.
    """
    if str(noisy) == str(clean) or Path(noisy).resolve() == Path(clean).resolve():
        raise InputError(f"{noisy} cannot be both the noisy and the clean samples.")
    folders = [_is_folder(noisy), _is_folder(clean)]
    if any(folders) and not all(folders):
        folder, other = (noisy, clean) if folders[0] else (clean, noisy)
        raise InputError(f"{folder} is a folder, {other} is none: give two folders or two files.")
    if all(folders):
        pairs = _by_name(Path(noisy), Path(clean), limit)
    else:
        pairs = _by_row(noisy, clean, limit)
    assert pairs.noisy is not None
    _check_alike(noisy, pairs.noisy, clean, pairs.array)
    return pairs


def _is_folder(source: str | Path) -> bool:
    return str(source).partition(":")[0] != "mnist" and Path(source).is_dir()


def _by_row(noisy: str | Path, clean: str | Path, limit: int | None) -> Samples:
    given, wanted = read(noisy, limit=limit), read(clean, limit=limit)
    if len(given.array) != len(wanted.array):
        raise InputError(
            f"{noisy} has {len(given.array)} samples and {clean} has {len(wanted.array)}: they are"
            " paired row by row, so give as many of each."
        )
    if given.columns != wanted.columns:
        raise InputError(f"The columns of {noisy} are not those of {clean}: give the same.")
    return replace(wanted, noisy=given.array)


def _by_name(noisy: Path, clean: Path, limit: int | None) -> Samples:
    (given, closed), (wanted, closed_too) = _stems(noisy), _stems(clean)
    stems = sorted(given.keys() & wanted.keys())
    if not stems:
        raise InputError(
            f"No image in {noisy} has the name of one in {clean}: a pair has one name in both."
        )
    array, names, bad = _images(clean, [wanted[stem] for stem in stems[:limit]])
    rows = {given[_stem(name)]: row for row, name in enumerate(names)}
    partners, kept, bad_too = _images(noisy, list(rows), (1, *array.shape[1:])[-3:])
    alone = _alone(noisy, given, clean, wanted) + _alone(clean, wanted, noisy, given)
    whole = [rows[name] for name in kept]
    return Samples(
        array[whole],
        [names[row] for row in whole],
        "folder",
        failures=closed + closed_too + alone + bad + bad_too,
        noisy=partners,
    )


def _images(
    folder: Path, names: list[str], shape: tuple[int, ...] | None = None
) -> tuple[np.ndarray, list[str], list[str]]:
    """What `read_images` gives, with the folder in its sentences; refuses to give no image."""
    from diabolo.data.images import read_images

    array, kept, bad = read_images(folder, names, shape, taker="the clean ones are")
    sentences = [f"{folder}/{sentence}" for sentence in bad]
    if not kept:
        raise InputError(f"None of the {len(names)} pairs can be used; the first: {sentences[0]}")
    return array, kept, sentences


def _alone(folder: Path, own: dict[str, str], other: Path, theirs: dict[str, str]) -> list[str]:
    """A sentence for each image of a folder that has no partner in the other."""
    lone = [name for stem, name in own.items() if stem not in theirs]
    return [f"{folder / name} has no partner in {other}" for name in lone]


def _stems(folder: Path) -> tuple[dict[str, str], list[str]]:
    """The images of a folder by path without suffix, and a sentence for each closed folder."""
    from diabolo.data.images import find_images

    names, closed = find_images(folder)
    if not names:
        raise InputError(closed[0] if closed else f"{folder} is a folder without images")
    found: dict[str, str] = {}
    for name in names:
        if (other := found.setdefault(_stem(name), name)) != name:
            raise InputError(
                f"{folder} has both {other} and {name}: for pairs, leave one of that name."
            )
    return found, closed


def _stem(name: str) -> str:
    return Path(name).with_suffix("").as_posix()


def _check_alike(noisy: object, given: np.ndarray, clean: object, wanted: np.ndarray) -> None:
    """Refuse sides of other shapes or types."""
    if given.shape != wanted.shape:
        raise InputError(
            f"The samples of {noisy} have shape {given.shape[1:]}, those of {clean}"
            f" {wanted.shape[1:]}: give one shape."
        )
    floats = given.dtype.kind == wanted.dtype.kind == "f"
    if given.dtype != wanted.dtype and not floats:
        raise InputError(
            f"The samples of {noisy} are {given.dtype}, those of {clean} {wanted.dtype}: give one"
            " type."
        )
