"""The model in CONTRIBUTING.md is a whole one: it trains, is measured, saves and loads."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import floats

from diabolo import load
from diabolo.tasks.evaluation import evaluate

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
SMALL = {"latent_dim": 3, "hidden": (8,), "epochs": 4, "random_state": 0, "device": "cpu"}
USE = """
import numpy as np
import few_units
from diabolo import load
X = np.random.default_rng(0).random((40, 6), dtype=np.float32)
print(load("model.safetensors", device="cpu").transform(X).tobytes().hex())
"""


@pytest.fixture
def kind(tmp_path, monkeypatch):
    """The class that the example defines, in a module of the working folder.

    The module stays imported: named `sparse`, scipy would take it for that package.
    """
    (example,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    (tmp_path / "few_units.py").write_text(example)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    from few_units import SparseAutoencoder

    return SparseAutoencoder


def test_the_example_of_a_model_is_one(kind):
    X = floats()
    plain, sparse = (kind(sparsity=s, **SMALL).fit(X) for s in (0.0, 1.0))
    size = [np.abs(model.transform(X)).mean() for model in (plain, sparse)]
    assert size[1] < size[0]
    found = evaluate(sparse, X)["test"]
    assert found["l1"] == pytest.approx(3 * size[1], rel=1e-4)
    assert {"nll", "l1", "zeros"} <= set(found)
    assert not {"kl", "elbo", "bce"} & set(found)
    assert sparse.loss_unit_ == "nats per sample"
    sparse.save("model.safetensors")
    assert load("model.safetensors").kind == "SparseAutoencoder", "defined after ours were read"


@pytest.mark.stress
def test_the_example_is_loaded_elsewhere(kind, tmp_path):
    model = kind(**SMALL).fit(floats())
    model.save("model.safetensors")
    told = subprocess.run(
        [sys.executable, "-c", USE], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == model.transform(floats()).tobytes().hex()
