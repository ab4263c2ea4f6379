"""Training on pairs of noisy and clean samples: in Python, in run folders, and the mistakes."""

import csv
import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import drawing, run
from PIL import Image

import diabolo.store
from diabolo import VAE, Autoencoder, load, metrics
from diabolo.commands.training import fit as fit_run
from diabolo.corruption import GaussianNoise
from diabolo.data import read_pairs
from diabolo.data.mnist import read_split
from diabolo.data.source import Rows
from diabolo.denoiser import fit_denoiser
from diabolo.errors import IncompleteError, InputError
from diabolo.fitting import Fit

pytestmark = pytest.mark.filterwarnings("ignore::diabolo.doctor.DoctorWarning")
SMALL = {"latent_dim": 3, "hidden": (6,), "epochs": 2, "batch_size": 16, "random_state": 0}
SMALL |= {"linear": False, "scaling": "unit", "validation_fraction": 0.0, "early_stopping": None}
RANDOM = np.random.default_rng(0)
CLEAN = RANDOM.random((40, 6), dtype=np.float32)
NOISY = RANDOM.random((40, 6), dtype=np.float32)


def model(**parameters):
    return Autoencoder(**SMALL | {"device": "cpu"} | parameters)


def weights(fitted):
    return {name: t.clone() for name, t in fitted.net_.state_dict().items()}


def same(a, b):
    a, b = weights(a), weights(b)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# ---- in Python


def test_rows_of_pairs_give_the_noisy_and_the_clean():
    clean, noisy = torch.arange(12.0).reshape(4, 3), -torch.arange(12.0).reshape(4, 3)
    source, target, *_ = Rows(clean, noisy).take(torch.tensor([2, 0]))
    assert torch.equal(target, clean[[2, 0]])
    assert torch.equal(source, noisy[[2, 0]])


def test_a_linear_autoencoder_reaches_least_squares_on_pairs():
    """The best affine map from x to y = A x + noise has a known error, which training reaches."""
    draw = np.random.default_rng(1)
    x = draw.normal(size=(512, 4)).astype(np.float32)
    y = (x @ draw.normal(size=(4, 4)) + 0.5 * draw.normal(size=(512, 4))).astype(np.float32)
    design = np.c_[x, np.ones(len(x))].astype(np.float64)
    least = metrics.mse(design @ np.linalg.lstsq(design, y, rcond=None)[0], y)
    linear = model(
        latent_dim=4, hidden=(), scaling=None, epochs=150, learning_rate=0.02, schedule="cosine"
    ).fit(y, X_noisy=x)
    error = metrics.mse(linear.reconstruct(x), y)
    assert least <= error * (1 + 1e-6)
    assert error < 1.001 * least
    assert metrics.mse(linear.reconstruct(y), y) > 2 * error  # it is no identity


def test_the_noisy_are_no_matter_to_the_scaling_but_to_the_weights():
    paired, alone = model().fit(CLEAN, X_noisy=5 * NOISY - 2), model().fit(CLEAN)
    for name in ("shift", "scale", "bounds", "peak"):
        assert torch.equal(getattr(paired.net_.scaling, name), getattr(alone.net_.scaling, name))
    assert not same(paired, alone)


@pytest.mark.parametrize("kind", [Autoencoder, VAE])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_pairs_of_equal_samples_are_as_no_pairs(kind, precision):
    parameters = SMALL | {"device": "cpu", "precision": precision, "validation_fraction": 0.25}
    paired = kind(**parameters).fit(CLEAN, X_noisy=CLEAN.copy())
    alone = kind(**parameters).fit(CLEAN)
    assert same(paired, alone)
    assert paired.history_["val_loss"] == alone.history_["val_loss"]
    assert (paired.paired_, alone.paired_) == (True, False)


def test_a_corruption_comes_on_top():
    parts = {"corruption": GaussianNoise(0.3)}
    on_top = model(**parts).fit(CLEAN, X_noisy=NOISY)
    assert not same(on_top, model().fit(CLEAN, X_noisy=NOISY))
    assert not same(on_top, model(**parts).fit(CLEAN))


def test_a_validation_set_of_pairs_is_measured_from_noisy_to_clean():
    fitted = model(epochs=1, scaling=None, output_activation="identity")
    fitted.fit(CLEAN, X_noisy=NOISY, X_val=(NOISY[:7], CLEAN[:7]))
    error = metrics.mse(fitted.reconstruct(NOISY[:7]), CLEAN[:7])
    assert fitted.history_["val_loss"] == [pytest.approx(error, rel=1e-5)]


def test_validation_fraction_holds_out_whole_pairs():
    """The target is the noisy sample plus 1, so a pair torn apart would leave an error."""
    noisy = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    fitted = model(
        latent_dim=3, hidden=(), scaling=None, epochs=150, learning_rate=0.02, schedule="cosine"
    )
    fitted.set_params(validation_fraction=0.2).fit(noisy + 1, X_noisy=noisy)
    assert fitted.history_["val_loss"][-1] < 1e-4


def test_the_fingerprint_covers_the_noisy():
    val = (NOISY[:5], CLEAN[:5])
    data = model().fit(CLEAN, X_noisy=NOISY, X_val=val).data_
    other = model().fit(CLEAN, X_noisy=NOISY + 1, X_val=(NOISY[:5] + 1, CLEAN[:5])).data_
    changed = {name for name in data if data[name] != other[name]}
    assert changed == {"noisy_sha256", "validation_noisy_sha256"}


def test_a_saved_model_knows_that_it_learnt_from_pairs(tmp_path):
    model().fit(CLEAN, X_noisy=NOISY).save(tmp_path / "a.safetensors")
    assert load(tmp_path / "a.safetensors").paired_
    model().fit(CLEAN).save(tmp_path / "b.safetensors")
    assert not load(tmp_path / "b.safetensors").paired_


@pytest.mark.parametrize("epochs", [0, 1])
def test_an_interrupted_training_on_pairs_ends_to_the_bit(tmp_path, monkeypatch, epochs):
    monkeypatch.setattr(diabolo.store, "INTERVAL", 0.0)
    monkeypatch.setattr(diabolo.store.Checkpoints, "due", lambda self, within_epoch: True)
    parameters = {"epochs": 4, "corruption": GaussianNoise(0.2), "validation_fraction": 0.25}
    whole = model(**parameters).fit(CLEAN, X_noisy=NOISY)

    def stop(fitted):
        if len(fitted.history_["epoch"]) > epochs:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model(**parameters).fit(CLEAN, X_noisy=NOISY, checkpoint=tmp_path, callback=stop)
    with pytest.raises(InputError, match="other data"):
        model(**parameters).fit(CLEAN, X_noisy=NOISY + 1, checkpoint=tmp_path)
    with pytest.raises(InputError, match="other data"):
        model(**parameters).fit(CLEAN, checkpoint=tmp_path)
    gone_on = model(**parameters).fit(CLEAN, X_noisy=NOISY, checkpoint=tmp_path)
    assert same(whole, gone_on)
    for name in ("loss", "val_loss"):
        assert whole.history_[name] == gone_on.history_[name]
    assert whole.data_ == gone_on.data_


BYTES = (CLEAN * 255).astype(np.uint8)
PAIR = "With X_noisy, X_val must be a pair too: (noisy, clean)."
MISTAKES = {
    "fewer": (
        lambda: model().fit(CLEAN, X_noisy=NOISY[:30]),
        "X_noisy does not fit: its shape is (30, 6), that of the clean (40, 6).",
    ),
    "narrower": (
        lambda: model().fit(CLEAN, X_noisy=NOISY[:, :5]),
        "X_noisy does not fit: its shape is (40, 5), that of the clean (40, 6).",
    ),
    "uint8 for float": (
        lambda: model().fit(CLEAN, X_noisy=BYTES),
        "X_noisy does not fit: its type is uint8, that of the clean float32.",
    ),
    "float for uint8": (
        lambda: model().fit(BYTES, X_noisy=NOISY),
        "X_noisy does not fit: its type is float32, that of the clean uint8.",
    ),
    "NaN": (
        lambda: model().fit(CLEAN, X_noisy=np.full_like(NOISY, np.nan)),
        "X_noisy does not fit: X contains NaN: fill it in, or drop those samples.",
    ),
    "text": (
        lambda: model().fit(CLEAN, X_noisy="noisy.npy"),
        "X_noisy does not fit: X must be an array of numbers, but is a text: read it with"
        " diabolo.data.read.",
    ),
    "X_val alone": (lambda: model().fit(CLEAN, X_noisy=NOISY, X_val=CLEAN), PAIR),
    "X_val half": (lambda: model().fit(CLEAN, X_noisy=NOISY, X_val=(None, CLEAN)), PAIR),
    "X_val uneven": (
        lambda: model().fit(CLEAN, X_noisy=NOISY, X_val=(NOISY[:3], CLEAN[:4])),
        "The noisy part of X_val does not fit: its shape is (3, 6), that of the clean (4, 6).",
    ),
    "both kinds of validation": (
        lambda: model(validation_fraction=0.5).fit(CLEAN, X_noisy=NOISY, X_val=(NOISY, CLEAN)),
        "Give X_val or validation_fraction, not both.",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_gets_its_sentence(name):
    do, sentence = MISTAKES[name]
    with pytest.raises(InputError) as error:
        do()
    assert str(error.value) == sentence


# ---- on the command line


def write_images(folder, images, names):
    for name, image in zip(names, images, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / name)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A folder with the same 60 pairs as folders, noisy and clean, and as .npy files."""
    root = tmp_path_factory.mktemp("pairs")
    clean = read_split("test")[0][:60]
    noise = np.random.default_rng(0).normal(0, 60, clean.shape)
    noisy = (clean + noise).clip(0, 255).astype(np.uint8)
    names = [f"{number % 3}/{number:02}" for number in range(60)]
    order = sorted(range(60), key=names.__getitem__)
    suffixes = [".bmp" if number % 2 else ".png" for number in range(60)]
    write_images(root / "noisy", noisy, [n + s for n, s in zip(names, suffixes, strict=True)])
    write_images(root / "clean", clean, [f"{name}.png" for name in names])
    np.save(root / "noisy.npy", noisy[order])
    np.save(root / "clean.npy", clean[order])
    return root


@pytest.fixture(scope="module")
def folder(pairs, tmp_path_factory):
    """A run on the pairs in folders."""
    out = tmp_path_factory.mktemp("runs") / "run"
    words = ["--noisy", pairs / "noisy", "--clean", pairs / "clean", "--epochs", 2, "--out", out]
    with drawing():
        assert run("fit", "dae-32", *words) == 0
    return out


def history(folder):
    with (folder / "history.csv").open(newline="") as file:
        return [row[:3] for row in csv.reader(file)]


def numbers(folder):
    found = json.loads((folder / "metrics.json").read_text())
    return {k: v for k, v in found.items() if k not in ("seconds", "images_per_second")}


def test_images_are_paired_by_name_and_rows_by_number(pairs):
    folders = read_pairs(pairs / "noisy", pairs / "clean")
    np.testing.assert_array_equal(folders.array, np.load(pairs / "clean.npy"))
    np.testing.assert_array_equal(folders.noisy, np.load(pairs / "noisy.npy"))
    rows = read_pairs(pairs / "noisy.npy", pairs / "clean.npy")
    np.testing.assert_array_equal(folders.array, rows.array)
    np.testing.assert_array_equal(folders.noisy, rows.noisy)


def test_arrays_and_the_run_s_own_recipe_give_the_same_run(pairs, folder, tmp_path):
    words = ["--noisy", pairs / "noisy.npy", "--clean", pairs / "clean.npy", "--epochs", 2]
    assert run("fit", "dae-32", *words, "--out", tmp_path / "arrays") == 0
    assert run("fit", folder / "config.toml", "--out", tmp_path / "again") == 0
    for other in ("arrays", "again"):
        assert same(
            load(folder / "model.safetensors"), load(tmp_path / other / "model.safetensors")
        )
        assert history(tmp_path / other) == history(folder)
        assert numbers(tmp_path / other) == numbers(folder)


def test_the_numbers_compare_the_given_noisy_with_the_clean(pairs, folder):
    noisy, clean = (np.load(pairs / f"{name}.npy") / 255 for name in ("noisy", "clean"))
    order = np.random.default_rng(0).permutation(60)
    test, train = np.sort(order[:6]), np.sort(order[6:])
    output = load(folder / "model.safetensors").reconstruct(np.load(pairs / "noisy.npy")[test])
    found = numbers(folder)
    assert found["samples"] == 54
    assert found["test"]["mse"] == pytest.approx(np.mean((output / 255 - clean[test]) ** 2), 1e-5)
    noise = np.mean((noisy[test] - clean[test]) ** 2)
    assert found["test"]["noisy_mse"] == pytest.approx(noise, 1e-5)
    assert found["test"]["noisy_psnr"] == pytest.approx(-10 * np.log10(noise), 1e-5)
    flat = {name: a.reshape(60, -1) for name, a in (("noisy", noisy), ("clean", clean))}
    maps = fit_denoiser([(flat["noisy"][train], flat["clean"][train])], [32, None])
    for name, best in zip(["mse", "full_rank_mse"], maps, strict=True):
        error = metrics.mse(best(flat["noisy"][test]), flat["clean"][test])
        assert found["linear"][name] == pytest.approx(error, 1e-3)


def test_a_run_on_pairs_can_be_used_again(folder, pairs, tmp_path, capsys):
    config = tomllib.loads((folder / "config.toml").read_text())
    recorded = {"noisy": str(pairs / "noisy"), "clean": str(pairs / "clean")}
    assert config["data"] == recorded
    assert config["model"]["corruption"] == "none"
    assert (folder / "figures" / "denoised.png").is_file()
    assert "pairs of images" in (folder / "report.html").read_text()
    capsys.readouterr()
    assert run("evaluate", folder, "--json") == 0
    assert json.loads(capsys.readouterr().out)["test"] == numbers(folder)["test"]
    before = numbers(folder)
    assert run("report", folder) == 0
    assert numbers(folder) == before
    assert run("denoise", folder, pairs / "noisy", "--out", tmp_path / "out") == 0
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == 60
    words = ["denoise", folder, pairs / "noisy", "--out", tmp_path / "no", "--corrupt"]
    assert failed(capsys, *words).startswith("diabolo: The model was trained without a corruption")
    assert not (tmp_path / "no").exists()


def test_an_interrupted_run_on_pairs_goes_on(folder, pairs, tmp_path, monkeypatch):
    out, note = tmp_path / "run", Fit._note

    def stop(self, epoch):
        note(self, epoch)
        raise KeyboardInterrupt

    monkeypatch.setattr(Fit, "_note", stop)
    words = ["--noisy", pairs / "noisy", "--clean", pairs / "clean", "--epochs", 2, "--out", out]
    assert run("fit", "dae-32", *words) == 130
    monkeypatch.setattr(Fit, "_note", note)
    assert run("fit", "--resume", out) == 0
    assert same(load(folder / "model.safetensors"), load(out / "model.safetensors"))
    assert history(out) == history(folder)


def test_the_corruption_of_the_recipe_is_off_unless_it_is_asked_for(pairs, tmp_path, capsys):
    words = ["--noisy", pairs / "noisy.npy", "--clean", pairs / "clean.npy", "--epochs", 1]
    off = "The noise is that of the pairs: the recipe's own corruption is off."
    (tmp_path / "own.toml").write_text(
        'base = "dae-32"\n[data]\n'
        f'noisy = "{pairs / "noisy.npy"}"\nclean = "{pairs / "clean.npy"}"\n'
    )
    for name, given, kept in [
        ("off", ["dae-32", *words], None),
        ("on", ["dae-32", *words, "--corruption", "gaussian"], GaussianNoise(0.5)),
        ("own", [tmp_path / "own.toml", "--epochs", 1], None),
        ("back", [tmp_path / "on" / "config.toml", "--epochs", 1], GaussianNoise(0.5)),
    ]:
        capsys.readouterr()
        assert run("fit", *given, "--out", tmp_path / name) == 0
        assert (off in capsys.readouterr().out) == (name == "off")
        fitted = load(tmp_path / name / "model.safetensors")
        assert fitted.paired_
        assert repr(fitted.corruption) == repr(kept)


def test_validation_keeps_pairs_together(pairs, tmp_path):
    for validation, held in (("first 10%", 49), ("test", 54)):
        (tmp_path / "own.toml").write_text(
            f'base = "dae-32"\n[model]\nepochs = 1\n[data]\nvalidation = "{validation}"\n'
            f'noisy = "{pairs / "noisy.npy"}"\nclean = "{pairs / "clean.npy"}"\n'
        )
        out = fit_run(tmp_path / "own.toml", out=tmp_path / validation)
        assert numbers(out)["samples"] == held
        data = load(out / "model.safetensors").data_
        assert data["validation_samples"] == (5 if held == 49 else 6)
        assert "validation_noisy_sha256" in data
        if validation == "test":
            value = float(history(out)[1][2])
            assert value == pytest.approx(numbers(out)["test"]["mse"], rel=1e-4)


def test_what_has_no_partner_is_named_and_the_rest_is_used(pairs, tmp_path, capsys):
    for name in ("noisy", "clean"):
        shutil.copytree(pairs / name, tmp_path / name)
    noisy, clean = tmp_path / "noisy", tmp_path / "clean"
    (clean / "0/00.png").unlink()
    (noisy / "1/01.bmp").unlink()
    (noisy / "2/02.png").write_bytes(b"no image")
    Image.new("L", (20, 10)).save(noisy / "0/03.bmp")
    capsys.readouterr()
    words = ["--noisy", noisy, "--clean", clean, "--epochs", 1, "--out", tmp_path / "run"]
    assert run("fit", "dae-32", *words) == 2
    assert {line for line in capsys.readouterr().err.splitlines() if "diabolo:" in line} == {
        f"diabolo: {noisy}/0/00.png has no partner in {clean}",
        f"diabolo: {clean}/1/01.png has no partner in {noisy}",
        f"diabolo: {noisy}/2/02.png is not an image that can be read",
        f"diabolo: {noisy}/0/03.bmp is 20x10 (width x height), its clean partner 28x28",
    }
    assert numbers(tmp_path / "run")["samples"] == 51  # of 56
    left = read_pairs(noisy, clean)
    whole = read_pairs(pairs / "noisy", pairs / "clean")
    rows = [whole.names.index(name) for name in left.names]
    np.testing.assert_array_equal(left.array, whole.array[rows])
    np.testing.assert_array_equal(left.noisy, whole.noisy[rows])
    with pytest.raises(IncompleteError):
        fit_run("ae-32", noisy=str(noisy), clean=str(clean), limit=8, out=tmp_path / "other")


def test_the_noisy_take_the_channels_of_the_clean(tmp_path):
    colour = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    write_images(tmp_path / "noisy", colour[..., 0], ["0.png", "1.png", "2.png"])
    write_images(tmp_path / "clean", colour, ["0.png", "1.png", "2.png"])
    found = read_pairs(tmp_path / "noisy", tmp_path / "clean")
    np.testing.assert_array_equal(found.array, colour.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(found.noisy, np.repeat(colour[:, None, ..., 0], 3, axis=1))
    back = read_pairs(tmp_path / "clean", tmp_path / "noisy")
    assert back.array.shape == back.noisy.shape == (3, 4, 5)


def failed(capsys, *words):
    capsys.readouterr()
    assert run(*words) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


COMMANDS = {  # in a folder made by `mistaken`
    "--noisy N": "--noisy and --clean go together: give both, or --data.",
    "--clean C": "--noisy and --clean go together: give both, or --data.",
    "--noisy N --clean C --data mnist": "Give --data, or --noisy and --clean, not both.",
    "--noisy N --clean C --test mnist:test": (
        "--test cannot be given with --noisy and --clean: a tenth of the pairs is held out."
    ),
    "--noisy none --clean C": ("C is a folder, none is none: give two folders or two files."),
    "--noisy n.npy --clean none.npy": "none.npy does not exist",
    "--noisy N --clean c.npy": "N is a folder, c.npy is none: give two folders or two files.",
    "--noisy N --clean N": "N cannot be both the noisy and the clean samples.",
    "--noisy n.npy --clean c.npy": (
        "n.npy has 5 samples and c.npy has 6: they are paired row by row, so give as many of each."
    ),
    "--noisy wide.npy --clean c.npy": (
        "The samples of wide.npy have shape (9,), those of c.npy (8,): give one shape."
    ),
    "--noisy float.npy --clean c.npy": (
        "The samples of float.npy are float64, those of c.npy uint8: give one type."
    ),
    "--noisy one.csv --clean other.csv": (
        "The columns of one.csv are not those of other.csv: give the same."
    ),
    "--noisy one.npy --clean one2.npy": (
        "One pair is too few to train and to test on: give more."
    ),
    "--noisy twice --clean C": (
        "twice has both a.bmp and a.png: for pairs, leave one of that name."
    ),
    "--noisy strange --clean C": (
        "No image in strange has the name of one in C: a pair has one name in both."
    ),
    "--noisy empty --clean C": "empty is a folder without images",
    "--noisy small --clean C": (
        "None of the 2 pairs can be used; the first: small/a.png is 3x2 (width x height), its"
        " clean partner 4x4"
    ),
}


@pytest.fixture(scope="module")
def mistaken(tmp_path_factory):
    root = tmp_path_factory.mktemp("mistaken")
    square, flat = np.zeros((2, 4, 4), np.uint8), np.zeros((2, 2, 3), np.uint8)
    for name in ("N", "C"):
        write_images(root / name, square, ["a.png", "b.png"])
    write_images(root / "twice", square, ["a.bmp", "a.png"])
    write_images(root / "strange", square, ["x.png", "y.png"])
    write_images(root / "small", flat, ["a.png", "b.png"])
    (root / "empty").mkdir()
    arrays = {
        "n": np.zeros((5, 8), np.uint8),
        "c": np.zeros((6, 8), np.uint8),
        "wide": np.zeros((6, 9), np.uint8),
        "float": np.zeros((6, 8)),
        "one": np.zeros((1, 8)),
        "one2": np.ones((1, 8)),
    }
    for name, array in arrays.items():
        np.save(root / f"{name}.npy", array)
    (root / "one.csv").write_text("a,b\n1,2\n3,5\n")
    (root / "other.csv").write_text("a,c\n1,2\n3,5\n")
    return root


@pytest.mark.parametrize("words", COMMANDS)
def test_a_mistaken_command_gets_its_sentence(words, mistaken, monkeypatch, capsys):
    monkeypatch.chdir(mistaken)
    before = sorted(mistaken.rglob("*"))
    line = failed(capsys, "fit", "ae-32", *words.split(), "--out", "run")
    assert line.replace(f"{mistaken}/", "").split(": a source")[0] == f"diabolo: {COMMANDS[words]}"
    assert sorted(mistaken.rglob("*")) == before


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ('noisy = "N"', "noisy and clean go together, give both or neither."),
        (
            'noisy = "N"\nclean = "C"\nsource = "mnist"',
            "give noisy and clean, or source and test, not both.",
        ),
    ],
)
def test_a_mistaken_recipe_gets_its_sentence(data, sentence, tmp_path, capsys):
    path = tmp_path / "own.toml"
    path.write_text(f'base = "ae-32"\n[data]\n{data}\n')
    assert failed(capsys, "fit", path) == f"diabolo: {path}: {sentence}"


def test_pairs_without_noise_are_no_error(pairs, tmp_path):
    shutil.copytree(pairs / "clean", tmp_path / "clean")
    words = ["--noisy", tmp_path / "clean", "--clean", pairs / "clean", "--epochs", 1]
    assert run("fit", "ae-32", *words, "--out", tmp_path / "run") == 0
    assert numbers(tmp_path / "run")["test"]["noisy_mse"] == 0
    assert Path(tmp_path / "run" / "report.html").is_file()
