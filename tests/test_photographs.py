"""Pieces of photographs as a source: what they are, where they lie, and the marks over them."""

import json

import numpy as np
import pytest
import torch
from conftest import run
from PIL import Image

from diabolo import Autoencoder, data
from diabolo.corruption import GaussianNoise, Watermark
from diabolo.data import photographs
from diabolo.data.source import Source
from diabolo.errors import InputError
from diabolo.tasks.evaluation import outcome, quality
from diabolo.train import generator

SIZES = [(40, 60), (50, 30), (64, 48), (33, 57)]


def saved(folder, arrays):
    folder.mkdir()
    for name, array in arrays.items():
        Image.fromarray(array).save(folder / name)
    return str(folder)


def numbered(height, width, number):
    """An image of which no two pixels are alike, nor like those of another."""
    return (number * 4096 + np.arange(height * width).reshape(height, width)).astype(np.uint16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    images = {f"{n}.png": numbered(*size, n) for n, size in enumerate(SIZES)}
    return saved(tmp_path_factory.mktemp("numbered") / "photos", images)


def sources(folder, turn="all", n=300, **options):
    return [s.array for s in data.split_photographs(folder, None, size=8, n=n, seed=0, turn=turn)]


def turned(image, way):
    """An image mirrored in x, in y, and with its axes exchanged, as the bits say."""
    image = image[:, ::-1] if way & 1 else image
    image = image[::-1] if way & 2 else image
    return image.T if way & 4 else image


@pytest.mark.parametrize(("turn", "ways"), photographs.TURNS.items())
def test_a_piece_is_what_lies_in_its_window_of_the_turned_photograph(folder, turn, ways):
    train, test = sources(folder, turn)
    assert isinstance(train, Source)
    batch = train.take(torch.arange(len(train)))
    photos = {tuple(size): numbered(*size, n) for n, size in enumerate(SIZES)}
    found = train.places[:, 3].tolist()
    assert set(found) == set(range(ways))
    assert not test.places[:, 3].any()
    for piece, window, way in zip(batch.target, batch.window.tolist(), found, strict=True):
        y, x, height, width = window
        photo = photos[(width, height) if way & 4 else (height, width)]
        expected = turned(photo, way)[y : y + 8, x : x + 8]
        np.testing.assert_array_equal(piece.view(8, 8).numpy(), expected)


def test_photographs_are_held_out_whole_to_validate_on(folder):
    train, test = sources(folder)
    held, rest = train.split(
        *torch.randperm(300, generator=generator(0, "split")).split([60, 240])
    )
    numbers = [set((s.head(500).target[:, 0].int() // 4096).tolist()) for s in (held, rest, test)]
    assert len(held) + len(rest) == 300
    assert min(map(len, (held, rest))) > 30
    assert not numbers[0] & numbers[1]
    assert not (numbers[0] | numbers[1]) & numbers[2]


def test_what_does_not_fit_into_memory_lies_in_a_file(folder, monkeypatch):
    inside, _ = sources(folder)
    monkeypatch.setattr(photographs, "MEMORY", 0)
    mapped, _ = sources(folder)
    index = torch.tensor([5, 2, 299])
    for a, b in zip(mapped.take(index)[:2], inside.take(index)[:2], strict=True):
        assert torch.equal(a, b)
    assert mapped.digest() == inside.digest()
    assert mapped.digest() != sources(folder, "none")[0].digest()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(InputError, match="has no room for"):
        sources(folder)


# ---- pairs


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Smooth photographs of several sizes, and noisy partners in other forms."""
    path, random = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    clean = {}
    for n, (height, width) in enumerate(SIZES):
        y, x = np.mgrid[:height, :width]
        waves = np.sin(random.uniform(0.05, 0.3, 3) * y[..., None] + 0.2 * x[..., None] + n)
        clean[f"{n}.png"] = (128 + 80 * waves).astype(np.uint8)
    noisy = {
        name: (image + random.normal(0, 25, image.shape)).clip(0, 255).astype(np.uint8)
        for name, image in clean.items()
    }
    saved(path / "clean", clean | {"odd.png": clean["0.png"][:30]})
    saved(path / "noisy", noisy | {"odd.png": noisy["0.png"], "alone.png": noisy["0.png"]})
    return path


def test_both_of_a_pair_are_cut_and_turned_alike(pairs):
    words = {"size": 8, "n": 200, "seed": 0, "turn": "all", "noisy": str(pairs / "noisy")}
    train, test = data.split_photographs(str(pairs / "clean"), None, **words)
    assert [sentence.split(" ")[0] for sentence in train.failures] == [
        f"{pairs}/noisy/alone.png",
        f"{pairs}/noisy/odd.png",
    ]
    for samples in (data.cut(train), data.cut(test)):
        off = samples.noisy.astype(float) - samples.array
        assert 15 < off.std() < 30  # the noise alone


def test_pairs_of_photographs_of_any_size_are_learnt_from(pairs, capsys):
    words = ("--noisy", pairs / "noisy", "--clean", pairs / "clean", "--turn", "all")
    words += ("--patches", 240, "--patch-size", 16, "--hidden", "8", "--epochs", 4)
    words += ("--learning-rate", 0.01, "--batch-size", 8, "--out", pairs / "run")
    assert run("fit", "photo-dae", *words) == 2  # two images have no partner
    assert "Number of pairs of patches in the dataset: 240" in capsys.readouterr().out
    numbers = json.loads((pairs / "run" / "metrics.json").read_text())
    assert numbers["test"]["mse"] < 0.85 * numbers["test"]["noisy_mse"]
    assert "full_rank_mse" in numbers["linear"]
    assert run("evaluate", pairs / "run", "--json") == 2
    assert json.loads(capsys.readouterr().out)["test"] == numbers["test"]


def test_a_training_on_pieces_goes_on_where_it_was_stopped(pairs, tmp_path):
    def stop(model):
        raise RuntimeError

    def fitted(checkpoint, callback=None):
        train, _ = data.split_photographs(
            str(pairs / "clean"), None, size=8, n=60, seed=0, turn="all"
        )
        model = Autoencoder(
            network="residual",
            hidden=(4,),
            latent_dim=None,
            epochs=2,
            random_state=0,
            corruption=Watermark("NO"),
            batch_size=8,
            validation_fraction=0.3,
            device="cpu",
        )
        return model.fit(train, checkpoint=checkpoint, callback=callback)

    with pytest.raises(RuntimeError):
        fitted(tmp_path / "a", stop)
    again, whole = fitted(tmp_path / "a"), fitted(tmp_path / "b")
    for a, b in zip(again.net_.parameters(), whole.net_.parameters(), strict=True):
        assert torch.equal(a, b)


# ---- marks


def pieces_of(image, places, size):
    """Pieces (N, C, S, S) of an image (C, H, W), and where they lie."""
    cut = torch.stack([image[:, y : y + size, x : x + size] for y, x in places])
    window = torch.tensor([[y, x, *image.shape[1:]] for y, x in places])
    return cut, window


def test_a_piece_is_marked_as_its_photograph_is():
    image = torch.rand(3, 48, 64, generator=torch.Generator().manual_seed(0))
    mark = Watermark("NO", position="fixed", scale=(0.5, 0.5), opacity=(0.6, 0.6))
    mark.rotation = (20, 20)
    whole = mark.corrupt(image[None], generator(0, "noise"), 0.0, 1.0)
    places = [(0, 0), (16, 24), (20, 17), (32, 48)]
    cut, window = pieces_of(image, places, 16)
    found = mark.corrupt_pieces(cut, window, generator(1, "noise"), 0.0, 1.0)
    assert found.mask[1:3].amax() > 0.9
    torch.testing.assert_close(found.x, pieces_of(whole.x[0], places, 16)[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(found.mask, pieces_of(whole.mask[0], places, 16)[0])


def test_most_pieces_have_some_of_a_mark_that_is_small_in_its_photograph():
    mark = Watermark("NO", scale=(0.1, 0.1))
    window = torch.tensor([[100, 500, 400, 800]]).expand(400, -1)
    found = mark.corrupt_pieces(torch.zeros(400, 1, 32, 32), window, generator(0, "n"), 0.0, 1.0)
    share = (found.mask.flatten(1).amax(1) > 0.5).double().mean()
    assert 0.6 < share < 0.9
    within = mark.corrupt(torch.zeros(400, 1, 32, 32), generator(0, "n"), 0.0, 1.0)
    assert found.mask.sum() > 20 * within.mask.sum()  # of 80 pixels, not of 3


def test_what_is_beside_a_piece_does_not_matter_to_its_mark():
    mark, x = Watermark("NO", scale=(0.3, 0.6)), torch.zeros(2, 1, 16, 16)
    alone = torch.tensor([[10, 10, 40, 60], [0, 0, 40, 60]])
    beside = torch.tensor([[10, 10, 40, 60], [0, 0, 4000, 5000]])
    first, second = (
        mark.corrupt_pieces(x, window, generator(0, "n"), 0.0, 1.0).x[0]
        for window in (alone, beside)
    )
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("width", [60, 300])
def test_a_fine_mark_that_is_laid_small_is_no_moire(tmp_path, width):
    stripes = np.zeros((256, 1024), np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(tmp_path / "mark.png")
    mark = Watermark(image=str(tmp_path / "mark.png"), position="fixed", opacity=(1, 1))
    mark.scale = (0.15, 1.0)
    masks = mark.corrupt(torch.zeros(40, 1, 80, width), generator(0, "n"), 0.0, 1.0).mask
    inside = masks[:, 0, 39:41, width // 2 - 3 : width // 2 + 3]
    assert (inside - 0.5).abs().max() < 0.05


def test_the_error_inside_a_mark_is_measured_on_pieces_where_they_lie(pairs):
    train, test = (
        data.cut(samples)
        for samples in data.split_photographs(str(pairs / "clean"), None, size=8, n=60, seed=0)
    )
    mark = Watermark("NO", opacity=(0.5, 0.5), scale=(0.9, 0.9), position="fixed")
    model = Autoencoder(latent_dim=2, hidden=(), epochs=1, corruption=mark, random_state=0)
    model.fit(train.array)
    found = outcome(model, test.array, window=test.window)
    whole = outcome(model, test.array)
    assert np.abs(found.masks - whole.masks).mean() > 0.1
    numbers = quality(model, found)
    off = (found.seen - found.clean)[np.broadcast_to(found.masks > 0, found.seen.shape)]
    assert numbers["noisy_mark_psnr"] == pytest.approx(-10 * np.log10((off**2).mean()), abs=1e-3)
    assert numbers["mark_psnr"] < 40


def test_a_corruption_of_ones_own_need_not_know_of_pieces():
    class Own(GaussianNoise, kind="own-noise-of-a-test"):
        pass

    x, window = torch.zeros(2, 1, 4, 4), torch.tensor([[0, 0, 9, 9]] * 2)
    noise = Own(0.1)
    found = noise.corrupt_pieces(x, window, generator(0, "n"), 0.0, 1.0).x
    assert torch.equal(found, noise.corrupt(x, generator(0, "n"), 0.0, 1.0).x)


def test_no_photograph_is_on_both_sides_of_a_validation_split(pairs):
    words = {"size": 8, "n": 60, "seed": 0, "noisy": str(pairs / "noisy")}
    train, _ = data.split_photographs(str(pairs / "clean"), None, **words)
    both = train.array.both_ways()
    for source, held in ((both, both.parted(12)), (train.array, train.array.parted(12))):
        of = len(train.array.layout)
        inside, outside = ({int(n) % of for n in part.places[:, 0]} for part in held)
        assert not inside & outside
        assert sum(map(len, held)) == len(source)
