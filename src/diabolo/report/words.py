"""A run's result in plain words."""

from pathlib import Path
from typing import Any

from diabolo.estimator import Estimator
from diabolo.measures import plain
from diabolo.net import Net
from diabolo.params import Parameters
from diabolo.recipes import Recipe


def story(model: Parameters, recipe: Recipe, numbers: dict[str, Any], data: str) -> str:
    """What was trained, on what, and what it took."""
    corruption = getattr(getattr(model, "net_", model), "corruption", None)
    how = "" if corruption is None else f", corrupted by {described(corruption)} while training"
    return (
        f"{recipe.name} is {_article(model.kind)} {model.kind} with"
        f" {numbers['parameters']:,} parameters, trained {_epochs(numbers['epochs'])} on"
        f" {data}{how}; that took"
        f" {_duration(numbers['seconds'])} on the {numbers['device'].upper()}"
        f" ({numbers['images_per_second']:,} samples a second)."
    )


def tested(model: Estimator, recipe: Recipe, numbers: dict[str, Any], others: int) -> str:
    """What a run was trained and tested on, in words."""
    name = "MNIST" if recipe.source == "mnist" else Path(recipe.source).name
    what = "patches" if recipe.patches else model.fitted_.intake.what
    shape = " x ".join(map(str, model.sample_shape_))
    if recipe.pairs:
        noisy, clean = (Path(path).name for path in recipe.pairs)
        what, name = f"pairs of {what}", f"{clean}, whose noisy partners are from {noisy}"
    trained = f"{numbers['samples']:,} {what} of {shape} values from {name}"
    return f"{trained} (tested on {others:,} others)"


def verdict(numbers: dict[str, Any], net: Net | None = None) -> str:
    """The result on the test samples, and where it stands beside the best linear method.

    `net` names the terms of the loss among the numbers.
    """
    test, linear = numbers["test"], numbers.get("linear")
    sentences = [_result(test, net)]
    if "noisy_mse" in test:
        sentences.append(_beside("doing nothing", test, test["noisy_mse"]))
    if linear and "full_rank_mse" in linear:
        sentences.append(
            _beside("the best linear denoiser with the same code size", test, linear["mse"])
        )
        sentences.append(
            _beside("the best linear denoiser of any rank", test, linear["full_rank_mse"])
        )
        if linear["full_rank_mse"] > linear["mse"]:
            sentences.append("(Of any rank it overfits: the training samples are few.)")
    elif linear:
        sentences += _beside_pca(test, linear)
    if net is not None and net.linear:
        sentences.append(
            "Training was not surely better than the linear method, so that is the model."
        )
    return " ".join(sentences)


def described(part: Parameters) -> str:
    """A corruption with its strength: "gaussian noise (std 0.5)"."""
    given = {p.name: getattr(part, p.name) for p in part.declared()}
    values = ", ".join(f"{k} {_written(v)}" for k, v in given.items() if v is not None)
    return (
        f"{part.kind} noise ({values})" if part.kind == "gaussian" else f"{part.kind} ({values})"
    )


def _written(value: Any) -> str:
    """A parameter's value as one reads it: 0.5, 0.3 to 0.7, a text."""
    if isinstance(value, list | tuple):
        return " to ".join(map(_written, value))
    return value if isinstance(value, str) else f"{value:g}"


def _result(test: dict[str, float], net: Net | None) -> str:
    if "estimated_mse" in test:
        mses = (test["estimated_mse"], test["estimated_noisy_mse"])
        after, before = (
            f"{_error(mse)}{_decibels(test.get(psnr))}"
            for mse, psnr in zip(mses, ("estimated_psnr", "estimated_noisy_psnr"), strict=True)
        )
        return (
            "There are no clean images to compare with. From the noise of the test images the mean"
            f" squared error of its output is estimated as {after}, that of the noisy images"
            f" themselves as {before}."
        )
    error = _errors(test)
    if "noisy_mse" in test:
        noisy = f"{_error(test['noisy_mse'])}{_decibels(test.get('noisy_psnr'))}"
        marked = ""
        if {"mark_psnr", "damage"} <= test.keys():
            marked = (
                f" Inside the mark the PSNR is {test['mark_psnr']:.1f} dB, before it was"
                f" {test['noisy_mark_psnr']:.1f}; outside, where it was right, the output has a"
                f" mean squared error of {_error(test['damage'])}."
            )
        return (
            f"On corrupted test samples its output has {error}; before, they had {noisy}.{marked}"
        )
    extra = ""
    if "bce" in test:
        extra = f" and a binary cross-entropy of {_error(test['bce'])} nats per pixel"
    return f"Its reconstructions of the test samples have {error}{_nats(test, net) or extra}."


def _errors(test: dict[str, float]) -> str:
    """The error of values, and how many categories are right."""
    found = []
    if "mse" in test:
        error = f"{_error(test['mse'])}{_decibels(test.get('psnr'))}"
        found.append(f"a mean squared error of {error}")
    if "accuracy" in test:
        found.append(f"{test['accuracy']:.1%} of the categories right")
    return " and ".join(found) or "nothing to measure"


def _nats(test: dict[str, float], net: Net | None) -> str:
    """The loss of a model with terms: their values, and what they are added to."""
    terms, bound = ((), None) if net is None else (net.probe[1], net.bottleneck.bound)
    each = ", ".join(f"{plain(name)} {test[name]:.2f}" for name in terms if name in test)
    if bound in test:
        return f"; with a drawn code the loss is {-test[bound]:.2f} nats ({each})"
    return f"; the negative log-likelihood is {test['nll']:.2f} nats ({each})" if each else ""


def _beside_pca(test: dict[str, float], linear: dict[str, float]) -> list[str]:
    """Where the model stands beside PCA, of numbers and of categories."""
    pca, found = "PCA with the same code size", []
    if "mse" in linear:
        found.append(_beside(pca, test, linear["mse"]))
    if "accuracy" in linear:
        found.append(f"Of the categories {pca} has {linear['accuracy']:.1%} right.")
    return found


def _beside(method: str, test: dict[str, float], mse: float) -> str:
    if abs(test["mse"] - mse) < 0.005 * mse:
        better = "about the same"
    elif test["mse"] < mse:
        better = f"so this model has {1 - test['mse'] / mse:.0%} less"
    else:
        better = (
            f"which is better: {1 - mse / test['mse'] if mse else 0:.0%} less than this model's"
        )
    return f"The error of {method} is {_error(mse)}, {better}."


def _error(value: float) -> str:
    return f"{value:.3g}" if value < 0.001 else f"{value:.4f}"


def _decibels(value: float | None) -> str:
    return "" if value is None else f" ({value:.1f} dB)"


def _epochs(number: int) -> str:
    plural = "" if number == 1 else "s"
    return f"for {number} epoch{plural}" if number else "for less than an epoch"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _article(word: str) -> str:
    return "an" if word[0] in "AEIO" else "a"
