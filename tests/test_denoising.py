"""Denoising in tiles, the classical filters beside it, and patches to train on."""

import shutil
import sys

import numpy as np
import pytest
import torch
from conftest import SMALL, run
from PIL import Image

from diabolo import Autoencoder, data, metrics
from diabolo.commands import denoising
from diabolo.corruption import GaussianNoise, SaltAndPepper, Watermark
from diabolo.data import outputs, patches, read, read_each
from diabolo.errors import InputError
from diabolo.tasks import filters
from diabolo.tasks.denoising import corrupt, denoise, in_tiles, marks

SIZES = [(28, 20), (29, 300), (57, 43), (100, 20), (5, 100), (1, 1)]


def pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def fitted(*shape, **parameters):
    given = SMALL | {"corruption": GaussianNoise(0.3), "batch_size": 8, "epochs": 1} | parameters
    return Autoencoder(**given).fit(pixels(24, *shape))


@pytest.fixture(scope="module")
def gray():
    return fitted(12, 16)


@pytest.fixture(scope="module")
def colour():
    return fitted(3, 12, 16, network="conv")


# ---- tiles


@pytest.mark.parametrize("overlap", [0, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("size", SIZES)
def test_what_the_network_leaves_as_it_is_comes_back(size, overlap):
    images = pixels(2, 3, *size)
    same = in_tiles(lambda tiles: tiles.astype(float), images, (28, 20), overlap=overlap)
    assert same.dtype == np.float32
    np.testing.assert_allclose(same, images, rtol=1e-6)


def test_a_constant_has_no_seams_and_is_the_same_at_the_borders():
    images = np.full((1, 1, 61, 90), 0.3)
    doubled = in_tiles(lambda tiles: 2 * tiles, images, (16, 16))
    np.testing.assert_allclose(doubled, 0.6, rtol=1e-6)


def test_tiles_that_disagree_are_blended_without_a_jump():
    """Each tile answers with its mean: of a ramp, steps without blending."""
    ramp = np.broadcast_to(np.arange(200.0), (1, 1, 40, 200))

    def mean(tiles):
        return np.broadcast_to(tiles.mean(axis=(2, 3), keepdims=True), tiles.shape)

    smooth, steps = (in_tiles(mean, ramp, (32, 32), overlap=o)[0, 0, 20] for o in (0.5, 0))
    assert np.abs(np.diff(smooth)).max() < 2
    assert np.abs(np.diff(steps)).max() > 10
    assert (np.diff(smooth) >= -1e-3).all()


def test_an_image_does_not_depend_on_those_beside_it(gray):
    images = pixels(3, 30, 40)
    together = denoise(gray, images)
    np.testing.assert_array_equal(together[1:2], denoise(gray, images[1:2]))


def test_many_blocks_of_tiles_are_as_one(gray, monkeypatch):
    images = pixels(2, 30, 40)
    whole = denoise(gray, images)
    monkeypatch.setattr("diabolo.tasks.denoising.TILES", 5)
    np.testing.assert_array_equal(denoise(gray, images), whole)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_one_tile_is_reconstruct_to_the_bit(gray, colour, kind):
    for model, shape in ((gray, (12, 16)), (gray, (1, 12, 16)), (colour, (3, 12, 16))):
        images = kind(pixels(5, *shape))
        output = denoise(model, images)
        assert type(output) is type(images)
        assert (output == model.reconstruct(images)).all()


def test_the_corner_of_a_large_image_is_its_tile_alone(gray):
    images = pixels(1, 23, 31)
    corner = denoise(gray, images)[:, :5, :7]  # which no second tile reaches
    alone = gray.reconstruct(images[:, :12, :16])[:, :5, :7]
    np.testing.assert_allclose(corner, alone, rtol=1e-6)


def test_colour_is_cleaned_channel_by_channel_where_the_network_is_gray(gray):
    images = pixels(2, 3, 20, 30)
    output = denoise(gray, images)
    assert output.shape == images.shape
    for channel in range(3):
        np.testing.assert_array_equal(output[:, channel], denoise(gray, images[:, channel]))
    assert denoise(gray, images[:, :, :12, :16]).shape == (2, 3, 12, 16)


def test_gray_is_three_equal_channels_where_the_network_is_for_colour(colour):
    images = pixels(2, 20, 30)
    output = denoise(colour, images)
    full = denoise(colour, np.repeat(images[:, None], 3, axis=1))
    assert output.shape == images.shape
    np.testing.assert_allclose(output, full.mean(axis=1), rtol=1e-5)
    assert denoise(colour, images[:, None]).shape == (2, 1, 20, 30)


def test_a_small_image_is_continued_by_its_mirror_image(gray):
    images = pixels(1, 8, 16)
    padded = np.pad(images, ((0, 0), (2, 2), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(denoise(gray, images), gray.reconstruct(padded)[:, 2:10])


def test_dark_tiles_of_float_images_are_no_mistake_of_units(gray, monkeypatch):
    monkeypatch.setattr("diabolo.tasks.denoising.TILES", 2)
    images = np.full((1, 60, 60), 0.5, np.float32)
    images[:, -1, -1] = 255
    assert denoise(gray, images).shape == images.shape


def test_large_images_are_corrupted_as_in_training(gray):
    images = np.full((1, 300, 200), 128, np.uint8)
    images.setflags(write=False)
    noise = corrupt(gray, images, random_state=0) / 255 - 128 / 255
    assert noise.shape == images.shape
    assert abs(noise.mean()) < 0.005
    clipped = np.clip(np.random.default_rng(0).normal(0, 0.3, 10**6), -128 / 255, 127 / 255)
    assert noise.std() == pytest.approx(clipped.std(), rel=0.02)
    again, other = (corrupt(gray, images, random_state=seed) for seed in (0, 1))
    np.testing.assert_array_equal(again / 255 - 128 / 255, noise)
    assert (other != again).any()
    small = images[:, :12, :16]
    np.testing.assert_array_equal(
        corrupt(gray, small, random_state=3), gray.corrupt(small, random_state=3)
    )


def test_salt_and_pepper_on_a_colour_photograph():
    model = fitted(12, 16, corruption=SaltAndPepper(0.4))
    images = np.full((1, 3, 100, 100), 100, np.uint8)
    noisy = corrupt(model, images, random_state=0)
    assert noisy.shape == images.shape
    assert (noisy == 255).mean() == pytest.approx(0.2, abs=0.02)
    assert (noisy == 0).mean() == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (np.zeros((1, 2, 20, 20), np.uint8), {}, "images of 3 channels, these have 2"),
        (np.zeros((20, 30), np.uint8), {}, r"give one image as X\[None\]"),
        (np.full((1, 20, 30), np.nan), {}, "X contains NaN"),
        (np.full((1, 20, 30), 0.5), {}, "multiply it by 255"),
        (np.zeros((1, 0, 30), np.uint8), {}, "no pixels"),
        (np.zeros((1, 20, 30), np.uint8), {"overlap": 1}, "overlap must be"),
    ],
)
def test_mistakes(colour, images, options, message):
    with pytest.raises(InputError, match=message):
        denoise(colour, images, **options)


def test_a_model_of_tables_is_refused():
    table = Autoencoder(**SMALL).fit(np.random.default_rng(0).random((30, 6)))
    for function in (denoise, corrupt):
        with pytest.raises(InputError, match="rows of a table"):
            function(table, pixels(1, 20, 20))


def test_a_model_without_a_corruption_cannot_corrupt():
    with pytest.raises(InputError, match="without a corruption"):
        corrupt(fitted(12, 16, corruption=None), pixels(1, 20, 20))


# ---- patches


def test_patches_are_pieces_of_the_images():
    images = np.arange(2 * 10 * 14).reshape(2, 10, 14)
    found = patches(images, 4, n=500, random_state=0)
    assert found.shape == (500, 1, 4, 4)
    first = found[:, 0, 0, 0]
    n, y, x = first // 140, first % 140 // 14, first % 14
    for piece, i, j, k in zip(found[:, 0], n, y, x, strict=True):
        np.testing.assert_array_equal(piece, images[i, j : j + 4, k : k + 4])
    assert len(set(first)) > 140  # of 154 places
    np.testing.assert_array_equal(found, patches(images, 4, n=500, random_state=0))


def test_patches_of_photographs_of_several_sizes():
    photos = [pixels(3, 20, 30), pixels(40, 10), pixels(3, 2, 2)]
    found = patches(photos, 8, n=50, random_state=1)
    assert (found.shape, found.dtype) == ((50, 3, 8, 8), np.uint8)
    alike = (found[:, 0] == found[:, 1]).all(axis=(1, 2)).sum()
    assert 0 < alike < 50  # of the gray one
    for wrong, message in ((photos[2:], "no image is as large"), ([np.zeros(3)], "has shape")):
        with pytest.raises(InputError, match=message):
            patches(wrong, 8, n=1)


# ---- classical filters


def shapes(*shape):
    """Bright discs on a dark ground."""
    y, x = np.mgrid[-1 : 1 : shape[-2] * 1j, -1 : 1 : shape[-1] * 1j]
    disc = 0.2 + 0.6 * (x**2 + y**2 < 0.4)
    return np.broadcast_to(disc, shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(2, 48, 40), (2, 1, 48, 40), (1, 3, 48, 40)])
def test_the_tuned_filters_clean(shape):
    pytest.importorskip("pywt")
    clean = shapes(*shape)
    draw = np.random.default_rng(0)
    noisy, other = (clean + draw.normal(0, 0.15, shape).astype(np.float32) for _ in range(2))
    cleaned = filters.classical(noisy, filters.tune(clean, other))
    assert list(cleaned) == ["median", "total variation", "wavelet", "non-local means"]
    for name, image in cleaned.items():
        assert image.shape == shape, name
        assert image.dtype == np.float32
        assert metrics.mse(image, clean) < 0.4 * metrics.mse(noisy, clean), name


def test_each_image_is_filtered_for_itself():
    pytest.importorskip("pywt")
    noisy = np.random.default_rng(0).random((3, 16, 16), dtype=np.float32)
    together, alone = filters.classical(noisy), filters.classical(noisy[1:2])
    for name, images in together.items():
        np.testing.assert_array_equal(images[1:2], alone[name])


def test_without_scikit_image_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(InputError, match=r"pip install 'diabolo\[filters\]'"):
        filters.classical(np.zeros((1, 9, 9)))


# ---- the command


@pytest.fixture(scope="module")
def file(tmp_path_factory, gray):
    path = tmp_path_factory.mktemp("models") / "gray.safetensors"
    gray.save(path)
    return path


def folder_of(tmp_path, **images):
    folder = tmp_path / "in"
    folder.mkdir()
    for name, values in images.items():
        rows = values if values.ndim == 2 else values.transpose(1, 2, 0)
        Image.fromarray(rows).save(folder / f"{name}.png")
    return folder


def test_a_photograph_of_any_size(file, gray, tmp_path):
    photo = pixels(3, 50, 70)
    source = folder_of(tmp_path, photo=photo) / "photo.png"
    assert run("denoise", file, source, "--out", tmp_path / "clean.png") == 0
    written = read(tmp_path / "clean.png").array
    np.testing.assert_array_equal(written, np.rint(denoise(gray, photo[None])))
    assert read(tmp_path / "clean.png-comparison.png").array.shape[-1] == 840


def test_a_folder_of_several_sizes_keeps_names_and_names_the_bad(
    file, gray, tmp_path, monkeypatch, capsys
):
    images = {"a": pixels(3, 20, 30), "b": pixels(12, 16), "c": pixels(3, 20, 30, seed=1)}
    folder = folder_of(tmp_path, **images)
    (folder / "bad.png").write_bytes(b"no image")
    assert run("denoise", file, folder, "--out", tmp_path / "out") == 2
    assert "bad.png" in capsys.readouterr().err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.png", "b.png", "c.png"]
    for name, image in images.items():
        written = read(tmp_path / "out" / f"{name}.png").array
        np.testing.assert_array_equal(written, np.rint(denoise(gray, image[None])))
    assert [len(part.array) for part in read_each(folder)] == [2, 1]
    monkeypatch.chdir(folder.rename(tmp_path / "mnist-like").parent)
    assert [len(part.array) for part in read_each("mnist-like")] == [2, 1]


def test_a_folder_is_cleaned_and_written_in_parts(file, tmp_path, monkeypatch, capsys):
    sizes = [(20, 30), (12, 16), (20, 30), (12, 16), (16, 16), (16, 16)]
    images = {f"{n}": pixels(*size, seed=n) for n, size in enumerate(sizes)}
    folder = folder_of(tmp_path, **images)
    (folder / "0.png").rename(folder / "first.bmp")
    (folder / "damaged.png").write_bytes((folder / "1.png").read_bytes()[:60])
    for name, most in {"whole": 2**22, "parts": 700}.items():
        monkeypatch.setattr(denoising, "GROUP", most)
        monkeypatch.setattr(outputs, "BYTES", most)
        assert run("denoise", file, folder, "--out", tmp_path / name) == 2
        assert "damaged.png" in capsys.readouterr().err
        data.write(tmp_path / f"{name}-alike", pixels(40, 12, 16))
    for made in ("", "-alike"):
        found = [sorted((tmp_path / f"{name}{made}").iterdir()) for name in ("whole", "parts")]
        assert [p.name for p in found[0]] == [p.name for p in found[1]]
        assert [p.read_bytes() for p in found[0]] == [p.read_bytes() for p in found[1]]
        assert len(found[0]) == (40 if made else len(images))


FILTERS = ("median", "total variation", "wavelet", "non-local means")
METHODS = ("corrupted", *FILTERS, "denoised")


def table_of(capsys):
    """The numbers of each method, by its name, and the lines after the table."""
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["MSE", "PSNR,"]
    table = {
        name: [float(word.replace("-", "nan")) for word in line[20:].split()]
        for line in lines
        for name in METHODS
        if line.startswith(name)
    }
    return table, [line for line in lines if not line.startswith(METHODS)]


def test_corrupted_beside_the_classical_filters(file, tmp_path, capsys):
    pytest.importorskip("pywt")
    folder = folder_of(tmp_path, a=pixels(12, 16), b=pixels(20, 30))
    assert run("denoise", file, folder, "--corrupt", "--out", tmp_path / "out") == 0
    table, notes = table_of(capsys)
    assert tuple(table) == METHODS
    mse, psnr, *_ = table["corrupted"]
    assert psnr == pytest.approx(-10 * np.log10(mse), abs=0.01)
    assert 0.02 < mse < 0.09
    assert not any("slow" in note for note in notes), "all of both images were compared"


def test_the_whole_table_is_of_the_same_few_images(file, gray, tmp_path, capsys):
    pytest.importorskip("pywt")
    images = np.concatenate([pixels(100, 12, 16), np.zeros((20, 12, 16), np.uint8)])
    np.save(tmp_path / "in.npy", images)
    words = ("--corrupt", "--seed", 3, "--out", tmp_path / "out.npy")
    assert run("denoise", file, tmp_path / "in.npy", *words) == 0
    table, notes = table_of(capsys)
    assert any("on the first 100 of 120 images" in note for note in notes)
    noisy = gray.corrupt(images, random_state=3)
    output = gray.reconstruct(noisy)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), np.rint(output))
    clean, seen = images[:100] / 255, np.float32(noisy[:100] / 255)
    median = filters.apply("median", seen, filters.MIDDLE["median"])
    compared = {"corrupted": seen, "median": median, "denoised": output[:100] / 255}
    for name, cleaned in compared.items():
        assert table[name][0] == pytest.approx(metrics.mse(cleaned, clean), abs=1e-4), name


def test_of_a_large_photograph_the_middle_is_compared(file, tmp_path, capsys):
    pytest.importorskip("pywt")
    photo = np.full((40, 700), 128, np.uint8)
    photo[:, 94:606] = 0  # black, where half of the noise is cut off
    source = folder_of(tmp_path, a=photo) / "a.png"
    assert run("denoise", file, source, "--corrupt", "--out", tmp_path / "out.png") == 0
    table, notes = table_of(capsys)
    assert any("the middle, at most 512 x 512 pixels, of each image" in note for note in notes)
    assert table["corrupted"][0] == pytest.approx(0.3**2 / 2, rel=0.05)


def test_without_scikit_image_the_table_says_what_to_install(file, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    source = folder_of(tmp_path, a=pixels(12, 16)) / "a.png"
    assert run("denoise", file, source, "--corrupt", "--out", tmp_path / "out.png") == 0
    table, notes = table_of(capsys)
    assert list(table) == ["corrupted", "denoised"]
    assert filters.NEEDED in notes


@pytest.mark.parametrize("shape", [(12, 16), (30, 41), (3, 30, 41)])
def test_the_damage_of_a_watermark_is_what_happens_outside_it(shape, tmp_path, capsys):
    pytest.importorskip("pywt")
    model = fitted(12, 16, corruption=Watermark("NO", opacity=(1, 1)))
    model.save(tmp_path / "mark.safetensors")
    image = pixels(*shape)
    source = folder_of(tmp_path, a=image) / "a.png"
    words = ("--corrupt", "--seed", 5, "--out", tmp_path / "out.png")
    assert run("denoise", tmp_path / "mark.safetensors", source, *words) == 0
    table, notes = table_of(capsys)
    assert "Damage: the mean squared error outside the mark." in notes
    assert table["corrupted"][3] == 0 < table["corrupted"][0]
    clean, laid = image[None], marks(model, image[None], random_state=5)
    noisy = corrupt(model, clean, random_state=5)
    outside = np.broadcast_to(laid == 0, (1, *(1, *shape)[-3:])).reshape(clean.shape)
    assert 0.2 < outside.mean() < 1
    assert (noisy == clean)[outside].all()
    hurt = ((denoise(model, noisy) / 255 - clean / 255)[outside] ** 2).mean()
    assert table["denoised"][3] == pytest.approx(hurt, abs=1e-5)


def test_other_corruptions_lay_no_marks(gray):
    assert marks(gray, pixels(1, 12, 16), random_state=0) is None
    assert marks(gray, pixels(1, 30, 41), random_state=0) is None


def test_training_images_that_are_gone_leave_the_filters_as_they_come(tmp_path, capsys):
    pytest.importorskip("pywt")
    folder = folder_of(tmp_path, **{str(n): pixels(12, 16, seed=n) for n in range(12)})
    small = ("--hidden", "none", "--latent-dim", 2, "--epochs", 1, "--out", tmp_path / "run")
    assert run("fit", "dae-32", "--data", folder, *small) == 0
    words = [tmp_path / "run", tmp_path / "one.png", "--corrupt", "--out", tmp_path / "out.png"]
    (folder / "0.png").rename(tmp_path / "one.png")
    for chosen in ("the best on training images", "set beforehand"):
        assert run("denoise", *words, "--force") == 0
        assert chosen in capsys.readouterr().out
        shutil.rmtree(folder, ignore_errors=True)


def test_tiny_images_are_filtered():
    pytest.importorskip("pywt")
    for shape in ((2, 1, 1), (2, 3, 1, 1), (2, 1, 50), (1, 2, 5, 9)):
        noisy = np.full(shape, 0.4, np.float32)
        for name, image in filters.classical(noisy).items():
            np.testing.assert_allclose(image, noisy, atol=1e-3, err_msg=name)


def test_mistakes_of_the_command(file, tmp_path, capsys):
    folder = folder_of(tmp_path, a=pixels(12, 16), b=pixels(20, 30))
    assert run("denoise", file, folder, "--out", tmp_path / "out.png") == 2
    assert "images of different sizes: give a folder" in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))


def test_filters_refuse_bytes_which_they_would_clip():
    with pytest.raises(InputError, match="are uint8: divide them by"):
        filters.classical(np.full((1, 8, 8), 128, np.uint8))
