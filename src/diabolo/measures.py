"""The numbers of metrics.json, in their groups: what one calls them, and which are compared.

Of a run these are `test` and `linear`, and those that `diabolo evaluate --all` has added.
"""

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

NAMES = {  # where numbers can be named more plainly
    "mse": "mean squared error",
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "accuracy": "share of categories that are right",
    "bce": "BCE, nats per value",
    "nll": "negative log-likelihood, nats",
    "noisy_mse": "doing nothing: mean squared error",
    "noisy_psnr": "doing nothing: PSNR, dB",
    "noisy_ssim": "doing nothing: SSIM",
    "estimated_mse": "mean squared error, estimated",
    "estimated_psnr": "PSNR, dB, estimated",
    "estimated_noisy_mse": "doing nothing: mean squared error, estimated",
    "estimated_noisy_psnr": "doing nothing: PSNR, dB, estimated",
    "damage": "damage outside the mark: mean squared error",
    "mark_psnr": "inside the mark: PSNR, dB",
    "noisy_mark_psnr": "doing nothing: inside the mark: PSNR, dB",
    "full_rank_mse": "of any rank: mean squared error",
    "samples": "samples that this is of",
    "draws": "codes drawn for each of them",
    "binary": "all their values are 0 or 1",
    "log_likelihood": "log p(x), nats, by importance sampling",
    "standard_error": "its standard error",
    "bits_per_value": "bits per value",
    "learnt_from": "training samples that this is learnt from",
    "nearest_neighbours": "share right by 5 nearest neighbours",
    "linear_probe": "share right by a logistic regression",
    "frechet": "Fréchet distance by the features of a classifier of digits",
    "confidence": "how sure the classifier is",
    "balance": "how evenly it finds the classes",
}
SHORT = {"kl": "KL", "elbo": "ELBO", "frechet": "Fréchet", "linear_mse": "Linear MSE"}
LETTERS = 5  # of a name, at most, that is written in capitals
GROUPS = {
    "likelihood": "How likely test samples are",
    "kl": "Nats of each number of a code",
    "labels": "What codes tell of labels",
    "generation": "How good new digits are",
}
ASIDE = {"samples", "draws", "binary", "standard_error", "learnt_from"}  # said, not compared
LINEAR = "mean squared error of the best linear method with the same code size"


class Column(NamedTuple):
    """A number that runs are compared by: where metrics.json has it, its heading, its words."""

    group: str
    name: str
    title: str
    help: str


def plain(name: str) -> str:
    """A name without a word of its own, as one reads it."""
    return SHORT.get(name, name.replace("_", " "))


def named(numbers: dict[str, float], nats: Collection[str] = ()) -> dict[str, float]:
    """Numbers by the names that one reads; `nats` are those in nats."""
    units = {name: ", nats" for name in nats}
    return {NAMES.get(n) or plain(n) + units.get(n, ""): x for n, x in numbers.items()}


def added(numbers: dict[str, Any]) -> dict[str, Any]:
    """The groups that `diabolo evaluate --all` has added."""
    return {group: numbers[group] for group in GROUPS if group in numbers}


def tables(numbers: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Those groups by their headings, as one reads them."""
    found = {}
    for group, values in added(numbers).items():
        rows = {NAMES[n]: _written(x) for n, x in values.items() if n in NAMES}
        each = [f"{x:.2f}" for n, x in values.items() if n not in NAMES]
        found[GROUPS[group]] = rows | ({"one after the other": ", ".join(each)} if each else {})
    return found


def columns(runs: Iterable[dict[str, Any]]) -> list[Column]:
    """What runs are compared by, of the numbers that any of them has."""
    found = dict[tuple[str, str], Column]()
    for numbers in runs:
        for group in ("test", "likelihood", "labels", "generation"):
            for name in numbers.get(group, {}):
                if name not in ASIDE and not name.startswith("noisy_"):  # those are the input's
                    words = NAMES.get(name, plain(name)) + " on the test samples" * (
                        group == "test"
                    )
                    found[group, name] = Column(group, name, _title(name), words)
                if (group, name) == ("test", "mse"):
                    linear = Column("linear", "mse", _title("linear_mse"), LINEAR)
                    found["linear", "mse"] = linear
    return sorted(found.values(), key=lambda column: column.group in GROUPS)


def _title(name: str) -> str:
    if name in SHORT:
        return SHORT[name]
    words = plain(name)
    return name.upper() if len(name) <= LETTERS else words[0].upper() + words[1:]


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
