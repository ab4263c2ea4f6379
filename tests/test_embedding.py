"""Codes put to use: likest samples, maps, files of codes with their names, and kNN."""

import json

import numpy as np
import pandas as pd
import pytest
from conftest import failed, run
from matplotlib.text import Text
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from diabolo import Autoencoder
from diabolo.data import load_mnist, mapped, read, read_codes
from diabolo.errors import InputError
from diabolo.figures import sample_map, snap, theme, to_png
from diabolo.tasks.embedding import knn_accuracy, near_codes, neighbours, plane

SMALL = {"latent_dim": 3, "hidden": (6,), "epochs": 1, "random_state": 0, "device": "cpu"}
ROWS = np.random.default_rng(0).random((50, 6), dtype=np.float32)
NO_PICTURE = "There is no picture of this model's samples, which are no images"


@pytest.fixture(scope="module")
def digits():
    return load_mnist()[1][0][:60]


@pytest.fixture(scope="module")
def tables():
    return Autoencoder(**SMALL).fit(ROWS)


@pytest.fixture(scope="module")
def built(tmp_path_factory, digits, tables):
    """Models of gray images, colour images and rows, and folders of images."""
    room = tmp_path_factory.mktemp("room")
    Autoencoder(**SMALL).fit(digits).save(room / "gray.safetensors")
    tables.save(room / "rows.safetensors")
    colour = np.random.default_rng(0).integers(0, 256, (12, 3, 10, 6), dtype=np.uint8)
    Autoencoder(**SMALL).fit(colour).save(room / "colour.safetensors")
    for folder in ("photos/b", "colours", "empty"):
        (room / folder).mkdir(parents=True)
    for i in range(6):
        Image.fromarray(digits[i]).save(room / "photos" / f"{'b/' if i % 2 else ''}{i}.png")
    Image.fromarray(digits[3]).save(room / "photos/copy.png")
    for i, pixels in enumerate(colour):
        Image.fromarray(pixels.transpose(1, 2, 0)).save(room / f"colours/{i}.png")
    Image.fromarray(digits[0][:20]).save(room / "low.png")
    np.save(room / "rows.npy", ROWS)
    np.save(room / "row.npy", ROWS[:1])
    return room


@pytest.fixture
def room(built, monkeypatch, tmp_path):
    """Results go to the working folder `out`, beside links to what was built."""
    for path in built.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---- neighbours


def test_neighbours_are_those_of_brute_force(tables):
    found = neighbours(tables, ROWS[:7] + 0.01, ROWS, n=5)
    a, z = (tables.transform(x).astype(np.float64) for x in (ROWS[:7] + 0.01, ROWS))
    distances = np.sqrt(((a[:, None] - z) ** 2).sum(axis=2))
    assert np.array_equal(found.indices, distances.argsort(axis=1)[:, :5])
    assert np.allclose(found.distances, np.sort(distances, axis=1)[:, :5], rtol=1e-12)


def test_what_is_among_the_samples_is_found_first_and_the_first_of_two(tables):
    twice = np.concatenate([ROWS, ROWS[::-1]])
    found = neighbours(tables, ROWS[:4], twice, n=3)
    assert np.array_equal(found.indices[:, :2], [[i, 99 - i] for i in range(4)])
    assert (found.distances[:, :2] == 0).all()
    assert (found.distances[:, 2] > 0).all()


def test_more_neighbours_than_samples_are_refused(tables):
    with pytest.raises(InputError, match="n is 51, but X has only 50 samples"):
        neighbours(tables, ROWS[:1], ROWS, n=51)
    with pytest.raises(InputError, match="n must be an integer of at least 1"):
        neighbours(tables, ROWS[:1], ROWS, n=0)


@pytest.mark.usefixtures("drawn")
def test_neighbours_of_a_file_are_named_and_drawn(room, capsys):
    words = ["neighbours", "gray.safetensors", "photos/b/3.png", "--in", "photos"]
    assert run(*words, "-n", 4, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["file"] for row in found[:2]] == ["b/3.png", "copy.png"]
    assert [row["distance"] for row in found[:2]] == [0, 0]
    assert [row["same"] for row in found] == [True, True, False, False]
    assert [row["rank"] for row in found] == [1, 2, 3, 4]
    assert run(*words, "--out", "near.png") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["rank", "file", "distance"]
    assert len(lines) == 8, "a folder of seven has no ten"
    assert "the image itself" in lines[2]
    assert read("near.png").array.std() > 0.1


def test_neighbours_in_mnist_have_numbers_and_labels(room, capsys):
    words = ["gray.safetensors", "mnist:test:3-3", "--in", "mnist:test:2-9", "--json"]
    assert run("neighbours", *words) == 0
    first = json.loads(capsys.readouterr().out)[0]
    label = int(load_mnist()[1][1][3])
    assert first == {"rank": 1, "number": "3", "label": label, "distance": 0, "same": True}


def test_neighbours_of_a_row_need_no_picture(room, capsys):
    words = ["neighbours", "rows.safetensors", "row.npy", "--in", "rows.npy"]
    assert run(*words) == 0
    assert "the image itself" in capsys.readouterr().out.splitlines()[1]
    assert NO_PICTURE in failed(capsys, *words, "--out", "near.png")
    assert not (room / "near.png").exists()


def test_a_row_with_more_than_numbers_is_found_among_others(tmp_path, capsys):
    """In whatever order its columns are, and by codes in a file."""
    frame = pd.DataFrame(ROWS[:20, :2], columns=["a", "b"]).assign(c=["x", "y", None, "x"] * 5)
    Autoencoder(**SMALL).fit(frame).save(tmp_path / "mixed.safetensors")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame[["c", "b", "a"]].iloc[[2]].to_csv(tmp_path / "row.csv", index=False)
    model, rows, codes = (tmp_path / name for name in ("mixed.safetensors", "rows.csv", "z.npy"))
    assert run("encode", model, rows, "--out", codes) == 0
    for more in ((), ("--codes", codes)):
        capsys.readouterr()
        assert run("neighbours", model, tmp_path / "row.csv", "--in", rows, "--json", *more) == 0
        first, second, *_ = json.loads(capsys.readouterr().out)
        assert (first["number"], first["same"], second["same"]) == ("2", True, False)


def test_neighbours_among_codes_in_a_file_are_those_among_the_samples(room, capsys):
    """Of a file on disk too, with as many queries as there may be."""
    assert run("encode", "gray.safetensors", "photos", "--out", "kept.npy") == 0
    words = ["neighbours", "gray.safetensors", "photos/b/3.png", "--json", "-n", "3"]
    answers = []
    for more in (["--in", "photos"], ["--in", "photos", "--codes", "kept.npy"]):
        capsys.readouterr()
        assert run(*words, *more) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert answers[0] == answers[1]
    assert run(*words, "--codes", "kept.npy") == 0
    numbers = json.loads(capsys.readouterr().out)
    assert [row["distance"] for row in numbers] == [row["distance"] for row in answers[0]]
    assert numbers[0]["number"] == "4"


def test_codes_on_disk_are_searched_in_blocks(tmp_path):
    z = np.random.default_rng(0).normal(5, 1, (9000, 4)).astype(np.float32)
    z[8000] = z[100]
    np.save(tmp_path / "z.npy", z)
    opened = mapped.opened(tmp_path / "z.npy", z.dtype, z.shape, offset=128)
    for rows in (z, opened):
        found = near_codes(z[:300], rows, 4)
        assert found.indices[100, :2].tolist() == [100, 8000]
        exact = np.linalg.norm(z[7].astype(float) - z.astype(float), axis=1)
        assert np.array_equal(found.indices[7], exact.argsort(kind="stable")[:4])


# ---- files of codes


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_tables_of_codes_keep_names_and_decode_like_the_array(room, suffix):
    for name in (f"z.{suffix}", "z.npy"):
        assert run("encode", "gray.safetensors", "photos", "--out", name) == 0
    table = pd.read_csv("z.csv") if suffix == "csv" else pd.read_parquet(f"z.{suffix}")
    names = ["0.png", "2.png", "4.png", "b/1.png", "b/3.png", "b/5.png", "copy.png"]
    assert list(table.columns) == ["file", "code_0", "code_1", "code_2"]
    assert list(table["file"]) == names
    assert np.array_equal(read_codes(f"z.{suffix}").astype(np.float32), np.load("z.npy"))
    for name in (f"z.{suffix}", "z.npy"):
        assert run("decode", "gray.safetensors", name, "--out", f"{name}.npy") == 0
    assert np.array_equal(np.load(f"z.{suffix}.npy"), np.load("z.npy.npy"))


def test_an_archive_of_codes_keeps_names_and_labels(room):
    assert run("encode", "gray.safetensors", "photos", "--out", "z.npz") == 0
    assert run("encode", "gray.safetensors", "mnist:test:5", "--out", "y.npz") == 0
    with np.load("z.npz") as z, np.load("y.npz") as y:
        assert set(z) == {"x", "names"}
        assert z["names"][3] == "b/1.png"
        assert set(y) == {"x", "y"}
        assert np.array_equal(y["y"], load_mnist()[1][1][:5])
        assert z["x"].dtype == np.float32
    assert run("decode", "gray.safetensors", "z.npz", "--out", "back") == 0
    assert len(read("back").array) == 7


def test_labels_are_a_column_and_codes_are_taken_by_their_number(room):
    assert run("encode", "gray.safetensors", "mnist:test:5", "--out", "z.csv") == 0
    table = pd.read_csv("z.csv")
    assert list(table.columns) == ["label", "code_0", "code_1", "code_2"]
    assert np.array_equal(table["label"], load_mnist()[1][1][:5])
    wanted = read_codes("z.csv")
    table[["code_2", "label", "code_0", "code_1"]].to_csv("turned.csv", index=False)
    assert np.array_equal(read_codes("turned.csv"), wanted)


def test_codes_as_wide_as_a_table_are_not_named_as_its_columns(room, tables):
    pd.DataFrame(ROWS[:, :3], columns=list("abc")).to_csv("t.csv", index=False)
    Autoencoder(**SMALL).fit(ROWS[:, :3]).save("m.safetensors")
    assert run("encode", "m.safetensors", "t.csv", "--out", "z.csv") == 0
    assert list(pd.read_csv("z.csv").columns) == ["code_0", "code_1", "code_2"]


def test_codes_that_are_no_numbers_or_too_few_are_refused(room, capsys):
    pd.DataFrame({"code_0": ["a"], "code_1": [1], "code_2": [1]}).to_csv("text.csv", index=False)
    words = ["decode", "gray.safetensors", "text.csv", "--out", "o.npy"]
    assert 'column "code_0" of text.csv is not numeric' in failed(capsys, *words)
    pd.DataFrame({"file": ["a"], "code_1": [1]}).to_csv("few.csv", index=False)
    words = ["decode", "gray.safetensors", "few.csv", "--out", "o.npy"]
    assert "Codes must have shape (N, 3), but have (1, 1)." in failed(capsys, *words)


# ---- the map


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 5), (40, 25)])
def test_a_cell_has_at_most_one_sample_the_nearest_to_its_middle(rows, columns):
    places = np.random.default_rng(0).random((500, 2))
    places[:3] = [[0, 0], [1, 1], [1, 0]]
    drawn, cells = snap(places, rows, columns)
    count = np.array([columns, rows])
    own = np.minimum((places * count).astype(int), count - 1)
    off = np.linalg.norm(places * count - own - 0.5, axis=1)
    assert len(np.unique(cells, axis=0)) == len(cells) == len(np.unique(own, axis=0))
    for i, (row, column) in zip(drawn, cells, strict=True):
        inside = np.flatnonzero((own == (column, row)).all(axis=1))
        assert i == inside[off[inside].argmin()]


def test_a_map_shows_each_picture_in_its_place_with_its_colour():
    """Four gray images at the corners: their pixels are there, in frames of two classes."""
    gray = np.array([0.2, 0.4, 0.6, 0.8])
    points = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    images = np.broadcast_to(gray[:, None, None], (4, 8, 8))
    with theme():
        figure = sample_map(
            points, lambda i: images[i], shape=(1, 8, 8), labels=np.array([0, 0, 1, 1])
        )
        to_png(figure)
    sheet = np.asarray(figure.axes[0].images[0].get_array())
    shown = {float(v) for v in np.unique(sheet[..., 0])}
    assert shown >= {0.2, 0.4, 0.6, 0.8}
    quarter = sheet[sheet.shape[0] // 2 :, : sheet.shape[1] // 2, 0]
    assert 0.2 in quarter
    assert not {0.4, 0.6, 0.8} & set(np.unique(quarter)), "the code's second number points up"
    frames = {tuple(sheet[row, column][:3]) for row in (1, -2) for column in (1, -2)}
    assert len(frames) == 2
    assert len(figure.legends[0].get_texts()) == 2


def test_two_numbers_of_a_code_are_its_place_and_more_their_principal_components():
    z = np.random.default_rng(0).normal(size=(100, 2))
    assert np.array_equal(plane(z)[0], z)
    assert plane(z[:, :1])[0].shape == (100, 2)
    wide = np.random.default_rng(0).normal(size=(100, 5)) * [1, 5, 2, 0.1, 3]
    theirs = PCA(2, svd_solver="full").fit_transform(wide)
    assert np.allclose(np.abs(plane(wide)[0]), np.abs(theirs), atol=1e-9)


@pytest.mark.parametrize("shape", [(900, 600), (600, 900)])
def test_wide_codes_are_laid_out_by_the_same_components(shape, untouched):
    draw = np.random.default_rng(0)
    z = draw.normal(size=shape) * np.linspace(3, 0, shape[1]) ** 2
    with untouched():
        points, axes = plane(z)
    assert np.array_equal(points, plane(z)[0])
    theirs = PCA(2, svd_solver="full").fit(z)
    assert np.allclose(np.abs(points), np.abs(theirs.transform(z)), atol=1e-3)
    shares = theirs.explained_variance_ratio_
    assert axes == tuple(f"component {i + 1} ({shares[i]:.0%} of variance)" for i in (0, 1))
    assert plane(np.ones(shape))[0].shape == (shape[0], 2)


def test_tsne_is_seeded_keeps_clusters_and_global_states(untouched):
    draw = np.random.default_rng(0)
    z = np.repeat([[0.0] * 4, [20.0] * 4], 15, axis=0) + draw.normal(size=(30, 4))
    with untouched():
        points = plane(z, "tsne", random_state=1)[0]
        again = plane(z, "tsne", random_state=1)[0]
    assert np.array_equal(points, again)
    gaps = np.linalg.norm(points[:, None] - points, axis=2) + np.diag([np.inf] * 30)
    assert ((gaps.argmin(axis=1) < 15) == (np.arange(30) < 15)).all()
    with pytest.raises(InputError, match="t-SNE needs at least 5 samples, but there are 4"):
        plane(z[:4], "tsne")
    with pytest.raises(InputError, match="The codes are all the same"):
        plane(np.ones((9, 3)), "tsne")


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize(
    "words",
    [
        ("gray", "mnist:test:40"),
        ("gray", "mnist:test:40", "--by", "error", "--method", "tsne"),
        ("gray", "mnist:test:3-3"),
        ("gray", "photos"),
        ("colour", "colours", "--method", "pca"),
        ("rows", "rows.npy"),
    ],
    ids=" ".join,
)
def test_a_map_is_drawn(room, words):
    model, source, *rest = words
    assert run("map", f"{model}.safetensors", source, *rest, "--out", "map.png") == 0
    picture = read("map.png").array
    assert picture.shape[-1] == 1260
    assert picture.std() > 5


def test_a_large_map_is_one_picture_and_quick_to_lay_out():
    """10,000 images: one image artist for all."""
    points = np.random.default_rng(0).normal(size=(10_000, 2))
    tiny = np.zeros((10_000, 8, 8), np.float32)
    with theme():
        figure = sample_map(points, lambda i: tiny[i], shape=(8, 8), values=points[:, 0])
    assert len(figure.axes[0].images) == 1
    assert len(figure.axes[0].collections) == 1


# ---- kNN


def test_knn_accuracy_is_a_vote_of_the_nearest():
    z = np.array([[0.0], [1], [2], [10], [11], [12]])
    y = np.array(["a", "a", "b", "b", "b", "b"])
    assert knn_accuracy(z, y, [[0.4], [11.5], [-1], [2.1]], ["a", "b", "b", "b"], k=3) == 0.5
    assert knn_accuracy(z, y, [[2.1]], ["b"], k=1) == 1
    assert knn_accuracy(z, y, [[0.0]], ["b"], k=6) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((3, 2)), [0, 1], np.ones((2, 2)), [0, 1]), r"training codes must be \(N, K\)"),
        ((np.ones((3, 2)), [0, 1, 1], np.ones(2), [0, 1]), r"test codes must be \(N, K\)"),
        ((np.ones((3, 2)), [0, 1, 1], np.ones((2, 3)), [0, 1]), "have 2 numbers, but those"),
        ((np.ones((3, 2)), [0, 1, 1], np.ones((2, 2)), [0, 1]), "k is 5, but there are only 3"),
    ],
)
def test_what_knn_cannot_compare_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        knn_accuracy(*arguments)


# ---- mistakes on the command line

NEAR = "neighbours gray.safetensors"
MISTAKES = {
    f"{NEAR} mnist:test:2 --in photos": "mnist:test:2 has 2 samples: give one",
    f"{NEAR} photos/0.png": "Give --in INPUT: without it there are only numbers, of a file",
    f"{NEAR} photos/0.png --codes rows.npy": "The codes are (50, 6), but those of the model",
    f"{NEAR} photos/0.png --codes rows.npy --in photos": "has other codes than those of the",
    f"{NEAR} photos/0.png --in empty": "empty is a folder without images",
    f"{NEAR} photos/0.png --in rows.npy": "X has 6 features, but Autoencoder is expecting 784",
    f"{NEAR} photos/0.png --in photos -n 0": "-n must be an integer of at least 1, but is '0'",
    f"{NEAR} photos/0.png --in photos --out o.jpg": "The picture is written as .png, not 'o.jpg'",
    f"{NEAR} photos/0.png --in photos --out low.png": "low.png exists: give another --out",
    f"{NEAR} photos/0.png --in photos --out photos/0.png --force": "holds the input",
    "map gray.safetensors empty --out o.png": "empty is a folder without images",
    "map gray.safetensors photos --by label --out o.png": (
        "photos has no labels to colour by: give --by error."
    ),
    "map gray.safetensors photos --by size --out o.png": "--by must be one of label, error",
    "map gray.safetensors photos --method umap --out o.png": "--method must be one of pca, tsne",
    "map gray.safetensors photos": "The following arguments are required: --out",
    "map gray.safetensors photos --out o.npy": "The picture is written as .png, not 'o.npy'",
    "map gray.safetensors mnist:test:4 --method tsne --out o.png": "t-SNE needs at least 5",
    "map rows.safetensors photos --out o.png": "fitted on samples of shape (6,), not (28, 28)",
    "map gray.safetensors mnist:test:9 --out low.png": "low.png exists: give another --out",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_gets_one_sentence_and_leaves_no_file(words, room, capsys):
    before = sorted(room.rglob("*"))
    assert MISTAKES[words] in failed(capsys, *words.split())
    assert sorted(room.rglob("*")) == before


def test_a_folder_with_a_bad_image_is_done_for_the_rest(room, tmp_path, capsys):
    (tmp_path / "some").mkdir()
    for name in ("a", "b"):
        (tmp_path / f"some/{name}.png").write_bytes((room / "photos/0.png").read_bytes())
    (tmp_path / "some/bad.png").write_bytes(b"no image")
    for words in (
        ["neighbours", "photos/0.png", "--in", "some"],
        ["map", "some", "--by", "error"],
    ):
        command, *rest = words
        capsys.readouterr()
        out = f"{command}.png"
        assert run(command, "gray.safetensors", *rest, "--out", out) == 2
        said = capsys.readouterr()
        assert "bad.png is not an image that can be read" in said.err
        assert (tmp_path / out).is_file()
        assert said.out


@pytest.mark.parametrize(("count", "words"), [(1, "1 image by its"), (2, "2 images by their")])
def test_a_map_of_few_says_how_many_there_are(room, monkeypatch, count, words):
    drawn = []
    monkeypatch.setattr("diabolo.report.write_picture", lambda _, f: drawn.append(f()))
    assert run("map", "gray.safetensors", f"mnist:test:{count}", "--out", "map.png") == 0
    said = " ".join(text.get_text() for text in drawn[0].findobj(Text))
    assert words in said
    assert "points behind" not in said


def test_a_slow_map_says_so_beforehand(room, monkeypatch, capsys):
    monkeypatch.setattr("diabolo.commands.embedding.SLOW", 5)
    words = ("gray.safetensors", "mnist:test:6", "--method", "tsne", "--out", "map.png")
    assert run("map", *words) == 0
    assert "t-SNE of 6 samples takes minutes." in capsys.readouterr().err


def test_codes_of_eight_by_eight_digits_tell_them_apart():
    X, y = load_digits(return_X_y=True)
    model = Autoencoder(latent_dim=8, hidden=(64,), epochs=30, random_state=0).fit(X[:1400])
    codes, unseen = model.transform(X[:1400]), model.transform(X[1400:])
    assert knn_accuracy(codes, y[:1400], unseen, y[1400:]) > 0.85
    near = neighbours(model, X[1400:], X[:1400], n=1).indices[:, 0]
    assert np.mean(y[near] == y[1400:]) > 0.85


@pytest.mark.parametrize("codes", [np.ones(3), np.ones((0, 3)), np.full((3, 4), np.nan)])
def test_a_plane_needs_codes(codes):
    with pytest.raises(InputError, match=r"Codes (must|hold)"):
        plane(codes)
