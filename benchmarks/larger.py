"""Data larger than memory: python -m benchmarks.larger memory|speed

`memory`: an epoch over a sparse map of 20 GB, and codes of a part of it; the peak of the memory.
`speed`: images/s from a map and from memory, in turns.
"""

import argparse
import resource
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

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


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["memory", "speed"])
    parser.add_argument("--gigabytes", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # the doctor's word on models that are trained for speed
    with tempfile.TemporaryDirectory() as folder:
        if given.what == "memory":
            memory(Path(folder), given.gigabytes)
        elif given.what == "speed":
            speed(Path(folder), given.rounds)


if __name__ == "__main__":
    main()
