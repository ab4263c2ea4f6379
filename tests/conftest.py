"""What several test files share: digits, and a guard over the global random states."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from diabolo.data.mnist import read_split

torch.set_num_threads(1)  # the nets here are tiny


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
