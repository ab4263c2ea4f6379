"""Exported graphs answer as the model does, and prove it before they are left."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from benchmarks.export import ORT, in_chromium
from conftest import FEW, SMALL, failed, floats, maker, needs_browser, run
from torch import nn

import diabolo
from diabolo import AnomalyDetector, Autoencoder, exporting
from diabolo.errors import InputError
from diabolo.exporting import formats, graphs
from diabolo.models import MODELS
from diabolo.networks import Network
from diabolo.tasks import edges, nearby
from diabolo.tasks.denoising import denoise

DOCS = Path(__file__).parents[1] / "docs"
CRITERIA = ["reconstruction", "latent", "combined", "shape", "elbo"]
NEAR = ["neighbours", "near_codes", "blend", "edges"]
PLAIN = "import sys; sys.modules.update(torch=None, diabolo=None); exec(open(sys.argv[1]).read())"


@pytest.fixture(scope="module")
def detector(digits):
    model = Autoencoder(**SMALL).fit(digits)
    return AnomalyDetector(model, criterion="combined", prefit=True, random_state=0).fit(digits)


@pytest.fixture(scope="module")
def folder(detector, digits, tmp_path_factory):
    """A folder with the exported detector beside the digits that it was tried on."""
    place = tmp_path_factory.mktemp("export")
    np.save(place / "digits.npy", digits)
    with pytest.MonkeyPatch.context() as patch:
        only(patch, "model", "detector")
        diabolo.export(detector, place / "exported", X=digits)
    return place


def only(patch, *names):
    """Export these graphs alone: each takes seconds."""
    patch.setattr(exporting, "uses", lambda *of: [u for u in graphs.uses(*of) if u.name in names])


def test_onnx_is_used_without_diabolo_and_torch(folder, detector, digits):
    script = [sys.executable, "-c", PLAIN, str(DOCS / "exported.py")]
    told = subprocess.run(script, cwd=folder, capture_output=True, text=True, check=True).stdout
    flagged = (detector.predict(digits) < 0).sum()
    assert told.startswith(f"{flagged} of 256 are anomalies")
    output = detector.model_.reconstruct(digits)
    assert np.abs(np.load(folder / "reconstructed.npy") - output).max() < 0.51
    proof = json.loads((folder / "exported/export.json").read_text())
    found = sorted(path.name for path in (folder / "exported").iterdir())
    assert found == ["detector.onnx", "export.json", "model.onnx"]
    assert proof["files"]["detector.onnx"]["flipped"] == 0
    assert proof["files"]["model.onnx"]["takes"]["x"] == {
        "type": "uint8",
        "shape": ["batch", 28, 28],
    }
    written = (folder / "exported/model.onnx").read_bytes()
    assert b"batch" in written
    assert str(Path(diabolo.__file__).parent).encode() not in written


@needs_browser
@pytest.mark.skipif(not ORT.is_dir(), reason="npm install --no-save onnxruntime-web was not run")
def test_onnx_is_used_in_a_browser(folder, detector, digits):
    found = in_chromium(folder, digits)
    np.testing.assert_allclose(found["score"], detector.score_samples(digits), rtol=1e-5)
    np.testing.assert_array_equal(found["anomaly"], detector.predict(digits) < 0)


def test_a_model_stays_as_it_is(digits, tmp_path, untouched, monkeypatch):
    only(monkeypatch, "model")
    model = Autoencoder(**SMALL).fit(digits)
    model.net_.train()
    before = {name: tensor.clone() for name, tensor in model.net_.state_dict().items()}
    with untouched():
        diabolo.export(model, tmp_path, "torch", X=digits)
    assert model.net_.training
    assert all(torch.equal(before[name], t) for name, t in model.net_.state_dict().items())


OFF = {
    "encoder": (lambda y: 1.001 * y, "encoder.pt2 would not answer as the model does.* z is off"),
    "detector": (lambda y: ~y if y.dtype == torch.bool else y, "256 of 256 verdicts are others"),
}


@pytest.mark.parametrize("name", OFF)
def test_a_file_whose_answers_differ_is_not_left(name, detector, digits, tmp_path, monkeypatch):
    opened, (spoilt, words) = formats.Torch.open, OFF[name]

    def off(form, path):
        run = opened(form, path)
        return lambda *inputs: [*map(spoilt, run(*inputs))]

    only(monkeypatch, name)
    monkeypatch.setattr(formats.Torch, "open", off)
    with pytest.raises(InputError, match=words):
        diabolo.export(detector, tmp_path / "exported", "torch", X=digits)
    assert [*tmp_path.iterdir()] == []


def test_ties_with_the_threshold_keep_their_verdict():
    held = torch.tensor([-3.0, -2.0, -2.0, -1.0, -1.0], dtype=torch.float64)
    x = torch.tensor([-4.0, -3.0, -2.5, -2.0, -1.0, 0.0], dtype=torch.float64)
    for n in range(1, 6):
        wanted = torch.searchsorted(held[:n], x, side="right")
        assert torch.equal(graphs.below(held[:n])(x), wanted)


def test_scores_that_crowd_may_be_taken_past_each_other():
    apart = torch.tensor([-3.0, -2.0, -1.0], dtype=torch.float64)
    assert graphs.crowd(apart) == 1
    assert graphs.crowd(torch.cat([apart, apart[-1:] * (1 + 1e-9), apart[-1:]]).sort()[0]) == 3


@pytest.mark.stress
def test_a_table_is_told_in_words(tmp_path):
    draw = np.random.default_rng(0)
    table = pd.DataFrame({"size": draw.normal(size=60), "kind": draw.choice(["a", "b"], 60)})
    table.loc[::7, "size"] = np.nan
    model = Autoencoder(**SMALL | {"likelihood": "mixed"}).fit(table)
    proof = diabolo.export(model, tmp_path, "torch", X=table)
    assert [column["name"] for column in proof["table"]] == ["size", "kind"]
    assert proof["table"][1]["categories"] == ["a", "b"]


def test_missing_labels_are_those_of_training(digits, tmp_path):
    labels = np.arange(len(digits)) % 3
    model = MODELS["VAE"](**SMALL | {"condition": "labels"}).fit(digits, labels)
    proof = diabolo.export(model, tmp_path, "torch", X=digits, condition=labels)
    assert proof["condition"] == {"kind": "labels", "classes": [0, 1, 2]}
    graph = torch.export.load(tmp_path / "model.pt2").module()
    x = torch.from_numpy(digits[:5])
    found = graph(x, torch.full((5, 3), torch.nan))
    np.testing.assert_allclose(found.detach(), model.reconstruct(digits[:5]), atol=1e-3)


def test_what_other_runtimes_lack_is_worked_out_alike(monkeypatch):
    points, kept = torch.randn(2, 40, 19, dtype=torch.float64)[:, :, :19]
    y, x = points[:, :2].clone().unbind(1)
    y[:6], x[:6] = torch.tensor([[0.0, 0, 0, 1, -1, -0.5], [0, 1, -1, 0, 0, -0.5]]).double()
    far, angle = nearby._far(points, kept), edges._angle(y, x)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    torch.testing.assert_close(nearby._far(points, kept), far, rtol=1e-14, atol=0)
    torch.testing.assert_close(edges._angle(y, x), angle, rtol=1e-14, atol=0)


class Odd(nn.Module):
    """An own layer that ONNX has no operator for, or that looks at its values."""

    def __init__(self, looks):
        super().__init__()
        self.linear, self.looks = nn.Linear(784, 3), looks

    def forward(self, x):
        z = self.linear(x.flatten(1))
        if self.looks:
            return z if z.sum() > 0 else -z
        return torch.special.bessel_j0(z)


def test_what_cannot_be_a_graph_is_said(digits, tmp_path, monkeypatch):
    only(monkeypatch, "encoder")
    for looks, words in (
        (True, "no graph that torch.export can follow"),
        (False, "no operator for .*bessel_j0"),
    ):
        pair = Odd(looks), nn.Linear(3, 784)
        model = Autoencoder(**SMALL | {"network": pair, "hidden": None, "latent_dim": None})
        with pytest.raises(InputError, match=words):
            diabolo.export(model.fit(digits), tmp_path / "out", X=digits)


@pytest.mark.stress
def test_ties_that_are_broken_in_another_way_are_said(tmp_path):
    """The nearest of rows of whole numbers, where many are equally near."""
    X = np.random.default_rng(0).integers(0, 3, (300, 4), dtype=np.uint8)
    detector = AnomalyDetector(Autoencoder(**SMALL | {"latent_dim": 2}), random_state=0).fit(X)
    with pytest.raises(InputError, match=r"equally near.*: try --to torch, or a detector with"):
        diabolo.export(detector, tmp_path / "out", X=X)
    assert [*tmp_path.iterdir()] == []


def test_an_operator_that_onnxruntime_lacks_is_named(tmp_path, monkeypatch):
    def none(*_):
        raise RuntimeError("NOT_IMPLEMENTED : Could not find an implementation for Atan(7) node")

    monkeypatch.setattr("onnxruntime.InferenceSession", none)
    with pytest.raises(InputError, match=r"onnxruntime has no operator for Atan.* --to torch"):
        formats.FORMATS["onnx"].open(tmp_path)


def test_mistakes_get_a_sentence(detector, tmp_path, capsys, monkeypatch):
    with pytest.raises(InputError, match="did you mean 'onnx'"):
        diabolo.export(detector, tmp_path, "onx")
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match=r"other files in it, such as mine.txt"):
        diabolo.export(detector, tmp_path, "torch")
    detector.save(tmp_path / "detector.safetensors")
    words = ["export", tmp_path / "detector.safetensors", "--out"]
    assert "holds the input" in failed(capsys, *words, tmp_path, "--force")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "needs onnxruntime: pip install" in failed(capsys, *words, tmp_path / "out")


def test_the_command_tries_a_run_on_its_own_data(tmp_path, capsys):
    out = tmp_path / "run"
    assert run("fit", "ae-32-fast", "--out", out, "--limit", 200, "--epochs", 1, *FEW) == 0
    capsys.readouterr()
    assert run("export", out, "--to", "torch", "--out", tmp_path / "new", "--limit", 50) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split(": 50 answers, off by at most ")[0] for line in told] == [
        "model.pt2",
        "encoder.pt2",
        "decoder.pt2",
    ]


@pytest.mark.stress
@pytest.mark.parametrize("to", formats.FORMATS)
@pytest.mark.parametrize("network", Network.kinds())
@pytest.mark.parametrize("name", MODELS)
def test_every_model_with_every_network(name, network, to, digits, tmp_path):
    narrow = not Network.kinds()[network].any_size
    new = maker(name, network)
    try:
        model = new(hidden=(6, 4), latent_dim=3 if narrow else None).fit(digits)
    except InputError:
        pytest.skip("these do not go together")
    detector: object = model
    for criterion in CRITERIA if narrow else CRITERIA[::3]:
        detector = AnomalyDetector(model, criterion=criterion, prefit=True).fit(digits[:128])
        proof = diabolo.export(detector, tmp_path, to, X=digits)
        assert len(proof["files"]) == 4
    if not narrow and to == "torch":
        graph = torch.export.load(tmp_path / "model.pt2").module()
        image = np.tile(digits[:2], (1, 2, 1))[:, :49]
        np.testing.assert_allclose(
            graph(torch.from_numpy(image)), denoise(model, image), atol=1e-3
        )


@pytest.mark.stress
@pytest.mark.parametrize("to", formats.FORMATS)
@pytest.mark.parametrize(("criterion", "nets"), [*((c, 1) for c in NEAR), ("blend", 2)])
def test_distances_to_what_is_kept(criterion, nets, to, digits, tmp_path):
    X = digits[:, ::2, ::2] if criterion == "edges" else floats(256)
    model = Autoencoder(**SMALL)
    detector = AnomalyDetector(model, criterion=criterion, nets=nets, random_state=0).fit(X)
    proof = diabolo.export(detector, tmp_path, to, X=X)
    assert len(proof["files"]) == 4


@pytest.mark.stress
@pytest.mark.parametrize("to", formats.FORMATS)
@pytest.mark.parametrize("sides", [1, 3])
@pytest.mark.parametrize("network", ["conv", "unet"])  # whose layers have no biases
def test_signals_and_volumes(network, sides, to, tmp_path):
    X = np.random.default_rng(0).random((40, 2, *[8] * sides), dtype=np.float32)
    own = {"network": network, "latent_dim": 2 if network == "conv" else None}
    model = Autoencoder(dimensions=sides, hidden=(3,), epochs=1, random_state=0, **own).fit(X)
    proof = diabolo.export(model, tmp_path / "out", to, X=X)
    found = [off for file in proof["files"].values() for off in file["difference"].values()]
    assert max(found) <= 1e-5
    assert len(proof["files"]) == 3
