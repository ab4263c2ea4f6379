"""Train the digit classifier that ships with diabolo: `python -m benchmarks.train_classifier`.

The network of `diabolo.tasks.digits`, on the 60,000 training digits alone: cross-entropy, Adam
with a rate that rises and falls once, batches of 128, each shifted by up to two pixels. The
weights are stored in half precision, and the accuracy on the test digits is that of the file.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from diabolo import store
from diabolo.data import load_mnist
from diabolo.tasks.digits import FILE, WEIGHTS, decide, look

TARGET = Path(__file__).parents[1] / "src/diabolo/data/mnist" / FILE
BATCH, RATE, SHIFT = 128, 4e-3, 2


def initial(draw: torch.Generator) -> dict[str, Tensor]:
    """Weights with variance 2 / inputs (He et al., 2015), biases 0."""
    weights = {}
    for name, shape in WEIGHTS.items():
        deviation = math.sqrt(2 / math.prod(shape[1:]))
        weights[name] = torch.randn(shape, generator=draw) * deviation
        weights[f"{name} bias"] = torch.zeros(shape[0])
    return weights


def shifted(x: Tensor, draw: torch.Generator) -> Tensor:
    """Images, all of them moved by the same random number of pixels, 0 coming in."""
    down, right = torch.randint(2 * SHIFT + 1, (2,), generator=draw).tolist()
    return F.pad(x, (SHIFT,) * 4)[..., down : down + x.shape[-2], right : right + x.shape[-1]]


def train(x: Tensor, y: Tensor, *, epochs: int, seed: int) -> dict[str, Tensor]:
    """Weights that tell the digits x (N, 1, 28, 28) of classes y (N,) apart."""
    draw = torch.Generator().manual_seed(seed)
    weights = initial(draw)
    for tensor in weights.values():
        tensor.requires_grad_()
    steps = epochs * math.ceil(len(x) / BATCH)
    optimizer = torch.optim.Adam(weights.values(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for epoch in range(epochs):
        total = 0.0
        for rows in torch.randperm(len(x), generator=draw).split(BATCH):
            logits = decide(weights, look(weights, shifted(x[rows], draw)))
            loss = F.cross_entropy(logits, y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        print(f"epoch {epoch + 1}: loss {total / len(x):.4f}", flush=True)
    return {name: tensor.detach() for name, tensor in weights.items()}


def accuracy(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> float:
    """The share of digits told right."""
    with torch.no_grad():
        guesses = torch.cat([decide(weights, look(weights, p)).argmax(1) for p in x.split(1000)])
    return (guesses == y).double().mean().item()


def _tensors(images: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(images)[:, None] / 255, torch.from_numpy(labels).long()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=TARGET)
    given = parser.parse_args()
    training, testing = (_tensors(*split) for split in load_mnist())
    weights = train(*training, epochs=given.epochs, seed=given.seed)
    stored = {name: tensor.half() for name, tensor in weights.items()}
    right = accuracy({name: tensor.float() for name, tensor in stored.items()}, *testing)
    config = {"epochs": given.epochs, "seed": given.seed, "test_accuracy": right}
    store.write(given.out, {"classifier": config}, stored)
    print(f"{given.out}: {right:.2%} of the test digits are told right")


if __name__ == "__main__":
    main()
