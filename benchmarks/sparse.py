"""A top-k sparse autoencoder on synthetic data whose dictionary is known.

    python -m benchmarks.sparse [--steps 3000] [--rate 1e-2] [--their-rate 1e-2] [--threads 2]

4,096 unit directions in 256 dimensions; a sample is a sum of each with probability 8/4,096, by a
weight from U(1/2, 3/2), with noise of 1/100. Trained on a new batch of 1,024 samples a step, with
4,096 units of which 32 are active. Beside it the TopKTrainer of the package `dictionary-learning`,
where that is installed, with its own settings but for the rate (0.01 does best of 0.003 to 0.01
for both), which rises and falls in the same shares of the steps. Given are the mean max cosine to
the known dictionary and the share of it over 0.9, explained variance and L0 on 8,192 other
samples, and the share of dead units. Steps a second are those of short trainings in turns, and the
ratio the median of the turns'.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from benchmarks.table import Table
from diabolo import TopKSAE
from diabolo.data.source import Batch, Statistics

FEATURES, WIDTH, ACTIVE, K, BATCH = 4096, 256, 8, 32, 1024
EPOCH, TURN = 500, 20  # steps


def truth() -> Tensor:
    """The known dictionary, (FEATURES, WIDTH)."""
    atoms = torch.randn(FEATURES, WIDTH, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.normalize(atoms, dim=1)


@dataclass(frozen=True)
class Synthetic:
    """So many samples of the known dictionary, made when they are taken; a `Source`."""

    samples: int
    seed: int = 0
    shape: tuple[int, ...] = (WIDTH,)
    dtype: torch.dtype = torch.float32
    atoms: Tensor = field(default_factory=truth)

    def __len__(self) -> int:
        return self.samples

    def rows(self, index: Tensor) -> Tensor:
        """Samples (len(index), WIDTH), drawn anew by the first of the numbers."""
        first = int(index[0]) if len(index) else 0
        draw = torch.Generator().manual_seed(first * 1_000_003 + self.seed)
        counts = torch.binomial(
            torch.full((len(index),), float(FEATURES)),
            torch.tensor(ACTIVE / FEATURES).expand(len(index)),
            generator=draw,
        ).long()
        units = torch.randint(FEATURES, (int(counts.sum()),), generator=draw)
        weights = 0.5 + torch.rand(len(units), generator=draw)
        starts = counts.cumsum(0) - counts
        x = torch.nn.functional.embedding_bag(
            units, self.atoms, starts, mode="sum", per_sample_weights=weights
        )
        return x + 0.01 * torch.randn(x.shape, generator=draw)

    def take(self, index: Tensor) -> Batch:
        x = self.rows(index)
        return Batch(x, x)

    def head(self, n: int) -> Batch:
        return self.take(torch.arange(min(n, self.samples)))

    def statistics(self) -> Statistics:
        x = self.rows(torch.arange(8192)).double()
        return Statistics(x.amin(0).float(), x.amax(0).float(), x.mean(0), x.var(0))

    def digest(self) -> dict[str, int | str]:
        return {"samples": self.samples, "sha256": f"synthetic {self.seed}"}

    def split(self, held: Tensor, rest: Tensor) -> Any:
        raise NotImplementedError("it is endless: give X_val")

    def to(self, device: torch.device) -> Self:
        return self


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sparse", description=__doc__)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--rate", type=float, default=1e-2)
    parser.add_argument("--their-rate", type=float, default=1e-2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="FOLDER", help="keep the table there")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    ways: dict[str, Callable[..., Trained]] = {"diabolo TopKSAE": ours}
    if find_spec("dictionary_learning"):
        ways["dictionary-learning TopKTrainer"] = theirs
    head = ["", "cosine", "over 0.9", "explained", "L0", "dead", "steps/s", "x"]
    table = Table("sparse", head, options.json)
    rates = options.rate, options.their_rate
    told = list(zip(ways.values(), rates, strict=False))
    turns = [[way(TURN, rate).seconds for way, rate in told] for _ in range(options.turns)]
    speeds, ratio = TURN / np.median(turns, 0), np.median([t[-1] / t[0] for t in turns])
    for name, (way, rate), speed in zip(ways, told, speeds, strict=True):
        faster = f"{ratio:.2f}" if way is ours else "1"
        table.row(name, *judged(way(options.steps, rate)), f"{speed:.2f}", faster)


@dataclass(frozen=True)
class Trained:
    """Seconds of training, the atoms (FEATURES, WIDTH), and what gives codes and output."""

    seconds: float
    atoms: Tensor
    answer: Callable[[Tensor], tuple[Tensor, Tensor]]


def judged(trained: Trained) -> list[str]:
    """The cells of a row that tell how good it is."""
    x = Synthetic(1, seed=7).rows(torch.arange(8192))
    codes, output = trained.answer(x)
    cosine = (truth() @ torch.nn.functional.normalize(trained.atoms, dim=1).t()).amax(1)
    explained = 1 - (x - output).square().sum() / (x - x.mean(0)).square().sum()
    active = codes > 0
    figures = cosine.mean(), (cosine > 0.9).float().mean(), explained
    l0, dead = active.sum(1).float().mean(), 1 - active.any(0).float().mean()
    return [*(f"{figure:.4f}" for figure in figures), f"{l0:.1f}", f"{dead:.3f}"]


def ours(steps: int, rate: float) -> Trained:
    """`fit`, by epochs of at most 500 steps."""
    model = TopKSAE(
        latent_dim=FEATURES,
        k=K,
        scaling=None,
        epochs=max(steps // EPOCH, 1),
        batch_size=BATCH,
        learning_rate=rate,
        schedule="trapezoid",  # as theirs
        validation_fraction=0.0,
        early_stopping=None,
        random_state=0,
        device="cpu",
    ).fit(Synthetic(BATCH * min(EPOCH, steps)))

    def answer(x: Tensor) -> tuple[Tensor, Tensor]:
        found = model.transform(x.numpy()), model.reconstruct(x.numpy())
        return torch.from_numpy(found[0]), torch.from_numpy(found[1])

    atoms = model.net_.decoder[0].weight.detach()
    return Trained(sum(model.history_["seconds"]), atoms, answer)


def theirs(steps: int, rate: float) -> Trained:
    """The trainer's updates."""
    from dictionary_learning.trainers.top_k import TopKTrainer

    trainer = TopKTrainer(
        steps=steps,
        activation_dim=WIDTH,
        dict_size=FEATURES,
        k=K,
        layer=0,
        lm_name="none",
        lr=rate,
        warmup_steps=min(1000, steps // 10),
        decay_start=int(0.8 * steps),
        seed=0,
        device="cpu",
    )
    data, start = Synthetic(BATCH * steps), time.perf_counter()
    for step, index in enumerate(torch.arange(BATCH * steps).split(BATCH)):
        trainer.update(step, data.rows(index))
    seconds = time.perf_counter() - start

    def answer(x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            output, codes = trainer.ae(x, output_features=True)
        return codes, output

    return Trained(seconds, trainer.ae.decoder.weight.detach().t(), answer)


if __name__ == "__main__":
    main()
