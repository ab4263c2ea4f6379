"""Dense inference beside a plain loop: `python -m benchmarks.inference [--threads 1]`.

Prints thousands of rows a second of `transform` and `reconstruct`, and of a PyTorch loop over the
same layers in batches of 1,024 that scales the stored values too, and how many times faster ours
is (the medians of the paired rounds, in turn). The recipes' networks as they begin, on random
images of bytes; a table is 30 columns of floats.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.table import grid
from diabolo import Autoencoder, recipes
from diabolo.models import MODELS
from diabolo.params import from_config

ROWS = 1024  # of a batch of the plain loop
RECIPES = ("ae-32", "dae-32", "ae")


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--rows", type=int, default=10_000)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    lines: list[tuple[Any, ...]] = [("network", "what", "plain k/s", "ours k/s", "x plain")]
    for name, (model, X) in networks(given.rows).items():
        encoder, whole = model.encoder_, nn.Sequential(model.encoder_, model.decoder_)
        for ours, module in ((model.transform, encoder), (model.reconstruct, whole)):
            found = paired(plain(model, module), ours, X, given.rounds)
            lines.append((name, ours.__name__, *found))
    print(grid(lines))


def networks(rows: int) -> dict[str, tuple[Any, np.ndarray]]:
    """Each network, hardly trained, with the rows to ask."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (rows, 28, 28), dtype=np.uint8)
    table = draw.random((rows, 30), dtype=np.float32)
    small = Autoencoder(hidden=(16,), latent_dim=4, epochs=1, random_state=0)
    started = {name: (_started(name, images[:256]), images) for name in RECIPES}
    return started | {"table, 30-16-4": (small.fit(table[:256]), table)}


def _started(recipe: str, images: np.ndarray) -> Any:
    settings = recipes.read(recipe).model | {"epochs": 1, "random_state": 0}
    return from_config(settings, MODELS).fit(images)


def plain(model: Any, module: nn.Module) -> Callable[[np.ndarray], np.ndarray]:
    """A loop that scales batches, asks the module, and scales back what it reconstructs."""
    scaling, back = model.net_.scaling, len(module) == 2 and isinstance(module[1], nn.Sequential)

    def answer(batch: Tensor) -> Tensor:
        y = module((batch.float() - scaling.shift) / scaling.scale)
        return y * scaling.scale + scaling.shift if back else y

    def run(X: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            batches = torch.from_numpy(X).flatten(1).split(ROWS)
            return torch.cat([answer(batch) for batch in batches]).numpy()

    return run


def paired(
    theirs: Callable[[Any], Any], ours: Callable[[Any], Any], X: np.ndarray, rounds: int
) -> tuple[str, str, str]:
    """Thousands of rows a second of both at their best, and the median ratio."""
    np.testing.assert_allclose(
        np.reshape(ours(X), theirs(X).shape), theirs(X), rtol=1e-4, atol=1e-2
    )
    seconds = [(_seconds(theirs, X), _seconds(ours, X)) for _ in range(rounds)]
    rates = [f"{len(X) / min(column) / 1000:,.0f}" for column in zip(*seconds, strict=True)]
    return rates[0], rates[1], f"{statistics.median(a / b for a, b in seconds):.2f}"


def _seconds(function: Callable[[Any], Any], X: np.ndarray) -> float:
    start = time.perf_counter()
    function(X)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
