"""The training of the model `photo-lossless`, which comes with the package.

    python -m benchmarks.train_photo_lossless PHOTOS --minutes 60 --out photo-lossless.safetensors

PHOTOS is as for `benchmarks.train_photo`, whose pieces these are, small ones: one of eight gray,
one of four with noise of up to `NOISE`. Of each a few single pixels are learnt, one of sixteen
of them at the piece's edge, as if it were the photograph's. The rest is as in
`benchmarks.train_digits`.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.train_digits import Drawn, asking, kept
from benchmarks.train_photo import Photos, read
from diabolo import recipes
from diabolo.commands import training
from diabolo.likelihood.neighbours import Neighbours, Places

PIECES, PIXELS, SIDE = 256, 8, 12
GRAY, NOISY, NOISE = 8, 4, 8.0  # one of so many, of 255
EDGE = 1 / 16


def main() -> None:
    arguments = asking(__doc__, "photo-lossless")
    arguments.add_argument("photos", type=Path)
    given = arguments.parse_args()
    photos = Photos(read(given.photos), "cpu")
    model = new_model(photos)
    for line in kept(model, drawn(model.net_.likelihood.network, photos), given):
        print(line, flush=True)


def new_model(photos: Photos) -> Any:
    """The model of the recipe: principal components, and a law that has hardly been trained."""
    recipe = recipes.read("photo-lossless")
    model = training.new_model(replace(recipe, start=""))
    pieces = photos.pieces(2048, recipe.data["patch_size"])
    few = (pieces[:64] * 255).round().to(torch.uint8).numpy()
    model.set_params(random_state=0, learning_rate=1e-6).fit(few)
    begin(model.net_, pieces.flatten(1))
    return model


@torch.no_grad()
def begin(net: Any, x: Tensor) -> None:
    """Let the linear autoencoder be that of the principal components of x (N, D) in [0, 1]."""
    encoder, decoder = (
        next(m for m in part.modules() if isinstance(m, nn.Linear))
        for part in (net.encoder, net.decoder)
    )
    mean = x.mean(0)
    directions = torch.linalg.svd(x - mean, full_matrices=False).Vh[: len(encoder.weight)]
    encoder.weight.copy_(directions)
    encoder.bias.copy_(-directions @ mean)
    decoder.weight.copy_((directions / (mean * (1 - mean))).t())  # of the sigmoid's slope
    decoder.bias.copy_(mean.logit())


def drawn(law: Neighbours, photos: Photos) -> Iterator[Drawn]:
    """Padded pieces, pixels of them, and what each weighs."""
    n, reach, draw = PIECES * PIXELS, law.reach, photos.draw
    image = torch.arange(PIECES).repeat_interleave(PIXELS)
    weight = torch.full((n,), 1 / n)
    while True:
        pieces = 255 * photos.pieces(PIECES, SIDE, gray=PIECES // GRAY)
        some = pieces[::NOISY]
        level = NOISE * torch.rand(len(some), 1, 1, 1, generator=draw)
        noise = torch.randn(some.shape, generator=draw)
        noise[: len(some) // GRAY] = noise[: len(some) // GRAY, :1]
        some += level * noise
        padded = law.padded(pieces.round().clamp(0, 255).to(torch.uint8))
        place = torch.rand(3, n, generator=draw)
        anywhere = torch.rand(n, generator=draw) < EDGE
        inner = torch.tensor([[SIDE - reach], [SIDE - 2 * reach]])
        row, column = torch.where(anywhere, place[:2] * SIDE, reach + place[:2] * inner).long()
        channel = torch.where(image < PIECES // GRAY, 0, place[2] * 3).long()
        yield padded, Places(image, channel, row, column), weight


if __name__ == "__main__":
    main()
