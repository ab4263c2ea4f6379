"""The service under the page: the answers of Python, to the bit, and who may ask what."""

import asyncio
import base64
import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np
import pandas
import pytest
import uvicorn
from conftest import FEW, failed, run
from fastapi.testclient import TestClient
from PIL import Image
from starlette.requests import ClientDisconnect

from diabolo import AnomalyDetector, Autoencoder, load, recipes
from diabolo.commands import parameters
from diabolo.corruption import GaussianNoise
from diabolo.data import load_mnist
from diabolo.models import MODELS
from diabolo.params import Parameters, from_config, to_config
from diabolo.studio import connections, forms, guard, opened, programs, training
from diabolo.studio.app import create_app
from diabolo.studio.batching import ROWS, Batcher
from diabolo.studio.service import HEAVY, Service
from diabolo.tasks.evaluation import in_units

NPY = {"content-type": "application/x-npy"}
TRAIN = {
    "recipe": "ae-32",
    "data": "x.npy",
    "parameters": {"epochs": "2", "hidden": "16", "batch_size": "8", "learning_rate": "0.01"},
    "limit": 256,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with two runs, one of a convolutional denoiser, and a table's model."""
    folder = tmp_path_factory.mktemp("served")
    short = ["--limit", 200, "--epochs", 1, *FEW]
    assert run("fit", "ae-32", "--out", folder / "runs/ae", *short) == 0
    small = ["--hidden", "4,4", "--validation-fraction", 0, "--early-stopping", "none"]
    assert run("fit", "conv-dae", "--out", folder / "runs/dae", *short, *small) == 0
    for config in folder.glob("runs/*/config.toml"):  # all are served, though few were tested on
        config.write_text(config.read_text().replace(FEW[1], "mnist:test"))
    table = np.random.default_rng(0).random((50, 5), dtype=np.float32)
    Autoencoder(hidden=(), latent_dim=2, epochs=1, random_state=0).fit(table).save(
        folder / "table.safetensors"
    )
    return folder


@pytest.fixture(scope="module")
def client(root):
    with TestClient(create_app(Service(root)), base_url="http://testserver") as client:
        yield client


@pytest.fixture(scope="module")
def digits():
    return load_mnist()[1][0]


def npy(array):
    import io

    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def array(response):
    import io

    assert response.status_code == 200, response.text
    return np.load(io.BytesIO(response.content))


def ask(client, what, body, model="runs/ae", **options):
    options = {"headers": NPY, **options}
    return client.post(f"/api/{what}", params={"model": model}, content=body, **options)


def sentence(response, status):
    """The one sentence of a refusal."""
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"]
    text = response.json()["error"]
    assert "\n" not in text
    assert "Traceback" not in text
    return text


def picture(image):
    pixels = base64.b64encode(image.tobytes()).decode()
    return {"shape": [1, *image.shape], "pixels": pixels}


# ---- the answers of Python


@pytest.mark.parametrize("model", ["runs/ae", "runs/dae"])
@pytest.mark.parametrize("many", [1, 70])
def test_answers_are_those_of_python_to_the_bit(root, client, digits, model, many):
    fitted, x = load(root / model / "model.safetensors"), digits[:many]
    z = fitted.transform(x)
    for what, given, expected in [
        ("reconstruct", x, fitted.reconstruct(x)),
        ("denoise", x, fitted.reconstruct(x)),
        ("encode", x, z),
        ("decode", z, fitted.inverse_transform(z)),
    ]:
        found = array(ask(client, what, npy(given), model))
        assert found.dtype == expected.dtype == np.float32
        np.testing.assert_array_equal(found, expected, err_msg=what)


def test_json_is_the_same_to_the_bit(root, client, digits):
    fitted = load(root / "runs/ae/model.safetensors")
    given = json.dumps({"samples": digits[:3].tolist()})
    answer = ask(client, "reconstruct", given, headers={"content-type": "application/json"})
    found = np.array(answer.json()["samples"], np.float32)
    np.testing.assert_array_equal(found, fitted.reconstruct(digits[:3]))
    codes = ask(client, "encode", given, headers={"content-type": "application/json"}).json()
    np.testing.assert_array_equal(
        np.array(codes["codes"], np.float32), fitted.transform(digits[:3])
    )
    back = ask(client, "decode", json.dumps(codes), headers={"content-type": "application/json"})
    np.testing.assert_array_equal(np.array(back.json()["samples"], np.float32), found)


def test_an_image_is_answered_as_the_command_line_does(root, client, digits, tmp_path):
    Image.fromarray(digits[0]).save(tmp_path / "digit.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 51, 3), np.uint8)).save(
        tmp_path / "photo.png"
    )
    for what, name, model in [("reconstruct", "digit", "ae"), ("denoise", "photo", "dae")]:
        out = tmp_path / f"{name}-out.png"
        assert run(what, root / "runs" / model, tmp_path / f"{name}.png", "--out", out) == 0
        body = (tmp_path / f"{name}.png").read_bytes()
        answer = ask(client, what, body, f"runs/{model}", headers={"content-type": "image/png"})
        assert answer.headers["content-type"] == "image/png"
        assert answer.content == out.read_bytes()


def test_scores_are_those_of_a_detector(root, client, digits):
    fitted = load(root / "runs/ae/model.safetensors")
    detector = AnomalyDetector(fitted, prefit=True, random_state=0).fit(digits[:2000])
    given = np.concatenate([digits[:5], 255 - digits[:5]])
    answer = ask(client, "score", npy(given)).json()
    np.testing.assert_array_equal(answer["scores"], detector.score_samples(given))
    np.testing.assert_array_equal(answer["p_values"], detector.p_values(given))
    assert answer["odd"] == (detector.predict(given) == -1).tolist()
    assert answer["odd"][5:] == [True] * 5
    assert answer["threshold"] == detector.offset_


def test_generated_digits_come_from_the_seed(client):
    def drawn(seed):
        return array(client.get(f"/api/generate?model=runs/ae&n=5&seed={seed}"))

    assert drawn(1).shape == (5, 28, 28)
    np.testing.assert_array_equal(drawn(1), drawn(1))
    assert not np.array_equal(drawn(1), drawn(2))
    sheet = client.get("/api/generate?model=runs/ae&n=5&format=png")
    assert sheet.headers["content-type"] == "image/png"


def test_a_table_is_served_too(root, client):
    rows = np.random.default_rng(1).random((4, 5), dtype=np.float32)
    fitted = load(root / "table.safetensors")
    found = array(ask(client, "reconstruct", npy(rows), "table.safetensors"))
    np.testing.assert_array_equal(found, fitted.reconstruct(rows))
    about = client.get("/api/model?model=table.safetensors").json()
    assert about["shape"] is None
    assert about["samples"] is None
    assert [column["name"] for column in about["columns"]] == ["x0", "x1", "x2", "x3", "x4"]
    asked = {"model": "table.safetensors"}
    row = client.post("/api/view", json=asked | {"image": [*rows[0].tolist()[:4], "0,25"]}).json()
    edited = rows[:1].copy()
    edited[0, 4] = 0.25
    np.testing.assert_array_equal(np.float32([row["output"]]), fitted.reconstruct(edited))
    squares = np.square(in_units(fitted, edited) - in_units(fitted, fitted.reconstruct(edited)))[0]
    np.testing.assert_allclose(row["error"], squares / squares.sum(), rtol=1e-4)
    assert (row["psnr"], row["odd_cell"]) == (None, None)
    code = client.post("/api/view", json=asked | {"code": row["code"]}).json()
    assert code["output"] == row["output"]
    asked["name"] = "own.csv"
    items = client.post("/api/rows", params=asked, content="a,b,c,d,e\n1,2,3,4,.5\n").json()
    assert items == {
        "total": 1,
        "items": [{"index": 0, "label": None, "picture": [1, 2, 3, 4, 0.5]}],
    }
    for body, words in [("a,b\n1,2\n", "5 features"), ("", "own.csv cannot be read")]:
        assert words in sentence(client.post("/api/rows", params=asked, content=body), 422)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ([1, 2, 3, 4], "rows of 5 cells, not 4"),
        ([1, 2, 3, 4, "five"], "The column 'x4' takes a number, not 'five'."),
        ([1, 2, 3, 4, ""], "The column 'x4' is empty: give a number."),
        ([1, 2, 3, 4, None], "The column 'x4' is empty: give a number."),
        ({"shape": [1, 1, 1], "pixels": "AA=="}, "not a picture"),
    ],
)
def test_a_bad_row_is_answered_by_a_sentence(client, image, words):
    asked = {"model": "table.safetensors", "image": image}
    assert words in sentence(client.post("/api/view", json=asked), 422)


def test_the_odd_cell_of_a_mixed_row_is_named_and_gaps_are_filled(tmp_path):
    draw = np.random.default_rng(0)
    x = draw.normal(size=400).round(3)
    table = pandas.DataFrame({"x": x, "twice": 2 * x, "sign": np.where(x > 0, "plus", "minus")})
    table["day"] = pandas.Timestamp("2020-01-01") + pandas.to_timedelta(np.rint(9 * x), "D")
    model = Autoencoder(hidden=(16,), latent_dim=2, epochs=20, random_state=0)
    detector = AnomalyDetector(model, random_state=0).fit(table)
    detector.save(tmp_path / "d.safetensors")
    with TestClient(create_app(Service(tmp_path))) as client:

        def look(*row):
            asked = {"model": "d.safetensors", "image": row}
            return client.post("/api/view", json=asked).json()

        columns = client.get("/api/model").json()["columns"]
        usual, odd = look(0.5, 1, "plus", "2020-01-05"), look(0.5, "-1,2", "plus", "2020-01-05")
        filled = look(1, None, "", "2020-01-10")["output"]
        code = look(0.5, 1, "plus", "2020-01-05")["code"]
        made = client.post("/api/decode?model=d.safetensors", json={"codes": [code]}).json()
        wrong = [look("plus", 1, "plus", ""), look(1, 1, "zero", ""), look(1, 1, "plus", "soon")]
    assert [c["kind"] for c in columns] == ["number", "number", "category", "date"]
    assert columns[2]["choices"] == ["minus", "plus"]
    assert (usual["odd"], usual["odd_cell"], odd["odd"]) == (False, None, True)
    assert (odd["odd_cell"]["column"], odd["odd_cell"]["value"]) == (1, "-1.2")
    assert float(odd["odd_cell"]["normal"]) > 0
    assert filled[1] > 1
    assert filled[2] == "plus"
    assert filled[3].startswith("2020-01-")
    assert made["samples"] == [usual["output"]]
    said = ["takes a number, not 'plus'", "takes one of minus, plus", "takes a date, not 'soon'"]
    assert all(words in answer["error"] for words, answer in zip(said, wrong, strict=True))


def test_a_long_request_tells_how_far_it_is_and_ends_when_nobody_waits(tmp_path):
    service, seen = Service(tmp_path), []

    class Asker:
        async def is_disconnected(self):
            seen.append(dict(service.jobs))
            return len(seen) > 1

    def slow(told):
        for n in range(1000):
            told(n / 1000)
            time.sleep(0.01)

    with pytest.raises(ClientDisconnect):
        asyncio.run(service.watched("mine", Asker(), slow))
    service.close()
    assert 0 < seen[0]["mine"] < seen[1]["mine"] < 0.5
    assert service.jobs == {}


# ---- joining


def test_requests_that_wait_are_made_as_one_and_each_has_its_own_answer():
    calls = []

    def slow(rows):
        calls.append(len(rows))
        time.sleep(0.05)
        return rows * 2, rows[:, 0]

    async def many():
        batch = Batcher()
        given = [np.full((n % 3 + 1, 2), n) for n in range(40)]
        answers = await asyncio.gather(*(batch(slow, rows) for rows in given))
        batch.close()
        return given, answers

    given, answers = asyncio.run(many())
    for rows, (doubled, first) in zip(given, answers, strict=True):
        np.testing.assert_array_equal(doubled, rows * 2)
        np.testing.assert_array_equal(first, rows[:, 0])
    assert len(calls) <= 2 < len(given)
    assert sum(calls) == sum(map(len, given))


def test_a_bad_request_fails_alone():
    def picky(rows):
        if (rows < 0).any():
            raise ValueError("negative")
        return rows

    async def many():
        batch = Batcher()
        rows = [np.array([[value]]) for value in (1, 2, -3, 4)]
        answers = await asyncio.gather(*(batch(picky, r) for r in rows), return_exceptions=True)
        batch.close()
        return answers

    one, two, three, four = asyncio.run(many())
    assert (one, two, four) == (1, 2, 4)
    assert isinstance(three, ValueError)


def test_a_long_request_is_made_in_parts_and_others_come_between():
    order = []

    def function(rows):
        order.append(int(rows[0, 0]))
        return rows

    async def both():
        batch = Batcher()
        long = asyncio.create_task(batch(function, np.zeros((3 * ROWS, 1))))
        await asyncio.sleep(0)
        short = asyncio.create_task(batch(partial(function), np.ones((1, 1))))
        answers = await asyncio.gather(long, short)
        batch.close()
        return answers

    long, short = asyncio.run(both())
    assert (len(long), len(short)) == (3 * ROWS, 1)
    assert order.index(1) < len(order) - 1


@pytest.mark.parametrize("model", ["runs/ae", "runs/dae"])
def test_alone_or_beside_others_an_answer_is_the_same_to_the_bit(client, digits, model):
    def one(n):
        return array(ask(client, "reconstruct", npy(digits[n : n + 1 + n % 3]), model))

    alone = [one(n) for n in range(24)]
    with ThreadPoolExecutor(24) as pool:
        beside = list(pool.map(one, range(24)))
    for a, b in zip(alone, beside, strict=True):
        np.testing.assert_array_equal(a, b)


# ---- what the page asks


def test_the_page_sees_what_python_sees(root, client, digits):
    fitted = load(root / "runs/dae/model.safetensors")
    noise = {"kind": "gaussian", "std": 0.3}
    asked = {"model": "runs/dae", "sample": 4, "corruption": noise, "seed": 9}
    look = client.post("/api/view", json=asked).json()
    x = digits[4:5]
    seen = fitted.corrupt(x, corruption=GaussianNoise(0.3), random_state=9)
    output = fitted.reconstruct(seen)
    mse = np.mean((output / 255.0 - x / 255.0) ** 2)
    assert look["mse"] == pytest.approx(mse, rel=1e-5)
    assert look["psnr"] == pytest.approx(-10 * np.log10(mse), rel=1e-5)
    before = np.mean((seen / 255.0 - x / 255.0) ** 2)
    assert look["seen_psnr"] == pytest.approx(-10 * np.log10(before), rel=1e-4)
    assert look["input"] == picture(x[0])
    shown = np.frombuffer(base64.b64decode(look["output"]["pixels"]), np.uint8)
    np.testing.assert_array_equal(shown, np.rint(output).astype(np.uint8).ravel())
    error = np.frombuffer(base64.b64decode(look["error"]["pixels"]), np.uint8)
    np.testing.assert_allclose(error, np.abs(output - x).ravel(), atol=0.51)
    np.testing.assert_array_equal(np.array(look["code"], np.float32), fitted.transform(seen)[0])


def test_an_image_a_sample_and_a_code_are_looked_at_alike(client, digits):
    asked = {"model": "runs/ae"}
    sample = client.post("/api/view", json=asked | {"sample": 0}).json()
    image = client.post("/api/view", json=asked | {"image": picture(digits[0])}).json()
    assert image == sample
    assert sample["seen"] == sample["input"]
    assert sample["seen_psnr"] is None
    code = client.post("/api/view", json=asked | {"code": sample["code"]}).json()
    assert code["output"] == sample["output"]
    assert (code["input"], code["score"]) == (None, None)
    decoded = client.post(
        "/api/decode-pictures", json={"model": "runs/ae", "codes": [sample["code"]] * 2}
    ).json()
    assert decoded["pictures"] == [sample["output"]] * 2


def test_the_views_of_a_model(root, client, digits):
    listed = client.get("/api/models").json()
    assert {m["path"] for m in listed["models"]} == {"runs/ae", "runs/dae", "table.safetensors"}
    assert listed["default"] == listed["models"][0]["path"]
    ae = next(m for m in listed["models"] if m["path"] == "runs/ae")
    findings = load(root / "runs" / "ae" / "model.safetensors").findings_
    assert ae["findings"] == [list(finding) for finding in findings]
    assert ae["recipe"] == "ae-32"
    assert ae["metrics"]["linear"]["mse"] > 0
    titles = {(c["group"], c["name"]): c["title"] for c in listed["columns"]}
    assert titles["test", "mse"] == "MSE"
    assert titles["linear", "mse"] == "Linear MSE"
    assert not [name for _, name in titles if name.startswith("noisy_")]
    assert len(ae["history"]["loss"]) == 1
    page = client.get("/api/report?model=runs/ae")
    assert ae["report"]
    assert page.text == (root / "runs" / "ae" / "report.html").read_text()
    assert client.get("/api/report?model=table.safetensors").status_code == 404
    about = client.get("/api/model?model=runs/ae").json()
    assert (about["shape"], about["code_size"]) == ([1, 28, 28], 32)
    assert about["samples"] == {"train": 160, "test": 10000}  # the first fifth validates
    items = client.get("/api/samples?model=runs/ae&start=7&count=3").json()["items"]
    assert [i["index"] for i in items] == [7, 8, 9]
    assert items[2]["picture"] == picture(digits[9])
    points = client.get("/api/map?model=runs/ae&count=50").json()
    assert len(points["points"]) == 50
    assert {min(p[k] for p in points["points"]) for k in "xy"} == {0.0}
    new = client.get("/api/new?model=runs/ae&n=3&nearest=true").json()
    assert "Gaussian" in new["law"]
    assert all(item["nearest"]["distance"] > 0 for item in new["items"])
    assert client.get("/api/progress?job=none").json() == {"done": None}
    normal = client.get("/api/normal?model=runs/ae").json()
    assert sum(normal["counts"]) == normal["count"] == 2000
    kinds = client.get("/api/corruptions").json()["corruptions"]
    assert {"gaussian", "watermark"} <= {kind["kind"] for kind in kinds}


@pytest.mark.parametrize("name", recipes.names())
def test_a_form_that_is_sent_back_unchanged_is_the_recipe(client, name):
    form = client.get(f"/api/recipes/{name}").json()
    texts = {}
    for field in form["fields"]:
        texts[field["name"]] = field["value"]
        if field["parts"] and field["value"] in field["parts"]:
            texts |= {inner["name"]: inner["value"] for inner in field["parts"][field["value"]]}
    model = recipes.read(name).model
    given = parameters.given(model, texts)
    made = from_config({"kind": model["kind"], **given}, MODELS)
    recipe = from_config({"random_state": 0, **model}, MODELS)
    assert plain(made) == plain(recipe)


def plain(model):
    """The parameters, with parts as what they are, not as their names."""
    values = vars(model.validated()).items()
    return {n: to_config(v) if isinstance(v, Parameters) else v for n, v in values}


def test_a_form_has_the_bounds_of_the_declaration():
    fields = {field.name: field for field in forms.fields(recipes.read("conv-dae"))}
    assert (fields["epochs"].type, fields["epochs"].minimum) == ("integer", 1)
    assert (fields["epochs"].choices, fields["hidden"].type) == (["auto"], "list")
    assert fields["learning_rate"].exclusive_minimum == 0
    assert fields["validation_fraction"].exclusive_maximum == 1
    assert fields["schedule"].choices == ["constant", "one_cycle", "cosine", "trapezoid"]
    assert fields["corruption"].parts["gaussian"][0].value == "0.5"
    assert fields["hidden"].value == "32,64"
    assert all(field.help for field in fields.values())


# ---- mistakes


def header(kind, shape, count):
    """A .npy file with that header, and so many bytes."""
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(count)


BAD = {
    "no such model": ("reconstruct", "runs/none", b"", NPY, 422, "There is no 'runs/none'"),
    "a model outside": ("reconstruct", "../x", b"", NPY, 422, "There is no '../x'"),
    "an absolute path": ("encode", "/etc/passwd", b"", NPY, 422, "There is no '/etc/passwd'"),
    "a folder without a model": ("encode", "runs", b"", NPY, 422, "is not a run folder"),
    "an empty body": ("reconstruct", "runs/ae", b"", NPY, 422, "not a .npy file"),
    "a pickle": ("reconstruct", "runs/ae", npy(np.array([{}])), NPY, 422, "Python objects"),
    "a short body": ("encode", "runs/ae", npy(np.zeros(9))[:-8], NPY, 422, "does not hold"),
    "a huge header": (
        "encode",
        "runs/ae",
        npy(np.zeros((1, 9))).replace(b"(1, 9), }        ", b"(123456789, 9), }"),
        NPY,
        422,
        "does not hold",
    ),
    **{
        f"a header of {what}": (
            "encode",
            "runs/ae",
            header(*entries),
            NPY,
            422,
            told,
        )
        for what, (told, *entries) in {
            "negative sides": ("not hold", "|u1", "(-1, -784)", 784),
            "values without bytes": ("no bytes", "|V0", "(1, 784)", 0),
            "too many sides": ("not hold", "|u1", f"({'1,' * 70})", 1),
            "a side that is no number": ("not hold", "|u1", "(True, 784)", 784),
        }.items()
    },
    "another shape": ("encode", "runs/ae", npy(np.zeros((1, 5), np.uint8)), NPY, 422, "784"),
    "wrong units": ("encode", "runs/ae", npy(np.ones((1, 28, 28)) / 2), NPY, 422, "255"),
    "not a number": ("encode", "runs/ae", npy(np.full((1, 28, 28), np.nan)), NPY, 422, "NaN"),
    "codes of another size": ("decode", "runs/ae", npy(np.zeros((1, 5))), NPY, 422, "(N, 32)"),
    "no type": ("encode", "runs/ae", b"x", {"content-type": "text/plain"}, 415, "content type"),
    "no image": ("encode", "runs/ae", b"x", {"content-type": "image/png"}, 422, "not an image"),
    "no JSON": ("encode", "runs/ae", b"{", {"content-type": "application/json"}, 422, "body must"),
    "uneven JSON": (
        "encode",
        "runs/ae",
        b'{"samples": [[1], [1, 2]]}',
        {"content-type": "application/json"},
        422,
        "body must",
    ),
    "deep JSON": (
        "encode",
        "runs/ae",
        b'{"samples": ' + b"[" * 100_000,
        {"content-type": "application/json"},
        422,
        "body must",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_answered_by_a_sentence(client, case):
    what, model, body, headers, status, words = BAD[case]
    assert words in sentence(ask(client, what, body, model, headers=headers), status)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "exactly one"),
        ({"sample": 0, "code": [0.0]}, "exactly one"),
        ({"sample": 10_000}, "the last is 9999"),
        ({"image": {"shape": [1, 8, 8], "pixels": ""}}, "the model takes (1, 28, 28)"),
        ({"image": {"shape": [1, 28, 28], "pixels": "AAA"}}, "not base64"),
        ({"image": {"shape": [1, 28, 28], "pixels": "AAAA"}}, "3 pixels"),
        ({"image": {"shape": [1, 28, 28], "pixels": "\u00e9"}}, "not base64"),
        ({"code": [0.0]}, "(N, 32)"),
        ({"sample": 0, "corruption": {"kind": "nois"}}, "There is no kind"),
        ({"sample": 0, "corruption": {"kind": "gaussian", "std": -1.0}}, "at least 0"),
        ({"sample": 0, "corruption": {"kind": "gaussian", "std": 1e308}}, "std must be"),
        ({"sample": 0, "corruption": {"kind": "watermark", "image": "/etc/hostname"}}, "no '/etc"),
    ],
)
def test_a_bad_look_is_answered_by_a_sentence(client, asked, words):
    assert words in sentence(client.post("/api/view", json={"model": "runs/ae"} | asked), 422)


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"recipe": "ea"}, "There is no recipe 'ea'"),
        ({"recipe": "/etc/passwd.toml"}, "no recipe"),
        ({"recipe": "ae", "parameters": {"epoch": "3"}}, "did you mean 'epochs'"),
        ({"recipe": "ae", "parameters": {"epochs": "0"}}, "at least 1"),
        ({"recipe": "ae", "parameters": {"corruption.std": "0.5"}}, "corruption"),
        ({"recipe": "ae", "data": "/etc"}, "There is no '/etc'"),
        ({"recipe": "watermark", "parameters": {"corruption.image": "/etc/x"}}, "no '/etc/x'"),
        ({"recipe": "ae", "limit": 0}, "limit"),
    ],
)
def test_a_bad_training_is_answered_by_a_sentence(client, order, words):
    assert words in sentence(client.post("/api/train", json=order), 422)
    assert client.get("/api/train").json()["state"] == "idle"


def test_a_link_out_of_the_folder_leads_nowhere(root, client, tmp_path):
    shutil.copytree(root / "runs/ae", tmp_path / "elsewhere")
    (root / "link").symlink_to(tmp_path / "elsewhere")
    try:
        assert "There is no 'link'" in sentence(client.get("/api/model?model=link"), 422)
    finally:
        (root / "link").unlink()


def test_what_is_no_model_hinders_no_other(root, tmp_path):
    shutil.copytree(root / "runs/ae", tmp_path / "good")
    for name, text in [("cut", '{"a": '), ("list", "[1]"), ("text", '{"a": "\\udcff"}')]:
        shutil.copytree(root / "runs/ae", tmp_path / name)
        (tmp_path / name / "metrics.json").write_text(text)
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "broken.safetensors").symlink_to("nowhere")
    (tmp_path / "link.safetensors").symlink_to(root / "table.safetensors")
    shutil.copy(root / "table.safetensors", os.fsencode(tmp_path) + b"/\xff.safetensors")
    with TestClient(create_app(Service(tmp_path))) as client:
        listed = client.get("/api/models").json()
        assert [model["path"] for model in listed["models"]] == ["good"]
        assert listed["default"] == "good"
        told = sentence(client.get("/api/model?model=pipe.safetensors"), 422)
        assert told.endswith("pipe.safetensors is neither a file nor a folder.")
        noise = {"kind": "watermark", "image": "pipe.safetensors"}
        asked = {"model": "good", "sample": 0, "corruption": noise}
        assert "neither" in sentence(client.post("/api/view", json=asked), 422)


def test_samples_that_are_generated_at_a_time_are_limited(client, monkeypatch):
    monkeypatch.setattr(programs, "NUMBERS", 784 * 3)
    assert client.get("/api/generate?model=runs/ae&n=3").status_code == 200
    assert "at most 3" in sentence(client.get("/api/generate?model=runs/ae&n=4"), 422)


def test_every_route_and_parameter_is_described(client):
    for path, ways in client.get("/api/openapi.json").json()["paths"].items():
        for way in ways.values():
            assert way["description"], path
            for parameter in way.get("parameters", []):
                assert parameter.get("description"), (path, parameter["name"])


@pytest.mark.parametrize("host", ["nonsense.invalid", "192.0.2.1"])
def test_an_address_that_is_not_here_is_a_mistake(capsys, host):
    told = failed(capsys, "studio", "--no-browser", "--host", host)
    assert told == f"{host!r} is no address of this machine."


def test_a_port_that_is_taken_is_a_mistake(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = failed(capsys, "studio", "--no-browser", "--port", port)
    assert told.endswith(f"port {port}: Address already in use; give another --port.")


def test_unknown_places_and_ways_are_refused_in_json(client):
    sentence(client.get("/api/nothing"), 404)
    sentence(client.get("/page/../app.py"), 404)
    sentence(client.get("/api/recipes/none"), 404)
    assert "GET" in client.delete("/api/health").headers["allow"]
    sentence(client.delete("/api/health"), 405)


# ---- who may ask


def guarded(root, **options):
    return TestClient(create_app(Service(root), **options), base_url="http://127.0.0.1:8642")


def test_only_its_own_page_may_ask(root):
    client = guarded(root, hosts={"127.0.0.1:8642"})
    assert client.get("/api/health").json()["status"] == "ok"
    own = {"origin": "http://127.0.0.1:8642", "sec-fetch-site": "same-origin"}
    assert client.get("/api/health", headers=own).status_code == 200
    for headers in (
        {"host": "evil.example"},
        {"host": "127.0.0.1:1"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
    ):
        sentence(client.get("/api/health", headers=headers), 403)
    assert client.get("/", headers={"sec-fetch-site": "cross-site"}).status_code == 200


def test_a_token_is_needed_where_there_is_one(root):
    client = guarded(root, hosts=None, token="secret")
    assert client.get("/").status_code == 200
    sentence(client.get("/api/health"), 401)
    sentence(client.get("/api/health", headers={"authorization": "Bearer secreT"}), 401)
    assert client.get("/api/health", headers={"authorization": "Bearer secret"}).status_code == 200


def test_bodies_are_limited(root, monkeypatch):
    app = guard.Guard(create_app(Service(root)), hosts=None, most_bytes=1 << 20)
    client = TestClient(app)
    big = b"x" * ((1 << 20) + 1)
    assert "1 MiB" in sentence(ask(client, "encode", big), 413)
    assert "1 MiB" in sentence(ask(client, "encode", iter([big[:9], big])), 413)
    text = {"content-type": "application/json"}
    sentence(client.post("/api/view", content=iter([big[:9], big]), headers=text), 413)
    app.most_json = 1 << 19
    sentence(client.post("/api/view", content=big[: 1 << 20], headers=text), 413)
    sentence(ask(client, "encode", big[: 1 << 20]), 422)
    assert app.held == 0
    monkeypatch.setattr(guard, "HELD_BYTES", 1 << 10)
    assert "Too many" in sentence(ask(client, "encode", big[: 1 << 11]), 503)
    assert app.held == 0


def test_what_may_take_seconds_is_done_for_few_at_a_time(root):
    working, most = set(), []

    def work(number):
        working.add(number)
        most.append(len(working))
        time.sleep(0.02)
        working.remove(number)

    async def many():
        service = Service(root)
        await asyncio.gather(*(service.heavily(partial(work, n)) for n in range(3 * HEAVY)))
        service.close()

    asyncio.run(many())
    assert (len(most), max(most)) == (3 * HEAVY, HEAVY)


def test_requests_at_a_time_are_limited(root):
    app = guard.Guard(create_app(Service(root)), hosts=None, most_requests=1)
    app.active = 1
    answer = TestClient(app).get("/api/health")
    sentence(answer, 503)
    assert answer.headers["retry-after"] == "1"


def test_the_browser_is_told_to_load_nothing_from_elsewhere(client):
    policy = client.get("/").headers["content-security-policy"]
    assert policy.startswith("default-src 'self'")
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.json", '{"a":' * 100_000),
        ("metrics.json", '{"a":' * 900 + "1" + "}" * 900),
        ("history.csv", "epoch,loss\n1," + "9" * 200_000 + "\n"),
        ("history.csv", ""),
        ("config.toml", "a=" + "[" * 50_000),
    ],
    ids=["nested", "deep", "long", "empty", "toml"],
)
def test_a_damaged_run_is_left_out_of_the_list(root, tmp_path, name, content):
    for folder in ("good", "bad"):
        shutil.copytree(root / "runs/ae", tmp_path / folder)
    (tmp_path / "bad" / name).write_text(content)
    with TestClient(create_app(Service(tmp_path))) as client:
        listed = [model["path"] for model in client.get("/api/models").json()["models"]]
        assert listed in (["good"], ["bad", "good"], ["good", "bad"])
        assert client.get("/api/model?model=bad").status_code in (200, 422)


def test_models_are_uploaded_only_where_that_is_asked_for(root, client, tmp_path):
    body = (root / "table.safetensors").read_bytes()
    sentence(client.post("/api/upload", content=body), 403)
    shutil.copytree(root, tmp_path / "own")
    with TestClient(create_app(Service(tmp_path / "own", uploads=True))) as taking:
        path = taking.post("/api/upload", content=body).json()["path"]
        assert taking.get(f"/api/model?model={path}").json()["code_size"] == 2
        damaged = body[:-9] + b"x" + body[-8:]
        assert "The body is damaged" in sentence(taking.post("/api/upload", content=damaged), 422)
        assert [p.name for p in (tmp_path / "own/uploads").iterdir()] == [path.split("/")[1]]


# ---- training


def wait(ask, *states, seconds=90):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        state = ask("/api/train")
        if state["state"] in states:
            return state
        time.sleep(0.1)
    raise AssertionError(state)


def test_a_training_becomes_the_run_that_the_command_line_makes(tmp_path, digits):
    np.save(tmp_path / "x.npy", digits[:400])
    with TestClient(create_app(Service(tmp_path))) as client:
        begun = client.post("/api/train", json=TRAIN)
        assert begun.status_code == 202
        folder = begun.json()["run"]
        sentence(client.post("/api/train", json=TRAIN), 409)
        ended = wait(lambda path: client.get(path).json(), "done", "failed")
        assert ended["state"] == "done", ended
        assert (ended["epoch"], ended["epochs"]) == (2, 2)
        assert len(ended["pictures"]["output"]) == 10
        assert ended["said"][0] == "Number of images in the dataset: 205"  # a fifth validates
        assert ended["said"][1].startswith("Held out beside these, to test on: ")
        assert ended["said"][2].startswith("Its reconstructions of the test samples have")
        assert client.get("/api/recipes/ae").json()["files"] == ["x.npy"]
        assert client.get("/api/models").json()["default"] == folder
    out = tmp_path / "own"
    words = ["--data", tmp_path / "x.npy", "--epochs", 2, "--hidden", 16, "--limit", 256]
    words += ["--batch-size", 8, "--learning-rate", 0.01]
    assert run("fit", "ae-32", "--out", out, *words) == 0
    ours, theirs = (load(p / "model.safetensors") for p in (tmp_path / folder, out))
    for name, tensor in theirs.net_.state_dict().items():
        assert ours.net_.state_dict()[name].equal(tensor), name
    assert (tmp_path / folder / "report.html").is_file()


@pytest.mark.stress
def test_a_training_that_cannot_be_says_why(tmp_path):
    np.save(tmp_path / "x.npy", np.full((20, 5), np.nan))
    with TestClient(create_app(Service(tmp_path))) as client:
        client.post("/api/train", json={"recipe": "ae", "data": "x.npy"})
        ended = wait(lambda path: client.get(path).json(), "done", "failed")
        assert ended["state"] == "failed"
        assert "NaN" in ended["message"]
        assert client.get("/api/models").json()["models"] == []


def test_a_training_that_breaks_or_is_killed_says_how(monkeypatch):
    def fit(**arguments):
        raise ZeroDivisionError("by nothing")

    ours, theirs = multiprocessing.Pipe()
    monkeypatch.setattr("diabolo.studio.training._take_little", lambda: None)
    monkeypatch.setattr("diabolo.studio.training.training.fit", fit)
    training.work(theirs, {})
    assert "message" in ours.recv()
    ended = ours.recv()
    assert ended["state"] == "failed"
    assert "report it: ZeroDivisionError: by nothing" in ended["message"]
    assert "in fit" in ended["said"]
    assert "memory runs out" in training._ended(-signal.SIGKILL)
    assert training._ended(-signal.SIGSEGV).endswith("from outside, by SIGSEGV.")
    assert training._ended(3).endswith("with status 3.")


def test_a_training_that_is_stopped_at_once_leaves_no_run(tmp_path, digits):
    np.save(tmp_path / "x.npy", digits[:400])
    with TestClient(create_app(Service(tmp_path))) as client:
        client.post("/api/train", json=TRAIN)
        assert client.post("/api/train/stop").json()["state"] == "stopping"
        ended = wait(lambda path: client.get(path).json(), "stopped", "failed")
        assert (ended["state"], ended["run"]) == ("stopped", None)
        assert ended["message"] == "Stopped before anything was trained."


@pytest.fixture
def server(root, tmp_path):
    """A running studio in a copy of the folder; gives its address, process and folder."""
    folder = tmp_path / "own"
    shutil.copytree(root, folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "diabolo", "studio", "--port", str(port), "--no-browser"]
    process = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert f"http://127.0.0.1:{port}/" in line
        yield f"http://127.0.0.1:{port}", process, folder
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def asked(address, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address + path, data, {"content-type": "application/json"})
    for _ in range(100):
        try:
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)
        except ConnectionRefusedError:
            time.sleep(0.1)
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
            time.sleep(0.1)
    raise AssertionError("no answer")


@pytest.mark.stress
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_with_the_training_kept(server, how, digits):
    address, process, folder = server
    np.save(folder / "x.npy", digits[:1000])
    order = {"recipe": "ae-32", "data": "x.npy", "parameters": {"epochs": "500"}}
    socket_wanted = {"connection": "upgrade", "upgrade": "websocket"}  # is no more than a GET
    health = urllib.request.Request(address + "/api/health", headers=socket_wanted)
    assert urllib.request.urlopen(health).status == 200
    name = asked(address, "/api/train", order)["run"]
    wait(lambda path: asked(address, path), "running")
    while asked(address, "/api/train")["epoch"] < 2:
        time.sleep(0.1)
    assert asked(address, "/api/health")["status"] == "ok"
    process.send_signal(how)
    assert process.wait(60) == (-how if how == signal.SIGTERM else 130)
    kept = {path.name for path in (folder / name).iterdir()}
    assert {"model.safetensors", "checkpoint.safetensors", "report.html"} <= kept
    assert (folder / name / "metrics.json").stat().st_size


STRESSED = pytest.param("examples,coverage,fuzzing", 100, marks=pytest.mark.stress)


@contextmanager
def listening(app, **options):
    """An application that listens, in a thread; gives the host and port."""
    config = uvicorn.Config(app, lifespan="off", log_level="warning", **options)
    server, listener = uvicorn.Server(config), socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture
def address(root, tmp_path):
    """The address of a service in a copy of the folder."""
    service = Service(shutil.copytree(root, tmp_path / "own"))
    with listening(create_app(service), http=connections.Patient) as (host, port):
        yield f"http://{host}:{port}"
    service.close()


@pytest.mark.parametrize(("phases", "examples"), [("examples,fuzzing", 2), STRESSED])
def test_the_whole_api_answers_as_it_is_described(address, phases, examples, tmp_path):
    """Of samples it is described that they are numbers, not how many the model takes."""
    found = subprocess.run(
        [
            *(Path(sys.executable).with_name("st"), "run", f"{address}/api/openapi.json"),
            *("--phases", phases, "--max-examples", str(examples)),
            *("--generation-deterministic", "--no-color", "--exclude-path", "/api/train"),
            *("--exclude-checks", "positive_data_acceptance", "--no-shrink"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-3000:]
    assert "24 / 24" in found.stdout or "Tested: 24" in found.stdout, found.stdout[-3000:]


# ---- what comes slowly, or never, keeps nobody out


def asgi(path="/api/health", body=(), headers=()):
    """A request as ASGI has it: its scope, and what receives its body."""
    parts = iter([{"type": "http.request", "body": p, "more_body": True} for p in body])

    async def receive():
        message = next(parts, None)
        return message or await asyncio.Event().wait()

    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode()}
    scope |= {"query_string": b"", "http_version": "1.1", "headers": [(b"host", b"x"), *headers]}
    return scope, receive


def test_slow_bodies_are_not_among_the_requests_at_a_time():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def statuses():
        guarded, found = guard.Guard(app, hosts=None, most_requests=1), []

        async def send(message):
            found.append(message.get("status"))

        scope, receive = asgi(body=[b"x"])
        slow = [asyncio.ensure_future(guarded(scope, receive, send)) for _ in range(3)]
        await asyncio.sleep(0)

        async def nothing():
            return {"type": "http.request", "body": b"", "more_body": False}

        await guarded(scope, nothing, send)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        assert guarded.held == 0
        return found

    assert asyncio.run(statuses()) == [200]


def test_a_body_of_many_lists_is_refused_before_it_is_read(client):
    headers = {"content-type": "application/json"}
    lists = b'{"samples": [' + b"[]," * guard.LISTS + b"[]]}"
    assert "lists" in sentence(ask(client, "encode", lists, headers=headers), 413)


def test_connections_of_which_nothing_comes_are_ended(monkeypatch):
    monkeypatch.setattr(connections, "WAIT", 0.3)
    monkeypatch.setattr(connections, "MOST", 4)

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"there"})

    with listening(app, http=connections.Patient) as address, ExitStack() as ended:
        idle = [ended.enter_context(socket.create_connection(address)) for _ in range(12)]
        with urllib.request.urlopen(f"http://127.0.0.1:{address[1]}/", timeout=5) as answer:
            assert answer.read() == b"there"
        for connection in idle:
            connection.settimeout(5)
            with suppress(ConnectionResetError):
                assert connection.recv(1) == b""


def test_a_model_that_is_slow_to_read_holds_no_other(root, monkeypatch):
    begun, go = threading.Event(), threading.Event()

    def slow(path):
        if path.name == "dae":
            begun.set()
            assert go.wait(10)
        return path.name

    monkeypatch.setattr(opened, "Opened", slow)
    shelf = opened.Shelf(root)
    thread = threading.Thread(target=shelf.take, args=("runs/dae",))
    thread.start()
    assert begun.wait(10)
    assert shelf.take("runs/ae") == "ae"
    go.set()
    thread.join()


def test_so_many_samples_are_not_decoded_at_a_time(client, monkeypatch):
    monkeypatch.setattr(programs, "NUMBERS", 784 * 3)
    assert "at most 3" in sentence(ask(client, "decode", npy(np.zeros((4, 32), "f4"))), 422)
