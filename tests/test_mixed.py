"""Tables as they are: numbers, categories, booleans, dates and gaps, in and back out."""

import math

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from conftest import SMALL
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch.distributions import Categorical, Normal

from diabolo import VAE, AnomalyDetector, Autoencoder, LatentSampler, load
from diabolo.cli import main
from diabolo.columns import Columns, learn
from diabolo.data.source import Batch, Rows
from diabolo.errors import DoctorWarning, InputError
from diabolo.gaps import RIDGE, conditional_mean, fit_gaussian
from diabolo.likelihood.mixed import SMALLEST, Mixed
from diabolo.scaling import learn_table
from diabolo.train import generator


def people(n=120, seed=0):
    """A table of every kind of column, whose columns say something of each other."""
    draw = np.random.default_rng(seed)
    z = draw.normal(size=n)
    frame = pd.DataFrame(
        {
            "age": pd.array((40 + 10 * z).round().astype(int), dtype="Int64"),
            "income": np.exp(10 + 0.5 * z),
            "city": np.where(z > 0.5, "Oslo", np.where(z > -0.5, "Bergen", "Tromsø")),
            "grade": pd.Categorical(
                np.where(z > 0, "good", "bad"), categories=["bad", "none", "good"], ordered=True
            ),
            "smoker": pd.array(z > 0.2, dtype="boolean"),
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta((50 * (z + 4)).round(), "D"),
        }
    )
    return frame.mask(draw.random(frame.shape) < 0.1)


TABLE = people()
WHOLE = TABLE.dropna()


@pytest.fixture(scope="module")
def model():
    settings = SMALL | {"epochs": 60, "hidden": (16,), "batch_size": 40, "learning_rate": 0.01}
    settings |= {"validation_fraction": 0.0, "early_stopping": None}
    return Autoencoder(**settings).fit(TABLE)


def stored(frame=TABLE):
    """What the columns are, the stored values and their scaling."""
    columns = learn(frame)
    rows = torch.from_numpy(columns.values(frame))
    return columns, rows, learn_table(columns, Rows(rows))


# ---- columns


def test_kinds_of_columns():
    kinds = {column.name: column.kind for column in learn(TABLE)}
    assert kinds == {
        "age": "number",
        "income": "number",
        "city": "category",
        "grade": "category",
        "smoker": "boolean",
        "since": "date",
    }
    assert [column.width for column in learn(TABLE)] == [1, 1, 3, 3, 2, 1]


@pytest.mark.parametrize("frame", [TABLE, WHOLE], ids=["gaps", "whole"])
def test_values_are_stored_and_come_back(frame):
    columns = Columns.read(learn(frame).header())
    assert columns == learn(frame)
    back = columns.frame(columns.values(frame), frame)
    pd.testing.assert_frame_equal(back, frame, rtol=1e-6)


@pytest.mark.parametrize(
    "cells",
    [
        pd.Series([True, False, True]),
        pd.Series([3, 4, 250], dtype="uint8"),
        pd.Series([1.5, None, 2], dtype="Float64"),
        pd.Series(["a", None, "b"], dtype=object),
        pd.Series(pd.to_datetime(["2020-02-01 13:00", "2020-01-05 01:30"], utc=True)),
        pd.Series(pd.date_range("2020-01-05", periods=3, tz="Europe/Oslo")),
        pd.Series([pd.Timestamp("2020-01-05").date(), None], dtype=object),
        pd.Series(pd.Categorical([3, 1, None, 3])),
        pd.Series([None, None], dtype=object),
        pd.Series([math.nan, math.nan]),
    ],
    ids=lambda cells: str(cells.dtype),
)
def test_types_come_back(cells):
    frame = pd.DataFrame({"a": cells})
    columns = learn(frame)
    back = columns.frame(columns.values(frame))
    pd.testing.assert_frame_equal(back, frame)


def test_free_text_counts_as_gaps_but_what_comes_again_stays():
    texts = [f"name {i}" for i in range(60)]
    free, repeated = learn(pd.DataFrame({"a": texts, "b": [*texts[:50], *["x"] * 10]}))
    assert (free.categories, repeated.categories) == ((), ("x",))


def test_columns_may_come_in_another_order(model):
    turned = TABLE[TABLE.columns[::-1]]
    np.testing.assert_array_equal(model.transform(turned), model.transform(TABLE))
    out = model.reconstruct(turned)
    assert list(out.columns) == list(turned.columns)
    pd.testing.assert_frame_equal(out[TABLE.columns], model.reconstruct(TABLE))


def test_a_new_category_counts_as_a_gap_and_is_told(model):
    odd, gap = TABLE.assign(city="Paris"), TABLE.assign(city=None)
    with pytest.warns(DoctorWarning, match="'city' has values that are new .* gaps: 'Paris'"):
        codes = model.transform(odd)
    np.testing.assert_array_equal(codes, model.transform(gap))
    with pytest.warns(DoctorWarning, match="Paris"):
        assert (model.fill(odd)["city"] == "Paris").all(), "it is no gap"


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (TABLE.drop(columns=["age", "city"]), "X lacks 'age', 'city': give the columns"),
        (TABLE.assign(x=1, y=2), "X has 'x', 'y', which the model does not know"),
        (
            TABLE.assign(age="old", since="soon"),
            "Column 'age' holds 'old', which is no number; column 'since' holds 'soon', which",
        ),
        (
            TABLE.assign(since="05.01.2024"),  # or the first of May
            "Column 'since' holds '05.01.2024', which is no date such as 2020-0",
        ),
        (TABLE.assign(income=np.inf), "Column 'income' holds infinity"),
        (TABLE.to_numpy(), "X must be a table with the columns of the training, 'age', 'income'"),
        (TABLE[:0], "0 sample"),
    ],
    ids=["missing", "extra", "other kinds", "dates", "infinite", "an array", "empty"],
)
def test_what_does_not_fit_is_named_all_at_once(model, frame, message):
    with pytest.raises(InputError, match=message):
        model.transform(frame)


def test_columns_that_cannot_be_learnt_are_named_all_at_once():
    frame = pd.DataFrame({"a": pd.to_timedelta([1, 2], "D"), "b": [{}, [2]], "c": [1, 2]})
    with pytest.raises(InputError, match=r"Column 'a' is of the type timedelta.*; column 'b' is"):
        Autoencoder(**SMALL).fit(frame)


# ---- scaling and likelihood


def test_scaled_values_are_standardised_and_centred():
    _, rows, scaling = stored()
    scaled = scaling(rows).double()
    numbers = scaled[:, scaling.number]
    torch.testing.assert_close(numbers.nanmean(0), torch.zeros(3).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        numbers.square().nanmean(0), torch.ones(3).double(), atol=1e-4, rtol=0
    )
    assert scaled[:, ~scaling.number].nanmean(0).abs().max() < 0.02
    torch.testing.assert_close(scaling.inverse(scaling(rows)), rows, equal_nan=True)


def test_the_likelihood_is_that_of_torch():
    columns, rows, scaling = stored()
    likelihood, e = Mixed().of_table(scaling), columns.width
    raw = torch.randn(len(rows), e + 3, generator=torch.Generator().manual_seed(0)).double()
    cells = likelihood.cells(raw, scaling(rows).double())
    deviation = (SMALLEST + torch.nn.functional.softplus(raw[:, e:] - SMALLEST)).mul(0.5).exp()
    x, at = scaling(rows).double(), 0
    for j, column in enumerate(columns):
        gap = rows[:, j].isnan()
        if column.categories is None:
            which = [i for i, c in enumerate(columns) if c.categories is None].index(j)
            expected = -Normal(raw[:, at], deviation[:, which]).log_prob(x[:, at].nan_to_num())
        else:
            law = Categorical(logits=raw[:, at : at + column.width])
            expected = -law.log_prob(rows[:, j].nan_to_num().long())
        expected = torch.where(gap, 0, expected)
        torch.testing.assert_close(cells[:, j], expected)
        at += column.width
    law = likelihood.law(raw)
    torch.testing.assert_close(-law.log_prob(x), cells.sum(1))
    torch.testing.assert_close(likelihood.nll(raw, x), cells.sum(1))
    mean = likelihood.mean(raw)[:, ~scaling.number] + scaling.shift[~scaling.number]
    torch.testing.assert_close(mean[:, :3].sum(1), torch.ones(len(rows)).double())


def test_gaps_get_no_gradient():
    columns, rows, scaling = stored()
    likelihood, scaled = Mixed().of_table(scaling), scaling(rows)
    output = torch.zeros(len(rows), columns.width, requires_grad=True)
    likelihood.nll(output, scaled).sum().backward()
    gradient = output.grad
    assert gradient is not None
    assert gradient.isfinite().all()
    assert not gradient[scaled.isnan()].any()
    assert (gradient[~scaled.isnan()] != 0).float().mean() > 0.9


def test_oddness_is_how_much_less_probable_a_cell_is():
    _, rows, scaling = stored(WHOLE)
    likelihood = Mixed().of_table(scaling)
    output = torch.randn(len(rows), 11, generator=torch.Generator().manual_seed(0))
    made = scaling(scaling.inverse(likelihood.mean(output)))
    assert likelihood.oddness(output, scaling(rows)).min() >= 0
    torch.testing.assert_close(
        likelihood.oddness(output, made), torch.zeros(len(rows), 6), atol=1e-5, rtol=0
    )


# ---- gaps


def test_em_finds_the_gaussian_and_its_conditional_means():
    draw = np.random.default_rng(0)
    root = draw.normal(size=(5, 5))
    x = torch.from_numpy(draw.normal(size=(3000, 5)) @ root).double()
    x /= x.std(0)
    holes = x.masked_fill(torch.from_numpy(draw.random(x.shape) < 0.2), math.nan)
    mean, precision = fit_gaussian(holes)
    covariance = torch.linalg.inv(precision.double()) - RIDGE * torch.eye(5)
    torch.testing.assert_close(covariance, x.T.cov(correction=0), atol=0.1, rtol=0)
    filled = conditional_mean(holes, mean.double(), precision.double())
    row, there = holes[0], ~holes[1].isnan()
    row = holes[1]
    s = torch.linalg.inv(precision.double())
    weights = torch.linalg.solve(s[there][:, there], s[there][:, ~there])
    expected = mean[~there] + (row[there] - mean[there]) @ weights
    torch.testing.assert_close(filled[1][~there], expected)
    assert torch.equal(filled[~holes.isnan()], x[~holes.isnan()])


def test_fill_changes_nothing_but_gaps(model):
    filled = model.fill(TABLE)
    assert not filled.isna().any(axis=None)
    assert (filled.dtypes == TABLE.dtypes).all()
    pd.testing.assert_frame_equal(filled.where(TABLE.notna()), TABLE)
    assert TABLE.isna().any(axis=None), "what was given is as it was"
    pd.testing.assert_frame_equal(model.fill(WHOLE), WHOLE)
    guessed = filled["income"][TABLE["income"].isna()]
    assert guessed.map(str).str.len().max() < 12, "no more digits than float32 has"


def test_fill_finds_what_the_rest_of_a_row_says(model):
    whole = people(400, seed=1).dropna()
    hidden = whole.copy()
    hidden.loc[hidden.index[::2], ["city", "income"]] = None
    filled = model.fill(hidden)[::2]
    assert (filled["city"] == whole["city"][::2]).mean() > 0.8
    off = np.log(filled["income"].astype(float)) - np.log(whole["income"][::2])
    assert off.std() < 0.3 * np.log(whole["income"]).std()


def test_arrays_with_gaps(tmp_path):
    x = np.random.default_rng(0).normal(size=(80, 4))
    x[:, 3] = x[:, 0] + x[:, 1]
    holes = np.where(np.random.default_rng(1).random(x.shape) < 0.1, np.nan, x)
    model = Autoencoder(**SMALL).fit(holes)
    filled = model.fill(holes)
    np.testing.assert_array_equal(filled[~np.isnan(holes)], holes[~np.isnan(holes)])
    assert np.corrcoef(filled[np.isnan(holes)], x[np.isnan(holes)])[0, 1] > 0.5
    assert model.reconstruct(holes).shape == model.fill(torch.from_numpy(holes)).shape == (80, 4)
    assert np.isfinite(model.score_samples(holes)).all()
    numbers = pd.DataFrame(holes)
    pd.testing.assert_frame_equal(
        Autoencoder(**SMALL).fit(numbers).fill(numbers), pd.DataFrame(filled), rtol=1e-5
    )
    with pytest.raises(InputError, match="X contains NaN"):
        Autoencoder(**SMALL).fit(x).transform(holes)
    ready = Autoencoder(**SMALL, likelihood="mixed").fit(x)
    assert np.isfinite(ready.fill(holes)).all(), "asked for, gaps may come later"


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}),
        pd.DataFrame({"a": [1.0], "b": pd.to_datetime(["2020-01-01"])}),
        pd.DataFrame({"b": pd.to_datetime(["2020-01-01"])}),
        pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}),
        pd.DataFrame({"a": [None, None], "b": ["x", None]}),
        pl.DataFrame({"a": [1.0, None], "b": [3.0, 4.0]}),
    ],
    ids=["a gap", "a row", "only dates", "two rows", "an empty column", "polars"],
)
@pytest.mark.filterwarnings("ignore::diabolo.doctor.DoctorWarning")
def test_the_smallest_tables(frame):
    model = Autoencoder(**SMALL).fit(frame)
    assert model.transform(frame).shape == (len(frame), 3)
    assert model.fill(frame).shape == model.reconstruct(frame).shape == frame.shape


# ---- the model


def test_it_learns_every_kind_of_column(model):
    made = model.reconstruct(TABLE)
    for name in ("city", "grade", "smoker"):
        there = TABLE[name].notna()
        assert (made[name][there] == TABLE[name][there]).mean() > 0.9
    ages = made["age"].astype(float) - TABLE["age"].astype(float)
    assert ages.std() < 0.3 * TABLE["age"].std()
    assert (made.dtypes == TABLE.dtypes).all()
    new = model.inverse_transform(model.transform(TABLE))
    pd.testing.assert_frame_equal(new, made)


def test_save_and_load(model, tmp_path):
    model.save(tmp_path / "m.safetensors")
    loaded = load(tmp_path / "m.safetensors")
    pd.testing.assert_frame_equal(loaded.fill(TABLE), model.fill(TABLE))
    np.testing.assert_array_equal(loaded.score_samples(TABLE), model.score_samples(TABLE))
    assert loaded.fitted_.intake == model.fitted_.intake
    assert list(loaded.feature_names_in_) == list(TABLE.columns)


def test_rows_are_answered_alike_alone(model):
    np.testing.assert_array_equal(model.transform(TABLE[5:6])[0], model.transform(TABLE)[5])
    pd.testing.assert_frame_equal(model.fill(TABLE[5:6]), model.fill(TABLE)[5:6])


def test_it_stands_in_pipelines():
    label = (TABLE["income"].fillna(0) > np.exp(10)).astype(int)
    pipeline = make_pipeline(Autoencoder(**SMALL), LogisticRegression()).fit(TABLE, label)
    assert pipeline.score(TABLE, label) > 0.8
    codes = clone(pipeline[0]).set_output(transform="pandas").fit_transform(TABLE)
    assert list(codes.index) == list(TABLE.index)


def test_other_models_and_polars():
    frame = pl.from_pandas(TABLE)
    variational = VAE(**SMALL).fit(frame)
    filled = variational.fill(frame)
    assert isinstance(filled, pl.DataFrame)
    assert filled.null_count().to_numpy().sum() == 0
    assert list(variational.sample(3, random_state=0).columns) == list(TABLE.columns)


def test_new_rows_have_the_types_of_the_table(model):
    new = LatentSampler(model, components=2, random_state=0).fit(TABLE).sample(4)
    assert (new.dtypes == TABLE.dtypes).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"likelihood": "bernoulli"}, "bernoulli likelihood has no probability for categories"),
        ({"output_activation": "sigmoid"}, "no one output activation"),
    ],
)
def test_parts_that_do_not_suit_a_table(parameters, message):
    with pytest.raises(InputError, match=message):
        Autoencoder(**SMALL | parameters).fit(TABLE)


def test_hidden_cells_are_whole_and_drawn(model):
    net, rows = model.net_, model.rows(WHOLE)
    seen, clean = net.seen(Batch(rows, rows), generator(0, "test"))
    gaps = seen.isnan()
    assert 0.1 < gaps.float().mean() < 0.3
    assert not clean.isnan().any()
    blocks = gaps[:, net.scaling.column == 2]
    assert (blocks.all(1) == blocks.any(1)).all()


# ---- detection, files


def test_the_odd_cell_is_named_with_what_would_have_been_normal():
    frame, settings = people(240), SMALL | {"epochs": 20, "batch_size": 32}
    detector = AnomalyDetector(Autoencoder(**settings), random_state=0).fit(frame)
    odd = WHOLE[:6].reset_index(drop=True)
    odd.loc[0, "income"] = 1e6
    odd.loc[1, "city"] = "Paris"
    with pytest.warns(DoctorWarning, match="Paris"):
        cells, scores = detector.odd_cells(odd), detector.score_samples(odd)
    assert (cells[0].column, cells[0].value) == ("income", "1000000")
    assert 5e3 < float(cells[0].normal) < 1e5
    assert (cells[1].column, cells[1].value) == ("city", "Paris")
    assert str(cells[1]) == f"city: Paris (normal: {WHOLE['city'].iloc[1]})"
    assert set(np.argsort(scores)[:2]) == {0, 1}


def test_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    TABLE.to_csv("people.csv", index=False, sep=";", decimal=",")
    TABLE[:9][TABLE.columns[::-1]].to_csv("few.csv", index=False)
    small = ("--hidden", "6", "--epochs", "2", "--latent-dim", "3")
    assert main(["fit", "ae", "--data", "people.csv", "--out", "run", *small]) == 0
    assert "of the categories right" in capsys.readouterr().out
    assert main(["reconstruct", "run", "people.csv", "--out", "filled.csv", "--fill"]) == 0
    lines, filled = (
        (tmp_path / name).read_text(encoding="utf-8").splitlines()
        for name in ("people.csv", "filled.csv")
    )
    for before, after in zip(lines, filled, strict=True):
        for a, b in zip(before.split(";"), after.split(";"), strict=True):
            assert b == a if a else b
    assert main(["reconstruct", "run", "few.csv", "--out", "made.csv"]) == 0
    made = pd.read_csv("made.csv")
    assert (list(made.columns), len(made)) == (list(TABLE.columns[::-1]), 9)
    assert main(["encode", "run", "few.csv", "--out", "codes.csv"]) == 0
    TABLE[:9].assign(city="Paris").to_csv("new.csv", index=False)
    assert main(["encode", "run", "new.csv", "--out", "new-codes.csv"]) == 0
    new = "Warning: Column 'city' has values that are new and count as gaps: 'Paris'."
    assert capsys.readouterr().err.splitlines().count(new) == 1
    assert main(["decode", "run", "codes.csv", "--out", "decoded.csv"]) == 0
    assert list(pd.read_csv("decoded.csv").columns) == list(TABLE.columns)
    assert main(["evaluate", "run", "--json"]) == 0
    assert '"accuracy"' in capsys.readouterr().out
    assert main(["detect", "fit", "run", "people.csv", "--out", "d.safetensors"]) == 0
    assert main(["detect", "score", "d.safetensors", "few.csv", "--out", "found"]) == 0
    found = pd.read_csv("found/scores.csv")
    assert {"oddest_column", "share_of_error", "value", "normal"} <= set(found.columns)
    assert main(["reconstruct", "run", "few.csv", "--out", "no.csv", "--fill", "--corrupt"]) == 2
