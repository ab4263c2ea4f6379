"""`diabolo detect fit` and `detect score`: anomalies, at a known rate of false alarms."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt, Lt

from diabolo import data, recipes
from diabolo.arguments import Usage
from diabolo.commands import Engine, Input, ModelOrRecipe, Told, command, family, runs
from diabolo.commands.training import new_model
from diabolo.data import spec
from diabolo.data.files import check_file, check_place, folder_atomically, quietly, real
from diabolo.data.spec import INPUT
from diabolo.errors import InputError, complete

if TYPE_CHECKING:
    import numpy as np

    from diabolo.data import Samples
    from diabolo.estimator import Estimator
    from diabolo.report.alarms import Found
    from diabolo.tasks.anomaly import AnomalyDetector

MOST = 200  # samples in the picture
Detector = Annotated[str | Path, Usage("FILE"), "a detector, as detect fit wrote it"]
SERIES = (
    "The windows that calibrate it have no time steps in common. The rate holds where the series"
    " goes on as it was, and one window tells nothing of the next."
)

family("detect", "use", "find anomalies at a known rate of false alarms")


@command("use", "diabolo detect fit ae normal/ --out detector.safetensors", name="detect fit")
def fit(
    model: ModelOrRecipe,
    source: Annotated[str, Usage("DATA"), f"normal samples only: {INPUT}"],
    out: Annotated[str | Path, Usage("--out PATH"), "where to, such as detector.safetensors"],
    *,
    false_alarm_rate: Annotated[
        float,
        Gt(0),
        Lt(1),
        Usage("--false-alarm-rate RATE"),
        "share of normal samples that may be flagged",
    ] = 0.05,
    criterion: Annotated[
        Any,
        Usage("--criterion SCORE"),
        "auto (the default: neighbours for a table, else reconstruction), of images shape, edges,"
        " latent, combined, elbo, neighbours, near_codes, blend or reconstruction",
    ] = "auto",
    nets: Annotated[
        int,
        Ge(1),
        Usage("--nets N"),
        "networks of a RECIPE whose scores are averaged; auto is blend then for a table",
    ] = 1,
    seed: Annotated[int | None, Ge(0), "of split and training"] = None,
    limit: Annotated[int | None, Ge(1), "use the first N samples"] = None,
    window: spec.Window = None,
    step: spec.Step = None,
    size: spec.Size = None,
    fit: spec.Fit = None,
    index: spec.Index = None,
    label: spec.Label = None,
    force: Annotated[bool, "replace what is there, and save even a broken detector"] = False,
) -> Told:
    """Learn what is normal from normal samples.

    Fits a detector on DATA and writes it, beside it a page on how it judges the samples that were
    held out; returns what was done. The model of a RECIPE learns from most of DATA, and the rest
    calibrates; a MODEL is left as it is. Raises `InputError` for a mistake, before anything is
    written, or unless `force` where the model is broken, and `IncompleteError` after the work if
    some files were bad.
    """
    from diabolo.commands import alarms
    from diabolo.doctor import refusal
    from diabolo.tasks.anomaly import AnomalyDetector

    out = free_file(out, model, source, force=force)
    page = free_file(out.with_suffix(".html"), model, source, force=force, suffix=".html")
    detector = AnomalyDetector(
        false_alarm_rate=false_alarm_rate, criterion=criterion, nets=nets, random_state=seed or 0
    )
    detector.validated()
    options: dict[str, Any] = {"size": size, "fit": fit, "window": window, "step": step}
    options |= {"index": index, "label": label}
    if runs.is_recipe(str(model)):
        recipe = recipes.read(model)
        spec.check({k: v for k, v in options.items() if v is not None})
        samples = data.read(source, limit=limit, **options)
        detector.set_params(model=_planned(recipe, seed, samples, source))
    elif any(options.values()):
        raise InputError(f"{_flags(options)} with a RECIPE: a MODEL has its own.")
    else:
        fitted = runs.load_model(model)
        samples = replace(runs.read_for(fitted, source, limit), told=[])
        detector.set_params(model=fitted, prefit=True)
    X = samples.array
    with _warnings_told() as told:
        detector.fit(X if samples.series is None else samples.series)
    known = _seen(model, detector, X) if detector.prefit and not detector.seen_ else 0
    if known:
        detector.seen_ = known
        told.append(
            f"Warning: The model was trained on {known:,} of these {len(X):,} samples, so the"
            " false-alarm rate is not guaranteed: fit the detector on others."
        )
    if not detector.prefit:
        record = detector.model_.fitted_
        detector.model_.fitted_ = replace(
            record, columns=samples.columns, data={**record.data, **samples.framing}
        )
    if not force and (why := refusal(detector.findings_)):
        raise InputError(why[0].replace("The model", "The detector's model"))
    detector.save(out)
    lines = _what_was_done(detector, len(X), model, known=known is not None)
    if samples.series is not None:
        lines.append(SERIES)
    alarms.write_fitted(page, detector, samples, of=source, story=" ".join(lines))
    numbers = {
        "samples": len(X),
        "calibrated_on": len(detector.calibration_scores_),
        "false_alarm_rate": false_alarm_rate,
        "below": float(detector.offset_) if isfinite(detector.offset_) else None,
        "file": str(out),
        "page": str(page),
    }
    done = Told([*samples.notes, *told, *lines, str(out), str(page)], **numbers)
    return complete(done, samples.failures)


@command(
    "use", "diabolo detect score detector.safetensors parts/ --out found/", name="detect score"
)
def score(
    detector: Detector,
    source: Input,
    out: Annotated[str | Path, Usage("--out DIR"), "folder of the results"],
    *,
    worst: Annotated[int, Ge(1), "samples in the picture"] = 12,
    fdr: Annotated[
        float | None,
        Gt(0),
        Lt(1),
        Usage("--fdr RATE"),
        "flag so that at most this share of what is flagged is normal, such as 0.1",
    ] = None,
    beside: Annotated[
        str | None,
        Usage("--beside NORMAL"),
        "normal samples, such as those of detect fit: the nearest are shown beside each anomaly",
    ] = None,
    reweigh: Annotated[
        str | None,
        Usage("--reweigh NORMAL"),
        "normal samples that the model never saw: they calibrate, weighed to be mixed as INPUT is",
    ] = None,
    engine: Engine = None,
    force: Annotated[bool, "replace earlier results in DIR"] = False,
) -> Told:
    """Say which samples are anomalies, and draw the worst.

    Writes a folder with the scores of INPUT, a picture and a page, of images also the regions that
    are odd, as masks, of a series the intervals of time; returns a summary. With `fdr` the samples
    are judged together, by Benjamini and Hochberg's procedure, and the detector's own false-alarm
    rate is not used. `reweigh`: see `diabolo.tasks.shift`. Raises `InputError` for a mistake,
    before anything is written, and `IncompleteError` after the work if some files were bad.
    """
    from diabolo.commands import alarms

    if not 1 <= worst <= MOST:
        raise InputError(f"--worst must be from 1 to {MOST}, but is {worst}.")
    path = runs.free_folder(out, [source], alarms.WRITTEN, force=force)
    judge = load_detector(detector, engine)
    samples = runs.read_for(judge.model_, source)
    if fdr is not None and samples.series is not None:
        raise InputError("--fdr is for samples that do not depend on each other, not windows.")
    if fdr is not None and reweigh is not None:
        raise InputError("Give --fdr or --reweigh, not both.")
    normal, others = _normal(judge, "beside", beside), _normal(judge, "reweigh", reweigh)
    found = _judge(judge, samples, engine, fdr, normal=normal, others=others)
    runs.tell_unlike(judge.model_, samples)
    flagged = found.answers[2]
    verdict = _verdict(judge, flagged, fdr, others)
    with folder_atomically(path) as folder, quietly():
        spans = alarms.write(folder, found, source, engine=engine, count=worst)
        alarms.write_page(folder, found, name=Path(detector).stem, of=source, story=verdict)
        written = [str(path / p.name) for p in sorted(folder.iterdir())]
    rate = {"false_alarm_rate": judge.false_alarm_rate} if fdr is None else {"fdr": fdr}
    told = Told(
        [verdict, *spans, *written],
        samples=len(flagged),
        flagged=int(flagged.sum()),
        **rate,
        calibrated_on=len(judge.calibration_scores_ if others is None else others.array),
        files=written,
    )
    return complete(told, samples.failures)


# ---- fit


def free_file(
    out: str | Path, model: str | Path, source: str, *, force: bool, suffix: str = ".safetensors"
) -> Path:
    """Where the detector may be written, or its page."""
    path = runs.free_to_write(out, force=force)
    if path.suffix != suffix:
        raise InputError(f"A detector goes to a .safetensors file, not {path.name!r}.")
    check_file(path)
    check_place(path)
    named = Path(model) if runs.is_recipe(str(model)) else runs.model_file(model)
    if real(path) in (real(named), real(source)):
        raise InputError(f"{path} holds the input: give another --out.")
    return path


def _flags(options: dict[str, Any]) -> str:
    """Options that are given, in words."""
    given = [f"--{name}" for name, value in options.items() if value is not None]
    return f"{' and '.join(given)} {'goes' if len(given) == 1 else 'go'}"


def _planned(
    recipe: recipes.Recipe, seed: int | None, samples: "Samples", source: str
) -> "Estimator":
    """The recipe's model, seeded, which must be able to take the samples.

    What the recipe of a plain autoencoder leaves open is what a detector has of its own.
    """
    from diabolo.estimator import Autoencoder
    from diabolo.networks import takes_images
    from diabolo.tasks.nets import suited

    settings: dict[str, Any] = {"random_state": 0, **recipe.model}
    if samples.series is not None:
        settings["dimensions"] = 1
    if seed is not None:
        settings["random_state"] = seed
    if (share := recipe.validation_share) and settings.get("early_stopping"):
        settings["validation_fraction"] = share
    model = new_model(replace(recipe, model=settings))
    images = takes_images(model.validated().network)
    if samples.array.ndim == 2 and images and model.image_shape is None:
        raise InputError(
            f"The recipe {recipe.name} needs images, and {source} has rows of numbers: use one"
            " with a dense network, such as ae."
        )
    if isinstance(model, Autoencoder) and model.corruption is None:
        own = suited(model, samples.array)
        model.set_params(**{name: own[name] for name in own.keys() - settings.keys()})
    return model


def _seen(path: str | Path, detector: "AnomalyDetector", X: "np.ndarray") -> int | None:
    """How many of X the model of a run was trained on; None where that cannot be known."""
    recipe, model = runs.recipe_beside(path), detector.model_
    if recipe is None:
        return None
    try:
        train = runs.load_split(recipe, model.seed_).train
    except InputError:
        return None
    learnt = {row.tobytes() for row in model.rows(train).numpy()}
    return sum(row.tobytes() in learnt for row in model.rows(X).numpy())


@contextmanager
def _warnings_told() -> Iterator[list[str]]:
    """A list that holds, after the block, what the doctor warned of in it."""
    from diabolo.doctor import DoctorWarning

    told: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DoctorWarning)
        yield told
    told += [f"Warning: {warning.message}" for warning in caught]


def _what_was_done(
    detector: "AnomalyDetector", count: int, model: str | Path, *, known: bool
) -> list[str]:
    held, rate = len(detector.calibration_scores_), detector.false_alarm_rate
    taken = detector.model_.fitted_.intake
    what = "windows" if runs.windows_of(detector.model_) else taken.what
    who = f"the model {model} as it is" if detector.prefit else f"the recipe {model}"
    who += f", {detector.nets} times" if detector.nets > 1 else ""
    learnt = f", learning from {count - held:,} {what} of {count:,}" if count > held else ""
    new = " that the model has not learnt from" if known and not detector.seen_ else ""
    lines = [f"Fitted a detector with {who}{learnt}.", f"Calibrated on {held:,} {what}{new}."]
    if isfinite(detector.offset_):
        criterion = detector.fitted_config_["criterion"]
        rule = f"where its {criterion} score is below {detector.offset_:.6g}"
        share = f"At most {100 * rate:.4g} % of normal samples will be flagged"
        if detector.seen_:
            lines.append(f"A sample is an anomaly {rule}.")
        elif known:
            lines.append(f"{share}: a sample is an anomaly {rule}.")
        else:
            lines.append(f"{share} if the model has not learnt from those: an anomaly is {rule}.")
        lines += [] if detector.seen_ else [_band(held, rate)]
    return lines


def _band(held: int, rate: float) -> str:
    from diabolo.tasks.conformal import band

    low, high = (f"{100 * end:.2g}" for end in band(held, rate))
    return (
        f"That is on average over such samples: with 95 of 100 sets of {held:,} it is"
        f" {low} to {high} %."
    )


# ---- score


def load_detector(file: str | Path, engine: str | None = None) -> "AnomalyDetector":
    """The detector in a file; `InputError` where there is none."""
    from diabolo.tasks.anomaly import AnomalyDetector

    loaded = runs.opened(file, engine)
    if not isinstance(loaded, AnomalyDetector):
        raise InputError(
            f"{file} is a model and no detector: make one with diabolo detect fit {file} DATA."
        )
    return loaded


def _normal(detector: "AnomalyDetector", option: str, source: str | None) -> "Samples | None":
    """The normal samples that an option names."""
    found = None if source is None else replace(runs.read_for(detector.model_, source), told=[])
    if found is not None and found.series is not None:
        raise InputError(f"--{option} is for samples, not for the windows of a series.")
    return found


def _judge(
    detector: "AnomalyDetector",
    samples: "Samples",
    engine: str | None,
    fdr: float | None,
    *,
    normal: "Samples | None",
    others: "Samples | None",
) -> "Found":
    import numpy as np

    from diabolo.engines import over
    from diabolo.report.alarms import Found
    from diabolo.tasks.conformal import discoveries

    scores = over(detector.score_samples, samples.array, engine)
    if others is None:
        p_values = detector.p_values_of(scores)
        flagged = scores < detector.offset_ if fdr is None else discoveries(p_values, fdr)
    else:
        from diabolo.tasks import shift

        p_values = shift.p_values(detector, samples.array, others.array, scores)
        flagged = p_values <= detector.fitted_config_["false_alarm_rate"]
    places = np.arange(len(scores))
    return Found(detector, samples, places, scores, p_values, flagged, normal)


def _verdict(
    detector: "AnomalyDetector",
    flagged: "np.ndarray",
    fdr: float | None,
    others: "Samples | None",
) -> str:
    """How many were flagged, in a sentence."""
    count, total, rate = int(flagged.sum()), len(flagged), detector.false_alarm_rate
    flags = f"{count:,} of {total:,} flagged ({100 * count / total:.1f} %)"
    if others is not None:
        return (
            f"{flags}, at a false-alarm rate of {100 * rate:.4g} % as far as the weights of"
            f" {len(others.array):,} normal samples are right."
        )
    if fdr is not None:
        sure = "that is not guaranteed" if detector.seen_ else "on average"
        share = f"of which at most {100 * fdr:.4g} % are normal, {sure}"
        return f"{flags}, {share}."
    if not isfinite(detector.offset_):
        held = len(detector.calibration_scores_)
        return (
            f"0 of {total:,} flagged: too few samples, {held}, calibrated the detector for a"
            f" false-alarm rate of {100 * rate:.4g} %. Fit it on more, or with a larger"
            " --false-alarm-rate."
        )
    if detector.seen_:
        return (
            f"{flags}, at a false-alarm rate of {100 * rate:.4g} % that is not guaranteed: the"
            " detector was calibrated on samples that its model had learnt from."
        )
    if runs.windows_of(detector.model_):
        return f"{flags}, at a false-alarm rate of {100 * rate:.4g} % where it goes on as it was."
    return f"{flags}, at a guaranteed false-alarm rate of {100 * rate:.4g} %."
