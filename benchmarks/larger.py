"""Data larger than memory: python -m benchmarks.larger memory|speed|parquet|denoise|images

`memory`: an epoch over a sparse map of 20 GB, and codes of a part of it; the peak of the memory.
`speed`: images/s from a map and from memory, in turns.
The others are a command on so much data and on four times as much, and the peaks of its memory:
`parquet`: an epoch over a table; `denoise`: a folder of images of several sizes, by a model of
28 x 28; `images`: images of a map reconstructed into a folder.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

GROWN = ("parquet", "denoise", "images")
SIDE, DENSE = 64, {"latent_dim": 8, "hidden": (16,), "linear": False, "random_state": 0}


def peak() -> float:
    """The largest memory of this process so far, mapped pages included, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def memory(folder: Path, gigabytes: float) -> None:
    """Images (N, 3, 64, 64) of a sparse file, one in a thousand of which is not black."""
    from diabolo import Autoencoder

    shape = (int(gigabytes * 1e9) // (3 * SIDE**2), 3, SIDE, SIDE)
    path = folder / "sparse.npy"
    x = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    draw = np.random.default_rng(0)
    for row in range(0, shape[0], 1000):
        x[row] = draw.integers(0, 255, shape[1:], dtype=np.uint8)
    del x
    print(f"{shape[0]:,} images, {path.stat().st_size / 1e9:.1f} GB; peak {peak():.2f} GB before")
    start, there = time.perf_counter(), np.load(path, mmap_mode="r")
    during = list[float]()
    model = Autoencoder(epochs=1, batch_size=256, **DENSE)
    model.fit(there, callback=lambda model: during.append(peak()))
    seconds = model.history_["seconds"][0]
    print(f"an epoch {seconds:.0f} s, {shape[0] / seconds:,.0f} images/s,", end=" ")
    print(f"all of fit {time.perf_counter() - start:.0f} s;", end=" ")
    print(f"peak {during[0]:.2f} GB at the end of the epoch, {peak():.2f} GB after fit")
    few = there[: shape[0] // 10]
    start, codes = time.perf_counter(), model.transform(few)
    print(f"{len(codes):,} codes {time.perf_counter() - start:.0f} s; peak {peak():.2f} GB")


def speed(folder: Path, rounds: int) -> None:
    """Epochs on 120,000 digits, mapped and in memory, in turns; the file is in the page cache."""
    from diabolo import Autoencoder
    from diabolo.data import load_mnist

    (x, _), _ = load_mnist()
    x = np.concatenate([x, x])
    np.save(folder / "x.npy", x)
    given = {"memory": x, "map": np.load(folder / "x.npy", mmap_mode="r")}
    settings = {
        "ae-36": {"hidden": (128, 64), "latent_dim": 36},
        "dense": {"hidden": (), "latent_dim": 32},
    }
    for name, sizes in settings.items():
        seconds: dict[str, list[float]] = {"memory": [], "map": []}
        for _ in range(rounds):
            for way, X in given.items():
                model = Autoencoder(
                    epochs=1, batch_size=128, linear=False, random_state=0, **sizes
                )
                seconds[way] += model.fit(X).history_["seconds"]
        middle = {way: len(x) / statistics.median(s) for way, s in seconds.items()}
        print(name, {way: f"{value:,.0f} images/s" for way, value in middle.items()}, end=" ")
        print(f"ratio {middle['map'] / middle['memory']:.2f}")


def grown(what: str, folder: Path) -> None:
    """A command on two sizes of data: how much they are, and the peak of its memory."""
    run("fit", "dae", "--limit", 2000, "--epochs", 1, "--force", "--out", folder / "dae")
    for times in (1, 4):
        place = folder / f"{what}{times}"
        size, words = globals()[what](place, folder, times)
        start, high = time.perf_counter(), run(*words, "--force", "--out", f"{place}-out")
        seconds = time.perf_counter() - start
        print(f"{what}: {size / 1e9:.2f} GB, peak {high:.2f} GB, {seconds:.0f} s", flush=True)


def run(*words: object) -> float:
    """The peak of the memory of a command, in GB."""
    command = [sys.executable, "-m", "diabolo", *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} ended with {status}.")
    return usage.ru_maxrss * 1024 / 1e9


def parquet(place: Path, folder: Path, times: int) -> tuple[float, list[object]]:
    """A table of 500 columns."""
    import pyarrow
    from pyarrow import parquet as file

    path, draw = place.with_suffix(".parquet"), np.random.default_rng(0)
    names = [f"c{number}" for number in range(500)]
    schema = pyarrow.schema([(name, pyarrow.float32()) for name in names])
    with file.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for _ in range(5 * times):
            block = draw.random((500, 20_000), dtype=np.float32)
            writer.write_table(pyarrow.table([*block], schema=schema))
    return path.stat().st_size, ["fit", "ae", "--data", path, "--epochs", 1]


def denoise(place: Path, folder: Path, times: int) -> tuple[float, list[object]]:
    """Gray images of five sizes in turns."""
    from PIL import Image

    place.mkdir()
    draw, total = np.random.default_rng(0), 0
    for number in range(600 * times):
        pixels = draw.integers(0, 255, (200 + 20 * (number % 5), 240), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{number:05}.png", compress_level=1)
        total += pixels.nbytes
    return total, ["denoise", folder / "dae", place]


def images(place: Path, folder: Path, times: int) -> tuple[float, list[object]]:
    """Noise of 128 x 128 pixels in colour, and a model of such."""
    shape, draw = (4000 * times, 3, 128, 128), np.random.default_rng(0)
    path, few = place.with_suffix(".npy"), folder / "few.npy"
    x = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    for start in range(0, len(x), 1000):
        x[start : start + 1000] = draw.integers(0, 255, (1000, *shape[1:]), dtype=np.uint8)
    np.save(few, x[:200])
    parameters = ["--hidden", 8, "--latent-dim", 4, "--epochs", 1, "--force"]
    run("fit", "ae", "--data", few, *parameters, "--out", folder / "coloured")
    return x.nbytes, ["reconstruct", folder / "coloured", path]


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["memory", "speed", *GROWN])
    parser.add_argument("--gigabytes", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # the doctor's word on models that are trained for speed
    with tempfile.TemporaryDirectory() as folder:
        if given.what == "memory":
            memory(Path(folder), given.gigabytes)
        elif given.what == "speed":
            speed(Path(folder), given.rounds)
        else:
            grown(given.what, Path(folder))


if __name__ == "__main__":
    main()
