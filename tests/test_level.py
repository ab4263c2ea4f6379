"""Whole photographs: the level of their noise, tiles with margins, and their files."""

import json
import re
from io import BytesIO

import numpy as np
import pytest
import torch
from conftest import failed, run
from fastapi.testclient import TestClient
from PIL import Image, ImageCms
from sklearn.datasets import load_sample_image

from diabolo import Autoencoder, load, noise
from diabolo.corruption import BlindGaussian, GaussianNoise
from diabolo.data import mapped
from diabolo.data.decoding import LUMA
from diabolo.data.photofile import MARK, Photograph, read_photograph, write_photograph
from diabolo.errors import InputError
from diabolo.noise import Noise
from diabolo.studio.app import create_app
from diabolo.studio.service import Service
from diabolo.tasks import whole
from diabolo.tasks.denoising import denoise


@pytest.fixture(scope="module")
def china():
    """A photograph (3, 214, 320), float32 from 0 to 255."""
    image = Image.fromarray(load_sample_image("china.jpg")).resize(
        (320, 213), Image.Resampling.BOX
    )
    return np.asarray(image, np.float32).transpose(2, 0, 1)


@pytest.fixture(scope="module")
def photo():
    return load("photo", device="cpu")


def noisy(image, level, seed=0):
    return image + level * np.random.default_rng(seed).standard_normal(image.shape, np.float32)


def in_bytes(image):
    return np.rint(image.clip(0, 255)).astype(np.uint8)


def psnr(a, b):
    return 10 * np.log10(255**2 / np.square(np.float64(a) - b).mean())


# ---- the level


@pytest.mark.parametrize("level", [5, 10, 15, 25, 50])
def test_the_level_of_a_photograph(china, level):
    seen = noisy(china[:, :150, :200], level)
    assert noise.estimate(seen).level == pytest.approx(level, rel=0.1)
    assert noise.estimate(in_bytes(seen[1])).level == pytest.approx(level, rel=0.1)


@pytest.mark.parametrize("ends", [(-np.inf, np.inf), (0, 255)])
def test_what_clipping_takes_is_given_back(ends):
    y, x = np.mgrid[:256, :256]
    seen = noisy(128 + 100 * np.sin(x / 90) * np.cos(y / 70), 60).clip(*ends)
    assert noise.estimate(seen).level == pytest.approx(60, rel=0.05)


def test_noise_that_grows_with_the_light(china):
    y, x = np.mgrid[:200, :256]
    smooth = (128 + 100 * np.sin(x / 90) * np.cos(y / 70)).astype(np.float32)
    for slope, floor in ((0.2, 4), (2, 0)):
        found = noise.estimate(noisy(smooth, np.sqrt(slope * smooth + floor)))
        assert found.slope == pytest.approx(slope, rel=0.15)
        assert found.level == pytest.approx(np.sqrt(slope * smooth.mean() + floor), rel=0.05)
    assert noise.estimate(noisy(smooth, 20)).slope == 0


def test_noise_that_is_alike_in_the_colours_is_cleaned_as_such(china, photo):
    """That of a gray film, and of a JPEG, which has blurred the colours."""
    clean, apart = china[:, 40:200, 60:220], noisy(china[:, 40:200, 60:220], 25)
    assert noise.estimate(apart).alike == 1
    film = clean + (apart - clean)[:1]
    assert noise.estimate(film).alike == pytest.approx(1 / np.hypot.reduce(LUMA), rel=0.02)
    file = BytesIO()
    pixels = Image.fromarray(in_bytes(apart).transpose(1, 2, 0))
    pixels.save(file, "JPEG", quality=90, subsampling=2)
    jpeg = np.asarray(Image.open(file)).transpose(2, 0, 1)
    for seen, level in ((film, 37), (jpeg, 25)):
        told, blind = (denoise(photo, seen[None], given)[0] for given in (level, None))
        assert psnr(blind, clean) > psnr(told, clean) - 0.25
    found = noise.estimate(film)
    assert "alike in the colours" in whole.in_words(photo, found._replace(level=0.1))


def test_where_there_is_no_noise_next_to_none_is_found(china):
    assert noise.estimate(china).level < 2.5
    assert noise.estimate(np.full((3, 40, 50), 77, np.uint8)) == (0, 0, 0, 1)
    with pytest.raises(InputError, match="too small to tell its noise"):
        noise.estimate(np.zeros((15, 90)))


def test_noise_is_no_more_than_values_of_a_range_can_have(china):
    dots = np.asarray(Image.fromarray(china[0].astype(np.uint8)).convert("1"))
    assert noise.estimate(255.0 * dots).level <= 127.5


def test_the_transform_makes_noise_of_one_level_and_its_inverse_is_unbiased():
    counts = torch.tensor([3.0, 10.0, 60.0]).expand(200_000, 3)
    draw = torch.Generator().manual_seed(0)
    seen = 2 * torch.poisson(counts, generator=draw) + 3 * torch.randn(
        counts.shape, generator=draw
    )
    transform = noise.Anscombe(2.0, 9.0)
    flat = transform(seen)
    np.testing.assert_allclose(flat[:, 1:].std(0), 1, atol=0.03)
    np.testing.assert_allclose(transform.inverse(flat.mean(0)), 2 * counts[0], rtol=0.02)


# ---- whole images


def fitted(**parameters):
    given = {"latent_dim": None, "random_state": 0, "epochs": 1, "batch_size": 8, "device": "cpu"}
    patches = np.random.default_rng(0).integers(0, 256, (32, 3, 15, 15), dtype=np.uint8)
    return Autoencoder(**given, **parameters).fit(patches)


@pytest.fixture(scope="module", params=["residual", "unet"])
def small(request):
    if request.param == "residual":
        return fitted(network="residual", hidden=(8, 8), corruption=GaussianNoise(0.1))
    network = {"network": "unet", "hidden": (4, 8, 8), "condition": "level"}
    return fitted(**network, corruption=BlindGaussian((0, 0.2)), learning_rate=0.01)


def test_tiles_with_margins_are_the_whole(small, china, monkeypatch):
    image = in_bytes(noisy(china, 20))
    found = whole.noise_of(small, image)
    at_once = whole.clean(small, image, found)
    step, margin = whole.reach(small.net_)
    shares = []
    monkeypatch.setattr(whole, "TILE", 48)
    in_tiles = whole.clean(small, image, found, progress=shares.append)
    np.testing.assert_allclose(in_tiles, at_once, atol=1e-3)
    assert np.abs(at_once - image).mean() > 0.1
    assert shares[-1] == 1
    assert shares == sorted(shares)
    monkeypatch.setattr(whole, "reach", lambda _: (step, step))
    assert margin > step
    assert np.abs(whole.clean(small, image, found) - at_once).max() > 0.01


def test_an_ensemble_is_the_mean_of_eight_ways(small, china):
    image = in_bytes(noisy(china[:, :40, :45], 20))[None]
    level = 20 if whole.takes_level(small) else None
    found = denoise(small, image, level, ensemble=True)
    turned = denoise(small, np.rot90(image, axes=(2, 3)).copy(), level, ensemble=True)
    np.testing.assert_allclose(np.rot90(turned, -1, (2, 3)), found, atol=1e-3)
    ways = [
        np.rot90(denoise(small, np.rot90(i, k, (2, 3)).copy(), level), -k, (2, 3))[..., ::s]
        for s, i in ((1, image), (-1, image[..., ::-1]))
        for k in range(4)
    ]
    np.testing.assert_allclose(np.mean(ways, 0), found, atol=2e-3)


def test_images_of_any_type_are_cleaned_alike(small, china):
    level = 20 if whole.takes_level(small) else None
    image = in_bytes(noisy(china[:, :40, :45], 20))
    wanted = denoise(small, image[None], level)
    for factor, kind in ((1, "f4"), (1 / 255, "f8"), (257, "u2")):
        output = denoise(small, (factor * image[None].astype(float)).astype(kind), level)
        assert output.dtype == np.float32
        np.testing.assert_allclose(output / factor, wanted, atol=2e-3)
    gray = denoise(small, image[:1], level)
    full = denoise(small, np.repeat(image[:1, None], 3, 1), level)
    np.testing.assert_allclose(gray, full.mean(1), atol=1e-3)
    for size in ((1, 1), (3, 20), (15, 15)):
        assert denoise(small, image[None, :, : size[0], : size[1]]).shape == (1, 3, *size)


def test_the_units_are_those_of_the_whole_batch(small):
    dark = np.zeros((2, 3, 24, 24), np.float32)
    dark[0] = 200
    dark[1] += np.random.default_rng(0).normal(1, 0.5, dark[1].shape)
    level = 20 if whole.takes_level(small) else None
    beside = denoise(small, dark, level)[1:]
    wanted = 255 * denoise(small, dark[1:] / 255, level)
    np.testing.assert_allclose(beside, wanted, atol=2e-3)


def test_the_shipped_model_cleans_blindly_as_if_it_were_told(photo, china):
    crop = china[:, 40:168, 60:220]
    lost = []
    for clean in (crop, crop.mean(0)):
        for level in (15, 50):
            seen = noisy(clean, level)
            told, blind = (denoise(photo, seen[None], given)[0] for given in (level, None))
            assert psnr(told, clean) > psnr(seen, clean) + 2
            lost.append(psnr(told, clean) - psnr(blind, clean))
    assert np.mean(lost) < 0.1
    y, x = np.mgrid[:96, :128]
    light = np.float32(np.where((x // 4 + y // 16) % 3, 0.4 * x, 1.8 * x))
    seen = noisy(light, np.sqrt(3 * light))
    plain = denoise(photo, seen[None], noise.estimate(seen).level)[0]
    known = whole.clean(photo, seen, Noise(3 / 255, 0.0, 0.1))
    assert psnr(known, light) > psnr(plain, light)


def test_mistakes_with_levels_and_units(photo, small):
    image = np.zeros((1, 3, 20, 20), np.uint8)
    with pytest.raises(InputError, match="level must be"):
        denoise(photo, image, -1)
    with pytest.raises(InputError, match="from 0 to 1 or from 0 to 255"):
        denoise(small, np.full((1, 3, 20, 20), 5000.0))
    with pytest.raises(InputError, match="X contains NaN"):
        denoise(small, np.full((1, 3, 20, 20), np.nan))
    with pytest.raises(InputError, match=r"shape \(20, 24, 3\), which is that of one with its"):
        denoise(photo, np.zeros((20, 24, 3), np.uint8))
    with pytest.raises(InputError, match="images of 3 channels, these have 2"):
        denoise(small, np.zeros((1, 2, 20, 20), np.uint8))
    if not whole.takes_level(small):
        with pytest.raises(InputError, match="takes no level"):
            denoise(small, image, 5)


# ---- files

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
TURNED = Image.Exif()
TURNED[0x0112] = 6
EXIF = MARK + TURNED.tobytes().removeprefix(MARK)


@pytest.mark.parametrize("depth", ["u1", "u2"])
@pytest.mark.parametrize("shape", [(9, 14), (3, 9, 14)])
@pytest.mark.parametrize("clear", [False, True])
def test_a_png_keeps_all_of_a_photograph(tmp_path, depth, shape, clear):
    draw, top = np.random.default_rng(0), np.iinfo(depth).max
    pixels, alpha = (draw.integers(0, top + 1, s, depth) for s in (shape, shape[-2:]))
    given = Photograph(pixels, alpha if clear else None, PROFILE, EXIF)
    write_photograph(tmp_path / "a.png", given)
    found = read_photograph(tmp_path / "a.png")
    np.testing.assert_array_equal(found.pixels, pixels)
    assert found.pixels.dtype == np.dtype(depth)
    assert (found.icc, found.exif, found.mode) == (PROFILE, EXIF, given.mode)
    if clear:
        np.testing.assert_array_equal(found.alpha, alpha)
    with Image.open(tmp_path / "a.png") as image:  # the high bytes, as another reader has them
        high = np.asarray(image.convert("RGB"))[..., 0] if depth == "u1" or clear else None
    if high is not None:
        first = pixels if pixels.ndim == 2 else pixels[0]
        np.testing.assert_array_equal(high, first >> (8 if depth == "u2" else 0))


def test_other_formats_keep_what_they_can(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 9, 14), np.uint8)
    given = Photograph(pixels, None, PROFILE, EXIF)
    for suffix, kept in ((".jpg", True), (".webp", True), (".tif", False)):
        path = tmp_path / f"a{suffix}"
        write_photograph(path, given)
        found = read_photograph(path)
        assert (found.icc, found.exif) == (PROFILE, EXIF if kept else None)
        turned = np.rot90(pixels, -1, axes=(1, 2))  # where the file cannot say so
        assert np.abs(found.pixels - (pixels if kept else turned).astype(float)).max() < 30
    deep = Photograph(pixels.astype(np.uint16) * 257)
    write_photograph(tmp_path / "deep.webp", deep)
    np.testing.assert_array_equal(read_photograph(tmp_path / "deep.webp").pixels, pixels)
    with pytest.raises(InputError, match="cannot hold transparency: write"):
        write_photograph(tmp_path / "b.jpg", Photograph(pixels, pixels[0]))
    assert not (tmp_path / "b.jpg").exists()


def save(path, image, **options):
    Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).save(path, **options)


@pytest.fixture
def folder(tmp_path, china):
    """A folder of everything: good, of one colour, moving, and rubbish."""
    path = tmp_path / "in"
    (path / "sub").mkdir(parents=True)
    image = in_bytes(noisy(china[:, :70, :80], 20))
    save(path / "sub" / "a.png", image, icc_profile=PROFILE)
    save(path / "b.jpg", image, quality=100, subsampling=0)
    save(path / "one.png", np.full((3, 40, 50), 77, np.uint8))
    frame = Image.fromarray(image[0])
    frame.save(path / "moving.gif", save_all=True, append_images=[frame.rotate(90)])
    (path / "bad.png").write_text("no image")
    (path / "notes.txt").write_text("no image")
    return path


def test_deep_colours_plane_behind_plane_are_refused(tmp_path):
    image = np.zeros((3, 8, 9), np.uint16)
    how = {"photometric": "rgb", "planarconfig": "separate"}
    pytest.importorskip("tifffile").imwrite(tmp_path / "a.tif", image, **how)
    with pytest.raises(InputError, match="plane behind plane: save it interleaved"):
        read_photograph(tmp_path / "a.tif")


def test_a_folder_of_everything_is_cleaned_one_by_one(folder, tmp_path, capsys):
    assert run("denoise", "photo", folder, "--out", tmp_path / "out", "--json") == 2
    found, said = capsys.readouterr()
    levels = json.loads(found)["noise"]
    assert levels["sub/a.png"] == pytest.approx(20, abs=1)
    assert "bad.png" not in levels
    assert "diabolo: bad.png is not an image that can be read" in said
    assert re.search(r"sub.a\.png: noise of about (20|19\.)", said)
    assert "one.png: no noise to speak of: left as it is" in said
    assert "moving.gif: has several frames or pages: the first is read" in said
    found = {p.relative_to(tmp_path / "out").as_posix(): p for p in tmp_path.rglob("out/**/*.*")}
    assert set(found) == {"sub/a.png", "b.png", "one.png", "moving.png"}
    assert (read_photograph(found["one.png"]).pixels == 77).all()
    assert read_photograph(found["sub/a.png"]).icc == PROFILE
    before = read_photograph(folder / "sub" / "a.png").pixels
    after = read_photograph(found["sub/a.png"]).pixels
    assert noise.estimate(after).level < 0.4 * noise.estimate(before).level
    assert (tmp_path / "out-comparison.png").is_file()


def test_one_photograph_by_a_level_goes_where_it_is_said(folder, tmp_path, capsys):
    source, out = folder / "b.jpg", tmp_path / "clean.webp"
    assert run("denoise", "photo", source, "--level", 80, "--out", out) == 0
    said = capsys.readouterr().err
    assert "noise of about 80 of 255, but the model was trained for at most 60" in said
    assert run("denoise", "photo", source, "--out", tmp_path / "clean.gif") == 2
    assert capsys.readouterr().err.count("\n") == 1  # before any work
    Image.new("RGB", (7, 5)).save(tmp_path / "small.png")
    assert run("denoise", "photo", tmp_path / "small.png", "--out", tmp_path / "5.png") == 0
    assert "small.png: too small to tell its noise" in capsys.readouterr().err
    clean = read_photograph(out).pixels
    again = denoise(load("photo"), read_photograph(source).pixels[None], 80)[0]
    np.testing.assert_allclose(clean, again, atol=0.51)


def test_an_array_on_disk_is_cleaned_in_parts_as_in_memory(tmp_path, monkeypatch, capsys):
    images = np.random.default_rng(0).integers(0, 256, (5, 20, 24), np.uint8)
    np.save(tmp_path / "x.npy", images)
    words = ("denoise", "photo", tmp_path / "x.npy", "--level", 20, "--out")
    assert run(*words, tmp_path / "whole.npy") == 0
    monkeypatch.setattr(mapped, "LARGE", 1000)
    monkeypatch.setattr(mapped, "ROWS", 2)
    assert run(*words, tmp_path / "parts.npy") == 0
    found, wanted = (np.load(tmp_path / f"{name}.npy") for name in ("parts", "whole"))
    np.testing.assert_array_equal(found, wanted)
    assert (tmp_path / "parts.npy-comparison.png").is_file()
    assert run(*words, tmp_path / "some.npy", "--corrupt") == 0
    assert "Of 5 test samples the first 2 are used" in capsys.readouterr().err
    assert len(np.load(tmp_path / "some.npy")) == 2


def test_an_interrupt_and_a_full_disk_leave_nothing(folder, tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    before = set(tmp_path.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(whole, "clean", interrupted)
        assert run("denoise", "photo", folder, "--out", tmp_path / "out") == 130
    monkeypatch.setattr("diabolo.data.photofile._save", full)
    for source, out in ((folder, "out"), (folder / "b.jpg", "c.png")):
        assert run("denoise", "photo", source, "--out", tmp_path / out) == 2
        assert "free space" in capsys.readouterr().err
    assert set(tmp_path.iterdir()) == before


def test_the_studio_cleans_a_file_as_the_command_does(folder, tmp_path):
    fitted(
        network="unet", hidden=(4, 4, 4), condition="level", corruption=BlindGaussian((0, 0.2))
    ).save(tmp_path / "photo.safetensors")
    words = ("denoise", tmp_path / "photo.safetensors", folder / "sub" / "a.png")
    assert run(*words, "--out", tmp_path / "a.png") == 0
    body, headers = (folder / "sub" / "a.png").read_bytes(), {"content-type": "image/png"}
    with TestClient(create_app(Service(tmp_path))) as client:
        assert client.get("/api/model").json()["told_level"] is True
        answer = client.post("/api/denoise", content=body, headers=headers)
        assert answer.content == (tmp_path / "a.png").read_bytes()
        assert answer.headers["x-noise"].startswith("noise of about ")
        other = client.post("/api/denoise?level=60", content=body, headers=headers)
        assert other.headers["x-noise"].startswith("noise of about 60 of 255")
        assert other.content != answer.content
        broken = client.post("/api/denoise", content=b"none", headers=headers)
        assert broken.json() == {"error": "The body is not an image that can be read"}


def test_mistakes_of_the_command(folder, tmp_path, capsys):
    fitted(network="residual", hidden=(4,), corruption=GaussianNoise(0.1)).save(
        tmp_path / "r.safetensors"
    )
    words = ("denoise", tmp_path / "r.safetensors", folder / "b.jpg", "--out", tmp_path / "o.png")
    assert "takes no level of the noise: leave --level out." in failed(
        capsys, *words, "--level", 5
    )
    assert "is one image and" in failed(
        capsys, "denoise", "photo", folder, "--out", tmp_path / "o.png"
    )
    assert "--level must be" in failed(capsys, *words, "--level", 300)
    assert not (tmp_path / "o.png").exists()
