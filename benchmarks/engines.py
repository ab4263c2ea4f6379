"""Several processes, and many small images: python -m benchmarks.engines torchrun|folder

`torchrun`: images/s of two processes of one thread each beside one of two threads, in turns.
`folder`: seconds to the end of an epoch over 20,000 small PNGs, the first time, when they are
decoded, and the second; and the peaks of the memory.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

MODELS = {
    "dae-32": {"hidden": (128,), "latent_dim": 32},
    "conv": {"network": "conv", "hidden": (16, 32), "latent_dim": 32},
}


def learn(name: str) -> None:
    """Epochs on 20,000 digits; rank 0 says the images/s of those after the first."""
    from diabolo import Autoencoder, distributed
    from diabolo.data import load_mnist

    x = load_mnist()[0][0][:20_000]
    model = Autoencoder(
        epochs=6, batch_size=256, linear=False, random_state=0, device="cpu", **MODELS[name]
    ).fit(x)
    if distributed.rank() == 0:
        print(json.dumps(len(x) / statistics.median(model.history_["seconds"][1:])))


def ran(words: list[str], threads: int) -> str:
    """The last line that a process of so many threads prints."""
    own = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    found = subprocess.run(
        [sys.executable, "-m", *words], env=own, capture_output=True, text=True, check=True
    )
    return found.stdout.splitlines()[-1]


def torchrun(rounds: int) -> None:
    """Ratios, as the machine may have other work; the median of the rounds."""
    two = ["torch.distributed.run", "--nproc-per-node", "2", "-m"]
    for name in MODELS:
        work, ratios = ["benchmarks.engines", "learn", "--model", name], list[float]()
        for _ in range(rounds):
            many, one = (float(ran(*way)) for way in ((two + work, 1), (work, 2)))
            ratios.append(many / one)
            print(f"{name}  2 x 1 {many:,.0f}  1 x 2 {one:,.0f} images/s  {ratios[-1]:.2f}")
        print(f"{name}  ratio {statistics.median(ratios):.2f}", flush=True)


def see(folder: str) -> None:
    """Seconds to read a folder and to train on it, and the peak of the memory in GB."""
    from benchmarks.larger import peak
    from diabolo import Autoencoder, data

    start = time.perf_counter()
    samples = data.read(folder)
    read = time.perf_counter() - start
    model = Autoencoder(hidden=(16,), latent_dim=8, linear=False, epochs=2, random_state=0)
    seconds = model.fit(samples).history_["seconds"]
    print(json.dumps({"read": read, "epochs": seconds, "peak GB": peak()}))


def folder(count: int) -> None:
    """Noise of 64 x 64 pixels in colour, which takes as long to decode as it can."""
    from PIL import Image

    draw = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        os.environ["XDG_CACHE_HOME"] = f"{place}/cache"
        images = Path(place, "images")
        images.mkdir()
        for number in range(count):
            pixels = draw.integers(0, 255, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(images / f"{number:05}.png", compress_level=1)
        for when in ("first", "second"):
            found = ran(["benchmarks.engines", "see", "--folder", str(images)], 1)
            print(f"{count:,} images, the {when} time: {found}", flush=True)


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["torchrun", "folder", "learn", "see"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--model", default="dae-32")
    parser.add_argument("--folder", default="")
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # the doctor's word on models that are trained for speed
    ways = {
        "torchrun": lambda: torchrun(given.rounds),
        "folder": lambda: folder(given.count),
        "learn": lambda: learn(given.model),
        "see": lambda: see(given.folder),
    }
    ways[given.what]()


if __name__ == "__main__":
    main()
