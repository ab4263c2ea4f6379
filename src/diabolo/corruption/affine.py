"""Affine deformations:  x~(p) = x(A p + t),  A = R(a) ((1, s), (0, 1)) diag(f, g).

p = (column, row) is a pixel's place from the image's middle; R turns by the angle a, s slants, f
and g stretch, and t shifts. All six are drawn anew for each image. Values between pixels are
bilinear, and beyond the border an image is at its lowest. A denoising autoencoder that undoes it
learns codes that hardly depend on the pose. Simard, Steinkraus and Platt, "Best Practices for
Convolutional Neural Networks Applied to Visual Document Analysis", ICDAR 2003.
"""

import math
from dataclasses import field
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Generator, Tensor
from torch.nn import functional as F  # noqa: N812

from diabolo.corruption.base import Corrupted, Corruption, need_images
from diabolo.draw import uniform


class Affine(Corruption, kind="affine"):
    """Turns, slants, stretches and shifts images (B, C, H, W), each by its own a, s, f, g and t.

    a, s and both of t are uniform from minus to plus `angle`, `shear` and `shift`; log f and
    log g from minus to plus log(1 + `stretch`).
    """

    angle: Annotated[float, Ge(0), "Largest angle, in degrees."] = field(
        default=15.0, kw_only=False
    )
    stretch: Annotated[float, Ge(0), "Largest stretch of each side; 0.1: by a tenth."] = 0.15
    shear: Annotated[float, Ge(0), "Largest slant; 0.1: by a tenth of the height."] = 0.0
    shift: Annotated[float, Ge(0), "Largest shift along each side, in pixels."] = 1.0

    def corrupt(self, x: Tensor, generator: Generator, low: float, high: float) -> Corrupted:
        self.check(x.shape[1:], low, high)
        ground = low if math.isfinite(low) else 0.0
        u = 2 * uniform(x.new_empty(len(x), 6), generator) - 1
        moved = F.grid_sample(x - ground, self._places(x, u), align_corners=False)
        return Corrupted(moved.add_(ground).clamp_(low, high))

    def check(self, shape: tuple[int, ...], low: float, high: float) -> None:
        need_images("An affine deformation", shape, "'gaussian' or 'masking'")

    def _places(self, x: Tensor, u: Tensor) -> Tensor:
        """Where each pixel comes from, (B, H, W, 2), in half sides of the image from its middle.

        `u` (B, 6) in [-1, 1] decides on angle, both stretches, both shifts and slant.
        """
        axes = [torch.arange(n, device=x.device, dtype=x.dtype) - (n - 1) / 2 for n in x.shape[2:]]
        rows, columns = (p.unsqueeze(-1) for p in torch.meshgrid(*axes, indexing="ij"))
        angle = (self.angle * u[:, :1]).deg2rad()
        across = torch.cat([angle.cos(), angle.sin()], 1)
        down = torch.cat([-angle.sin(), angle.cos()], 1) + self.shear * u[:, 5:] * across
        stretch = (math.log1p(self.stretch) * u[:, 1:3]).exp()
        steps = across * stretch[:, :1], down * stretch[:, 1:], self.shift * u[:, 3:5]
        step, below, shift = (s.view(-1, 1, 1, 2) for s in steps)
        half = x.new_tensor([x.shape[3], x.shape[2]]) / 2
        return (columns * step + rows * below + shift) / half
