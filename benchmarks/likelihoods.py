"""How likely are test digits: python -m benchmarks.likelihoods [ROW ...] [--held] [--epochs 100].

A markdown table of log p(x) in nats of MNIST's test digits, or the first `--judged` of them,
binarised once by their grays (seed 0), estimated by importance with 5,000 draws a digit. Models
are 784-200-200-50 of binary digits that are drawn anew in each epoch (dynamic binarisation), Adam
at batches of 100. Beside them the papers' figures of 3,280 epochs (Burda et al. 2016, table 1),
and as the linear method one Bernoulli law per pixel in each of 10 and 500 groups of k-means.
`--held`: learnt from
50,000 training digits, and judged on the first 1,000 of the 10,000 others with 500 draws.
`--out DIR` keeps the models, and takes those that are there.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logsumexp
from sklearn.cluster import MiniBatchKMeans

from benchmarks.table import Table
from benchmarks.train_digits import binarised
from diabolo import load
from diabolo.data.mnist import read_split
from diabolo.likelihood import Bernoulli
from diabolo.models.iwae import IWAE
from diabolo.models.vae import VAE
from diabolo.tasks.judging import log_likelihood

ROWS: dict[str, tuple[Any, dict[str, Any], float | None]] = {  # with the paper's figure
    "vae": (VAE, {}, -86.76),
    "iwae-5": (IWAE, {"samples": 5}, -85.54),
    "iwae-50": (IWAE, {"samples": 50}, -84.78),
    "vae-mixture": (VAE, {"prior": "mixture"}, None),
    "vae-vamp": (VAE, {"prior": "vamp"}, None),
    "vae-flow": (VAE, {"prior": "flow"}, None),
}
NET: dict[str, Any] = {
    "latent_dim": 50,
    "hidden": (200, 200),
    "activation": "relu",
    "likelihood": Bernoulli(binarised=True),
    "scaling": "unit",
    "batch_size": 100,
    "linear": False,
    "validation_fraction": 0.0,
    "early_stopping": None,
    "random_state": 0,
}
LEAST = 0.01  # mean of a pixel in a group


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.likelihoods", description=__doc__)
    parser.add_argument("rows", nargs="*", default=[*ROWS], choices=[*ROWS], metavar="ROW")
    parser.add_argument("--held", action="store_true")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--rate", type=float, default=6e-3)
    parser.add_argument("--precision", default="float32", help="of the products: bf16, float32")
    parser.add_argument("--judged", type=int, default=10_000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", type=Path, metavar="FOLDER", help="keep the table there")
    options = parser.parse_args()
    x, t = (read_split(split)[0] for split in ("train", "test"))
    x, t, draws = (
        (x[:50_000], x[50_000:51_000], 500) if options.held else (x, t[: options.judged], 5_000)
    )
    t = 255 * binarised(t)
    table = Table("likelihoods", ["model", "log p(x)", "paper", "minutes"], options.json)
    for groups in (10, 500):
        table.row(f"{groups} groups of pixels", f"{in_groups(x, t, groups):.2f}", "", "")
    for name in options.rows:
        model, more, paper = ROWS[name]
        named = {"learning_rate": options.rate, "precision": options.precision}
        given = NET | more | named | {"epochs": options.epochs}
        kept = options.out and options.out / f"{name}.safetensors"
        begun = time.process_time()
        fitted = load(kept) if kept and kept.exists() else model(**given).fit(x)
        minutes = (time.process_time() - begun) / 60
        if kept:
            fitted.save(kept)
        nats = log_likelihood(fitted, t, draws=draws).astype(np.float64).mean()
        table.row(name, f"{nats:.2f}", paper or "", f"{minutes:.0f}")


def in_groups(x: np.ndarray, t: np.ndarray, groups: int) -> float:
    """log p(t) of a mixture with a law per pixel in each group of k-means."""
    rows, test = x.reshape(len(x), -1) / 255, t.reshape(len(t), -1) / 255
    found = MiniBatchKMeans(groups, batch_size=4096, random_state=0, n_init=1).fit(rows)
    mean = found.cluster_centers_.clip(LEAST, 1 - LEAST)
    share = np.bincount(found.labels_, minlength=groups) / len(x)
    each = test @ np.log(mean).T + (1 - test) @ np.log(1 - mean).T
    return float(logsumexp(each, axis=1, b=share).mean())


if __name__ == "__main__":
    main()
