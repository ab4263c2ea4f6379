"""The law of a pixel by how far it is from a guess, as suits photographs.

A channel's difference to the one before it is guessed by the pixels to the left (W), above (N)
and between (NW): it is the median of W, N and W + N - NW, of such differences there. M.
Weinberger, G. Seroussi, G. Sapiro, "The LOCO-I Lossless Image Compression Algorithm", 2000,
equation 1. What is seen are differences to the pixel, or where it is not known to its guess, so
that the law is alike in light and in shadow; and of the network of `diabolo.likelihood.neighbours`
0, 1, 2, ... are then the differences 0, -1, 1, ... of the value and its guess, modulo 256.
"""

import torch
from torch import Tensor

from diabolo.integers import LARGEST
from diabolo.likelihood.neighbours import VALUES, Neighbours, Places

NONE = VALUES // 2  # stands for a difference of 0
FINE, COARSE = 8, 2  # parts of a difference, each up to 255


class Guessed(Neighbours):
    """The laws of pixels of images, by differences. Of what is `near` the last is the guess."""

    MORE = 1

    @staticmethod
    def lookup() -> Tensor:
        """What is seen of a difference, (256, 4): how large, up and down, fine and coarse."""
        off = torch.arange(VALUES) - NONE
        seen = [off * FINE, off * -FINE, off * COARSE, off * -COARSE]
        return torch.stack(seen, 1).clamp(0, LARGEST).to(torch.uint8)

    def near(self, padded: Tensor, at: Places) -> Tensor:
        values = super().near(padded, at).int()
        channels = padded.shape[1]
        planes = values[:, : values.shape[1] - channels + 1].unflatten(1, (channels, -1))
        above = (self.reach - 1) * (2 * self.reach + 1) + self.reach
        change = _median(*(_between(planes[..., i]) for i in (-1, above, above - 1)))
        guesses, known, y = list[Tensor](), list[Tensor](), torch.zeros_like(at.channel)
        for channel in range(channels):
            guesses.append((y + change[:, channel]).clamp(0, VALUES - 1))
            y = guesses[-1]
            if channel < channels - 1:
                here = values[:, channel - channels + 1]
                y = torch.where(at.channel > channel, here, y)
            known.append(y)
        guess, centre = torch.stack(guesses, 1), torch.stack(known, 1)
        seen = [(planes - centre[..., None]).flatten(1), (centre - guess)[:, :-1]]
        found = (torch.cat(seen, 1) + NONE).clamp(0, VALUES - 1)
        return torch.cat([found, guess.gather(1, at.channel[:, None])], 1).to(torch.uint8)

    def symbols(self, values: Tensor, near: Tensor) -> Tensor:
        off = (values.int() - near[:, -1].int() + NONE) % VALUES - NONE
        return torch.where(off < 0, -2 * off - 1, 2 * off).to(torch.uint8)

    def values(self, symbols: Tensor, near: Tensor) -> Tensor:
        half, odd = symbols.int() // 2, symbols.int() % 2
        off = torch.where(odd > 0, -half - 1, half)
        return ((near[:, -1].int() + off) % VALUES).to(torch.uint8)


def _between(values: Tensor) -> Tensor:
    """The differences of channels (N, C) to the one before each; the first as it is."""
    return torch.cat([values[:, :1], values.diff(dim=1)], 1)


def _median(left: Tensor, above: Tensor, corner: Tensor) -> Tensor:
    low, high = torch.minimum(left, above), torch.maximum(left, above)
    return torch.minimum(torch.maximum(left + above - corner, low), high)
