"""Gaps of images filled smoothly:  what is known is averaged to ever coarser images, and brought
back where it is missing.

The pull-push algorithm of S. Gortler, R. Grzeszczuk, R. Szeliski and M. Cohen, "The Lumigraph",
SIGGRAPH 1996, section 3.4.
"""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def smoothed(x: Tensor) -> Tensor:
    """Images (B, C, H, W) with their gaps, NaN, filled; those that are all gaps with 0."""
    known = ~x.isnan()
    values = x.nan_to_num(0)
    if known.all() or max(x.shape[2:]) == 1:
        return values
    share = F.avg_pool2d(known.to(x), 2, ceil_mode=True)
    coarse = F.avg_pool2d(values, 2, ceil_mode=True) / share
    fine = F.interpolate(smoothed(coarse), x.shape[2:], mode="bilinear")
    return torch.where(known, values, fine)
