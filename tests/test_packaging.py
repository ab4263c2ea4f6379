"""What is built of this folder installs into an empty environment, and works there."""

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import diabolo

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CPU = ["--constraint", ROOT / "constraints.txt"]  # a PyTorch of which there is one without CUDA
TRIED = """
import diabolo, numpy as np
from diabolo.data import load_mnist
(x, _), _ = load_mnist()
model = diabolo.Autoencoder(latent_dim=4, hidden=(), epochs=1, random_state=0).fit(x[:300])
assert model.transform(x[:5]).shape == (5, 4)
diabolo.load("photo")
print(diabolo.__version__, diabolo.__file__)
"""


def ran(*words, **how):
    done = subprocess.run(
        [str(w) for w in words], capture_output=True, text=True, check=False, **how
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_extras_that_are_named_in_sentences_are_there():
    texts = "\n".join(p.read_text() for p in (ROOT / "src" / "diabolo").rglob("*.py"))
    for extra in ("arrays", "codec", "export", "filters", "ray", "tables"):
        assert f"diabolo[{extra}]" in texts
        assert extra in PROJECT["optional-dependencies"]


def test_one_version():
    assert PROJECT["dynamic"] == ["version"]
    assert f"\n## {diabolo.__version__}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.stress
def test_wheel_and_sdist_install_and_work(tmp_path):
    pip = [sys.executable, "-m", "pip"]
    ran(*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
    for needed in ("py.typed", "data/mnist/LICENSE", "shipped/README.md", "studio/page/main.js"):
        assert f"diabolo/{needed}" in names
    ran(sys.executable, "-m", "venv", tmp_path / "empty")
    python = tmp_path / "empty" / "bin" / "python"
    elsewhere = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    ran(*pip, "--python", python, "install", "--quiet", *CPU, "hatchling", wheel)
    told = ran(python, "-c", TRIED, cwd=tmp_path, env=elsewhere)
    assert told.startswith(diabolo.__version__)
    assert str(tmp_path / "empty") in told
    build = f"from hatchling.build import build_sdist; print(build_sdist({str(tmp_path)!r}))"
    source = tmp_path / ran(python, "-c", build, cwd=ROOT).split()[-1]
    with tarfile.open(source) as file:
        assert any(name.endswith("/src/diabolo/py.typed") for name in file.getnames())
    ran(*pip, "--python", python, "install", "--quiet", "--no-deps", "--force-reinstall", source)
    assert ran(python, "-c", TRIED, cwd=tmp_path, env=elsewhere) == told
    ran(tmp_path / "empty" / "bin" / "diabolo", "recipes", cwd=tmp_path, env=elsewhere)
