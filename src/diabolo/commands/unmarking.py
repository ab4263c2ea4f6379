"""`diabolo unmark`: a watermark that photographs share found from them, and taken away."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from diabolo.arguments import Usage
from diabolo.commands import Force, Told, command, runs
from diabolo.commands.photographs import image_files
from diabolo.data.files import atomically, folder_atomically
from diabolo.data.samples import kind_by_name
from diabolo.errors import InputError, complete
from diabolo.progress import shares

if TYPE_CHECKING:
    import numpy as np

    from diabolo.data.photofile import Photograph
    from diabolo.tasks.unmarking import Mark

SHOWN, AROUND = 3, 24  # images in the picture of before and after, pixels around the mark there
Names = dict[str, str]  # a sentence on each


@command("use", "diabolo unmark photos/ --out clean/")
def unmark(
    source: Annotated[
        str, Usage("PHOTOS"), "a folder of 20 or more images of one size with one mark"
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
) -> Told:
    """Take a watermark away that photographs share, or whose own picture is given.

    Without `mark` it is estimated, with its opacity, from 20 or more images of one size that have
    it at one place, and written beside `out` as a picture with transparency. Images that do not
    have it are written as they are, and told. Depth, transparency and profile stay. Returns its
    lines and the paths. Raises `InputError` for a mistake, before anything is written, and
    `IncompleteError` after the work if some files could not be used.
    """
    out = runs.free_for_result(out, source, force=force)
    shown, picture = (
        runs.free_to_write(out.with_name(f"{out.name}-{what}.png"), force=force)
        for what in ("comparison", "mark")
    )
    files = image_files(source, out)
    if files is None:
        raise InputError(f"{source} is no image and no folder of images: give one of these.")
    sources = {name: files.folder / name for name in files.names}
    marks, failures = _shared(sources) if mark is None else _located(sources, Path(mark))
    names = [name for name in sources if name not in failures]
    runs.tell([f"{name} does not have the mark." for name in names if name not in marks])
    said, written = list[str | Path](), [out, shown]
    one = next(iter(marks.values()))
    if mark is None:
        said = [f"{_described(one)}; {len(marks)} of {len(names)} images share it."]
        written = [picture, *written]
    elif len(names) == 1:
        said = [f"{_described(one)}."]
    pairs = _written(out, files.folder, names, marks)
    if mark is None:
        _write_mark(picture, one)
    _draw(shown, pairs)
    numbers = {name: _numbers(found) for name, found in marks.items()}
    told = Told([*said, *written], marks=numbers, files=[*map(str, written)])
    return complete(told, [*files.failures, *failures.values()])


def _shared(sources: dict[str, Path]) -> "tuple[dict[str, Mark], Names]":
    """The mark that images of the usual size share, by name; a sentence on each of another."""
    import numpy as np

    from diabolo.data.mapped import room_for
    from diabolo.tasks import unmarking

    kinds, failures = _kinds(sources)
    (shape, dtype), count = Counter(kinds.values()).most_common(1)[0]
    size = f"{shape[2]}x{shape[1]} (width x height)"
    if count < unmarking.LEAST <= len(kinds):
        raise InputError(
            f"The images differ in size or kind: of {len(kinds)} at most {count} are alike,"
            f" {size}, and a mark is estimated from {unmarking.LEAST} or more. Give more of one"
            " size, or the mark's own file with --mark."
        )
    odd = [name for name, kind in kinds.items() if kind != (shape, dtype)]
    failures |= {name: f"{name} is not as most images are, {size}" for name in odd}
    stack = room_for(count * math.prod(shape), np.dtype(dtype)).reshape(count, *shape)
    names = [name for name in kinds if name not in failures]
    for place, name in zip(stack, names, strict=True):
        place[:] = _pixels(sources[name], name)
    mark, sharing = unmarking.estimate(stack)
    return {name: mark for name, has in zip(names, sharing, strict=True) if has}, failures


def _kinds(sources: dict[str, Path]) -> "tuple[dict[str, tuple[tuple[int, ...], str]], Names]":
    """Shape (C, H, W) and type of each image; a sentence on each that cannot be used."""
    kinds, failures = dict[str, tuple[tuple[int, ...], str]](), Names()
    with shares("reading") as tell:
        for number, (name, path) in enumerate(sources.items(), 1):
            try:
                pixels = _pixels(path, name)
                kinds[name] = pixels.shape, pixels.dtype.name
            except InputError as error:
                failures[name] = str(error)
            tell(number / len(sources))
    if not kinds:
        raise InputError(next(iter(failures.values())))
    return kinds, failures


def _pixels(path: Path, name: str) -> "np.ndarray":
    """The pixels of an image file, (C, H, W) of 8 or 16 bits."""
    from diabolo.data.photofile import read_photograph

    return _planes(read_photograph(path, name), name)


def _planes(photograph: "Photograph", name: str) -> "np.ndarray":
    pixels = photograph.pixels
    if pixels.dtype.kind != "u":
        raise InputError(f"{name} has float pixels: convert it to 8 or 16 bits.")
    return pixels.reshape(-1, *pixels.shape[-2:])


def _located(sources: dict[str, Path], path: Path) -> "tuple[dict[str, Mark], Names]":
    """The mark of a file in each image, by name; a sentence on each that is not to be used."""
    import numpy as np

    from diabolo.data.decoding import read_mark
    from diabolo.tasks import unmarking

    pixels = np.atleast_3d(read_mark(path)).transpose(2, 0, 1).astype(np.float32) / 255
    matte = pixels[-1]
    if not matte.any():
        raise InputError(f"The mark {path} has nothing to be seen: give another.")
    colour = pixels[:3] if len(pixels) == 4 else np.ones((3, *matte.shape), np.float32)
    marks, failures = dict[str, unmarking.Mark](), Names()
    for name, file in sources.items():
        try:
            marks[name] = unmarking.locate(_pixels(file, name), matte, colour)
        except InputError as error:
            failures[name] = f"{name}: {error}"
    if not marks:
        raise InputError(next(iter(failures.values())))
    return marks, failures


def _numbers(mark: "Mark") -> dict[str, float]:
    """Where a mark is, in pixels, and how opaque."""
    (top, left), (height, width) = mark.corner, mark.alpha.shape
    place = {"width": width, "height": height, "left": int(left), "top": int(top)}
    return {**place, "opacity": float(mark.opacity)}


def _described(mark: "Mark") -> str:
    words = "The mark is {width} x {height} pixels, {left} from the left and {top} from the top"
    return f"{words}, of opacity {{opacity:.2f}}".format(**_numbers(mark))


def _written(
    out: Path, folder: Path, names: Sequence[str], marks: "dict[str, Mark]"
) -> "list[tuple[np.ndarray, np.ndarray]]":
    """Write each image without its mark; the first of them around it, before and after."""
    from diabolo.data.photofile import names_for

    if kind_by_name(out) == "image":
        return [_one(folder / names[0], out, marks[names[0]])]
    pairs = list[tuple["np.ndarray", "np.ndarray"]]()
    targets, _ = names_for(folder, names)
    with folder_atomically(out) as room, shares("writing") as tell:
        for number, (name, target) in enumerate(zip(names, targets, strict=True), 1):
            (room / target).parent.mkdir(parents=True, exist_ok=True)
            pair = _one(folder / name, room / target, marks.get(name))
            if name in marks and len(pairs) < SHOWN:
                pairs.append(pair)
            tell(number / len(names))
    return pairs


def _one(path: Path, target: Path, mark: "Mark | None") -> "tuple[np.ndarray, np.ndarray]":
    """Write one image without its mark; the part with it before and after, in [0, 1]."""
    from diabolo.data.photofile import read_photograph, write_photograph
    from diabolo.tasks.unmarking import remove

    photograph = read_photograph(path, path.name)
    before = _planes(photograph, path.name)
    after = before if mark is None else remove(before, mark)
    pixels = after.reshape(photograph.pixels.shape)
    write_photograph(target, replace(photograph, pixels=pixels))
    return _around(before, mark), _around(after, mark)


def _around(image: "np.ndarray", mark: "Mark | None") -> "np.ndarray":
    """The part of an image that has the mark, in [0, 1]."""
    from diabolo.tasks.unmarking import unit

    if mark is None:
        return unit(image)
    (y, x), (height, width) = mark.corner, mark.alpha.shape
    top, left = max(0, y - AROUND), max(0, x - AROUND)
    return unit(image[:, top : y + height + AROUND, left : x + width + AROUND])


def _write_mark(path: Path, mark: "Mark") -> None:
    """The mark as a picture: its colours, and its matte as transparency."""
    import numpy as np
    from PIL import Image

    colour = np.broadcast_to(mark.colour, (3, *mark.alpha.shape))
    pixels = np.rint(255 * np.concatenate([colour, mark.matte[None]])).astype(np.uint8)
    with atomically(path) as temporary:
        Image.fromarray(pixels.transpose(1, 2, 0)).save(temporary, "PNG")


def _draw(path: Path, pairs: "Sequence[tuple[np.ndarray, np.ndarray]]") -> None:
    from diabolo import figures
    from diabolo.report import write_picture

    write_picture(path, lambda: figures.panels(["with the mark", "without it"], pairs))
