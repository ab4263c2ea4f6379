"""The score of shapes, and the recipes for one-class data and for codes."""

import numpy as np
import pytest
import torch
from conftest import PLAIN
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

from diabolo import AnomalyDetector, Autoencoder, load, recipes
from diabolo.data import load_mnist
from diabolo.errors import InputError
from diabolo.models import MODELS
from diabolo.params import from_config
from diabolo.tasks import edges, oddness


@pytest.fixture(scope="module")
def digits():
    """Eights to learn from; twenty eights and twenty ones, white on black."""
    (x, y), (t, labels) = load_mnist()
    return x[y == 8][:600], np.concatenate([t[labels == 8][:60], t[labels == 1][:60]])


@pytest.fixture(scope="module")
def model(digits):
    given = {"latent_dim": 16, "hidden": (64,), "scaling": "standard", "epochs": 10}
    given = PLAIN | given | {"learning_rate": 3e-3}
    return Autoencoder(**given, random_state=0, device="cpu").fit(digits[0])


def scored(model, digits, criterion="shape"):
    return AnomalyDetector(model, prefit=True, criterion=criterion, random_state=0).fit(
        digits[1][:60]
    )


def test_the_score_is_the_blurred_error_over_the_blurred_brightness(model, digits):
    tested = digits[1]
    x = tested / 255
    output = model.net_.scaling.scale.item() / 255 * _scaled(model, tested)
    output += model.net_.scaling.shift.item() / 255

    def power(values):
        blurred = gaussian_filter(values, (0, 1.5, 1.5), mode="constant", truncate=20)
        return np.square(blurred).mean(axis=(1, 2))

    expected = -power(output - x) / np.sqrt(power(x))
    np.testing.assert_allclose(scored(model, digits).score_samples(tested), expected, rtol=1e-3)


def _scaled(model, x):
    """The network's own output for these images, before it is clipped."""
    with torch.no_grad():
        rows = torch.from_numpy(x.reshape(len(x), -1))
        output = model.net_.decoder(model.net_.encode(rows))
    return output.double().numpy().reshape(x.shape)


def test_a_stroke_beside_its_place_counts_less_than_one_far_away():
    line = torch.zeros(28, 28, dtype=torch.float64)
    line[10] = 1
    near, far = line.roll(1, 0), line.roll(10, 0)
    cost = [oddness.blurred(line - other, 0).square().sum() for other in (near, far)]
    assert cost[0] < 0.2 * cost[1]
    assert float(oddness.blurred(line, 0)[:, 14].sum()) == pytest.approx(1, abs=1e-6)


def test_thin_digits_pass_as_normal_by_the_error_and_not_by_the_shape(model, digits):
    odd = np.arange(120) >= 60

    def auroc(criterion):
        return roc_auc_score(odd, -scored(model, digits, criterion).score_samples(digits[1]))

    assert auroc("shape") > 0.9 > auroc("reconstruction")


def test_a_black_image_has_a_score(model, digits):
    black = np.zeros((1, 28, 28), np.uint8)
    scores = scored(model, digits).score_samples(np.concatenate([black, digits[1]]))
    assert np.isfinite(scores).all()
    assert scores[0] == scores.min()


def test_a_file_gives_it_back(model, digits, tmp_path):
    detector = scored(model, digits)
    detector.save(tmp_path / "detector.safetensors")
    again = load(tmp_path / "detector.safetensors")
    assert again.criterion == "shape"
    np.testing.assert_array_equal(
        again.score_samples(digits[1]), detector.score_samples(digits[1])
    )


@pytest.mark.parametrize("criterion", ["shape", "edges"])
def test_a_table_has_no_shapes(criterion):
    rows = np.random.default_rng(0).random((40, 6), dtype=np.float32)
    with pytest.raises(InputError, match=f"criterion='{criterion}' is for images: give X as"):
        AnomalyDetector(Autoencoder(latent_dim=2), criterion=criterion).fit(rows)


def test_edges_hardly_change_when_an_image_moves_or_is_lit(digits):
    x = torch.from_numpy(digits[1].reshape(120, -1)).double()
    moved = torch.from_numpy(np.roll(digits[1], 1, axis=2).reshape(120, -1)).double()
    found, beside, lit = (edges.features(rows, (1, 28, 28)) for rows in (x, moved, x / 2 + 9))
    torch.testing.assert_close(lit, found)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(120).double())
    near, far = (found - beside).norm(dim=1), torch.cdist(found[:60], found[60:])
    assert near.max() < far.min()
    rows, columns = np.indices((28, 28))
    for angle, shares in ((np.pi / 2, [0, 0, 1, 0]), (3 * np.pi / 8, [0, 0.5, 0.5, 0])):
        slope = columns * np.cos(angle) + rows * np.sin(angle)
        part = edges.features(torch.from_numpy(slope.reshape(1, -1)), (1, 28, 28))
        part = part.unflatten(1, (8, 7, 7))[0, :, 3, 3].square()
        np.testing.assert_allclose(part / part.sum(), [*shares, 0, 0, 0, 0], atol=1e-6)
    assert not edges.features(torch.zeros(1, 28 * 28), (1, 28, 28)).any()


def test_the_nearest_edges_tell_eights_from_ones(digits, model, tmp_path):
    detector = AnomalyDetector(model, prefit=True, criterion="edges", random_state=0)
    detector.fit(digits[0])
    scores = detector.score_samples(digits[1])
    assert roc_auc_score(np.arange(120) >= 60, -scores) > 0.99
    np.testing.assert_array_equal(detector.score_samples(digits[1][7:9]), scores[7:9])
    detector.save(tmp_path / "d.safetensors")
    np.testing.assert_array_equal(
        load(tmp_path / "d.safetensors").score_samples(digits[1]), scores
    )


@pytest.mark.parametrize(("name", "code"), [("one-class", 16), ("embed-32", 32), ("embed-2", 2)])
def test_the_recipes_train_and_give_their_codes(name, code, digits):
    model = from_config(recipes.read(name).model, MODELS)
    model.set_params(epochs=1, random_state=0, device="cpu")
    assert model.fit(digits[0][:128]).transform(digits[1]).shape == (120, code)
