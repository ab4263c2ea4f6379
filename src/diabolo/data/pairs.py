"""Reading pairs: noisy samples and the clean ones that should come of them."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diabolo.data.files import real
from diabolo.data.framing import Fit, Size, as_fit, in_words, read_size
from diabolo.data.samples import Samples
from diabolo.data.sources import NO_IMAGES, files_in, read
from diabolo.data.spec import is_mnist
from diabolo.errors import InputError

if TYPE_CHECKING:
    from diabolo.data.images import Images


def read_pairs(
    noisy: str | Path,
    clean: str | Path,
    *,
    size: str | None = None,
    fit: str | None = None,
    limit: int | None = None,
) -> Samples:
    """The clean samples with their noisy partners; both sources are as `read` takes them.

    Of two folders, images whose paths are the same but for the suffix are a pair (a/1.jpg and
    a/1.png), and are read in the form of the clean ones; `size` and `fit` are as for `read`.
    `failures` names those without a partner of their size, and those that cannot be read. Of two
    other sources, the rows are pairs. `limit`: only the first pairs are read.

    Raises InputError where there are no pairs, or where their sides are not alike.
    """
    folders = are_folders(noisy, clean)
    wanted, way = None if size is None else read_size(size), as_fit(fit)
    if folders:
        pairs = _by_name(Path(noisy), Path(clean), wanted, way, limit)
    elif wanted is None:
        pairs = _by_row(noisy, clean, limit)
    else:
        raise InputError(f"{clean} {NO_IMAGES}")
    assert pairs.noisy is not None
    _check_alike(noisy, pairs.noisy, clean, pairs.array)
    return pairs


def are_folders(noisy: str | Path, clean: str | Path) -> bool:
    """Whether pairs are of two folders; refuses one folder, and a source with itself."""
    if str(noisy) == str(clean) or real(noisy) == real(clean):
        raise InputError(f"{noisy} cannot be both the noisy and the clean samples.")
    folders = [_is_folder(noisy), _is_folder(clean)]
    if any(folders) and not all(folders):
        folder, other = (noisy, clean) if folders[0] else (clean, noisy)
        raise InputError(f"{folder} is a folder, {other} is none: give two folders or two files.")
    return all(folders)


def _is_folder(source: str | Path) -> bool:
    return not is_mnist(str(source)) and Path(source).is_dir()


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


def named_pairs(
    noisy: Path, clean: Path, limit: int | None = None
) -> tuple[list[tuple[str, str]], list[str]]:
    """The names of the images of two folders that are pairs, and a sentence on each other one.

    Pairs (noisy, clean) have one path but for the suffix, and one size.
    """
    (given, closed), (wanted, closed_too) = _stems(noisy), _stems(clean)
    both = sorted(given.keys() & wanted.keys())
    if not both:
        raise InputError(
            f"No image in {noisy} has the name of one in {clean}: a pair has one name in both."
        )
    pairs = [(given[stem], wanted[stem]) for stem in both[:limit]]
    odd = _of_other_sizes(noisy, clean, pairs)
    if len(odd) == len(pairs):
        raise _none_usable(len(pairs), next(iter(odd.values())))
    alone = _alone(noisy, given, clean, wanted) + _alone(clean, wanted, noisy, given)
    failures = closed + closed_too + alone + [*odd.values()]
    return [pair for pair in pairs if pair[0] not in odd], failures


def _by_name(
    noisy: Path, clean: Path, size: Size | None, fit: Fit | None, limit: int | None
) -> Samples:
    pairs, failures = named_pairs(noisy, clean, limit)
    first = _images(clean, [name for _, name in pairs], None, size, fit)
    given = {name: partner for partner, name in pairs}
    rows = {given[name]: row for row, name in enumerate(first.names)}
    second = _images(noisy, list(rows), (1, *first.array.shape[1:])[-3:], None, fit)
    whole = [rows[name] for name in second.names]
    return Samples(
        first.array[whole],
        [first.names[row] for row in whole],
        "folder",
        failures=failures + first.failures + second.failures,
        noisy=second.array,
        told=first.notes,
        framing=first.frame,
    )


def _of_other_sizes(noisy: Path, clean: Path, pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Of pairs whose images differ in size the noisy one, and a sentence on both."""
    from diabolo.data.images import Form, forms

    sides = (forms(noisy, [a for a, _ in pairs]), forms(clean, [b for _, b in pairs]))
    return {
        name: f"{noisy}/{name} is {in_words(a.size)} (width x height), its clean partner"
        f" {in_words(b.size)}"
        for (name, _), a, b in zip(pairs, *sides, strict=True)
        if isinstance(a, Form) and isinstance(b, Form) and a.size != b.size
    }


def _images(
    folder: Path,
    names: list[str],
    shape: tuple[int, ...] | None,
    size: Size | None,
    fit: Fit | None,
) -> "Images":
    """What `read_images` gives, with the folder in its sentences; refuses to give no image."""
    from diabolo.data.images import read_images

    found = read_images(folder, names, shape, size=size, fit=fit)
    failures = [f"{folder}/{sentence}" for sentence in found.failures]
    if not found.names:
        raise _none_usable(len(names), failures[0])
    return found._replace(failures=failures)


def _none_usable(count: int, first: str) -> InputError:
    return InputError(f"None of the {count} pairs can be used; the first: {first}")


def _alone(folder: Path, own: dict[str, str], other: Path, theirs: dict[str, str]) -> list[str]:
    """A sentence for each image of a folder that has no partner in the other."""
    lone = [name for stem, name in own.items() if stem not in theirs]
    return [f"{folder / name} has no partner in {other}" for name in lone]


def _stems(folder: Path) -> tuple[dict[str, str], list[str]]:
    """The images of a folder by path without suffix, and a sentence for each closed folder."""
    files = files_in(folder)
    found: dict[str, str] = {}
    for name in files.names:
        if (other := found.setdefault(_stem(name), name)) != name:
            raise InputError(
                f"{folder} has both {other} and {name}: for pairs, leave one of that name."
            )
    return found, files.failures


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
