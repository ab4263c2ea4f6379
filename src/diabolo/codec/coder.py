"""Images <-> the file `.dia`, by whatever codec a model makes: `Codec(model)`."""

from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from itertools import groupby
from math import prod
from typing import Any, BinaryIO, NamedTuple, Protocol

import numpy as np

from diabolo.codec import file
from diabolo.codec.lossless import Lossless
from diabolo.codec.lossy import Lossy
from diabolo.errors import InputError
from diabolo.progress import Tell, untold, within

VALUES = 1 << 17  # in a chunk, unless one image has more
TOGETHER = 1 << 20  # that are decoded at once
LARGEST = 1 << 26  # of an image
TYPES = ("bool", "uint8")
RANKS = (1, 2, 3)  # axes of an image: a row, (H, W) or (C, H, W)


class Coder(Protocol):
    """What a model makes of images (N, C, H, W) of uint8."""

    name: str

    @property
    def sha256(self) -> str:
        """The hash of all that the bytes depend on."""

    def shape_of(self, values: int) -> tuple[int, int, int]:
        """(C, H, W) of images that are given as rows; `InputError` where it cannot be known."""

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raise `InputError` where images of a shape are none of the model's."""

    def encode(self, images: np.ndarray, tell: Tell) -> bytes:
        """The bytes of images of one shape; where that is slow, `tell` is told how far it is."""

    def decode(
        self,
        contents: Sequence[bytes],
        counts: Sequence[int],
        shape: tuple[int, int, int],
        tell: Tell,
    ) -> list[np.ndarray]:
        """The images of several chunks of one shape; `InputError` where one is wrong."""


class Images(NamedTuple):
    """Images (N, ...) of one shape, and their names where they have some."""

    array: np.ndarray
    names: Sequence[str] | None = None


CODERS = (Lossless, Lossy)


class Codec:
    """Compresses images by a fitted model, and gives them back.

    Without loss by a causal likelihood, `Autoencoder(likelihood="causal")`; with loss by a
    `Compressive` model, of a `quality` or of so many `bits_per_pixel`, with some `effort`, see
    `Lossy`; or by one that comes with the package. Raises `InputError` for others.
    """

    def __init__(
        self,
        model: Any,
        *,
        name: str = "",
        quality: float | None = None,
        bits_per_pixel: float | None = None,
        effort: int = 0,
    ) -> None:
        found = (kind.of(getattr(model, "model_", model)) for kind in CODERS)
        coder = next((one for one in found if one is not None), None)
        if coder is None:
            raise InputError(
                "This model is no codec: train one with likelihood='causal', or a Compressive one,"
                " or take digits, photo-lossless or photo-codec, which come with diabolo."
            )
        if isinstance(coder, Lossy):
            coder.ask(quality, bits_per_pixel, effort)
        elif (quality, bits_per_pixel, effort) != (None, None, 0):
            raise InputError(
                "This model loses nothing: leave out quality, bits_per_pixel and effort."
            )
        self.coder: Coder = coder
        self.name = name

    @property
    def lossless(self) -> bool:
        """Whether images come back as they were."""
        return isinstance(self.coder, Lossless)

    def compress(self, X: Any) -> bytes:
        """The file of images: (N, H, W), (N, C, H, W), or (N, D) of the model's own shape.

        Of type uint8 or bool; a list of such arrays may have images of several sizes.
        """
        groups = X if isinstance(X, list) else [X]
        made = BytesIO()
        self.write(made, [Images(np.asarray(group)) for group in groups])
        return made.getvalue()

    def decompress(self, content: bytes) -> Any:
        """The images of a file, as they were given; a list of arrays where sizes differ."""
        parts = [part.array for part in self.read(BytesIO(content))]
        alike = groupby(parts, key=lambda part: part.shape[1:])
        found = [np.concatenate([*some]) for _, some in alike]
        return found[0] if len(found) == 1 else found

    def write(
        self,
        to: BinaryIO,
        groups: Sequence[Images],
        tell: Tell = untold,
    ) -> None:
        """Write the file of groups of images, and `tell` of the share that is done."""
        shapes = [self._shape(group.array) for group in groups]
        types = sorted({str(group.array.dtype) for group in groups})
        for group in groups:
            self.check(group.array)
        if len(types) > 1:
            raise InputError(f"Images must be of one type, and not {' and '.join(types)}.")
        ranks = [group.array.ndim - 1 for group in groups]
        header = file.Header(
            self.coder.name,
            self.name,
            self.coder.sha256,
            sum(len(group.array) for group in groups),
            types[0],
            list(shapes[0]) if len({*shapes}) == 1 else None,
            {"rank": ranks[0]} if len({*ranks}) == 1 else {},
        )
        file.write(to, header, self._chunks(header, groups, tell))

    def _chunks(
        self, header: file.Header, groups: Sequence[Images], tell: Tell
    ) -> Iterator[file.Chunk]:
        done = 0
        for array, names in groups:
            shape = self._shape(array)
            size = max(1, VALUES // prod(shape))
            for start in range(0, len(array), size):
                some = np.ascontiguousarray(array[start : start + size]).astype(np.uint8)
                said: dict[str, Any] = {} if len(some) == size else {"n": len(some)}
                if header.shape is None:
                    said["shape"] = list(shape)
                if "rank" not in header.form:
                    said["rank"] = array.ndim - 1
                if names is not None:
                    said["names"] = list(names[start : start + size])
                told = within(tell, done, len(some), header.count)
                yield file.Chunk(said, self.coder.encode(some.reshape(-1, *shape), told))
                told(1)
                done += len(some)

    def check(self, array: np.ndarray) -> None:
        """Raise `InputError` where images (N, ...) cannot be compressed."""
        self._shape(array)
        if str(array.dtype) not in TYPES:
            raise InputError(
                f"Images must be of 8 bits or bool, and not {array.dtype}: reduce them to that."
            )

    def _shape(self, array: np.ndarray) -> tuple[int, int, int]:
        """(C, H, W) of images (N, ...)."""
        if array.ndim == 2:
            shape = self.coder.shape_of(array.shape[1])
        elif array.ndim in (3, 4):
            shape = (*(1,) * (4 - array.ndim), *array.shape[1:])
        else:
            raise InputError(
                f"Images are (N, H, W) or (N, C, H, W), but the shape is {array.shape}."
            )
        if not prod(array.shape):
            raise InputError("There are no images to compress.")
        self.coder.check(shape)
        return shape

    def read(
        self,
        of: BinaryIO,
        name: str = "This",
        tell: Tell = untold,
    ) -> Iterator[Images]:
        """The images of a file, chunk by chunk; those before a damage come before its error.

        Raises `InputError` where the file was made by another model.
        """
        header, chunks = file.read(of, name)
        if header.sha256 != self.coder.sha256:
            known = f"{header.model or 'a model'} with the hash {header.sha256:.12}"
            raise InputError(
                f"{name} was made by {known}, and this model has {self.coder.sha256:.12}: give"
                " that model."
            )
        done = 0
        for batch in self._batches(header, chunks, name):
            if isinstance(batch, InputError):
                raise batch
            count = sum(one.images for one in batch)
            told = within(tell, done, count, max(header.count, done + count))
            for images in self._decoded(header, batch, name, told):
                yield images
                done += len(images.array)
            told(1)
        if done != header.count:
            raise file.DamagedError(
                f"{name} is cut off: {done} of {header.count} images are there."
            )

    def _batches(
        self, header: file.Header, chunks: Iterator[file.Chunk], name: str
    ) -> Iterator["list[_Part] | InputError"]:
        """Chunks of one shape that are decoded at once; at the end what is wrong, if it is."""
        batch, error = list[_Part](), None
        try:
            for number, chunk in enumerate(chunks):
                part = self._part(header, chunk, number, name)
                size = sum(one.images for one in batch) * prod(part.shape)
                if batch and (batch[0].shape != part.shape or size >= TOGETHER):
                    yield batch
                    batch = []
                batch.append(part)
        except InputError as found:
            error = found
        if batch:
            yield batch
        if error is not None:
            yield error

    def _part(self, header: file.Header, chunk: file.Chunk, number: int, name: str) -> "_Part":
        said: dict[str, Any] = {"shape": header.shape, **header.form, **chunk.said}
        if not file.is_shape(said["shape"]) or prod(said["shape"]) > LARGEST:
            raise file.DamagedError(f"{name} is damaged: chunk {number + 1} has no valid shape.")
        c, h, w = said["shape"]
        usual = max(1, VALUES // (c * h * w))
        images, rank, names = said.get("n", usual), said.get("rank"), said.get("names")
        right = type(images) is int and 1 <= images <= usual and rank in RANKS
        right &= names is None or _are_names(names, images)
        if not right or header.dtype not in TYPES:
            raise file.DamagedError(f"{name} is damaged: chunk {number + 1} does not fit itself.")
        self.coder.check((c, h, w))
        return _Part(number, (c, h, w), images, int(rank or 0), names, chunk.content)

    def _decoded(
        self, header: file.Header, batch: "list[_Part]", name: str, tell: Tell
    ) -> Iterable[Images]:
        counts, shape = [part.images for part in batch], batch[0].shape
        try:
            found = self.coder.decode([part.content for part in batch], counts, shape, tell)
        except InputError as error:
            if len(batch) > 1:
                alone = (self._decoded(header, [part], name, untold) for part in batch)
                return (one for images in alone for one in images)
            raise file.DamagedError(
                f"{name} is damaged in chunk {batch[0].number + 1}: {error}"
            ) from None
        return [
            Images(_as_given(array, part.rank).astype(header.dtype), part.names)
            for array, part in zip(found, batch, strict=True)
        ]


class _Part(NamedTuple):
    """A chunk, whose numbers were checked."""

    number: int
    shape: tuple[int, int, int]
    images: int
    rank: int
    names: list[str] | None
    content: bytes


def _are_names(value: Any, count: int) -> bool:
    return isinstance(value, list) and len(value) == count and all(type(n) is str for n in value)


def _as_given(array: np.ndarray, rank: int) -> np.ndarray:
    """Images (N, C, H, W) with so many axes behind the first."""
    return array.reshape(len(array), *((-1,) if rank == 1 else array.shape[4 - rank :]))
