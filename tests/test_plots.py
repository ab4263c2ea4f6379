"""Plots for notebooks: they show themselves, and draw on axes that are given."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.exceptions import NotFittedError
from tests.conftest import SMALL

from diabolo import (
    Autoencoder,
    plot_codes,
    plot_errors,
    plot_loss,
    plot_reconstructions,
)
from diabolo.errors import InputError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 8, 8), dtype=np.uint8)
SAMPLES = {
    "images": IMAGES,
    "rows": RNG.random((40, 5), dtype=np.float32),
    "volumes": RNG.random((40, 1, 4, 5, 6), dtype=np.float32),
}
PLOTS = {
    "loss": lambda model, X, **on: plot_loss(model, **on),
    "reconstructions": lambda model, X, **on: plot_reconstructions(model, X, n=4, **on),
    "codes": lambda model, X, **on: plot_codes(model, X, np.arange(len(X)) % 3, **on),
    "errors": plot_errors,
}


@pytest.fixture(scope="module")
def fitted():
    return {kind: Autoencoder(**SMALL).fit(X) for kind, X in SAMPLES.items()}


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_shows_itself(fitted, name, kind):
    png = PLOTS[name](fitted[kind], SAMPLES[kind])._repr_png_()
    assert png.startswith(b"\x89PNG")
    assert len(png) > 2000


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_is_drawn_on_given_axes(fitted, name):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert PLOTS[name](fitted["images"], IMAGES, ax=right) is figure
    assert not left.has_data()
    assert right.has_data()


def test_signals_are_lines():
    X = RNG.random((40, 1, 12), dtype=np.float32)
    model = Autoencoder(**SMALL, dimensions=1).fit(X)
    assert plot_reconstructions(model, X).axes[0].lines


def test_what_cannot_be_drawn_gets_a_sentence(fitted):
    two = RNG.random((40, 2, 6, 6), dtype=np.float32)
    with pytest.raises(InputError, match="one channel or three"):
        plot_reconstructions(Autoencoder(**SMALL).fit(two), two)
    with pytest.raises(NotFittedError):
        plot_loss(Autoencoder())


@pytest.mark.usefixtures("drawn")
def test_the_loss_is_drawn_while_training_in_a_notebook(monkeypatch, capsys):
    IPython = pytest.importorskip("IPython")
    shown = []
    handle = SimpleNamespace(update=lambda image: shown.append(image.data))
    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(kernel=1))
    monkeypatch.setattr(IPython.display, "display", lambda **how: handle)
    monkeypatch.setattr("diabolo.progress.SHARE", 0)
    Autoencoder(**SMALL).fit(IMAGES)
    assert not shown
    Autoencoder(**SMALL, verbose=True).fit(IMAGES)
    assert len(shown) == SMALL["epochs"]
    assert shown[0].startswith(b"\x89PNG")
    assert shown[0] != shown[1]
    assert capsys.readouterr() == ("", "")
