"""Anomaly detection: the guarantee, what is found, and the file."""

import copy
import os
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.base import clone, is_outlier_detector
from sklearn.covariance import LedoitWolf
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator
from torch import nn

from diabolo import VAE, AnomalyDetector, Autoencoder, load, store
from diabolo.data import load_mnist
from diabolo.doctor import DoctorWarning
from diabolo.errors import InputError
from diabolo.tasks import anomaly, conformal, criteria, nearby

CRITERIA = ("reconstruction", "latent", "combined", "elbo")
SOME = [
    c if c in ("combined", "elbo") else pytest.param(c, marks=pytest.mark.stress) for c in CRITERIA
]
RATES = (0.01, 0.05, 0.1)
MODELS = {"Autoencoder": Autoencoder, "VAE": VAE}
LETTERS = list("abcdef")


def small(kind=Autoencoder, **parameters):
    given = {"latent_dim": 2, "hidden": (6,), "epochs": 2, "batch_size": 16, "device": "cpu"}
    return kind(**given | {"random_state": 0, "scaling": "standard"} | parameters)


def normal(n=200, seed=0):
    """Rows of six columns near a plane."""
    draw = np.random.default_rng(seed)
    plane = np.random.default_rng(99).normal(size=(2, 6))
    noise = 0.3 * draw.normal(size=(n, 6))
    return (draw.normal(size=(n, 2)) @ plane + noise).astype(np.float32)


def detector(model=None, **parameters):
    return AnomalyDetector(model or small(), **{"random_state": 0} | parameters)


@pytest.fixture(scope="module")
def fitted():
    """A model fitted on normal rows."""
    return small(epochs=20).fit(normal(400))


def calibrated(model, X, **parameters):
    return AnomalyDetector(model, prefit=True, **{"random_state": 0} | parameters).fit(X)


# ---- the guarantee


@pytest.fixture(scope="module", params=[60, pytest.param(200, marks=pytest.mark.stress)])
def p_values(fitted, request):
    """Over random splits of 999 samples, the p-values of 500 where 499 calibrate."""
    X, found = normal(999, seed=1), []
    for seed in range(request.param):
        order = np.random.default_rng(seed).permutation(len(X))
        found.append(calibrated(fitted, X[order[:499]]).p_values(X[order[499:]]))
    return np.array(found)


@pytest.mark.parametrize("rate", RATES)
def test_over_many_splits_the_false_alarms_follow_their_law(p_values, rate):
    """Of m others, Beta-binomial(m, l, n + 1 - l) are flagged, with l = rate (n + 1)."""
    (splits, m), n = p_values.shape, 499
    counts = np.count_nonzero(p_values <= rate, axis=1)
    below = round(rate * (n + 1))
    law = stats.betabinom(m, below, n + 1 - below)
    assert law.mean() == pytest.approx(m * rate)
    assert abs(counts.mean() - law.mean()) < 3 * law.std() / np.sqrt(splits)
    spread = np.random.default_rng(0).random(splits)  # makes ranks in a discrete law uniform
    ranks = law.cdf(counts - 1) + spread * law.pmf(counts)
    assert stats.kstest(ranks, "uniform").pvalue > 0.01
    in_band = stats.beta(below, n + 1 - below).interval(0.95)
    share = np.mean((counts / m > in_band[0]) & (counts / m < in_band[1]))
    assert 0.75 < share <= 1, "the beta law alone, without the m others' own spread"


@pytest.mark.parametrize("criterion", SOME)
def test_p_values_of_normal_samples_are_uniform_and_of_odd_ones_small(criterion):
    found = detector(small(VAE, epochs=10, batch_size=64), criterion=criterion).fit(normal(1500))
    p = found.p_values(normal(1000, seed=1))
    jitter = np.random.default_rng(0).random(len(p)) / (len(found.calibration_scores_) + 1)
    assert stats.ks_2samp(p - jitter, np.linspace(0, 1, 3001)).pvalue > 1e-3
    assert found.p_values(20 + 9 * normal(5)).max() == 1 / 301


@pytest.mark.parametrize("rate", [0.009, *RATES, 0.3, 0.99, 1 / 3])
@pytest.mark.parametrize("held", [1, 9, 19, 100])
def test_a_prediction_is_its_p_value_against_the_rate(fitted, rate, held):
    X = np.concatenate([normal(held, seed=2), normal(60, seed=3), 3 * normal(40, seed=4)])
    found = calibrated(fitted, X[:held], false_alarm_rate=rate)
    p, decision = found.p_values(X), found.decision_function(X)
    assert p.min() >= 1 / (held + 1)
    assert p.max() <= 1
    np.testing.assert_array_equal(found.predict(X), np.where(p <= rate, -1, 1))
    np.testing.assert_array_equal(decision < 0, p <= rate)
    np.testing.assert_array_equal(decision, found.score_samples(X) - found.offset_)


def test_the_threshold_is_the_conformal_quantile(fitted):
    """The ceil((n + 1) (1 - rate))-th smallest of what is large for the abnormal."""
    X = normal(99, seed=2)
    found = calibrated(fitted, X, false_alarm_rate=0.1)
    assert -found.offset_ == np.sort(-found.score_samples(X))[90 - 1]
    np.testing.assert_array_equal(found.calibration_scores_, np.sort(found.score_samples(X)))


def test_ties_are_never_flagged_too_often(fitted):
    X = np.repeat(normal(5, seed=2), 40, axis=0)
    found = calibrated(fitted, X, false_alarm_rate=0.1)
    assert (found.predict(X) == 1).all(), "a fifth of them are the oddest, more than a tenth"
    assert sorted(set(found.p_values(X))) == [(1 + 40 * i) / 201 for i in range(1, 6)]
    assert set(calibrated(fitted, X, false_alarm_rate=0.25).predict(X)) == {1, -1}


@pytest.mark.parametrize(("rate", "needed"), [(0.01, 99), (0.05, 19), (0.1, 9), (0.3, 3)])
def test_too_few_samples_warn_and_flag_nothing(fitted, rate, needed):
    words = rf"^{needed - 1} held-out .* rate of {rate}, so nothing is .*: {needed} are needed\. "
    with pytest.warns(DoctorWarning, match=words) as caught:
        found = calibrated(fitted, normal(needed - 1), false_alarm_rate=rate)
    assert caught[0].filename == __file__
    advice = f"Give about {needed} normal samples, or allow a rate of "
    allowed = float(str(caught[0].message).split(advice)[1].rstrip("."))
    assert conformal.allowed(needed - 1, allowed) == 1
    odd = 1e6 * normal(50, seed=1)
    assert (found.predict(odd) == 1).all()
    assert (found.decision_function(odd) == np.inf).all()
    assert (found.p_values(odd) > rate).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = calibrated(fitted, normal(needed), false_alarm_rate=rate)
    assert (found.predict(odd) == -1).all()


@pytest.mark.parametrize("rate", [1e-4, 1 / 3, 1 / 7, 0.07, 0.9, 0.9999])
def test_the_number_needed_is_the_least(rate):
    needed = conformal.needed(rate)
    assert conformal.allowed(needed, rate) >= 1
    assert needed == 1 or conformal.allowed(needed - 1, rate) == 0


def test_discoveries_are_those_of_benjamini_and_hochberg(fitted):
    found = calibrated(fitted, normal(499, seed=2))
    X = np.concatenate([normal(80, seed=3), 4 * normal(20, seed=4)])
    p = found.p_values(X)
    for rate in (0.05, 0.2):
        adjusted = stats.false_discovery_control(p)
        np.testing.assert_array_equal(found.discoveries(X, rate), adjusted <= rate)
    assert found.discoveries(torch.from_numpy(X)).sum() > 5
    assert not found.discoveries(X[:1] * 0).any()
    with pytest.raises(InputError, match="rate must be a number above 0"):
        found.discoveries(X, 1.5)


def test_the_band_holds_for_95_of_100_calibration_sets():
    """Of uniform scores the rate of false alarms is the threshold itself."""
    draw = np.random.default_rng(0).random((4000, 39))
    low, high = conformal.band(39, 0.05)
    rates = np.sort(draw, axis=1)[:, conformal.allowed(39, 0.05) - 1]
    assert np.mean((rates >= low) & (rates <= high)) == pytest.approx(0.95, abs=0.012)
    assert (low, high) == pytest.approx((0.0063, 0.1348), abs=1e-4)
    assert conformal.band(9, 0.05) == (0, 0)


def test_feedback_stops_alarms_and_makes_no_p_value_smaller(fitted, tmp_path):
    found = calibrated(fitted, normal(99, seed=2))
    X = np.concatenate([normal(300, seed=3), 4 * normal(40, seed=4)])
    before, score = found.p_values(X), found.score_samples(X)
    fine = X[np.argsort(score)[:6]]
    assert found.feedback(fine) is found
    assert (found.p_values(X) >= before).all()
    assert len(found.calibration_scores_) == 99
    assert set(found.score_samples(fine)) <= set(found.calibration_scores_)
    assert found.predict(fine).max() == 1
    assert found.offset_ == found.calibration_scores_[4]
    found.save(tmp_path / "d.safetensors")
    np.testing.assert_array_equal(load(tmp_path / "d.safetensors").p_values(X), found.p_values(X))
    best = X[np.argsort(score)[-1:]]
    held = found.calibration_scores_.copy()
    np.testing.assert_array_equal(found.feedback(best).calibration_scores_, held)


# ---- what is found


def residual_of_pca(train, test, k):
    pca = PCA(k, random_state=0).fit(train)
    return ((test - pca.inverse_transform(pca.transform(test))) ** 2).mean(axis=1)


@pytest.fixture(scope="module")
def one_digit():
    """Eights to fit on, other digits and eights to test, and which of these are odd."""
    (x_train, y_train), (x_test, y_test) = load_mnist()
    return x_train[y_train == 8][:3000], x_test[:3000], y_test[:3000] != 8


def test_digits_other_than_the_one_fitted_on_are_found_and_better_than_by_pca(one_digit):
    eights, X, odd = one_digit
    model = Autoencoder(latent_dim=16, epochs=10, random_state=0)
    found = AnomalyDetector(model, random_state=0).fit(eights)
    area = roc_auc_score(odd, -found.score_samples(X))
    flat = (eights.reshape(len(eights), -1) / 255, X.reshape(len(X), -1) / 255)
    assert area > 0.8
    assert area > roc_auc_score(odd, residual_of_pca(*flat, 16)) + 0.01
    assert np.mean(found.predict(X[~odd]) == -1) < 0.1
    heat = found.errors(X[:9])
    assert heat.shape == (9, 28, 28)
    np.testing.assert_allclose(heat.mean((1, 2)), -found.score_samples(X[:9]), rtol=1e-6)


@pytest.mark.parametrize("criterion", SOME)
def test_tumours_are_found(criterion):
    X, y = load_breast_cancer(return_X_y=True)
    benign = np.random.default_rng(0).permutation(X[y == 1])
    test = np.concatenate([benign[250:], X[y == 0]])
    odd = np.arange(len(test)) >= len(benign) - 250
    found = AnomalyDetector(criterion=criterion, random_state=0).fit(benign[:250])
    mean, std = benign[:250].mean(axis=0), benign[:250].std(axis=0)
    linear = residual_of_pca((benign[:250] - mean) / std, (test - mean) / std, 10)
    area = roc_auc_score(odd, -found.score_samples(test))
    assert area > 0.88
    assert area > roc_auc_score(odd, linear) - 0.05


def test_the_odd_column_is_named():
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    benign = X[y == 1].sample(frac=1, random_state=0).astype(np.float32)
    train, test = benign[:250], benign[250:].copy()
    changed = np.random.default_rng(0).choice(test.columns, len(test))
    for row, name in enumerate(changed):
        test.iloc[row, test.columns.get_loc(name)] += np.float32(6 * train[name].std())
    found = AnomalyDetector(random_state=0).fit(train)
    assert np.mean(found.oddest_columns(test) == changed) > 0.85
    assert found.errors(test).shape == test.shape


def test_the_distance_of_codes_is_mahalanobis_with_shrunk_covariance():
    X, model = normal(300), small(epochs=5).fit(normal(300))
    found = calibrated(model, X, criterion="latent")
    order = torch.randperm(300, generator=anomaly.generator(0, "calibration")).numpy()
    z = model.transform(X[order[60:]]).astype(np.float64)
    expected = LedoitWolf().fit(z).mahalanobis(model.transform(X))
    np.testing.assert_allclose(-found.score_samples(X), expected, rtol=1e-4)


def test_combined_weighs_both_alike_and_elbo_is_the_models_own():
    X, model = normal(300), small(VAE, epochs=5).fit(normal(300))
    scores = [calibrated(model, X, criterion=name).score_samples(X) for name in CRITERIA]
    error, far, both, elbo = scores
    weights = np.linalg.lstsq(np.stack([error, far], 1), both, rcond=None)[0]
    np.testing.assert_allclose(weights @ [error, far], both, rtol=1e-9)
    assert weights * [error.mean(), far.mean()] == pytest.approx([-1, -1], abs=0.1)
    np.testing.assert_array_equal(elbo, model.score_samples(X).astype(np.float64))


def test_distances_to_neighbours_are_those_of_scikit_learn(fitted):
    """Of `near_codes` and `neighbours`, by its search."""
    X = normal(300)
    order = torch.randperm(300, generator=anomaly.generator(0, "calibration")).numpy()
    kept, held = (np.sort(part) for part in (order[60:], order[:60]))
    z = fitted.transform(X).astype(np.float64)
    far = distances(z[kept] / z[kept].std(axis=0), z[held] / z[kept].std(axis=0))[0]
    found = calibrated(fitted, X, criterion="near_codes").score_samples(X[held])
    assert np.corrcoef(found, -np.log(far))[0, 1] > 0.9999
    v = X.astype(np.float64) / X[kept].std(axis=0, dtype=np.float64)
    plain, places = distances(v[kept], v[held])
    own = distances(v[kept], v[kept], skip=1)[0]
    odd = np.log(plain) - 0.25 * np.log(own)[places].mean(axis=1)
    found = calibrated(fitted, X, criterion="neighbours").score_samples(X[held])
    assert np.corrcoef(found, -odd)[0, 1] > 0.999


def distances(kept, points, skip=0):
    """The mean distance to the five nearest, and which those are."""
    found, places = NearestNeighbors(n_neighbors=5 + skip).fit(kept).kneighbors(points)
    return found[:, skip:].mean(axis=1), places[:, skip:]


def test_auto_is_neighbours_for_a_table_and_reconstruction_for_all_else(fitted):
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4), dtype=np.uint8)
    gaps = pd.DataFrame({"a": [1.0, np.nan] * 30, "b": list("xyz") * 20})
    for found, wanted in (
        (detector().fit(normal(60)), "neighbours"),
        (detector().fit(gaps), "neighbours"),
        (detector().fit(images), "reconstruction"),
        (calibrated(fitted, normal(60)), "reconstruction"),
    ):
        assert found.fitted_config_["criterion"] == wanted
        assert found.criterion == "auto"


def test_the_file_of_a_table_with_categories_and_gaps_gives_it_back(tmp_path):
    frame = pd.DataFrame({"a": [1.0, np.nan, 3.0] * 20, "b": list("xyzx") * 15})
    found = detector(small(epochs=1)).fit(frame)
    found.save(tmp_path / "d.safetensors")
    again = load(tmp_path / "d.safetensors").score_samples(frame)
    np.testing.assert_array_equal(again, found.score_samples(frame))


def test_several_networks_judge_by_the_mean_of_each(tmp_path, monkeypatch):
    X, asked, nearest = normal(60), [], nearby.nearest
    found = detector(small(linear=False), nets=3).fit(X)
    seeds = [model.seed_ for model, _ in found.members_]
    alone = [small(linear=False, random_state=seed) for seed in seeds]
    each = [detector(one, criterion="blend").fit(X) for one in alone]
    found.save(tmp_path / "d.safetensors")
    again = load(tmp_path / "d.safetensors")
    known = [(model.seed_, model.get_params()["random_state"]) for model, _ in again.members_]
    assert known[1:] == [(seed, seed) for seed in seeds[1:]]
    for name in ("score_samples", "errors", "shares"):
        mean = np.mean([getattr(one, name)(X) for one in each], axis=0)
        np.testing.assert_allclose(getattr(found, name)(X), mean, rtol=1e-5)
        np.testing.assert_array_equal(getattr(again, name)(X), getattr(found, name)(X))
    assert len({one.score_samples(X)[0] for one in each}) == len(set(seeds)) == 3
    monkeypatch.setattr(nearby, "nearest", lambda *pair: asked.append(pair) or nearest(*pair))
    again.score_samples(X)
    assert len(asked) == 1 + 3, "distances in the columns are the same in all"


@pytest.mark.parametrize("nets", [1, 1 << 40])
def test_a_file_of_other_networks_than_it_says_is_damaged(tmp_path, nets):
    path = tmp_path / "d.safetensors"
    detector(nets=2, criterion="latent").fit(normal(60)).save(path)
    config, tensors = store.read(path)
    config["detector"]["nets"] = nets
    store.write(path, config, tensors)
    with pytest.raises(InputError, match="is damaged"):
        load(path)


def test_no_more_rows_are_kept_than_said(monkeypatch):
    monkeypatch.setattr(nearby, "MOST", 50)
    learnt = detector(criterion="blend").fit(normal()).members_[0].learnt
    assert len(learnt["rows"]) == len(learnt["codes"]) == 50


# ---- the scikit-learn face


@pytest.mark.parametrize(
    "criterion", ["combined", *(pytest.param(c, marks=pytest.mark.stress) for c in CRITERIA)]
)
def test_scikit_learns_own_checks(criterion):
    given = small(VAE if criterion in ("latent", "elbo") else Autoencoder, random_state=None)
    checks = check_estimator(
        AnomalyDetector(given, criterion=criterion), on_fail=None, on_skip=None
    )
    environment = [] if os.environ.get("SCIPY_ARRAY_API") else ["check_array_api_input"]
    assert [c["check_name"] for c in checks if c["status"] != "passed"] in ([], environment)
    assert len(checks) > 40


def test_it_is_an_outlier_detector_in_pipelines_and_cross_validation(fitted):
    X = normal(300)
    assert is_outlier_detector(AnomalyDetector())
    assert AnomalyDetector(fitted).model is fitted
    pipeline = make_pipeline(StandardScaler(), detector()).fit(X)
    assert set(pipeline.predict(X)) == {1, -1}
    folds = cross_val_predict(calibrated(fitted, X), X, cv=3)
    assert 0 < np.mean(folds == -1) < 0.15


def test_fit_trains_a_clone_and_prefit_leaves_the_model_alone(fitted):
    model, X = small(), normal()
    found = detector(model).fit(X)
    assert not hasattr(model, "net_")
    assert found.model_.data_["samples"] == 160
    assert len(found.calibration_scores_) == 40
    weights = [p.clone() for p in fitted.net_.parameters()]
    kept = calibrated(fitted, X)
    assert len(kept.calibration_scores_) == len(X)
    assert len(calibrated(fitted, X, criterion="combined").calibration_scores_) == 40
    assert all(map(torch.equal, fitted.net_.parameters(), weights))
    assert clone(kept).fit(X).offset_ == kept.offset_, "a clone keeps a model that is fitted"


def test_a_detector_stays_when_its_model_is_fitted_anew():
    model = small().fit(normal(seed=1))
    found = calibrated(model, normal())
    before = found.score_samples(normal())
    model.fit(normal(seed=2)).partial_fit(normal(seed=2))
    np.testing.assert_array_equal(found.score_samples(normal()), before)


def test_calibrating_on_the_training_samples_warns():
    model = small().fit(normal())
    with pytest.warns(DoctorWarning, match="The model was trained on these samples, so the"):
        calibrated(model, normal())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        calibrated(model, normal(seed=1))


def test_the_file_remembers_that_nothing_is_guaranteed(tmp_path):
    model = small().fit(normal())
    with pytest.warns(DoctorWarning, match="not guaranteed"):
        calibrated(model, normal()).save(tmp_path / "seen.safetensors")
    calibrated(model, normal(seed=1)).save(tmp_path / "new.safetensors")
    assert load(tmp_path / "seen.safetensors").seen_ == len(normal())
    assert load(tmp_path / "new.safetensors").seen_ == 0


def test_wrong_columns_are_refused_in_the_detectors_name(fitted):
    with pytest.raises(InputError, match="but AnomalyDetector is expecting"):
        calibrated(fitted, normal()[:, 1:])


def test_the_seed_decides_all(untouched):
    X = normal()
    with untouched():
        first, second, third, fourth = (
            AnomalyDetector(small(random_state=None), criterion="combined", random_state=seed)
            .fit(X)
            .score_samples(X)
            for seed in (0, 0, 1, None)
        )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)
    assert not np.array_equal(first, fourth)


@pytest.mark.parametrize("criterion", SOME)
def test_a_score_does_not_depend_on_other_rows(criterion):
    X = normal(60)
    found = detector(small(VAE), criterion=criterion).fit(X)
    scores, order = found.score_samples(X), np.random.default_rng(0).permutation(60)
    assert scores.dtype == np.float64
    np.testing.assert_array_equal(found.score_samples(X[order]), scores[order])
    np.testing.assert_array_equal(
        np.concatenate([found.score_samples(x[None]) for x in X]), scores
    )


def test_tables_with_names_lists_and_tensors(fitted):
    X = normal()
    frame = pd.DataFrame(X, columns=LETTERS)
    found = detector().fit(frame)
    assert found.feature_names_in_.tolist() == LETTERS
    assert set(found.oddest_columns(frame)) <= set(LETTERS)
    plain = detector().fit(torch.from_numpy(X))
    np.testing.assert_array_equal(plain.score_samples(X), found.score_samples(frame))
    np.testing.assert_array_equal(plain.score_samples(X.tolist()), plain.score_samples(X))
    assert set(plain.oddest_columns(X)) <= {f"x{i}" for i in range(6)}
    for use in ("score_samples", "decision_function", "predict", "p_values", "errors"):
        given = getattr(plain, use)(torch.from_numpy(X))
        assert isinstance(given, torch.Tensor)
        np.testing.assert_array_equal(given.numpy(), getattr(plain, use)(X))


def test_values_beyond_all_bounds_are_the_most_abnormal(fitted):
    huge = np.full((1, 6), 3e38, np.float32)
    for criterion in CRITERIA:
        found = calibrated(fitted, normal(), criterion=criterion)
        assert np.isfinite(found.score_samples(huge)).all()
        assert found.predict(huge).tolist() == [-1]
    assert np.isfinite(found.errors(huge)).all()


# ---- the file


@pytest.mark.parametrize(
    ("name", "criterion"),
    [("Autoencoder", c) for c in CRITERIA[:3]] + [("VAE", "elbo"), ("Autoencoder", "blend")],
)
def test_a_file_gives_the_detector_back(tmp_path, name, criterion):
    X, path = normal(), tmp_path / "detector.safetensors"
    given = {"criterion": criterion, "false_alarm_rate": 0.1, "calibration_fraction": 0.3}
    found = detector(small(MODELS[name]), **given).fit(pd.DataFrame(X, columns=LETTERS))
    found.save(path)
    read = load(path)
    assert isinstance(read, AnomalyDetector)
    assert {n: read.get_params()[n] for n in given} == given
    assert read.prefit
    frame = pd.DataFrame(2 * normal(seed=1), columns=LETTERS)
    for use in ("score_samples", "decision_function", "predict", "p_values", "errors"):
        np.testing.assert_array_equal(getattr(read, use)(frame), getattr(found, use)(frame))
    assert read.oddest_columns(frame).tolist() == found.oddest_columns(frame).tolist()
    read.save(tmp_path / "again.safetensors")
    assert path.read_bytes() == (tmp_path / "again.safetensors").read_bytes()
    assert read.set_params(false_alarm_rate=0.2).fit(frame).offset_ < 0


def test_a_file_of_own_modules_and_one_that_flags_nothing(tmp_path):
    pair, path = (nn.Linear(6, 2), nn.Linear(2, 6)), tmp_path / "detector.safetensors"
    found = detector(small(network=pair)).fit(normal(20))
    found.save(path)
    with pytest.raises(InputError, match="has a network of its own: give load"):
        load(path)
    read = load(path, network=pair)
    assert read.offset_ == -np.inf
    np.testing.assert_array_equal(read.p_values(normal()), found.p_values(normal()))


def edit(name, value):
    def edited(config, tensors):
        (tensors if name.startswith("detector ") else config["detector"])[name] = value

    return edited


def removed(name):
    return lambda config, tensors: tensors.pop(f"detector {name}")


ordered = torch.arange(40, dtype=torch.float64)
WRONG = {
    "no entry": (lambda config, _: config.pop("detector"), "the tensor 'detector "),
    "no dict": (lambda config, _: config.update(detector=[1]), "no valid detector"),
    "a deep one": (edit("criterion", {"a": 1}), "no valid detector"),
    "a kind": (edit("kind", "VAE"), "no kind 'VAE'"),
    "a name": (edit("rate", 0.1), "no parameter 'rate'"),
    "a rate": (edit("false_alarm_rate", 2.0), "false_alarm_rate must be a number"),
    "a criterion": (edit("criterion", "latent"), "do not fit its score"),
    "no scores": (removed(anomaly.CALIBRATION), "do not fit its score"),
    "no mean": (removed("mean"), "do not fit its score"),
    "more": (edit("detector more", ordered), "do not fit its score"),
    "seen": (edit("detector seen", ordered), "do not fit its score"),
    "seen nan": (edit("detector seen", ordered[0] * torch.nan), "has values that are none"),
    "empty": (edit("detector calibration_scores", ordered[:0]), "do not fit its score"),
    "a scalar": (edit("detector calibration_scores", ordered[0]), "do not fit its score"),
    "a shape": (edit("detector whitening", torch.eye(3).double()), "do not fit its score"),
    "a type": (edit("detector mean", torch.zeros(2)), "has values that are none"),
    "bf16": (edit("detector mean", torch.zeros(2).bfloat16()), "has values that are none"),
    "nan": (edit("detector mean", ordered[:2] * torch.nan), "has values that are none"),
    "order": (edit("detector calibration_scores", -ordered), "are not in order"),
    "scales": (edit("detector scales", ordered[:2]), "are not positive"),
}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The file of a detector."""
    path = tmp_path_factory.mktemp("detector") / "detector.safetensors"
    detector(criterion="combined").fit(normal()).save(path)
    return path


@pytest.mark.parametrize("what", WRONG)
def test_a_damaged_file_is_refused(file, tmp_path, what):
    change, words = WRONG[what]
    path = tmp_path / "detector.safetensors"
    config, tensors = store.read(file)
    change(config, tensors)
    store.write(path, config, tensors)
    with pytest.raises(InputError, match=f"is damaged: .*{words}"):
        load(path)


def test_a_model_file_has_no_detectors_tensors(tmp_path):
    path = tmp_path / "model.safetensors"
    small().fit(normal()).save(path)
    config, tensors = store.read(path)
    store.write(path, config, tensors | {"detector mean": ordered})
    with pytest.raises(InputError, match="'detector mean' does not fit"):
        load(path)


# ---- mistakes

BAD = {
    "a rate of 0": ({"false_alarm_rate": 0}, "false_alarm_rate must be a number above 0"),
    "a rate of 1": ({"false_alarm_rate": 1}, "number above 0 and below 1, but is 1"),
    "a rate in words": ({"false_alarm_rate": "5%"}, "but is '5%'"),
    "a fraction": ({"calibration_fraction": 1.5}, "calibration_fraction must be a number above 0"),
    "a criterion": ({"criterion": "mse"}, "criterion must be one of 'auto', "),
    "a seed": ({"random_state": -1}, "random_state must be an integer of at least 0"),
    "prefit": ({"prefit": 1}, "prefit must be True or False"),
    "several, fitted": ({"prefit": True, "nets": 2}, "the model is fitted already: use nets=1"),
    "several, unasked": (
        {"criterion": "neighbours", "nets": 2},
        "'neighbours' asks no network, so nets=2 are for nothing: use criterion='blend'",
    ),
    "no model": ({"model": PCA()}, r"model must be an Estimator \(Autoencoder, .*VAE.*\) or None"),
    "the class": ({"model": VAE}, "model must be an Estimator"),
    "within": ({"model": small(epochs=0)}, "epochs must be an integer of at least 1"),
    "prefit of none": (
        {"model": None, "prefit": True},
        r"With prefit there must be a fitted model: give AnomalyDetector\(model\)\.",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def calm():
    """A fitted detector."""
    return detector().fit(normal())


@pytest.mark.parametrize("what", BAD)
def test_wrong_parameters_are_refused_and_leave_the_detector_as_it_was(what, calm):
    parameters, words = BAD[what]
    found = copy.deepcopy(calm)
    before = found.score_samples(normal())
    with pytest.raises(InputError, match=words):
        found.set_params(**parameters).fit(normal(seed=1))
    np.testing.assert_array_equal(found.score_samples(normal()), before)


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (normal(1), "X has n_samples=1: give two or more, of which some are held out"),
        (normal(0), "0 sample"),
        (normal()[0], "Reshape your data"),
        ("samples.csv", "read it with diabolo.data.read"),
    ],
)
def test_wrong_samples_are_refused(X, words):
    with pytest.raises(InputError, match=words):
        detector().fit(X)


def test_wrong_uses_are_refused(fitted, monkeypatch, tmp_path):
    X = normal()
    for use in ("score_samples", "decision_function", "predict", "p_values", "errors"):
        with pytest.raises(NotFittedError):
            getattr(AnomalyDetector(), use)(X)
    with pytest.raises(NotFittedError):
        AnomalyDetector().save(tmp_path / "none")
    with pytest.raises(NotFittedError, match="This Autoencoder instance is not fitted yet"):
        AnomalyDetector(small(), prefit=True).fit(X)
    with pytest.raises(InputError, match="X has 5 features, but AnomalyDetector is expecting 6"):
        calibrated(fitted, X).predict(X[:, :5])
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4), dtype=np.uint8)
    with pytest.raises(InputError, match=r"Images have no columns: look at the heatmaps of err"):
        detector().fit(images).oddest_columns(images)
    monkeypatch.setattr(criteria, "WIDEST_CODE", 1)
    with pytest.raises(InputError, match="Codes of 2 numbers are too wide for their distances"):
        detector(criterion="latent").fit(X)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_two_samples_and_dead_codes_are_enough_to_fit(criterion):
    X = np.ones((2, 6), np.float32)
    found = detector(criterion=criterion).fit(X)
    assert len(found.calibration_scores_) == 1
    assert np.isfinite(found.score_samples(X)).all()


@pytest.mark.parametrize("shape", [(11,), (7, 9), (13, 13)])
@pytest.mark.parametrize(
    "criterion", ["reconstruction", "latent", "combined", "shape", "elbo", "blend"]
)
def test_a_row_s_score_does_not_depend_on_the_rows_beside_it(threads, criterion, shape):
    if criterion == "shape" and len(shape) == 1:
        pytest.skip("of images alone")
    draw = np.random.default_rng(0)
    X, order = draw.random((150, *shape), dtype=np.float32), draw.permutation(150)
    model = Autoencoder(latent_dim=3, hidden=(20,), epochs=1, random_state=0, device="cpu")
    detector = AnomalyDetector(model, criterion=criterion, random_state=0).fit(X)
    whole = detector.score_samples(X)
    np.testing.assert_array_equal(detector.score_samples(X[order]), whole[order])
    np.testing.assert_array_equal(detector.score_samples(X[70:71]), whole[70:71])
