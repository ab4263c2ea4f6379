"""What several test files share: small estimators, data, and a guard over the global states."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from diabolo.cli import main
from diabolo.data.mnist import read_split
from diabolo.models import MODELS

torch.set_num_threads(1)  # the nets here are tiny

CASES = [(name, network) for name in MODELS for network in ("dense", "conv", "subpixel")]
SMALL = {
    "latent_dim": 3,
    "hidden": (6,),
    "epochs": 2,
    "batch_size": 16,
    "random_state": 0,
    "device": "cpu",
}


@pytest.fixture(params=CASES, ids="-".join)
def make(request):
    """A maker of small estimators, for every model and network."""
    name, network = request.param

    def new(**parameters):
        return MODELS[name](**SMALL | {"network": network} | parameters)

    return new


def run(*words):
    """The exit code of a command."""
    return main([str(word) for word in words])


def failed(capsys, *words):
    """The one sentence that a mistaken command leaves on stderr."""
    capsys.readouterr()
    assert run(*words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("diabolo: ")
    return lines[0].removeprefix("diabolo: ")


def floats(n=40, d=6, seed=0):
    """Rows in [0, 1)."""
    return np.random.default_rng(seed).random((n, d), dtype=np.float32)


@pytest.fixture(scope="session")
def digits():
    """The first 256 test digits, uint8 (256, 28, 28)."""
    return np.ascontiguousarray(read_split("test")[0][:256])


@contextmanager
def _untouched() -> Iterator[None]:
    python, numpy, tensors = random.getstate(), np.random.get_state(), torch.get_rng_state()
    yield
    assert random.getstate() == python
    after = np.random.get_state()
    assert after[0] == numpy[0]
    np.testing.assert_array_equal(after[1], numpy[1])
    assert after[2:] == numpy[2:]
    assert torch.equal(torch.get_rng_state(), tensors)


@pytest.fixture
def untouched():
    """A context manager: the global random states must be the same after it as before."""
    return _untouched


@pytest.fixture(params=[1, 2], ids=["1 thread", "2 threads"])
def threads(request):
    """Run a test with one thread of torch and with two."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)
