"""One long series: cut into windows, used, and put back at its time steps."""

import csv

import numpy as np
import pytest
from conftest import SMALL, drawing, failed, floats, run

from diabolo import AnomalyDetector, Autoencoder, data
from diabolo.data import Windows
from diabolo.errors import InputError

pandas = pytest.importorskip("pandas")
STAMPS = np.datetime64("2024-01-01") + np.arange(300) * np.timedelta64(1, "m")


def wave(steps=300, channels=2, seed=0):
    """Waves with noise, (T, C)."""
    rng, t = np.random.default_rng(seed), np.arange(steps)
    clean = np.stack([np.sin(t / (5 + 3 * c)) for c in range(channels)], 1)
    return clean + 0.1 * rng.normal(size=clean.shape)


def table(values, stamps=STAMPS):
    return pandas.DataFrame({"time": stamps[: len(values)], "volt": values[:, 0]}).assign(
        **{f"c{n}": column for n, column in enumerate(values.T[1:])}
    )


# ---- windows


@pytest.mark.parametrize("steps", [1, 7, 60, 61, 300])
@pytest.mark.parametrize(("window", "step"), [(1, 1), (7, 1), (7, 3), (7, 7), (60, None)])
def test_windows_cover_every_step_and_are_put_back_where_they_were(steps, window, step):
    series = wave(steps)
    if window > steps:
        with pytest.raises(InputError, match=f"The window has {window} .* only {steps}: give a"):
            Windows(series, window, step)
        return
    windows = Windows(series, window, step)
    assert windows.array.shape == (len(windows), 2, window)
    assert (windows.covered > 0).all()
    assert windows.starts[-1] + window == steps
    assert np.allclose(windows.joined(windows.array), series, atol=1e-12)
    assert windows.joined(windows.array).shape == series.shape
    assert Windows(series[:, 0], window, step).joined(windows.array[:, :1]).shape == (steps,)


def test_overlaps_are_averaged_by_hand():
    windows = Windows(np.zeros(6), 4, step=1)
    values = np.array([1.0, 2.0, 6.0])[:, None, None] * np.ones((3, 1, 4))
    assert windows.joined(values).tolist() == [1, 1.5, 3, 3, 4, 6]
    assert windows.mean([1.0, 2.0, 6.0]).tolist() == [1, 1.5, 3, 3, 4, 6]
    assert windows.largest([0.1, 0.3, 0.2]).tolist() == [0.1, 0.3, 0.3, 0.3, 0.3, 0.2]


def test_no_window_goes_across_a_gap():
    series, stamps = wave(100), STAMPS[:100].copy()
    stamps[40:] += np.timedelta64(5, "m")
    series[70, 1] = np.nan
    windows = Windows(series, 20, 6, stamps)
    for start in windows.starts:
        inside = set(range(start, start + 20))
        assert not {39, 40} <= inside
        assert 70 not in inside
    assert windows.gaps == [40, 70]
    lost = np.flatnonzero(windows.covered == 0).tolist()
    assert lost == [70]
    joined = windows.joined(windows.array)
    assert np.isnan(joined[70]).all()
    assert np.allclose(np.delete(joined, 70, 0), np.delete(series, 70, 0))
    assert windows.notes == [
        "The series has 2 gaps, the first after 2024-01-01 00:39:00: no window goes across.",
        "Of 100 time steps 1 are in no window, and get no answer.",
    ]


def test_parts_of_a_series_share_no_step():
    windows = Windows(wave(300), 20, 3)
    before, after = windows.parted(0.2)
    assert windows.starts[before].max() + 20 <= windows.starts[after].min()
    again, _ = windows.only(before).parted(0.1)
    assert windows.starts[again].max() < windows.starts[before].max()
    apart = windows.starts[windows.apart(np.arange(len(windows)))]
    assert (np.diff(apart) >= 20).all()
    assert len(apart) == 300 // 21


WRONG = {
    "a window of 0": (lambda: Windows(wave(), 0), "The window is a number of time steps, at least"
                      " 1, but is 0."),
    "a step beyond": (lambda: Windows(wave(), 10, 11), "With a step of 11 windows of 10 leave time"
                      " steps out: give a step of at most the window."),
    "three axes": (lambda: Windows(np.zeros((2, 3, 4)), 2), "A series is numbers (T,) or (T, C),"
                   " but has shape (2, 3, 4) of float64."),
    "back in time": (lambda: Windows(wave(3), 2, 1, STAMPS[[0, 2, 1]]), "The time stamps do not"
                     " rise: 2024-01-01 00:01:00 comes after 2024-01-01 00:02:00, in row 2; sort"
                     " the rows by time, one for each."),
    "stamps": (lambda: Windows(wave(3), 2, 1, STAMPS), "The stamps have shape (300,), but the"
               " series has 3 time steps."),
    "only gaps": (lambda: Windows(np.full(9, np.nan), 2), "No piece of the series between its gaps"
                  " has the 2 time steps of a window: give a smaller window, or fill the gaps."),
    "few to part": (lambda: Windows(wave(30), 20).parted(0.5), "The series has 5 windows, too few"
                    " to hold some out that have no time steps of the others: give a longer one,"
                    " or smaller windows."),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_mistakes_with_windows_are_one_sentence(what):
    make, message = WRONG[what]
    with pytest.raises(InputError) as caught:
        make()
    assert str(caught.value) == message


# ---- estimators


def test_an_estimator_takes_windows_as_signals_and_validates_on_the_last():
    windows = Windows(wave(), 16, 4)
    model = Autoencoder(**SMALL | {"network": "conv", "validation_fraction": "auto"}).fit(windows)
    assert model.grid_ == (2, 16)
    assert all(value is not None for value in model.history_["val_loss"])
    assert model.data_["samples"] < len(windows)
    assert windows.joined(model.reconstruct(windows)).shape == (300, 2)


def test_p_values_of_time_steps_are_valid_for_a_series_that_goes_on_as_it_was():
    """Over many series of independent noise, at most the rate of the steps is flagged."""
    rate, shares = 0.1, list[float]()
    model = Autoencoder(**SMALL).fit(Windows(floats(200, 1)[:, 0], 8, 4))
    for seed in range(40):
        series = floats(600, 1, seed=100 + seed)[:, 0]
        normal, new = Windows(series[:400], 8, 4), Windows(series[400:], 8, 4)
        detector = AnomalyDetector(model, prefit=True, false_alarm_rate=rate).fit(normal)
        assert len(detector.calibration_scores_) == 50
        p = new.largest(detector.p_values(new))
        shares += [float((p <= a).mean()) for a in (rate, 0.3)]
    found = np.reshape(shares, (-1, 2))
    error = 3 * found.std(0) / np.sqrt(len(found))
    assert (found.mean(0) <= np.array([rate, 0.3]) + error).all()
    assert found.mean() > 0, "something is flagged"


# ---- the command line


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with tables of a series and a model of its windows."""
    folder = tmp_path_factory.mktemp("series")
    table(wave()).to_csv(folder / "series.csv", index=False)
    table(wave(seed=2)).to_csv(folder / "normal.csv", index=False)
    odd = table(wave(200, seed=1))
    odd.loc[100, "volt"] = 9
    odd.drop(index=range(50, 55)).to_csv(folder / "odd.csv", index=False)
    words = ("--window", 16, "--step", 4, "--network", "conv", "--epochs", 2, "--hidden", 4)
    words += ("--data", folder / "series.csv", "--out", folder / "run")
    with drawing():
        assert run("fit", "ae", *words) == 0
    return folder


def test_a_table_comes_back_with_its_time_stamps_a_row_for_each_step(trained, tmp_path, capsys):
    assert (
        run("reconstruct", trained / "run", trained / "odd.csv", "--out", tmp_path / "o.csv") == 0
    )
    assert "1 gap after 2024-01-01 00:49:00" in capsys.readouterr().err
    given, found = (pandas.read_csv(p) for p in (trained / "odd.csv", tmp_path / "o.csv"))
    assert found.columns.tolist() == ["time", "volt", "c0"]
    assert found.time.tolist() == given.time.tolist()
    assert np.isfinite(found.volt).all()
    assert (tmp_path / "o.csv-comparison.png").stat().st_size > 0
    assert (trained / "run" / "figures" / "reconstructions.png").exists()


def test_columns_of_a_series_come_in_any_order(trained, tmp_path):
    given = pandas.read_csv(trained / "odd.csv")
    given.assign(word="more")[["word", "c0", "time", "volt"]].to_csv(
        tmp_path / "t.csv", index=False
    )
    for source, out in ((trained / "odd.csv", "a.npy"), (tmp_path / "t.csv", "b.npy")):
        assert run("encode", trained / "run", source, "--out", tmp_path / out) == 0
    assert np.array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))


def test_codes_have_the_ends_of_their_windows(trained, tmp_path):
    assert run("encode", trained / "run", trained / "odd.csv", "--out", tmp_path / "c.csv") == 0
    codes = pandas.read_csv(tmp_path / "c.csv")
    assert codes.columns[:3].tolist() == ["start", "end", "code_0"]
    assert codes.start[0] == "2024-01-01 00:00:00"
    assert codes.end.iloc[-1] == "2024-01-01 03:19:00"


def test_a_detector_scores_time_steps_and_finds_the_odd_one(trained, tmp_path):
    detector = tmp_path / "d.safetensors"
    words = (trained / "normal.csv", "--out", detector, "--false-alarm-rate", 0.1)
    assert run("detect", "fit", trained / "run", *words) == 0
    assert run("detect", "score", detector, trained / "odd.csv", "--out", tmp_path / "found") == 0
    with (tmp_path / "found" / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["time", "score", "p_value", "verdict"]
    assert len(rows) == 195
    worst = min(rows, key=lambda row: float(row["score"]))
    assert "01:36" <= worst["time"][-8:-3] <= "01:44"
    assert next(row for row in rows if "01:40" in row["time"])["verdict"] == "anomaly"
    with (tmp_path / "found" / "intervals.csv").open(newline="") as file:
        spans = list(csv.DictReader(file))
    flagged = [row["time"] for row in rows if row["verdict"] == "anomaly"]
    assert sum(int(span["steps"]) for span in spans) == len(flagged)
    assert any(span["from"][-8:] <= "01:40" <= span["to"][-8:] for span in spans)
    assert spans[0]["from"] == flagged[0]
    assert (tmp_path / "found" / "timeline.png").is_file()


@pytest.mark.parametrize("shape", [(300,), (300, 2)])
def test_arrays_and_sounds_come_back_as_they_were(tmp_path, shape):
    from scipy.io import wavfile

    values = wave()[:, : shape[-1] if len(shape) > 1 else 1].reshape(shape)
    sound = (3000 * values).astype(np.int16)
    np.save(tmp_path / "a.npy", values)
    wavfile.write(tmp_path / "a.wav", 8000, sound)
    for name, wanted in (("a.npy", values), ("a.wav", sound)):
        samples = data.read(tmp_path / name, window=20, step=7)
        data.write(tmp_path / f"b{name}", samples.array, like=samples)
        again = data.read(tmp_path / f"b{name}", window=20)
        assert again.series.series.dtype == wanted.dtype
        assert np.allclose(again.series.series, wanted)
        assert again.series.times == samples.series.times
    assert samples.series.times[1] == "0.000125"


MISTAKES = {
    "fit ae --data series.csv --window 0": "--window must be an integer of at least 1, but is '0';"
    " see diabolo fit --help.",
    "fit ae --data series.csv --window 500": "series.csv: The window has 500 time steps, but the"
    " series only 300: give a smaller window.",
    "fit ae --data series.csv --step 5": "A step is that of windows: give --window as well, or"
    " leave --step out.",
    "fit ae --data series.csv --window 9 --size 8": "With --window the data are one series: leave"
    " out what is of images and of pairs.",
    "fit ae --data words.csv --window 2": 'The series in words.csv must be numbers, but its column'
    ' "word" is none: drop it, or name the time stamps with --index.',
    "fit ae --data back.csv --window 9": "back.csv: The time stamps do not rise: 2024-01-01 00:00:"
    "00 comes after 2024-01-01 00:49:00, in row 50; sort the rows by time, one for"
    " each.",
    "fit ae --data mnist --window 9": "mnist is no series: with a window, give a table with a row"
    " for each time step, .npy or .npz of shape (T,) or (T, C), or .wav.",
    "fit ae --data a.wav": "a.wav is a sound, one long series: give a window.",
    "detect fit run series.csv --out d.safetensors --window 9": "--window goes"
    " with a RECIPE: a MODEL has its own.",
}  # fmt: skip


@pytest.mark.parametrize("words", MISTAKES)
def test_mistakes_with_a_series_are_one_sentence(trained, monkeypatch, capsys, words):
    monkeypatch.chdir(trained)
    both = pandas.concat([table(wave(50)), table(wave(50))])
    both.to_csv("back.csv", index=False)
    names = [f"word {n % 3}" for n in range(50)]
    table(wave(50)).assign(word=names).to_csv("words.csv", index=False)
    (trained / "a.wav").write_bytes(b"RIFF")
    assert failed(capsys, *words.split()).replace(f"{trained}/", "") == MISTAKES[words]
