"""How large the code should be: the knee, PCA's curve, and the command."""

import csv
import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier

from diabolo import Autoencoder
from diabolo.cli import main
from diabolo.commands.sizing import picture, suggestion
from diabolo.corruption import GaussianNoise
from diabolo.doctor import DoctorWarning
from diabolo.errors import InputError
from diabolo.tasks.sizing import check_sizes, code_sizes, knee

D, RANK, NOISE = 12, 4, 1e-3
SCALES = np.array([2, 1.6, 1.3, 1])
SETTINGS = {"random_state": 0, "device": "cpu", "batch_size": 50, "validation_fraction": 0.0}


def subspace(n=600, seed=0):
    """Rows in a subspace of RANK dimensions, and a little noise."""
    draw = np.random.default_rng(seed)
    basis = np.linalg.qr(np.random.default_rng(9).normal(size=(D, D)))[0][:RANK]
    return (
        draw.normal(size=(n, RANK)) * SCALES @ basis + NOISE * draw.normal(size=(n, D))
    ).astype("f4")


def linear(**parameters):
    parameters = {"hidden": (), "scaling": None, "epochs": 30, **SETTINGS, **parameters}
    return Autoencoder(learning_rate=0.02, schedule="one_cycle", **parameters)


@pytest.fixture(scope="module")
def found():
    """Sizes on the subspace, with the side of a hyperplane as labels."""
    X, X_test = subspace(), subspace(300, seed=1)
    y, y_test = (X[:, 0] > 0), (X_test[:, 0] > 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DoctorWarning)
        return code_sizes(
            linear(), X, X_test=X_test, y=y, y_test=y_test, sizes=[8, 1, 2, 4], n_jobs=1
        )


def test_the_knee_of_a_subspace_is_its_dimension(found):
    assert found.sizes == [1, 2, 4, 8]
    assert found.knee == RANK


def test_pca_leaves_the_eigenvalues_that_it_discards(found):
    X, X_test = subspace().astype("f8"), subspace(300, seed=1).astype("f8")
    vectors = np.linalg.eigh(np.cov(X.T))[1][:, ::-1]
    spread = ((X_test - X.mean(0)) @ vectors) ** 2
    expected = [spread[:, k:].sum() / spread.size for k in found.sizes]
    np.testing.assert_allclose(found.pca_mse, expected, rtol=1e-4)
    theory = [((SCALES[k:] ** 2).sum() + NOISE**2 * (D - k)) / D for k in found.sizes]
    np.testing.assert_allclose(found.pca_mse, theory, rtol=0.25)


def test_a_linear_autoencoder_comes_near_pca_and_not_below(found):
    ours, best = np.array(found.mse), np.array(found.pca_mse)
    assert (ours >= 0.98 * best - 1e-6).all()
    assert (ours <= 1.05 * best + 1e-4).all()


def test_the_numbers_are_those_of_the_models(found):
    X, X_test = subspace(), subspace(300, seed=1)
    y, y_test = X[:, 0] > 0, X_test[:, 0] > 0
    model = found.models[2]
    assert model.code_size_ == 4
    error = np.mean((model.reconstruct(X_test) - X_test).astype("f8") ** 2)
    assert found.mse[2] == pytest.approx(error, rel=1e-5)
    neighbours = KNeighborsClassifier(5).fit(model.transform(X), y)
    assert found.accuracy[2] == neighbours.score(model.transform(X_test), y_test)
    vectors = np.linalg.eigh(np.cov(X.T))[1][:, :-5:-1]
    best = KNeighborsClassifier(5).fit(X @ vectors, y).score(X_test @ vectors, y_test)
    assert found.pca_accuracy[2] == pytest.approx(best, abs=0.01)


def test_eight_bits_are_a_byte_a_number(found):
    """A step of width s adds s^2 / 12 to each number of a code, seen through the decoder."""
    X, X_test, model = subspace(), subspace(300, seed=1), found.models[2]
    train, z = model.transform(X).astype("f8"), model.transform(X_test).astype("f8")
    low, step = train.min(0), np.ptp(train, axis=0) / 255
    stored = np.rint((z - low) / step).clip(0, 255).astype(np.uint8)
    back = model.inverse_transform((low + stored * step).astype("f4"))
    assert found.mse_8bit[2] == pytest.approx(np.mean((back - X_test).astype("f8") ** 2), rel=1e-3)
    weights = model.inverse_transform(np.eye(4)) - model.inverse_transform(np.zeros((1, 4)))
    within = ((stored > 0) & (stored < 255)).all(axis=1)
    added = np.mean((back - model.reconstruct(X_test))[within].astype("f8") ** 2)
    assert added == pytest.approx((step**2 / 12 * (weights**2).sum(axis=1)).sum() / D, rel=0.15)
    assert found.bytes == found.sizes


@pytest.mark.stress
def test_two_processes_give_the_same_as_one():
    X, X_test = subspace(200), subspace(50, seed=1)
    model = linear(epochs=2, corruption=GaussianNoise(0.1))
    runs = []
    for n_jobs in (1, 2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DoctorWarning)
            runs.append(code_sizes(model, X, X_test=X_test, sizes=[2, 5], n_jobs=n_jobs))
    assert runs[0].columns() == runs[1].columns()
    assert runs[0].accuracy is None
    assert not hasattr(model, "net_")


def test_the_best_linear_denoiser_stands_beside_a_denoising_model():
    """Of a direction with variance s beside noise of variance v, s v / (s + v) is left."""
    X, X_test = subspace(4000), subspace(2000, seed=1)
    model = linear(epochs=1, batch_size=1000, corruption=GaussianNoise(0.5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DoctorWarning)
        found = code_sizes(model, X, X_test=X_test, sizes=[4], n_jobs=1)
    variance = SCALES**2
    left = (variance * 0.25 / (variance + 0.25)).sum() / D
    assert found.pca_mse[0] == pytest.approx(left, rel=0.05)


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([8, 4, 2, 1, 0.5], 4),  # height of the chord: 0, 17, 20, 13, 0 sixtieths
        ([8, 4, 0.1, 0.1, 0], 4),
        ([8, 1, 0.9, 0.95, 0.8], 2),  # a worse, larger code does not count
        ([5, 4, 3, 2, 1], None),
        ([9, 9, 9, 9, 1], None),
        ([3, 3, 3, 3, 3], None),
        ([1, 2, 3, 4, 5], None),
        ([8, 4, np.nan, 1, 0], None),
        ([9, 5, 10, 10, 10], None),  # undertrained
    ],
)
def test_the_knee_is_where_the_chord_is_highest_over_the_curve(errors, expected):
    assert knee([1, 2, 4, 8, 16], errors) == expected


def test_no_size_is_suggested_where_pca_is_better(found):
    assert found.suggested == found.knee == RANK
    worse = replace(found, mse=[0.1 + mse for mse in found.mse])
    assert worse.suggested is None
    assert suggestion(worse).startswith(
        f"No size is suggested: the error has its knee at {RANK}, but there PCA is clearly"
    )
    assert not [text for text in picture(worse).findobj(Text) if "knee" in text.get_text()]
    assert [text for text in picture(found).findobj(Text) if text.get_text() == f"knee: {RANK}"]


def test_there_is_no_knee_of_two_points():
    assert knee([1, 2], [2, 1]) is None


def test_sizes_are_powers_of_two_below_the_features():
    assert check_sizes(None, 2) == [1]
    assert check_sizes(None, 64) == [1, 2, 4, 8, 16, 32]
    assert check_sizes(None, 65)[-1] == 64
    assert check_sizes(None, 784) == [2, 4, 8, 16, 32, 64, 128, 256]


ROWS = np.random.default_rng(0).random((30, 6), dtype=np.float32)
MISTAKES = {
    "as large as a sample": (
        {"sizes": [2, 6]},
        "A code of 6 is not smaller than a sample of 6 numbers: give sizes below 6.",
    ),
    "no size": ({"sizes": []}, "There are no sizes: give some, such as 2, 4, 8."),
    "zero": ({"sizes": [0]}, "A size must be an integer of at least 1, but is 0."),
    "half": ({"sizes": [1.5]}, "A size must be an integer of at least 1, but is 1.5."),
    "labels of one": (
        {"y": np.zeros(20)},
        "Labels are needed for both X and X_test: give y and y_test.",
    ),
    "too few labels": (
        {"y": np.zeros(19), "y_test": np.zeros(10)},
        "y has 19 labels for 20 samples.",
    ),
    "other samples": (
        {"X_test": ROWS[:, :5]},
        "The samples of X_test have shape (5,), those of X (6,): give them the same.",
    ),
    "no jobs": ({"n_jobs": 0}, "n_jobs must be an integer of at least 1, but is 0."),
    "no model": ({"model": "ae"}, "model must be an autoencoder, but is str."),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_mistakes(what):
    given, sentence = MISTAKES[what]
    arguments = {"model": linear(), "X": ROWS[:20], "X_test": ROWS[20:], **given}
    with pytest.raises(InputError) as caught:
        code_sizes(**arguments)
    assert str(caught.value) == sentence


def test_the_command_writes_a_table_a_picture_and_its_numbers(tmp_path, capsys):
    data, out = tmp_path / "digits.npz", tmp_path / "out"
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, 60)
    np.savez(data, x=(draw.random((60, 4, 4)) + labels[:, None, None]).astype("f4") / 2, y=labels)
    command = f"size {data} --out {out} --epochs 2 --sizes 4,1,2 --jobs 1"
    assert main(command.split()) == 0
    printed = capsys.readouterr()
    assert "54 samples to train on, 6 to test on" in printed.err
    assert printed.out.splitlines()[1].split()[:3] == ["1", "1", "64:1"]
    assert "uggested" in printed.out
    assert sorted(p.name for p in out.iterdir()) == ["sizes.csv", "sizes.json", "sizes.png"]
    numbers = json.loads((out / "sizes.json").read_text())
    with (out / "sizes.csv").open(newline="") as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    assert rows == numbers["sizes"]
    assert [row["size"] for row in rows] == [1, 2, 4]
    assert set(rows[0]) >= {"mse", "mse_8bit", "pca_mse", "accuracy", "pca_accuracy"}
    assert numbers["samples"] == {"train": 54, "test": 6}
    with Image.open(out / "sizes.png") as picture:
        assert picture.width == 840
    before = (out / "sizes.csv").read_bytes()
    assert main(command.split()) == 2
    assert main([*command.split(), "--force"]) == 0
    assert (out / "sizes.csv").read_bytes() == before


@pytest.mark.stress
def test_a_recipe_without_a_code_of_its_own_gets_one(tmp_path, capsys):
    X = subspace(200).reshape(-1, 3, 4)
    np.save(tmp_path / "x.npy", (X - X.min()) / np.ptp(X))
    command = f"size {tmp_path / 'x.npy'} --out {tmp_path / 'out'} --epochs 1 --sizes 2,3"
    assert main([*command.split(), "--recipe", "conv-dae"]) == 0
    printed = capsys.readouterr().out
    assert (
        "The code of conv-dae is its last hidden layer: here it has a code of its own." in printed
    )
    assert "linear mse" in printed
    assert "linear has the smaller mse at 2, 3: there the model needs more --epochs" in printed
    assert "No size is suggested: a knee needs at least three --sizes." in printed


HELP = "; see diabolo size --help."
COMMANDS = {
    "--sizes 2,6": "A code of 6 is not smaller than a sample of 6 numbers: give sizes below 6.",
    "--sizes 2,x": "--sizes must be an integer of at least 1, but is 'x'" + HELP,
    "--sizes 2,0": "--sizes must be an integer of at least 1, but is '0'" + HELP,
    "--recipe ea": "There is no recipe 'ea'; did you mean 'ae'?",
    "--out FULL": "FULL exists: give another --out, or --force to replace it.",
    "--out FULL --force": "FULL has other files in it, such as mine.txt: it is left alone.",
    "--out HERE --force": "HERE holds the input: give another --out.",
}


@pytest.mark.parametrize("flags", COMMANDS)
def test_mistakes_in_the_command(flags, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FULL").mkdir()
    (tmp_path / "FULL" / "mine.txt").write_text("kept")
    (tmp_path / "HERE").mkdir()
    np.save("HERE/x.npy", ROWS)
    before = sorted(tmp_path.rglob("*"))
    assert main(["size", "HERE/x.npy", "--out", "new", *flags.split()]) == 2
    assert capsys.readouterr().err == f"diabolo: {COMMANDS[flags]}\n"
    assert sorted(tmp_path.rglob("*")) == before


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    np.save(tmp_path / "x.npy", ROWS)
    monkeypatch.setattr(Autoencoder, "fit", interrupted)
    command = f"size {tmp_path / 'x.npy'} --out {tmp_path / 'out'} --jobs 1"
    assert main(command.split()) == 130
    assert [p.name for p in tmp_path.iterdir()] == ["x.npy"]
