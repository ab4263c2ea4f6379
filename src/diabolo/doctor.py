"""What is wrong with a training, as findings: a name, what was seen, and what to do about it.

Every rule is a pure function of arrays and numbers that gives a `Finding`, or None where nothing
is wrong. Letters: samples x (B, D) and outputs (B, D) in scaled units, codes (B, K).
"""

import math
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from diabolo.errors import DoctorWarning

Array = Tensor | np.ndarray  # any type, any device

LARGE, SMALL = 10.0, 0.01  # root mean square above, or largest magnitude below: not of unit size
DEAD_SPREAD = 1e-6  # of a code number, relative to the largest in the codes: rounding
DEAD_SHARE = 0.01  # of the code that may be dead
ACTIVE_SHARE = 1 / 16  # of the code: with no more of it active, the posterior has collapsed
FLAT_VARIANCE = 1e-3  # of the outputs, relative to the samples': they do not follow them
NEAR_MEAN = 0.1  # of the samples' variance: squared distance of outputs at the mean sample
BLACK_SHARE = 0.1  # of the samples' mean distance from the lower bound
LAST_EPOCHS = 3  # that have to lie above the best one
RISE, NOISE = 0.02, 4.0  # above the best validation loss: relative, in standard deviations
WORSE, EXACT = 1.02, 1e-6  # than the linear method's error; an error that is none
EPOCH_FACTOR, GUESS_FACTOR = 10.0, 100.0  # an exploded loss beside an earlier one, and a guess
CONVERGED = 0.01  # of the first epoch's loss; below it a factor means little
FAR, FAR_SHARE = 10.0, 0.01  # spans of the samples that outputs may be off; share that may be
SHOWN = 5  # column names in a sentence
ROUNDED = 0.01  # of the largest number: what a device may be off the CPU
BROKEN = frozenset(  # findings with which a model is of no use, whatever one wants of it
    {"mean output", "black output", "constant output", "exploding output", "worse than the mean"}
)


class Finding(NamedTuple):
    """Something wrong: its name, what was seen and what to do, one sentence each.

    >>> print(Finding("dead code units", "3 of 8 never change.", "Use init='glorot'."))
    dead code units: 3 of 8 never change. Use init='glorot'.
    """

    name: str
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.name}: {self.what} {self.fix}"

    @property
    def broken(self) -> bool:
        """Whether a model of which this is found is of no use, and not to be saved as if it were.

        A training that ran into numbers that are none is no such finding: its best weights stay,
        and are judged as any others.
        """
        return self.name in BROKEN


def found(*findings: Finding | None) -> list[Finding]:
    """The findings among the answers of several rules, in their order."""
    return [finding for finding in findings if finding is not None]


def refusal(findings: list[Finding]) -> list[str]:
    """Why a model with these findings is not saved, in a sentence; none where it may be."""
    broken = [finding for finding in findings if finding.broken]
    said = "The model is broken, so it is not saved (with --force it is)"
    return [f"{said}: {broken[0]}"] if broken else []


def tell(findings: list[Finding], *, aloud: bool) -> None:
    """Show the findings of a fit: in the terminal, or as warnings to who called it."""
    for finding in findings:
        if aloud:
            print(f"Warning: {finding}", file=sys.stderr)
        else:
            warnings.warn(str(finding), DoctorWarning, stacklevel=3)


# ---- data


def unscaled(x: Array) -> Finding | None:
    """Scaled samples that are not of unit size: a root mean square over 10, or all below 0.01."""
    values = _doubles(x)
    peak, size = float(values.abs().max()), float(values.square().mean().sqrt())
    if size > LARGE:
        fix = "Use scaling='unit' or scaling='standard'."
    elif 0 < peak < SMALL:
        fix = "Use scaling='standard', or scale X to [0, 1] yourself."
    else:
        return None
    what = f"values from {values.min():.4g} to {values.max():.4g} (root mean square {size:.3g})"
    return Finding(
        "unscaled input", f"The network is given {what}, which is far from unit size.", fix
    )


def constant_columns(x: Array, names: Sequence[str] | None = None) -> Finding | None:
    """Columns of a table (N, D) that have the same value in all rows; without names, numbers."""
    rows = torch.as_tensor(x)
    constant = (rows == rows[:1]).all(0).nonzero().flatten().tolist()
    if len(rows) < 2 or not constant:
        return None
    verb, them = ("has", "it") if len(constant) == 1 else ("have", "them")
    count = f"{len(constant)} of the {rows.shape[1]} columns {verb}"
    which = [names[i] if names else f"number {i}" for i in constant[:SHOWN]]
    more = f" and {len(constant) - SHOWN} more" if len(constant) > SHOWN else ""
    counted = "" if names else ", counted from 0"
    return Finding(
        "constant columns",
        f"{count} the same value in all {len(rows):,} rows: {', '.join(which)}{more}{counted}.",
        f"Leave {them} out: there is nothing in {them} to learn.",
    )


# ---- the code


def wide_code(code_size: int, features: int, *, restrained: bool) -> Finding | None:
    """A code as large as the sample; `restrained` by a corruption or a penalty it may be."""
    if code_size < features or restrained:
        return None
    return Finding(
        "wide code",
        f"A code of {code_size} numbers can copy a sample of {features} without learning anything"
        " about it.",
        f"Use a latent_dim below {features}, or a corruption.",
    )


def dead_units(codes: Array) -> Finding | None:
    """Numbers of the code (N, K) that do not change over the samples.

    For codes that are vectors: in a feature map a position may be constant with its pixels.
    """
    z = _doubles(codes)
    if len(z) < 2:
        return None
    spread, total = z.amax(0) - z.amin(0), z.shape[1]
    dead = int((spread <= DEAD_SPREAD * z.abs().max()).sum())
    if dead <= DEAD_SHARE * total and dead < total:
        return None
    return Finding(
        "dead code units",
        f"{dead} of the {total} numbers of the code never {'changes' if dead == 1 else 'change'}.",
        "Use another code_activation, such as 'elu', init='glorot' or a lower learning_rate.",
    )


def collapse(active: int, total: int, kl: float | None) -> Finding | None:
    """A posterior that has become the prior, so that codes say nothing about their samples.

    `active` of the `total` numbers of the code follow the samples (Burda, Grosse and
    Salakhutdinov, "Importance Weighted Autoencoders", 2016, section 5.2); `kl` is the divergence
    in nats per number, None where it is no term of the loss.
    """
    if active > ACTIVE_SHARE * total:
        return None
    verb = "is" if active == 1 else "are"
    what = f"{active} of the {total} numbers of the code {verb} active"
    if kl is None:
        fix = "Use more epochs or a smaller latent_dim."
        return Finding("posterior collapse", f"{what}.", fix)
    return Finding(
        "posterior collapse",
        f"{what}, and the KL divergence is {kl:.3g} nats per dimension.",
        "Use more epochs, a smaller beta or a smaller latent_dim.",
    )


def codebook_collapse(use: float, perplexity: float, samples: int) -> Finding | None:
    """A codebook of which so many samples use no more than a sixteenth, where they could use more.

    `perplexity` is the number of vectors that would be as varied if all were used alike.
    """
    if use > ACTIVE_SHARE or perplexity > ACTIVE_SHARE * samples:
        return None
    return Finding(
        "codebook collapse",
        f"{_percent(use)} of the codebook is in use, no more than {perplexity:.3g} vectors if all"
        " were used alike.",
        "Use a smaller codebook_size, a lower learning_rate or more epochs.",
    )


# ---- the output


def flat_output(x: Array, output: Array, low: float = -math.inf) -> Finding | None:
    """Outputs that do not follow the samples: with a thousandth of their variance or less.

    They are all near the mean sample, or at the lower bound `low` of the scaled range (black, in
    an image; -inf: there is none), or elsewhere.
    """
    samples, outputs = _doubles(x), _doubles(output)
    if len(samples) < 2:
        return None
    varied, given = float(outputs.var(0).sum()), float(samples.var(0).sum())
    if varied >= FLAT_VARIANCE * given:
        return None
    share = f"the outputs have {_percent(varied / given)} of the samples' variance"
    level = float(samples.mean())
    if float((outputs - low).abs().mean()) < BLACK_SHARE * (level - low):
        return Finding(
            "black output",
            f"Every output stays at the lower bound, {low:g}, where the samples' mean is"
            f" {level:.3g}: {share}.",
            "Use likelihood='bernoulli', another random_state or a lower learning_rate.",
        )
    off = float((outputs.mean(0) - samples.mean(0)).square().sum())
    near = off < NEAR_MEAN * given
    same = "about the mean sample as its" if near else "the same"
    return Finding(
        "mean output" if near else "constant output",
        f"Every sample gets {same} output: {share}.",
        "Use more epochs, another learning_rate or, in a VAE, a smaller beta.",
    )


def exploding_output(x: Array, output: Array) -> Finding | None:
    """Outputs that lie far outside of the samples: ten times their whole span away from them.

    More than a hundredth of the outputs have such a value, or one that is no number.
    """
    samples, outputs = _doubles(x), _doubles(output)
    low, high = float(samples.min()), float(samples.max())
    room = FAR * (high - low)
    near = ((outputs >= low - room) & (outputs <= high + room)).flatten(1).all(1)
    far = int((~near).sum())
    if room == 0 or far <= FAR_SHARE * len(outputs):
        return None
    worst = float(outputs.abs().max())
    return Finding(
        "exploding output",
        f"{far} of {len(outputs)} outputs have values up to {worst:.3g}, where the samples' lie"
        f" between {low:.3g} and {high:.3g}.",
        "Use a lower learning_rate, a likelihood or scaling with bounds, or a corruption.",
    )


# ---- beside plain methods


def worse_than_mean(error: float, mean: float) -> Finding | None:
    """A mean squared error above `mean`, which the mean of the training samples has."""
    if not error > max(WORSE * mean, EXACT):
        return None
    return Finding(
        "worse than the mean",
        f"The mean squared error is {error:.3g}; it would be {mean:.3g} if every output were the"
        " mean of the training samples.",
        "Use more epochs, another learning_rate or another scaling.",
    )


def worse_than_nothing(error: float, noise: float) -> Finding | None:
    """A denoiser whose outputs are no nearer to the clean samples than what it was given."""
    if not error > max(WORSE * noise, EXACT):
        return None
    return Finding(
        "worse than doing nothing",
        f"The mean squared error of the outputs is {error:.3g}, that of the corrupted samples"
        f" themselves {noise:.3g}.",
        "To clean samples, use a larger latent_dim, more epochs, a network such as 'residual', or"
        " stronger corruption.",
    )


def worse_than_linear(numbers: dict[str, Any]) -> Finding | None:
    """A mean squared error on the test samples above that of the best linear method.

    Both are in `numbers`, as metrics.json has them; the linear method has the same code size.
    """
    ours, linear = (
        numbers["test"].get("mse", 0.0),
        (numbers.get("linear") or {}).get("mse", math.inf),
    )
    if ours <= WORSE * linear or ours < EXACT:
        return None
    beta = " or a smaller beta" if "kl" in numbers["test"] else ""
    return Finding(
        "worse than linear",
        f"The mean squared error is {ours:.3g}, that of the best linear method with the same code"
        f" size {linear:.3g}.",
        f"Use more epochs, another learning_rate, a wider hidden{beta}; or the linear method.",
    )


# ---- the loss


def rising_validation(losses: Sequence[float]) -> Finding | None:
    """A validation loss that has left its minimum behind; one number an epoch.

    The last three epochs all lie above the best one, by 2 % of it and by four standard deviations
    of the noise from epoch to epoch. (The second differences of noise have variance 6 s^2; half
    of the normal distribution is within 0.6745 s.)
    """
    values = np.asarray(losses, dtype=np.float64)
    if len(values) <= LAST_EPOCHS + 1 or not np.isfinite(values).all():
        return None
    best = int(values.argmin())
    noise = float(np.median(np.abs(np.diff(values, 2)))) / 0.6745 / math.sqrt(6)
    rise = float(values[-LAST_EPOCHS:].min() - values[best])
    if rise <= max(RISE * abs(values[best]), NOISE * noise):
        return None
    return Finding(
        "rising validation loss",
        f"The validation loss was lowest in epoch {best + 1}, {values[best]:.4g}, and is"
        f" {values[-1]:.4g} after epoch {len(values)}.",
        f"Use early_stopping, epochs={best + 1}, a corruption or a smaller network.",
    )


def not_finite(
    epoch: int,
    steps: Array | Sequence[float],
    before: float | None = None,
    layer: str | None = None,
) -> Finding | None:
    """A loss that is no number or infinite, among those of an epoch's steps, and where it began.

    `before` is the loss of the step before the epoch's first; `layer` the first layer that gives
    numbers that are not finite (`broken_layer`). Epochs and steps count from 1.
    """
    losses = _doubles(steps)
    bad = (~losses.isfinite()).nonzero().flatten().tolist()
    if not bad:
        return None
    last = float(losses[bad[0] - 1]) if bad[0] else before
    after = "" if last is None else f", where it was {last:.4g} a step before"
    place = "" if layer is None else f"; the first layer that is not finite is {layer}"
    return Finding(
        "loss not finite",
        f"The loss stops being finite in step {bad[0] + 1} of epoch {epoch}{after}{place}.",
        "Use a lower learning_rate, or scale X.",
    )


def exploding(
    losses: Sequence[float], steps: Array | Sequence[float], guess: float
) -> Finding | None:
    """A loss that has grown by orders of magnitude.

    `losses` are the means of the epochs, `steps` those of the last epoch's steps; `guess` is the
    loss of outputs that are zero before their activation, as an untrained network's are, about.
    An epoch's loss is over 10 times the best before (and not tiny beside the first epoch's or the
    guess), or the median of the last tenth of its steps over 10 times the first and 100 times the
    guess.
    """
    *before, loss = losses
    floor = CONVERGED * max(losses[0], 0 if math.isinf(guess) else guess)
    values, epoch = _doubles(steps), len(losses)
    first, last = float(values[0]), float(values[-math.ceil(len(values) / 10) :].quantile(0.5))
    if before and loss > EPOCH_FACTOR * min(before) > 0 and loss > floor:
        what = f"The loss of epoch {epoch} is {loss:.3g}, where it had been {min(before):.3g}."
    elif last > max(EPOCH_FACTOR * first, GUESS_FACTOR * guess) and guess > 0:
        what = f"In epoch {epoch} the loss grows from {first:.3g} to {last:.3g}."
    else:
        return None
    return Finding("exploding loss", what, "Use a lower learning_rate, or scale X.")


# ---- the device


def wrong_device(device: str, off: float) -> Finding | None:
    """A device whose answers are off those of the CPU, by that share of the largest number."""
    if off <= ROUNDED:
        return None
    what = "no numbers" if math.isinf(off) else f"off by up to {off:.2g} of the largest number"
    return Finding(
        "wrong device",
        f"The answers of the device {device} are {what}, beside those of the CPU.",
        "Use device='cpu', or another driver or version of torch.",
    )


def _percent(share: float) -> str:
    return "none" if share == 0 else f"{100 * share:.2g}%"


def _doubles(values: Array | Sequence[float]) -> Tensor:
    return torch.as_tensor(values).detach().cpu().double()
