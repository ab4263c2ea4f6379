"""Anomalies: samples unlike the normal ones that a detector was fitted on, at a known rate.

Split-conformal testing. A score s, larger for the more normal, is learnt from some of the normal
samples; n others, held out, have the scores s_1, ..., s_n. The p-value of a sample x is

    p(x) = (1 + #{i: s_i <= s(x)}) / (n + 1)

and x is an anomaly where p(x) is at most the false-alarm rate a. If x and the held-out samples are
exchangeable, P(p(x) <= a) <= a whatever the score is: V. Vovk, A. Gammerman, G. Shafer,
"Algorithmic Learning in a Random World", 2005; R. Laxhammar, G. Falkman, "Conformal Prediction for
Distribution-Independent Anomaly Detection in Streaming Vessel Data", 2010. That is on average over
held-out sets: given one of them, and scores without ties, the rate of false alarms is
Beta(l, n + 1 - l) with l = floor(a (n + 1)): V. Vovk, "Conditional Validity of Inductive Conformal
Predictors", 2012; S. Bates, E. Candès, L. Lei, Y. Romano, M. Sesia, "Testing for Outliers with
Conformal p-values", 2023.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import InstanceOf
from sklearn.base import OutlierMixin
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from diabolo import store
from diabolo.data.series import Windows
from diabolo.doctor import DoctorWarning, Finding, tell
from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.inputs import as_rows, find_seed, like
from diabolo.names import is_frame
from diabolo.params import Count, Parameters, Seed, to_config
from diabolo.tasks import conformal, criteria, nets, oddness, regions
from diabolo.tasks.nets import Member
from diabolo.tasks.oddness import OddCell, errors
from diabolo.tasks.prefit import Prefit
from diabolo.train import generator, prefixed

PREFIX = "detector "  # of a detector's tensors in a model file
CALIBRATION, PEAKS, SEEN = "calibration_scores", "calibration_peaks", "seen"


class AnomalyDetector(OutlierMixin, Prefit, Parameters):
    """Flags what is unlike the normal samples it was fitted on, with a known rate of false alarms.

    The rate is one on average over calibration sets. That of the one at hand may be above it or
    below, the less the more samples calibrate: `conformal.band` has the range of 95 in 100 such
    sets, for a rate of 5 % 0.6 to 13.5 % with 39 samples, and 3.7 to 6.4 % with 999.

    The scores, each larger for the more normal, at the mean code z of x, in scaled units:

    - reconstruction: -|x - x^|^2 / D;
    - latent: minus the squared Mahalanobis distance of z from the normal codes, whose covariance
      is shrunk (O. Ledoit, M. Wolf, "A Well-Conditioned Estimator for Large-Dimensional Covariance
      Matrices", 2004);
    - combined: the sum of both, each divided by its mean over the samples that were not held out
      (T. Denouden et al., "Improving Reconstruction Autoencoder Out-of-distribution Detection with
      Mahalanobis Distance", 2018);
    - shape: of images, -|G(x - x^)|^2 / |G x|, brightness from 0 to 1, where G blurs by a Gaussian
      of 1.5 pixels, so that a stroke a little beside its place counts less (L. Wang, Y. Zhang,
      J. Feng, "On the Euclidean Distance of Images", 2005), and the division keeps images with
      little in them from passing as normal;
    - elbo: the model's own `score_samples`;
    - neighbours, near_codes, blend: minus the logarithm of the distance to the nearest of up to
      5,000 normal rows, which the detector keeps, in the columns, in the code, or in both and with
      the reconstruction's error; see `diabolo.tasks.nearby`;
    - edges: of images, the same in the directions of edges, without the model: `tasks.edges`.

    "auto" is neighbours for the rows of a table of up to 512 columns, or blend where there are
    several `nets`, and reconstruction for all else and with `prefit`: a rule that asks for no
    anomalies.

    Several `nets` are alike but for their seeds, and scores and errors are the mean of theirs,
    which depends less on chance; `model_` is the first, whose odd regions they are.

    A fitted model is left as it is with `prefit`; X must then be samples it was not trained on.
    All of them calibrate, but for the share that a score learns from, where it does: neither
    "reconstruction", "shape" nor "elbo". `held_out_` are the places in X of those that calibrate,
    `held_out_scores_` their scores. `seen_` is the number of those in X that it is known to be
    trained on: above 0, nothing is guaranteed.

    X may be the `Windows` of a series. Then those in the last share of the time are held out, and
    of these only windows calibrate that have no time steps in common. What holds is then of one
    window: P(p <= a) <= a where it and those are exchangeable, as in a series whose law does not
    change and whose dependence does not reach from one window to the next. `Windows.largest`
    makes p-values of time steps of those of windows, for which the same holds, and `Windows.mean`
    scores.

    >>> from diabolo import Autoencoder
    >>> X = np.random.default_rng(0).normal(size=(400, 4)).astype(np.float32)
    >>> model = Autoencoder(latent_dim=2, hidden=(), epochs=3, scaling="standard")
    >>> detector = AnomalyDetector(model, random_state=0).fit(X)
    >>> detector.predict(np.array([[0, 0, 0, 0], [9, -9, 9, -9]], dtype=np.float32))
    array([ 1, -1])
    """

    model: Annotated[
        InstanceOf[Estimator] | None, "The autoencoder; none: one that suits the size of X."
    ] = field(default=None, kw_only=False)
    false_alarm_rate: Annotated[
        conformal.Share, "Share of normal samples that may be flagged."
    ] = 0.05
    criterion: Annotated[
        Literal[
            "auto",
            "reconstruction",
            "latent",
            "combined",
            "shape",
            "elbo",
            "neighbours",
            "near_codes",
            "blend",
            "edges",
        ],
        "The score, see above.",
    ] = "auto"
    calibration_fraction: Annotated[
        conformal.Share, "Share of the samples, drawn by the seed, held out to set the threshold."
    ] = 0.2
    nets: Annotated[Count, "Networks that are fitted, whose scores are averaged."] = 1
    prefit: Annotated[bool, "Take the model as it is, already fitted."] = False
    random_state: Annotated[
        Seed | InstanceOf[np.random.RandomState] | InstanceOf[np.random.Generator] | None,
        "Seed of the split, and of a model without one; none: a fresh one.",
    ] = None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "calibration_scores_")

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn what is normal from X, all of it normal; `y` is ignored.

        Warns where too few samples are held out for the rate: nothing is flagged then. After a
        failure the detector is as it was before.
        """
        series = X if isinstance(X, Windows) else None
        p, X = self.validated(), X if is_frame(X) else as_rows(X, sure=True)
        seed = find_seed(p.random_state)
        criteria.check_nets(p)
        if p.prefit:
            model = self._as_it_is()
            tell([finding for finding in model.findings_ if finding.broken], aloud=False)
            with self._named(model):
                count, seen = nets.counts(model, X)
        else:
            model, count = nets.new(self.model, X, seed, series)
            seen = 0
        p.criterion = score = criteria.chosen(p, model, X)
        criteria.check_images(score, model, X)
        learnt, held = _split(count, p, seed) if series is None else _by_time(series, p)
        if criteria.learns(score):
            criteria.check_code(model.code_size_ if p.prefit else model.planned(X).probe[0])
        normal, others = (_safe_indexing(X, index) for index in (learnt, held))
        models = [model]
        if not p.prefit:
            models = nets.fitted(model, p.nets, normal if series is None else series.only(learnt))
        known = [criteria.learn(score, one, normal) if len(learnt) else {} for one in models]
        members = [Member(*pair) for pair in zip(models, known, strict=True)]
        scores = model._mapped(others, nets.score(score, members))
        self._set(members, score, np.sort(scores))
        self.seen_, self.held_out_, self.held_out_scores_ = seen, held, scores
        self.calibration_peaks_ = regions.peaks(model, others)
        self._tell_if_too_few(len(learnt) + len(held))
        return self

    def _set(self, members: list[Member], score: str, scores: np.ndarray) -> None:
        """Become the detector of these, and of the parameters as they are."""
        config = {name: value for name, value in to_config(self).items() if name != "model"}
        config["criterion"] = score
        self.members_, self.fitted_config_ = members, config
        self._calibrate(scores)

    def _calibrate(self, scores: np.ndarray) -> None:
        """Judge by these scores, in order, and the rate that it was fitted for."""
        self.calibration_scores_, rate = scores, self.fitted_config_["false_alarm_rate"]
        allowed = conformal.allowed(len(scores), rate)
        self.offset_ = float(scores[allowed - 1]) if allowed else -math.inf

    def _tell_if_too_few(self, given: int) -> None:
        held, rate = len(self.calibration_scores_), self.fitted_config_["false_alarm_rate"]
        if not conformal.allowed(held, rate):
            needed = conformal.needed(rate)
            there = "One held-out sample is" if held == 1 else f"{held} held-out samples are"
            text = (
                f"{there} too few for a false-alarm rate of {rate:g}, so"
                f" nothing is flagged: {needed} are needed. Give about"
                f" {math.ceil(needed * given / held)} normal samples, or allow a rate of"
                f" {math.ceil(1000 / (held + 1)) / 1000:g}."
            )
            warnings.warn(text, DoctorWarning, stacklevel=3)

    @property
    def model_(self) -> Estimator:
        """The fitted model, of several networks the first."""
        return self.members_[0].model

    @property
    def findings_(self) -> list[Finding]:
        """What the doctor finds of its models."""
        return [finding for model, _ in self.members_ for finding in model.findings_]

    @property
    def n_features_in_(self) -> int:
        """D, the number of values in a sample."""
        return int(self.model_.n_features_in_)

    @property
    def feature_names_in_(self) -> np.ndarray:
        """The names of the columns of a table that had some."""
        names: np.ndarray = self.model_.feature_names_in_
        return names

    # ---- use

    def score_samples(self, X: Any) -> Any:
        """How normal each sample is, (N,) float64: larger is more normal. Deterministic."""
        check_is_fitted(self)
        return self._mapped(X, nets.score(self.fitted_config_["criterion"], self.members_))

    def decision_function(self, X: Any) -> Any:
        """`score_samples` minus the threshold `offset_`, (N,): below 0 for anomalies."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> Any:
        """-1 for anomalies, those whose p-value is at most the false-alarm rate, 1 for others."""
        return like(X, torch.from_numpy(np.where(self.decision_function(X) < 0, -1, 1)))

    def p_values(self, X: Any) -> Any:
        """The share of normal samples at least as abnormal as each sample, (N,), itself counted.

        For a normal sample, P(p <= a) <= a for every a.
        """
        scores = np.asarray(self.score_samples(X))
        return like(X, torch.from_numpy(self.p_values_of(scores)))

    def p_values_of(self, scores: np.ndarray) -> np.ndarray:
        """The p-values of samples with these scores."""
        return conformal.p_values(self.calibration_scores_, scores)

    def feedback(self, X: Any) -> Self:
        """Learn from samples that were flagged and are normal, by calibrating anew.

        Each score takes the place of the largest that calibrates, where it is smaller, so that no
        p-value becomes smaller and what was guaranteed stays so. Each sample counts as often as it
        is given.
        """
        held = self.calibration_scores_.copy()
        for score in np.asarray(self.score_samples(X)):
            held[-1] = min(held[-1], score)
            held.sort()
        self._calibrate(held)
        return self

    def discoveries(self, X: Any, rate: float = 0.1) -> Any:
        """Which samples of a batch are anomalies, (N,) bool, at a false-discovery rate.

        Of those that are flagged, the share of normal ones is at most `rate` on average over
        batches and held-out sets, where the normal ones in X are independent and alike with
        the held-out ones: the p-values are then positively dependent as the procedure needs
        (Bates et al. 2023, theorem 2). Not for windows that overlap.
        """
        return like(X, torch.from_numpy(conformal.discoveries(np.asarray(self.p_values(X)), rate)))

    def errors(self, X: Any) -> Any:
        """The squared error of every value, in scaled units, float32 in the shape of X.

        Of an image a heatmap; of a table's row, how odd each column is. Where a table has
        categories or gaps it is how much less probable a cell is than what would have been most
        probable, in nats: the logarithm of the ratio, 0 in gaps; (N, D), in the order of training.
        """
        check_is_fitted(self)
        top = torch.finfo(torch.float32).max
        mean = nets.mean([partial(errors, model.net_) for model, _ in self.members_])

        def found(x: Tensor) -> Tensor:
            return mean(x).nan_to_num(top, top).clamp(max=top).float()

        return self._mapped(X, found, keep_shape=self.model_.fitted_.intake.table is None)

    def odd_regions(self, X: Any) -> regions.Regions:
        """Where images are odd: masks (N, H, W) and boxes (N, 4); see `diabolo.tasks.regions`.

        Of normal images at most the false-alarm rate have any odd pixel.
        """
        check_is_fitted(self)
        model, rate = self.model_, self.fitted_config_["false_alarm_rate"]
        if model.image_shape_ is None or not len(self.calibration_peaks_):
            raise InputError("Only images have odd regions, of a detector fitted by this version.")
        with self._named(model):
            return regions.found(model, X, regions.threshold(self.calibration_peaks_, rate))

    def _mapped(self, X: Any, function: Callable[[Tensor], Tensor], **options: Any) -> Any:
        """As the model's; a wrong number of columns is reported in the detector's name."""
        with self._named(self.model_):
            return self.model_._mapped(X, function, **options)

    @contextmanager
    def _named(self, model: Estimator) -> Iterator[None]:
        """What the model refuses is refused in the detector's name."""
        try:
            yield
        except InputError as error:
            words = str(error).replace(f"but {model.kind} is", f"but {self.kind} is")
            raise InputError(words) from None

    def oddest_columns(self, X: Any) -> np.ndarray:
        """The name of the oddest column in each row of a table, (N,), see `shares`."""
        return oddness.column_names(self.model_)[self.shares(X).argmax(axis=1)]

    def shares(self, X: Any) -> np.ndarray:
        """The share of each column in the error of a table's row, (N, D); see `oddness.shares`."""
        check_is_fitted(self)
        if self.model_.image_shape_ is not None:
            raise InputError("Images have no columns: look at the heatmaps of errors(X).")
        with self._named(self.model_):
            shares = [oddness.shares(model, X) for model, _ in self.members_]
        return np.asarray(np.mean(shares, axis=0))

    def odd_cells(self, X: Any, shares: np.ndarray | None = None) -> list[OddCell]:
        """The oddest cell of each row of a table, by its `shares`, and what would be normal."""
        known = self.shares(X) if shares is None else shares
        return oddness.odd_cells(self.model_, X, known, list(oddness.column_names(self.model_)))

    def save(self, path: str | Path) -> None:
        """Write detector and model to one .safetensors file; `diabolo.load` reads it."""
        check_is_fitted(self)
        config, tensors = self.model_.fitted_.contents()
        learnt = nets.contents(self.members_) | {
            CALIBRATION: torch.from_numpy(self.calibration_scores_),
            PEAKS: torch.from_numpy(self.calibration_peaks_),
            SEEN: torch.tensor(float(self.seen_), dtype=torch.float64),
        }
        tensors |= prefixed(PREFIX, learnt)
        store.write(path, config | {"detector": self.fitted_config_}, tensors)

    def _restore(self, model: Estimator, tensors: dict[str, Tensor]) -> None:
        """Become the fitted detector that `save` described; `load` calls this.

        Raises ValueError, in a sentence, where these do not fit each other.
        """
        p = self.validated()
        scores = tensors.pop(CALIBRATION, torch.empty(0))
        seen = tensors.pop(SEEN, torch.zeros((), dtype=torch.float64))
        peaks = tensors.pop(PEAKS, torch.empty(0, dtype=torch.float64))
        members = nets.read(model, p, tensors)
        if scores.ndim != 1 or not len(scores) or seen.ndim:
            raise ValueError("the tensors of its detector do not fit its score.")
        if peaks.ndim != 1 or (len(peaks) and model.image_shape_ is None):
            raise ValueError("the errors of its detector's images do not fit it.")
        criteria.check_values([scores, seen, peaks])
        if (scores.diff() < 0).any():
            raise ValueError("the scores of its detector are not in order.")
        self._set(members, p.criterion, scores.numpy())
        self.model, self.prefit, self.seen_ = model, True, int(seen)
        self.calibration_peaks_ = peaks.numpy()


# ---- the samples


def _split(count: int, p: Any, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which samples are learnt from, and which are held out."""
    if p.prefit and not criteria.learns(p.criterion):
        return np.empty(0, int), np.arange(count)
    if count < 2:
        raise InputError(f"X has n_samples={count}: give two or more, of which some are held out.")
    held = min(max(round(count * p.calibration_fraction), 1), count - 1)
    order = torch.randperm(count, generator=generator(seed, "calibration")).numpy()
    return np.sort(order[held:]), np.sort(order[:held])


def _by_time(series: Windows, p: Any) -> tuple[np.ndarray, np.ndarray]:
    """As `_split`, the windows of a series: the last are held out, those that lie apart."""
    if p.prefit and not criteria.learns(p.criterion):
        return np.empty(0, int), series.apart(np.arange(len(series)))
    learnt, held = series.parted(p.calibration_fraction)
    return learnt, series.apart(held)
