"""What was read from a source, and how a file's name tells what it is."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from diabolo.names import is_frame

if TYPE_CHECKING:
    import numpy as np

    from diabolo.data.series import Windows
    from diabolo.data.tables import Frame

Kind = Literal[
    "image",
    "folder",
    "npy",
    "npz",
    "hdf5",
    "zarr",
    "idx",
    "csv",
    "parquet",
    "arrow",
    "excel",
    "mnist",
    "wav",
]
TABLES: tuple[Kind, ...] = ("csv", "parquet", "arrow", "excel")

IMAGE_SUFFIXES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".gif": "GIF",
    ".pgm": "PPM",
    ".ppm": "PPM",
    ".pbm": "PPM",
    ".pnm": "PPM",
    ".apng": "PNG",
    ".avif": "AVIF",
    ".jp2": "JPEG2000",
    ".ico": "ICO",
}
# Images that cannot be read: drawings, and what needs a library of its own.
OTHER_IMAGES = {
    *(".svg", ".svgz", ".heic", ".heif", ".jxl", ".psd", ".xcf"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"),
}
_ARRAY_SUFFIXES: dict[str, Kind] = {
    ".npy": "npy",
    ".npz": "npz",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".zarr": "zarr",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".xlsx": "excel",
    ".wav": "wav",
}


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples in their stored dtype, with what is needed to write results in the same form.

    `array` is (N, D), (N, H, W) or (N, C, H, W). `names` has one name a sample: the path relative
    to the folder, with slashes, for images; the index in the source, "0", "1", ..., for the rest.
    `labels` is (N,) where the source has them, `columns` the header of a table. `failures` has
    one sentence for each file of a folder that could not be read, `told` what was done to others
    that the user did not ask for. `noisy` is like `array`, row by row, where the samples are the
    clean ones of pairs. `frame` is the table that they come from: `array` is its DataFrame where
    it has more than numbers that are all there. `framing` has the size and the fit with which
    images were brought to one size, as the data options of these names. `window` (N, 4) is where
    pieces of larger images lie, as in a `Batch`; a `Source` as the `array` has that for itself.
    Of one long `series` the samples are its windows, and `frame` has a row for each time step.
    """

    array: Any
    names: Sequence[str]
    kind: Kind
    labels: "np.ndarray | None" = None
    columns: list[str] | None = None
    failures: list[str] = field(default_factory=list)
    noisy: "np.ndarray | None" = None
    frame: "Frame | None" = None
    told: list[str] = field(default_factory=list)
    framing: dict[str, Any] = field(default_factory=dict)
    window: "np.ndarray | None" = None
    series: "Windows | None" = None

    def both_ways(self) -> "Samples":
        """Of pairs of noisy samples those, and the same the other way round.

        What learns the one from the other learns the mean of all shots, the clean sample (J.
        Lehtinen et al., "Noise2Noise", 2018, section 2).
        """
        import numpy as np

        if not isinstance(self.array, np.ndarray):
            return replace(self, array=self.array.both_ways())
        assert self.noisy is not None
        array, noisy = (
            np.concatenate(pair) for pair in ((self.array, self.noisy), (self.noisy, self.array))
        )
        labels = None if self.labels is None else np.tile(self.labels, 2)
        return replace(
            self, array=array, noisy=noisy, names=[*self.names, *self.names], labels=labels
        )

    def rows(self, index: "np.ndarray | slice") -> "Samples":
        """The samples of an index or a slice."""
        series, frame = self.series, self.frame
        return replace(
            self,
            array=self.array.iloc[index] if is_frame(self.array) else self.array[index],
            names=self._names(index),
            labels=None if self.labels is None else self.labels[index],
            noisy=None if self.noisy is None else self.noisy[index],
            frame=frame if frame is None or series is not None else frame.rows(index),
            series=None if series is None else series.only(index),
        )

    def _names(self, index: "np.ndarray | slice") -> "Sequence[str]":
        import numpy as np

        if isinstance(self.names, Numbers) and (isinstance(index, slice) or self.on_disk):
            if isinstance(index, slice):
                return Numbers(len(range(len(self.names))[index]))
            return Numbers(len(index))
        return [self.names[i] for i in np.arange(len(self.names))[index]]

    @property
    def on_disk(self) -> bool:
        """Whether the samples are not in memory; see `diabolo.data.mapped`."""
        return not is_frame(self.array) and hasattr(self.array, "blocks")

    @property
    def notes(self) -> list[str]:
        """A sentence on each thing that was recognised in a table, or done to images."""
        return self.told + ([] if self.frame is None else self.frame.notes)


class Numbers(Sequence[str]):
    """The names "0", "1", ... of so many samples, none of which is kept."""

    def __init__(self, count: int) -> None:
        self.all = range(count)

    def __len__(self) -> int:
        return len(self.all)

    def __getitem__(self, index: Any) -> Any:
        found = self.all[index]
        return str(found) if isinstance(found, int) else [str(number) for number in found]


def channels_last(shape: tuple[int, ...]) -> bool:
    """Whether samples are clearly (H, W, C), with which rows would be taken for channels."""
    return len(shape) == 3 and shape[2] in (1, 3, 4) and min(shape[:2]) > 4


def kind_by_name(path: Path) -> Kind | None:
    """The kind of file that `path` names, "folder" for no suffix, None for an unknown one."""
    suffix, name = path.suffix.lower(), path.name.lower()
    if suffix in IMAGE_SUFFIXES:
        return "image"
    if suffix in _ARRAY_SUFFIXES:
        return _ARRAY_SUFFIXES[suffix]
    if "idx" in name or name.endswith((".gz", "ubyte")):
        return "idx"
    return None if suffix else "folder"
