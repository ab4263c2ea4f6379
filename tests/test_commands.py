"""The command line from end to end, on runs that are small but real."""

import csv
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from conftest import FEW, drawing, failed, run
from PIL import Image

from diabolo import load, recipes
from diabolo.cli import COMMANDS, main
from diabolo.commands.training import fit
from diabolo.data import load_mnist, read, write_idx
from diabolo.tasks.denoising import denoise

RUN_FILES = ["config.toml", "history.csv", "metrics.json", "model.safetensors", "report.html"]


def size(picture: Path) -> tuple[int, int]:
    with Image.open(picture) as image:
        return image.size


@pytest.fixture(scope="session")
def digits() -> np.ndarray:
    return load_mnist()[1][0][:60]


@pytest.fixture(scope="session")
def dae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "dae"
    with drawing():
        assert run("fit", "dae-32", "--limit", 640, "--epochs", 2, "--out", folder, *FEW) == 0
    return folder


@pytest.fixture(scope="session")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "vae"
    with drawing():
        assert run("fit", "vae-conv", "--limit", 128, "--epochs", 1, "--out", folder, *FEW) == 0
    return folder


# ---- recipes and summary


def test_recipes_lists_and_prints(capsys):
    assert run("recipes") == 0
    lines = capsys.readouterr().out.splitlines()
    articles = ["dae-32", "ae-36", "ae-32", "dae-64"]
    fast = [name for article in articles for name in (article, f"{article}-fast")]
    tuned = ["ae", "conv-dae", "dae", "digits", "digits-lossy", "embed-2", "embed-32", "map"]
    tuned += [
        "one-class",
        "photo",
        "photo-codec",
        "photo-dae",
        "photo-lossless",
        "vae",
        "watermark",
        "watermark-photo",
    ]
    assert [line.split()[0] for line in lines] == [*tuned, *fast, "vae-conv"]
    assert run("recipes", "ae-32") == 0
    assert tomllib.loads(capsys.readouterr().out)["model"]["latent_dim"] == 32


@pytest.mark.parametrize(
    ("name", "total"),
    [
        ("dae-32", "222,384"),
        ("ae-36", "57,268"),
        ("ae-32", "encoder 25,120 + decoder 25,872 = 50,992"),
        ("dae-64", "484,944"),
        ("vae-conv", "encoder 119,200 + decoder 108,993 = 228,193"),
    ],
)
def test_summary_of_a_recipe_has_the_articles_counts(name, total, capsys):
    assert run("summary", name) == 0
    assert total in capsys.readouterr().out


def test_summary_of_a_model_equals_its_recipes(dae, capsys):
    assert run("summary", "dae-32") == 0
    expected = capsys.readouterr().out
    for name in (dae, dae / "model.safetensors"):
        assert run("summary", name) == 0
        assert capsys.readouterr().out == expected


# ---- fit


def test_run_folder_holds_what_the_contract_names(dae, vae):
    for folder in (dae, vae):
        files = sorted(p.name for p in folder.iterdir() if p.is_file())
        assert files == RUN_FILES
    pictures = {"loss", "iterations", "reconstructions", "error_histogram", "latent"}
    pictures |= {"architecture"}
    assert {p.stem for p in (dae / "figures").iterdir()} == pictures | {"denoised"}
    assert {p.stem for p in (vae / "figures").iterdir()} == pictures | {
        "generated",
        "interpolation",
    }


def test_metrics_are_those_of_the_model(dae):
    numbers = json.loads((dae / "metrics.json").read_text())
    assert numbers["recipe"] == "dae-32"
    assert (numbers["seed"], numbers["epochs"], numbers["parameters"]) == (0, 2, 222384)
    model, x = load(dae / "model.safetensors"), load_mnist()[1][0][:200]
    noisy = model.corrupt(x, random_state=0)
    y = model.reconstruct(noisy)
    assert numbers["test"]["mse"] == pytest.approx(np.mean((y / 255 - x / 255) ** 2), rel=1e-4)
    assert numbers["test"]["noisy_mse"] == pytest.approx(0.1156, abs=0.0006)
    assert numbers["test"]["nll"] == pytest.approx(784 / 2 * numbers["test"]["mse"], rel=1e-4)
    assert set(numbers["linear"]) == {"mse", "full_rank_mse"}


def test_vae_metrics_add_up(vae):
    test = json.loads((vae / "metrics.json").read_text())["test"]
    assert test["elbo"] == pytest.approx(-(test["nll"] + test["kl"]))
    assert set(test) == {"mse", "psnr", "ssim", "nll", "kl", "elbo", "active_units"}


def test_history_has_a_line_per_epoch(dae):
    with (dae / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])


def test_config_is_a_recipe_that_repeats_the_run(dae, tmp_path):
    again = tmp_path / "again"
    assert run("fit", dae / "config.toml", "--out", again) == 0
    assert (again / "config.toml").read_bytes() == (dae / "config.toml").read_bytes()
    first, second = (load(d / "model.safetensors").net_.state_dict() for d in (dae, again))
    assert all(bool((first[name] == second[name]).all()) for name in first)


def test_articles_validation_sets(tmp_path):
    out = tmp_path / "run"
    fit("ae-36", parameters={"epochs": 1}, limit=256, test="mnist:test:500", out=out)
    on_test = json.loads((out / "metrics.json").read_text())["test"]["bce"]
    with (out / "history.csv").open() as file:
        assert float(next(csv.DictReader(file))["val_loss"]) == pytest.approx(on_test, rel=1e-4)
    fit("ae-32", parameters={"epochs": 1}, limit=500, test=FEW[1], out=out, force=True)
    assert json.loads((out / "metrics.json").read_text())["samples"] == 400
    model, first = load(out / "model.safetensors"), load_mnist()[0][0][:100]
    expected = -model.score(first) / 784
    assert model.history_["val_loss"][-1] == pytest.approx(expected, rel=1e-4)


def test_flags_reach_the_model(tmp_path):
    out = tmp_path / "run"
    words = "--hidden 20,10 --latent_dim 3 --corruption salt-and-pepper --corruption.p 0.2"
    words += " --init glorot --drop-last --seed 7 --schedule one_cycle --epochs 1 --limit 200"
    assert run("fit", "dae-32", "--out", out, *words.split(), *FEW) == 0
    model = load(out / "model.safetensors")
    assert (model.hidden, model.latent_dim, model.init) == ([20, 10], 3, "glorot")
    assert (model.corruption.kind, model.corruption.p) == ("salt-and-pepper", 0.2)
    assert (model.drop_last, model.random_state, model.schedule) == (True, 7, "one_cycle")


def test_own_images_hold_out_a_tenth(tmp_path, digits, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    for i, digit in enumerate(digits):
        Image.fromarray(digit[4:, 3:]).save(photos / f"{i:02}.png")
    (photos / "broken.png").write_bytes(b"\x89PNG no")
    out = tmp_path / "run"
    words = ["--data", photos, "--epochs", 1, "--latent-dim", 4, "--out", out]
    assert run("fit", "vae-conv", *words, "--batch-size", 16) == 2
    assert "broken.png" in capsys.readouterr().err
    numbers = json.loads((out / "metrics.json").read_text())
    assert numbers["samples"] == 54
    assert load(out / "model.safetensors").image_shape_ == (1, 24, 25)
    assert tomllib.loads((out / "config.toml").read_text())["data"]["test"] == "held out 10%"


@pytest.mark.usefixtures("drawn")
def test_own_table(tmp_path, capsys):
    table = tmp_path / "table.csv"
    rows = np.random.default_rng(0).normal(size=(80, 5))
    np.savetxt(table, rows, delimiter=",", header="a,b,c,d,e", comments="")
    recipe = tmp_path / "table.toml"
    recipe.write_text(
        '[model]\nkind = "Autoencoder"\nlatent_dim = 2\nhidden = [8]\nepochs = 2\n'
        f'[data]\nsource = "{table}"\n'
    )
    out = tmp_path / "run"
    assert run("fit", recipe, "--out", out) == 0
    assert "psnr" not in json.loads((out / "metrics.json").read_text())["test"]
    assert run("reconstruct", out, table, "--out", tmp_path / "back.csv") == 0
    assert (tmp_path / "back.csv").read_text().splitlines()[0] == "a,b,c,d,e"
    assert not (tmp_path / "back.csv-comparison.png").exists()


def test_interrupt_keeps_what_was_trained(tmp_path, monkeypatch, capsys):
    from diabolo.commands import training

    epoch_done = training._Run.epoch_done

    def interrupted(self, model):
        epoch_done(self, model)
        assert (self.folder / "checkpoint.safetensors").is_file()
        if len(model.history_["epoch"]) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(training._Run, "epoch_done", interrupted)
    out = tmp_path / "run"
    assert run("fit", "ae-32", "--limit", 300, "--epochs", 50, "--out", out, *FEW) == 130
    files = {p.name for p in out.iterdir() if p.is_file()}
    assert files - {"checkpoint-previous.safetensors"} == {*RUN_FILES, "checkpoint.safetensors"}
    assert json.loads((out / "metrics.json").read_text())["epochs"] == 2
    assert "interrupted" in capsys.readouterr().err


def test_force_replaces_a_run_and_nothing_else(vae, tmp_path, capsys):
    out = tmp_path / "run"
    shutil.copytree(vae, out)
    assert (out / "figures" / "generated.png").is_file()
    words = ["--limit", 128, "--epochs", 1, "--out", out, *FEW]
    (out / "mine.txt").write_text("keep")
    assert "--force" in failed(capsys, "fit", "ae-32", *words)
    assert run("fit", "ae-32", *words, "--force") == 0
    assert (out / "mine.txt").read_text() == "keep"
    assert not (out / "figures" / "generated.png").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("keep")
    assert "not a run folder" in failed(capsys, "fit", "ae-32", "--out", other, "--force")


# ---- use


def test_evaluate_repeats_the_metrics(dae, capsys):
    capsys.readouterr()
    assert run("evaluate", dae, "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads((dae / "metrics.json").read_text())
    assert run("evaluate", dae) == 0
    assert "test mse" in capsys.readouterr().out
    assert run("evaluate", dae / "model.safetensors", "--data", "mnist:test:20", "--json") == 0
    assert 0 < json.loads(capsys.readouterr().out)["test"]["mse"] < 1


@pytest.mark.parametrize("name", ["dae", "vae"])
def test_encode_then_decode_is_reconstruct(name, request, tmp_path):
    model = request.getfixturevalue(name)
    codes, decoded, direct = (tmp_path / f"{n}.npy" for n in ("codes", "decoded", "direct"))
    assert run("encode", model, "mnist:test:70", "--out", codes) == 0
    assert run("decode", model, codes, "--out", decoded) == 0
    assert run("reconstruct", model, "mnist:test:70", "--out", direct) == 0
    assert np.load(codes).shape == (70, {"dae": 32, "vae": 16}[name])
    assert np.load(direct).dtype == np.uint8
    assert decoded.read_bytes() == direct.read_bytes()
    assert size(tmp_path / "direct.npy-comparison.png")[0] > 300


def test_denoise_a_folder_an_image_and_idx(dae, tmp_path, digits, capsys):
    photos = tmp_path / "in" / "sub"
    photos.mkdir(parents=True)
    for i in range(3):
        Image.fromarray(digits[i]).save(photos / f"{i}.png")
    assert run("denoise", dae, tmp_path / "in", "--out", tmp_path / "out") == 0
    found = sorted(p.relative_to(tmp_path / "out") for p in (tmp_path / "out").rglob("*.png"))
    assert [p.as_posix() for p in found] == ["sub/0.png", "sub/1.png", "sub/2.png"]
    assert run("denoise", dae, photos / "0.png", "--out", tmp_path / "one.png") == 0
    one, same = (read(path).array for path in (tmp_path / "one.png", tmp_path / "out/sub/0.png"))
    assert (one == same).all()
    write_idx(tmp_path / "x-idx3-ubyte.gz", digits[:3])
    out = tmp_path / "y-idx3-ubyte.gz"
    assert run("denoise", dae, tmp_path / "x-idx3-ubyte.gz", "--out", out) == 0
    assert out.read_bytes()[:2] == b"\x1f\x8b"


def test_corrupt_is_seeded(dae, digits, tmp_path):
    words = ["mnist:test:5", "--corrupt", "--seed", 1, "--out", tmp_path / "a.npy"]
    assert run("denoise", dae, *words) == 0
    model, found = load(dae / "model.safetensors"), np.load(tmp_path / "a.npy")
    noisy = [model.corrupt(digits[:5], random_state=seed) for seed in (1, 2)]
    off, other = (np.abs(denoise(model, x) - found).max() for x in noisy)
    assert off <= 0.5, "it is rounded"
    assert other > 0.5


def test_a_folder_with_a_broken_image_is_done_for_the_rest(dae, tmp_path, digits, capsys):
    photos = tmp_path / "in"
    photos.mkdir()
    Image.fromarray(digits[0]).save(photos / "good.png")
    Image.fromarray(digits[0][:20]).save(photos / "small.png")
    (photos / "bad.png").write_bytes(b"no image")
    assert run("reconstruct", dae, photos, "--out", tmp_path / "out") == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert any("bad.png" in line for line in lines)
    assert any("of 2 images" in line for line in lines), lines
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["good.png", "small.png"]


def test_pictures_from_codes(vae, tmp_path):
    assert run("generate", vae, "-n", 9, "--out", tmp_path / "grid.png") == 0
    assert run("generate", vae, "-n", 9, "--out", tmp_path / "new.npy", "--seed", 3) == 0
    new = np.load(tmp_path / "new.npy")
    assert new.shape == (9, 28, 28)
    assert len(np.unique(new.reshape(9, -1), axis=0)) == 9
    strip = ["mnist:test:0-0", "mnist:test:1-1", "--out", tmp_path / "strip.png"]
    assert run("interpolate", vae, *strip) == 0
    assert run("traverse", vae, "mnist:test:0-0", "--out", tmp_path / "moves.png") == 0
    for name in ("grid", "strip", "moves"):
        assert size(tmp_path / f"{name}.png")[0] > 100


def test_what_is_said_in_numbers_comes_as_json(dae, vae, tmp_path, capsys):
    capsys.readouterr()

    def told(*words):
        assert run(*words, "--json") == 0
        return json.loads(capsys.readouterr().out)

    out = tmp_path / "run"
    numbers = told("fit", "ae-32", "--limit", 60, "--epochs", 1, "--out", out, *FEW)
    assert numbers == {"folder": str(out), **json.loads((out / "metrics.json").read_text())}
    clean = tmp_path / "clean"
    found = told("denoise", dae, "mnist:test:5", "--corrupt", "--out", clean)
    methods, files = found["methods"], found["files"]
    assert methods["corrupted"]["psnr"] < methods["denoised"]["psnr"]
    assert files == [str(clean), f"{clean}-comparison.png"]
    new = tmp_path / "new.npy"
    told_of = told("generate", vae, "-n", 4, "--out", new, "--nearest")
    assert told_of["samples"] == 4
    assert 0 <= told_of["nearest"]["share_near"] <= 1
    groups = told("cluster", dae, "mnist:test:60", "--groups", 2, "--out", tmp_path / "g")
    assert sum(groups["groups"]) == groups["samples"] == 60
    judge = told("detect", "fit", dae, "mnist:test:200", "--out", tmp_path / "d.safetensors")
    assert judge["samples"] == judge["calibrated_on"] == 200
    assert judge["below"] < 0


def test_runs_are_compared(dae, vae, tmp_path, capsys):
    capsys.readouterr()
    assert run("compare", dae, vae, "--out", tmp_path / "c.png", "--json") == 0
    numbers = json.loads(capsys.readouterr().out)
    assert list(numbers) == [dae.name, vae.name]
    metrics = json.loads((vae / "metrics.json").read_text())
    assert numbers[vae.name]["test elbo"] == metrics["test"]["elbo"]
    with Image.open(tmp_path / "c.png") as picture:
        assert picture.height > 200
    assert run("compare", dae, vae, "--data", "mnist:test:20") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [dae.name, vae.name]
    assert any(line.startswith("test elbo") and line.split()[2] == "-" for line in lines)
    assert failed(capsys, "compare", dae) == "Give two models or more to compare."


def test_what_is_evaluated_is_kept_in_the_run(dae, vae, tmp_path, capsys):
    folder = shutil.copytree(dae, tmp_path / "run")
    before = json.loads((folder / "metrics.json").read_text())
    capsys.readouterr()
    assert run("evaluate", folder, "--all", "--json") == 0
    numbers = json.loads(capsys.readouterr().out)
    assert numbers.keys() - before.keys() == {"labels"}
    for again in (lambda: None, lambda: run("report", folder)):
        again()
        assert json.loads((folder / "metrics.json").read_text()) == numbers
        page = (folder / "report.html").read_text()
        section = page[page.index('<h2 id="evaluation">') : page.index('<h2 id="layers">')]
        assert f"<td>{numbers['labels']['linear_probe']:.4g}</td>" in section
        assert "share right by a logistic regression" in section
    capsys.readouterr()
    assert run("compare", folder, vae, "--json") == 0
    compared = json.loads(capsys.readouterr().out)
    assert compared["run"]["labels linear_probe"] == numbers["labels"]["linear_probe"]


@pytest.mark.usefixtures("drawn")
def test_report_is_made_again(dae):
    before = (dae / "report.html").read_text()
    (dae / "report.html").unlink()
    assert run("report", dae) == 0
    assert (dae / "report.html").read_text() == before
    assert before.count("data:image/png") == len(list((dae / "figures").iterdir()))
    assert "http" not in before.replace("http-equiv", "")
    assert "the best linear denoiser of any rank" in before


# ---- help and recipes


def test_every_command_has_help(capsys):
    for name in COMMANDS:
        with pytest.raises(SystemExit) as stop:
            main([name, "--help"])
        assert stop.value.code == 0
        assert f"diabolo {name}" in capsys.readouterr().out


def test_fit_help_has_every_parameter(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "vae-conv", "--help"])
    words = capsys.readouterr().out
    for flag in ("--beta", "--latent-dim", "--corruption.std", "--seed", "--early-stopping"):
        assert flag in words


NETWORK = {"kind", "hidden", "latent_dim", "activation", "code_activation", "output_activation"}
TASK = {"likelihood", "scaling", "corruption", "network", "beta"}


@pytest.mark.parametrize("name", ["ae-36", "ae-32", "dae-32", "dae-64"])
def test_a_fast_recipe_has_its_articles_network_and_task(name):
    article, fast = recipes.read(name), recipes.read(f"{name}-fast")
    for key in NETWORK | TASK:
        assert fast.model.get(key) == article.model.get(key), key
    assert fast.model["epochs"] < article.model["epochs"] / 2
    assert fast.article == article.article
    assert fast.title != article.title
    assert "validation" not in fast.data, "the best weights are chosen without the test images"


def test_a_recipe_can_be_based_on_another(tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        'base = "dae-32"\n[model]\nepochs = 1\n[data]\nlimit = 300\ntest = "mnist:test:200"'
    )
    assert run("fit", recipe, "--out", tmp_path / "run") == 0
    config = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    assert "base" not in config
    assert config["model"]["hidden"] == [128, 64]
    assert config["model"]["epochs"] == 1


TUNED = ["ae", "conv-dae", "dae", "vae"]


def check_that_it_runs(name, out, *words):
    assert run("fit", name, "--limit", "80", "--epochs", "2", "--out", out, *words) == 0
    history = (out / "history.csv").read_text().splitlines()
    assert len(history) == 3
    assert all(float(line.split(",")[2]) for line in history[1:]), "validated"


@pytest.mark.parametrize("name", TUNED)
def test_the_tuned_recipes_run(name, tmp_path):
    """A few images: it is tested that they run; what they reach is in test_articles.py."""
    check_that_it_runs(name, tmp_path / "run", *FEW)


@pytest.mark.stress
@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize("name", TUNED)
def test_the_tuned_recipes_run_on_all_test_images_with_their_pictures(name, tmp_path):
    check_that_it_runs(name, tmp_path / "run")
    assert (tmp_path / "run" / "figures" / "latent.png").is_file()


def test_recipe_names_are_the_files():
    assert {recipes.read(name).name for name in recipes.names()} == set(recipes.names())


# ---- what goes wrong late, or in part


def test_a_crashed_run_is_reported_from_its_checkpoint(dae, tmp_path):
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for name, to in [("model", "checkpoint"), ("config", "config")]:
        (path,) = dae.glob(f"{name}.*")
        (crashed / f"{to}{path.suffix}").write_bytes(path.read_bytes())
    assert run("report", crashed) == 0
    again = json.loads((crashed / "metrics.json").read_text())
    assert again["test"] == json.loads((dae / "metrics.json").read_text())["test"]


def test_a_command_interrupted_in_a_library_ends_with_its_code(tmp_path):
    """CPython would end by the signal, once an `exec` of text was interrupted."""
    (tmp_path / "sitecustomize.py").write_text(
        "from diabolo import cli\n"
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in the background
        "run = lambda **_: exec('signal.raise_signal(signal.SIGINT)')\n"
        "cli.COMMANDS['recipes'] = cli.COMMANDS['recipes']._replace(function=run)\n"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    ended = subprocess.run(
        [sys.executable, "-m", "diabolo", "recipes"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (130, "diabolo: interrupted\n")


def test_an_interrupted_report_says_how_to_make_it(tmp_path, monkeypatch, capsys):
    from diabolo.commands import training

    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(training._Run, "_report", interrupted)
    out = tmp_path / "a run"
    assert run("fit", "ae-32", "--limit", 200, "--epochs", 1, "--out", out, *FEW) == 130
    assert f"diabolo report '{out}'" in capsys.readouterr().out
    assert (out / "model.safetensors").is_file()


def test_results_are_shown_where_some_files_were_bad(dae, tmp_path, digits, capsys):
    photos = tmp_path / "in"
    photos.mkdir()
    for i in range(3):
        Image.fromarray(digits[i]).save(photos / f"{i}.png")
    (photos / "bad.png").write_bytes(b"no image")
    capsys.readouterr()
    assert run("evaluate", dae, "--data", photos, "--json") == 2
    shown = capsys.readouterr()
    assert json.loads(shown.out)["test"]["mse"] > 0
    assert "bad.png" in shown.err
    assert run("encode", dae, photos, "--out", tmp_path / "codes.csv") == 2
    assert str(tmp_path / "codes.csv") in capsys.readouterr().out


def test_a_diverging_training_is_no_result(tmp_path, capsys):
    words = ["fit", "dae-32", "--limit", 200, "--epochs", 3, "--learning-rate", "1e30"]
    assert run(*words, "--out", tmp_path / "run") == 2
    assert "lower learning_rate" in capsys.readouterr().err
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_columns_of_a_table_are_kept_and_checked(tmp_path, capsys):
    rows = np.random.default_rng(0).normal(size=(60, 3))
    table, turned, out = tmp_path / "t.csv", tmp_path / "u.csv", tmp_path / "run"
    np.savetxt(table, rows, delimiter=",", header="a,b,c", comments="")
    np.savetxt(turned, rows, delimiter=",", header="b,a,c", comments="")
    words = ["--data", table, "--latent-dim", 2, "--hidden", "[]", "--epochs", 1, "--out", out]
    assert run("fit", "dae-32", *words) == 0
    assert run("encode", out, table, "--out", tmp_path / "z.npy") == 0
    assert run("decode", out, tmp_path / "z.npy", "--out", tmp_path / "back.csv") == 0
    assert (tmp_path / "back.csv").read_text().splitlines()[0] == "a,b,c"
    more = np.column_stack([rows[:, 1], rows])
    np.savetxt(turned, more[:, [0, 1, 2, 3]], delimiter=",", header="b,a,x,c", comments="")
    assert run("encode", out, turned, "--out", tmp_path / "x.npy") == 0
    assert np.array_equal(*(np.load(tmp_path / name) for name in ("x.npy", "z.npy")))
    np.savetxt(turned, rows, delimiter=",", header="b,a,x", comments="")
    words = ["encode", out, turned, "--out", tmp_path / "y.npy"]
    assert "u.csv lacks 'c' and has 'x', which the model does not know" in failed(capsys, *words)
    title = tomllib.loads((out / "config.toml").read_text())["title"]
    assert title.endswith("changed: data, hidden, latent_dim")


def test_options_may_stand_before_the_recipe(tmp_path):
    out = tmp_path / "run"
    assert run("fit", "--epochs", 1, "--out", out, "ae-32", "--limit", 100, *FEW) == 0
    assert (out / "model.safetensors").is_file()


def test_a_folder_called_mnist_is_not_the_data_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mnist").mkdir()
    words = ["--data", "mnist", "--limit", 100, "--epochs", 1, "--out", tmp_path / "run", *FEW]
    assert run("fit", "ae-32", *words) == 0


def test_force_leaves_other_folders_alone(vae, tmp_path, digits, capsys):
    own = tmp_path / "own"
    (own / "figures").mkdir(parents=True)
    (own / "config.toml").write_text("mine")
    (own / "figures" / "loss.png").write_bytes(b"mine")
    assert "not a run folder" in failed(capsys, "fit", "ae-32", "--out", own, "--force")
    words = ["reconstruct", vae, "mnist:test:2", "--out", own, "--force"]
    assert "other files" in failed(capsys, *words)
    image = tmp_path / "a.png"
    Image.fromarray(digits[0]).save(image)
    words = ["interpolate", vae, "mnist:test:0-0", image, "--out", image, "--force"]
    assert "holds the input" in failed(capsys, *words)
    assert (own / "figures" / "loss.png").read_bytes() == b"mine"


@pytest.mark.usefixtures("judged")
def test_a_broken_model_is_not_saved_unless_it_is_forced(tmp_path, capsys):
    out = tmp_path / "run"
    few = ["fit", "ae-32", "--limit", 100, "--epochs", 1, *FEW, "--out", out]
    assert run(*few) == 2
    assert "broken, so it is not saved (with --force it is): worse than the mean" in (
        capsys.readouterr().err
    )
    left = {path.name for path in out.iterdir()}
    assert left >= {"config.toml", "history.csv", "metrics.json", "report.html"}
    assert not {name for name in left if name.endswith(".safetensors")}
    assert run(*few) == 2  # the place is free
    assert "exists" not in capsys.readouterr().err
    assert run(*few, "--force") == 0
    assert "Warning: worse than the mean" in capsys.readouterr().err
    assert load(out / "model.safetensors").findings_[-1].broken
    detector = tmp_path / "detector.safetensors"
    words = ["detect", "fit", out, "mnist:test:100", "--out", detector]
    assert "The detector's model is broken, so it is not saved" in failed(capsys, *words)
    assert not detector.exists()
    assert run(*words, "--force") == 0
    capsys.readouterr()
    dark = 255 - load_mnist()[1][0][:50]
    np.save(tmp_path / "dark.npy", dark)
    assert run("encode", out, tmp_path / "dark.npy", "--out", tmp_path / "codes.npy") == 0
    assert "Warning: unlike the training data: In scaled units" in capsys.readouterr().err
    assert run("encode", out, "mnist:test:50", "--out", tmp_path / "own.npy") == 0
    assert capsys.readouterr().err == ""


def test_names_move_no_cursor(tmp_path, capsys):
    said = failed(capsys, "encode", tmp_path / "a\x1b[2Jb", "mnist:test:1", "--out", "o.npy")
    assert "\x1b" not in said
    assert "[2Jb does not exist" in said
