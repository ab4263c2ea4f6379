"""Divergences between distributions: pure functions of batches, in nats."""

from torch import Tensor


def kl_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, diag exp(log_variance)) || N(0, I)) of each row; (B, K), (B, K) -> (B,).

    Kingma and Welling, "Auto-Encoding Variational Bayes", 2013, appendix B:
    -1/2 sum_k (1 + log s_k^2 - m_k^2 - s_k^2).
    """
    return kl_by_dimension(mean, log_variance).sum(dim=1)


def kl_by_dimension(mean: Tensor, log_variance: Tensor) -> Tensor:
    """The terms (B, K) of `kl_standard_normal`, one for each number of the code."""
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp())
