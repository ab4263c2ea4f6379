"""The scikit-learn contract: an autoencoder stands wherever `PCA` stands in someone's code."""

import copy
import os
import pickle
import subprocess
import sys
from contextlib import nullcontext

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
from conftest import PLAIN, SMALL, floats
from matplotlib.figure import Figure
from scipy import sparse, stats
from sklearn import base
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_val_score,
    cross_validate,
    learning_curve,
    train_test_split,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.utils import estimator_checks, estimator_html_repr, get_tags
from sklearn.utils.validation import check_is_fitted
from torch import nn

from diabolo import IWAE, VAE, Autoencoder, load
from diabolo.corruption import GaussianNoise, Masking, SaltAndPepper
from diabolo.data import load_mnist
from diabolo.errors import InputError
from diabolo.models import MODELS
from diabolo.params import to_config

LETTERS = list("abcdef")


CORE = "Autoencoder"  # what all have in common is tried with it; with all in stress
SOME = [name if name == CORE else pytest.param(name, marks=pytest.mark.stress) for name in MODELS]


@pytest.fixture(params=SOME)
def model(request):
    """A small estimator of some classes, or of every one where a test says so."""
    return MODELS[request.param](**SMALL)


every_model = pytest.mark.parametrize("model", MODELS, indirect=True)


def small(**parameters):
    return Autoencoder(**SMALL | parameters)


def images(n=40):
    return np.random.default_rng(0).integers(0, 256, (n, 9, 7), dtype=np.uint8)


def frame(n=40):
    return pd.DataFrame(floats(n), columns=LETTERS, index=range(100, 100 + n))


def own_pair(model):
    """Modules of one's own for rows of six."""
    return nn.Linear(6, 3 * model._plan().bottleneck.outputs), nn.Linear(3, 6)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.net_.parameters()]).numpy()


def error(model, X):
    """The mean squared error of what comes back."""
    return float(np.mean((model.reconstruct(X) - X) ** 2))


# ---- scikit-learn's own checks

EXTRA_CHECKS = [  # those that scikit-learn makes of its own estimators only
    "check_dataframe_column_names_consistency",
    "check_get_feature_names_out_error",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_inplace_ensure_writeable",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
]
EVERY_CHECK = """
import sys
import warnings
from sklearn.utils.estimator_checks import check_estimator
from diabolo.doctor import DoctorWarning
from diabolo.models import MODELS

warnings.simplefilter("error")
warnings.simplefilter("ignore", DoctorWarning)
epochs, *names = sys.argv[1:]
for name in names:
    for check in check_estimator(MODELS[name](epochs=int(epochs)), on_fail=None, on_skip=None):
        print(check["status"], name, check["check_name"], repr(check["exception"]))
"""


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param(SMALL, marks=pytest.mark.stress, id="small"),
        pytest.param({"epochs": 1}, id="default"),
    ],
)
@pytest.mark.parametrize(
    "name", ["VAE", *(pytest.param(name, marks=pytest.mark.stress) for name in MODELS)]
)
def test_scikit_learns_own_checks(name, parameters):
    checks = estimator_checks.check_estimator(
        MODELS[name](**parameters), on_fail=None, on_skip=None
    )
    environment = [] if os.environ.get("SCIPY_ARRAY_API") else ["check_array_api_input"]
    others = [check["check_name"] for check in checks if check["status"] != "passed"]
    assert others in ([], environment), "no failure, expected failure or missing package"
    assert len(checks) > 40


@pytest.mark.stress
@pytest.mark.parametrize(("epochs", "names"), [(1, ["Autoencoder"]), (20, list(MODELS))])
def test_the_defaults_pass_every_check_with_array_api_switched_on(epochs, names):
    """SciPy reads the variable when it is imported, hence the process."""
    done = subprocess.run(
        [sys.executable, "-c", EVERY_CHECK, str(epochs), *names],
        env=os.environ | {"SCIPY_ARRAY_API": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert [line for line in lines if not line.startswith("passed ")] == []
    assert len(lines) > 40 * len(names)


@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names:UserWarning")
@pytest.mark.parametrize("check", EXTRA_CHECKS)
def test_checks_of_names_and_frames(model, check):
    getattr(estimator_checks, check)(type(model).__name__, model.set_params(epochs=1))


@every_model
def test_tags(model):
    tags = get_tags(model)
    assert tags.transformer_tags.preserves_dtype == ["float32"]
    assert (tags.estimator_type, tags.classifier_tags, tags.regressor_tags) == (None,) * 3
    assert (tags.requires_fit, tags.target_tags.required) == (True, False)
    assert (tags.input_tags.sparse, tags.input_tags.allow_nan) == (False, True)
    assert not tags.non_deterministic
    for kind in ("classifier", "regressor", "clusterer", "outlier_detector"):
        assert not getattr(base, f"is_{kind}")(model)


# ---- parameters, copies


def test_clone_get_and_set_params(make_some):
    model = make_some(corruption=GaussianNoise(0.25), hidden=[6]).fit(images())
    twin = clone(model)
    assert not hasattr(twin, "net_")
    assert to_config(twin) == to_config(model)
    assert model.get_params()["hidden"] == [6], "as it was given"
    np.testing.assert_array_equal(weights(twin.fit(images())), weights(model))
    twin.set_params(corruption__std=0.75, latent_dim=2)
    assert (model.corruption.std, twin.corruption.std) == (0.25, 0.75)
    assert twin.fit(images()).transform(images()).shape == (40, 2)
    assert repr(Autoencoder(latent_dim=5)) == "Autoencoder(latent_dim=5)"


def test_a_clone_has_its_own_parts(model):
    own = own_pair(model)
    model.set_params(network=own, corruption=Masking(0.2), warm_start=True).fit(floats())
    twin = clone(model)
    assert twin.network[0] is not own[0]
    assert twin.corruption is not model.corruption
    assert twin.get_params()["corruption__p"] == 0.2
    np.testing.assert_array_equal(weights(twin.fit(floats())), weights(model))
    with pytest.raises(ValueError, match="Invalid parameter 'n_components'"):
        model.set_params(n_components=2)


COPIES = {
    "deepcopy": lambda model, path: copy.deepcopy(model),
    "pickle": lambda model, path: pickle.loads(pickle.dumps(model)),
    "joblib": lambda model, path: joblib.load(joblib.dump(model, path / "model.joblib")[0]),
    "compressed": lambda model, path: joblib.load(
        joblib.dump(model, path / "model.gz", compress=3)[0]
    ),
}


@pytest.mark.parametrize("way", COPIES)
def test_copies_and_pickles_answer_alike(make_some, way, tmp_path):
    X = images()
    model = make_some().fit(X)
    twin = COPIES[way](model, tmp_path)
    np.testing.assert_array_equal(twin.transform(X), model.transform(X))
    np.testing.assert_array_equal(twin.reconstruct(X), model.reconstruct(X))
    assert twin.history_ == model.history_
    assert twin.get_params() == model.get_params()


def test_a_model_read_from_memory_maps_answers_alike(tmp_path):
    X = floats()
    pipeline = make_pipeline(StandardScaler(), small()).fit(X)
    joblib.dump(pipeline, tmp_path / "pipeline")
    read = joblib.load(tmp_path / "pipeline", mmap_mode="r")
    np.testing.assert_array_equal(read.transform(X), pipeline.transform(X))


def test_a_failed_fit_is_no_fit():
    model = small(learning_rate=1e30, epochs=9)
    with pytest.raises(InputError, match="not finite"):
        model.fit(floats())
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    check_is_fitted(small().fit(floats()))


# ---- random states


@pytest.mark.parametrize("kind", [np.random.RandomState, np.random.default_rng])
def test_a_generator_moves_on_and_a_clone_starts_where_it_stood(kind):
    X = floats()
    model = small(random_state=kind(3))
    twin, source = clone(model), model.random_state
    first, second = weights(model.fit(X)), weights(model.fit(X))
    assert model.random_state is source
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(weights(twin.fit(X)), first)
    np.testing.assert_array_equal(weights(twin.fit(X)), second)


def test_integers_repeat_and_none_does_not():
    X = floats()
    for seed in (5, np.int64(5)):
        model = small(random_state=seed)
        first = weights(model.fit(X))
        np.testing.assert_array_equal(weights(model.fit(X)), first)
        np.testing.assert_array_equal(weights(clone(model).fit(X)), first)
    model = small(random_state=None)
    assert not np.array_equal(weights(model.fit(X)), weights(model.fit(X)))


def test_a_pipeline_does_not_touch_the_global_random_states(untouched):
    X = floats()
    with untouched():
        cross_val_score(make_pipeline(StandardScaler(), small(random_state=None)), X, cv=2)


# ---- what X may be


@pytest.mark.parametrize(
    "as_given",
    [
        lambda X: X.astype(np.float64),
        lambda X: X.astype(np.float16),
        lambda X: X.astype(np.int64),
        lambda X: X.astype(np.int8),
        lambda X: X.astype(object),
        lambda X: X.tolist(),
        np.asfortranarray,
        lambda X: X[:, ::-1][:, ::-1],
        pd.DataFrame,
        lambda X: pd.DataFrame(X.astype(int), columns=LETTERS).convert_dtypes(),
        lambda X: pl.DataFrame(X, schema=LETTERS),
        torch.from_numpy,
    ],
    ids=[
        *("float64", "float16", "int64", "int8", "object", "list", "fortran", "strided"),
        *("pandas", "nullable", "polars", "torch"),
    ],
)
def test_every_form_of_the_same_numbers_gives_the_same_codes(as_given):
    X = np.floor(floats() * 100)
    given = as_given(X)
    expected = small().fit_transform(X)
    codes = small().fit_transform(given)
    assert np.asarray(codes).dtype == np.float32
    np.testing.assert_array_equal(codes, expected)


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csr_matrix, sparse.coo_array])
@pytest.mark.parametrize("use", ["fit", "fit_transform", "transform", "score", "score_samples"])
def test_sparse_input_is_refused_as_scikit_learn_does(model, use, kind):
    X = kind(floats())
    model.fit(floats())
    with pytest.raises(TypeError, match="Sparse data was passed for X, but dense data is require"):
        getattr(model, use)(X)


def test_y_is_ignored():
    X = floats()
    expected = small().fit_transform(X)
    for y in (None, np.zeros(40), ["a", "b"] * 20):
        np.testing.assert_array_equal(small().fit_transform(X, y), expected)
        np.testing.assert_array_equal(small().fit(X, y).transform(X), expected)
        assert small().fit(X, y).score(X, y) == small().fit(X).score(X)


def test_missing_values_are_learnt_from_and_imputers_help():
    X = frame().mask(frame() > 0.9)
    assert small().fit_transform(X).shape == (40, 3)
    with pytest.raises(ValueError, match="NaN"):
        small().fit(frame()).transform(X)
    assert make_pipeline(SimpleImputer(), small()).fit_transform(X).shape == (40, 3)


# ---- names and frames


def test_frames_in_and_frames_out(make_some, tmp_path):
    X = frame()
    model = make_some(image_shape=(1, 2, 3)).fit(X)
    assert model.feature_names_in_.tolist() == LETTERS
    names = [f"{model.kind.lower()}{i}" for i in range(3)]
    assert model.get_feature_names_out().tolist() == names
    assert isinstance(model.transform(X), np.ndarray)
    np.testing.assert_array_equal(
        model.reconstruct(X), model.inverse_transform(model.transform(X))
    )
    model.save(tmp_path / "model.safetensors")
    read = load(tmp_path / "model.safetensors")
    for m in (model, read):
        with pytest.raises(InputError, match="feature names"):
            m.transform(X.rename(columns={"a": "z"}))
        out = m.set_output(transform="pandas").transform(X)
        assert out.columns.tolist() == names
        assert out.index.tolist() == list(range(100, 140))
        assert m.inverse_transform(out).shape == (40, 6)


@pytest.mark.parametrize(
    ("given", "out"),
    [
        (frame(), "polars"),
        (pl.from_pandas(frame()), "pandas"),
        (frame(), "pandas"),
        (floats(), "polars"),
        (images(), "pandas"),
    ],
)
def test_set_output(model, given, out):
    kind = {"pandas": pd.DataFrame, "polars": pl.DataFrame}[out]
    codes = clone(model).fit_transform(given)
    model.set_output(transform=out)
    for frames in (model.fit_transform(given), model.fit(given).transform(given)):
        assert type(frames) is kind
        assert list(frames.columns) == model.get_feature_names_out().tolist()
        np.testing.assert_array_equal(frames.to_numpy(), codes)
        assert frames.to_numpy().dtype == np.float32
    back = model.inverse_transform(frames)
    np.testing.assert_array_equal(back, model.inverse_transform(codes))
    assert type(clone(model).fit_transform(given)) is kind, "a clone keeps it"
    assert type(model.set_output(transform="default").transform(given)) is np.ndarray


@pytest.mark.parametrize("out", ["pandas", "polars"])
def test_the_global_output_setting(model, out):
    X = frame()
    kind = {"pandas": pd.DataFrame, "polars": pl.DataFrame}[out]
    with sklearn.config_context(transform_output=out):
        pipeline = make_pipeline(StandardScaler(), model).fit(X)
        assert type(pipeline.transform(X)) is kind
        assert type(pipeline.fit_transform(X)) is kind
        assert model.inverse_transform(model.transform(X)).shape == (40, 6)
        assert model.reconstruct(X).shape == (40, 6)
        assert isinstance(pipeline.score(X), float)
    assert type(clone(pipeline).fit_transform(X)) is np.ndarray


def test_names_through_a_pipeline_and_a_union(model):
    X, prefix = frame(), type(model).__name__.lower()
    union = FeatureUnion([("pca", PCA(2)), ("ae", model)])
    pipeline = Pipeline([("scale", StandardScaler()), ("both", union)])
    out = pipeline.set_output(transform="pandas").fit_transform(X)
    names = ["pca__pca0", "pca__pca1", *(f"ae__{prefix}{i}" for i in range(3))]
    assert out.columns.tolist() == pipeline.get_feature_names_out().tolist() == names
    assert out.index.tolist() == X.index.tolist()
    alone = clone(model).fit_transform(StandardScaler().fit_transform(X))
    np.testing.assert_allclose(out.iloc[:, 2:], alone, atol=1e-5)


def test_names_that_differ_are_refused():
    model = small().fit(frame())
    with pytest.raises(ValueError, match="feature names should match"):
        model.transform(frame()[LETTERS[::-1]])
    with pytest.raises(ValueError, match=r"feature names|5 features"):
        model.transform(frame()[LETTERS[:5]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.transform(floats())
    with pytest.warns(UserWarning, match="was fitted without feature names"):
        small().fit(floats()).transform(frame())


# ---- pipelines


def test_a_pipeline_goes_there_and_back(make_some):
    X = floats() * 10
    pipeline = make_pipeline(MinMaxScaler(), make_some(image_shape=(1, 2, 3))).fit(X)
    assert pipeline.inverse_transform(pipeline.transform(X)).shape == X.shape
    assert np.isfinite(pipeline.score(X))


def passengers(n=120):
    """Mixed columns: two kinds of rows, told apart by their numbers."""
    random = np.random.default_rng(0)
    kind = np.arange(n) % 2
    numbers = random.normal(kind[:, None] * [3.0, -2.0, 1.0], 1.0)
    table = pd.DataFrame(numbers, columns=["age", "fare", "size"])
    return table.assign(port=random.choice(["x", "y"], n), id=np.arange(n)), kind


@pytest.mark.parametrize("out", ["default", "pandas", "polars"])
def test_numeric_columns_go_through_and_others_pass(model, out):
    X, y = passengers()
    columns = ColumnTransformer(
        [
            ("code", make_pipeline(StandardScaler(), model), ["age", "fare", "size"]),
            ("port", OneHotEncoder(sparse_output=False), ["port"]),
        ],
        remainder="passthrough",
    ).set_output(transform=out)
    given = pl.from_pandas(X) if out == "polars" else X
    table = columns.fit_transform(given)
    assert table.shape == (120, 3 + 2 + 1)
    names = columns.get_feature_names_out().tolist()
    prefix = f"code__{type(model).__name__.lower()}"
    assert names[:3] == [f"{prefix}{i}" for i in range(3)]
    assert names[3:] == ["port__port_x", "port__port_y", "remainder__id"]
    np.testing.assert_array_equal(np.asarray(table)[:, -1], X["id"])
    if isinstance(model, Autoencoder):
        classifier = make_pipeline(clone(columns), StandardScaler(), LogisticRegression())
        assert cross_val_score(classifier, given, y, cv=3).mean() > 0.9


def test_a_pipeline_with_a_memory_fits_once(tmp_path):
    X, y = load_iris(return_X_y=True)
    steps = [("ae", small()), ("knn", KNeighborsClassifier())]
    pipeline = Pipeline(steps, memory=joblib.Memory(tmp_path, verbose=0))
    first = clone(pipeline).fit(X, y)["ae"]
    again = clone(pipeline).fit(X, y)["ae"]
    assert first.history_["seconds"] == again.history_["seconds"], "the same fit, read back"
    np.testing.assert_array_equal(first.transform(X), again.transform(X))


@pytest.mark.parametrize("own", [False, True])
def test_html_and_text(model, own):
    if own:
        model.set_params(network=own_pair(model))
    model.set_params(corruption=SaltAndPepper(0.1))
    pipeline = make_pipeline(StandardScaler(), model)
    for shown in (model, pipeline, model.fit(floats()), pipeline.fit(floats())):
        html = estimator_html_repr(shown)
        assert type(model).__name__ in html
        assert "SaltAndPepper" in html
        assert shown._repr_mimebundle_()["text/html"]
        assert "SaltAndPepper(p=0.1)" in str(shown).replace("\n", "")


# ---- routing of metadata


def test_metadata_routing_is_by_request():
    X, held = floats(), floats(9, seed=1)
    with sklearn.config_context(enable_metadata_routing=True):
        model = small()
        assert set(model.get_metadata_routing().fit.requests) == {
            "X_noisy",
            "X_val",
            "callback",
            "checkpoint",
        }
        assert model.fit_transform(X).shape == (40, 3)
        with pytest.raises(ValueError, match="X_val"):
            Pipeline([("ae", small())]).fit(X, X_val=held)
        pipeline = Pipeline(
            [("scale", StandardScaler()), ("ae", small().set_fit_request(X_val=True))],
            transform_input=["X_val"],
        ).fit(X, X_val=held)
        scaler, model = pipeline["scale"], pipeline["ae"]
        direct = small().fit(scaler.transform(X), X_val=scaler.transform(held))
        assert model.history_["val_loss"] == direct.history_["val_loss"]
        assert None not in model.history_["val_loss"]


def test_without_routing_fit_parameters_go_by_the_steps_name():
    held, seen = floats(9, seed=1), []
    pipeline = Pipeline([("scale", MinMaxScaler()), ("ae", small())])
    pipeline.fit(floats(), ae__X_val=held, ae__callback=lambda m: seen.append(m.history_["epoch"]))
    assert len(seen) == 2
    assert None not in pipeline["ae"].history_["val_loss"]


# ---- searches


def test_grid_search_over_a_part(make_some):
    X = images(60)
    search = GridSearchCV(
        make_some(corruption=GaussianNoise()),
        {"corruption__std": [0.0, 5.0], "latent_dim": [1, 3]},
        cv=2,
        error_score="raise",
    ).fit(X)
    assert len(search.cv_results_["params"]) == 4
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.corruption.std == search.best_params_["corruption__std"]
    assert search.best_estimator_.transform(X).shape == (60, search.best_params_["latent_dim"])


NESTED = {
    "autoencoder__corruption__p": [0.0, 0.9],
    "autoencoder__hidden": [(6,), (8, 6)],
    "autoencoder__latent_dim": [2],
}


@pytest.mark.parametrize("backend", [pytest.param("loky", marks=pytest.mark.stress), "threading"])
def test_a_search_in_parallel_gives_what_one_after_the_other_gives(backend):
    X = np.random.default_rng(0).normal(size=(60, 6)) * [1, 2, 3, 4, 5, 6]
    pipeline = make_pipeline(StandardScaler(), small(corruption=Masking(0.0)))

    def scores(n_jobs):
        search = GridSearchCV(pipeline, NESTED, cv=2, error_score="raise", n_jobs=n_jobs).fit(X)
        assert search.best_estimator_["autoencoder"].latent_dim == 2
        return search.cv_results_["mean_test_score"]

    with joblib.parallel_config(backend=backend):
        parallel = scores(2)
    alone = scores(None)
    np.testing.assert_allclose(parallel, alone, rtol=1e-4)
    assert len(set(alone)) == 4, "the parameters made a difference"
    assert max(alone[:2]) > max(alone[2:]), "nine tenths masked is worse"


def test_a_mistake_in_a_search_is_a_failed_fit():
    search = GridSearchCV(small(), {"epochs": [1, 0]}, cv=2)
    with (
        pytest.warns(FitFailedWarning, match="epochs must be an integer of at least 1"),
        pytest.warns(UserWarning, match="non-finite"),
    ):
        search.set_params(refit=False).fit(floats())
    assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [False, True]
    with pytest.raises(InputError, match="epochs"):
        search.set_params(error_score="raise").fit(floats())


def test_a_randomised_search_draws_numpys_numbers():
    space = {
        "latent_dim": stats.randint(1, 5),
        "learning_rate": stats.loguniform(1e-4, 1e-1),
        "activation": ["relu", "tanh"],
        "corruption": [None, GaussianNoise(0.1), Masking(0.2)],
    }
    search = RandomizedSearchCV(
        small(epochs=5), space, n_iter=5, cv=2, random_state=0, error_score="raise"
    ).fit(floats())
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    again = clone(search.best_estimator_).fit(floats())
    np.testing.assert_array_equal(weights(again), weights(search.best_estimator_))


def test_halving_may_spend_epochs():
    search = HalvingGridSearchCV(
        small(),
        {"latent_dim": [1, 2, 3, 4]},
        resource="epochs",
        max_resources=8,
        factor=2,
        cv=2,
        random_state=0,
        error_score="raise",
    ).fit(floats())
    assert search.n_candidates_ == [4, 2, 1]
    assert search.best_estimator_.epochs == search.n_resources_[-1] == 8


def test_cross_validation_scores_the_likelihood_of_held_out_rows():
    X = floats(60)
    found = cross_validate(small(), X, cv=3, return_estimator=True, return_indices=True)
    for score, model, rows in zip(
        found["test_score"], found["estimator"], found["indices"]["test"], strict=True
    ):
        assert score == model.score(X[rows])
        assert score == pytest.approx(model.score_samples(X[rows]).mean(), rel=1e-5)


# ---- PCA's place in the examples of scikit-learn's documentation


@pytest.fixture(scope="module")
def numerals():
    """scikit-learn's 1,797 digits of 8 x 8, split: X_train, X_test, y_train, y_test."""
    X, y = load_digits(return_X_y=True)
    return train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)


def test_pipelining_a_reduction_and_a_logistic_regression(numerals):
    """auto_examples/compose/plot_digits_pipe.html"""
    X_train, X_test, y_train, y_test = numerals
    pipe = Pipeline(
        [
            ("scaler", StandardScaler()),
            ("ae", Autoencoder(epochs=5, random_state=0)),
            ("logistic", LogisticRegression(max_iter=10000, tol=0.1)),
        ]
    )
    grid = {"ae__latent_dim": [2, 20], "logistic__C": [0.1]}
    search = GridSearchCV(pipe, grid, cv=2, error_score="raise").fit(X_train[:600], y_train[:600])
    assert search.best_params_["ae__latent_dim"] == 20
    assert search.score(X_test, y_test) > 0.85


def test_selecting_among_reductions(numerals):
    """auto_examples/compose/plot_compare_reduction.html"""
    X, _, y, _ = numerals
    pipe = Pipeline(
        [("scaling", MinMaxScaler()), ("reduce_dim", "passthrough"), ("classify", SVC())]
    )
    grid = [
        {"reduce_dim": [PCA()], "reduce_dim__n_components": [2]},
        {
            "reduce_dim": [Autoencoder(epochs=5, random_state=0)],
            "reduce_dim__latent_dim": [2, 16],
        },
    ]
    search = GridSearchCV(pipe, grid, cv=2, error_score="raise").fit(X[:600], y[:600])
    pca, narrow, wide = search.cv_results_["mean_test_score"]
    assert wide > max(pca, narrow)
    assert search.best_estimator_["reduce_dim"].latent_dim == 16


def test_faces_by_codes_and_a_support_vector_machine():
    """auto_examples/applications/plot_face_recognition.html; rows of images, RandomizedSearchCV"""
    (images, labels), _ = load_mnist()
    rows = images[:600].reshape(600, -1).astype(float)
    X_train, X_test, y_train, y_test = train_test_split(
        rows, labels[:600], test_size=0.25, random_state=42
    )
    scaler = StandardScaler()
    X_train, X_test = scaler.fit_transform(X_train), scaler.transform(X_test)
    ae = Autoencoder(latent_dim=30, epochs=5, random_state=0).fit(X_train)
    search = RandomizedSearchCV(
        SVC(kernel="rbf", class_weight="balanced"),
        {"C": stats.loguniform(1e0, 1e3), "gamma": stats.loguniform(1e-4, 1e-1)},
        n_iter=3,
        cv=2,
        random_state=0,
    ).fit(ae.transform(X_train), y_train)
    assert search.score(ae.transform(X_test), y_test) > 0.75
    eigenfaces = ae.inverse_transform(np.eye(30)).reshape((30, 28, 28))
    assert np.isfinite(eigenfaces).all()


@pytest.mark.parametrize("scaling", ["unit", "standard"])
def test_nearest_neighbours_of_scaled_wine(scaling):
    """auto_examples/preprocessing/plot_scaling_importance.html"""
    X, y = load_wine(return_X_y=True)
    ae = Autoencoder(latent_dim=2, scaling=scaling, epochs=20, random_state=0)
    model = make_pipeline(StandardScaler(), ae, KNeighborsClassifier())
    assert cross_val_score(model, X, y, cv=3).mean() > 0.85


def test_a_plot_of_iris():
    """auto_examples/decomposition/plot_pca_iris.html: fit_transform, and a scatter of it."""
    X, y = load_iris(return_X_y=True)
    X_reduced = Autoencoder(latent_dim=3, epochs=20, random_state=0).fit_transform(X)
    assert X_reduced.shape == (150, 3)
    ax = Figure().add_subplot(111, projection="3d")
    ax.scatter(X_reduced[:, 0], X_reduced[:, 1], X_reduced[:, 2], c=y, s=40)
    assert cross_val_score(KNeighborsClassifier(), X_reduced, y, cv=5).mean() > 0.85


def test_clusters_of_reduced_digits(numerals):
    """auto_examples/cluster/plot_kmeans_digits.html"""
    X, _, y, _ = numerals
    reduced = Autoencoder(latent_dim=2, epochs=10, random_state=0).fit_transform(X)
    found = KMeans(n_clusters=10, n_init=4, random_state=0).fit_predict(reduced)
    assert adjusted_rand_score(y, found) > 0.2


def test_denoising_digits_by_going_there_and_back(numerals):
    """auto_examples/applications/plot_digits_denoising.html"""
    X_train, X_test, _, _ = numerals
    scaler = MinMaxScaler().fit(X_train)
    X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)
    random = np.random.default_rng(0)
    noisy, noisy_train = (X + random.normal(scale=0.25, size=X.shape) for X in (X_test, X_train))
    ae = Autoencoder(latent_dim=16, epochs=10, random_state=0).fit(noisy_train)
    clean = ae.inverse_transform(ae.transform(noisy))
    assert clean.shape == X_test.shape
    before, after = (np.mean((X - X_test) ** 2) for X in (noisy, clean))
    assert after < 0.6 * before


def test_concatenating_feature_extractors():
    """auto_examples/compose/plot_feature_union.html"""
    X, y = load_iris(return_X_y=True)
    ae = Autoencoder(epochs=5, batch_size=16, random_state=0)
    features = FeatureUnion([("ae", ae), ("univ_select", SelectKBest(k=1))])
    pipeline = Pipeline([("features", features), ("svm", SVC(kernel="linear"))])
    grid = {"features__ae__latent_dim": [1, 2], "features__univ_select__k": [1, 2]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, y)
    assert search.best_score_ > 0.93


def test_choosing_the_size_by_held_out_likelihood():
    """auto_examples/decomposition/plot_pca_vs_fa_model_selection.html: cross_val_score alone."""
    random = np.random.default_rng(0)
    X = random.normal(size=(300, 3)) @ random.normal(size=(3, 12))
    scores = [
        cross_val_score(Autoencoder(latent_dim=k, epochs=10, random_state=0), X, cv=2).mean()
        for k in (1, 3)
    ]
    assert scores[1] > scores[0]


# ---- partial_fit


def rank_two(n=512, seed=0):
    """Rows near a plane, in [0, 1]."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(n, 2)) @ np.random.default_rng(9).normal(size=(2, 6))
    return (1 / (1 + np.exp(-X))).astype(np.float32)


def test_partial_fit_returns_self_and_adds_one_epoch(make):
    X = images()
    model = make()
    for calls in (1, 2, 3):
        assert model.partial_fit(X[: 10 * calls], None) is model
        assert model.history_["epoch"] == list(range(1, calls + 1))
        assert {len(values) for values in model.history_.values()} == {calls}
        assert model.transform(X).shape == (40, 3)
    assert len(model.step_loss_) == 1 + 2 + 2, "batches of 16 of 10, 20 and 30 rows"
    assert np.isfinite(model.step_loss_).all()
    assert model.n_features_in_ == 63


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_passes_over_whole_batches_are_the_epochs_of_fit(model, optimizer):
    """The weights and the optimiser's moments go on; with one batch there is no order of rows."""
    X, whole = rank_two(64), {"batch_size": 64, "learning_rate": 0.01, "optimizer": optimizer}
    model.set_params(**PLAIN | whole)
    if isinstance(model, VAE):
        model.set_params(beta=0.0)
    fitted = clone(model).set_params(epochs=8).fit(X)
    for _ in range(8):
        model.partial_fit(X)
    cold = clone(model).set_params(epochs=1, warm_start=True)
    for _ in range(8):
        cold.fit(X)
    apart = np.abs(weights(cold) - weights(fitted)).max()
    assert np.abs(weights(model) - weights(fitted)).max() < 0.1 * apart
    np.testing.assert_allclose(model.history_["loss"], fitted.history_["loss"], rtol=0.02)


def test_the_first_call_learns_shape_and_scaling(model):
    first, later = floats(20) * 2 - 1, floats(20, seed=1) * 50
    model.partial_fit(first)
    scaling = copy.deepcopy(model.net_.scaling.state_dict())
    alone = clone(model).set_params(epochs=1).fit(first)
    for name, value in alone.net_.scaling.state_dict().items():
        torch.testing.assert_close(scaling[name], value)
    model.partial_fit(later)
    for name, value in model.net_.scaling.state_dict().items():
        torch.testing.assert_close(scaling[name], value)
    assert model.sample_shape_ == (6,)


def test_two_equal_streams_give_equal_weights(make_some):
    options = {"corruption": GaussianNoise(0.1)}
    X = images(48)
    first, again, other = (make_some(**options, random_state=seed) for seed in (0, 0, 1))
    for model in (first, again, other):
        for chunk in np.split(X, 3):
            model.partial_fit(chunk)
    np.testing.assert_array_equal(weights(first), weights(again))
    assert first.history_["loss"] == again.history_["loss"]
    assert not np.array_equal(weights(first), weights(other))


def test_the_noise_of_each_call_is_new():
    X = rank_two(64)
    model = small(corruption=Masking(0.5), learning_rate=1e-12, batch_size=64)
    for _ in range(3):
        model.partial_fit(X)
    assert len(set(model.history_["loss"])) == 3


def test_streaming_in_chunks_comes_near_to_fit(model):
    X = rank_two()
    more = {"latent_dim": 2, "hidden": (32,), "batch_size": 16, "learning_rate": 3e-3}
    model.set_params(**PLAIN | more)
    if isinstance(model, VAE):
        model.set_params(beta=1e-3)
    if isinstance(model, IWAE):  # whose terms have no weight: the likelihood has a larger one
        X = 30 * X
        model.set_params(scaling=None)
    if model.kind == "AdversarialAutoencoder":
        model.set_params(adversarial=1e-3)
    fitted = clone(model).set_params(epochs=12).fit(X)
    model.partial_fit(X[:128])
    start = error(model, X)
    for _ in range(12):
        for chunk in np.split(X, 4):
            model.partial_fit(chunk)
    assert error(fitted, X) < 0.2 * start, "the test could not tell"
    assert error(model, X) < 0.2 * start
    assert error(model, X) < 1.5 * error(fitted, X)


def test_partial_fit_goes_on_after_fit():
    X = rank_two(64)
    model = small(**PLAIN | {"batch_size": 16, "learning_rate": 0.01}, epochs=3).fit(X)
    before, scaling = weights(model), model.net_.scaling.shift.clone()
    model.set_params(learning_rate=1e-9).partial_fit(X * 0.5)
    np.testing.assert_allclose(weights(model), before, atol=1e-6)
    assert model.history_["epoch"] == [1, 2, 3, 4]
    assert torch.equal(model.net_.scaling.shift, scaling)
    model.set_params(learning_rate=0.01).partial_fit(X)
    assert not np.allclose(weights(model), before, atol=1e-3)
    assert model.history_["loss"][4] < model.history_["loss"][0]


def test_fit_after_partial_fit_starts_anew(model):
    fresh = clone(model).fit(rank_two(64))
    model.partial_fit(floats(20)).partial_fit(floats(20, seed=1)).fit(rank_two(64))
    np.testing.assert_array_equal(weights(model), weights(fresh))
    assert model.history_["epoch"] == [1, 2]
    assert model.n_features_in_ == 6


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine"])
def test_the_rate_of_partial_fit_is_constant(schedule):
    X = rank_two(64)
    constant, other = small(), small(schedule=schedule)
    for _ in range(3):
        constant.partial_fit(X)
        other.partial_fit(X)
    np.testing.assert_array_equal(weights(constant), weights(other))


def test_a_clone_forgets_the_stream(model):
    model.partial_fit(floats())
    twin = clone(model)
    assert not hasattr(twin, "net_")
    assert not [name for name in vars(twin) if name.endswith("_") and name[0] != "_"]
    with pytest.raises(NotFittedError):
        twin.transform(floats())
    np.testing.assert_array_equal(weights(twin.partial_fit(floats())), weights(model))


@pytest.mark.parametrize("way", ["deepcopy", "pickle", "joblib"])
def test_a_stream_goes_on_in_a_copy(model, way, tmp_path):
    chunks = np.split(rank_two(96), 6)
    for chunk in chunks[:3]:
        model.partial_fit(chunk)
    twin = COPIES[way](model, tmp_path)
    for chunk in chunks[3:]:
        model.partial_fit(chunk)
        twin.partial_fit(chunk)
    np.testing.assert_array_equal(weights(twin), weights(model))


@pytest.mark.parametrize("begin", ["fit", "partial_fit"])
def test_a_later_batch_of_another_form_is_refused(model, begin):
    getattr(model, begin)(frame())
    before, epochs = weights(model), list(model.history_["epoch"])
    for wrong, message in {
        "5 features": (frame()[LETTERS[:5]], r"5 features|feature names"),
        "7 features": (floats(40, 7), "7 features"),
        "names": (frame().rename(columns={"a": "z"}), "feature names"),
        "nan": (frame().mask(frame() > 0.9), "NaN"),
        "units": ((255 * frame()).astype(np.uint8), "fitted on floats, not uint8"),
        "empty": (frame()[:0], "0 sample"),
    }.values():
        unnamed = isinstance(wrong, np.ndarray)
        warned = pytest.warns(UserWarning, match="feature names") if unnamed else nullcontext()
        with pytest.raises(InputError, match=message), warned:
            model.partial_fit(wrong)
    np.testing.assert_array_equal(weights(model), before)
    assert model.history_["epoch"] == epochs
    assert model.n_features_in_ == 6


def test_images_stream_too(make_some):
    X = images()
    model = make_some().partial_fit(X[:20])
    with pytest.raises(InputError, match=r"samples of shape \(9, 7\), not \(7, 9\)"):
        model.partial_fit(X.reshape(40, 7, 9))
    assert model.partial_fit(X[20:]).reconstruct(X).shape == X.shape


def test_scikit_learn_streams_it(model):
    """`learning_curve` feeds `partial_fit`; the check refuses another number of features."""
    model = clone(model).set_params(linear=False)
    estimator_checks.check_estimators_partial_fit_n_features(type(model).__name__, model)
    sizes, _, scores = learning_curve(
        model,
        rank_two(120),
        None,
        cv=2,
        train_sizes=[0.2, 0.6, 1.0],
        exploit_incremental_learning=True,
        error_score="raise",
    )
    assert sizes.tolist() == [12, 36, 60]
    assert np.isfinite(scores).all()
    assert scores[-1].mean() > scores[0].mean()


def test_a_mistake_in_partial_fit_is_named():
    with pytest.raises(InputError, match="batch_size must be an integer of at least 1"):
        small(batch_size=0).partial_fit(floats())
    with pytest.raises(TypeError, match="dense data is required"):
        small().partial_fit(sparse.csr_array(floats()))
