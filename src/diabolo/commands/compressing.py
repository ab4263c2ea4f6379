"""`diabolo compress` and `decompress`: images as one small file, and back."""

from collections.abc import Iterator, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from diabolo import shipped
from diabolo.arguments import Usage
from diabolo.commands import Force, Input, command, runs
from diabolo.data.files import atomically
from diabolo.data.samples import Samples, kind_by_name
from diabolo.errors import InputError, complete
from diabolo.progress import shares

if TYPE_CHECKING:
    import numpy as np

    from diabolo.codec.coder import Codec, Images
    from diabolo.codec.file import Header

CODEC = "a .safetensors file, a run folder, or a model that comes with diabolo, such as digits"


def _told(found: dict[str, Any]) -> None:
    """Print what a file takes, in a line."""
    print(
        f"{found['file']}: {found['bytes']:,} bytes for {found['images']:,}"
        f" image{'' if found['images'] == 1 else 's'},"
        f" {found['bits_per_value']:.4f} bits a value, all counted"
        f" (and once for all, the model: {found['model_bytes']:,} bytes)"
    )


@command("use", "diabolo compress digits mnist:test --out images.dia", show=_told)
def compress(
    model: Annotated[str | Path, Usage("MODEL"), CODEC],
    source: Input,
    out: Annotated[str | Path, Usage("--out FILE"), "where to, such as images.dia"],
    *,
    quality: Annotated[
        float | None,
        Usage("--quality N"),
        "of a model that loses some, as photo-codec: 1 to 5, also between two; default: 3",
    ] = None,
    bits_per_pixel: Annotated[
        float | None,
        Usage("--bits-per-pixel N"),
        "in place of a quality: the best that takes no more, of each image",
    ] = None,
    effort: Annotated[
        int,
        Usage("--effort N"),
        "steps that better the code of each image first, as 50; each takes a second a megapixel",
    ] = 0,
    force: Force = False,
) -> dict[str, Any]:
    """Write images as one small file that any machine can open.

    By a model that loses nothing an image is left out, and said, of which not all can be read.
    Returns the `file`, its `bytes`, how many `images` it has, the `bits_per_value` of the file on
    disk, and `model_bytes`, what the model takes beside it. Raises `InputError` for a mistake,
    and `IncompleteError` after the work if some files were bad.
    """
    from diabolo.data.sources import read_each

    path = runs.free_to_write(out, force=force)
    runs.check_apart(path, [source])
    codec = _codec(model, quality=quality, bits_per_pixel=bits_per_pixel, effort=effort)
    groups = read_each(source, whole=codec.lossless)
    failures = [*groups[0].failures]
    runs.tell(groups[0].told)
    good = _good(codec, groups, source, failures)
    with (
        atomically(path) as temporary,
        temporary.open("wb") as file,
        shares("compressing") as tell,
    ):
        codec.write(file, good, tell)
    size, values = path.stat().st_size, sum(images.array.size for images in good)
    found = {
        "file": str(path),
        "bytes": size,
        "images": sum(len(images.array) for images in good),
        "bits_per_value": 8 * size / values,
        "model_bytes": runs.model_file(model).stat().st_size,
    }
    return complete(found, failures)


@command("use", "diabolo decompress images.dia --out digits/")
def decompress(
    source: Annotated[str | Path, Usage("FILE"), "what compress wrote"],
    model: Annotated[str | Path | None, Usage("MODEL"), f"{CODEC}; default: by its name"] = None,
    *,
    out: Annotated[
        str | Path, Usage("--out PATH"), "where to: a folder, .npy, .png of one image, ..."
    ],
    force: Force = False,
) -> Path:
    """Give back the images of a file that compress wrote.

    In a folder they have the names that they had. Of a damaged file those before the damage are
    written, and `IncompleteError` is raised after it. Raises `InputError` for a mistake.
    """
    from diabolo.codec import file

    path = runs.free_for_result(out, str(source), force=force)
    try:
        with Path(source).open("rb") as opened:
            header, _ = file.read(opened, str(source))
            codec = _codec(model) if model is not None else _by_name(header, str(source))
            with shares("decompressing") as tell:
                failures = list[str]()
                images = _sound(codec.read(opened, str(source), tell), failures)
                _write(path, images)
    except OSError as error:
        raise InputError(f"{source} cannot be read: {error.strerror}.") from None
    return complete(path, failures)


def _codec(model: str | Path, **asked: Any) -> "Codec":
    from diabolo.codec.coder import Codec

    name = str(model) if shipped.find(model) else runs.model_file(model).stem
    return Codec(runs.load_model(model), name=name, **asked)


def _by_name(header: "Header", source: str) -> "Codec":
    """The codec of a model that comes with the package."""
    if header.model in shipped.names():
        return _codec(header.model)
    raise InputError(
        f"{source} was made by the model {header.model!r} with the hash {header.sha256:.12}, which"
        " does not come with diabolo: give its file as MODEL."
    )


def _good(
    codec: "Codec", groups: Sequence[Samples], source: str, failures: list[str]
) -> "list[Images]":
    """The images that the model takes; a sentence on each of the others is added."""
    from diabolo.codec.coder import Images

    found = list["Images"]()
    for group in groups:
        named = group.kind in ("image", "folder")
        try:
            codec.check(group.array)
        except InputError as error:
            if len(groups) == 1 and not failures:
                raise
            failures += [f"{name}: {error}" for name in group.names]
            continue
        found.append(Images(group.array, list(group.names) if named else None))
    if not found:
        raise InputError(f"{source} has no image that this model takes; {failures[0]}")
    return found


def _sound(images: "Iterator[Images]", failures: list[str]) -> "Iterator[Images]":
    """The images before a damage, a sentence on which is added; it must not be the first."""
    first = True
    try:
        for some in images:
            yield some
            first = False
    except InputError as error:
        if first:
            raise
        failures.append(f"{error} The images before are kept.")


def _write(path: Path, images: "Iterator[Images]") -> None:
    import numpy as np

    from diabolo.data import outputs

    if path.suffix == ".npy":
        outputs.write_npy(path, (some.array for some in images))
        return
    if kind_by_name(path) == "folder":
        outputs.write_folder(path, _named(images))
        return
    arrays, named = list[Any](), list[Samples]()
    for _, alike in groupby(_named(images), key=lambda part: part[0].shape[1:]):
        some, names = zip(*alike, strict=True)
        arrays.append(np.concatenate(some))
        named.append(Samples(arrays[-1][:0], [*chain(*names)], "npy"))
    outputs.write_each(path, arrays, named)


def _named(images: "Iterator[Images]") -> "Iterator[tuple[np.ndarray, Sequence[str]]]":
    """Images with their names, or numbers where they have none."""
    done = 0
    for array, names in images:
        yield array, names or [str(number) for number in range(done, done + len(array))]
        done += len(array)
