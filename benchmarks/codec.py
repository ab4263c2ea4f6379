"""Images without loss: bits a value of files.

    python -m benchmarks.codec [--limit N] [--json FOLDER]
    python -m benchmarks.codec --images [--json FOLDER]
    python -m benchmarks.codec --binarised MODEL [--json FOLDER]
    python -m benchmarks.codec --code [--json FOLDER]

With --images: photographs of scikit-image and scikit-learn by `photo-lossless`, and digits of
8 x 8, all in one file, by a model trained on others. Beside them PNG, WebP and JPEG XL, which see
the digits as one sheet. With --binarised: test digits of 0 and 1 by a model of such, which
`benchmarks.train_digits --binarised` trained. With --code: whether a code beside the pixels pays,
by small models trained alike: without one; with one whose bits are got back (J. Townsend, T. Bird,
D. Barber, "Practical Lossless Compression with Latent Variables Using Bits Back Coding", 2019),
where the bits are a VAE's bound; and with one of whole numbers that the file holds.

Without: raw MNIST, bits a pixel of the 10,000 test digits.

Ours is the file on disk, all counted, read back and compared. Beside it: gzip and lzma, 100
digits a stream or all in one; a table of counts given 8 neighbours that were coded before, each
as 0, dark or bright, backed by the tables of 4 and of none, learnt while coding, 100 digits at a
time, or from the training images; and published figures: Bit-Swap with its initial bits (F. H.
Kingma et al., 2019), and Residual Flow, a bound and no codec (R. T. Q. Chen et al., 2019).
"""

import argparse
import gzip
import lzma
import math
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import skimage
from PIL import Image
from sklearn.datasets import load_digits

from benchmarks.lossy import photographs
from benchmarks.table import Table
from benchmarks.train_digits import binarised
from diabolo import VAE, Autoencoder, Codec, Compressive, data, load, shipped
from diabolo.codec import entropy
from diabolo.codec.coder import Images
from diabolo.likelihood.causal import Causal
from diabolo.tasks.evaluation import evaluate

PUBLISHED = {
    "Bit-Swap, with initial bits (published)": 1.291,
    "Residual Flow, a bound and no codec (published)": 0.97,
}
FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "PNG": ("PNG", {"optimize": True}),
    "WebP": ("WEBP", {"lossless": True, "quality": 100, "method": 6}),
    "JPEG XL": ("JXL", {"lossless": True, "effort": 9}),
}
HELD = 360  # of the 8 x 8 digits
SMALL: dict[str, Any] = {
    "latent_dim": 8,
    "hidden": (),
    "scaling": "unit",
    "likelihood": Causal(units=96, layers=2, hidden=64, reach=4),
    "epochs": 60,
    "batch_size": 16,
    "learning_rate": 2e-3,
    "random_state": 0,
    "device": "cpu",
}
CODED: dict[str, tuple[Any, dict[str, Any]]] = {
    "no code": (Autoencoder, {"hidden": ()}),
    "a code whose bits are got back": (VAE, {}),
    "a code in the file": (Compressive, {"rate_weight": 1.0, "qualities": 1}),
}
LEARNT, JUDGED = 15_000, 1000  # digits of the training set, the first and the last
BESIDE: dict[str, Any] = {
    "latent_dim": 16,
    "hidden": (256,),
    "activation": "relu",
    "scaling": "unit",
    "epochs": 4,
    "batch_size": 32,
    "learning_rate": 2e-3,
    "schedule": "cosine",
    "validation_fraction": 0.0,
    "early_stopping": None,
    "linear": False,
    "random_state": 0,
    "device": "cpu",
}
NEAR = ((0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, 2), (-1, -2))
ORDERS = (0, 4, 8)  # neighbours that a table knows
BACKED = 8.0  # counts that the smaller table is worth
TOGETHER = 100  # digits in a stream


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--limit", type=int, default=10_000)
    arguments.add_argument("--images", action="store_true")
    arguments.add_argument("--binarised", type=Path, metavar="MODEL")
    arguments.add_argument("--code", action="store_true")
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    if given.images:
        return beside(given.json)
    if given.code:
        return with_codes(given.json)
    test = np.array(data.read("mnist:test").array)[: given.limit]
    if given.binarised:
        return of_two_values(binarised(test), given.binarised, given.json)
    train = np.array(data.read("mnist:train").array)
    table = Table("lossless", (f"{len(test):,} test digits", "bits a pixel"), given.json)
    for name, found in (baselines(train, test) | ours(test)).items():
        table.row(name, f"{found:.3f}" if isinstance(found, float) else found)
    return None


def of_two_values(test: np.ndarray, path: Path, folder: Path | None) -> None:
    """The table of binarised digits; others are given 8 of them in a byte."""
    table = Table("lossless-binarised", ("binarised test digits", "bits a pixel"), folder)
    packed, codec = np.packbits(test).tobytes(), Codec(load(path, device="cpu"))
    content = codec.compress(test)
    assert np.array_equal(codec.decompress(content), test)
    for name, made in (
        ("gzip", gzip.compress(packed, 9)),
        ("lzma", lzma.compress(packed, preset=9)),
    ):
        table.row(f"{name}, one stream", f"{bits([made], test):.4f}")
    table.row(f"ours, model of {path.stat().st_size:,} bytes", f"{bits([content], test):.4f}")


def with_codes(folder: Path | None) -> None:
    """The table of models with and without a code."""
    digits = np.array(data.read("mnist:train").array)
    train, held = digits[:LEARNT], digits[-JUDGED:]
    table = Table("lossless-code", ("held-out digits", "bits a pixel", "of the code"), folder)
    for name, (kind, more) in CODED.items():
        law = Causal(units=64, layers=1, hidden=64, reach=4, told=kind is not Autoencoder)
        model = kind(**BESIDE | more, likelihood=law).fit(train)
        found = evaluate(model, held)["test"]
        code = found.get("kl", found.get("rate", 0.0))
        in_bits = held[0].size * math.log(2)
        table.row(name, f"{(found['nll'] + code) / in_bits:.4f}", f"{code / in_bits:.4f}")


def beside(folder: Path | None) -> None:
    """The table of images of other kinds than MNIST's."""
    import pillow_jxl  # noqa: F401 - a plugin of Pillow

    table = Table("lossless-images", ("bits a value", *FORMATS, "ours"), folder)
    codec, rows = Codec(load("photo-lossless", device="cpu")), list[list[float]]()
    for name, photo in (photographs(None) | {"camera, gray": skimage.data.camera()}).items():
        images = np.atleast_3d(photo).transpose(2, 0, 1)[None]
        content = codec.compress(images)
        assert np.array_equal(codec.decompress(content), images)
        rows.append([*by_pillow(photo), bits([content], photo)])
        table.row(name, *(f"{one:.3f}" for one in rows[-1]))
    table.row("mean", *(f"{one:.3f}" for one in np.mean(rows, 0)))
    digits = load_digits().images.astype(np.uint8)
    train, test = digits[:-HELD], digits[-HELD:]
    content = Codec(Autoencoder(**SMALL).fit(train)).compress(test)
    sheet = test.reshape(-1, 20, 8, 8).transpose(0, 2, 1, 3).reshape(-1, 160)
    found = [*by_pillow(sheet), bits([content], test)]
    table.row(f"{HELD} digits of 8 x 8", *(f"{one:.3f}" for one in found))


def by_pillow(pixels: np.ndarray) -> Iterator[float]:
    """Bits a value in each of `FORMATS`."""
    for kind, options in FORMATS.values():
        file = BytesIO()
        Image.fromarray(pixels).save(file, kind, **options)
        yield bits([file.getvalue()], pixels)


def baselines(train: np.ndarray, test: np.ndarray) -> dict[str, Any]:
    streams = [some.tobytes() for some in np.split(test, range(TOGETHER, len(test), TOGETHER))]
    packers: dict[str, Callable[[bytes], bytes]] = {
        "gzip": lambda x: gzip.compress(x, 9),
        "lzma": lambda x: lzma.compress(x, preset=9 | lzma.PRESET_EXTREME),
    }
    found: dict[str, Any] = {}
    for name, pack in packers.items():
        found[f"{name}, {TOGETHER} a stream"] = bits([pack(some) for some in streams], test)
        found[f"{name}, one stream"] = bits([pack(test.tobytes())], test)
    adaptive = Counts()
    parts = np.split(test, range(TOGETHER, len(test), TOGETHER))
    found["counts of 8 causal neighbours, adaptive"] = (
        sum(adaptive.bits(some) for some in parts) / test.size
    )
    trained = Counts()
    for some in np.split(train, 60):
        trained.learn(some)
    found["the same, trained on the 60,000"] = (
        sum(trained.bits(some, learn=False) for some in parts) / test.size
    )
    return found | PUBLISHED


def bits(packed: list[bytes], images: np.ndarray) -> float:
    return 8 * sum(map(len, packed)) / images.size


class Counts:
    """How often each value came in each context, of several orders."""

    def __init__(self) -> None:
        self.tables = [np.zeros((3**order, 256), np.float64) for order in ORDERS]

    def learn(self, images: np.ndarray) -> None:
        values = images.ravel().astype(np.int64)
        for table, context in zip(self.tables, contexts(images), strict=True):
            found = np.bincount(context * 256 + values, minlength=table.size)
            np.add(table, found.reshape(table.shape), out=table)

    def bits(self, images: np.ndarray, *, learn: bool = True) -> float:
        """What images would take; then they are learnt from."""
        values, p = images.ravel(), np.full(images.size, 1 / 256)
        for table, context in zip(self.tables, contexts(images), strict=True):
            seen = table.sum(1)[context]
            p = (table[context, values] + BACKED * p) / (seen + BACKED)
        if learn:
            self.learn(images)
        return float(-np.log2(p).sum())


def contexts(images: np.ndarray) -> list[np.ndarray]:
    """The context of each pixel, a number for each order."""
    level = np.digitize(images, (1, 128))
    n, h, w = images.shape
    padded = np.pad(level, ((0, 0), (2, 0), (2, 2)))
    near = [padded[:, 2 + y : 2 + y + h, 2 + x : 2 + x + w].ravel() for y, x in NEAR]
    zero = np.zeros(n * h * w, np.int64)
    return [sum((near[k] * 3**k for k in range(order)), zero) for order in ORDERS]


def ours(test: np.ndarray) -> dict[str, Any]:
    codec = Codec(load("digits", device="cpu"), name="digits")
    coder = {"seconds": 0.0}
    timed(entropy, "tables", coder)
    timed(entropy.Decoder, "take", coder)
    with tempfile.TemporaryDirectory() as folder:
        path, found = Path(folder) / "a.dia", dict[str, Any]()
        start, cpu = time.perf_counter(), time.process_time()
        with path.open("wb") as file:
            codec.write(file, [Images(test)])
        found["to write it"] = spent(start, cpu, coder)
        start, cpu = time.perf_counter(), time.process_time()
        with path.open("rb") as file:
            back = np.concatenate([part.array for part in codec.read(file)])
        found["to read it"] = spent(start, cpu, coder)
        model = shipped.find("digits")
        assert model is not None
        assert np.array_equal(back, test)
        stored = model.stat().st_size
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        return {
            "`digits`, the file, read back and compared": 8 * path.stat().st_size / test.size,
            f"its model, {stored:,} bytes, counted on 60,000 digits": 8 * stored / 60_000 / 784,
            **found,
            "memory at most, MB": peak,
        }


def timed(owner: Any, name: str, total: dict[str, float]) -> None:
    """Let a function add the seconds that it takes."""
    function = getattr(owner, name)

    def run(*given: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*given)
        finally:
            total["seconds"] += time.perf_counter() - start

    setattr(owner, name, run)


def spent(start: float, cpu: float, coder: dict[str, float]) -> str:
    """Seconds by the clock and of processors, and those of tables and of decoding by them."""
    clock, used = time.perf_counter() - start, time.process_time() - cpu
    coding, coder["seconds"] = coder["seconds"], 0.0
    return f"{clock:.0f} s ({used:.0f} of processors; tables and entropy coder {coding:.0f})"


if __name__ == "__main__":
    main()
