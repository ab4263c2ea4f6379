"""The training of the model `photo`, which comes with the package.

    python -m benchmarks.train_photo PHOTOS --minutes 113 --out photo.safetensors

Pieces of photographs at several sizes, turned and mirrored, more often the richer of two; half of
them gray; noise of a level that is drawn for each. The loss is the mean of the logarithms of their
squared errors, so the mean PSNR. At the end the recipe's own `fit` goes on for an epoch, which
makes the record. Weights are written in half precision.

Those that ship had 19,250 steps in 113 minutes of one core with AVX2; in the first 8,225 five of
eight were gray, and the channels of half of them were in another order.
"""

import argparse
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from diabolo import recipes, store
from diabolo.commands.training import new_model
from diabolo.corruption import BlindGaussian
from diabolo.corruption.watermark import LUMA
from diabolo.train import generator

SCALES, RICHER, GRAY, SIDE, BATCH = (1.0, 0.75, 0.55, 0.4), 0.6, 4, 64, 8
RATE, WARM, CLIP, FLOOR = 1e-3, 200, 1.0, 1e-6
RECORD = 512  # pieces of the last epoch


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("photos", type=Path)
    arguments.add_argument("--minutes", type=float, default=113.0)
    arguments.add_argument("--out", type=Path, default=Path("photo.safetensors"))
    given = arguments.parse_args()
    torch.set_num_threads(1)
    pictures = read(given.photos)
    random = np.random.default_rng(1)
    model = new_model(replace(recipes.read("photo"), start="")).set_params(random_state=0)
    few = (pieces(pictures, RECORD, random) * 255).round().to(torch.uint8).numpy()
    model.set_params(epochs=1, learning_rate=1e-6).fit(few)
    train(model.net_, pictures, random, 60 * given.minutes)
    write(model.set_params(warm_start=True).fit(few), given.out)


def read(folder: Path) -> list[Tensor]:
    """The photographs of a folder, (H, W, 3) in uint8, at all sizes."""
    found = []
    for path in sorted(folder.glob("*.webp")):
        photo = Image.open(path).convert("RGB")
        for scale in SCALES:
            size = int(photo.width * scale), int(photo.height * scale)
            found.append(torch.from_numpy(np.array(photo.resize(size, Image.Resampling.LANCZOS))))
    return found


def pieces(pictures: list[Tensor], n: int, random: np.random.Generator) -> Tensor:
    """Pieces (n, 3, SIDE, SIDE) within [0, 1]; the first `GRAY` of `BATCH` are gray."""
    found = torch.stack([_piece(pictures, random) for _ in range(n)])
    gray = torch.arange(n) % BATCH < GRAY
    found[gray] = (
        (found[gray] * torch.tensor(LUMA).view(1, 3, 1, 1))
        .sum(1, keepdim=True)
        .expand(-1, 3, -1, -1)
    )
    return found


def _piece(pictures: list[Tensor], random: np.random.Generator) -> Tensor:
    drawn = [_cut(pictures, random) for _ in range(1 + (random.random() < RICHER))]
    piece = max(drawn, key=lambda p: float((p[:, 1:] - p[:, :-1]).square().mean()))
    flips = [axis for axis in (1, 2) if random.random() < 0.5]
    piece = piece.flip(flips) if flips else piece
    return piece.transpose(1, 2) if random.random() < 0.5 else piece


def _cut(pictures: list[Tensor], random: np.random.Generator) -> Tensor:
    picture = pictures[random.integers(len(pictures))]
    y, x = (random.integers(side - SIDE + 1) for side in picture.shape[:2])
    return picture[y : y + SIDE, x : x + SIDE].permute(2, 0, 1).float() / 255


def train(net: Any, pictures: list[Tensor], random: np.random.Generator, seconds: float) -> None:
    """Train for so long, at a rate that falls with the time."""
    corruption, draw = net.corruption, generator(1, "noise")
    assert isinstance(corruption, BlindGaussian)
    parameters = list(net.parameters())
    optimizer = torch.optim.Adam(parameters, betas=(0.9, 0.99))
    begun, step, mean = time.monotonic(), 0, 0.0
    while (gone := (time.monotonic() - begun) / seconds) < 1:
        rate = RATE * (0.5 * (1 + math.cos(math.pi * gone)) + 0.001)
        optimizer.param_groups[0]["lr"] = rate * min(1.0, step / WARM + 0.01)
        clean = pieces(pictures, BATCH, random)
        noisy, _, level = corruption.corrupt(clean, draw, 0.0, 1.0)
        assert level is not None
        output = net.encoding(level.unsqueeze(1))(noisy).view_as(clean)
        loss = (output - clean).square().mean((1, 2, 3)).add(FLOOR).log().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        step, mean = step + 1, loss.item() if step == 0 else 0.998 * mean + 0.002 * loss.item()
        if step % 500 == 0:
            print(f"{step} steps, {gone:.1%}: PSNR {-10 * mean / math.log(10):.2f} dB", flush=True)


def write(model: Any, path: Path) -> None:
    """The model in half precision."""
    model.save(path)
    config, tensors = store.read(path)
    store.write(path, config, {n: _halved(n, tensor) for n, tensor in tensors.items()})


def _halved(name: str, tensor: Tensor) -> Tensor:
    return tensor.half() if name.startswith("encoder.") else tensor


if __name__ == "__main__":
    main()
