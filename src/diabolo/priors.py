"""Laws p(z) that codes of Gaussians may follow in the place of N(0, I), learnt with the network.

- mixture: of Gaussians with means, variances and weights of their own;
- vamp: the mean of q(z | u) over learnt inputs u (J. Tomczak, M. Welling, "VAE with a VampPrior",
  2018, equation 9);
- flow: N(0, I) through affine couplings (L. Dinh, J. Sohl-Dickstein, S. Bengio, "Density
  Estimation using Real NVP", 2017, equations 4 to 8).

All begin at N(0, I) or near it.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from diabolo import networks
from diabolo.bottleneck import Encoder, StandardNormal
from diabolo.errors import InputError
from diabolo.networks.dense import Dense

Name = Literal["normal", "mixture", "vamp", "flow"]
Moments = Callable[[Encoder, Tensor], tuple[Tensor, Tensor]]
COMPONENTS = 128  # of a mixture, and learnt inputs
COUPLINGS, UNITS = 6, (64, 64)  # of a flow; units of the layers in each
MOST = 2.0  # |log| of the scale of a coupling
SPREAD = 0.5  # of the means that a mixture begins with


class Law(nn.Module):
    """Base of the laws of codes of `size` numbers."""

    def see(self, encoder: Encoder, moments: Moments) -> None:
        """Learn what the encoder is, before `log_prob` in training."""

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats; (B, K) -> (B,)."""
        raise NotImplementedError

    def sample(self, n: int, generator: Generator, temperature: float = 1.0) -> Tensor:
        """Codes (n, K), scaled by the temperature."""
        return temperature * self.drawn(n, generator)

    def drawn(self, n: int, generator: Generator) -> Tensor:
        """Codes (n, K)."""
        raise NotImplementedError


class Mixture(Law):
    """sum_c w_c N(m_c, s_c^2)."""

    def __init__(self, size: int, generator: Generator | None) -> None:
        super().__init__()
        self.means = nn.Parameter(SPREAD * torch.randn(COMPONENTS, size, generator=generator))
        self.log_variances = nn.Parameter(torch.zeros(COMPONENTS, size))
        self.logits = nn.Parameter(torch.zeros(COMPONENTS))

    def log_prob(self, z: Tensor) -> Tensor:
        return _of_mixture(z, self.means, self.log_variances, self.logits)

    def drawn(self, n: int, generator: Generator) -> Tensor:
        return _drawn(n, self.means, self.log_variances, self.logits, generator)


class Vamp(Law):
    """1/C sum_c q(z | u_c), with inputs u_c that are learnt."""

    def __init__(self, size: int, shape: tuple[int, ...], generator: Generator | None) -> None:
        super().__init__()
        begun = torch.rand(COMPONENTS, *shape, generator=generator)
        self.inputs = nn.Parameter(begun)
        self.means = nn.Buffer(torch.zeros(COMPONENTS, size))
        self.log_variances = nn.Buffer(torch.zeros(COMPONENTS, size))
        self.logits = nn.Buffer(torch.zeros(COMPONENTS))
        self._seen: tuple[Tensor, Tensor] | None = None

    def see(self, encoder: Encoder, moments: Moments) -> None:
        self._seen = moments(encoder, self.inputs)
        with torch.no_grad():
            self.means.copy_(self._seen[0])
            self.log_variances.copy_(self._seen[1])

    def log_prob(self, z: Tensor) -> Tensor:
        seen, self._seen = self._seen, None
        return _of_mixture(z, *(seen or (self.means, self.log_variances)), self.logits)

    def drawn(self, n: int, generator: Generator) -> Tensor:
        return _drawn(n, self.means, self.log_variances, self.logits, generator)


class Flow(Law):
    """z -> e ~ N(0, I) through couplings: b -> (b - t(a)) exp(-s(a)) for halves a, b of z."""

    def __init__(self, size: int, generator: Generator | None) -> None:
        super().__init__()
        if size < 2:
            raise InputError("A prior that is a flow needs a latent_dim of 2 at least.")
        self.size, self.couplings = size, nn.ModuleList()
        for number in range(COUPLINGS):
            given, moved = self._halves(number)
            sizes = networks.Sizes((given,), UNITS, 2 * moved, "relu", "identity")
            coupling, _ = networks.build(Dense(), sizes, "glorot", generator)
            last = [part for part in coupling.modules() if isinstance(part, nn.Linear)][-1]
            nn.init.zeros_(last.weight)
            self.couplings.append(coupling)

    def _halves(self, number: int) -> list[int]:
        """How many numbers a coupling is given, and how many it moves."""
        halves = [self.size // 2, self.size - self.size // 2]
        return halves if number % 2 == 0 else halves[::-1]

    def log_prob(self, z: Tensor) -> Tensor:
        total = z.new_zeros(len(z))
        for number, coupling in enumerate(self.couplings):
            a, b = z.split(self._halves(number), 1)
            shift, scale = _of_coupling(coupling, a)
            z = torch.cat([(b - shift) * (-scale).exp(), a], 1)
            total = total - scale.sum(1)
        return total + StandardNormal(self.size).log_prob(z)

    @torch.no_grad()
    def drawn(self, n: int, generator: Generator) -> Tensor:
        z = StandardNormal(self.size).sample(n, generator).to(next(self.parameters()))
        for number in reversed(range(COUPLINGS)):
            b, a = z.split(self._halves(number)[::-1], 1)
            shift, scale = _of_coupling(self.couplings[number], a)
            z = torch.cat([a, b * scale.exp() + shift], 1)
        return z


def _of_coupling(coupling: nn.Module, a: Tensor) -> tuple[Tensor, Tensor]:
    """t(a) and s(a), each as wide as b."""
    shift, scale = coupling(a).chunk(2, dim=1)
    return shift, MOST * torch.tanh(scale / MOST)


def _of_mixture(z: Tensor, means: Tensor, log_variances: Tensor, logits: Tensor) -> Tensor:
    """log sum_c w_c N(z; m_c, s_c^2), by products of matrices."""
    weights = (-log_variances).exp()
    with torch.autocast(z.device.type, enabled=False):
        squares = z.square() @ weights.t() - 2 * (z @ (means * weights).t())
    beside = (means.square() * weights + log_variances).sum(1) + z.shape[1] * math.log(2 * math.pi)
    return (logits.log_softmax(0) - 0.5 * (squares + beside)).logsumexp(1)


@torch.no_grad()
def _drawn(
    n: int, means: Tensor, log_variances: Tensor, logits: Tensor, generator: Generator
) -> Tensor:
    """Codes (n, K) of a mixture, on the device of the generator."""
    where = generator.device
    chosen = torch.multinomial(logits.softmax(0).to(where), n, True, generator=generator)
    noise = torch.randn(n, means.shape[1], generator=generator, device=where)
    return means.to(where)[chosen] + (0.5 * log_variances.to(where)[chosen]).exp() * noise


def prior(
    name: Name, size: int, shape: tuple[int, ...], generator: Generator | None
) -> Law | None:
    """The law of that name for codes of so many numbers and inputs of a shape; None: N(0, I)."""
    match name:
        case "mixture":
            return Mixture(size, generator)
        case "vamp":
            return Vamp(size, shape, generator)
        case "flow":
            return Flow(size, generator)
    return None
