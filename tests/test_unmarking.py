"""The watermark that images share: found, its opacity, what is left, and the mistakes."""

import json

import numpy as np
import pytest
from conftest import failed, run
from PIL import Image, ImageDraw
from scipy import ndimage

from diabolo import data
from diabolo.errors import InputError
from diabolo.tasks import unmarking

HEIGHT, WIDTH, COUNT = 72, 96, 30


def scene(number):
    """Blurred shapes of random colours and a little texture, (3, H, W) uint8."""
    random = np.random.default_rng(number)
    picture = Image.new("RGB", (WIDTH, HEIGHT), tuple(random.integers(0, 256, 3)))
    draw = ImageDraw.Draw(picture)
    for _ in range(12):
        (x, y), (w, h) = random.integers(-20, 90, 2), random.integers(10, 60, 2)
        shape = draw.ellipse if random.random() < 0.5 else draw.rectangle
        shape((x, y, x + w, y + h), fill=tuple(int(v) for v in random.integers(0, 256, 3)))
    soft = ndimage.gaussian_filter(np.asarray(picture).astype(float), (1.5, 1.5, 0))
    return (
        (soft + random.normal(0, 2, soft.shape)).clip(0, 255).astype(np.uint8).transpose(2, 0, 1)
    )


def logo():
    """A ring, a bar and a soft edge, in colours, (h, w, 4) uint8."""
    large = Image.new("RGBA", (200, 120), (255, 255, 255, 0))
    draw = ImageDraw.Draw(large)
    draw.ellipse((10, 10, 110, 110), fill=(230, 60, 40, 255))
    draw.ellipse((40, 40, 80, 80), fill=(230, 60, 40, 0))
    draw.rectangle((125, 40, 190, 80), fill=(255, 255, 255, 255))
    return np.asarray(large.resize((50, 30), Image.Resampling.LANCZOS))


def laid(images, opacity, corner=(20, 25)):
    """Images under the logo, and alpha (H, W)."""
    mark = logo() / 255
    alpha, light = np.zeros((HEIGHT, WIDTH)), np.zeros((3, HEIGHT, WIDTH))
    y, x = corner
    alpha[y : y + 30, x : x + 50] = opacity * mark[..., 3]
    light[:, y : y + 30, x : x + 50] = opacity * (mark[..., 3:] * mark[..., :3]).transpose(2, 0, 1)
    marked = (1 - alpha) * images + 255 * light
    return np.rint(marked).astype(np.uint8), alpha


def psnr(images, clean, alpha):
    inside = np.broadcast_to(alpha > 0, clean.shape)
    return -10 * np.log10(np.square((images / 255.0 - clean / 255.0)[inside]).mean())


def whole(mark):
    alpha = np.zeros((HEIGHT, WIDTH))
    alpha[mark.area[1:]] = mark.alpha
    return alpha


@pytest.fixture(scope="module")
def clean():
    return np.stack([scene(number) for number in range(COUNT)])


@pytest.mark.parametrize("opacity", [0.3, 0.7])
def test_a_mark_is_found_with_its_opacity_and_taken_away(clean, opacity):
    marked, alpha = laid(clean, opacity)
    mark, sharing = unmarking.estimate(marked)
    assert sharing.all()
    assert np.corrcoef(whole(mark).ravel(), alpha.ravel())[0, 1] > 0.95
    assert mark.opacity == pytest.approx(opacity, rel=0.1)
    reds = mark.colour[:, mark.matte > 0.9]
    assert np.abs(reds[0] - reds[0].round(1)).mean() < 0.1
    output = np.stack([unmarking.remove(image, mark) for image in marked])
    assert psnr(output, clean, alpha) > psnr(marked, clean, alpha) + 15
    far = np.broadcast_to(ndimage.binary_dilation(alpha > 0, iterations=6), clean.shape)
    np.testing.assert_array_equal(output[~far], clean[~far])


def test_images_that_do_not_share_the_mark_are_told_apart(clean):
    marked, alpha = laid(clean, 0.6)
    without = [0, 7, 8, 21]
    marked[without] = clean[without]
    marked[5] = laid(np.full_like(clean[5], 90), 0.6)[0]  # a photograph of one colour
    mark, sharing = unmarking.estimate(marked)
    assert np.flatnonzero(~sharing).tolist() == without
    assert np.corrcoef(whole(mark).ravel(), alpha.ravel())[0, 1] > 0.95


def test_deep_pixels_in_gray_and_bands_of_rows_give_the_same(clean, monkeypatch):
    marked, alpha = laid(clean, 0.5)
    gray = marked[:, :1].astype(np.uint16) * 257
    mark, _ = unmarking.estimate(gray)
    assert unmarking.remove(gray[0], mark).dtype == np.uint16
    assert np.corrcoef(whole(mark).ravel(), alpha.ravel())[0, 1] > 0.95
    monkeypatch.setattr(unmarking, "BAND", 1)
    np.testing.assert_allclose(unmarking.estimate(gray)[0].alpha, mark.alpha, atol=1e-4)


def test_in_large_images_it_is_first_looked_for_in_small_ones(clean, monkeypatch):
    marked, alpha = laid(clean, 0.6)
    monkeypatch.setattr(unmarking, "SEARCHED", 50)
    mark, _ = unmarking.estimate(marked)
    assert np.corrcoef(whole(mark).ravel(), alpha.ravel())[0, 1] > 0.95


def test_where_there_is_nothing_to_be_found_that_is_said(clean):
    with pytest.raises(InputError, match="no mark to be found that the 30 images share"):
        unmarking.estimate(clean)
    with pytest.raises(InputError, match="no mark to be found"):
        unmarking.estimate(np.full_like(clean, 90))
    with pytest.raises(InputError, match="from 20 images or more that carry it, but there are 19"):
        unmarking.estimate(clean[:19])


@pytest.mark.parametrize("opacity", [0.3, 0.7])
def test_a_mark_that_is_known_is_found_in_one_image(clean, opacity):
    pixels = logo() / 255
    given = pixels[..., 3], pixels[..., :3].transpose(2, 0, 1)
    for number, corner in ((0, (3, 40)), (4, (40, 5))):
        marked, alpha = laid(clean[number], opacity, corner)
        mark = unmarking.locate(marked, *given)
        assert mark.corner == corner
        assert mark.opacity == pytest.approx(opacity, abs=0.05)
        output = unmarking.remove(marked, mark)
        assert psnr(output, clean[number], alpha) > psnr(marked, clean[number], alpha) + 12
    with pytest.raises(InputError, match="The mark is not to be found in it"):
        unmarking.locate(clean[1], *given)
    with pytest.raises(InputError, match="The mark is 50x30, larger than the image, 40x72"):
        unmarking.locate(clean[1][:, :, :40], *given)


# ---- the command


@pytest.fixture(scope="module")
def photos(clean, tmp_path_factory):
    path = tmp_path_factory.mktemp("unmark")
    (path / "photos").mkdir()
    marked, _ = laid(clean, 0.5)
    marked[3] = clean[3]
    for number, image in enumerate(marked):
        Image.fromarray(image.transpose(1, 2, 0)).save(path / "photos" / f"{number:02}.png")
    Image.fromarray(logo()).save(path / "logo.png")
    return path


def test_a_folder_is_cleaned_and_the_mark_written(photos, clean, capsys):
    out = photos / "clean"
    assert run("unmark", photos / "photos", "--out", out) == 0
    said = capsys.readouterr()
    assert "of opacity 0.5" in said.out
    assert "29 of 30 images share it" in said.out
    assert said.err.endswith("03.png does not have the mark.\n")
    read = data.read(out)
    np.testing.assert_array_equal(read.array[3], clean[3])
    assert np.abs(read.array.astype(float) - clean).mean() < 0.5
    with Image.open(photos / "clean-mark.png") as mark:
        assert mark.mode == "RGBA"
        assert mark.size[0] == pytest.approx(50, abs=4)
    assert (photos / "clean-comparison.png").is_file()


def test_one_image_is_enough_with_the_marks_own_file(photos, clean, capsys):
    out = photos / "one.png"
    words = ("--mark", photos / "logo.png", "--out", out)
    assert run("unmark", photos / "photos" / "07.png", *words, "--json") == 0
    found = json.loads(capsys.readouterr().out)["marks"]["07.png"]
    assert found["opacity"] == pytest.approx(0.5, abs=0.05)
    output = data.read(out).array[0]
    assert np.abs(output.astype(float) - clean[7]).mean() < 0.5


MISTAKES = {
    "unmark photos --out clean.png": "clean.png is one image and photos has more: give a",
    "unmark photos/07.png --out clean.png": "from 20 images or more that carry it, but there is 1",
    "unmark nowhere --out clean": "nowhere is no image and no folder of images: give one of these",
    "unmark mixed --out clean": "of 21 at most 11 are alike, 96x72 (width x height)",
    "unmark photos/07.png --mark large.png --out clean.png": (
        "The mark is 200x200, larger than the image, 96x72 (width x height)"
    ),
    "unmark photos/03.png --mark ../logo.png --out clean.png": "The mark is not to be found in it",
    "unmark photos/03.png --mark nowhere.png --out clean.png": "nowhere.png cannot be read",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_mistakes_are_said_in_a_sentence(words, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").symlink_to(photos / "photos")
    (tmp_path / "mixed").mkdir()
    for number in range(21 if "mixed" in words else 0):
        size = (96, 72) if number % 2 == 0 else (90, 72)
        Image.new("RGB", size).save(tmp_path / "mixed" / f"{number}.png")
    Image.new("RGBA", (200, 200), "white").save(tmp_path / "large.png")
    words = words.replace("../logo.png", str(photos / "logo.png"))
    assert MISTAKES[words.replace(str(photos), "..")] in failed(capsys, *words.split())
    assert not list(tmp_path.glob("clean*"))
