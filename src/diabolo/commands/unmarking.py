"""`diabolo unmark`: a watermark that images share found from them, and taken away."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from diabolo.arguments import Usage
from diabolo.commands import Force, command, runs
from diabolo.data.samples import kind_by_name
from diabolo.errors import InputError, complete

if TYPE_CHECKING:
    import numpy as np

    from diabolo.data.decoding import Form
    from diabolo.tasks.unmarking import Mark

SHOWN = 3  # images in the picture of before and after
AROUND = 24  # pixels around the mark there


class Images(NamedTuple):
    """Image files of a folder by name, what their headers say, and a sentence on each other."""

    folder: Path
    forms: "dict[str, Form]"
    failures: list[str]

    def read(self, name: str) -> "np.ndarray":
        """The pixels of one, (C, H, W)."""
        from diabolo.data.images import read_images

        form = self.forms[name]
        channels, (width, height) = 1 if form.gray else 3, form.size
        found = read_images(self.folder, [name], (channels, height, width))
        if found.failures:
            raise InputError(f"{found.failures[0]}.")
        return found.array[0].reshape(channels, height, width)


@command("use", "diabolo unmark photos/ --out clean/")
def unmark(
    source: Annotated[
        str | Path, Usage("PHOTOS"), "a folder of 20 or more images of one size with one mark"
    ],
    out: Annotated[
        str | Path, Usage("--out PATH"), "where to: a folder, or of one image its file"
    ],
    *,
    mark: Annotated[
        str | Path | None,
        Usage("--mark FILE"),
        "the mark's own picture, at the size that it has there, where it is known: then one image"
        " is enough, and it may lie elsewhere in each",
    ] = None,
    force: Force = False,
) -> list[str | Path]:
    """Take a watermark away that images share, or whose own picture is given.

    Without `mark` it is estimated, with its opacity, from 20 or more images of one size that have
    it at one place, and written beside `out` as a picture with transparency. Images that do not
    have it are written as they are, and told. Returns its lines and the paths. Raises `InputError`
    for a mistake, before anything is written, and `IncompleteError` after the work if some files
    could not be used.
    """
    out = runs.free_for_result(out, str(source), force=force)
    beside = [
        runs.free_to_write(out.with_name(f"{out.name}-{what}.png"), force=force)
        for what in ("mark", "comparison")
    ]
    images = _found(Path(source))
    if len(images.forms) > 1 and kind_by_name(out) != "folder":
        raise InputError(f"{source} is a folder of images: give the name of a folder as --out.")
    marks, failures = _shared(images) if mark is None else _located(images, Path(mark))
    names = [name for name in images.forms if name not in failures]
    runs.tell([f"{name} does not have the mark." for name in names if name not in marks])
    said: list[str | Path] = []
    if mark is None:
        shared = next(iter(marks.values()))
        said.append(_described(shared, len(marks), len(names)))
        _write_mark(beside[0], shared)
        said.append(beside[0])
    pairs = _written(out, images, marks, names)
    _draw(beside[1], pairs)
    return complete([*said, out, beside[1]], [*images.failures, *failures.values()])


def _found(source: Path) -> Images:
    """The image or the images of a folder."""
    from diabolo.data.images import forms
    from diabolo.data.sources import find_files

    files = find_files(source)
    if files is None:
        if not source.is_file() or kind_by_name(source) != "image":
            raise InputError(f"{source} is no image and no folder of images: give one of these.")
        folder, names, failures = source.parent, [source.name], list[str]()
    else:
        folder, names, failures = files.folder, files.names, list(files.failures)
    said = dict(zip(names, forms(folder, names), strict=True))
    known = {name: form for name, form in said.items() if not isinstance(form, str)}
    known = {name: form for name, form in known.items() if not form.real}
    failures += [form for form in said.values() if isinstance(form, str)]
    failures += [
        f"{name} has float pixels: convert it to 8 or 16 bits"
        for name, form in said.items()
        if not isinstance(form, str) and form.real
    ]
    if not known:
        raise InputError(failures[0])
    return Images(folder, known, failures)


def _shared(images: Images) -> "tuple[dict[str, Mark], dict[str, str]]":
    """The mark that images of the usual size share, by name; a sentence on each of another."""
    from diabolo.data.framing import in_words
    from diabolo.data.photographs import room
    from diabolo.tasks import unmarking

    kinds = Counter((form.size, form.gray, form.dtype) for form in images.forms.values())
    (size, gray, dtype), count = kinds.most_common(1)[0]
    odd = {
        name: f"{name} is {in_words(form.size)} (width x height),"
        f" {'gray' if form.gray else 'in colour'}, of {8 * form.dtype.itemsize} bits; most images"
        " here are of another kind"
        for name, form in images.forms.items()
        if (form.size, form.gray, form.dtype) != (size, gray, dtype)
    }
    if odd and count < unmarking.LEAST <= len(images.forms):
        raise InputError(
            f"The images differ in size or kind: of {len(images.forms)} at most {count} are alike,"
            f" {in_words(size)} (width x height), and a mark is estimated from"
            f" {unmarking.LEAST} or more. Give more of one size, or the mark's own file with"
            " --mark."
        )
    shape, kept = (1 if gray else 3, *size[::-1]), list[str]()
    stack = room(count * math.prod(shape), dtype).reshape(count, *shape)
    for name in [name for name in images.forms if name not in odd]:
        try:
            stack[len(kept)] = images.read(name)
            kept.append(name)
        except InputError as error:
            odd[name] = str(error)
    mark, sharing = unmarking.estimate(stack[: len(kept)])
    return {name: mark for name, has in zip(kept, sharing, strict=True) if has}, odd


def _located(images: Images, path: Path) -> "tuple[dict[str, Mark], dict[str, str]]":
    """The mark of a file in each image, by name; a sentence on each that is not to be used."""
    import numpy as np

    from diabolo.data.decoding import read_mark
    from diabolo.tasks import unmarking

    pixels = read_mark(path).astype(np.float32) / 255
    matte = pixels[..., 3] if pixels.ndim == 3 else pixels
    if not matte.any():
        raise InputError(f"The mark {path} has nothing to be seen: give another.")
    colour = pixels[..., :3].transpose(2, 0, 1) if pixels.ndim == 3 else np.ones((3, *matte.shape))
    marks: dict[str, Mark] = {}
    failures: dict[str, str] = {}
    for name in images.forms:
        try:
            marks[name] = unmarking.locate(images.read(name), matte, colour)
        except InputError as error:
            failures[name] = f"{name}: {error}"
    if not marks:
        raise InputError(next(iter(failures.values())))
    return marks, failures


def _described(mark: "Mark", count: int, total: int) -> str:
    height, width = mark.alpha.shape
    return (
        f"The mark is {width} x {height} pixels, {mark.corner[1]} from the left and"
        f" {mark.corner[0]} from the top, of opacity {mark.opacity:.2f};"
        f" {count} of {total} images share it."
    )


def _written(
    out: Path, images: Images, marks: "dict[str, Mark]", names: Sequence[str]
) -> "list[tuple[np.ndarray, np.ndarray]]":
    """Write each image without its mark; the first of them around it, before and after."""
    from diabolo.data import encoding
    from diabolo.data.files import atomically, folder_atomically

    pairs = list[tuple["np.ndarray", "np.ndarray"]]()

    def cleaned(name: str) -> "np.ndarray":
        before, after = _cleaned(images, marks, name)
        if name in marks and len(pairs) < SHOWN:
            pairs.append((_around(before, marks[name]), _around(after, marks[name])))
        return encoding.to_pixels(after[None])[0]

    if kind_by_name(out) != "folder":
        with atomically(out) as temporary:
            encoding.write_image(temporary, cleaned(names[0]), out.suffix.lower())
        return pairs
    with folder_atomically(out) as folder:
        for name in names:
            encoding.write_images(folder, [name], [cleaned(name)])
    return pairs


def _cleaned(
    images: Images, marks: "dict[str, Mark]", name: str
) -> "tuple[np.ndarray, np.ndarray]":
    from diabolo.tasks.unmarking import remove

    before = images.read(name)
    return before, remove(before, marks[name]) if name in marks else before


def _around(image: "np.ndarray", mark: "Mark") -> "np.ndarray":
    """The part of an image that has the mark, in [0, 1]."""
    from diabolo.tasks.unmarking import unit

    (y, x), (height, width) = mark.corner, mark.alpha.shape
    return unit(image)[
        :,
        max(0, y - AROUND) : y + height + AROUND,
        max(0, x - AROUND) : x + width + AROUND,
    ]


def _write_mark(path: Path, mark: "Mark") -> None:
    """The mark as a picture: its colours, and its matte as transparency."""
    import numpy as np
    from PIL import Image

    from diabolo.data.files import atomically

    colour = np.broadcast_to(mark.colour, (3, *mark.alpha.shape))
    pixels = np.rint(255 * np.concatenate([colour, mark.matte[None]])).astype(np.uint8)
    with atomically(path) as temporary:
        Image.fromarray(pixels.transpose(1, 2, 0)).save(temporary, "PNG")


def _draw(path: Path, pairs: "Sequence[tuple[np.ndarray, np.ndarray]]") -> None:
    from diabolo import figures
    from diabolo.report import write_picture

    write_picture(path, lambda: figures.panels(["with the mark", "without it"], pairs))
