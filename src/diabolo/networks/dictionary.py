"""The dictionary: the dense network whose code weighs atoms, directions of length one.

    x^ = b + sum_k z_k a_k,    |a_k| = 1

L. Gao et al., "Scaling and Evaluating Sparse Autoencoders", 2024, section 2 and appendix A: the
encoder's weights begin as the atoms; `tied`, they stay them.
"""

from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from diabolo.beside import Beside
from diabolo.errors import InputError
from diabolo.networks.base import Pair, Sizes
from diabolo.networks.dense import Dense


class Atoms(nn.Module):
    """(B, K) -> (B, D): sums of K atoms, the rows of the weight brought to length one."""

    def __init__(self, size: int, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(size, features)))
        self.bias = nn.Parameter(torch.zeros(features))

    def directions(self) -> Tensor:
        """The atoms, (K, D)."""
        return F.normalize(self.weight, dim=1)

    @torch.no_grad()
    def shorten(self) -> None:
        """Bring the weight itself to length one, so that a step turns all atoms alike."""
        self.weight.copy_(self.directions())

    def forward(self, z: Tensor) -> Tensor:
        return F.linear(z, self.directions().t(), self.bias)


class Likeness(nn.Module):
    """(B, D) -> (B, K): how much of each atom of a dictionary there is."""

    def __init__(self, atoms: Atoms) -> None:
        super().__init__()
        self.atoms = atoms
        self.bias = nn.Parameter(torch.zeros(len(atoms.weight)))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.atoms.directions(), self.bias)


class Dictionary(Dense, kind="dictionary"):
    """A dense network whose decoder begins with atoms of length one."""

    bounded = False
    gives = "sums of atoms"

    tied: Annotated[bool, "The encoder's last weights are the atoms."] = False

    def pair(self, sizes: Sizes) -> Pair:
        encoder, decoder = map(_layers, super().pair(sizes))
        atoms = Atoms(decoder[0].in_features, decoder[0].out_features)
        decoder[0], last = atoms, _last(encoder)
        if self.tied:
            if encoder[last].weight.shape != atoms.weight.shape:
                raise InputError("A tied dictionary takes no condition, and codes of one kind.")
            encoder[last] = Likeness(atoms)
        return encoder, decoder

    def begin(self, encoder: nn.Module, decoder: nn.Module) -> None:
        layers, (atoms, *_) = _layers(encoder), _layers(decoder)
        atoms.shorten()
        last = layers[_last(layers)]
        if isinstance(last, nn.Linear) and last.weight.shape == atoms.weight.shape:
            last.weight.copy_(atoms.weight)


def _layers(part: nn.Module) -> Any:
    """The layers, those beside a linear way."""
    return part.layers if isinstance(part, Beside) else part


def _last(encoder: Any) -> int:
    """The place of the layer that gives the code."""
    return max(i for i, layer in enumerate(encoder) if isinstance(layer, nn.Linear | Likeness))
