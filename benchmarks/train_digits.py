"""The training of the model `digits`, which comes with the package: MNIST without loss.

    python -m benchmarks.train_digits --minutes 50 --out digits.safetensors

Of the 60,000 training images the last 5,000 are held out. A batch is of single pixels: most of
them "warm", those that are not 0 or have such a one among the four next before them (28 of 100,
with nine tenths of the bits), the rest of all others; each kind weighs as it is frequent. Adam,
its rate falling to 0 with the time that is given. The law is given no code. The autoencoder beside
it is linear, and of 8 numbers. `--binarised`: of digits of 0 and 1, drawn once by their grays.
"""

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from diabolo import data, load, recipes, store
from diabolo.commands import training
from diabolo.integers import Whole, snapped, stepped
from diabolo.likelihood.causal import every
from diabolo.likelihood.neighbours import Neighbours, Places

HELD, CHECKED = 5000, 1000
RATE, WARMING, BATCH, WARM = 4e-3, 200, 2048, 0.85
EVERY = 180.0  # seconds between two files

Drawn = tuple[Tensor, Places, Tensor]  # padded images, pixels of them, and what each weighs


def main() -> None:
    arguments = asking(__doc__, "digits")
    arguments.add_argument("--binarised", action="store_true")
    given = arguments.parse_args()
    found = np.array(data.read("mnist:train").array)
    images = torch.from_numpy(binarised(found) if given.binarised else found).view(-1, 1, 28, 28)
    model = new_model(images[:-HELD].numpy())
    law = model.net_.likelihood.network
    for line in kept(model, drawn(law, images[:-HELD]), given):
        print(line, f"{held_out(law, images[-HELD:][:CHECKED]):.4f} held out", flush=True)


def asking(what: str | None, name: str) -> argparse.ArgumentParser:
    """The arguments that `kept` takes."""
    arguments = argparse.ArgumentParser(description=what)
    arguments.add_argument("--minutes", type=float, default=50.0)
    arguments.add_argument("--rate", type=float, default=RATE)
    arguments.add_argument("--start", type=Path, help="go on with the law of this model")
    arguments.add_argument("--out", type=Path, default=Path(f"{name}.safetensors"))
    return arguments


def kept(model: Any, batches: Iterator[Drawn], given: argparse.Namespace) -> Iterator[str]:
    """Train a model's law as asked, and write the model every few minutes; how far it is then."""
    law, saved = model.net_.likelihood.network, time.monotonic()
    if given.start:
        law.load_state_dict(load(given.start).net_.likelihood.network.state_dict())
    for line in train(law, batches, 60 * given.minutes, given.rate):
        if time.monotonic() - saved > EVERY or "done" in line:
            save(model, given.out)
            yield line
            saved = time.monotonic()


def binarised(images: np.ndarray) -> np.ndarray:
    """Images (...) of 0 and 1, as uint8, drawn by the grays with seed 0."""
    return (np.random.RandomState(0).random_sample(images.shape) < images / 255).astype(np.uint8)


def new_model(images: np.ndarray) -> Any:
    """The model of the recipe, whose law has hardly been trained."""
    model = training.new_model(replace(recipes.read("digits"), start=""))
    return model.set_params(random_state=0).fit(images[:64, 0])


def train(law: Neighbours, batches: Iterator[Drawn], seconds: float, rate: float) -> Iterator[str]:
    """Train for so long on padded images, pixels and weights; how far it is, after each step."""
    optimiser = torch.optim.Adam(law.parameters(), rate, betas=(0.9, 0.99))
    start, losses, step = time.monotonic(), list[float](), 0
    while (share := (time.monotonic() - start) / seconds) < 1:
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / WARMING) * (1 - share)
        padded, at, weight = next(batches)
        loss = (law.nll(padded, at, torch.zeros(len(weight))) * weight).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
        losses = [*losses[-999:], loss.item() / math.log(2)]
        yield f"{step} steps, {share:.0%}, {np.mean(losses):.4f} bits a pixel in training,"
    yield f"{step} steps, done, {time.process_time():.0f} s of a processor,"


def drawn(law: Neighbours, images: Tensor) -> Iterator[Drawn]:
    """Padded images, pixels of them, and what each weighs."""
    pixels, draw = Pixels(images), torch.Generator().manual_seed(1)
    padded = law.padded(images)
    while True:
        yield padded, *pixels.drawn(draw)


class Pixels:
    """Pixels of images (N, 1, H, W), drawn as the docstring above says."""

    def __init__(self, images: Tensor) -> None:
        there = F.pad((images[:, 0] > 0), (1, 1, 1, 0))
        left, above = there[:, 1:, :-2], there[:, :-1, 1:-1]
        near = there[:, 1:, 1:-1] | left | above | there[:, :-1, :-2] | there[:, :-1, 2:]
        self.shape, flat = images.shape[1:], near.flatten()
        self.kinds = flat.nonzero()[:, 0], (~flat).nonzero()[:, 0]
        self.share = float(flat.float().mean())

    def drawn(self, draw: torch.Generator) -> tuple[Places, Tensor]:
        """Pixels (`BATCH`,), and what they weigh in the mean of all."""
        sizes = round(BATCH * WARM), BATCH - round(BATCH * WARM)
        shares = self.share, 1 - self.share
        some, weight = list[Tensor](), list[Tensor]()
        for kind, size, share in zip(self.kinds, sizes, shares, strict=True):
            some.append(kind[torch.randint(len(kind), (size,), generator=draw)])
            weight.append(torch.full((size,), share / size))
        pixel, (_, h, w) = torch.cat(some), self.shape
        place = pixel % (h * w)
        at = Places(pixel // (h * w), torch.zeros_like(pixel), place // w, place % w)
        return at, torch.cat(weight)


@torch.no_grad()
def held_out(law: Neighbours, images: Tensor) -> float:
    """Bits a pixel."""
    found = []
    for some in images.split(20):
        at = every(len(some), tuple(some.shape[1:]), some.device)
        found.append(law.nll(law.padded(some), at, torch.zeros(some.numel())))
    return float(torch.cat(found).mean()) / math.log(2)


def save(model: Any, path: Path) -> None:
    """Write the model, its weights in half precision, which holds the law's as they are."""
    config, tensors = model.fitted_.contents()
    law = model.net_.likelihood.network
    names = {f"decoder.1.law.{name}": layer for name, layer in law.named_modules()}
    for name, tensor in tensors.items():
        layer, _, part = name.rpartition(".")
        if isinstance(names.get(layer), Whole) and part == "weight":
            tensors[name] = stepped(tensor)
        elif name.startswith("decoder.1.law.") and part != "table":
            tensors[name] = snapped(tensor)
        if name.startswith(("encoder.", "decoder.")) and tensor.dtype == torch.float32:
            tensors[name] = tensors[name].detach().half()
    temporary = path.with_suffix(".part")
    store.write(temporary, config, tensors)
    temporary.replace(path)


if __name__ == "__main__":
    main()
