"""New digits: their law as a file, what `generate` writes, and how good they are."""

import warnings

import numpy as np
import pytest
import torch

import diabolo
from diabolo import Autoencoder, LatentSampler, store
from diabolo.cli import main
from diabolo.data import load_mnist
from diabolo.errors import InputError
from diabolo.metrics import frechet_distance
from diabolo.tasks import digits as judge
from diabolo.tasks import sampling
from diabolo.tasks.evaluation import shown

TINY = ["--data", "mnist:test:200", "--epochs", "1", "--hidden", "8", "--latent-dim", "3"]


@pytest.fixture(scope="module")
def held_out():
    _, (x, y) = load_mnist()
    return x[:1000], y[:1000]


@pytest.fixture(scope="module")
def sampler(held_out):
    x = held_out[0][:300]
    model = Autoencoder(latent_dim=3, hidden=(8,), epochs=1, random_state=0, device="cpu").fit(x)
    return LatentSampler(model, components=4, random_state=0).fit(x)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    assert main(["fit", "ae-32-fast", "--out", str(folder), *TINY]) == 0
    return folder


# ---- how good digits are


def test_frechet_distance_of_diagonal_gaussians_is_the_closed_form():
    """|m - n|^2 + sum_k (s_k - t_k)^2, for samples whose moments are exactly these."""
    draw = np.random.default_rng(0)
    z = draw.normal(size=(50, 6))
    z = np.linalg.qr(z - z.mean(axis=0))[0] * np.sqrt(49)
    s, t, m, n = draw.random((4, 6)) + 0.5
    wanted = ((m - n) ** 2).sum() + ((s - t) ** 2).sum()
    assert frechet_distance(z * s + m, z * t + n) == pytest.approx(wanted, rel=1e-9)


def test_frechet_distance_of_equal_sets_is_0_and_turning_both_changes_nothing():
    draw = np.random.default_rng(0)
    a, b = draw.normal(size=(80, 5)), 2 * draw.normal(size=(60, 5)) @ draw.normal(size=(5, 5))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    flat = np.c_[a, np.zeros(80)]
    assert frechet_distance(flat, flat) == pytest.approx(0, abs=1e-9)
    turn = np.linalg.qr(draw.normal(size=(5, 5)))[0]
    assert frechet_distance(a @ turn, b @ turn) == pytest.approx(frechet_distance(a, b))
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))


def test_the_classifier_tells_test_digits_right(held_out):
    x, y = held_out
    found = judge.probabilities(x)
    assert found.shape == (1000, 10)
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5)
    assert (found.argmax(axis=1) == y).mean() >= 0.985
    seen = judge.features(x[:20])
    assert seen.shape == (20, 64)
    for same in (x[:20] / 255, x[:20, None], x[:20].astype(np.float32)):
        assert np.allclose(judge.features(same), seen, atol=1e-5)


def test_quality_tells_digits_from_noise_and_one_class_from_ten(held_out):
    x, y = held_out
    good = judge.quality(x[:500], x[500:])
    noise = np.random.default_rng(0).integers(0, 256, (200, 28, 28), dtype=np.uint8)
    bad, ones = judge.quality(noise, x[500:]), judge.quality(x[y == 1], x[500:])
    assert 10 * good["frechet"] < min(bad["frechet"], ones["frechet"])
    assert good["confidence"] > 0.97
    assert good["balance"] > 0.98
    assert ones["balance"] < 0.2
    assert np.argmax(ones["classes"]) == 1


# ---- the law as a file


def test_a_sampler_comes_back_from_its_file(sampler, held_out, tmp_path):
    path, again = tmp_path / "s.safetensors", tmp_path / "again.safetensors"
    sampler.save(path)
    loaded = diabolo.load(path)
    assert isinstance(loaded, LatentSampler)
    one, two = (s.sample(20, temperature=0.8, random_state=3) for s in (sampler, loaded))
    assert np.array_equal(one, two)
    x = held_out[0][:50]
    assert np.array_equal(sampler.score_samples(x), loaded.score_samples(x))
    loaded.save(again)
    assert again.read_bytes() == path.read_bytes()


def change(name, function):
    def damage(config, tensors):
        tensors[f"sampler {name}"] = function(tensors[f"sampler {name}"].clone())

    return damage


DAMAGE = {
    "a tensor less": (lambda c, t: t.pop("sampler means"), "the tensors of its sampler do not"),
    "another shape": (change("weights", lambda w: w[:-1]), "the tensors of its sampler do not"),
    "float32": (change("means", torch.Tensor.float), "its sampler has values that are none."),
    "NaN": (change("center", lambda m: m * torch.nan), "its sampler has values that are none."),
    "half": (change("weights", lambda w: w / 2), "the weights of its sampler are no"),
    "a negative scale": (change("scale", lambda s: -s), "the scale of its sampler is negative."),
    "lopsided": (
        change("covariances", lambda c: c + torch.ones(3, 3).triu(1)),
        "the covariances of its sampler are not symmetric.",
    ),
    "indefinite": (
        change("covariances", lambda c: c - 9 * torch.eye(3)),
        "the covariances of its sampler are not positive definite.",
    ),
    "another count": (
        lambda c, t: c["sampler"].update(components=5),
        "the tensors of its sampler do not",
    ),
    "another law": (lambda c, t: c["sampler"].update(law="normal"), "law must be one of"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_sampler_is_refused(name, sampler, tmp_path):
    path = tmp_path / "s.safetensors"
    sampler.save(path)
    config, tensors = store.read(path)
    damage, words = DAMAGE[name]
    damage(config, tensors)
    store.write(path, config, tensors)
    with pytest.raises(InputError) as error:
        diabolo.load(path)
    assert str(error.value).startswith(f"{path} is damaged: ")
    assert words in str(error.value)


def test_wide_codes_are_refused_before_they_are_computed(sampler, monkeypatch):
    wide = LatentSampler(sampler.model_, law="gaussian")
    monkeypatch.setattr(sampler.model_, "code_size_", 2049)
    monkeypatch.setattr(sampling, "_codes", None)
    with pytest.raises(InputError, match="Codes of 2049 numbers are too wide for a full cov"):
        wide.fit(np.zeros((4, 28, 28), np.uint8))


# ---- the command


def generate(*words):
    return main(["generate", *map(str, words)])


@pytest.mark.usefixtures("drawn")
def test_a_run_without_a_prior_is_sampled_by_a_mixture(run_folder, tmp_path, capsys):
    one, two, three = (tmp_path / f"{name}.png" for name in "abc")
    assert generate(run_folder, "-n", 9, "--out", one, "--nearest") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == (
        "tiny has no prior: codes are drawn from a mixture of 9 Gaussians fitted to those of its"
        " training data."
    )
    assert "of the new samples are as near to a training sample as 1% of the test" in said[1]
    assert "the median distance (Euclidean, in the units of the data) is" in said[1]
    assert said[2:] == [str(one), str(tmp_path / "a-nearest.png")]
    assert (tmp_path / "a-nearest.png").is_file()
    assert generate(run_folder, "-n", 9, "--out", two) == 0
    assert generate(run_folder, "-n", 9, "--out", three, "--seed", 1) == 0
    assert one.read_bytes() == two.read_bytes() != three.read_bytes()


def test_arithmetic_of_images_is_that_of_their_codes(run_folder, tmp_path, monkeypatch):
    given, out = [f"mnist:test:{n}-{n}" for n in (0, 1, 2)], tmp_path / "o.png"
    assert main(["arithmetic", str(run_folder), *given, "--out", str(out)]) == 0
    assert out.is_file()
    drawn = []
    monkeypatch.setattr("diabolo.figures.neighbours", lambda images, _: drawn.append(images))
    monkeypatch.setattr("diabolo.report.write_picture", lambda _, draw: draw())
    assert main(["arithmetic", str(run_folder), *given, "--out", str(out), "--force"]) == 0
    model, x = diabolo.load(run_folder / "model.safetensors"), load_mnist()[1][0][:3]
    a, b, c = model.transform(x)
    wanted = model.inverse_transform((a - b + c)[None])
    np.testing.assert_allclose(drawn[0][3], shown(model, wanted)[0], atol=1e-4)


def test_a_saved_law_is_sampled_as_the_fitted_one(run_folder, tmp_path):
    law, one, two = tmp_path / "law.safetensors", tmp_path / "1.npy", tmp_path / "2.npy"
    words = ("--law", "gaussian", "-n", 5)
    assert generate(run_folder, *words, "--save", law, "--out", one) == 0
    assert generate(law, "-n", 5, "--out", two) == 0
    assert one.read_bytes() == two.read_bytes()
    assert main(["encode", str(law), "mnist:test:3", "--out", str(tmp_path / "z.npy")]) == 0
    assert np.load(tmp_path / "z.npy").shape == (3, 3)


def test_a_model_file_is_told_its_data(run_folder, tmp_path, capsys):
    model, out = tmp_path / "m.safetensors", tmp_path / "new.npy"
    model.write_bytes((run_folder / "model.safetensors").read_bytes())
    words = ("--data", "mnist:test:100", "--components", 2, "-n", 3, "--nearest")
    assert generate(model, *words, "--out", out) == 0
    said = capsys.readouterr().out
    assert "a mixture of 2 Gaussians fitted to those of mnist:test:100." in said
    assert "The nearest sample of mnist:test:100 is " in said
    assert np.load(out).shape == (3, 28, 28)


MISTAKES = {
    "--law normal": "--law must be one of prior, gaussian, mixture, but is 'normal'; see diabolo"
    " generate --help.",
    "--law prior": "RUN has no prior: give --law mixture or gaussian.",
    "--law gaussian --components 3": "--components are of a mixture: leave them out of a"
    " gaussian.",
    "--components 200": "A mixture of 200 components needs at least 400 samples, but X has 180:"
    " give more, or fewer components.",
    "--save o.png": "The samples and their law would be one file: give another --save.",
    "--save law.txt": "A law goes to a .safetensors file, not 'law.txt'.",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_gets_one_sentence_and_writes_nothing(
    words, run_folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert generate(run_folder, *words.split(), "--out", "o.png") == 2
    sentence = MISTAKES[words].replace("RUN", str(run_folder))
    assert capsys.readouterr().err == f"diabolo: {sentence}\n"
    assert not list(tmp_path.iterdir())


def test_a_lone_model_and_a_law_have_their_own_sentences(sampler, tmp_path, capsys):
    model, law, out = (tmp_path / name for name in ("m.safetensors", "l.safetensors", "o.png"))
    sampler.model_.save(model)
    sampler.save(law)
    assert generate(model, "--out", out) == 2
    sentence = "is in no run folder that knows its training data: give --data INPUT."
    assert capsys.readouterr().err == f"diabolo: {model} {sentence}\n"
    assert generate(law, "--components", 3, "--out", out) == 2
    sentence = "has its law: leave out --law and --components."
    assert capsys.readouterr().err == f"diabolo: {law} {sentence}\n"
    assert not out.exists()


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((2, 8, 8)), "Digits are (N, 28, 28) numbers, not float64 of shape (2, 8, 8)."),
        (np.zeros((2, 3, 28, 28)), "Digits have one channel, not 3: give them in grey."),
        (np.zeros((0, 28, 28)), "There are no digits: give at least one."),
        (
            np.full((2, 28, 28), np.nan),
            "The digits hold NaN or infinity: leave those samples out.",
        ),
    ],
    ids=["small", "colour", "none", "NaN"],
)
def test_what_is_no_digit_is_refused(images, words):
    with warnings.catch_warnings(), pytest.raises(InputError) as error:
        judge.features(images)
    assert str(error.value) == words


def test_frechet_distance_refuses_features_that_do_not_fit():
    with pytest.raises(InputError, match=r"these are \(3, 2\) and \(3, 4\)"):
        frechet_distance(np.zeros((3, 2)), np.zeros((3, 4)))
    with pytest.raises(InputError, match="The features hold NaN or infinity"):
        frechet_distance(np.full((3, 2), np.nan), np.zeros((3, 2)))
