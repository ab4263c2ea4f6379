"""Divergences between distributions: pure functions of batches, in nats."""

from torch import Tensor


def kl_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, diag exp(log_variance)) || N(0, I)) of each row; (B, K), (B, K) -> (B,).

    Kingma and Welling, "Auto-Encoding Variational Bayes", 2013, appendix B:
    -1/2 sum_k (1 + log s_k^2 - m_k^2 - s_k^2).
    """
    return kl_by_dimension(mean, log_variance).sum(dim=1)


def mmd_standard_normal(z: Tensor, codes: Tensor) -> Tensor:
    """What each of codes z (B, K) adds to MMD^2(codes, N(0, I)), (B,), of codes (M, K) like them.

    With the Gaussian kernel exp(-|a - b|^2 / 2h), h = K, whose means under N(0, I) are known: R.
    Rustamov, "Closed-form Expressions for Maximum Mean Discrepancy", 2019, equation 3. Where z are
    the codes themselves the mean over them is the MMD^2 (with each code beside itself).
    """
    size = z.shape[1]
    inner = (-0.5 / size * (z[:, None] - codes).square().sum(2)).exp().mean(1)
    cross = (size / (size + 1)) ** (size / 2) * (-0.5 / (size + 1) * z.square().sum(1)).exp()
    return inner - 2 * cross + (size / (size + 2)) ** (size / 2)


def kl_by_dimension(mean: Tensor, log_variance: Tensor) -> Tensor:
    """The terms (B, K) of `kl_standard_normal`, one for each number of the code."""
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp())
