"""Exact resume: whatever ends a training, it goes on to the same weights and history, bit for bit.

`make stress` runs the long forms: 30 trainings, each killed several times at random moments.
"""

import itertools
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import drawing
from filelock import FileLock
from sklearn.base import clone
from torch import nn

import diabolo.report
import diabolo.store
from diabolo import VAE, Autoencoder, load
from diabolo.cli import main
from diabolo.commands import results, runs
from diabolo.corruption import GaussianNoise, Masking, SaltAndPepper
from diabolo.data import files
from diabolo.data.mnist import read_split
from diabolo.doctor import DoctorWarning
from diabolo.errors import InputError
from diabolo.store import CHECKPOINT, PREVIOUS, Checkpoints

COMMON = {"random_state": 0, "device": "cpu", "batch_size": 32}


def own_pair():
    draw = torch.Generator().manual_seed(0)
    pair = (
        nn.Sequential(
            nn.Flatten(), nn.Linear(784, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 8)
        ),
        nn.Linear(8, 784),
    )
    for parameter in itertools.chain(*(part.parameters() for part in pair)):
        parameter.data.uniform_(-0.05, 0.05, generator=draw)
    return pair


CASES = {  # a model and how many digits it is trained on
    "dense, noise, early stopping": lambda: (
        Autoencoder(
            latent_dim=8,
            hidden=(32,),
            corruption=GaussianNoise(0.5),
            epochs=6,
            schedule="one_cycle",
            learning_rate=5e-3,
            validation_fraction=0.1,
            early_stopping=2,
            **COMMON,
        ),
        300,
    ),
    "conv, noise, early stopping": lambda: (
        Autoencoder(
            network="conv",
            hidden=(4, 8),
            latent_dim=8,
            corruption=SaltAndPepper(0.3),
            epochs=4,
            validation_fraction=0.1,
            early_stopping=1,
            **COMMON,
        ),
        200,
    ),
    "VAE, masking": lambda: (
        VAE(latent_dim=4, hidden=(64,), corruption=Masking(0.3), epochs=6, **COMMON),
        320,
    ),
    "own pair, SGD, drop_last": lambda: (
        Autoencoder(network=own_pair(), optimizer="sgd", drop_last=True, epochs=6, **COMMON),
        330,
    ),
    "subpixel, bfloat16, cosine": lambda: (
        Autoencoder(
            network="subpixel",
            hidden=(4, 4),
            latent_dim=8,
            precision="bf16",
            schedule="cosine",
            corruption=GaussianNoise(0.3),
            epochs=3,
            **COMMON,
        ),
        300,
    ),
}


def train(case, folder=None, checkpoints=Checkpoints):
    model, n = CASES[case]()
    return model.fit(read_split("test")[0][:n], checkpoint=folder and checkpoints(folder))


def state(model):
    """Everything that a training decides, timings aside."""
    history = {name: values for name, values in model.history_.items() if name != "seconds"}
    weights = {name: tensor.numpy().tobytes() for name, tensor in model.net_.state_dict().items()}
    return history, weights, model.step_loss_.tobytes(), model.code_range_.tobytes()


@pytest.fixture(scope="module")
def uninterrupted():
    """The state of each case's model, trained in one go."""
    found = {}

    def of(case):
        if case not in found:
            found[case] = state(train(case))
        return found[case]

    return of


class Stop(Exception):  # noqa: N818
    """Ends a training."""


def stopping(at, every):
    """Checkpoints after each `every`th step, that end the training when asked the `at`th time."""
    asked = itertools.count(1)

    class Stopping(Checkpoints):
        def due(self, *, within_epoch):
            number = next(asked)
            if number == at:
                raise Stop
            return number % every == 0

    return Stopping


SLOW = ("conv, noise, early stopping", "subpixel, bfloat16, cosine")
SOME = [pytest.param(case, marks=[pytest.mark.stress] * (case in SLOW)) for case in CASES]
MOMENTS = [25, *(pytest.param(at, marks=pytest.mark.stress) for at in (1, 9, 14))]


@pytest.mark.parametrize("at", MOMENTS)
@pytest.mark.parametrize("case", SOME)
def test_a_training_that_failed_anywhere_goes_on_exactly(case, at, uninterrupted, tmp_path):
    with pytest.raises(Stop):
        train(case, tmp_path, stopping(at, every=4))
    assert state(train(case, tmp_path)) == uninterrupted(case)


@pytest.mark.parametrize("case", SOME)
def test_a_finished_training_is_taken_as_it_is(case, uninterrupted, tmp_path):
    assert state(train(case, tmp_path)) == uninterrupted(case), "checkpoints change nothing"

    class Untouched(Checkpoints):
        def write(self, _):
            raise AssertionError("nothing is trained any more")

    assert state(train(case, tmp_path, Untouched)) == uninterrupted(case)


def frequent(folder):
    """Checkpoints after every fifth step."""
    checkpoints, asked = Checkpoints(folder), itertools.count(1)
    checkpoints.due = lambda *, within_epoch: next(asked) % 5 == 0
    return checkpoints


def until_killed(case, folder):
    warnings.simplefilter("ignore", DoctorWarning)
    model = train(case, folder, frequent)
    model.save(folder / "done.safetensors")


def finished(case, folder, draw, kills, longest):
    """Train, killed by SIGKILL at up to `kills` random moments; how often that was."""
    folder.mkdir()
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__])
    for killed in range(kills + 1):
        worker = processes.Process(target=until_killed, args=(case, folder))
        worker.start()
        while not any(folder.glob("*")) and worker.is_alive():
            time.sleep(0.002)
        worker.join(timeout=draw.uniform(0, longest) if killed < kills else None)
        if worker.exitcode is not None:
            assert worker.exitcode == 0
            return killed
        worker.kill()
        worker.join()
    raise AssertionError


def check_kills(case, number, folder, expected):
    """Train, killed at least once, to the expected state; how often it was killed."""
    draw, longest = random.Random(f"{case} {number}"), 0.6
    while not (killed := finished(case, folder, draw, 1 + number % 4, longest)):
        shutil.rmtree(folder)
        longest /= 2
    assert state(load(folder / "done.safetensors", **_pair(case))) == expected
    left = {path.name for path in folder.iterdir() if not path.name.startswith(".done-")}
    assert left <= {CHECKPOINT, PREVIOUS, "done.safetensors"}, "nothing half-written is left"
    return killed


def _pair(case):
    return {"network": own_pair()} if case.startswith("own") else {}


@pytest.mark.stress
@pytest.mark.parametrize("case", list(CASES)[:2])
def test_a_killed_training_goes_on_exactly(case, uninterrupted, tmp_path):
    check_kills(case, 1, tmp_path / "run", uninterrupted(case))


@pytest.mark.stress
def test_thirty_killed_trainings_go_on_exactly(uninterrupted, tmp_path, capsys):
    killed = [
        check_kills(case, number, tmp_path / f"{case} {number}", uninterrupted(case))
        for case in CASES
        for number in range(6)
    ]
    with capsys.disabled():
        print(f"\n{len(killed)} trainings, {sum(killed)} kills")
    assert len(killed) == 30


# ---- checkpoints


def test_the_last_two_are_kept_and_are_models(tmp_path):
    case = "dense, noise, early stopping"
    with pytest.raises(Stop):
        train(case, tmp_path, stopping(50, every=10))
    assert {path.name for path in tmp_path.iterdir()} == {CHECKPOINT, PREVIOUS}
    x = read_split("test")[0][:5]
    now, before = (load(tmp_path / name) for name in (CHECKPOINT, PREVIOUS))
    assert now.transform(x).shape == before.transform(x).shape == (5, 8)
    assert not np.array_equal(now.transform(x), before.transform(x))


@pytest.mark.parametrize("damage", [b"", b"no checkpoint"])
def test_a_damaged_checkpoint_falls_back_on_the_one_before(damage, uninterrupted, tmp_path):
    case = "VAE, masking"
    with pytest.raises(Stop):
        train(case, tmp_path, stopping(45, every=10))
    (tmp_path / CHECKPOINT).write_bytes(damage)
    assert state(train(case, tmp_path)) == uninterrupted(case)


def test_two_damaged_checkpoints_are_named(tmp_path):
    for name in (CHECKPOINT, PREVIOUS):
        (tmp_path / name).write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match=f"{PREVIOUS} is not a model file"):
        train("VAE, masking", tmp_path)


def test_a_model_file_is_no_checkpoint(tmp_path):
    train("VAE, masking").save(tmp_path / CHECKPOINT)
    with pytest.raises(InputError, match="no checkpoint"):
        train("VAE, masking", tmp_path)


HOSTILE = {  # what is changed in a checkpoint's config and tensors, its checksums right
    "another epoch": lambda config, tensors: tensors["training position"].add_(1),
    "no such epoch": lambda config, tensors: tensors["training position"].fill_(10**9),
    "an uneven history": lambda config, tensors: config["history"]["loss"].pop(),
    "a history of words": lambda config, tensors: config["history"].update(loss=["x"]),
    "other weights": lambda config, tensors: tensors.pop("best weights encoder.0.weight"),
    "no numbers": lambda config, tensors: tensors["encoder.0.weight"].fill_(np.nan),
    "half a position": lambda config, tensors: tensors.update({"training position": ONE}),
}
ONE = torch.zeros(1)


@pytest.mark.parametrize("change", HOSTILE)
def test_a_hostile_checkpoint_is_refused_in_a_sentence(change, tmp_path):
    X = np.random.default_rng(0).random((20, 4), dtype=np.float32)
    model = Autoencoder(latent_dim=2, hidden=(), epochs=1, early_stopping=None, **COMMON)
    model.fit(X, checkpoint=tmp_path)
    config, tensors = diabolo.store.read(tmp_path / CHECKPOINT)
    HOSTILE[change](config, tensors)
    diabolo.store.write(tmp_path / CHECKPOINT, config, tensors)
    with pytest.raises(InputError, match=r"^The checkpoint (is damaged|does not fit)"):
        clone(model).fit(X, checkpoint=tmp_path)


def test_the_checkpoint_of_another_training_is_refused(tmp_path):
    x = read_split("test")[0][:64]
    small = {"hidden": (4,), "latent_dim": 2, "scaling": "unit", "epochs": 1} | COMMON
    small |= {"validation_fraction": 0.0, "early_stopping": None}
    Autoencoder(**small).fit(x, checkpoint=tmp_path)
    before = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(InputError, match=r"whose learning_rate is 0.003 and not 0.1: give"):
        Autoencoder(**small, learning_rate=0.1).fit(x, checkpoint=tmp_path)
    with pytest.raises(InputError, match="whose kind is 'Autoencoder' and not 'VAE'"):
        VAE(**small).fit(x, checkpoint=tmp_path)
    with pytest.raises(InputError, match="on other data"):
        Autoencoder(**small).fit(x[1:], checkpoint=tmp_path)
    with pytest.raises(InputError, match="on other data"):
        Autoencoder(**small).fit(x, X_val=x, checkpoint=tmp_path)
    model = Autoencoder(**small, warm_start=True).fit(x)
    Checkpoints(tmp_path).remove()
    model.fit(x, checkpoint=tmp_path)
    with pytest.raises(InputError, match="began with other weights"):
        model.fit(x, checkpoint=tmp_path)
    (tmp_path / CHECKPOINT).write_bytes(before)
    Autoencoder(**small).fit(x, checkpoint=tmp_path)


def test_a_warm_start_goes_on_exactly(tmp_path):
    x = read_split("test")[0][:640]
    make = lambda: Autoencoder(warm_start=True, hidden=(32,), epochs=3, **COMMON).fit(x)  # noqa: E731
    expected = state(make().fit(x))
    model = make()
    with pytest.raises(Stop):
        model.fit(x, checkpoint=stopping(25, every=3)(tmp_path))
    assert model.history_["epoch"] == [1, 2, 3], "a failure leaves the model as it was"
    assert state(model.fit(x, checkpoint=tmp_path)) == expected


def test_a_seed_that_was_drawn_is_taken_up(tmp_path):
    x = read_split("test")[0][:320]

    def make():
        return Autoencoder(hidden=(32,), epochs=3, random_state=None, device="cpu")

    with pytest.raises(Stop):
        make().fit(x, checkpoint=stopping(4, every=2)(tmp_path))
    seed = load(tmp_path / CHECKPOINT).seed_
    model = make().fit(x, checkpoint=tmp_path)
    assert model.seed_ == seed
    expected = make().set_params(random_state=seed).fit(x)
    assert state(model) == state(expected)


def filling(folder):
    """Checkpoints on a disk that is full after twenty steps."""
    checkpoints, asked = Checkpoints(folder), itertools.count(1)

    def due(*, within_epoch):
        if (number := next(asked)) == 20:
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
        return number % 10 == 0

    checkpoints.due = due
    return checkpoints


def test_a_full_disk_leaves_the_checkpoint_before_it(tmp_path):
    model = Autoencoder(hidden=(16,), latent_dim=4, random_state=0, device="cpu", epochs=9)
    x, before = read_split("test")[0][:1000], resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(InputError) as error:
            model.fit(x, checkpoint=filling(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    why = "File too large; free space or write elsewhere."
    assert str(error.value) == f"{tmp_path / CHECKPOINT} cannot be written: {why}"
    assert CHECKPOINT in {path.name for path in tmp_path.iterdir()} <= {CHECKPOINT, PREVIOUS}
    once = state(model.fit(x))
    assert state(model.fit(x, checkpoint=tmp_path)) == once


def test_when_a_checkpoint_is_due(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(diabolo.store.time, "monotonic", lambda: now[0])
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.due(within_epoch=True), "none was written yet"
    checkpoints.written, checkpoints.cost = now[0], 0.1
    now[0] += 4.9
    assert not checkpoints.due(within_epoch=False), "writing takes a fiftieth of the time at most"
    now[0] += 0.2
    assert checkpoints.due(within_epoch=False)
    assert not checkpoints.due(within_epoch=True)
    now[0] += 25
    assert checkpoints.due(within_epoch=True)


# ---- diabolo fit --resume


def model_of(folder):
    return state(load(folder / "model.safetensors", device="cpu"))


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """What fits a table, one column of which is constant: its name is in a finding."""
    table = tmp_path_factory.mktemp("data") / "table.csv"
    rows = np.random.default_rng(0).normal(size=(400, 20))
    rows[:, 3] = 7
    header = ",".join(f"column{i}" for i in range(20))
    np.savetxt(table, rows, delimiter=",", header=header, comments="")
    words = "--epochs 6 --batch-size 16 --early-stopping none --device cpu"
    return ["fit", "ae", "--data", str(table), *words.split()]


@pytest.fixture(scope="module", params=[False, pytest.param(True, marks=pytest.mark.stress)])
def pictures(request):
    """Whether the reports have pictures, which take most of the time."""
    if request.param:
        with drawing():
            yield True
    else:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("diabolo.report.draw_loss", lambda *_: None)
            yield False


@pytest.fixture(scope="module")
def whole(tmp_path_factory, command, pictures):
    """A run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert main([*command, "--out", str(folder)]) == 0
    model = load(folder / "model.safetensors")
    assert "column3" in next(f for f in model.findings_ if f.name == "constant columns").what
    assert (folder / "figures").is_dir() == pictures
    return folder


def same_run(a, b):
    numbers = [json.loads((folder / "metrics.json").read_text()) for folder in (a, b)]
    for timed in ("seconds", "images_per_second"):
        assert {n.pop(timed) is not None for n in numbers} == {True}
    names = [sorted(p.relative_to(f).as_posix() for p in f.rglob("*")) for f in (a, b)]
    names = [[name for name in each if name != runs.LOCK] for each in names]  # which holds nobody
    lines = [(folder / "history.csv").read_text().splitlines() for folder in (a, b)]
    columns = [[line.split(",")[:3] for line in table] for table in lines]
    config = [(folder / "config.toml").read_bytes() for folder in (a, b)]
    findings = [load(folder / "model.safetensors").findings_ for folder in (a, b)]
    models = [model_of(folder) for folder in (a, b)]
    return all(x == y for x, y in (numbers, names, columns, config, findings, models))


@pytest.mark.stress
def test_a_killed_run_is_resumed(whole, command, tmp_path, capsys):
    folder = tmp_path / "run"
    words = [sys.executable, "-m", "diabolo", *command, "--out", str(folder)]
    with subprocess.Popen(words, stderr=-1, stdout=-1) as process:
        while not (folder / "history.csv").exists():
            assert process.poll() is None
            time.sleep(0.002)
        process.kill()
    assert not (folder / "report.html").exists()
    assert main(["summary", str(folder)]) == 0, "a checkpoint is a model"
    assert main(["fit", "--resume", str(folder)]) == 0
    assert same_run(folder, whole)
    capsys.readouterr()
    assert main(["fit", "--resume", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder} is complete: there is nothing to resume.\n"


def test_an_interrupted_run_is_resumed(whole, command, tmp_path, monkeypatch, capsys):
    from diabolo.commands import training

    epoch_done = training._Run.epoch_done

    def interrupted(self, model):
        epoch_done(self, model)
        if len(model.history_["epoch"]) == 3:
            signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(training._Run, "epoch_done", interrupted)
        assert main([*command, "--out", str(folder)]) == 130
    assert f"diabolo fit --resume {folder} goes on with it." in capsys.readouterr().out
    assert len(load(folder / "model.safetensors").history_["epoch"]) == 3
    assert (folder / "report.html").is_file()
    assert main(["fit", "--resume", str(folder)]) == 0
    assert same_run(folder, whole)


def test_a_run_killed_in_its_report_is_resumed(whole, command, tmp_path, monkeypatch):
    from diabolo import report

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(report, "write", lambda *_, **__: (_ for _ in ()).throw(Stop))
        with pytest.raises(Stop):
            main([*command, "--out", str(folder)])
    assert main(["fit", "--resume", str(folder)]) == 0
    assert same_run(folder, whole)


def test_a_new_run_does_not_take_up_an_old_one(whole, command, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    Autoencoder(hidden=(4,), epochs=1).fit(read_split("test")[0][:64], checkpoint=folder)
    assert main([*command, "--out", str(folder), "--force"]) == 0
    assert same_run(folder, whole)


def test_a_forced_run_that_fails_leaves_the_old_one(whole, command, tmp_path, capsys):
    folder, other = tmp_path / "run", tmp_path / "new"
    shutil.copytree(whole, folder)
    wild = [*command, "--learning-rate", "1e30", "--out"]
    assert main([*wild, str(folder), "--force"]) == 2
    assert "stops being finite" in capsys.readouterr().err
    assert same_run(folder, whole)
    assert main([*wild, str(other)]) == 2
    assert not other.exists(), "a run that came to nothing leaves nothing"


def test_a_run_that_has_only_the_checkpoint_before_is_one(whole, command, tmp_path):
    """As it is for a moment while a checkpoint is written."""
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    for name in ("model.safetensors", "metrics.json", "report.html"):
        (folder / name).unlink()
    with pytest.raises(Stop):
        train("VAE, masking", folder, stopping(9, every=4))
    (folder / CHECKPOINT).unlink()
    assert main(["summary", str(folder)]) == 0
    assert main([*command, "--out", str(folder), "--force"]) == 0
    assert same_run(folder, whole)


def test_a_run_folder_has_one_writer(whole, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    with FileLock(folder / runs.LOCK):
        for words in (["--force"], []):
            assert main(["fit", "dae-32", "--out", str(folder), *words]) == 2
            assert "Another process writes into" in capsys.readouterr().err
    (folder / runs.LOCK).unlink()
    folder.rmdir()
    shutil.copytree(whole, folder)
    with FileLock(folder / runs.LOCK):
        (folder / "report.html").unlink()
        assert main(["fit", "--resume", str(folder)]) == 2
    monkeypatch.chdir(tmp_path)
    names = [runs.new_folder(None, "ae", force=False).name[-2:] for _ in range(3)]
    assert names == ["-1", "-2", "-3"], "each is made for the one that asks"


def test_a_run_whose_folder_is_removed_ends(command, tmp_path, monkeypatch, capsys):
    written = results.write_history

    def removed(folder, history):
        written(folder, history)
        shutil.rmtree(folder)

    monkeypatch.setattr(results, "write_history", removed)
    assert main([*command, "--out", str(tmp_path / "run")]) == 2
    assert "run was removed in the training, which ends here." in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_killed_as_it_began_is_replaced(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in (runs.LOCK, ".config-0123abcd.toml"):
        (folder / name).touch()
    assert runs.new_folder(folder, "ae", force=False) == folder
    (folder / "letter.txt").touch()
    with pytest.raises(InputError, match="exists: give another --out"):
        runs.new_folder(folder, "ae", force=False)


def test_what_resume_needs_is_on_the_disk_before_it_is_relied_on(command, tmp_path, monkeypatch):
    """In this order: whatever a power cut leaves of a run can be resumed, or is complete."""
    synced = []
    monkeypatch.setattr(files, "sync", lambda path: synced.append(path.name))
    monkeypatch.setattr(Checkpoints, "remove", lambda self: synced.append("removed"))
    assert main([*command, "--out", str(tmp_path / "run")]) == 0
    parts = ["" if name.startswith(".") else name for name in synced if name[:7] != ".model-"]
    started = synced.index(next(name for name in synced if name.startswith(".config-")))
    assert [parts.index("run"), parts.index(tmp_path.name)] == [started + 1, started + 2]
    assert synced.index(next(n for n in synced if n.startswith(".checkpoint"))) > started + 2
    last = synced[: len(synced) - synced[::-1].index("removed")]
    ends = {"config.toml", "history.csv", "metrics.json", "report.html", "model.safetensors"}
    assert ends <= set(last[last.index(max(last, key=lambda n: n.startswith(".check"))) :])


def test_files_are_as_readable_as_umask_lets_them_be(tmp_path):
    for mask, mode in ((0o077, 0o600), (0o022, 0o644)):
        before = os.umask(mask)
        try:
            results.write_text(tmp_path / "t.txt", "text")
        finally:
            os.umask(before)
        assert (tmp_path / "t.txt").stat().st_mode & 0o777 == mode


def test_what_cannot_be_resumed_says_why(whole, tmp_path, capsys):
    def said(*words):
        assert main(["fit", *map(str, words)]) == 2
        return capsys.readouterr().err

    assert "holds no run to resume: it has no config.toml" in said("--resume", tmp_path / "none")
    assert "give nothing else" in said("--resume", whole, "--epochs", 9)
    assert "give nothing else" in said("dae-32", "--resume", whole)
    assert "Say which RECIPE to fit" in said()
    folder = tmp_path / "moved"
    source = tmp_path / "data.npy"
    np.save(source, np.zeros((20, 5), np.float32) + np.arange(5))
    small = ["--hidden", 4, "--latent-dim", 2, "--epochs", 1, "--device", "cpu"]
    assert main([str(w) for w in ("fit", "ae", "--data", source, "--out", folder, *small)]) == 0
    (folder / "report.html").unlink()
    source.rename(tmp_path / "elsewhere.npy")
    assert "data.npy does not exist" in said("--resume", folder)
    assert Path(folder / "model.safetensors").is_file()
