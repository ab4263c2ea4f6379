"""What parameters that are left to the data become: "auto" -> a value.

By the number, size and kind of the samples. `benchmarks/first_try.py` compares what comes of it
with PCA, on data sets of many kinds.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from diabolo import networks
from diabolo.bottleneck import Bottleneck
from diabolo.corruption import Corruption
from diabolo.data.source import Source
from diabolo.errors import InputError
from diabolo.fitted import Fitted, Plan
from diabolo.intake import Intake
from diabolo.likelihood.base import OUTPUTS
from diabolo.params import to_config
from diabolo.scaling import learn_scaling

AUTO = "auto"
BOUNDED = {activation: scaling for scaling, activation in OUTPUTS.items()}  # what ends a range
PLACED = 4  # numbers of a code at each place of a map
OVER = 4  # units for each value of a sample, where few of them are active
CODE, SHARE = 32, 3  # numbers in a code, at most, and one for so many values of a sample
FEW, SOME, MANY = 8, 0.2, 1000  # samples, of which none validate; share of fewer than so many
HELD = 0.1  # share of more
STEPS, LEAST, MOST = 2500, 20, 400  # steps of a training, and its epochs
SEEN = 2_000_000  # samples in all epochs, where there are so many that LEAST would be more
PIXELS, LOOKED = 64, 1000  # values of a row that may be pixels; first rows, which tell by theirs
WORK = 5e11  # floating-point operations that allow more epochs than LEAST
RATE, WIDE = 3e-3, 1024  # learning rate; it falls with the root of the values beyond so many
BATCH, SMALL = 128, 16  # samples in a step
FURTHER = 500  # samples that a corruption is told of


@dataclass(frozen=True)
class Given:
    """What the defaults follow from: the parameters, what samples are, and where they are."""

    p: Any
    bottleneck: Bottleneck
    intake: Intake
    source: Source
    validation: bool  # whether there are samples to validate on

    @property
    def samples(self) -> int:
        return len(self.source)

    @property
    def features(self) -> int:
        """The values that the network has of a sample."""
        return math.prod(self.intake.shape)

    @property
    def _images(self) -> bool:
        return networks.takes_images(self.p.network)

    @property
    def _ranged(self) -> bool:
        """Whether the corruption refuses samples whose values have no range."""
        shape = self.intake.image_shape or (self.intake.features,)
        try:
            if self.p.corruption is not None:
                self.p.corruption.check(shape, -math.inf, math.inf)
        except InputError:
            return True
        return False

    def latent_dim(self) -> int:
        """K."""
        if self.bottleneck.overcomplete:
            return OVER * self.features
        if getattr(self.p.network, "mapped", False):
            return PLACED
        return min(CODE, -(-self.features // SHARE))

    def scaling(self) -> str:
        """Columns of a table have units of their own; pixels share one, and so do bits.

        Where codes are drawn, the units of the loss matter: a few pixels in [0, 1] hold less
        than a nat, which no code is worth.
        """
        if self.p.likelihood.support is not None or self._ranged:
            return "unit"
        if (bounded := BOUNDED.get(self.p.output_activation)) is not None:
            return bounded
        if self.bottleneck.sampling:
            return "standard"
        pixels = self.intake.pooled or self.intake.dtype == "bool"
        if not pixels and self.intake.dtype != "float32" and self.intake.features >= PIXELS:
            top = np.iinfo(self.intake.dtype).max
            pixels = int(self.source.head(LOOKED).target.max()) > top / 2
        return "unit" if pixels else "standard"

    def hidden(self) -> tuple[int, ...]:
        """Wider where there is more to learn from."""
        if self.bottleneck.overcomplete and not self._images:
            return ()
        if self._images:
            return getattr(self.p.network, "hidden", ())
        wide = 1024 if self.samples >= 20_000 else 256 if self.features > 256 else 128
        return (wide,)

    def batch_size(self) -> int:
        """A sixteenth of the samples, at most."""
        return max(SMALL, min(BATCH, 2 ** int(math.log2(max(self.samples / 16, 1)))))

    def epochs(self) -> int:
        """So many that there are enough steps, and not too much work."""
        steps = max(self.samples / self.p.batch_size, 1)
        own = getattr(self.p.network, "hidden", ())
        hidden = own if self.p.hidden is None else self.p.hidden
        units = math.prod(hidden) if self._images else sum(hidden)
        work = 6.0 * self.samples * self.features * 2 * (units + 1)
        fewest = max(1, min(LEAST, SEEN // self.samples))
        return int(max(fewest, min(STEPS / steps, WORK / work, MOST)))

    def learning_rate(self) -> float:
        """Lower for wide samples."""
        return RATE * min(1.0, math.sqrt(WIDE / self.features))

    def validation_fraction(self) -> float:
        """0 where samples to validate on are given, or there are fewer than `FEW`."""
        if self.validation or self.samples < FEW:
            return 0.0
        return SOME if self.samples < MANY else HELD

    def early_stopping(self) -> int | None:
        """Most of the epochs, where there is something to validate on: the loss may rise while the
        learning rate is at its peak."""
        if not (self.validation or self.p.validation_fraction):
            return None
        return max(3 * self.p.epochs // 4, 5)


FOUND: dict[str, Callable[[Given], Any]] = {  # in an order in which each knows what it needs
    "latent_dim": Given.latent_dim,
    "scaling": Given.scaling,
    "hidden": Given.hidden,
    "batch_size": Given.batch_size,
    "epochs": Given.epochs,
    "learning_rate": Given.learning_rate,
    "validation_fraction": Given.validation_fraction,
    "early_stopping": Given.early_stopping,
}


def suited(
    plan: Plan, intake: Intake, source: Source, *, validation: bool, start: Fitted | None = None
) -> Plan:
    """The plan with a value for every parameter that is "auto"; in `start`'s, those it has."""
    config, p = dict(plan.config), plan.p
    given = Given(p, plan.bottleneck, intake, source, validation)
    for name, find in FOUND.items():
        if getattr(p, name) == AUTO:
            kept = start is not None and name in ("latent_dim", "scaling", "hidden")
            value = start.config[name] if kept and start else find(given)
            value = tuple(value) if isinstance(value, list) else None if value == "none" else value
            setattr(p, name, value)
            config[name] = "none" if value is None else list(value) if name == "hidden" else value
    part = config.get("corruption")
    if isinstance(part, dict) and AUTO in part.values():
        before = None if start is None else start.net.corruption
        kept = type(before) is type(p.corruption)
        p.corruption = copy.deepcopy(before) if kept else _learnt(p, intake, source)
        known = to_config(p.corruption)
        config["corruption"] = {n: known[n] if v == AUTO else v for n, v in part.items()}
    return replace(plan, config=config)


def _learnt(p: Any, intake: Intake, source: Source) -> Corruption:
    """The corruption, with what is left to the data found from some samples."""
    few = source.take(torch.linspace(0, len(source) - 1, min(len(source), FURTHER)).long())
    scaling = learn_scaling(p.scaling, source, image=intake.pooled)
    scaled = scaling(few.target).view(-1, *(intake.image_shape or (intake.features,)))
    found: Corruption = p.corruption.learnt(scaled, scaling.low)
    return found
