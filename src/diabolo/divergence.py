"""Divergences between distributions: pure functions of batches, in nats."""

from torch import Tensor


def kl_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, diag exp(log_variance)) || N(0, I)) of each row; (B, K), (B, K) -> (B,).

    Kingma and Welling, "Auto-Encoding Variational Bayes", 2013, appendix B:
    -1/2 sum_k (1 + log s_k^2 - m_k^2 - s_k^2).
    """
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(dim=1)
