"""A top-k sparse autoencoder on synthetic data whose dictionary is known.

    python -m benchmarks.sparse [ours|theirs] [steps] [learning rate] [schedule]

4,096 unit directions in 256 dimensions; a sample is a sum of each with probability 8/4,096, by a
weight from U(1/2, 3/2), with noise of 1/100. Trained on a new batch of 1,024 samples a step, with
4,096 units of which 32 are active. `theirs` is the TopKTrainer of the package
`dictionary-learning` (in an environment of its own) with its own settings.
Prints the mean max cosine to the known dictionary, the explained variance and L0 on 8,192 other
samples, the share of dead units, and steps a second.
"""

import sys
import time
from dataclasses import dataclass, field

import numpy as np
import torch

FEATURES, WIDTH, ACTIVE, K, BATCH = 4096, 256, 8, 32, 1024


def truth() -> torch.Tensor:
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
    atoms: torch.Tensor = field(default_factory=truth)

    def __len__(self) -> int:
        return self.samples

    def rows(self, index: torch.Tensor) -> torch.Tensor:
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

    def take(self, index: torch.Tensor):
        from diabolo.data.source import Batch

        x = self.rows(index)
        return Batch(x, x)

    def head(self, n: int):
        return self.take(torch.arange(min(n, self.samples)))

    def statistics(self):
        from diabolo.data.source import Statistics

        x = self.rows(torch.arange(8192)).double()
        return Statistics(x.amin(0).float(), x.amax(0).float(), x.mean(0), x.var(0))

    def digest(self) -> dict[str, int | str]:
        return {"samples": self.samples, "sha256": f"synthetic {self.seed}"}

    def split(self, held: torch.Tensor, rest: torch.Tensor):
        raise NotImplementedError("it is endless: give X_val")

    def to(self, device: torch.device):
        return self


def judged(name: str, atoms: torch.Tensor, outcome, seconds: float, steps: int) -> None:
    """Print what was found; `outcome`: samples, what was made of them, and their codes."""
    x, output, codes = outcome
    atoms = torch.nn.functional.normalize(atoms.float(), dim=1)
    cosine = (truth() @ atoms.t()).amax(1)
    explained = 1 - (x - output).square().sum() / (x - x.mean(0)).square().sum()
    over = (cosine > 0.9).float().mean()
    print(
        f"{name}: mean max cosine {cosine.mean():.4f} ({over:.3f} over .9),"
        f" explained variance {explained:.4f}, L0 {(codes > 0).sum(1).float().mean():.1f},"
        f" dead {1 - (codes > 0).any(0).float().mean():.3f}, {steps} steps in {seconds:.0f} s:"
        f" {steps / seconds:.2f} a second on {torch.get_num_threads()} threads",
        flush=True,
    )


def ours(steps: int, rate: float, schedule: str) -> None:
    from diabolo import TopKSAE

    model = TopKSAE(
        latent_dim=FEATURES,
        k=K,
        scaling=None,
        epochs=max(steps // 500, 1),
        batch_size=BATCH,
        learning_rate=rate,
        schedule=schedule,
        validation_fraction=0.0,
        early_stopping=None,
        random_state=0,
        device="cpu",
        verbose=False,
    )
    start = time.perf_counter()
    model.fit(Synthetic(BATCH * min(500, steps)), callback=told(start))
    x = Synthetic(1, seed=7).rows(torch.arange(8192))
    codes = torch.from_numpy(model.transform(x.numpy()))
    output = torch.from_numpy(model.reconstruct(x.numpy()))
    seconds = sum(model.history_["seconds"])
    judged("ours", model.net_.decoder[0].weight.detach(), (x, output, codes), seconds, steps)


def told(start: float):
    """A callback that prints how far it is."""

    def tell(model) -> None:
        atoms = torch.nn.functional.normalize(model.net_.decoder[0].weight.detach(), dim=1)
        cosine = (truth() @ atoms.t()).amax(1)
        dead = int((model.net_.bottleneck.silent > 20 * FEATURES).sum())
        print(
            f"  {time.perf_counter() - start:6.0f} s  loss {model.history_['loss'][-1]:.5f}"
            f"  cosine {cosine.mean():.4f}  silent {dead}",
            flush=True,
        )

    return tell


def theirs(steps: int, rate: float | None) -> None:
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
    data, order = Synthetic(BATCH * steps), torch.arange(BATCH * steps)
    start = time.perf_counter()
    for step in range(steps):
        trainer.update(step, data.rows(order[step * BATCH : (step + 1) * BATCH]))
        if step % 500 == 499:
            print(f"  {time.perf_counter() - start:6.0f} s  {step + 1} steps", flush=True)
    seconds = time.perf_counter() - start
    x = Synthetic(1, seed=7).rows(torch.arange(8192))
    with torch.no_grad():
        output, codes = trainer.ae(x, output_features=True)
    weight = trainer.ae.decoder.weight.detach().t()
    judged("theirs", weight, (x, output, codes), seconds, steps)


if __name__ == "__main__":
    who = sys.argv[1] if len(sys.argv) > 1 else "ours"
    number = int(sys.argv[2]) if len(sys.argv) > 2 else 4000
    speed = float(sys.argv[3]) if len(sys.argv) > 3 else None
    np.random.seed(0)
    how = sys.argv[4] if len(sys.argv) > 4 else "one_cycle"
    ours(number, speed or 3e-3, how) if who == "ours" else theirs(number, speed)
