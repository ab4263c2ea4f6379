"""Learning to denoise from noisy images alone, and what can be said of the result."""

import json

import numpy as np
import pytest
import torch
from conftest import failed, run
from PIL import Image
from scipy.ndimage import gaussian_filter

from diabolo import Autoencoder, load, metrics, noise, recipes
from diabolo.commands import runs
from diabolo.commands.training import changed
from diabolo.corruption import GaussianNoise, Recorrupted
from diabolo.data import cut
from diabolo.errors import InputError
from diabolo.tasks.denoising import denoise
from diabolo.tasks.evaluation import evaluate, outcome, quality
from diabolo.train import generator

STD = 25


def shapes(n, *sides, seed=0):
    """Smooth images with edges, in 0 to 255."""
    random = np.random.default_rng(seed)
    fields, steps = (
        gaussian_filter(random.standard_normal((n, *sides)), (*(0,) * (len(sides) - 1), s, s))
        for s in (4, 5)
    )
    return 128 + 25 * fields / fields.std() + 40 * ((steps > 0) - 0.5)


def with_noise(clean, seed, std=STD):
    noise = std * np.random.default_rng(seed).standard_normal(clean.shape)
    return (clean + noise).clip(0, 255).round().astype(np.uint8)


def psnr(images, clean):
    return metrics.psnr(metrics.mse(images / 255, clean / 255))


CLEAN, TEST = shapes(500, 16, 16), shapes(100, 32, 32, seed=1)
NOISY, NOISY_TEST = with_noise(CLEAN, 2), with_noise(TEST, 3)


def fitted(X, corruption, **given):
    small = {"hidden": (16, 16), "batch_size": 8, "epochs": 8, "learning_rate": 5e-3}
    plain = {"network": "residual", "latent_dim": None, "schedule": "one_cycle", "device": "cpu"}
    return Autoencoder(corruption=corruption, random_state=0, **plain | small | given).fit(X)


@pytest.fixture(scope="module")
def alone():
    return fitted(NOISY, Recorrupted())


# ---- the corruption


def test_the_noises_of_source_and_target_are_independent_and_of_known_variance():
    clean = torch.linspace(0.1, 0.9, 40).repeat(4000, 1, 10, 1)
    draw = torch.Generator().manual_seed(0)
    noise = (0.05**2 + 0.02 * clean).sqrt() * torch.randn(clean.shape, generator=draw)
    found = Recorrupted(0.05, gain=0.02, strength=(0.7, 0.7)).corrupt(
        clean + noise, generator(0, "noise"), 0.0, 1.0
    )
    first, second = (part.double() - clean for part in (found.x, found.target))
    variance = 0.05**2 + 0.02 * clean[0, 0, 0].double()
    for part, factor in ((first, 1 + 0.7**2), (second, 1 + 0.7**-2)):
        spread = part.square().mean((0, 1, 2))
        torch.testing.assert_close(spread, factor * variance, rtol=0.03, atol=0)
    scale = (first.square().mean() * second.square().mean()).sqrt()
    assert (first * second).mean().abs() < 4 * scale / first.numel() ** 0.5
    level = (1.49 * variance.mean()) ** 0.5
    assert found.level.mean().item() == pytest.approx(level.item(), rel=0.04)


@pytest.mark.parametrize(("std", "gain"), [(5, 0.0), (25, 0.0), (3, 1.0)])
def test_the_noise_of_images_is_found(std, gain):
    clean = shapes(40, 3, 64, 64).clip(0, 255)
    draw = np.random.default_rng(0).standard_normal(clean.shape)
    noisy = (clean + np.sqrt(std**2 + gain * clean) * draw).clip(0, 255).round()
    found = noise.estimate(noisy)
    for bright in (60, 128, 200):
        wanted = np.sqrt(std**2 + gain * bright)
        assert np.sqrt(found.floor + found.slope * bright) == pytest.approx(wanted, rel=0.1)


def test_what_is_given_of_the_noise_is_taken():
    model = fitted(NOISY[:40], Recorrupted(0.2, gain=0.0), epochs=1)
    assert model.net_.corruption.get_params()["level"] == 0.2
    model = fitted(NOISY[:200], Recorrupted(gain=0.0), epochs=1)
    assert model.net_.corruption.level == pytest.approx(STD / 255, rel=0.1)
    assert model.fitted_config_["corruption"]["level"] == model.net_.corruption.level
    with pytest.raises(InputError, match="too small to tell its noise"):
        fitted(NOISY[:40, :6, :6], Recorrupted(), epochs=1)


def test_it_learns_nearly_as_much_as_from_clean_images(alone, tmp_path):
    taught = fitted(CLEAN, GaussianNoise(STD / 255))
    by_itself, by_clean = (psnr(denoise(m, NOISY_TEST), TEST) for m in (alone, taught))
    assert by_clean > psnr(NOISY_TEST, TEST) + 5
    assert by_itself > by_clean - 1
    alone.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors", device="cpu")
    np.testing.assert_array_equal(denoise(again, NOISY_TEST), denoise(alone, NOISY_TEST))
    assert again.net_.corruption.level == alone.net_.corruption.level


def test_a_warm_start_and_a_checkpoint_keep_the_noise(tmp_path):
    given = {"corruption": Recorrupted(), "hidden": (4,), "latent_dim": None, "epochs": 1}
    model = Autoencoder(network="residual", warm_start=True, random_state=0, **given)
    first = model.fit(NOISY, checkpoint=tmp_path).net_.corruption.level
    assert model.fit(NOISY[:50]).net_.corruption.level == first
    again = Autoencoder(network="residual", random_state=0, **given).fit(
        NOISY, checkpoint=tmp_path
    )
    assert again.net_.corruption.level == first


# ---- what is said of it


def test_the_estimate_is_the_error_against_the_clean_images(alone, monkeypatch):
    monkeypatch.setattr(alone.net_, "corruption", Recorrupted(STD / 255, gain=0.0))
    patches, clean = NOISY_TEST[:, 8:24, 8:24], TEST[:, 8:24, 8:24]
    numbers = evaluate(alone, patches, NOISY)
    assert set(numbers) == {"test"}
    assert not {"mse", "psnr", "ssim", "noisy_mse", "nll"} & set(numbers["test"])
    true = metrics.mse(alone.reconstruct(patches) / 255, clean / 255)
    assert numbers["test"]["estimated_mse"] == pytest.approx(true, rel=0.15)
    before = metrics.mse(patches / 255, clean / 255)
    assert numbers["test"]["estimated_noisy_mse"] == pytest.approx(before, rel=0.1)


def test_two_shots_tell_the_error_of_either():
    other = with_noise(CLEAN, 5)
    model = fitted(NOISY, GaussianNoise(STD / 255), epochs=1)
    assert "mse" in evaluate(model, other, noisy_test=NOISY)["test"]
    found = quality(model, outcome(model, other, noisy=NOISY, without_clean=True))
    true = metrics.mse(model.reconstruct(NOISY) / 255, CLEAN / 255)
    assert found["estimated_mse"] == pytest.approx(true, rel=0.1)
    assert "mse" not in found


# ---- the command


def folder_of(path, images):
    path.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(path / f"{number}.png")
    return path


SMALL = ("--hidden", "8,8", "--epochs", "2", "--patch-size", "16", "--learning-rate", "5e-3")


@pytest.mark.usefixtures("drawn")
def test_fit_without_clean_in_colour_and_denoise(tmp_path, capsys):
    clean = np.stack([shapes(6, 60, 70, seed=s) for s in range(3)], -1)
    noisy = folder_of(tmp_path / "noisy", with_noise(clean, 0))
    words = ("--data", noisy, "--without-clean", "--patches", 400, *SMALL)
    assert run("fit", "photo-dae", *words, "--out", tmp_path / "run") == 0
    said = capsys.readouterr().out
    assert "There are no clean images to compare with." in said
    assert "corruption recorrupted (level 0." in said
    numbers = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert "linear" not in numbers
    assert set(numbers["test"]) == {
        *("estimated_mse", "estimated_psnr", "estimated_noisy_mse", "estimated_noisy_psnr")
    }
    report = (tmp_path / "run" / "report.html").read_text()
    assert "what was taken away" in report
    assert not (tmp_path / "run" / "figures" / "error_histogram.png").exists()
    assert run("denoise", tmp_path / "run", noisy / "0.png", "--out", tmp_path / "c.png") == 0
    cleaned = np.asarray(Image.open(tmp_path / "c.png"), float)
    assert psnr(cleaned, clean[0]) > psnr(with_noise(clean, 0)[0], clean[0]) + 1
    for command in ("denoise", "reconstruct"):
        given = (tmp_path / "run", noisy / "0.png", "--corrupt", "--out", tmp_path / "d.png")
        assert "there are no clean ones to corrupt" in failed(capsys, command, *given)


def test_two_noisy_shots_teach_each_other(tmp_path, capsys):
    clean = shapes(40, 16, 16)
    one, two = (folder_of(tmp_path / str(n), with_noise(clean, n)) for n in (1, 2))
    plan = changed(
        recipes.read("photo-dae"),
        {},
        {"noisy": str(one), "clean": str(two), "without_clean": True}
        | {"patches": 50, "patch_size": 12},
    )
    pieces = cut(runs.load_split(plan, 0).samples)
    assert len(pieces.array) == 100
    np.testing.assert_array_equal(pieces.array[:50], pieces.noisy[50:])
    np.testing.assert_array_equal(pieces.array[50:], pieces.noisy[:50])
    words = ("--noisy", one, "--clean", two, "--without-clean", "--patches", 200, *SMALL)
    assert run("fit", "photo-dae", *words, "--out", tmp_path / "run") == 0
    numbers = json.loads((tmp_path / "run" / "metrics.json").read_text())["test"]
    assert numbers["estimated_noisy_mse"] == pytest.approx((STD / 255) ** 2, rel=0.2)
    assert "mse" not in numbers


def test_another_corruption_is_refused(tmp_path, capsys):
    folder = folder_of(tmp_path / "in", with_noise(shapes(2, 40, 40), 0))
    words = ("--data", folder, "--without-clean", "--corruption", "blur")
    said = failed(capsys, "fit", "photo-dae", *words, "--out", tmp_path / "run")
    assert "--without-clean goes with the corruption recorrupted: leave --corruption blur" in said
    (tmp_path / "r.toml").write_text('base = "photo-dae"\n[data]\nwithout_clean = 1')
    said = failed(capsys, "fit", tmp_path / "r.toml", "--out", tmp_path / "run")
    assert "without_clean must be true or false, but is 1." in said
    (tmp_path / "r.toml").write_text('base = "photo-dae"\n[data]\nwithout_clean = true')
    plan = changed(recipes.read(tmp_path / "r.toml"), {}, {"source": str(folder)})
    assert plan.model["corruption"] == {"kind": "recorrupted"}
