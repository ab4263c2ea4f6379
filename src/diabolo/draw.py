"""Random numbers for a whole batch, cheaply.

On a CPU `torch.randn` and `torch.rand` draw one number after the other, which takes longer than
some of a small network's matrix products.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Generator, Tensor

POOL = 1 << 20  # places at which a run can begin
LAWS: dict[str, Callable[..., Tensor]] = {"normal": torch.randn, "uniform": torch.rand}


class Shared(Generator):
    """A generator that draws for a whole batch, of which `share` is what a process takes."""

    share: slice | None = None
    rows = 0  # of the whole batch


class Pooled(Shared):
    """A CPU generator for training: beyond the first `POOL` numbers, they come from a pool.

    A sample of D numbers then takes D neighbours in the pool, from a random place of `POOL`. By
    itself it is as good as freshly drawn; two samples may share numbers, hardly ever at the same
    features.
    """

    def __init__(self) -> None:
        super().__init__()
        self.drawn = 0
        self.pools: dict[tuple[str, int, str], Tensor] = {}
        self.before: dict[tuple[str, int, str], Tensor] = {}  # the state that drew each pool

    def numbers(self, law: str, like: Tensor) -> Tensor:
        """Numbers of a law of `LAWS`, of the shape and type of `like`."""
        self.drawn += like.numel()
        if self.drawn <= POOL or like.ndim < 2:
            return LAWS[law](like.shape, generator=self, dtype=like.dtype)
        width = like[0].numel()
        key = law, width, str(like.dtype).removeprefix("torch.")
        if key not in self.pools:
            self._fill(*key)
        places = torch.randint(POOL, (len(like),), generator=self)
        runs = self.pools[key].as_strided((POOL, width), (1, 1))
        return runs.index_select(0, places).view(like.shape)

    def _fill(self, law: str, width: int, dtype: str) -> None:
        key = law, width, dtype
        self.before[key] = self.get_state()
        size = POOL + width
        self.pools[key] = LAWS[law](size, generator=self, dtype=getattr(torch, dtype))


def normal(like: Tensor, generator: Generator) -> Tensor:
    """Numbers of N(0, 1), of the shape, type and device of `like`."""
    return _drawn("normal", like, generator)


def uniform(like: Tensor, generator: Generator) -> Tensor:
    """Numbers of U[0, 1), of the shape, type and device of `like`."""
    return _drawn("uniform", like, generator)


def own(tensor: Tensor | None, generator: Generator | None) -> Any:
    """The share of a whole batch that a process takes."""
    share = getattr(generator, "share", None)
    return tensor if share is None or tensor is None else tensor[share]


def rows_of(own: int, generator: Generator) -> int:
    """The rows of a whole batch of which so many are a process's own share; see `Shared`."""
    share = getattr(generator, "share", None)
    return own if share is None else cast(Shared, generator).rows


def of_share(like: Tensor, generator: Generator, draws: int = 1) -> Tensor:
    """Numbers of N(0, 1) for codes, (draws * B, ...), draw by draw; see `Shared`.

    `like`, (B, ...), is a process's share of a batch; without shares the batch.
    """
    share = getattr(generator, "share", None)
    shape = draws, rows_of(len(like), generator), *like.shape[1:]
    found = torch.randn(shape, generator=generator, device=like.device, dtype=like.dtype)
    return (found if share is None else found[:, share]).flatten(0, 1)


def uniform_of_share(like: Tensor, generator: Generator) -> Tensor:
    """Numbers of U(0, 1) for codes, of the shape of `like`; see `of_share`."""
    return torch.special.ndtr(of_share(like, generator))


def _drawn(law: str, like: Tensor, generator: Generator) -> Tensor:
    if isinstance(generator, Pooled):
        return generator.numbers(law, like)
    return LAWS[law](like.shape, generator=generator, dtype=like.dtype, device=like.device)


def state_of(generator: Generator) -> dict[str, Tensor]:
    """What `restore` needs to have a generator go on from here; of a pool, the state before it."""
    state = {"now": generator.get_state()}
    if isinstance(generator, Pooled):
        state["drawn"] = torch.tensor(generator.drawn)
        state |= {f"pool {' '.join(map(str, key))}": s for key, s in generator.before.items()}
    return state


def restore(generator: Generator, state: dict[str, Tensor]) -> None:
    """Put a generator into the state that `state_of` gave."""
    if isinstance(generator, Pooled):
        for name, before in state.items():
            if name.startswith("pool "):
                _, law, width, dtype = name.split()
                generator.set_state(before)
                generator._fill(law, int(width), dtype)
        generator.drawn = int(state["drawn"])
    generator.set_state(state["now"])
