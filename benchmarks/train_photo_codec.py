"""The training of the model `photo-codec`, which comes with the package.

    python -m benchmarks.train_photo_codec PHOTOS --minutes 60 --out photo-codec.safetensors

PHOTOS is as for `benchmarks.train_photo`, whose pieces these are, one of eight gray. Layer by
layer, the network begins at the principal components of what each sees. Each piece is trained at a
quality that is drawn, and its loss counts more the coarser that is, by the root of its weight.
What is kept, every few minutes, is the running mean of the weights, in half precision.

Those that ship had about 10,000 steps of 4 pieces, in two parts, and 27,000 of 8 (an hour of one
core: --batch 8 --rate 3e-4 --precision bf16, by --start). More would better them.
"""

import argparse
import copy
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from benchmarks.train_photo import Photos, read
from diabolo import load, recipes, store
from diabolo.commands.training import new_model
from diabolo.estimator import Estimator

SIDE, BATCH, FEW = 128, 4, 64
RATE, WARM, CLIP, MEAN = 8e-4, 500, 1.0, 0.9993
SMALL = 0.05  # of the drawn weights, beside the principal components
EVERY = 240.0  # seconds


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("photos", type=Path)
    arguments.add_argument("--minutes", type=float, default=60.0)
    arguments.add_argument("--batch", type=int, default=BATCH)
    arguments.add_argument("--rate", type=float, default=RATE)
    arguments.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments.add_argument("--precision", default="float32", choices=["float32", "bf16"])
    arguments.add_argument("--start", type=Path, help="go on from this model")
    arguments.add_argument("--out", type=Path, default=Path("photo-codec.safetensors"))
    given = arguments.parse_args()
    photos = Photos(read(given.photos), given.device)
    few = photos.pieces(FEW)
    images = (few * 255).round().to(torch.uint8).cpu().numpy()
    if given.start is None:
        model = new_model(replace(recipes.read("photo-codec"), start=""))
        model.set_params(random_state=0, device=given.device, epochs=1, learning_rate=1e-6)
        begin(model.fit(images).net_, 2 * few - 1)
    else:
        model = load(given.start, device=given.device)
        model.set_params(epochs=1, learning_rate=1e-6)
    saved = time.monotonic()
    named = {"batch": given.batch, "rate": given.rate, "fast": given.precision == "bf16"}
    for line, mean in train(model.net_, photos, 60 * given.minutes, **named):
        print(line, flush=True)
        if mean is None or time.monotonic() - saved > EVERY:
            keep(model, mean, images, given.out)
            saved = time.monotonic()


@torch.no_grad()
def begin(net: Any, x: Tensor) -> None:
    """Begin at principal components: of each convolution's block, and back; images in [-1, 1]."""
    back = [layer for layer in net.decoder[1] if hasattr(layer, "weight")][::-1]
    for layer in net.encoder[1]:
        if isinstance(layer, nn.Conv2d):
            step, channels = layer.stride[0], layer.in_channels
            blocks = F.pixel_unshuffle(x, step) if step > 1 else x
            seen = blocks.transpose(0, 1).flatten(1).double()
            directions = torch.linalg.eigh(seen @ seen.t()).eigenvectors.flip(1)
            found = (
                directions.t()[: layer.out_channels].float().unflatten(1, (channels, step, step))
            )
            near, other = slice(1, 1 + step), back.pop(0)
            layer.weight.mul_(SMALL)[: len(found), :, near, near] += found
            weight = other.weight if step > 1 else other.weight.transpose(0, 1)
            weight.mul_(SMALL)[: len(found), :, near, near] += found
        x = layer(x)
    code = net.bottleneck
    spread = (x.abs().mean((0, 2, 3)) / code.step[code.middle] + SMALL).log() - 0.5
    finer = (code.step[code.middle] / code.step).log()
    code.law.usual[:, :, len(spread) :] = spread + finer


def train(
    net: Any, photos: Photos, seconds: float, *, batch: int, rate: float, fast: bool
) -> Iterator[tuple[str, list[Tensor] | None]]:
    """Train for so long, at a rate that falls with the time; says how it goes, and the mean."""
    code, parameters = net.bottleneck, list(net.parameters())
    optimizer = torch.optim.Adam(parameters, lr=rate, betas=(0.9, 0.99), fused=True)
    transforms = torch.autocast(photos.device, torch.bfloat16, enabled=fast)
    mean = copy.deepcopy(parameters)
    net.to(memory_format=torch.channels_last)
    begun, step, score = time.monotonic(), 0, torch.zeros((), device=photos.device)
    while (gone := (time.monotonic() - begun) / seconds) < 1:
        falling = rate * (0.5 * (1 + math.cos(math.pi * gone)) + 0.002)
        optimizer.param_groups[0]["lr"] = falling * min(1.0, step / WARM + 0.01)
        x = 2 * photos.pieces(batch, SIDE, gray=batch * (step % 2) // 4) - 1
        x = x.contiguous(memory_format=torch.channels_last)
        quality = torch.randint(code.qualities, (batch,), generator=photos.draw, device=x.device)
        with transforms:
            y = net.encoder[1](x).float()
        noise = torch.rand(y.shape, generator=photos.draw, device=x.device) - 0.5
        z, nats = code.rated(y, quality.float(), noise)
        with transforms:
            output = net.decoder[1](z)
        squared = 0.5 * (output.float() - x).square().flatten(1).sum(1)
        coarse = 2.0 ** (code.middle - quality)
        losses = (squared / code.weight + coarse * nats) / coarse.sqrt() / SIDE**2
        optimizer.zero_grad()
        losses.mean().backward()
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        step += 1
        with torch.no_grad():
            torch._foreach_lerp_(mean, parameters, 1 - min(MEAN, step / (step + 10)))
            score.lerp_(losses.mean(), 1 if step == 1 else 0.01)
        if step % 250 == 0:
            yield f"{step} steps, {gone:.1%}: {score.item():.4f} nats per pixel", mean
    with torch.no_grad():
        for parameter, kept in zip(parameters, mean, strict=True):
            parameter.copy_(kept)
    yield f"{step} steps of {batch}", None


def keep(model: Estimator, mean: list[Tensor] | None, images: Any, out: Path) -> None:
    """Write the model with its mean weights; at the end with the record of an epoch's fit."""
    model = copy.deepcopy(model)
    if mean is None:
        model.set_params(warm_start=True).fit(images)
    else:
        for parameter, kept in zip(model.net_.parameters(), mean, strict=True):
            parameter.data.copy_(kept)
    model.save(out)
    config, tensors = store.read(out)
    store.write(out, config, {name: _halved(name, tensor) for name, tensor in tensors.items()})


def _halved(name: str, tensor: Tensor) -> Tensor:
    return tensor.half() if name.startswith(("encoder", "decoder", "bottleneck")) else tensor


if __name__ == "__main__":
    main()
