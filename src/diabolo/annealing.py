"""How a KL divergence is weighed as training goes on: schedules of its weight and its value.

- warm-up: the weight rises from 0 in so many steps (S. R. Bowman et al., "Generating Sentences
  from a Continuous Space", 2016, section 3.1);
- cycles: it does so again and again, each time in the first half of a cycle (H. Fu et al.,
  "Cyclical Annealing Schedule", 2019, equation 6, with R = 1/2);
- free bits: sum_k max(f, mean over the batch of KL_k) (D. P. Kingma et al., "Improving Variational
  Inference with Inverse Autoregressive Flow", 2016, equation 15);
- capacity: |KL - C|, where C rises from 0 in the warm-up (C. P. Burgess et al., "Understanding
  Disentangling in beta-VAE", 2018, equation 8).
"""

from typing import NamedTuple

from torch import Tensor


class Annealing(NamedTuple):
    """Steps of the warm-up and of a cycle, 0 for none; free nats per number; C in nats or None."""

    warmup: int = 0
    cycle: int = 0
    free: float = 0.0
    capacity: float | None = None

    def share(self, step: int) -> float:
        """The share of the weight, or of C, at a step."""
        if self.cycle:
            return min(1.0, 2 * (step % self.cycle) / self.cycle)
        return min(1.0, step / self.warmup) if self.warmup else 1.0

    def term(self, beta: float, kl: Tensor, step: int) -> tuple[float, Tensor]:
        """The weight and the term (B,) of divergences by dimension (B, K), in training."""
        share = self.share(step)
        if self.capacity is not None:
            return beta, (kl.sum(1) - share * self.capacity).abs()
        if self.free:
            kl = kl.where(kl.mean(0) > self.free, self.free)
        return share * beta, kl.sum(1)
