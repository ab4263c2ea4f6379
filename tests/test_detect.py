"""`diabolo detect`: what it finds, what it writes, and what it refuses."""

import csv
import re

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import drawing, failed, run
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.metrics import roc_auc_score

from diabolo import AnomalyDetector, Autoencoder, figures, load
from diabolo.data import write
from diabolo.data.sources import FORMS
from diabolo.errors import InputError
from diabolo.tasks import conformal, criteria, shift

RECIPE = """
[model]
kind = "Autoencoder"
hidden = [64]
latent_dim = 6
epochs = 60
batch_size = 32
learning_rate = 0.005
"""


def lines_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def column(path, name):
    return np.array([float(line[name]) for line in lines_of(path)])


def flagged(path):
    return np.array([line["verdict"] == "anomaly" for line in lines_of(path)])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with digits, zeros to learn from, colours, a table, and a recipe."""
    place = tmp_path_factory.mktemp("detect")
    (place / "small.toml").write_text(RECIPE)
    digits = load_digits()
    images = (digits.images * 15.9375).astype(np.uint8)
    zero = digits.target == 0
    moved = np.random.default_rng(0).normal(0, 12, (6 * zero.sum(), 8, 8))
    zeros = np.clip(np.tile(images[zero], (6, 1, 1)) + moved, 0, 255).astype(np.uint8)
    order = np.random.default_rng(1).permutation(len(zeros))
    np.save(place / "zeros.npy", zeros[order[:800]])
    np.save(place / "fresh.npy", zeros[order[800:]])
    mixed = np.concatenate([zeros[order[800:1000]], images[~zero][:200]])
    np.savez(place / "mixed.npz", x=mixed, y=np.repeat([0, 1], 200))
    cancer = load_breast_cancer(as_frame=True)
    benign = cancer.data[cancer.target == 1]
    benign[:250].to_csv(place / "benign.csv", index=False)
    pd.concat([benign[250:], cancer.data[cancer.target == 0]]).to_csv(
        place / "new.csv", index=False
    )
    colours = np.random.default_rng(2).integers(0, 60, (90, 3, 8, 12)).astype(np.uint8)
    colours[:, 1] += 150
    colours[80:, :, 2:6, 3:8] = 255
    write(place / "green", colours[:70])
    write(place / "colours", colours[70:])
    return place


@pytest.fixture(scope="module")
def zeros(place):
    file = place / "zeros.safetensors"
    with drawing():  # its page is looked at
        assert run("detect", "fit", place / "small.toml", place / "zeros.npy", "--out", file) == 0
    return file


@pytest.fixture(scope="module")
def table(place):
    file = place / "table.safetensors"
    words = ("--false-alarm-rate", 0.1, "--seed", 3)
    assert run("detect", "fit", "ae", place / "benign.csv", "--out", file, *words) == 0
    return file


# ---- what it finds


def test_other_digits_are_found_and_fresh_normals_flagged_at_the_rate(place, zeros, tmp_path):
    assert run("detect", "score", zeros, place / "mixed.npz", "--out", tmp_path / "a") == 0
    found = tmp_path / "a" / "scores.csv"
    labels, scores = column(found, "label"), column(found, "score")
    assert roc_auc_score(labels, -scores) > 0.98
    assert run("detect", "score", zeros, place / "fresh.npy", "--out", tmp_path / "b") == 0
    share = flagged(tmp_path / "b" / "scores.csv").mean()
    assert share < 0.05 + 4 * np.sqrt(0.05 * 0.95 * (1 / 160 + 1 / 260))


def test_the_file_says_what_python_says(place, zeros, tmp_path, capsys):
    assert run("detect", "score", zeros, place / "mixed.npz", "--out", tmp_path / "a") == 0
    said = capsys.readouterr().out
    detector, X = load(zeros), np.load(place / "mixed.npz")["x"]
    found = tmp_path / "a" / "scores.csv"
    assert [line["row"] for line in lines_of(found)] == [str(i) for i in range(400)]
    np.testing.assert_allclose(column(found, "score"), detector.score_samples(X), rtol=1e-8)
    np.testing.assert_allclose(column(found, "p_value"), detector.p_values(X), rtol=1e-5)
    np.testing.assert_array_equal(flagged(found), detector.predict(X) == -1)
    count = int((detector.predict(X) == -1).sum())
    share = f"{count} of 400 flagged ({count / 4:.1f} %), at a guaranteed false-alarm rate of 5 %"
    assert share in said


def test_a_table_names_the_odd_column(place, table, tmp_path):
    new = pd.read_csv(place / "new.csv")
    new.loc[0, "mean texture"] = 500.0
    new.to_csv(tmp_path / "odd.csv", index=False)
    assert run("detect", "score", table, tmp_path / "odd.csv", "--out", tmp_path / "out") == 0
    found, detector = tmp_path / "out" / "scores.csv", load(table)
    benign = len(new) - 212
    assert roc_auc_score(np.arange(len(new)) >= benign, -column(found, "score")) > 0.88
    first = lines_of(found)[0]
    assert (first["verdict"], first["oddest_column"]) == ("anomaly", "mean texture")
    assert float(first["share_of_error"]) > 0.5
    odd = [line["oddest_column"] for line in lines_of(found)]
    assert odd == list(detector.oddest_columns(new.to_numpy()))
    errors = detector.errors(new.to_numpy()).astype(float)
    shares = errors.max(axis=1) / errors.sum(axis=1)
    np.testing.assert_allclose(column(found, "share_of_error"), shares, atol=6e-5)


def test_a_batch_is_judged_at_a_rate_of_false_discoveries(place, table, tmp_path, capsys):
    words = ("detect", "score", table, place / "new.csv", "--out", tmp_path / "out", "--fdr", 0.2)
    assert run(*words) == 0
    assert "of which at most 20 % are normal, on average." in capsys.readouterr().out
    found = load(table).discoveries(pd.read_csv(place / "new.csv").to_numpy(), 0.2)
    np.testing.assert_array_equal(flagged(tmp_path / "out" / "scores.csv"), found)
    assert found.any()
    assert not found.all()


def test_normal_samples_that_are_mixed_otherwise_are_weighed(place, table, tmp_path, capsys):
    random, rates = np.random.default_rng(0), []
    for _ in range(20):  # of two sorts of normal samples the one with lower scores becomes common
        few, many = random.random(1000) < 0.3, random.random(500) < 0.9
        known, scores = (-3.0 * sort + random.normal(size=len(sort)) for sort in (few, many))
        others, codes = (3.0 * s[:, None] + random.normal(size=(len(s), 2)) for s in (few, many))
        own, weights = shift.ratios(codes, others)
        plain = shift.weighted(scores, np.ones(500), known, np.ones(1000))
        np.testing.assert_allclose(plain, conformal.p_values(np.sort(known), scores))
        weighed = shift.weighted(scores, own, known, weights)
        rates.append([(p <= 0.1).mean() for p in (plain, weighed)])
    plain_rate, rate = np.mean(rates, axis=0)
    assert plain_rate > 0.2
    assert rate == pytest.approx(0.1, abs=0.03)
    words = ("detect", "score", table, place / "new.csv", "--out", tmp_path / "out")
    assert run(*words, "--reweigh", place / "benign.csv") == 0
    assert "as far as the weights of 250 normal samples are right." in capsys.readouterr().out
    X, normal = (pd.read_csv(place / f"{name}.csv").to_numpy() for name in ("new", "benign"))
    found = shift.p_values(load(table), X, normal)
    np.testing.assert_array_equal(flagged(tmp_path / "out" / "scores.csv"), found <= 0.1)
    assert found.min() < 0.1 < found.max()
    X[0, 0] = 1e9  # which no sort of normal samples has
    assert shift.p_values(load(table), X, normal)[0] < 0.1


def test_feedback_calibrates_anew(place, table, tmp_path, capsys):
    fine, file = tmp_path / "fine.csv", tmp_path / "d.safetensors"
    pd.read_csv(place / "new.csv")[-9:].to_csv(fine, index=False)
    words = ("detect", "feedback", table, "--normal", fine, "--out", file)
    assert run(*words) == 0
    assert "Of 9 normal samples 8 were flagged, now " in capsys.readouterr().out
    assert "--force to replace it" in failed(capsys, *words)
    first = load(file)
    assert first.offset_ < load(table).offset_
    assert run("detect", "feedback", file, "--normal", fine) == 0
    again = first.feedback(pd.read_csv(fine).to_numpy())
    np.testing.assert_array_equal(load(file).calibration_scores_, again.calibration_scores_)


def test_fitting_is_that_of_python(place, table):
    detector = load(table)
    assert detector.fitted_config_["false_alarm_rate"] == 0.1
    assert detector.model_.seed_ == 3
    X = pd.read_csv(place / "benign.csv").to_numpy()
    again = AnomalyDetector(false_alarm_rate=0.1, random_state=3).fit(X)
    np.testing.assert_array_equal(again.calibration_scores_, detector.calibration_scores_)


def test_a_model_is_taken_as_it_is(place, tmp_path, capsys):
    X = np.load(place / "zeros.npy")
    model = Autoencoder(latent_dim=4, hidden=(16,), epochs=3, random_state=0).fit(X[:500])
    model.save(tmp_path / "m.safetensors")
    np.save(tmp_path / "rest.npy", X[500:])
    words = (tmp_path / "m.safetensors", tmp_path / "rest.npy", "--criterion", "combined")
    out = tmp_path / "d.safetensors"
    assert run("detect", "fit", *words, "--limit", 200, "--out", out) == 0
    said = capsys.readouterr().out
    assert "as it is, learning from 160 images of 200" in said
    assert "Calibrated on 40 images" in said
    detector = load(out)
    assert detector.fitted_config_["criterion"] == "combined"
    np.testing.assert_array_equal(detector.model_.transform(X), model.transform(X))
    assert run("summary", out) == 0
    assert "combined score, false-alarm rate 5 %" in capsys.readouterr().out
    assert run("reconstruct", out, tmp_path / "rest.npy", "--out", tmp_path / "r.npy") == 0


def test_the_doctor_is_heard(place, tmp_path, capsys):
    X = np.load(place / "zeros.npy")
    model = Autoencoder(latent_dim=4, hidden=(16,), epochs=1, random_state=0).fit(X)
    model.save(tmp_path / "m.safetensors")
    words = ("detect", "fit", tmp_path / "m.safetensors", place / "zeros.npy", "--out")
    assert run(*words, tmp_path / "same.safetensors") == 0
    assert "Warning: The model was trained on these samples" in capsys.readouterr().out
    assert run(*words, tmp_path / "few.safetensors", "--limit", 10) == 0
    said = capsys.readouterr().out
    assert "Warning: 10 held-out samples are too few for a false-alarm rate of 0.05" in said
    assert "At most" not in said
    few = (tmp_path / "few.safetensors", place / "fresh.npy", "--out", tmp_path / "out")
    assert run("detect", "score", *few) == 0
    assert "flagged: too few samples, 10, calibrated" in capsys.readouterr().out


def test_what_a_run_was_trained_on_guarantees_nothing(place, tmp_path, capsys):
    words = ("--data", place / "zeros.npy", "--limit", 300, "--seed", 0, "--epochs", 1)
    assert run("fit", place / "small.toml", *words, "--out", tmp_path / "run") == 0
    capsys.readouterr()
    seen, new = tmp_path / "seen.safetensors", tmp_path / "new.safetensors"
    assert run("detect", "fit", tmp_path / "run", place / "zeros.npy", "--out", seen) == 0
    said = capsys.readouterr().out
    assert "Warning: The model was trained on 300 of these 800 samples, so the" in said
    assert "At most" not in said
    assert "has not learnt from" not in said
    assert run("detect", "score", seen, place / "fresh.npy", "--out", tmp_path / "a") == 0
    said = capsys.readouterr().out
    assert "false-alarm rate of 5 % that is not guaranteed: the detector was calibrated" in said
    assert run("detect", "fit", tmp_path / "run", place / "fresh.npy", "--out", new) == 0
    assert "images that the model has not learnt from" in capsys.readouterr().out
    assert run("detect", "score", new, place / "fresh.npy", "--out", tmp_path / "b") == 0
    assert "at a guaranteed false-alarm rate of 5 %." in capsys.readouterr().out


def test_of_a_lone_model_it_is_said_what_the_rate_depends_on(place, tmp_path, capsys):
    model = Autoencoder(latent_dim=4, hidden=(16,), epochs=1, random_state=0)
    model.fit(np.load(place / "zeros.npy")[:100]).save(tmp_path / "m.safetensors")
    words = (tmp_path / "m.safetensors", place / "fresh.npy", "--out", tmp_path / "d.safetensors")
    assert run("detect", "fit", *words) == 0
    said = capsys.readouterr().out
    assert "samples will be flagged if the model has not learnt from those: an anomaly is" in said


def test_the_scale_of_one_row_has_its_whole_label():
    figure = figures.odd_columns(np.eye(1, 4), ["row 0"], list("abcd"))
    figure.draw_without_rendering()
    label = figure.axes[1].yaxis.label.get_window_extent()
    assert label.y0 >= 0
    assert label.y1 <= figure.bbox.height


# ---- where, and beside what


def test_the_odd_region_is_where_a_spot_was_put(place, zeros, tmp_path):
    fresh = np.load(place / "fresh.npy")
    spotted = fresh[:40].copy()
    spotted[:, :2, :2] = 255
    np.save(tmp_path / "spotted.npy", spotted)
    out = tmp_path / "out"
    words = ("detect", "score", zeros, tmp_path / "spotted.npy", "--out", out)
    assert run(*words, "--beside", place / "zeros.npy") == 0
    lines = [line for line in lines_of(out / "scores.csv") if line["verdict"] == "anomaly"]
    assert len(lines) > 30
    assert all(int(line["x"]) < 2 and int(line["y"]) < 2 for line in lines if line["x"])
    masks = list((out / "masks").iterdir())
    assert len(masks) == sum(bool(line["x"]) for line in lines) > 0.9 * len(lines)
    first = next(line for line in lines if line["x"])
    with Image.open(out / "masks" / f"{int(first['row']):02}.png") as mask:
        assert np.asarray(mask)[int(first["y"]), int(first["x"])] == 255
    normal = np.load(place / "zeros.npy").astype(float)
    far = np.square(normal - spotted[int(first["row"])]).sum(axis=(1, 2))
    assert int(first["nearest_1"]) == far.argmin()
    detector = load(zeros)
    assert detector.odd_regions(fresh).masks.any(axis=(1, 2)).mean() < 0.05 + 4 * 0.025


def test_normal_rows_stand_beside_odd_ones(place, table, tmp_path, drawn):
    out = tmp_path / "out"
    words = ("detect", "score", table, place / "new.csv", "--out", out)
    assert run(*words, "--beside", place / "benign.csv") == 0
    benign, new = (pd.read_csv(place / name).to_numpy() for name in ("benign.csv", "new.csv"))
    line = min(lines_of(out / "scores.csv"), key=lambda line: float(line["score"]))
    net = load(table).model_.net_
    far = (
        net.scaling(torch.from_numpy(new[int(line["row"])][None]).float())
        - net.scaling(torch.from_numpy(benign).float())
    ).norm(dim=1)
    assert [int(line[f"nearest_{n}"]) for n in (1, 2, 3)] == far.argsort()[:3].tolist()
    rows = [row for row in lines_of(out / "beside.csv") if row["row"] == line["row"]]
    assert [row["nearest"] for row in rows[1:]] == [line[f"nearest_{n}"] for n in (1, 2, 3)]
    assert float(rows[0]["mean radius"]) == pytest.approx(new[int(line["row"]), 0])
    page = (out / "report.html").read_text()
    assert f"normal row {line['nearest_1']}" in page
    assert {f'id="{n}"' for n in ("scores", "calibration", "worst", "borderline")} <= set(
        re.findall('id="[a-z]+"', page)
    )


def test_fitting_leaves_a_page(place, zeros, capsys):
    page = place / "zeros.html"
    assert "The second half of the held-out samples" in page.read_text()
    words = ("detect", "fit", "ae", place / "zeros.npy", "--out", place / "zeros2.safetensors")
    page.rename(place / "zeros2.html")
    assert "zeros2.html exists: give another --out" in failed(capsys, *words)


def test_the_share_of_alarms_lies_in_its_band():
    rng, rates = np.random.default_rng(0), np.array([0.001, 0.05, 0.2])
    low, high = conformal.expected(99, 200, rates)
    assert (low[0], high[0]) == (0, 0)
    drawn = rng.random((2000, 299))
    shares = np.array(
        [conformal.observed(conformal.p_values(np.sort(d[:99]), d[99:]), rates) for d in drawn]
    )
    inside = ((shares >= low) & (shares <= high)).mean(axis=0)
    assert np.all(inside >= 0.94)
    assert np.all(inside[1:] < 0.98)


# ---- pictures and folders


def test_a_folder_of_colour_images(place, tmp_path, capsys):
    file, out = tmp_path / "c.safetensors", tmp_path / "out"
    recipe = place / "small.toml"
    assert run("detect", "fit", recipe, place / "green", "--out", file) == 0
    capsys.readouterr()
    (place / "colours" / "a $b$ 文.png").write_bytes((place / "colours" / "00.png").read_bytes())
    (place / "colours" / "bad.png").write_text("none")
    assert run("detect", "score", file, place / "colours", "--out", out, "--worst", 11) == 2
    said = capsys.readouterr()
    assert said.err.strip() == "diabolo: bad.png is not an image that can be read"
    assert "of 21 flagged" in said.out
    lines = lines_of(out / "scores.csv")
    assert [line["file"] for line in lines[:2]] == ["00.png", "01.png"]
    assert lines[-1]["file"] == "a $b$ 文.png"
    assert column(out / "scores.csv", "score")[10:20].max() < -0.01
    assert sorted(p.name for p in out.iterdir()) == ["report.html", "scores.csv", "worst.png"]
    with Image.open(out / "worst.png") as image:
        assert image.size[0] < 850
    assert run("detect", "score", file, place / "green" / "00.png", "--out", tmp_path / "one") == 0


def test_the_sheet_has_one_scale_of_colours():
    images, errors = np.zeros((3, 8, 8)), np.zeros((3, 8, 8))
    errors[:, 0, 0] = 1.0, 2.0, 4.0
    with figures.theme():
        sheet = figures.contact_sheet([("input", images)], errors, [("a", "b")] * 3)
    heats = [i.get_array() for i in sheet.axes[0].images if i.get_array().shape == (8, 8, 3)]
    assert len(heats) == 3
    brightness = [float(heat[0, 0].sum()) for heat in heats]
    assert brightness == sorted(brightness)
    assert len(set(brightness)) == 3
    words = [text.get_text() for text in sheet.axes[0].texts]
    assert words.count("error") == 3
    assert any(word.startswith("4.00") for word in words)


def test_of_many_columns_the_oddest_are_drawn():
    shares = np.full((2, 50), 0.001)
    shares[0, 41] = shares[1, 7] = 0.9
    with figures.theme():
        figure = figures.odd_columns(shares, ["a", "b"], [f"c{i}" for i in range(50)])
    names = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert len(names) == 30
    assert {"c41", "c7"} <= set(names)


def test_earlier_results_are_replaced_only_by_force(place, zeros, tmp_path, capsys):
    words = ("detect", "score", zeros, place / "fresh.npy", "--out", tmp_path / "out")
    assert run(*words) == 0
    before = (tmp_path / "out" / "scores.csv").read_bytes()
    assert "--force to replace it" in failed(capsys, *words)
    assert run(*words, "--force") == 0
    assert (tmp_path / "out" / "scores.csv").read_bytes() == before
    (tmp_path / "out" / "mine.txt").write_text("x")
    assert "such as mine.txt: it is left alone" in failed(capsys, *words, "--force")


# ---- mistakes

ABSENT = (
    "does not exist: give a .safetensors file, a run folder or a model that comes with diabolo"
    " (digits, photo, photo-codec, photo-lossless)."
)
MISTAKES = {
    "": "The following arguments are required: fit|score|feedback; see diabolo detect --help.",
    "ft": "There is no command 'detect ft'; did you mean 'detect fit'?",
    "fit": "The following arguments are required: MODEL|RECIPE, DATA, --out; see diabolo detect"
    " fit --help.",
    "score D mixed.npz --out o --wrst 3": "There is no option '--wrst'; did you mean '--worst'?",
    "score D mixed.npz x --out o": "'x' is one argument too many; see diabolo detect score"
    " --help.",
    "score D mixed.npz --out o --worst 0": "--worst must be an integer of at least 1, but is '0';"
    " see diabolo detect score --help.",
    "score D mixed.npz --out o --worst 201": "--worst must be from 1 to 200, but is 201.",
    "fit ae zeros.npy --out o.safetensors --false-alarm-rate 5": "--false-alarm-rate must be a"
    " number between 0 and 1, such as 0.05, but is '5'; see diabolo detect fit --help.",
    "fit aee zeros.npy --out o.safetensors": "There is no recipe 'aee'; did you mean 'ae'?",
    "fit ae zeros.npy --out o.pt": "A detector goes to a .safetensors file, not 'o.pt'.",
    "fit ae none.npy --out o.safetensors": f"none.npy does not exist: {FORMS}",
    "fit none.safetensors zeros.npy --out o.safetensors": f"none.safetensors {ABSENT}",
    "fit conv-dae benign.csv --out o.safetensors": "The recipe conv-dae needs images, and"
    " benign.csv has rows of numbers: use one with a dense network, such as ae.",
    "fit ae zeros.npy --out D": "zeros.safetensors exists: give another --out, or --force to"
    " replace it.",
    "fit D zeros.npy --out D --force": "zeros.safetensors holds the input: give another --out.",
    "fit small.toml zeros.npy --out o.safetensors --limit 1": "X has n_samples=1: give two or"
    " more, of which some are held out.",
    "fit small.toml zeros.npy --out o.safetensors --index id": "zeros.npy is no table: leave the"
    " names of its index and label out.",
    "fit M zeros.npy --out o.safetensors --index id --label y": "--index and --label go with a"
    " RECIPE: a MODEL has its own.",
    "fit D empty --out o.safetensors": "empty is a folder without images",
    "score none.safetensors mixed.npz --out o": f"none.safetensors {ABSENT}",
    "score D mixed.npz --out o --fdr 0.1 --reweigh fresh.npy": "Give --fdr or --reweigh, not"
    " both.",
    "score M mixed.npz --out o": "model.safetensors is a model and no detector: make one with"
    " diabolo detect fit model.safetensors DATA.",
    "score D empty --out o": "empty is a folder without images",
    "score D benign.csv --out o": "X has 30 features, but AnomalyDetector is expecting 64"
    " features as input.",
    "score D wide.npy --out o": "The model was fitted on samples of shape (8, 8), not (9, 9).",
    "score T few.csv --out o": "The table few.csv lacks 'worst fractal dimension': give the"
    " columns of the training.",
    "score D mixed.npz --out mixed.npz --force": "mixed.npz is a file: give the name of a folder.",
    "score D green --out green --force": "green holds the input: give another --out.",
}


@pytest.fixture(scope="module")
def mistaken(place, zeros, table):
    X = np.load(place / "zeros.npy")
    model = Autoencoder(latent_dim=2, hidden=(4,), epochs=1, random_state=0).fit(X[:50])
    model.save(place / "model.safetensors")
    (place / "empty").mkdir()
    np.save(place / "wide.npy", np.zeros((3, 9, 9), np.uint8))
    pd.read_csv(place / "new.csv").iloc[:, :29].to_csv(place / "few.csv", index=False)
    return place


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_one_sentence_and_writes_nothing(words, mistaken, monkeypatch, capsys):
    monkeypatch.chdir(mistaken)
    short = {"D": "zeros.safetensors", "M": "model.safetensors", "T": "table.safetensors"}
    before = {path: path.stat().st_mtime_ns for path in mistaken.rglob("*")}
    given = [short.get(word, word) for word in words.split()]
    assert failed(capsys, "detect", *given) == MISTAKES[words]
    assert {path: path.stat().st_mtime_ns for path in mistaken.rglob("*")} == before


def test_an_unknown_criterion_is_refused_before_the_data_are_read(capsys, tmp_path):
    words = ("detect", "fit", "ae", "none.npy", "--out", tmp_path / "o.safetensors")
    sentence = failed(capsys, *words, "--criterion", "latnt")
    assert "criterion" in sentence
    assert "none.npy" not in sentence


def test_codes_that_are_too_wide_are_refused_before_training(monkeypatch):
    monkeypatch.setattr(criteria, "WIDEST_CODE", 5)
    monkeypatch.delattr("diabolo.fitting.Fit.train")
    X = np.random.default_rng(0).random((20, 8), dtype=np.float32)
    for wide in ({"latent_dim": 6}, {"latent_dim": None, "hidden": (6,)}):
        detector = AnomalyDetector(Autoencoder(**wide), criterion="latent")
        with pytest.raises(InputError, match="Codes of 6 numbers are too wide"):
            detector.fit(X)


def test_why_a_folder_left_too_few_is_said(tmp_path, capsys):
    write(tmp_path / "photos", np.zeros((2, 8, 8), np.uint8))
    (tmp_path / "photos/0.png").write_bytes(b"no image")
    out = tmp_path / "run"
    assert run("fit", "ae", "--data", tmp_path / "photos", "--epochs", 1, "--out", out) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "One sample is too few to train and to test on" in lines[0]
    assert "0.png is not an image" in lines[1]
    assert not out.exists()
