"""Training by two processes under torchrun is training by one."""

import json
import multiprocessing
import os
import signal
import socket
import time

import numpy as np
import pytest
from conftest import floats

from diabolo import VAE, VQVAE, Autoencoder, UMAPAutoencoder
from diabolo.corruption import GaussianNoise
from diabolo.errors import InputError
from diabolo.store import CHECKPOINT

CONTEXT = multiprocessing.get_context("fork")  # which has imported all there is
IMAGES = floats(203, 64).reshape(-1, 8, 8)
SMALL = {
    "hidden": (4, 4),
    "linear": False,
    "schedule": "constant",
    "epochs": 3,
    "batch_size": 67,  # the last of each epoch has two samples
    "device": "cpu",
    "random_state": 0,
}
MODELS = {
    "conv VAE": lambda: VAE(network="conv", latent_dim=4, **SMALL),
    "denoiser": lambda: Autoencoder(corruption=GaussianNoise(0.3), latent_dim=4, **SMALL),
    "map": lambda: UMAPAutoencoder(latent_dim=2, **SMALL),
}


def started(work, count):
    """Processes that work as torchrun starts them: `work(rank)`, whose answer is kept."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_PORT": port}
    shared |= {"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_RUN_ID": "test"}

    def run(rank):
        os.environ.update(shared, RANK=str(rank), LOCAL_RANK=str(rank))
        work(rank)

    processes = [CONTEXT.Process(target=run, args=(rank,)) for rank in range(count)]
    for process in processes:
        process.start()
    return processes


def ended(processes):
    for process in processes:
        process.join(60)
        process.kill()
    return [process.exitcode for process in processes]


@pytest.mark.parametrize("name", MODELS)
def test_two_processes_learn_as_one(name, tmp_path):
    def work(rank):
        model = MODELS[name]().fit(IMAGES)
        np.save(tmp_path / f"{rank}.npy", model.step_loss_)

    assert ended(started(work, 2)) == [0, 0]
    alone = MODELS[name]().fit(IMAGES).step_loss_
    assert alone[-1] < alone[0]
    for rank in range(2):
        np.testing.assert_allclose(np.load(tmp_path / f"{rank}.npy"), alone, rtol=1e-5)


def test_a_lost_worker_ends_the_run_and_it_goes_on(tmp_path):
    def fit(folder, wait=0.0):
        def work(rank):
            model = MODELS["denoiser"]()
            try:
                model.fit(IMAGES, checkpoint=folder, callback=lambda model: time.sleep(wait))
            except InputError as error:
                (tmp_path / f"said{rank}").write_text(str(error))
                raise SystemExit(2) from None
            np.save(folder / f"{rank}.npy", model.step_loss_)

        return work

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    assert ended(started(fit(whole), 2)) == [0, 0]
    processes = started(fit(cut, wait=0.5), 2)
    while not (cut / CHECKPOINT).exists():
        time.sleep(0.01)
    processes[1].kill()
    assert ended(processes) == [2, -signal.SIGKILL]
    assert "diabolo fit --resume DIR, under torchrun again" in (tmp_path / "said0").read_text()
    assert ended(started(fit(cut), 2)) == [0, 0]
    assert np.array_equal(np.load(cut / "0.npy"), np.load(whole / "0.npy"))


def test_what_processes_cannot_do_together_is_said(tmp_path):
    cases = {
        "another data": lambda rank: MODELS["denoiser"]().fit(IMAGES + rank),
        "another model": lambda rank: Autoencoder(latent_dim=3 + rank, **SMALL).fit(IMAGES),
        "fit it without torchrun": lambda rank: VQVAE(latent_dim=4, **SMALL).fit(IMAGES),
    }

    def work(rank):
        said = {}
        for words, fit in cases.items():
            try:
                fit(rank)
            except InputError as error:
                said[words] = str(error)
        (tmp_path / str(rank)).write_text(json.dumps(said))

    assert ended(started(work, 2)) == [0, 0]
    for rank in range(2):
        said = json.loads((tmp_path / str(rank)).read_text())
        assert all(words in said[words] for words in cases), said
