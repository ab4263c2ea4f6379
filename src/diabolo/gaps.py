"""Rows with gaps as draws of one Gaussian:  what the values that are there say of the others.

    x_g ~ m_g + S_go S_oo^-1 (x_o - m_o),     o: there, g: gaps

Mean m and covariance S come by expectation and maximisation: A. P. Dempster, N. M. Laird,
D. B. Rubin, "Maximum Likelihood from Incomplete Data via the EM Algorithm", 1977; R. J. A. Little,
D. B. Rubin, "Statistical Analysis with Missing Data", 1987, section 8.2. A share of the variance
is added to S where it is inverted, as in a ridge regression.
"""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

RIDGE = 0.03  # of the unit variance
ROUNDS, SETTLED = 50, 1e-3  # of EM; the change of the filled values (root mean square) to stop at
STEPS = 12  # of conjugate gradients
VALUES = 1 << 22  # numbers of the matrices that are inverted at once
LEAST = 1e-12


def fit_gaussian(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (E,) and precision (E, E), float32, of scaled rows (N, E), NaN in gaps."""
    x = x.double()
    gap, n = x.isnan(), x.shape[1]
    filled = torch.where(gap, 0.0, x)
    mean, covariance = filled.mean(0), torch.eye(n, dtype=x.dtype)
    some = gap.any(1).nonzero().flatten()
    for _ in range(ROUNDS):
        before = filled[some]
        filled[some], left = _expected(x[some], mean, covariance)
        mean = filled.mean(0)
        off = filled - mean
        first = bool((covariance == torch.eye(n, dtype=x.dtype)).all())
        covariance = (off.mT @ off + left) / len(x)
        change = (filled[some] - before).square().sum() / gap.sum().clamp(min=1)
        if change.sqrt() < SETTLED and not first:
            break
    precision = torch.linalg.inv(covariance + RIDGE * torch.eye(n, dtype=x.dtype))
    return mean.float(), precision.float()


def _expected(x: Tensor, mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (N, E) with the conditional means in their gaps; the sum of what is left to vary."""
    n = x.shape[1]
    filled, left = [], torch.zeros_like(covariance)
    for rows in x.split(max(VALUES // n**2, 1)):
        patterns, which, count = (~rows.isnan()).unique(
            dim=0, return_inverse=True, return_counts=True
        )
        there = patterns.to(x.dtype)
        both = there.unsqueeze(2) * there.unsqueeze(1)
        diagonal = torch.diag_embed(1 - there + RIDGE * there)
        inverse = torch.linalg.inv(covariance * both + diagonal) * both
        weights = covariance @ inverse
        off = torch.where(rows.isnan(), 0.0, rows - mean)
        means = mean + torch.bmm(weights[which], off.unsqueeze(2)).squeeze(2)
        filled.append(torch.where(rows.isnan(), means, rows))
        away = (1 - there).unsqueeze(2) * (1 - there).unsqueeze(1)
        left += ((covariance - weights @ covariance) * away * count[:, None, None]).sum(0)
    return torch.cat([x[:0], *filled]), left


def conditional_mean(x: Tensor, mean: Tensor, precision: Tensor) -> Tensor:
    """Rows (B, E) with the conditional means of a Gaussian in their gaps.

    The equations Q_gg (x_g - m_g) = -Q_go (x_o - m_o), Q the precision, by conjugate gradients
    with the diagonal as preconditioner: M. R. Hestenes, E. Stiefel, "Methods of Conjugate
    Gradients for Solving Linear Systems", 1952.
    """
    gap = x.isnan()
    known = torch.where(gap, 0.0, x - mean)
    found, diagonal = torch.zeros_like(known), precision.diagonal()
    rest = -F.linear(known, precision) * gap
    step = wanted = rest / diagonal
    size = (rest * wanted).sum(1, keepdim=True)
    for _ in range(STEPS):
        product = F.linear(step, precision) * gap
        length = size / (step * product).sum(1, keepdim=True).clamp(min=LEAST)
        found, rest = found + length * step, rest - length * product
        wanted, before = rest / diagonal, size
        size = (rest * wanted).sum(1, keepdim=True)
        step = wanted + size / before.clamp(min=LEAST) * step
    return torch.where(gap, mean + found, x)


def smoothed(x: Tensor) -> Tensor:
    """Images (B, C, H, W) with their gaps, NaN, filled smoothly; those that are all gaps with 0.

    What is known is averaged to ever coarser images, and brought back where it is missing: the
    pull-push algorithm of S. Gortler, R. Grzeszczuk, R. Szeliski and M. Cohen, "The Lumigraph",
    1996, section 3.4.
    """
    known = ~x.isnan()
    values = x.nan_to_num(0)
    if max(x.shape[2:]) == 1 or (not torch.compiler.is_compiling() and known.all()):
        return values
    share = F.avg_pool2d(known.to(x), 2, ceil_mode=True)
    coarse = F.avg_pool2d(values, 2, ceil_mode=True) / share
    fine = F.interpolate(smoothed(coarse), x.shape[2:], mode="bilinear")
    return torch.where(known, values, fine)
