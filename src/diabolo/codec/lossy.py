"""Images <-> bytes by a compressive autoencoder: its code, told to the entropy coder in steps.

What the coder is told, and the images that come of the code, are the same on every machine: see
`diabolo.exact` and `laws`. The images are decoded in strips, so that a large one needs little
memory beside itself and its code.
"""

import hashlib
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property, partial
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from diabolo.codec import laws
from diabolo.codec.effort import bettered
from diabolo.codec.entropy import Decoder, Step, encode_backwards
from diabolo.errors import InputError
from diabolo.exact import exact, settled
from diabolo.models.compressive import RatedCode
from diabolo.net import Net
from diabolo.networks.gdn import Transform
from diabolo.progress import Tell, untold
from diabolo.rate import between

SIXTEENTHS = 16  # of a quality
BEYOND = 1 << 15  # the numbers of a code are less than that
BYTE = np.full(256, laws.TOTAL / 256)
HEAD, BESIDE = 5, 256  # bytes: the quality and a check of the code; what a file has beside
STRIP, MARGIN = 32, 2  # rows of a map that are worked on at once, and those around that matter
PLACES = 1 << 12  # of a map, the numbers at which are bettered at once

Turn = Callable[[int, np.ndarray], np.ndarray]


class Lossy:
    """The codec of a compressive model: images (N, C, H, W) of uint8 <-> bytes.

    `quality` from 1 to as many as the model has, also between two; or the `bits_per_pixel` that
    the bytes of each call come nearest to from below, where the model reaches so low. With
    `effort`, a number of steps, the code of each image is first bettered, see `bettered`. Images
    may be of any size where the code is the map of a `Transform`, and gray where the model's are
    in colour. Raises `InputError` where its layers are not the same everywhere.
    """

    name = "lossy"

    @classmethod
    def of(cls, model: Any, **asked: Any) -> Self | None:
        """The codec of a fitted model, which is to `ask`; None where its code has no rate."""
        net = model.net_
        if not isinstance(net.bottleneck, RatedCode):
            return None
        if model.dtype_ != "uint8" or net.image_shape is None:
            raise InputError("A model must be trained on images of 8 bits to compress some.")
        return cls(net, **asked)

    def __init__(self, net: Net, **asked: Any) -> None:
        self._shape = cast(tuple[int, int, int], net.image_shape)
        encoder, decoder = (_transform(part) for part in (net.encoder, net.decoder))
        self.net, self.any_size = net, encoder is not None
        self.channels = self._shape[0]
        self.step = 1 if encoder is None else encoder.step
        self.encoder = net.encoder if encoder is None else encoder
        self.code = cast(Any, exact(net.bottleneck))
        self.output = net.decoder if decoder is None else decoder
        self.decoder = exact(nn.Sequential(self.output, net.likelihood.layer()))
        self.finest = SIXTEENTHS * (len(self.code.step) - 1)
        self.ask(**asked)

    def ask(
        self,
        quality: float | None = None,
        bits_per_pixel: float | None = None,
        effort: int = 0,
    ) -> None:
        """Take a quality, or bits per pixel, from now on, none: the middle one; and an effort."""
        most = len(self.code.step)
        if quality is not None and bits_per_pixel is not None:
            raise InputError("Give a quality or the bits per pixel, not both.")
        if quality is not None and not 1 <= quality <= most:
            raise InputError(
                f"The quality is between 1 and {most} for this model, not {quality:g}."
            )
        if bits_per_pixel is not None and not bits_per_pixel > 0:
            raise InputError(f"The bits per pixel are more than 0, not {bits_per_pixel}.")
        if effort < 0:
            raise InputError(f"The effort is a number of steps, 0 or more, not {effort}.")
        self.quality = round(SIXTEENTHS * (most // 2 if quality is None else quality - 1))
        self.bits_per_pixel, self.effort = bits_per_pixel, effort

    @cached_property
    def sha256(self) -> str:
        """The hash of all that the images depend on."""
        total = hashlib.sha256(f"{self._shape} {self.any_size}".encode())
        parts = self.code.state_dict() | self.decoder.state_dict() | self.net.scaling.state_dict()
        for name, tensor in parts.items():
            total.update(f"{name} {tuple(tensor.shape)}".encode() + tensor.cpu().numpy().tobytes())
        return total.hexdigest()

    def shape_of(self, values: int) -> tuple[int, int, int]:
        """(C, H, W) of images that are given as rows."""
        if values != self.net.features:
            raise InputError(f"Rows of this model have {self.net.features} values, not {values}.")
        return self._shape

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse images of a shape (C, H, W) that the model is not of."""
        c, h, w = self._shape
        if not self.any_size and shape != (c, h, w):
            raise InputError(f"This model is of images of {c} x {h} x {w}, not {shape}.")
        if shape[0] not in (1, c):
            raise InputError(
                f"This model is of images of {c} channels, not {shape[0]}: leave out what is more."
            )

    def encode(self, images: np.ndarray, tell: Tell = untold) -> bytes:
        """The bytes of images (N, C, H, W)."""
        latent, quality, room = self.latent(images), self.quality, math.inf
        plain = cache(lambda at: self.written(self._values(latent, at), at))
        if self.bits_per_pixel is not None:
            room = self.bits_per_pixel * images[:, 0].size / 8 - BESIDE
            quality = _finest_within(room, plain, self.finest)
        if not self.effort:
            return plain(quality)
        while True:
            content = self.written(self._bettered(latent, images, quality, tell), quality)
            if len(content) <= room or not quality:
                return content
            quality -= 1

    @torch.no_grad()
    def _values(self, latent: Tensor, quality: int) -> Tensor:
        """What is rounded at a quality, of what `latent` gave."""
        return self.code.scaled(latent.double(), torch.tensor([quality / SIXTEENTHS]))

    def _bettered(self, latent: Tensor, images: np.ndarray, quality: int, tell: Tell) -> Tensor:
        """The same after `effort` steps towards fewer nats and less error, by the model's loss."""
        net, code = self.net, cast(RatedCode, self.net.bottleneck)
        at = torch.tensor([quality / SIXTEENTHS], device=net.device)
        x, weight = self._scaled(images), code.weight * 2 ** (code.middle - at)
        value = self._values(latent, quality).float().to(net.device)

        def cost(first: int, window: Tensor) -> Tensor:
            found = self._by(self.output, window * between(code.step, at))
            pixels = x[:, :, first * self.step :][:, :, : found.shape[2]]
            found = found[:, :, : pixels.shape[2], : pixels.shape[3]]
            nats = code.law(window, window, at).flatten(1).sum(1)
            return net.likelihood.nll(found.flatten(1), pixels.flatten(1)) + weight * nats

        rows = max(1, PLACES // value.shape[3]) if self.any_size else value.shape[2]
        return bettered(value, cost, self.effort, rows, tell).cpu()

    def decode(
        self,
        contents: Sequence[bytes],
        counts: Sequence[int],
        shape: tuple[int, int, int],
        tell: Tell = untold,
    ) -> list[np.ndarray]:
        """The images (N, C, H, W) of several chunks, of so many images of one shape.

        Raises `InputError` where the bytes are not what `encode` gave.
        """
        pairs = zip(contents, counts, strict=True)
        return [self._decoded(content, (count, *shape)) for content, count in pairs]

    def _decoded(self, content: bytes, shape: tuple[int, int, int, int]) -> np.ndarray:
        if len(content) < HEAD or content[0] > self.finest:
            raise InputError("The stream is damaged.")
        rest, quality = Decoder(content[HEAD:]), content[0]
        code = np.zeros(self._map(shape))
        self._walk(code, quality, partial(_taken, rest))
        if not rest.empty or content[1:HEAD] != _check(code):
            raise InputError("The images are not those that were compressed.")
        return self.images(torch.from_numpy(code), quality, shape)

    def _map(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """That of the code of images of such a shape."""
        channels = self.code.step.shape[1]
        if self.any_size:
            return shape[0], channels, *(-(-side // self.step) for side in shape[2:])
        return shape[0], channels, self.net.probe[0] // channels, 1

    @torch.inference_mode()
    def latent(self, images: np.ndarray) -> Tensor:
        """What becomes the code when it is rounded, at any quality: maps (B, M, h, w)."""
        x = self._scaled(images)
        if not self.any_size:
            y = cast(Tensor, self.encoder(self.net.shaped(x.flatten(1))))
            return y.view(self._map(images.shape)).cpu()
        height, width = (-side % self.step for side in x.shape[2:])
        whole = nn.functional.pad(x, (0, width, 0, height), mode="replicate")
        return torch.cat([*_strips(self.encoder, whole, self.step, 1)], 2).cpu()

    def _scaled(self, images: np.ndarray) -> Tensor:
        """Images as the network takes them, in all its channels."""
        coloured = np.broadcast_to(images, (len(images), self.channels, *images.shape[2:]))
        x = torch.from_numpy(coloured.astype(np.float32)).to(self.net.device)
        return self.net.scaling(x.flatten(1)).view(x.shape)

    @torch.inference_mode()
    def written(self, value: Tensor, quality: int) -> bytes:
        """The bytes of values (B, M, h, w) before they are rounded."""
        steps, code = list[Step](), value.double().round().clamp(1 - BEYOND, BEYOND - 1)
        self._walk(code.numpy(), quality, partial(_noted, steps))
        return bytes([quality]) + _check(code.numpy()) + encode_backwards(reversed(steps))

    @torch.inference_mode()
    def images(self, code: Tensor, quality: int, shape: tuple[int, ...]) -> np.ndarray:
        """The images of a code, the same to the bit everywhere."""
        steps = between(self.code.step, torch.tensor([quality / SIXTEENTHS]))
        z = settled(code * steps)
        if self.any_size:
            found = torch.cat([*_strips(self.decoder, z, 1, self.step)], 2)
        else:
            found = self._by(self.decoder, z)
        found = found[:, :, : shape[2], : shape[3]]
        if shape[1] != self.channels:
            found = sum(found.unbind(1), torch.zeros(())).unsqueeze(1) / self.channels
        scaling = self.net.scaling
        stored = found * scaling.scale.double().cpu() + scaling.shift.double().cpu()
        return (stored + 0.5).floor().clamp(0, 255).to(torch.uint8).numpy()

    def _by(self, decoder: nn.Module, z: Tensor) -> Tensor:
        """The images of maps, by one of the decoders."""
        if self.any_size:
            return cast(Tensor, decoder(z))
        return cast(Tensor, decoder(z.flatten(1))).view(len(z), *self._shape)

    @torch.inference_mode()
    def _walk(self, code: np.ndarray, quality: int, turn: Turn) -> None:
        """Go through a code in the order in which it is coded, and fill it in.

        `turn` is given a table's number and what is beside its whole numbers, and gives it back,
        or what was decoded for so many.
        """
        order = self.code.law.order(*code.shape[2:]).numpy()
        for step in range(self.code.law.steps):
            now = np.broadcast_to(order == step, code.shape)
            whole, law = self._laws(code * (order < step), step, quality)
            whole, law, given = whole[now], law[now], code[now]
            found = np.empty(len(given))
            places = np.argsort(law, kind="stable")
            kinds, starts = np.unique(law[places], return_index=True)
            for kind, chosen in zip(kinds, np.split(places, starts[1:]), strict=True):
                found[chosen] = turn(int(kind), given[chosen] - whole[chosen]) + whole[chosen]
            code[now] = found

    def _laws(self, known: np.ndarray, step: int, quality: int) -> tuple[np.ndarray, np.ndarray]:
        """Whole numbers near which those of a step are, and the numbers of their tables."""
        at = torch.tensor([quality / SIXTEENTHS])

        def moments(part: Tensor) -> Tensor:
            pair = [m.expand_as(part) for m in self.code.law.moments(part, step, at)]
            return torch.cat(pair, 1)

        found = torch.cat([*_strips(moments, torch.from_numpy(known), 1, 1)], 2)
        mean, log_scale = (torch.floor(m * laws.PARTS + 0.5) for m in found.chunk(2, 1))
        whole = torch.floor(mean / laws.PARTS)
        scale = (log_scale - laws.LOWEST).clamp(0, laws.SCALES - 1)
        law = scale * laws.PARTS + (mean - laws.PARTS * whole)
        return whole.numpy(), law.to(torch.int16).numpy()


def _check(code: np.ndarray) -> bytes:
    """The CRC-32 of a code, whose numbers decide the images."""
    return zlib.crc32(code.astype("<i4").tobytes()).to_bytes(4, "little")


def _finest_within(room: float, written: Callable[[int], bytes], finest: int) -> int:
    """The finest quality whose bytes are within so many, by halving; 0 where none is."""
    low, high = 0, finest
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(written(middle)) <= room else (low, middle - 1)
    return low


def _noted(steps: list[Step], kind: int, numbers: np.ndarray) -> np.ndarray:
    """Note what the entropy coder is to be told of numbers with the same table."""
    r = laws.reach(kind // laws.PARTS)
    symbols = np.clip(numbers, -r, r + 1)
    steps.append((symbols + r, laws.table(*divmod(kind, laws.PARTS))))
    beyond = np.abs(numbers - symbols)[(symbols == -r) | (symbols == r + 1)].astype(np.int64)
    steps.append((np.stack([beyond >> 8, beyond & 255], 1).ravel(), BYTE))
    return numbers


def _taken(stream: Decoder, kind: int, places: np.ndarray) -> np.ndarray:
    """So many numbers with the same table, from the entropy coder."""
    r = laws.reach(kind // laws.PARTS)
    symbols = stream.take(laws.table(*divmod(kind, laws.PARTS)), len(places)) - r
    numbers = symbols.astype(np.float64)
    outside = (symbols == -r) | (symbols == r + 1)
    if count := int(outside.sum()):
        high, low = stream.take(BYTE, 2 * count).reshape(-1, 2).T
        numbers[outside] += np.sign(symbols[outside]) * (high * 256 + low)
    return numbers


def _strips(
    function: Callable[[Tensor], Tensor], x: Tensor, before: int, behind: int
) -> Iterator[Tensor]:
    """What a function makes of an image or a map, from top to bottom.

    It takes `before` rows for each row of the map, and gives `behind`.
    """
    rows = x.shape[2] // before
    for start in range(0, rows, STRIP):
        stop, first = min(start + STRIP, rows), max(0, start - MARGIN)
        found = function(x[:, :, first * before : (stop + MARGIN) * before])
        yield found[:, :, (start - first) * behind : (stop - first) * behind]


def _transform(part: nn.Module) -> Transform | None:
    """The transform of a part whose code is its map."""
    layers = list(part.children())
    plain = not any(isinstance(layer, nn.Linear) for layer in layers)
    return next((m for m in layers if isinstance(m, Transform)), None) if plain else None
