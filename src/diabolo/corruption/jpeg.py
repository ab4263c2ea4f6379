"""The losses of image codecs:  x~ = decode(encode(x, q)),  q ~ U{low, ..., high}.

JPEG cuts an image into squares of 8 pixels, of colours at half the resolution 16, and WebP into
ones of 4 and 16. An image here is continued to the left and above by some pixels of its mirror
image first, so that these squares lie anew over it. JPEG: ITU-T T.81, 1992; WebP: RFC 9649, 2024.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge, Le
from PIL import Image
from torch import Generator, Tensor

from diabolo.corruption.base import Corrupted, Corruption, need_images, need_range, ordered
from diabolo.data.decoding import recoded
from diabolo.draw import uniform

SQUARE = 16  # the largest that a codec works on, in pixels a side
SAMPLINGS = "4:2:0", "4:2:2", "4:4:4"
WORTH = 2**14  # pixels of an image for which threads are worth it
Quality = Annotated[int, Ge(1), Le(100)]


class Jpeg(Corruption, kind="jpeg"):
    """Writes images (B, C, H, W) in 8 bits by a codec and reads them again.

    In colour where C is 3, else channel by channel in gray. `level` is the quality, drawn for each
    image. Each is encoded for itself, on a processor: large ones in threads. A patch of 32 x 32 in
    colour takes about .6 ms, a megapixel .05 s (WebP .2 s).
    """

    quality: Annotated[
        tuple[Quality, Quality], "Range of the quality, 1 to 100 (--corruption.quality=5,40)."
    ] = field(default=(10, 60), kw_only=False)
    codec: Annotated[Literal["jpeg", "webp"], "Which one."] = "jpeg"
    subsampling: Annotated[
        Literal["any", "4:2:0", "4:2:2", "4:4:4"],
        "Resolution of the colours of JPEG: a quarter, half, or all of it; any: drawn.",
    ] = "any"

    def corrupt(self, x: Tensor, generator: Generator, low: float, high: float) -> Corrupted:
        self.check(x.shape[1:], low, high)
        u = uniform(x.new_empty(len(x), 4), generator)
        first, last = self.quality
        level = first + (u[:, 0] * (last + 1 - first)).floor().clamp_max(last - first)
        draws = (u[:, 1:] * u.new_tensor([SQUARE, SQUARE, len(SAMPLINGS)])).long()
        stored = (x - low).mul_(255 / (high - low)).round_().clamp_(0, 255).byte().cpu().numpy()
        margin = [(0, 0), (0, 0), (SQUARE, 0), (SQUARE, 0)]
        tasks = [
            partial(self._coded, *drawn)
            for drawn in zip(
                np.pad(stored, margin, mode="symmetric"),
                level.int().tolist(),
                draws.tolist(),
                strict=True,
            )
        ]
        found = torch.from_numpy(np.stack(_all(tasks, stored[0, 0].size))).to(x)
        return Corrupted(found.mul_((high - low) / 255).add_(low).clamp_(low, high), level=level)

    def check(self, shape: tuple[int, ...], low: float, high: float) -> None:
        need_images("A codec", shape, "'gaussian' or 'masking'")
        need_range("A codec needs", low, high)
        ordered("quality", self.quality)

    def _coded(self, image: np.ndarray, quality: int, draws: Sequence[int]) -> np.ndarray:
        """An image (C, SQUARE + H, SQUARE + W), uint8, encoded, decoded and cut to (C, H, W).

        `draws`: the pixels of its margin that are left out, and which sampling.
        """
        if len(image) not in (1, 3):
            return np.concatenate([self._coded(plane[None], quality, draws) for plane in image])
        down, right, sampling = draws
        pixels = np.moveaxis(image[:, down:, right:], 0, -1)
        options: dict[str, Any] = {"quality": quality}
        if self.codec == "jpeg":
            chosen = SAMPLINGS[sampling] if self.subsampling == "any" else self.subsampling
            options["subsampling"] = chosen
        plane = pixels if pixels.shape[2] == 3 else pixels[..., 0]
        picture = Image.fromarray(np.ascontiguousarray(plane))
        decoded = np.atleast_3d(np.asarray(recoded(picture, self.codec, **options)))
        return np.moveaxis(decoded, -1, 0)[:, SQUARE - down :, SQUARE - right :]


def _all(tasks: Sequence[Callable[[], np.ndarray]], pixels: int) -> list[np.ndarray]:
    """What each task gives; in threads, where images have so many pixels that it is worth it."""
    if len(tasks) == 1 or pixels < WORTH:
        return [task() for task in tasks]
    with ThreadPoolExecutor(min(len(tasks), os.cpu_count() or 1)) as pool:
        return list(pool.map(lambda task: task(), tasks))
