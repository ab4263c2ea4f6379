"""The training of the model `photo`, which comes with the package.

    apt-get download lomiri-wallpapers-16.04 lomiri-wallpapers-20.04 mate-backgrounds \\
        plasma-workspace-wallpapers
    python -m benchmarks.train_photo PHOTOS --minutes 6 --out photo.safetensors

PHOTOS is a folder of the originals that `diabolo/shipped/README.md` names. Pieces of them at
several sizes, turned and mirrored, more often the richer of two; half of them gray, by weights
of the colours that are drawn; noise of a level that is drawn for each. The loss of a piece is the
root of its squared error, as a share of what is usual at that level. On a GPU the convolutions
are in bfloat16. What is kept is the running mean of the weights. At the end the recipe's own `fit`
goes on for an epoch, which makes the record. Weights are written in half precision.

Those that ship had 40,379 steps in five minutes of one NVIDIA H200, shared with tests.
"""

import argparse
import copy
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from diabolo import recipes, store
from diabolo.commands.training import new_model
from diabolo.corruption import BlindGaussian
from diabolo.train import generator

SIDES, SHRUNK = (1600, 1000, 750, 550, 400), 1.5  # longer sides, and how much smaller at least
RICHER, SIDE, BATCH = 0.6, 128, 64
RATE, WARM, CLIP, MEAN = 1e-3, 500, 1.0, 0.999
FLOOR, LEAST, STEEP = 1e-6, 0.01, 0.7  # errors, and how they grow with the level
RECORD = 512  # pieces of the last epoch


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("photos", type=Path)
    arguments.add_argument("--minutes", type=float, default=6.0)
    arguments.add_argument("--batch", type=int, default=BATCH)
    arguments.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments.add_argument("--out", type=Path, default=Path("photo.safetensors"))
    given = arguments.parse_args()
    photos = Photos(read(given.photos), given.device)
    model = new_model(replace(recipes.read("photo"), start=""))
    model.set_params(random_state=0, device=given.device)
    few = (photos.pieces(RECORD, 64) * 255).round().to(torch.uint8).cpu().numpy()
    model.set_params(epochs=1, learning_rate=1e-6).fit(few)
    for line in train(model.net_, photos, 60 * given.minutes, given.batch):
        print(line, flush=True)
    model.set_params(warm_start=True).fit(few).save(given.out)
    config, tensors = store.read(given.out)
    store.write(given.out, config, {n: _halved(n, tensor) for n, tensor in tensors.items()})


def read(folder: Path) -> list[np.ndarray]:
    """The photographs of a folder at all sizes, (H, W, 3) in uint8."""
    with ThreadPoolExecutor() as pool:
        return list(chain.from_iterable(pool.map(_sizes, sorted(folder.glob("*.jpg")))))


class Photos:
    """Photographs of any sizes, as one row of colours on a device."""

    def __init__(self, found: list[np.ndarray], device: str, seed: int = 1) -> None:
        self.draw = generator(seed, "noise", device=torch.device(device).type)
        ends = np.cumsum([0] + [p.shape[0] * p.shape[1] for p in found])
        shapes = [(start, *p.shape[:2]) for start, p in zip(ends[:-1], found, strict=True)]
        self.shapes = torch.tensor(shapes, device=device)
        flat = np.concatenate([p.reshape(-1, 3) for p in found])
        self.values = torch.from_numpy(np.pad(flat, ((0, 0), (0, 1)))).to(device)
        self.device = device

    def pieces(self, n: int, side: int = SIDE, gray: int | None = None) -> Tensor:
        """Pieces (n, 3, side, side) within [0, 1]; so many of them gray, first of all; or half."""
        one, other = self._cut(n, side), self._cut(n, side)
        better = (_richness(other) > _richness(one)) & (self._uniform(n) < RICHER)
        found = torch.where(better.view(-1, 1, 1, 1), other, one)
        count = n // 2 if gray is None else gray
        weights = self._uniform(count, 3).log().neg()
        weights /= weights.sum(1, keepdim=True)
        found[:count] = torch.einsum("nchw,nc->nhw", found[:count], weights).unsqueeze(1)
        return found

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, device=self.device, generator=self.draw)

    def _cut(self, n: int, side: int) -> Tensor:
        chosen = (self._uniform(n) * len(self.shapes)).long()
        start, height, width = self.shapes[chosen].unbind(1)
        y = (self._uniform(n) * (height - side + 1)).long()
        x = (self._uniform(n) * (width - side + 1)).long()
        ahead = torch.arange(side, device=self.device)
        flips = self._uniform(n, 2) < 0.5
        rows, columns = (
            torch.where(flip[:, None], side - 1 - ahead, ahead) for flip in flips.unbind(1)
        )
        rows, columns = (y[:, None] + rows)[:, :, None], (x[:, None] + columns)[:, None, :]
        place = start.view(-1, 1, 1) + rows * width.view(-1, 1, 1) + columns
        turn = (self._uniform(n) < 0.5).view(-1, 1, 1)
        place = torch.where(turn, place.transpose(1, 2), place)
        return self.values[place][..., :3].permute(0, 3, 1, 2) / 255


def _sizes(path: Path) -> list[np.ndarray]:
    """A photograph at all sizes at which the marks of its JPEG are gone."""
    photo = Image.open(path).convert("RGB")
    shares = [side / max(photo.size) for side in SIDES]
    sizes = [(round(photo.width * s), round(photo.height * s)) for s in shares if s * SHRUNK <= 1]
    return [np.array(photo.resize(size, Image.Resampling.LANCZOS)) for size in sizes]


def _richness(pieces: Tensor) -> Tensor:
    return (pieces[:, :, 1:] - pieces[:, :, :-1]).square().mean((1, 2, 3))


def train(net: Any, photos: Photos, seconds: float, batch: int = BATCH) -> Iterator[str]:
    """Train for so long, at a rate that falls with the time; says how it goes."""
    corruption = net.corruption
    assert isinstance(corruption, BlindGaussian)
    fast = photos.device != "cpu"
    parameters = list(net.parameters())
    optimizer = torch.optim.Adam(parameters, lr=RATE, betas=(0.9, 0.99), fused=fast)
    mean = copy.deepcopy(parameters)
    net.to(memory_format=torch.channels_last)
    torch.backends.cudnn.benchmark = True
    begun, step, score = time.monotonic(), 0, torch.zeros((), device=photos.device)
    while (gone := (time.monotonic() - begun) / seconds) < 1:
        rate = RATE * (0.5 * (1 + math.cos(math.pi * gone)) + 0.001)
        optimizer.param_groups[0]["lr"] = rate * min(1.0, step / WARM + 0.01)
        clean = photos.pieces(batch)
        noisy = corruption.corrupt(clean, photos.draw, 0.0, 1.0)
        level = noisy.level
        assert level is not None
        with torch.autocast(photos.device, torch.bfloat16, enabled=fast):
            output = net.encoding(level.unsqueeze(1))(noisy.x).view_as(clean)
        squared = (output.float() - clean).square().mean((1, 2, 3)) + FLOOR
        optimizer.zero_grad()
        (squared.sqrt() / (level + LEAST) ** STEEP).mean().backward()
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        step += 1
        with torch.no_grad():
            keep = min(MEAN, step / (step + 10))
            torch._foreach_lerp_(mean, parameters, 1 - keep)
            score.lerp_(squared.log10().mean() * -10, 1 if step == 1 else 0.002)
        if step % 500 == 0:
            yield f"{step} steps, {gone:.1%}: PSNR {score.item():.2f} dB"
    with torch.no_grad():
        for parameter, kept in zip(parameters, mean, strict=True):
            parameter.copy_(kept)
    yield f"{step} steps of {batch}"


def _halved(name: str, tensor: Tensor) -> Tensor:
    return tensor.half() if name.startswith("encoder.") else tensor


if __name__ == "__main__":
    main()
