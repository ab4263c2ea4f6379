"""New samples from codes: their law, the ways between samples, and what is a copy."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from torch import nn

from diabolo import VAE, Autoencoder, LatentSampler
from diabolo.cli import main
from diabolo.data import load_mnist
from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.tasks.sampling import combine, copies, interpolate, nearest, slerp

SEED = {"random_state": 0}
DRAWN = 40_000
SIZES = (120, 200, 280)  # of the blobs


@pytest.fixture(scope="module")
def blobs():
    """Rows of two numbers around three places, float32 (600, 2)."""
    draw = np.random.default_rng(0)
    places = np.array([[0, 0], [8, 1], [-2, 9]])
    return (np.repeat(places, SIZES, axis=0) + draw.normal(size=(600, 2))).astype(np.float32)


@pytest.fixture(scope="module")
def linear(blobs):
    """A model whose codes of (a, b) are (a, b, a, 3): one is a repetition, one is dead."""
    encoder, decoder = nn.Linear(2, 4), nn.Linear(4, 2)
    with torch.no_grad():
        encoder.weight.copy_(torch.tensor([[1, 0], [0, 1], [1, 0], [0, 0]]))
        encoder.bias.copy_(torch.tensor([0, 0, 0, 3]))
        decoder.weight.copy_(torch.tensor([[1, 0, 0, 0], [0, 1, 0, 0]]))
        decoder.bias.zero_()
    still = {"optimizer": "sgd", "learning_rate": 1e-30, "epochs": 1, "scaling": None}
    return Autoencoder(network=(encoder, decoder), **still, **SEED).fit(blobs)


@pytest.fixture(scope="module")
def gaussian(linear, blobs):
    return LatentSampler(model=linear, law="gaussian", **SEED).fit(blobs)


@pytest.fixture(scope="module")
def mixture(linear, blobs):
    return LatentSampler(model=linear, components=3, **SEED).fit(blobs)


@pytest.fixture(scope="module")
def shallow():
    """A little trained model of digits."""
    x = load_mnist()[0][0][:2000]
    return Autoencoder(latent_dim=8, hidden=(32,), code_activation="relu", epochs=2, **SEED).fit(x)


@pytest.fixture(scope="module")
def vae():
    return VAE(latent_dim=3, hidden=(16,), epochs=1, **SEED).fit(load_mnist()[0][0][:500])


def parts(blobs):
    return np.split(blobs, np.cumsum(SIZES)[:2])


def spread(z):
    return np.cov(z[:, :2].astype(np.float64), rowvar=False)


# ---- the law of the codes


def test_the_mean_and_covariance_of_new_codes_are_those_of_the_codes(linear, gaussian, blobs):
    z, new = linear.transform(blobs), gaussian.sample_codes(DRAWN, random_state=1)
    assert new.dtype == np.float32
    deviation = z[:, :3].std(axis=0) / np.sqrt(DRAWN)
    assert (np.abs(new[:, :3].mean(axis=0) - z[:, :3].mean(axis=0)) < 4 * deviation).all()
    wanted = np.cov(z[:, :2].astype(np.float64), rowvar=False, bias=True)
    variance = np.outer(np.diag(wanted), np.diag(wanted)) + wanted**2
    assert (
        np.abs(spread(new) - wanted) < 4 * np.sqrt(variance / DRAWN) + 2e-4 * wanted[0, 0]
    ).all()


def test_a_repeated_code_stays_one_and_a_dead_one_keeps_its_value(gaussian, mixture):
    for sampler in (gaussian, mixture):
        z = sampler.sample_codes(1000, random_state=0)
        assert (z[:, 3] == 3).all()
        assert np.corrcoef(z[:, 0], z[:, 2])[0, 1] > 0.999


def test_a_mixture_finds_the_places(linear, mixture, blobs):
    z = mixture.sample_codes(DRAWN, random_state=1)[:, :2]
    known = [blob.mean(axis=0) for blob in parts(blobs)]
    place = np.linalg.norm(z[:, None] - known, axis=2).argmin(axis=1)
    for k in range(3):
        part = z[place == k]
        assert abs(len(part) / DRAWN - SIZES[k] / 600) < 0.01
        assert np.allclose(part.mean(axis=0), known[k], atol=0.05)
        assert np.allclose(spread(part), np.cov(parts(blobs)[k].T), atol=0.1)


def test_temperature_0_gives_the_means(linear, gaussian, mixture, blobs):
    z = gaussian.sample_codes(5, temperature=0, random_state=0)
    assert np.allclose(z, linear.transform(blobs).mean(axis=0), atol=1e-5)
    z = mixture.sample_codes(100, temperature=0, random_state=0)
    known = [blob.mean(axis=0) for blob in parts(blobs)]
    assert len(np.unique(z, axis=0)) == 3
    assert (np.linalg.norm(z[:, None, :2] - known, axis=2).min(axis=1) < 0.1).all()


@pytest.mark.parametrize("temperature", [0.3, 2.5])
def test_temperature_scales_the_covariance_by_its_square(gaussian, mixture, temperature):
    for sampler in (gaussian, mixture):
        cold, one, hot = (
            sampler.sample_codes(500, temperature=t, random_state=2).astype(np.float64)
            for t in (0, 1, temperature)
        )
        assert np.allclose(hot - cold, temperature * (one - cold), atol=1e-4)
        assert np.allclose(spread(hot - cold), temperature**2 * spread(one - cold), rtol=1e-4)


def test_the_log_density_is_that_of_the_law(linear, gaussian, blobs):
    sampler = LatentSampler(model=linear, components=3, **SEED).fit(blobs)
    twin = torch.from_numpy(blobs)
    assert torch.is_tensor(sampler.score_samples(twin))
    assert np.array_equal(sampler.score_samples(twin).numpy(), sampler.score_samples(blobs))
    assert sampler.score_samples(blobs).mean() > gaussian.score_samples(blobs).mean() + 1
    far = blobs[:1] + 100
    assert sampler.score_samples(far)[0] < sampler.score_samples(blobs).min()


def test_the_log_density_is_in_the_units_of_the_codes(blobs):
    """A linear code of full rank: against torch's multivariate normal."""
    model = Autoencoder(latent_dim=2, hidden=(), scaling=None, epochs=1, **SEED).fit(blobs)
    z = torch.from_numpy(model.transform(blobs)).double()
    law = torch.distributions.MultivariateNormal(z.mean(0), torch.cov(z.T, correction=0))
    sampler = LatentSampler(model=model, law="gaussian").fit(blobs)
    assert np.allclose(sampler.score_samples(blobs), law.log_prob(z), atol=0.01)


def test_samples_have_the_shape_and_the_units_of_the_data(shallow):
    x = load_mnist()[0][0][:1000]
    sampler = LatentSampler(model=shallow, components=4, **SEED).fit(x)
    new = sampler.sample(50, random_state=0)
    assert new.shape == (50, 28, 28)
    assert new.dtype == np.float32
    assert 100 < new.max() <= 255
    codes = sampler.sample_codes(50, random_state=0)
    assert np.array_equal(new, shallow.inverse_transform(codes))


def test_a_seed_decides_and_the_global_state_is_left_alone(linear, blobs, untouched):
    with untouched():
        one, two = (LatentSampler(model=linear, components=3, **SEED).fit(blobs) for _ in "ab")
        first, other = one.sample(9, **SEED), one.sample(9)
        assert np.array_equal(first, two.sample(9, **SEED))
        assert not np.array_equal(first, other)
        copied = pickle.loads(pickle.dumps(one))
        assert np.array_equal(first, copied.sample(9, **SEED))
        assert np.array_equal(one.score_samples(blobs), two.score_samples(blobs))
        large = LatentSampler(model=linear, components=3, random_state=2**63 - 1).fit(blobs)
        assert large.sample(random_state=2**63 - 1).shape == (1, 2)


def test_a_failed_fit_leaves_the_sampler_as_it_was(linear, blobs):
    sampler = LatentSampler(model=linear, components=3, **SEED).fit(blobs)
    before = sampler.sample(4, **SEED)
    with pytest.raises(InputError):
        sampler.fit(blobs[:2])
    assert np.array_equal(sampler.sample(4, **SEED), before)


def test_the_temperature_of_a_prior_scales_its_codes(vae):
    plain = vae.sample(6, random_state=3)
    assert np.array_equal(plain, vae.sample(6, random_state=3, temperature=1))
    mean = vae.inverse_transform(np.zeros((1, 3)))
    assert np.array_equal(vae.sample(6, temperature=0), np.repeat(mean, 6, axis=0))
    cooler = vae.sample(6, random_state=3, temperature=0.5)
    assert np.linalg.norm(cooler - mean) < np.linalg.norm(plain - mean)


# ---- between samples


def test_slerp_keeps_the_norm_the_ends_and_the_speed():
    draw = np.random.default_rng(0)
    for size in (2, 3, 32):
        a, b = (7 * v / np.linalg.norm(v) for v in draw.normal(size=(2, size)))
        a, b = a.astype(np.float32), b.astype(np.float32)
        z = slerp(a, b, 9)
        assert np.array_equal(z[0], a)
        assert np.array_equal(z[-1], b)
        assert np.allclose(np.linalg.norm(z, axis=1), 7, rtol=1e-5)
        units = z.astype(np.float64) / np.linalg.norm(z, axis=1, keepdims=True)
        angles = np.arccos((units[1:] * units[:-1]).sum(axis=1))
        total = np.arccos(units[0] @ units[-1])
        assert np.allclose(angles, total / 8, rtol=1e-3)


@pytest.mark.parametrize(
    ("a", "b"),
    [((1, 2), (2, 4)), ((1, 2), (1, 2)), ((1, 2), (-3, -6)), ((0, 0), (1, 2)), ((0, 0), (0, 0))],
    ids=["one direction", "one code", "opposite", "from 0", "only 0"],
)
def test_slerp_is_a_line_where_there_is_no_arc(a, b):
    a, b = np.array(a, np.float32), np.array(b, np.float32)
    assert np.allclose(slerp(a, b, 5), np.linspace(a, b, 5), atol=1e-6)


@pytest.mark.parametrize("spherical", [False, True])
def test_interpolation_goes_from_reconstruction_to_reconstruction(shallow, digits, spherical):
    between = interpolate(shallow, digits[0], digits[1], 5, spherical=spherical)
    assert between.shape == (5, 28, 28)
    assert np.array_equal(between[[0, -1]], shallow.reconstruct(digits[:2]))
    tensors = torch.from_numpy(digits)
    again = interpolate(shallow, tensors[0], tensors[1], 5, spherical=spherical)
    assert np.array_equal(between, again)


def test_linear_and_spherical_differ(shallow, digits):
    line, arc = (interpolate(shallow, *digits[:2], 3, spherical=s) for s in (False, True))
    assert np.abs(line[1] - arc[1]).max() > 0.01


def test_what_is_added_and_taken_away_is_nothing(shallow, digits):
    a, b, c = digits[:3]
    wanted = shallow.reconstruct(digits[:1])[0]
    assert np.allclose(combine(shallow, plus=[a, b], minus=[b]), wanted, atol=1e-3)
    assert np.allclose(combine(shallow, [a, b, c], digits[1:3]), wanted, atol=1e-3)
    assert np.allclose(combine(shallow, [torch.from_numpy(a)]), wanted, atol=1e-3)
    assert not np.allclose(combine(shallow, [a, b]), wanted, atol=10)


def test_arithmetic_is_that_of_a_linear_code(linear, blobs):
    a, b, c = blobs[[0, 200, 599]]
    assert np.allclose(combine(linear, [a, b], [c]), a + b - c, atol=1e-5)


# ---- copies


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_nearest_is_what_brute_force_finds(dtype):
    draw = np.random.default_rng(0)
    a, x = (draw.integers(0, 256, (n, 3, 5)).astype(dtype) for n in (40, 9000))
    found = nearest(a, x)
    difference = a.reshape(40, 1, 15).astype(float) - x.reshape(1, 9000, 15)
    distances = np.linalg.norm(difference, axis=2)
    assert np.allclose(found.distances, distances.min(axis=1), rtol=1e-6)
    assert np.allclose(distances[np.arange(40), found.indices], found.distances)


def test_nearest_finds_every_row_itself_also_far_from_0():
    x = np.random.default_rng(0).normal(size=(5000, 6)) + 1e6
    order = np.random.default_rng(1).permutation(5000)
    found = nearest(x[order], torch.from_numpy(x))
    assert np.array_equal(found.indices, order)
    assert not found.distances.any()


def test_copies_are_told_from_test_images():
    x, test = load_mnist()[0][0][:6000], load_mnist()[1][0][:1000]
    assert copies(x[:300], x, test)["share_near"] == 1
    noisy = x[:300] + np.random.default_rng(0).normal(size=x[:300].shape)
    assert copies(noisy, x, test)["share_near"] > 0.95
    honest = copies(test[500:], x, test[:500])
    assert honest["share_near"] < 0.05
    assert honest["samples_median"] == pytest.approx(honest["test_median"], rel=0.1)
    same = copies(test, x, test)
    assert same["share_near"] == pytest.approx(0.01, abs=0.001)


# ---- mistakes

ROWS = np.zeros((3, 5), np.float32)
NUMBER = "temperature must be a number of at least 0, but is {}."
MISTAKES = {
    "no model": (
        lambda s, x: LatentSampler(model=None).fit(x),
        "model must be an Estimator (KINDS), but is None.",
    ),
    "an unknown law": (
        lambda s, x: LatentSampler(model=s.model, law="normal").fit(x),
        "law must be one of 'gaussian', 'mixture', but is 'normal'.",
    ),
    "no components": (
        lambda s, x: LatentSampler(model=s.model, components=0).fit(x),
        "components must be an integer of at least 1, but is 0.",
    ),
    "too few samples": (
        lambda s, x: LatentSampler(model=s.model).fit(x[:63]),
        "A mixture of 32 components needs at least 64 samples, but X has 63: give more, or"
        " fewer components.",
    ),
    "one sample": (
        lambda s, x: LatentSampler(model=s.model, law="gaussian").fit(x[:1]),
        "A Gaussian needs at least 2 samples, but X has 1: give more.",
    ),
    "samples that are all one": (
        lambda s, x: LatentSampler(model=s.model, law="gaussian").fit(np.tile(x[:1], (9, 1))),
        "The codes of X are all the same, so they have no law: give samples that differ, or look"
        " at model.findings_.",
    ),
    "samples of another shape": (
        lambda s, x: s.fit(ROWS),
        "X has 5 features, but Autoencoder is expecting 2 features as input.",
    ),
    "n=0": (lambda s, x: s.sample(0), "n must be an integer of at least 1, but is 0."),
    "n=2.5": (lambda s, x: s.sample_codes(2.5), "n must be an integer of at least 1, but is 2.5."),
    **{
        f"temperature={t!r}": (
            lambda s, x, t=t: s.sample(temperature=t),
            NUMBER.format(repr(t)),
        )
        for t in (-1, float("nan"), float("inf"), "1", None)
    },
    "one step": (
        lambda s, x: interpolate(s.model, x[0], x[1], 1),
        "steps must be an integer of at least 2, but is 1.",
    ),
    "nothing to add": (
        lambda s, x: combine(s.model, [], [x[0]]),
        "plus has no samples: give at least one.",
    ),
    "one sample to add": (
        lambda s, x: combine(s.model, x[0]),
        "Reshape your data to 2 to 5 dimensions, one sample as X[None]: X has shape (2,).",
    ),
    "samples to add of several shapes": (
        lambda s, x: combine(s.model, [x[0], ROWS[0]]),
        "X is ragged: its samples differ in size, give them all the same.",
    ),
    "nearest of another shape": (
        lambda s, x: nearest(x, ROWS),
        "The samples have 2 features, but those of X have 5: compare samples of one shape.",
    ),
    "nearest in nothing": (
        lambda s, x: nearest(x, x[:0]),
        "X has no values: its shape is (0, 2).",
    ),
    "nearest in what is not finite": (
        lambda s, x: nearest(x, [[np.nan, 1], [2, 3]]),
        "X holds NaN, infinity or values above 1e+15: leave those samples out.",
    ),
    "nearest of one sample": (
        lambda s, x: nearest(x[0], x),
        "Reshape your data to 2 to 5 dimensions, one sample as X[None]: X has shape (2,).",
    ),
    "copies of what is no number": (
        lambda s, x: copies([["a"]], x, x),
        "X holds text: encode it as numbers.",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_raises_one_sentence(name, mixture, blobs):
    do, sentence = MISTAKES[name]
    sentence = sentence.replace("KINDS", ", ".join(Estimator.kinds()))
    with pytest.raises(InputError) as error:
        do(mixture, blobs)
    assert str(error.value) == sentence


@pytest.mark.parametrize("temperature", [-0.1, float("nan"), "1"])
def test_a_prior_refuses_a_temperature_that_is_none(vae, temperature):
    with pytest.raises(InputError, match=r"temperature must be a number of at least 0, but is"):
        vae.sample(temperature=temperature)


@pytest.mark.parametrize("use", ["sample", "sample_codes", "score_samples"])
def test_use_before_fit(linear, blobs, use):
    sampler = LatentSampler(model=linear)
    with pytest.raises(NotFittedError, match="This LatentSampler instance is not fitted yet"):
        getattr(sampler, use)(*([blobs] if use == "score_samples" else []))
    with pytest.raises(NotFittedError, match="This Autoencoder instance is not fitted yet"):
        LatentSampler(model=Autoencoder()).fit(blobs)


# ---- the command line


@pytest.mark.usefixtures("drawn")
def test_the_temperature_and_the_arc_reach_the_pictures(vae, digits, tmp_path, capsys):
    model, out = tmp_path / "m.safetensors", tmp_path / "new.npy"
    vae.save(model)
    words = ["generate", str(model), "-n", "3", "--seed", "4", "--temperature"]
    assert main([*words, "0.5", "--out", str(out)]) == 0
    wanted = vae.sample(3, temperature=0.5, random_state=4)
    assert np.allclose(np.load(out), wanted.clip(0, 255), atol=0.51)
    for i in range(2):
        Image.fromarray(digits[i]).save(tmp_path / f"{i}.png")
    words = ["interpolate", str(model), *(str(tmp_path / f"{i}.png") for i in range(2)), "--out"]
    line, arc = tmp_path / "line.png", tmp_path / "arc.png"
    assert main([*words, str(line)]) == 0
    assert main([*words, str(arc), "--spherical"]) == 0
    assert line.read_bytes() != arc.read_bytes()


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "warm"])
def test_a_mistaken_temperature_gets_one_sentence(text, capsys):
    assert main(["generate", "m", "--out", "o.npy", f"--temperature={text}"]) == 2
    sentence = f"--temperature must be a number of at least 0, but is {text!r}"
    assert capsys.readouterr().err == f"diabolo: {sentence}; see diabolo generate --help.\n"


def test_new_eight_by_eight_digits_are_near_the_old_and_no_copies():
    X = load_digits().data
    train, test = X[:1400], X[1400:]
    model = Autoencoder(latent_dim=8, hidden=(64,), epochs=30, random_state=0).fit(train)
    away = {}
    for law in ("gaussian", "mixture"):
        sampler = LatentSampler(model, law=law, components=16, random_state=0).fit(train)
        away[law] = copies(sampler.sample(400, random_state=0), train, test)
    assert away["mixture"]["samples_median"] < 0.9 * away["gaussian"]["samples_median"]
    assert away["mixture"]["samples_median"] < 1.1 * away["mixture"]["test_median"]
    assert away["mixture"]["share_near"] < 0.1
    assert copies(train[:100], train, test)["share_near"] == 1


@pytest.mark.parametrize("given", [(np.ones(2), np.ones(3), 4), (np.ones(2), np.ones(2), 1)])
def test_an_arc_needs_two_codes_and_two_steps(given):
    with pytest.raises(InputError, match="2 steps or more are needed"):
        slerp(*given)
