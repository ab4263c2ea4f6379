"""Data that come with packages, as a new user would give them, and tables of a folder.

Pictures, signals and tables of scikit-learn, scikit-image, PyWavelets and matplotlib, the digits
of this library, the icons of a Debian theme where they are installed, and every .npz with `X` in
a folder, such as ADBench's (S. Han et al., "ADBench: Anomaly Detection Benchmark", 2022). Nothing
is downloaded, and values stay as they are stored.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
import pywt
import skimage
from PIL import Image, ImageDraw, ImageFont
from sklearn import datasets

from diabolo.data import load_mnist
from diabolo.params import named

ICONS = Path("/usr/share/icons/Adwaita")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
FACES = "DejaVuS*.ttf", "STIXGeneral*.ttf", "cm[br]*.ttf", "cmss*.ttf", "cmt*.ttf"
Given = tuple[np.ndarray, np.ndarray | None]  # samples, and what they are


@dataclass(frozen=True)
class DataSet:
    """Samples (N, ...) and, where they have some, their labels (N,)."""

    name: str
    X: np.ndarray
    y: np.ndarray | None = None

    @property
    def image(self) -> bool:
        """Whether samples are (H, W) or (C, H, W), not rows of a table."""
        return self.X.ndim > 2

    @property
    def unit(self) -> float:
        """What errors are measured in: of images the peak, or the range where it is unknown."""
        if not self.image:
            return 1.0
        if self.X.dtype == np.uint8:
            return 255.0
        low, high = float(self.X.min()), float(self.X.max())
        return 1.0 if low >= 0 and high <= 1 else high - low

    def flat(self, values: np.ndarray) -> np.ndarray:
        """Rows (N, D) of samples like X, in `unit`."""
        rows = values.reshape(len(values), -1)
        return rows.astype(np.float32 if self.image else np.float64) / self.unit


# ---- pictures


def digits8() -> Given:
    """scikit-learn's 1,797 digits of 8 x 8 pixels, from 0 to 16."""
    found = datasets.load_digits()
    return found.images, found.target


def mnist() -> Given:
    """The first 5,000 of MNIST's digits, 28 x 28."""
    x, y = load_mnist()[0]
    return x[:5000], y[:5000]


def faces() -> Given:
    """100 faces and 100 pieces of photographs without one, 25 x 25, from 0 to 1."""
    x = np.load(_scikit_image() / "lfw_subset.npy")
    return x, np.repeat([1, 0], 100)


def icons32() -> Given:
    """The icons of a theme, 32 x 32, on white, by the folder that they are in."""
    return _icons(32)


def icons64() -> Given:
    """The icons of a theme, 64 x 64, on white, by the folder that they are in."""
    return _icons(64)


def glyphs() -> Given:
    """Latin letters and digits of the fonts that matplotlib brings, 32 x 32."""
    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    paths = sorted(path for pattern in FACES for path in folder.glob(pattern))
    fonts = [ImageFont.truetype(str(path), 24) for path in paths if "Display" not in path.stem]
    x = np.stack([_drawn(letter, font) for font in fonts for letter in LETTERS])
    return x, np.tile(np.arange(len(LETTERS)), len(fonts))


def textures() -> Given:
    """Patches of brick, grass and gravel, 16 x 16."""
    return _patches(16, [_scikit_image() / f"{name}.png" for name in ("brick", "grass", "gravel")])


def patches16() -> Given:
    """Colour patches of an astronaut, a cup of coffee and a cat, 16 x 16."""
    names = "astronaut.png", "coffee.png", "chelsea.png"
    return _patches(16, [_scikit_image() / name for name in names])


def patches48() -> Given:
    """Colour patches of six photographs, 48 x 48."""
    names = "astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg"
    own = Path(datasets.__file__).parent / "images"
    paths = [_scikit_image() / name for name in names]
    return _patches(48, [*paths, own / "china.jpg", own / "flower.jpg"])[0], None


def terrain() -> Given:
    """Patches of a map of elevations, metres in int16, 16 x 16."""
    return _cut(_sample("jacksboro_fault_dem.npz", "elevation")[..., np.newaxis], 16), None


def _scikit_image() -> Path:
    return Path(skimage.__file__).parent / "data"


def _sample(name: str, key: str) -> np.ndarray:
    return np.load(Path(matplotlib.get_data_path(), "sample_data", name))[key]


def _icons(size: int) -> Given:
    paths = sorted((ICONS / f"{size}x{size}").glob("*/*.png"))
    if not paths:
        raise FileNotFoundError(f"There are no icons of {size} pixels in {ICONS}.")
    opened = [Image.open(path).convert("RGBA") for path in paths]
    white = Image.new("RGBA", (size, size), "white")
    kept = [i for i, image in enumerate(opened) if image.size == (size, size)]
    drawn = [np.asarray(Image.alpha_composite(white, opened[i]).convert("RGB")) for i in kept]
    folders = np.array([paths[i].parent.name for i in kept])
    return np.stack(drawn).transpose(0, 3, 1, 2), folders


def _drawn(letter: str, font: ImageFont.FreeTypeFont) -> np.ndarray:
    image = Image.new("L", (32, 32))
    ImageDraw.Draw(image).text((16, 16), letter, fill=255, font=font, anchor="mm")
    return np.asarray(image)


def _patches(size: int, paths: list[Path]) -> Given:
    """Pieces side by side of pictures, and which picture each is of."""
    pieces = [_cut(_pixels(path), size) for path in paths]
    return np.concatenate(pieces), np.repeat(np.arange(len(pieces)), [len(p) for p in pieces])


def _pixels(path: Path) -> np.ndarray:
    """(H, W, C)."""
    pixels = np.asarray(Image.open(path))
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def _cut(picture: np.ndarray, size: int) -> np.ndarray:
    """(N, C, size, size) of (H, W, C), side by side; (N, size, size) of one channel."""
    rows, columns = picture.shape[0] // size, picture.shape[1] // size
    channels = picture.shape[2]
    whole = picture[: rows * size, : columns * size]
    pieces = whole.reshape(rows, size, columns, size, channels).transpose(0, 2, 4, 1, 3)
    shape = (-1, size, size) if channels == 1 else (-1, channels, size, size)
    return pieces.reshape(shape)


# ---- tables and signals


def breast_cancer() -> Given:
    """Measurements of 569 tumours."""
    return datasets.load_breast_cancer(return_X_y=True)


def wine() -> Given:
    """Chemical analyses of 178 wines."""
    return datasets.load_wine(return_X_y=True)


def iris() -> Given:
    """Lengths and widths of 150 flowers."""
    return datasets.load_iris(return_X_y=True)


def diabetes() -> Given:
    """Ten measurements of 442 patients."""
    return datasets.load_diabetes(return_X_y=True, scaled=False)[0], None


def linnerud() -> Given:
    """Exercises and bodies of 20 men."""
    return np.hstack(datasets.load_linnerud(return_X_y=True)), None


def membrane() -> Given:
    """187 windows of 64 values of a membrane's potential."""
    path = Path(matplotlib.get_data_path(), "sample_data", "membrane.dat")
    return _windows(np.fromfile(path, np.float32), 64, 64), None


def eeg() -> Given:
    """100 windows of 32 values of four channels of an electroencephalogram."""
    path = Path(matplotlib.get_data_path(), "sample_data", "eeg.dat")
    channels = np.fromfile(path, np.float64).reshape(800, 4).T
    return np.concatenate([_windows(channel, 32, 32) for channel in channels]), None


def ecg() -> Given:
    """249 windows of 32 values of an electrocardiogram, every 4 values, so that they overlap."""
    return _windows(np.asarray(pywt.data.ecg()), 32, 4), None


def _windows(signal: np.ndarray, width: int, step: int) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(signal, width)[::step].copy()


# ---- all of them

PICTURES = (digits8, mnist, faces, icons32, icons64)
PICTURES += (glyphs, textures, patches16, patches48, terrain)
TABLES = (breast_cancer, wine, iris, diabetes, linnerud, membrane, eeg, ecg)


def names(folder: Path | None) -> dict[str, Callable[[], Given]]:
    """How to load each set, by name; `folder` has more tables."""
    found = {load.__name__: load for load in PICTURES + TABLES}
    return found | {
        name: lambda path=path: (np.load(path)["X"], None) for name, path in tables(folder).items()
    }


def tables(folder: Path | None) -> dict[str, Path]:
    """The .npz of a folder, by their names without a number."""
    paths = sorted(folder.glob("*.npz")) if folder else []
    return {path.stem.split("_", 1)[-1].lower(): path for path in paths}


@cache
def read(name: str, folder: Path | None = None) -> DataSet:
    """The set of that name."""
    return DataSet(name, *named("set", name, names(folder))())


def normal(name: str, folder: Path | None = None) -> DataSet:
    """Of a table the rows that are not odd: the benign tumours, or those where `y` is 0."""
    if name == "breast_cancer":
        x, y = breast_cancer()
        return DataSet(name, x[y == 1])
    found = np.load(named("table", name, tables(folder)))
    return DataSet(name, found["X"][found["y"] == 0])


def halves(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of n rows train, and which test."""
    order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[: (n + 1) // 2]), np.sort(order[(n + 1) // 2 :])


def every(wanted: list[str] | None, folder: Path | None = None) -> Iterator[DataSet]:
    """Those that are wanted, or all; sets that are not on this machine are named and left out."""
    for name in wanted or names(folder):
        try:
            yield read(name, folder)
        except FileNotFoundError as error:
            print(f"{name} left out: {error}", flush=True)
