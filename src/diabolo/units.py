"""Codes of which few units are active, those above a threshold: what all of the kind share.

    z_k = y_k  where  y_k >= t_k(y)  and  y_k > 0,  else 0,    y = encoder(x)

A unit that has long been silent begins anew at what the network leaves over of some sample: its
atom and its weights in the encoder point there (T. Bricken et al., "Towards Monosemanticity",
2023, appendix "Neuron resampling", which takes the sample itself).
"""

from collections.abc import Callable
from typing import Annotated, Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F  # noqa: N812

from diabolo.bottleneck import Bottleneck, Code, Encoder, Terms
from diabolo.data.source import Batch
from diabolo.draw import own
from diabolo.errors import InputError
from diabolo.networks.dictionary import Atoms
from diabolo.sparse import Active

SILENT, EVERY = 20, 50  # samples for each unit that it may be silent; steps between looks
LEAST = 1e-12  # of an atom's length
Revive = Annotated[bool, "Begin anew with units that are silent for long."]


class Units(nn.Module):
    """(B, K) -> (B, K): what lies above a threshold, here 0."""

    def build(self, size: int) -> None:
        """Make what it has for so many units."""

    def threshold(self, y: Tensor) -> Tensor:
        """t(y), of the shape (B, K) or one that broadcasts to it."""
        return y.new_zeros(())

    def active(self, y: Tensor) -> Tensor:
        """Which units are active, (B, K)."""
        return (y > 0) & (y >= self.threshold(y))

    def forward(self, y: Tensor) -> Tensor:
        return y * self.active(y)


class SparseCode(Bottleneck):
    """z = the active units of what the encoder gives; `weight` times their sum is a term."""

    overcomplete = True
    written = True  # whether its gradients are written out, see `learner`

    def __init__(self, units: Units, weight: float = 0.0, *, revive: bool = True) -> None:
        super().__init__()
        self.units, self.weight, self.revive = units, weight, revive

    def build(self, shape: tuple[int, ...], generator: Generator | None) -> None:
        self.units.build(shape[0])
        self.silent = nn.Buffer(torch.zeros(shape[0]))  # samples since each was active

    def terms(self, y: Tensor, z: Tensor) -> Terms:
        return {"l1": (self.weight, z.sum(1))} if self.weight else {}

    def forward(
        self, encoder: Encoder, x: Tensor, generator: Generator | None = None, step: int = 0
    ) -> Code:
        y = encoder(x)
        z = self.units(y)
        if self.training and generator is not None:
            self.seen = x.detach(), (z.detach() > 0).any(0)
        return Code(z, z, self.terms(y, z))

    def mean_layer(self) -> nn.Module:
        return self.units

    def told(self, codes: Tensor) -> int:
        return max(round(float((codes > 0).sum(1).double().mean())), 1)

    def measures(self, encoder: Encoder, x: Tensor) -> dict[str, float]:
        """L0, the mean number of active units, and the share that no sample activates."""
        active = self.units(encoder(x)) > 0
        dead = ~active.any(0)
        return {"l0": float(active.sum(1).double().mean()), "dead": float(dead.double().mean())}

    def learner(self, net: Any) -> Callable[[Batch, Generator, int, float], Tensor] | None:
        """The loss with its gradients, which only the active units have; None for other networks
        than a linear encoder and a dictionary."""
        ends = _ends(net)
        if not (self.written and ends and net.condition is None):
            return None
        encoder, atoms = ends

        @torch.no_grad()
        def learn(batch: Batch, generator: Generator, step: int, weight: float) -> Tensor:
            seen, clean = (own(part, generator) for part in net.seen(batch, generator))
            x = net.filled(seen)
            y = encoder(x)
            code = Active.of(self.units.active(y), y)
            length = atoms.weight.norm(dim=1, keepdim=True).clamp(min=LEAST)
            a = atoms.weight / length
            nll, gradient = net.likelihood.nll_and_gradient(code.times(a, atoms.bias), clean)
            gradient = gradient * weight
            at_values = code.pull(gradient, a).add_(weight * self.weight)
            at_atoms = code.turned(code.values) @ gradient
            across = (at_atoms * a).sum(1, keepdim=True)
            atoms.weight.grad = at_atoms.sub_(a * across).div_(length)
            atoms.bias.grad = gradient.sum(0)
            encoder.weight.grad = code.turned(at_values) @ x
            encoder.bias.grad = code.by_unit(at_values)
            self.seen = x, code.by_unit(torch.ones_like(at_values)) > 0
            return nll + self.weight * code.by_row(code.values) if self.weight else nll

        return learn

    @torch.no_grad()
    def mend(self, net: Any, generator: Generator, step: int) -> None:
        """Keep atoms short, and begin anew with units that have been silent for too long."""
        for part in net.decoder.modules():
            if isinstance(part, Atoms):
                part.shorten()
        x, active = vars(self).pop("seen")
        self.silent.add_(len(x)).masked_fill_(active, 0)
        ends = _ends(net)
        if not self.revive or ends is None or step % EVERY:
            return
        dead = (self.silent > SILENT * len(self.silent)).nonzero().flatten()[: len(x)]
        if not len(dead):
            return
        encoder, atoms = ends
        left = x - atoms(self.units(encoder(x)))
        rows = left.square().sum(1).multinomial(len(dead), generator=generator)
        found = F.normalize(left[rows], dim=1)
        length = encoder.weight.norm(dim=1).mean()
        atoms.weight[dead], encoder.weight[dead], encoder.bias[dead] = found, length * found, 0
        self.silent[dead] = 0


def _ends(net: Any) -> tuple[nn.Linear, Atoms] | None:
    """The layers of a network that has but these two."""
    parts = [
        part if isinstance(part, nn.Sequential) else [part] for part in (net.encoder, net.decoder)
    ]
    if [len(part) for part in parts] != [1, 1]:
        return None
    encoder, atoms = parts[0][0], parts[1][0]
    return (encoder, atoms) if type(encoder) is nn.Linear and type(atoms) is Atoms else None


def check(model: str, p: Any) -> None:
    """Raise `InputError` where the parameters of a model ask for codes with an activation."""
    if p.code_activation != "identity":
        raise InputError(f"{model} has an activation of its own: leave code_activation out.")
