"""Image files of a folder to one array; `decoding` reads one, `framing` finds the size."""

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from diabolo.data import framing
from diabolo.data.decoding import (
    FLOAT32,
    UINT8,
    UINT16,
    Form,
    attempt,
    is_opaque,
    read_form,
    read_pixels,
)
from diabolo.data.files import quietly
from diabolo.data.framing import HOW, Fit, Size
from diabolo.data.samples import IMAGE_SUFFIXES, OTHER_IMAGES, Samples
from diabolo.errors import InputError

BLOCK = 2**24  # bytes of images that are decoded at a time
LOST = {  # what is said of one image, and of many
    "transparency": ("has", "have", "transparency: laid on white"),
    "frames": ("has", "have", "several frames or pages: the first is read"),
    "depth": ("is", "are", "in colour of 16 bits: reduced to 8"),
    "bits": ("is", "are", "gray of 16 bits: reduced to 8, as the others have"),
    "space": ("is", "are", "in CMYK or the like: turned to RGB"),
    "colour": ("is", "are", "in colour: turned to gray, as the model takes them"),
}


class Found(NamedTuple):
    """The image files below a folder, a sentence on each closed folder, and on other images."""

    folder: Path
    names: list[str]
    failures: list[str]
    notes: list[str]


class Images(NamedTuple):
    """Pixels (N, H, W) or (N, 3, H, W), the names of the N files, and what is to be said of all.

    `failures` has a sentence for each that could not be read, `notes` what was done to the others,
    `frame` the size and the fit, where they were asked for or some images brought to them.
    """

    array: Any
    names: list[str]
    failures: list[str]
    notes: list[str]
    frame: dict[str, str]


def find_images(folder: Path) -> Found:
    """The image files below `folder`, by their paths, sorted.

    Hidden files and folders, and other suffixes, are passed over; linked folders are not followed.
    """
    found: list[str] = []
    closed: list[OSError] = []
    for root, folders, files in os.walk(folder, onerror=closed.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = Path(root).relative_to(folder)
        found += [(inside / name).as_posix() for name in files if not name.startswith(".")]
    suffixes = {name: Path(name).suffix.lower() for name in sorted(found)}
    others = Counter(suffix for suffix in suffixes.values() if suffix in OTHER_IMAGES)
    return Found(
        folder,
        [name for name, suffix in suffixes.items() if suffix in IMAGE_SUFFIXES],
        [f"{error.filename} cannot be read: {error.strerror}" for error in closed],
        _passed_over(others),
    )


def forms(folder: Path, names: Sequence[str]) -> list[Form | str]:
    """What the headers of the images `names` in `folder` say, or a sentence on why not."""
    with quietly(Image.DecompressionBombWarning), ThreadPoolExecutor() as pool:
        return list(pool.map(lambda name: attempt(name, read_form, folder / name), names))


def read_images(
    folder: Path,
    names: Sequence[str],
    image_shape: tuple[int, ...] | None = None,
    *,
    size: Size | None = None,
    fit: Fit | None = None,
    stays: bool = False,
) -> Images:
    """Read the images `names` in `folder` into one array.

    Its size is that of the model's `image_shape` (C, H, W), or `size`, or one is chosen; images of
    another are brought to it as `fit` says. Pixels are (N, H, W) where all images are gray or the
    model's shape says so, else (N, 3, H, W). 16 bits are kept where all are gray of 16 bits, and
    reduced to 8 beside others. Float pixels and others do not go together: the rarer are failures.
    `stays`: many are decoded into a file, once, and stay there; see `diabolo.data.kept`.
    """
    if image_shape is not None and image_shape[0] not in (1, 3):
        raise InputError(f"images have 1 or 3 channels, the model takes {image_shape[0]}")
    said = dict(zip(names, forms(folder, names), strict=True))
    found = {name: form for name, form in said.items() if isinstance(form, Form)}
    real = 2 * sum(form.real for form in found.values()) > len(found)
    used = {name: form for name, form in found.items() if form.real == real}
    target, way = _target(list(used.values()), image_shape, size), fit or "crop"
    array, broken = (_kept if stays else _fill)(folder, list(used), target, way)
    odd = {name: _odd(name, real=real) for name in found if name not in used}
    failed = {name: form for name, form in said.items() if isinstance(form, str)} | odd | broken
    kept = [name for name in names if name not in failed]
    read = [used[name] for name in kept]
    framed = any(form.size != target.size for form in read)
    chosen = image_shape is None and size is None
    notes = [_framed(read, target, way, chosen=chosen)] if framed else []
    frame = {"size": framing.in_words(target.size)} if framed or size else {}
    frame |= {"fit": way} if framed or fit else {}
    failures = [failed[name] for name in names if name in failed]
    return Images(array, kept, failures, notes + _lost(read, target), frame)


def read_parts(
    folder: Path, names: Sequence[str], *, whole: bool = False
) -> tuple[list[Samples], list[str], list[str]]:
    """Read the images `names` in `folder`, each in its own size, colours and depth.

    Those that share these are one array. Then the failures and the notes, of all. `whole`: those
    that have more than is read are failures.
    """
    found, failed = headers(folder, names)
    if whole:
        more = {name: attempt(name, _more, folder / name, name, found[name]) for name in found}
        failed |= {name: words for name, words in more.items() if words}
        found = {
            name: replace(form, lost=frozenset()) for name, form in found.items() if not more[name]
        }
    parts, broken = decoded(folder, found)
    failed |= broken
    return parts, [failed[name] for name in names if name in failed], notes_on(found, failed)


def headers(folder: Path, names: Sequence[str]) -> tuple[dict[str, Form], dict[str, str]]:
    """What the headers of images say, and a sentence on each that cannot be read, by names."""
    said = dict(zip(names, forms(folder, names), strict=True))
    return (
        {name: form for name, form in said.items() if isinstance(form, Form)},
        {name: form for name, form in said.items() if isinstance(form, str)},
    )


def groups(found: Mapping[str, Form], most: int) -> Iterator[dict[str, Form]]:
    """Images in order, so many bytes of pixels at a time."""
    group, size = dict[str, Form](), 0
    for name, form in found.items():
        own = math.prod(form.shape) * form.dtype.itemsize
        if group and size + own > most:
            yield group
            group, size = {}, 0
        group[name], size = form, size + own
    yield group


def decoded(folder: Path, found: Mapping[str, Form]) -> tuple[list[Samples], dict[str, str]]:
    """The images, those of one form in one array, and a sentence on each that is broken."""
    parts, failed = list[Samples](), dict[str, str]()
    for form in dict.fromkeys(found.values()):
        part = [name for name, own in found.items() if own == form]
        array, broken = _fill(folder, part, form, "crop")
        failed |= broken
        if len(array):
            parts.append(Samples(array, [n for n in part if n not in broken], "folder"))
    return parts, failed


def notes_on(found: Mapping[str, Form], failed: Mapping[str, str]) -> list[str]:
    """What images had, but those that failed, that their pixels have not."""
    return _lost([form for name, form in found.items() if name not in failed])


def _more(path: Path, name: str, form: Form) -> str:
    """The sentence on an image of which not all is read, if it has transparent pixels or more."""
    opaque = form.lost == {"transparency"} and is_opaque(path)
    has = [f"{LOST[kind][0]} {LOST[kind][2].partition(':')[0]}" for kind in sorted(form.lost)]
    lost = f"{name} {' and '.join(has)}, which would be lost: give a copy without"
    return "" if opaque or not form.lost else lost


def _odd(name: str, *, real: bool) -> str:
    """The sentence on an image whose pixels do not go with those of the others."""
    has, have = ("no float pixels", "them") if real else ("float pixels", "none")
    return f"{name} has {has}, most images here have {have}"


def _target(used: Sequence[Form], image_shape: tuple[int, ...] | None, size: Size | None) -> Form:
    """What the images of one array share."""
    if image_shape is not None:
        size = image_shape[2], image_shape[1]
    elif size is None:
        size = framing.choose([form.size for form in used]) if used else (0, 0)
    gray = all(form.gray for form in used) if image_shape is None else image_shape[0] == 1
    real = bool(used) and used[0].real
    deep = gray and bool(used) and all(form.dtype == UINT16 for form in used)
    return Form(size, gray, FLOAT32 if real else UINT16 if deep else UINT8)


def _kept(folder: Path, names: list[str], target: Form, fit: Fit) -> tuple[Any, dict[str, str]]:
    """As `_fill`, on disk where they are many and there is room."""
    from diabolo.data import kept, mapped

    bytes_each = math.prod(target.shape) * target.dtype.itemsize
    if len(names) * bytes_each >= mapped.LARGE:
        rows = max(1, BLOCK // bytes_each)
        parts = [names[start : start + rows] for start in range(0, len(names), rows)]
        how = f"{target.size} {target.gray} {target.dtype} {fit}"
        found = kept.kept(
            folder,
            names,
            how,
            len(names) * bytes_each,
            lambda: (_fill(folder, part, target, fit) for part in parts),
        )
        if found is not None:
            return found
    return _fill(folder, names, target, fit)


def _fill(
    folder: Path, names: Sequence[str], target: Form, fit: Fit
) -> tuple[np.ndarray, dict[str, str]]:
    """Decode the images into one array, without those that turn out broken, which are named."""
    array = np.empty((len(names), *target.shape), target.dtype)

    def decode(row: int) -> str | None:
        pixels = attempt(names[row], read_pixels, folder / names[row], target, fit)
        if isinstance(pixels, str):
            return pixels
        array[row] = pixels
        return None

    with quietly(Image.DecompressionBombWarning), ThreadPoolExecutor() as pool:
        sentences = list(pool.map(decode, range(len(names))))
    whole = [row for row, sentence in enumerate(sentences) if sentence is None]
    for row, source in enumerate(whole):
        if row != source:
            array[row] = array[source]
    broken = {name: text for name, text in zip(names, sentences, strict=True) if text}
    return array[: len(whole)], broken


# ---- what is said


def _passed_over(others: Counter[str]) -> list[str]:
    """That there are images of kinds that cannot be read."""
    if not others:
        return []
    kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in sorted(others.items()))
    return [f"Passed over: {kinds}, which cannot be read; convert to .png or .jpg."]


def _framed(read: Sequence[Form], target: Form, fit: Fit, *, chosen: bool) -> str:
    """That images were brought to one size, and how."""
    to = f"{framing.in_words(target.size)} (width x height), {HOW[fit]}"
    sizes = sorted({form.size for form in read}, key=lambda size: size[0] * size[1])
    if not chosen:
        others = sum(form.size != target.size for form in read)
        return f"{_some(others, read, 'was', 'were')} brought to {to}."
    first, last = framing.in_words(sizes[0]), framing.in_words(sizes[-1])
    differ = f"The images differ in size, {first} to {last}"
    why = f"The images are {first}, too large to learn whole" if len(sizes) == 1 else differ
    return f"{why}: brought to {to}; size and fit change that."


def _lost(read: Sequence[Form], target: Form | None = None) -> list[str]:
    """What the images had that the array, of one target, has not."""
    lost = [*(kind for form in read for kind in form.lost)]
    if target is not None:
        lost += ["bits" for form in read if form.dtype == UINT16 != target.dtype]
        lost += ["colour" for form in read if target.gray and not form.gray]
    counts = Counter(lost)
    return [
        f"{_some(counts[kind], read, one, many)} {rest}."
        for kind, (one, many, rest) in LOST.items()
        if counts[kind]
    ]


def _some(count: int, of: Sequence[Form], one: str, many: str) -> str:
    """The subject of a sentence, with its verb: 3 of 12 images have."""
    if count == len(of):
        return f"The image {one}" if count == 1 else f"All {count:,} images {many}"
    return f"{count:,} of {len(of):,} images {one if count == 1 else many}"
