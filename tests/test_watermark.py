"""Watermarks: the formula, what lies outside the mark, and the error there."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from diabolo import Autoencoder, load
from diabolo.corruption import Blur, GaussianNoise, Watermark
from diabolo.errors import InputError
from diabolo.metrics import ssim
from diabolo.params import parse
from diabolo.tasks.evaluation import damage, evaluate, outcome, quality
from diabolo.train import generator

POSITIONS = ["fixed", "random", "tiled"]
SEED = torch.Generator


def images(n=30, channels=1, height=24, width=32, seed=0):
    return torch.rand(n, channels, height, width, generator=SEED().manual_seed(seed))


def marked(mark, x, seed=0, low=0.0, high=1.0):
    return mark.corrupt(x, generator(seed, "noise"), low, high)[:2]


def saved(tmp_path, pixels, name="mark.png"):
    Image.fromarray(np.asarray(pixels, np.uint8)).save(tmp_path / name)
    return str(tmp_path / name)


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_outside_the_mark_nothing_changes_and_inside_it_is_the_formula(position, channels):
    a, x = 0.6, images(channels=channels)
    mark = Watermark("NO", position=position, opacity=(a, a), rotation=(-20, 20), colour=0.8)
    y, m = marked(mark, x)
    assert m.shape == (30, 1, 24, 32)
    assert y.shape == x.shape
    outside = (m == 0).expand_as(x)
    assert 0.1 < outside.double().mean() < 0.98
    assert torch.equal(y[outside], x[outside])
    torch.testing.assert_close(y, (1 - a * m) * x + a * m * 0.8, atol=1e-6, rtol=0)
    assert 0.5 < m.max() <= 1
    assert m.min() == 0


def test_the_colour_is_measured_in_the_scaled_range():
    x = 2 * images() - 1
    y, m = marked(Watermark("NO", opacity=(1, 1), colour=0.75), x, low=-1.0, high=1.0)
    torch.testing.assert_close(y, (1 - m) * x + m * 0.5, atol=1e-6, rtol=0)


def test_opacities_are_spread_over_their_range():
    x = torch.zeros(2000, 1, 24, 32)
    y, m = marked(Watermark("NO", opacity=(0.3, 0.7)), x)
    a = y.flatten(1).amax(1) / m.flatten(1).amax(1)
    assert 0.3 <= a.min() < 0.305
    assert 0.695 < a.max() <= 0.7 + 1e-6
    assert a.mean().item() == pytest.approx(0.5, abs=4 * 0.4 / np.sqrt(12 * 2000))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_seed_decides_and_each_image_has_its_own_mark(channels):
    x, mark = images(channels=channels), Watermark("NO", rotation=(-30, 30))
    (first, m), (again, _), (other, _) = (marked(mark, x, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len({tuple(mask.flatten().tolist()) for mask in m}) == len(x)
    assert torch.equal(first, mark.corrupt(x, generator(0, "noise"), 0.0, 1.0).x)


def test_a_mark_that_is_fixed_lies_in_the_middle_and_has_its_width(tmp_path):
    square = saved(tmp_path, np.full((20, 40), 255))
    mark = Watermark(image=square, position="fixed", scale=(0.5, 0.5), opacity=(1, 1))
    _, m = marked(mark, torch.zeros(1, 1, 24, 32))
    expected = torch.zeros(24, 32)
    expected[8:16, 8:24] = 1  # 16 = 0.5 * 32 wide, half as high
    torch.testing.assert_close(m[0, 0], expected, atol=1e-5, rtol=0)


def test_a_random_mark_is_whole_and_its_width_is_of_the_range(tmp_path):
    square = saved(tmp_path, np.full((20, 40), 255))
    mark = Watermark(image=square, scale=(0.25, 0.75))
    _, m = marked(mark, torch.zeros(400, 1, 48, 64))
    widths = m.sum((1, 2, 3)).div(0.5).sqrt() / 64  # area: half the width squared
    assert 0.24 < widths.min() < 0.27
    assert 0.73 < widths.max() < 0.76
    middles = (m[:, 0].sum(1) * torch.arange(64)).sum(1) / m.sum((1, 2, 3))
    assert middles.min() < 15
    assert middles.max() > 48


def test_a_turned_mark_is_turned_against_the_clock(tmp_path):
    bar = saved(tmp_path, np.full((10, 100), 255))
    mark = Watermark(image=bar, position="fixed", scale=(0.8, 0.8), rotation=(45, 45))
    _, m = marked(mark, torch.zeros(1, 1, 41, 41))
    picture = m[0, 0]
    assert picture[10, 30] == pytest.approx(1, abs=1e-3)  # above and to the right of the middle
    assert picture[30, 10] == pytest.approx(1, abs=1e-3)
    assert picture[10, 10] == picture[30, 30] == 0
    upright = marked(Watermark(image=bar, position="fixed", scale=(0.8, 0.8)), m)[1]
    assert picture.sum().item() == pytest.approx(upright.sum().item(), rel=0.03)


def test_a_transparent_picture_keeps_its_colours(tmp_path):
    pixels = np.zeros((10, 20, 4), np.uint8)
    pixels[:, :10] = 255, 0, 0, 255
    pixels[:, 10:] = 0, 0, 255, 128
    mark = Watermark(image=saved(tmp_path, pixels), position="fixed", scale=(0.5, 0.5))
    mark.opacity = (1, 1)
    y, _ = marked(mark, torch.full((1, 3, 24, 40), 0.5))
    red, blue, clear = (y[0, :, 12, column] for column in (14, 26, 2))
    torch.testing.assert_close(red, torch.tensor([1.0, 0, 0]), atol=1e-5, rtol=0)
    half = 128 / 255
    expected = (1 - half) * 0.5 + half * torch.tensor([0.0, 0, 1])
    torch.testing.assert_close(blue, expected, atol=0.01, rtol=0)
    assert (clear == 0.5).all()
    gray = marked(mark, torch.full((1, 1, 24, 40), 0.5))[0]
    assert gray[0, 0, 12, 14].item() == pytest.approx(0.299, abs=1e-3)


def test_a_picture_that_changes_is_read_again(tmp_path):
    x = torch.zeros(1, 1, 16, 16)
    mark = Watermark(image=saved(tmp_path, np.full((8, 8), 255)), opacity=(1, 1))
    before = mark.corrupt(x, generator(0, "noise"), 0, 1).x
    saved(tmp_path, np.full((8, 8), 51))
    stamp = (tmp_path / "mark.png").stat().st_mtime_ns + 10**9
    os.utime(mark.image, ns=(stamp, stamp))
    after = mark.corrupt(x, generator(0, "noise"), 0, 1).x
    torch.testing.assert_close(after, before * 0.2, atol=1e-5, rtol=0)


def test_gradients_pass_the_mark():
    x = images(n=3).double().requires_grad_()
    y, m = marked(Watermark("NO", opacity=(0.5, 0.5)), x)
    y.sum().backward()
    torch.testing.assert_close(x.grad, 1 - 0.5 * m)


# ---- on an estimator


def remover(X, mark, **parameters):
    plain = {"latent_dim": 4, "hidden": (), "epochs": 1, "random_state": 0, "device": "cpu"}
    return Autoencoder(**plain | parameters, corruption=mark).fit(X)


def test_the_damage_is_the_error_outside_the_mark():
    clean = images(n=5, channels=3).numpy()
    output, masks = clean.copy(), np.zeros((5, 1, 24, 32), np.float32)
    masks[:, :, :12] = 0.5
    output[:, :, :12] += 0.3  # inside, so that it does not count
    output[:, 1, 12:] += 0.1
    assert damage(clean, output, masks) == pytest.approx(0.1**2 / 3, rel=1e-4)
    assert np.isnan(damage(clean, output, masks + 1))


def test_the_damage_is_measured_with_the_marks_that_were_drawn(digits):
    model = remover(digits, Watermark("NO", opacity=(1, 1)))
    found = outcome(model, digits)
    numbers = quality(model, replace(found, output=found.seen))  # as it was: no damage at all
    assert numbers["damage"] == pytest.approx(0, abs=1e-12)
    assert numbers["mse"] == numbers["noisy_mse"] > 0.001
    assert numbers["ssim"] == numbers["noisy_ssim"] < 0.99


def test_other_corruptions_have_no_damage(digits):
    model = remover(digits, GaussianNoise(0.5))
    numbers = evaluate(model, digits, seed=3)["test"]
    assert "damage" not in numbers
    noisy = model.corrupt(digits, random_state=3)
    assert numbers["noisy_ssim"] == pytest.approx(ssim(noisy / 255, digits / 255))


def test_a_model_file_keeps_the_path_and_is_read_without_the_picture(tmp_path, digits):
    path = saved(tmp_path, np.full((8, 8), 255))
    model = remover(digits, Watermark(image=path, rotation=(-5, 5)))
    model.save(tmp_path / "model.safetensors")
    (tmp_path / "mark.png").unlink()
    read = load(tmp_path / "model.safetensors")
    assert read.corruption.image == path
    np.testing.assert_array_equal(read.reconstruct(digits), model.reconstruct(digits))
    with pytest.raises(InputError, match=r"image .*mark\.png cannot be read: No such file"):
        read.corrupt(digits)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"text": ""}, "must have 1 to 200 letters"),
        ({"text": "  "}, "must have 1 to 200 letters"),
        ({"text": "x" * 201}, "must have 1 to 200 letters"),
        ({"image": "nowhere.png"}, "image nowhere.png cannot be read: No such file"),
        ({"opacity": (0.7, 0.3)}, "opacity must go from low to high, but is 0.7,0.3"),
        ({"scale": (0.9, 0.5)}, "scale must go from low to high, but is 0.9,0.5"),
        ({"rotation": (10, -10)}, "rotation must go from low to high, but is 10,-10"),
        ({"opacity": (0.3, 1.5)}, "opacity must be 2 values, each a number .* at most 1"),
        ({"opacity": 0.3}, "opacity must be 2 values"),
        ({"scale": (0, 1)}, "scale must be 2 values, each a number above 0"),
        ({"position": "left"}, "position must be one of 'fixed', 'random', 'tiled'"),
    ],
    ids=str,
)
def test_a_mistake_is_told_before_training(tmp_path, digits, parameters, sentence):
    with pytest.raises(InputError, match=sentence):
        Autoencoder(corruption=Watermark(**parameters), device="cpu").fit(
            digits, checkpoint=tmp_path
        )
    assert not list(tmp_path.iterdir())


def test_its_parameters_are_written_on_the_command_line():
    declared = {p.name: p for p in Watermark.declared()}
    written = {"text": "none", "image": "none", "opacity": "0.3,0.7", "rotation": "-10,10"}
    found = {name: parse(declared[name], text) for name, text in written.items()}
    expected = {"text": "none", "image": None, "opacity": (0.3, 0.7), "rotation": (-10, 10)}
    assert found == expected
    sigma = Blur.declared()[0]
    assert [parse(sigma, text) for text in ("1.5", "0,2")] == [1.5, (0, 2)]
    with pytest.raises(InputError, match="2 values"):
        parse(declared["opacity"], "0.3")


def test_files_that_are_no_mark_are_told(tmp_path, digits):
    (tmp_path / "text.png").write_text("no picture")
    empty = saved(tmp_path, np.zeros((8, 8)))
    for path, why in ((str(tmp_path / "text.png"), "not an image"), (empty, "nothing to be seen")):
        with pytest.raises(InputError, match=why):
            remover(digits, Watermark(image=path))


def test_any_text_can_be_kept_in_a_file(tmp_path, digits):
    model = remover(digits[:20], Watermark("none"))
    model.save(tmp_path / "model.safetensors")
    assert load(tmp_path / "model.safetensors").corruption.text == "none"
