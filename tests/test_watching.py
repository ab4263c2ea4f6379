"""A stream that changes is noticed, one that does not is left alone."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import failed, run
from scipy import stats

from diabolo import AnomalyDetector, Autoencoder
from diabolo.tasks.watching import Watcher, watch


def test_the_p_values_of_a_stream_are_uniform_and_independent():
    draw = np.random.default_rng(0)
    found = [
        watch(draw.normal(size=20).round(1), draw.normal(size=40).round(1), seed=i).p_values
        for i in range(100)
    ]
    p = np.array(found)
    assert stats.kstest(p.flatten(), "uniform").pvalue > 0.01
    assert abs(np.corrcoef(p[:, :-1].flatten(), p[:, 1:].flatten())[0, 1]) < 0.05


def test_the_martingale_is_the_one_that_is_said():
    m = np.full(3, 1 / 3)
    for p in (0.1, 0.7):
        m = (0.99 * m + 0.01 * m.sum() / 3) * (1 + np.array([-1, 0, 1]) * (p - 0.5))
    assert Watcher(np.zeros(1)).bet(np.array([0.1, 0.7]))[1] == pytest.approx(np.log10(m.sum()))


def test_a_change_is_seen_and_few_false_alarms_are_raised():
    draw = np.random.default_rng(0)
    quiet = [watch(draw.normal(size=99), draw.normal(size=300), seed=i).alarm for i in range(150)]
    assert sum(alarm is not None for alarm in quiet) <= 0.05 * 150 + 6
    for i in range(5):
        scores = np.concatenate([draw.normal(size=100), draw.normal(-2, 1, 100)])
        assert 100 < watch(draw.normal(size=400), scores, seed=i).alarm < 150


class Arriving:
    """Standard input that comes piece by piece."""

    def __init__(self, pieces):
        self.pieces = pieces

    def read1(self, size):
        return self.pieces.pop(0) if self.pieces else b""


def test_the_command_says_where(tmp_path, capsys, monkeypatch):
    X = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)
    model = Autoencoder(latent_dim=2, hidden=(), epochs=2, scaling="standard", random_state=0)
    AnomalyDetector(model, random_state=0).fit(X[:400]).save(tmp_path / "d.safetensors")
    model.fit(X).save(tmp_path / "m.safetensors")
    for name, rows in (("same", X[400:]), ("other", np.concatenate([X[400:], 4 * X[:60]]))):
        pd.DataFrame(rows).to_csv(tmp_path / f"{name}.csv", index=False)
    assert run("watch", tmp_path / "d.safetensors", tmp_path / "same.csv") == 0
    assert "No change is seen: it reached" in capsys.readouterr().out
    assert run("watch", tmp_path / "d.safetensors", tmp_path / "other.csv") == 0
    said = capsys.readouterr().out
    assert 100 < int(said.split("seen at ")[1].rstrip(".\n")) < 130
    rows = (tmp_path / "other.csv").read_bytes()
    pieces = [rows[start : start + 700] for start in range(0, len(rows), 700)]
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=Arriving(pieces)))
    assert run("watch", tmp_path / "d.safetensors", "-") == 0
    assert said.split("seen at ")[1] == capsys.readouterr().out.split("seen at ")[1]
    assert pieces, "it ends at the alarm"
    words = ("watch", tmp_path / "m.safetensors", tmp_path / "same.csv")
    assert "is a model and no detector" in failed(capsys, *words)
