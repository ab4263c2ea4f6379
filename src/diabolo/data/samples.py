"""What was read from a source, and how a file's name tells what it is."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

    from diabolo.data.tables import Frame

Kind = Literal["image", "folder", "npy", "npz", "idx", "csv", "parquet", "arrow", "excel", "mnist"]
TABLES: tuple[Kind, ...] = ("csv", "parquet", "arrow", "excel")

IMAGE_SUFFIXES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".gif": "GIF",
    ".pgm": "PPM",
    ".ppm": "PPM",
}
_ARRAY_SUFFIXES: dict[str, Kind] = {
    ".npy": "npy",
    ".npz": "npz",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".xlsx": "excel",
}


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples in their stored dtype, with what is needed to write results in the same form.

    `array` is (N, D), (N, H, W) or (N, C, H, W). `names` has one name a sample: the path relative
    to the folder, with slashes, for images; the index in the source, "0", "1", ..., for the rest.
    `labels` is (N,) where the source has them, `columns` the header of a table. `failures` has
    one sentence for each file of a folder that could not be read. `noisy` is like `array`, row by
    row, where the samples are the clean ones of pairs. `frame` is the table that they come from:
    `array` is its DataFrame where it has more than numbers that are all there.
    """

    array: Any
    names: list[str]
    kind: Kind
    labels: "np.ndarray | None" = None
    columns: list[str] | None = None
    failures: list[str] = field(default_factory=list)
    noisy: "np.ndarray | None" = None
    frame: "Frame | None" = None

    @property
    def notes(self) -> list[str]:
        """A sentence on each thing that was recognised in a table."""
        return [] if self.frame is None else self.frame.notes


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
