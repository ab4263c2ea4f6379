"""The articles' recipes, to their ends, and the tuned ones beside them.

    python -m benchmarks.articles [--only dae-32 ...] [--json FOLDER]

Seed 0, all of MNIST's training digits; the test digits are looked at once, at the end. Squared
error and cross-entropy (nats) per pixel in [0, 1] units, KL in nats per image; of denoisers before
and after. The best linear method has as many numbers in its code, or any: PCA, of denoisers
reduced-rank regression.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.table import Table, known
from diabolo.commands.results import read_metrics
from diabolo.commands.training import fit

ARTICLES = ("dae-32", "ae-36", "ae-32", "dae-64", "vae-conv")
TUNED = ("dae-32-fast", "ae-36-fast", "ae-32-fast", "dae-64-fast", "ae", "dae", "conv-dae", "vae")
HEAD = ("parameters", "epochs", "noisy MSE", "MSE", "BCE", "KL")
LINEAR = ("linear MSE, same code", "linear MSE, any rank")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.articles", description=__doc__)
    parser.add_argument("--only", nargs="+", default=ARTICLES + TUNED)
    parser.add_argument("--json", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    table = Table("articles", ("recipe", *HEAD, *LINEAR), given.json)
    for recipe in given.only:
        with TemporaryDirectory() as folder:
            table.row(f"`{recipe}`", *cells(read_metrics(fit(recipe, out=Path(folder) / "run"))))


def cells(found: dict[str, Any]) -> list[str]:
    """The numbers of a run."""
    test, linear = found["test"], found["linear"]
    errors = (test.get(name) for name in ("noisy_mse", "mse", "bce", "kl"))
    best = (linear.get(name) for name in ("mse", "full_rank_mse"))
    return [
        f"{found['parameters']:,}",
        str(found["epochs"]),
        *(known(value, 4) for value in (*errors, *best)),
    ]


if __name__ == "__main__":
    main()
