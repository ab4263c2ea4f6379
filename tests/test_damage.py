"""Damage that photographs come with: JPEG, blur with noise, and holes that are filled."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import failed, run
from PIL import Image

from diabolo import Autoencoder, load
from diabolo.corruption import Blur, GaussianNoise, Jpeg, Scratches, jpeg
from diabolo.data import mapped, read
from diabolo.data.photofile import Photograph, read_photograph, write_photograph
from diabolo.errors import InputError
from diabolo.gaps import smoothed
from diabolo.tasks import whole
from diabolo.tasks.filling import fill
from diabolo.train import generator


def corrupt(corruption, x, seed=0, ends=(0.0, 1.0)):
    return corruption.corrupt(x, generator(seed, "noise"), *ends)


def waves(n, *shape, seed=0):
    """Waves of random directions and colours, uint8."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[-2], : shape[-1]]
    a, b, c = random.uniform(-0.3, 0.3, (3, n, *(1,) * len(shape)))
    amplitude = random.uniform(40, 90, (n, *shape[:-2], 1, 1))
    return (128 + amplitude * np.sin(a * y + b * x + 20 * c)).astype(np.uint8)


# ---- JPEG


def test_the_grid_of_jpeg_lies_anywhere():
    ramp = torch.linspace(0, 1, 64).expand(200, 1, 64, 64)
    coded = corrupt(Jpeg((3, 3)), ramp).x  # of which squares keep little but their mean
    for axis in (2, 3):
        x = coded if axis == 3 else corrupt(Jpeg((3, 3)), ramp.mT).x.mT
        steps = x.diff(dim=3).abs().mean((1, 2))[:, :56].view(200, 7, 8).mean(1)
        assert set(steps.argmax(1).tolist()) == set(range(8))


def test_quality_is_drawn_from_its_range_and_tells_in_the_error():
    x = torch.from_numpy(waves(100, 3, 32, 32) / 255).float()
    x += 0.1 * torch.rand(x.shape, generator=torch.Generator().manual_seed(0))
    found = corrupt(Jpeg((5, 95)), x / x.max())
    assert found.level.round().equal(found.level)
    assert 5 <= found.level.min() < 15
    assert 85 < found.level.max() <= 95
    errors = (found.x - x / x.max()).square().mean((1, 2, 3))
    assert torch.corrcoef(torch.stack([errors, found.level]))[0, 1] < -0.5
    assert errors[found.level > 90].mean() < 1e-3


def test_colours_lose_more_where_they_are_subsampled():
    colours = torch.rand(20, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    error = {
        how: (corrupt(Jpeg((95, 95), subsampling=how), colours).x - colours).square().mean()
        for how in ("4:4:4", "4:2:2", "4:2:0")
    }
    assert 3 * error["4:4:4"] < error["4:2:2"] < error["4:2:0"]


@pytest.mark.parametrize("codec", ["jpeg", "webp"])
def test_codecs_keep_to_the_range_and_threads_change_nothing(codec, monkeypatch):
    x = torch.rand(5, 3, 20, 23, generator=torch.Generator().manual_seed(0))
    found = corrupt(Jpeg((30, 60), codec=codec), x)
    assert found.x.shape == x.shape
    symmetric = corrupt(Jpeg((30, 60), codec=codec), 2 * x - 1, ends=(-1.0, 1.0)).x
    torch.testing.assert_close(symmetric, 2 * found.x - 1)
    monkeypatch.setattr(jpeg, "WORTH", 1)
    assert torch.equal(corrupt(Jpeg((30, 60), codec=codec), x).x, found.x)


# ---- blur


def test_a_blur_has_its_noise_on_top():
    x = torch.full((40, 1, 50, 50), 0.5)
    off = corrupt(Blur(2.0, noise=0.02), x).x - x
    assert off.std().item() == pytest.approx(0.02, rel=4 / math.sqrt(2 * off.numel()))
    still = corrupt(Blur(2.0), x).x - x
    assert still.abs().max() < 1e-6


# ---- holes


def test_scratches_erase_their_share_and_nothing_else():
    x = torch.rand(200, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    found = corrupt(Scratches((0.1, 0.3), width=(1, 3)), x)
    gone = found.mask.expand_as(x) > 0
    assert torch.equal(found.x.isnan(), gone)
    assert torch.equal(found.x[~gone], x[~gone])
    torch.testing.assert_close(found.level, found.mask.mean((1, 2, 3)))
    assert 0.1 <= found.level.min() < 0.13
    assert found.level.mean().item() == pytest.approx(0.22, abs=0.04)
    assert found.level.max() < 0.5
    assert found.mask.mean((0, 1)).min() > 0.05, "of every pixel, now and then"


@pytest.fixture(scope="module")
def filler():
    model = Autoencoder(
        network="residual",
        latent_dim=None,
        hidden=(16, 16),
        corruption=Scratches((0.05, 0.25), width=(1, 4)),
        batch_size=8,
        epochs=3,
        learning_rate=1e-3,
        random_state=0,
        device="cpu",
    )
    return model.fit(waves(400, 1, 16, 16))


def holes(*shape):
    """A line and a square of 9 pixels."""
    mask = np.zeros(shape, bool)
    mask[10, 3:40] = True
    mask[20:29, 22:31] = True
    return mask


@pytest.mark.parametrize("shape", [(30, 45), (3, 30, 45)])
def test_only_what_is_marked_is_filled_and_nearly_right(filler, shape):
    photo = waves(1, *shape, seed=3)
    mask = holes(30, 45)
    damaged = np.where(mask, 255, photo)
    output = fill(filler, damaged, mask)
    assert output.dtype == np.float32
    where = np.broadcast_to(mask, photo.shape)
    np.testing.assert_array_equal(output[~where], photo[~where])
    off, gray = output[where] - photo[where], 128.0 - photo[where]
    assert (off**2).mean() < 0.5 * (gray**2).mean()
    gaps = np.where(mask, np.nan, photo.astype(np.float32))
    np.testing.assert_allclose(fill(filler, gaps), output, atol=2)
    np.testing.assert_array_equal(fill(filler, photo), photo)


def test_gaps_are_filled_smoothly():
    ramp = torch.arange(40.0).expand(1, 1, 40, 40) + torch.arange(40.0)[:, None]
    gaps = ramp.clone()
    gaps[:, :, 10:20, 5:30] = torch.nan
    filled = smoothed(gaps)
    assert (filled - ramp).abs().max() < 8
    assert torch.equal(filled[~gaps.isnan()], ramp[~gaps.isnan()])
    assert torch.equal(smoothed(ramp), ramp)
    assert not smoothed(torch.full((1, 2, 5, 7), torch.nan)).any()


def test_photo_fills_holes_without_having_learnt_to(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(whole, "PART", 16)
    y, x = np.mgrid[:48, :64]
    stripes = np.where((x + y // 2) % 16 < 8, 60, 190).astype(np.uint8)
    mask = np.zeros((48, 64), bool)
    mask[20:24, 10:30] = True
    damaged = save(tmp_path / "damaged.png", np.where(mask, 255, stripes).astype(np.uint8))
    words = ("--mask", save(tmp_path / "mask.png", np.uint8(255 * mask)))
    assert run("denoise", "photo", damaged, *words, "--out", tmp_path / "filled.png") == 0
    filled = read_photograph(tmp_path / "filled.png").pixels
    np.testing.assert_array_equal(filled[~mask], stripes[~mask])
    smooth = smoothed(torch.from_numpy(np.where(mask, np.nan, stripes))[None, None])[0, 0].numpy()
    errors = [np.square(found[mask] - 1.0 * stripes[mask]).mean() for found in (filled, smooth)]
    assert errors[0] < 0.2 * errors[1]
    np.save(tmp_path / "gaps.npy", np.where(mask, np.nan, stripes)[None].astype(np.float32))
    words = ("denoise", "photo", tmp_path / "gaps.npy", "--out", tmp_path / "out.npy")
    assert run(*words) == 2, "only a mask asks for holes to be filled"
    assert "diabolo: X contains NaN: fill it in" in capsys.readouterr().err
    monkeypatch.undo()
    whole_image = fill(load("photo", device="cpu"), stripes[None], mask)[0]
    np.testing.assert_allclose(whole_image[mask], filled[mask], atol=2)


def test_a_hole_wider_than_a_tile_is_filled_from_its_rim(filler):
    photo = np.full((1, 60, 60), 90, np.uint8)
    mask = np.zeros((60, 60), bool)
    mask[15:45, 15:45] = True
    assert np.isnan(fill(filler, photo, mask)).sum() == 0
    assert np.abs(fill(filler, photo, mask) - 90).max() < 60


def test_fill_of_the_estimator_fills_images_and_rows_with_nan_are_else_refused(filler):
    X = waves(5, 1, 16, 16, seed=4).astype(np.float32)
    gaps = X.copy()
    gaps[:, :, 4, 3:9] = np.nan
    output = filler.fill(gaps)
    np.testing.assert_array_equal(output[~np.isnan(gaps)], X[~np.isnan(gaps)])
    assert np.isfinite(output).all()
    assert np.isfinite(filler.reconstruct(gaps)).all()
    plain = Autoencoder(hidden=(), latent_dim=2, epochs=1, random_state=0, device="cpu").fit(X)
    with pytest.raises(InputError, match="NaN"):
        plain.reconstruct(gaps)
    with pytest.raises(InputError, match="has not learnt to fill"):
        fill(plain, gaps)


@pytest.mark.parametrize("network", ["dense", "conv"])
def test_other_networks_learn_to_fill_as_well(network):
    X = waves(60, 1, 16, 16)
    given = {"hidden": (8,), "latent_dim": 4, "epochs": 1, "random_state": 0, "device": "cpu"}
    for linear in (True, False):
        model = Autoencoder(network=network, corruption=Scratches(), linear=linear, **given).fit(X)
        assert np.isfinite(model.reconstruct(model.corrupt(X, random_state=0))).all()


def save(path, array):
    path.parent.mkdir(exist_ok=True)
    rows = array if array.ndim == 2 else array.transpose(1, 2, 0)
    Image.fromarray(rows).save(path)
    return path


@pytest.fixture(scope="module")
def file(filler, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "filler.safetensors"
    filler.save(path)
    return path


def test_the_command_fills_photographs_by_masks_of_their_names(file, filler, tmp_path):
    mask, photos = holes(30, 45), waves(2, 3, 30, 45, seed=5)
    for name, photo in zip("ab", photos, strict=True):
        save(tmp_path / "in" / f"{name}.png", photo)
        save(tmp_path / "masks" / f"{name}.png", np.uint8(mask) * 255)
    one = ("--mask", tmp_path / "masks" / "a.png", "--out", tmp_path / "a.png")
    assert run("denoise", file, tmp_path / "in" / "a.png", *one) == 0
    output = read(tmp_path / "a.png").array
    np.testing.assert_array_equal(output, np.rint(fill(filler, photos[:1], mask)))
    np.testing.assert_array_equal(output[0][:, ~mask], photos[0][:, ~mask])
    all_of_them = ("--mask", tmp_path / "masks", "--out", tmp_path / "out")
    assert run("denoise", file, tmp_path / "in", *all_of_them) == 0
    np.testing.assert_array_equal(read(tmp_path / "out" / "a.png").array, output)


@pytest.mark.parametrize("count", [1, 5])
def test_an_array_on_disk_is_filled_in_parts_by_a_mask_for_all_or_for_each(
    count, file, filler, tmp_path, monkeypatch
):
    images, masks = waves(5, 1, 5, 24, seed=6), np.zeros((count, 5, 24), np.uint8)
    masks[:, 2, 3:9] = 255  # of as many rows as there are images
    np.save(tmp_path / "x.npy", images)
    np.save(tmp_path / "masks.npy", masks)
    monkeypatch.setattr(mapped, "LARGE", 500)
    monkeypatch.setattr(mapped, "ROWS", 2)
    words = ("--mask", tmp_path / "masks.npy", "--out", tmp_path / "out.npy")
    assert run("denoise", file, tmp_path / "x.npy", *words) == 0
    wanted = np.rint(fill(filler, images, np.broadcast_to(masks > 0, (5, 5, 24))))
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), wanted)


def test_a_filled_photograph_keeps_its_form(file, tmp_path):
    mask, turned = holes(30, 45), Image.Exif()
    turned[274] = 6  # seen a quarter turn clockwise
    form = {"icc": b"a profile", "exif": b"Exif\0\0" + turned.tobytes().removeprefix(b"Exif\0\0")}
    before = Photograph(257 * waves(1, 3, 30, 45)[0].astype(np.uint16), 1000 * mask, **form)
    write_photograph(tmp_path / "a.png", replace(before, alpha=before.alpha.astype(np.uint16)))
    save(tmp_path / "mask.png", np.uint8(np.rot90(mask, -1)) * 255)
    words = ("--mask", tmp_path / "mask.png", "--out", tmp_path / "out.png")
    assert run("denoise", file, tmp_path / "a.png", *words) == 0
    after = read_photograph(tmp_path / "out.png")
    assert (after.pixels.dtype, after.icc, after.exif) == (np.uint16, before.icc, before.exif)
    np.testing.assert_array_equal(after.alpha, before.alpha)
    np.testing.assert_array_equal(after.pixels[:, ~mask], before.pixels[:, ~mask])
    assert (after.pixels[:, mask] != before.pixels[:, mask]).mean() > 0.9


MISTAKES = {
    "": "was trained to fill holes: give --mask, white where they are.",
    "--mask masks/black.png": "The mask of photo.png marks nothing of it: white is what to fill.",
    "--mask masks/white.png": "The mask of photo.png marks all of it: white is what to fill.",
    "--mask masks/small.png": (
        "The mask of photo.png is 20 x 10 (width x height), but it is 45 x 30: a mask is as large"
        " as its image."
    ),
    "--mask masks": "photo.png has no mask of its name: give one for each, or one for all.",
    "--mask masks/black.png --corrupt": "Give --mask or --corrupt, not both.",
    "--mask masks/small.png --level 5": (
        "Holes are filled without --level and --ensemble: leave them out."
    ),
}


@pytest.mark.parametrize("words", MISTAKES)
def test_mistakes_with_masks(words, file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "photo.png", waves(1, 3, 30, 45)[0])
    save(tmp_path / "masks" / "black.png", np.zeros((30, 45), np.uint8))
    save(tmp_path / "masks" / "white.png", np.full((30, 45), 255, np.uint8))
    save(tmp_path / "masks" / "small.png", np.full((10, 20), 255, np.uint8))
    said = failed(capsys, "denoise", file, "photo.png", *words.split(), "--out", "out.png")
    assert said.endswith(MISTAKES[words])
    assert not (tmp_path / "out.png").exists()


def test_a_mask_needs_a_model_that_fills(tmp_path, capsys):
    X = waves(40, 1, 16, 16)
    model = Autoencoder(corruption=GaussianNoise(0.1), hidden=(), epochs=1, device="cpu").fit(X)
    model.save(tmp_path / "m.safetensors")
    photo = save(tmp_path / "photo.png", waves(1, 30, 45)[0])
    words = ("denoise", tmp_path / "m.safetensors", photo, "--mask", photo)
    said = failed(capsys, *words, "--out", tmp_path / "out.png")
    assert "not trained to fill holes: take photo, or fit one with --corruption scr" in said
