"""Every picture renders without a warning, legible on any page, and shows what was given."""

import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from diabolo import figures, report
from diabolo.errors import InputError
from diabolo.figures import fonts, style

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.random((12, 28, 28))
COLOUR = RANDOM.random((12, 3, 16, 20))
CODES = RANDOM.standard_normal((12, 32))
pytestmark = pytest.mark.usefixtures("drawn")


@dataclass(frozen=True)
class Layer:
    part: str
    name: str
    shape: tuple[int, ...]
    parameters: int = 0


DENSE = [
    Layer("encoder", "Linear", (32,), 25120),
    Layer("encoder", "ReLU", (32,)),
    Layer("decoder", "Linear", (784,), 25872),
    Layer("decoder", "Sigmoid", (784,)),
]
VAE = [
    Layer("encoder", "Conv2d 3x3 /2", (32, 14, 14), 320),
    Layer("encoder", "ReLU", (32, 14, 14)),
    Layer("encoder", "Linear", (32,), 200736),
    Layer("code", "Sampling", (16,)),
    Layer("decoder", "Linear", (6272,), 106624),
    Layer("decoder", "ConvTranspose2d 3x3 /2", (1, 28, 28), 289),
    Layer("decoder", "Sigmoid", (1, 28, 28)),
]

PICTURES = {
    "loss": lambda: figures.loss([0.3, 0.2, 0.1], [0.25, 0.2, 0.15], unit="nats"),
    "loss, one epoch": lambda: figures.loss([0.3], [0.2], unit="nats", first_epoch=7),
    "loss, diverged": lambda: figures.loss([0.3, np.inf, np.nan], unit="nats"),
    "iterations": lambda: figures.iterations(10 / np.arange(1, 3001), unit="nats", title="1"),
    "iterations, one": lambda: figures.iterations([0.5], unit="nats", title="Epoch: 1"),
    "iterations, zero": lambda: figures.iterations([0.0] * 500, unit="nats", title="Epoch: 1"),
    "iterations, diverged": lambda: figures.iterations([1, np.inf] * 200, unit="n", title="1"),
    "histogram": lambda: figures.error_histogram(RANDOM.pareto(1.5, 2000), unit="mse"),
    "histogram, constant": lambda: figures.error_histogram([0.01] * 9, unit="mse"),
    "histogram, one": lambda: figures.error_histogram([0.0], unit="mse"),
    "rows": lambda: figures.rows([("original", IMAGES), ("code", CODES), ("output", IMAGES)]),
    "rows, colour": lambda: figures.rows([("a", COLOUR), ("b", COLOUR[:, :1])], title="Rows"),
    "rows, one": lambda: figures.rows([("original", IMAGES[:1]), ("code", CODES[:1, :2])]),
    "rows, empty cells": lambda: figures.rows([("code", RANDOM.random((3, 37)))]),
    "rows, flat": lambda: figures.rows([("a", np.zeros((3, 9, 9))), ("code", np.zeros((3, 4)))]),
    "rows, large": lambda: figures.rows([("a", RANDOM.random((10, 3, 200, 200)))]),
    "rows, captions": lambda: figures.rows([("a", IMAGES)], captions={"a": ["10.0 dB"] * 12}),
    "traversal": lambda: figures.traversal(IMAGES.reshape(3, 4, 28, 28), list("abc")),
    "grid": lambda: figures.grid(RANDOM.random((64, 28, 28)), title="Generated Images"),
    "grid, one": lambda: figures.grid(COLOUR[:1], title="A title that is wider than the image"),
    "strip": lambda: figures.strip(IMAGES, captions=[str(i) for i in range(12)]),
    "strip, wrapped": lambda: figures.strip(np.concatenate([IMAGES, IMAGES[:1]])),
    "table": lambda: figures.table_rows(CODES, CODES + 0.1, [f"{i}" * 30 for i in range(32)]),
    "table, one": lambda: figures.table_rows(CODES[:1, :5], CODES[:1, :5], list("abcde")),
    "latent": lambda: figures.latent(RANDOM.random((200, 2)), np.arange(200) % 10, title="2-D"),
    "latent, one": lambda: figures.latent(np.zeros((1, 2)), np.array(["a"])),
    "latent, many classes": lambda: figures.latent(CODES[:, :2], np.arange(12), axes=("a", "b")),
    "latent, no labels": lambda: figures.latent(CODES[:, :2]),
    "architecture": lambda: figures.architecture(DENSE, input_shape=(784,)),
    "architecture, VAE": lambda: figures.architecture(VAE, input_shape=(1, 28, 28), title="V"),
}


@pytest.fixture(autouse=True)
def paper():
    with figures.theme():
        yield


def words(figure):
    """All texts of a figure that are shown."""
    texts = [t.get_text() for axes in figure.axes for t in axes.texts]
    for axes in figure.axes:
        legend = axes.get_legend()
        texts += [t.get_text() for t in legend.get_texts()] if legend else []
        texts += [axes.get_xlabel(), axes.get_ylabel(), axes.get_title("left")]
    return texts


@pytest.mark.parametrize("draw", PICTURES.values(), ids=PICTURES.keys())
def test_every_picture_renders(draw):
    figure = draw()
    assert isinstance(figure, Figure)
    for text in figure.findobj(Text):
        if text.get_text():
            assert contrast(text.get_color(), style.PAPER) >= 4.5, text
    image = Image.open(io.BytesIO(figures.to_png(figure)))
    assert image.convert("RGBA").getextrema()[3] == (255, 255), "opaque, so legible on any page"
    pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape[1] <= figures.WIDTH
    paper = np.array([int(style.PAPER[i : i + 2], 16) for i in (1, 3, 5)])
    assert (pixels[0] == paper).all(), "the paper's colour, and nothing that touches its edge"
    assert (pixels[-1] == paper).all()
    assert (pixels[:, 0] == paper).all()
    assert (pixels[:, -1] == paper).all()
    assert (pixels != paper).any()


def luminance(colour):
    """Of WCAG 2.2, from 0 (black) to 1."""
    values = np.array(to_rgb(colour))
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(a, b):
    low, high = sorted(map(luminance, (a, b)))
    return (high + 0.05) / (low + 0.05)


def dimmed(colour, by):
    return tuple(by * value for value in to_rgb(colour))


def test_letters_and_lines_stand_out_from_the_paper():
    assert contrast("black", "white") == pytest.approx(21)
    page = (Path(report.__file__).parent / "frame.html").read_text(encoding="utf-8")
    dark = float(re.search(r"figure img \{ filter: brightness\((.+?)\)", page)[1])
    for by in (1, dark):
        paper = dimmed(style.PAPER, by)
        letters = [dimmed(colour, by) for colour in (style.TEXT, style.MUTED)]
        lines = [dimmed(colour, by) for colour in style.COLOURS]
        assert min(contrast(colour, paper) for colour in letters) >= 4.5
        assert min(contrast(colour, paper) for colour in lines) >= 3
    assert len(set(style.COLOURS)) == 10


def test_a_png_is_the_same_each_time():
    assert figures.to_png(PICTURES["rows"]()) == figures.to_png(PICTURES["rows"]())


@pytest.mark.parametrize(
    ("k", "shape"),
    [
        (1, (1, 1)),
        (2, (1, 2)),
        (4, (2, 2)),
        (16, (4, 4)),
        (20, (1, 20)),
        (32, (1, 32)),
        (36, (6, 6)),
        (37, (6, 7)),
        (48, (6, 8)),
        (62, (8, 8)),
        (64, (8, 8)),
        (128, (8, 16)),
        (784, (28, 28)),
    ],
)
def test_shape_of_a_code(k, shape):
    assert figures.code_shape(k) == shape


def test_every_code_fits_its_shape():
    for k in range(1, 500):
        rows, columns = figures.code_shape(k)
        assert 0 <= rows * columns - k < columns


def test_pictures_are_shown_pixel_by_pixel_at_a_whole_multiple():
    checks = np.indices((28, 28)).sum(axis=0) % 2
    png = figures.to_png(figures.grid(np.stack([checks] * 25)))
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("L"))
    left, size = figures.MARGIN, 140
    inner = pixels[left : left + size, left : left + size]
    expected = np.kron(checks * 255, np.ones((5, 5)))
    np.testing.assert_array_equal(inner[2:-2, 2:-2], expected[2:-2, 2:-2])


def test_a_long_title_widens_a_small_picture():
    narrow, wide = (figures.grid(IMAGES[:1], title=title) for title in ["Digit", "Digit" * 10])
    assert narrow.get_figwidth() < 0.5 * wide.get_figwidth()


def test_codes_span_black_to_white_over_their_row():
    figure = figures.rows([("code", np.array([[0.0, 1, 2, 3, 4, 5], [5, 6, 7, 8, 9, 10]]))])
    first, second = (image.get_array() for image in figure.axes[0].images)
    np.testing.assert_allclose(first, [[0, 0.1, 0.2, 0.3, 0.4, 0.5]])
    np.testing.assert_allclose(second, [[0.5, 0.6, 0.7, 0.8, 0.9, 1]])


def test_gray_means_the_same_in_every_picture():
    figure = figures.rows([("a", np.full((2, 8, 8), 0.4)), ("b", np.full((2, 8, 8), 7.0))])
    assert [image.get_clim() for image in figure.axes[0].images] == [(0, 1)] * 4
    assert figure.axes[0].images[2].get_array().max() == 1


def test_loss_names_axes_and_last_values():
    shown = words(figures.loss([0.3, 0.0921], [0.3, 0.0927], unit="nats per pixel"))
    assert {"Epoch", "Loss (nats per pixel)", "training  0.0921"} <= set(shown)
    assert "validation  0.0927" in shown


def test_epochs_are_counted_from_the_first():
    figure = figures.loss([3, 2, 1], unit="nats", first_epoch=5)
    assert list(figure.axes[0].lines[0].get_xdata()) == [5, 6, 7]


def test_first_iterations_do_not_spoil_the_view():
    steady = np.full(2000, 20.0) + RANDOM.random(2000)
    steady[:10] = 500
    figure = figures.iterations(steady, unit="nats", title="Epoch: 1, Elapsed: 00:00:09")
    low, high = figure.axes[0].get_ylim()
    assert low == 0
    assert high < 30
    shown = words(figure)
    assert "Iteration, 10 of 2,000 beyond the view" in shown
    assert "Epoch: 1, Elapsed: 00:00:09" in shown


@pytest.mark.parametrize("errors", [RANDOM.random(500), RANDOM.pareto(1.2, 500), [0.5] * 7])
def test_labels_of_the_histogram_do_not_overlap(errors):
    figure = figures.error_histogram(errors, unit="mse")
    figures.to_png(figure)
    boxes = [t.get_window_extent() for t in figure.axes[0].texts]
    assert len(boxes) == 5
    plot = figure.axes[0].bbox
    for i, box in enumerate(boxes):
        assert plot.x0 <= box.x0
        assert box.x1 <= plot.x1
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])


def test_histogram_tells_mean_and_percentiles():
    shown = words(figures.error_histogram(np.arange(101) / 100, unit="mse"))
    assert {"Test Data", "Error (mse)", "Frequency"} <= set(shown)
    assert {"5% below  0.0500", "mean  0.500", "99% below  0.990"} <= set(shown)


def test_names_of_classes_at_one_place_are_moved_apart():
    points = 20 * RANDOM.random((50, 2))
    figure = figures.latent(np.concatenate([points, points + 1e-3]), np.repeat([3, 8], 50))
    figures.to_png(figure)
    first, second = (t.get_window_extent() for t in figure.axes[0].texts)
    assert not first.overlaps(second)


def test_architecture_tells_parts_and_totals():
    shown = words(figures.architecture(DENSE, input_shape=(784,)))
    assert shown.count("Linear + ReLU") == shown.count("Linear + Sigmoid") == 2
    assert {"encoder 25,120", "decoder 25,872", "total 50,992"} <= set(shown)
    assert shown.count("Code") == 3
    assert {"input", "encoder", "code", "decoder"} <= set(shown)


def test_architecture_with_a_layer_of_the_code():
    shown = words(figures.architecture(VAE, input_shape=(1, 28, 28)))
    assert (shown.count("Sampling"), shown.count("Code")) == (2, 1)
    assert "encoder 201,056" in shown
    assert "1 × 28 × 28" in shown  # noqa: RUF001


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: figures.rows([("a", IMAGES), ("b", IMAGES[:3])]), r"one length, not \[3, 12\]"),
        (lambda: figures.rows([]), "one length"),
        (lambda: figures.grid(IMAGES[:0]), "no pictures"),
        (lambda: figures.grid(RANDOM.random((2, 5, 8, 8))), r"\(2, 5, 8, 8\)"),
        (lambda: figures.loss([], unit="nats"), "no numbers"),
        (lambda: figures.error_histogram([np.nan], unit="mse"), "no numbers"),
        (lambda: figures.latent(CODES), r"\(12, 32\)"),
        (lambda: figures.table_rows(CODES, CODES, ["a"]), "1 names"),
    ],
)
def test_mistakes_are_named(draw, message):
    with pytest.raises(InputError, match=message):
        draw()


# ---- names in every script


def test_a_font_installed_since_matplotlib_listed_them_is_found(monkeypatch):
    manager, kept = fonts.fontManager, fonts.fontManager.ttflist
    path = next(font.fname for font in kept if font.name == "STIXGeneral")
    monkeypatch.setattr(fonts, "RICH", re.compile("STIX"))
    monkeypatch.setattr(manager, "ttflist", [f for f in kept if "STIX" not in f.name])
    monkeypatch.setattr(fonts, "findSystemFonts", lambda: [path, __file__])
    assert fonts._rich.__wrapped__() == ("STIXGeneral",)


@pytest.fixture
def few_fonts(monkeypatch):
    """A machine with one further font, which has \u1d84 but no 写."""
    monkeypatch.setattr(fonts, "_rich", lambda: ("STIXGeneral",))
    monkeypatch.setattr(fonts, "_others", fonts._others.__wrapped__)


@pytest.mark.usefixtures("few_fonts")
@pytest.mark.parametrize(
    ("text", "drawn", "families"),
    [
        ("plain.png", "plain.png", ("sans-serif",)),
        ("été.png", "été.png", ("sans-serif",)),
        ("e\u0301", "é", ("sans-serif",)),
        ("\u1d84.png", "\u1d84.png", ("sans-serif", "STIXGeneral")),
        ("写\u1d84", "\\u5199\u1d84", ("sans-serif", "STIXGeneral")),
        ("사진", "\\uc0ac\\uc9c4", ("sans-serif",)),
        ("a\tb\ud800\nc", "a?b?\nc", ("sans-serif",)),
    ],
)
def test_letters_are_taken_from_another_font_or_escaped(text, drawn, families):
    assert fonts.legible(text) == drawn
    assert fonts.families(text) == families


@pytest.mark.usefixtures("few_fonts")
def test_names_of_any_letters_are_drawn_without_a_warning():
    names = [
        "写真の長い長い長い長い長い長い長い長い長い名前.jpg",
        "$x^$.png",
        "사진\u1d84",
        "plain.png",
    ]
    columns = figures.table_rows(CODES[:, :4], CODES[:, :4], names)
    odd = figures.odd_columns(np.abs(CODES[:, :4]), list("abcdefghijkl"), names)
    captions = [f"{name}\n1 away" for name in names]
    near = figures.neighbours(IMAGES[:4], captions)
    named = figures.latent(RANDOM.random((4, 2)), np.array(names))
    for figure in (columns, odd, near, named):
        assert figures.to_png(figure)
    shown = "".join(words(near))
    assert "…" in shown
    assert "\\uc0ac" in shown
    assert "写" not in shown
    assert figures.style.shortened("写真の01.jpg", 100) == "??の01.jpg", "as no other"
