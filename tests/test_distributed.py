"""Training by two processes under torchrun is training by one."""

import os
import socket
import subprocess
import sys

import numpy as np

SCRIPT = """
import sys
import numpy as np
from diabolo import VAE, distributed
X = np.random.default_rng(0).random((203, 8, 8)).astype(np.float32)
model = VAE(latent_dim=4, hidden=(16,), epochs=2, random_state=0, batch_size=67, device="cpu")
losses = model.fit(X).fitted_.step_loss
if distributed.rank() == 0:
    np.save(sys.argv[1], losses)
"""


def started(path, count):
    """Processes that fit, as torchrun starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"OMP_NUM_THREADS": "1"}
    if count > 1:
        shared |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_PORT": port}
        shared |= {"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_RUN_ID": "test"}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(path)]
    return [
        subprocess.Popen(command, env=os.environ | shared | {"RANK": str(r), "LOCAL_RANK": str(r)})
        for r in range(count)
    ]


def test_two_processes_learn_as_one(tmp_path):
    one, two = tmp_path / "one.npy", tmp_path / "two.npy"
    for process in [*started(one, 1), *started(two, 2)]:
        assert process.wait(timeout=100) == 0
    np.testing.assert_allclose(np.load(two), np.load(one), rtol=1e-5)
