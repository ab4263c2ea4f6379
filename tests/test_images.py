"""Folders of images as people have them: of all sizes, formats and depths, with rubbish."""

import io
import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SMALL, failed, run
from PIL import Image
from scipy.ndimage import gaussian_filter

from diabolo import Autoencoder, load
from diabolo.data import read, read_pairs
from diabolo.data.framing import choose
from diabolo.data.memory import read_image_bytes
from diabolo.data.source import Rows
from diabolo.errors import InputError
from diabolo.inputs import as_rows

RECIPE = 'base = "ae"\n[model]\nhidden = [6]\nlatent_dim = 2\nepochs = 1\nbatch_size = 16\n'
RUBBISH = {
    "broken.png": "broken.png is not an image that can be read",
    "cut.jpg": "cut.jpg cannot be read: image file is truncated",
    "float.tif": "float.tif has float pixels, most images here have none",
    "x.png/zero.bmp": "x.png/zero.bmp is not an image that can be read",
}
PASSED = "Passed over: 2 .heic, 1 .svg, which cannot be read; convert to .png or .jpg."


def smooth(height, width, seed=0):
    """A photograph of a kind, (H, W, 3)."""
    noise = np.random.default_rng(seed).random((height, width, 3))
    pixels = gaussian_filter(noise, (9, 9, 0), mode="wrap")
    low, high = pixels.min(), pixels.max()
    return ((pixels - low) / (high - low) * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A folder of 24 images that can be read and 4 that cannot."""
    folder = tmp_path_factory.mktemp("place") / "mixed"
    (folder / "x.png").mkdir(parents=True)
    for n in range(16):
        image = Image.fromarray(smooth(40 + n, 90 - 2 * n, n))
        image.save(folder / f"写真{n}.{('jpg', 'png', 'bmp', 'webp')[n % 4]}")
    one = Image.fromarray(smooth(50, 60))
    clear = one.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(one.size))
    clear.save(folder / "alpha.png")
    others = {"save_all": True, "append_images": [Image.fromarray(smooth(50, 60, 9))]}
    for name in ("a.gif", "pages.tif"):
        one.save(folder / name, **others)
    Image.fromarray(np.full((44, 44), 40_000, np.uint16)).save(folder / "deep.png")
    one.convert("1").save(folder / "bits.png")
    one.convert("CMYK").save(folder / "print.jpg")
    one.quantize(16).save(folder / "palette $x$.png")
    one.resize((20, 20)).save(folder / "사진.pgm")
    Image.fromarray(np.ones((9, 9), np.float32)).save(folder / "float.tif")
    (folder / "cut.jpg").write_bytes((folder / "写真0.jpg").read_bytes()[:700])
    (folder / "broken.png").write_text("no image")
    (folder / "x.png/zero.bmp").touch()
    for name in (".DS_Store", ".hidden.png", "notes.txt", "a.HEIC", "b.heic", "c.svg"):
        (folder / name).write_text("no image")
    (folder.parent / "small.toml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="module")
def fitted(mixed):
    """A run on it, padded to 24 x 16."""
    out, words = mixed.parent / "run", ("--size", "24x16", "--fit", "pad")
    assert run("fit", mixed.parent / "small.toml", "--data", mixed, *words, "--out", out) == 2
    return out


@pytest.fixture
def here(mixed, fitted, tmp_path, monkeypatch):
    """Words of a command with the paths of these, in a working folder of its own."""
    monkeypatch.chdir(tmp_path)
    places = {"MIXED": mixed, "RUN": fitted, "SMALL": mixed.parent / "small.toml"}
    pattern = re.compile("|".join(places))
    return lambda words: pattern.sub(lambda found: str(places[found[0]]), words).split()


# ---- reading


def test_a_folder_of_everything_becomes_one_array_and_all_is_said(mixed):
    samples = read(mixed)
    assert samples.array.shape == (24, 3, 48, 48)
    assert samples.array.dtype == np.uint8
    assert [re.sub(" [(].*", "", text) for text in samples.failures] == [*RUBBISH.values()]
    assert samples.told == [
        PASSED,
        "The images differ in size, 20x20 to 86x42: brought to 48x48 (width x height), scaled to"
        " cover it and cut around the middle; size and fit change that.",
        "1 of 24 images has transparency: laid on white.",
        "2 of 24 images have several frames or pages: the first is read.",
        "1 of 24 images is gray of 16 bits: reduced to 8, as the others have.",
        "1 of 24 images is in CMYK or the like: turned to RGB.",
    ]
    assert samples.framing == {"size": "48x48", "fit": "crop"}
    deep = samples.array[samples.names.index("deep.png")]
    assert (deep == round(40_000 / 257)).all()
    first = samples.array[[samples.names.index(n) for n in ("a.gif", "pages.tif", "print.jpg")]]
    assert np.abs(np.diff(first.astype(int), axis=0)).mean() < 12


@pytest.mark.parametrize(
    ("sizes", "chosen"),
    [
        ([(28, 28)] * 5, (28, 28)),
        ([(28, 28)] * 5 + [(30, 30)] * 4, (28, 28)),
        ([(28, 28)] * 5 + [(30, 30)] * 5, (24, 24)),
        ([(4000, 3000)] * 3, (64, 48)),
        ([(4000, 3000), (3000, 4000)], (64, 64)),
        ([(16, 16), (22, 22), (32, 32), (48, 48), (64, 64)], (32, 32)),
        ([(5, 4), (4, 5)], (8, 8)),
        ([(128, 128)] * 2, (128, 128)),
        ([(4000, 3000)], (4000, 3000)),
    ],
)
def test_the_size_suits_most_images(sizes, chosen):
    assert choose(sizes) == chosen


def test_images_of_one_small_size_stay_as_they_are(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), dtype=np.uint8)
    for n, one in enumerate(pixels):
        Image.fromarray(one).save(tmp_path / f"{n}.png")
    samples = read(tmp_path)
    np.testing.assert_array_equal(samples.array, pixels.transpose(0, 3, 1, 2))
    assert (samples.told, samples.framing) == ([], {})


def test_crop_pad_and_stretch(tmp_path):
    stripes = np.zeros((20, 60), np.uint8)
    stripes[:, 20:40], stripes[:, 40:] = 100, 200
    Image.fromarray(stripes).save(tmp_path / "a.png")
    found = {
        fit: read(tmp_path, size="20", fit=fit).array[0].astype(int)
        for fit in ("crop", "pad", "stretch")
    }
    assert (found["crop"] == 100).all()
    assert [*found["stretch"][10, [2, 10, 17]]] == [0, 100, 200]
    assert (found["stretch"] == found["stretch"][0]).all()
    assert (found["pad"] == found["pad"][0]).all(), "goes on with the colours of the edges"
    assert [*found["pad"][0, [2, 10, 17]]] == [0, 100, 200]


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_is_decoded_coarsely_but_as_well(tmp_path, orientation):
    """Beside the mean over blocks of pixels, the best that a reduced image can be."""
    pixels = smooth(640, 480)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = pixels if orientation == 1 else np.rot90(pixels).copy()
    Image.fromarray(stored).save(tmp_path / "a.jpg", exif=exif, quality=95)
    found = read(tmp_path / "a.jpg", size="48x64").array[0].transpose(1, 2, 0)
    means = pixels.reshape(64, 10, 48, 10, 3).mean(axis=(1, 3))
    assert np.abs(found - means).mean() < 2


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_deep_pixels_keep_their_type_and_range(tmp_path, dtype):
    ramp = np.linspace(0, 1, 64)[None] * np.ones((64, 1)) > 0.5
    pixels = (ramp * (65535 if dtype == "uint16" else 1)).astype(dtype)
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    Image.fromarray(pixels[:32]).save(tmp_path / "b.tif")
    array = read(tmp_path, size="20").array
    assert array.dtype == dtype
    assert (array.min(), array.max()) == (pixels.min(), pixels.max())


def test_one_image_alone_keeps_its_size(tmp_path):
    pixels = smooth(200, 300)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    for array in (read(tmp_path / "a.png").array, read_image_bytes(buffer.getvalue())):
        np.testing.assert_array_equal(array[0], pixels.transpose(2, 0, 1))
    small = read_image_bytes(buffer.getvalue(), (1, 10, 15), "stretch")
    np.testing.assert_array_equal(
        small, read(tmp_path / "a.png", image_shape=(1, 10, 15), fit="stretch").array
    )


@pytest.mark.parametrize("name", ["a.avif", "b.jp2", "c.ico", "d.jfif", "e.apng", "f.pbm"])
def test_further_formats_are_read(tmp_path, name):
    kinds = {"avif": "AVIF", "jp2": "JPEG2000", "jfif": "JPEG", "apng": "PNG", "pbm": "PPM"}
    pixels = Image.fromarray(np.full((16, 16, 3), 255, np.uint8))
    image = pixels.convert("1") if name == "f.pbm" else pixels
    image.save(tmp_path / name, kinds.get(name[2:], "ICO"))
    assert read(tmp_path / name).array.shape[-2:] == (16, 16)
    assert read(tmp_path).array.min() > 250


def test_pairs_of_many_sizes_are_brought_to_one_alike(tmp_path):
    for side in ("noisy", "clean"):
        (tmp_path / side).mkdir()
        for n in range(4):
            pixels = smooth(30 + 4 * n, 50 - 4 * n, n) // (1 if side == "clean" else 2)
            Image.fromarray(pixels).save(tmp_path / side / f"{n}.png")
    found = read_pairs(tmp_path / "noisy", tmp_path / "clean", size="16", fit="pad")
    assert found.array.shape == found.noisy.shape == (4, 3, 16, 16)
    assert np.abs(found.array / 2 - found.noisy).mean() < 1.5
    assert found.told[0].startswith("All 4 images were brought to 16x16")
    assert found.framing == {"size": "16x16", "fit": "pad"}


# ---- a model, and every command on such a folder


def test_a_run_remembers_the_size_and_is_repeated(mixed, fitted, capsys):
    config = tomllib.loads((fitted / "config.toml").read_text())
    assert (config["data"]["size"], config["data"]["fit"]) == ("24x16", "pad")
    assert run("evaluate", fitted, "--json") == 2
    said = capsys.readouterr()
    numbers = json.loads((fitted / "metrics.json").read_text())
    assert json.loads(said.out)["test"] == numbers["test"]
    assert "brought to" not in said.err


def test_a_bare_model_file_brings_images_to_its_size_as_it_was_fitted(mixed, fitted, capsys):
    photo, out = mixed / "写真0.jpg", mixed.parent / "codes.npy"
    file = mixed.parent / "alone.safetensors"
    file.write_bytes((fitted / "model.safetensors").read_bytes())
    model = load(file)
    assert (model.image_shape_, model.data_["fit"]) == ((3, 16, 24), "pad")
    assert run("encode", file, photo, "--out", out) == 0
    assert capsys.readouterr().err == (
        "The image was brought to 24x16 (width x height), scaled to fit in, the rest in the"
        " colours of their edges.\n"
    )
    padded, cropped = (
        model.transform(read(photo, image_shape=(3, 16, 24), fit=fit).array)
        for fit in ("pad", "crop")
    )
    np.testing.assert_array_equal(np.load(out), padded)
    assert not np.allclose(padded, cropped)


def test_samples_of_python_tell_the_model_too(mixed):
    model = Autoencoder(**SMALL).fit(read(mixed, size="8", fit="stretch"))
    assert (model.data_["size"], model.data_["fit"]) == ("8x8", "stretch")


COMMANDS = {
    "map RUN MIXED --by error --out map.png": ["map.png"],
    "neighbours RUN MIXED/사진.pgm --in MIXED --out near.png": ["near.png"],
    "reconstruct RUN MIXED --out rec": ["rec/alpha.png", "rec-comparison.png"],
    "size MIXED --recipe SMALL --sizes 1,2 --size 8 --jobs 1 --out sizes": ["sizes/sizes.png"],
    "detect fit RUN MIXED --out d.safetensors": ["d.safetensors"],
    "generate RUN --data MIXED --nearest --out new.png": ["new.png", "new-nearest.png"],
}


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_takes_a_mixed_folder(words, here, tmp_path, capsys):
    assert run(*here(words)) == 2
    told = capsys.readouterr().err
    assert all(f"diabolo: {sentence}" in told for sentence in RUBBISH.values())
    assert all((tmp_path / name).is_file() for name in COMMANDS[words])


def test_a_detector_scores_a_mixed_folder(mixed, fitted, tmp_path):
    file = tmp_path / "d.safetensors"
    recipe, words = mixed.parent / "small.toml", ("--size", 8, "--fit", "pad", "--out", file)
    assert run("detect", "fit", recipe, mixed, *words) == 2
    assert load(file).model_.data_["fit"] == "pad"
    assert run("detect", "score", file, mixed, "--out", tmp_path / "found") == 2
    assert len((tmp_path / "found/scores.csv").read_text().splitlines()) == 25


# ---- mistakes

MISTAKES = {
    "fit ae --data MIXED --size 2,3": "A size is a number of pixels, such as 64, or width x"
    " height, such as 64x48, up to 9999, but is '2,3'.",
    "fit ae --data MIXED --size 0": "A size is a number of pixels, such as 64, or width x"
    " height, such as 64x48, up to 9999, but is '0'.",
    "fit ae --data MIXED --fit cut": "--fit must be one of crop, pad, stretch, but is 'cut'; see"
    " diabolo fit --help.",
    "fit ae --size 16": "mnist has no image files, which alone can be brought to another size:"
    " leave size out.",
    "fit photo-dae --data MIXED --size 16": "Patches are cut from images as they are: leave --size"
    " and --fit out.",
    "fit bad.toml": "bad.toml: A size is a number of pixels, such as 64, or width x height, such"
    " as 64x48, up to 9999, but is 'large'.",
    "detect fit RUN MIXED --size 16 --out d.safetensors": "--size goes with a RECIPE: a MODEL"
    " has its own.",
    "reconstruct RUN MIXED/a.HEIC --out o.png": "a.HEIC cannot be read: convert it to .png or"
    " .jpg.",
    "reconstruct RUN drawn --out o": PASSED.replace("2 .heic, 1", "1"),
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_one_sentence(words, here, mixed, tmp_path, capsys):
    (tmp_path / "drawn").mkdir()
    (tmp_path / "drawn/a.svg").touch()
    Path("bad.toml").write_text(RECIPE + '[data]\nsource = "x"\nsize = "large"\n')
    assert failed(capsys, *here(words)).removeprefix(f"{mixed}/") == MISTAKES[words]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.toml", "drawn"]


# ---- channels last

LAST = "has samples of shape (6, 8, 3), channels last, but images are (C, H, W)"


def test_channels_last_are_refused_in_python():
    X = np.random.default_rng(0).integers(0, 256, (20, 6, 8, 3), dtype=np.uint8)
    source = Rows(torch.rand(20, 144), shape=(6, 8, 3))
    for given in (X, source):
        with pytest.raises(InputError, match=re.escape(LAST)):
            Autoencoder(**SMALL).fit(given)
    model = Autoencoder(**SMALL).fit(np.moveaxis(X, -1, 1))
    with pytest.raises(InputError, match=re.escape("give X.transpose(0, 3, 1, 2)")):
        model.transform(X)


@pytest.mark.parametrize("shape", [(2, 4, 4), (3, 6, 3), (16, 4, 4), (6, 8)])
def test_channels_first_and_none_are_taken(shape):
    assert as_rows(np.zeros((5, *shape))).shape == (5, *shape)


def test_channels_last_of_a_file_are_moved_and_said(tmp_path):
    X = np.random.default_rng(0).integers(0, 256, (5, 6, 8, 3), dtype=np.uint8)
    np.save(tmp_path / "x.npy", X)
    samples = read(tmp_path / "x.npy")
    np.testing.assert_array_equal(samples.array, np.moveaxis(X, -1, 1))
    (note,) = samples.told
    assert note.endswith("has its channels last: they are moved to the front, (3, 6, 8).")


def test_a_pnm_of_remarks_is_refused_at_once(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5\n#" + b"x" * 100_000 + b"\n1 1\n255\n\0")
    with pytest.raises(InputError, match="remarks"):
        read(tmp_path / "a.pgm")
