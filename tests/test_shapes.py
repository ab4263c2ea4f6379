"""Samples of any kind and shape: trained for an epoch, reconstructed alike, saved and loaded."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diabolo import Autoencoder, export, load

SIDE, VALUES = 300, 4000  # of a sample, at most
SHOWS = [HealthCheck.too_slow, HealthCheck.data_too_large]
NETWORKS = ("dense", "conv", "subpixel", "residual", "unet")


@st.composite
def arrays(draw, values=VALUES):
    """Signals, images or volumes, with what their model is told of them."""
    sides = draw(st.integers(1, 3))
    shape, room = [], values
    for _ in range(sides):
        shape.append(draw(st.integers(1, min(SIDE, room))))
        room //= shape[-1]
    if draw(st.booleans()):
        fewest = 15 if sides == 1 and shape[0] < 5 else 4  # more is channels and steps exchanged
        shape.insert(0, draw(st.integers(1, max(1, min(fewest, room)))))
    if len(shape) == 3 and sides == 2 and shape[2] in (1, 3, 4) and min(shape[:2]) > 4:
        shape[0] = 1
    usual = sides == 2 or (sides == 3 and len(shape) == 4)
    network = draw(st.sampled_from(NETWORKS))
    own = {"latent_dim": None} if network in ("residual", "unet") else {"latent_dim": 2}
    hidden = {"hidden": draw(st.sampled_from([(3,), (3, 4)])), "network": network}
    dimensions = draw(st.sampled_from([None, sides])) if usual else sides
    X = np.random.default_rng(draw(st.integers(0, 99))).random((draw(st.integers(8, 12)), *shape))
    dtype = draw(st.sampled_from(["float32", "uint8", "bool"]))
    X = {"float32": X, "uint8": X * 255, "bool": X > 0.5}[dtype].astype(dtype)
    return X, {**own, **hidden, "dimensions": dimensions}


@st.composite
def tables(draw, widest=200):
    """Tables of 1 to 200 mixed columns, with gaps."""
    pandas = pytest.importorskip("pandas")
    n, rng = draw(st.integers(12, 30)), np.random.default_rng(draw(st.integers(0, 99)))
    kinds = draw(st.lists(st.sampled_from(["float", "int", "text", "bool", "date"]), min_size=1))
    made = {
        "float": lambda: rng.normal(size=n),
        "int": lambda: rng.integers(0, 9, n),
        "text": lambda: rng.choice(["a", "b", "c"], n),
        "bool": lambda: rng.random(n) > 0.5,
        "date": lambda: pandas.date_range("2024-01-01", periods=n),
    }
    repeat = draw(st.integers(1, max(1, widest // len(kinds))))
    columns = {f"{i}": made[kind]() for i, kind in enumerate(kinds * repeat)}
    X = pandas.DataFrame(columns)
    if kinds[0] in ("float", "text", "date") and draw(st.booleans()):
        X.iloc[draw(st.integers(0, n - 1)), 0] = None
    return X, {"latent_dim": 2, "hidden": (3,), "likelihood": "mixed"}


def check(X, parameters, *, exports=False):
    """Fit an epoch; reconstruct the shape and the types; save, load, export: all equal."""
    told = {"epochs": 1, "random_state": 0, "device": "cpu", "validation_fraction": 0.0}
    model = Autoencoder(**told, **parameters).fit(X)
    y, z = model.reconstruct(X), model.transform(X)
    assert y.shape == X.shape
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.safetensors"
        model.save(path)
        again = load(path, device="cpu")
        if exports:  # and raises InputError where an answer differs
            export(model, Path(folder, "exported"), X=X)
    assert np.array_equal(again.transform(X), z)
    assert again.score_samples(X).tolist() == model.score_samples(X).tolist()
    if hasattr(X, "dtypes"):
        assert y.dtypes.to_dict() == X.dtypes.to_dict()
        assert again.reconstruct(X).equals(y)
        return
    assert y.dtype == np.float32
    assert np.isfinite(y).all()
    assert np.array_equal(again.reconstruct(X), y)


def examples(count):
    return settings(
        max_examples=count, deadline=None, derandomize=True, database=None,
        suppress_health_check=SHOWS,
    )  # fmt: skip


@examples(10)
@given(arrays(values=500))
def test_arrays_of_any_shape(given):
    check(*given)


@examples(5)
@given(tables(widest=20))
def test_tables_of_any_columns(given):
    check(*given)


@pytest.mark.stress
@examples(140)
@given(arrays())
def test_many_arrays_of_any_shape(given):
    check(*given, exports=True)


@pytest.mark.stress
@examples(60)
@given(tables())
def test_many_tables_of_any_columns(given):
    check(*given, exports=True)
