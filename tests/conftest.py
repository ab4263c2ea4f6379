"""What several test files share: small estimators, data, and a guard over the global states."""

import ctypes
import gc
import json
import os
import random
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

# One thread, the nets here are tiny; and none waits by spinning. It is read as numpy is imported.
os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}

import numpy as np
import pytest
import torch
from PIL import Image

from diabolo import doctor, figures
from diabolo.cli import main
from diabolo.data.mnist import read_split
from diabolo.models import MODELS
from diabolo.report import alarms, gallery

NETWORKS = ("dense", "conv", "subpixel")
TOGETHER = [("VAE", "conv")]  # a model and a network that an article has together
BROKEN = doctor.BROKEN  # see `judged`
GALLERIES = {"diabolo.report.gallery": gallery, "diabolo.report.alarms._gallery": alarms._gallery}
PICTURES = GALLERIES | {"diabolo.figures.to_png": figures.to_png}
ALLOWANCE = 32 << 20  # bytes, see `limited`
FEW = ("--test", "mnist:test:200")  # as many digits as the numbers of a small run need
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run"
    " --force-prefers-reduced-motion"
    " --disable-background-networking --disable-component-update --disable-sync"
)
SMALL = {
    "latent_dim": 3,
    "hidden": (6,),
    "epochs": 2,
    "scaling": "unit",
    "batch_size": 16,
    "learning_rate": 1e-3,
    "validation_fraction": 0.0,
    "early_stopping": None,
    "random_state": 0,
    "device": os.environ.get("DEVICE", "cpu"),
}
PLAIN = {  # the network alone, and the loop of the articles
    "linear": False,
    "activation": "relu",
    "scaling": "unit",
    "batch_size": 128,
    "learning_rate": 1e-3,
    "schedule": "constant",
    "validation_fraction": 0.0,
    "early_stopping": None,
}


PAIRS = [(name, network) for name in MODELS for network in NETWORKS]
FEW_PAIRS = [("Autoencoder", "dense"), *TOGETHER]


def cases(core):
    """Models with networks: those of `core` in the suite, all the others under stress."""
    return [
        pytest.param(pair, marks=() if core(*pair) else pytest.mark.stress, id="-".join(pair))
        for pair in PAIRS
    ]


def each(name, network):
    """Every model once, and every network once."""
    return network == "dense" or name == "Autoencoder" or (name, network) in TOGETHER


def maker(name, network):
    """A maker of small estimators."""

    def new(**parameters):
        return MODELS[name](**SMALL | {"network": network} | parameters)

    return new


@pytest.fixture(params=cases(each))
def make(request):
    """A maker of small estimators, for every model and for every network."""
    return maker(*request.param)


@pytest.fixture(params=cases(lambda *pair: pair in FEW_PAIRS))
def make_some(request):
    """As `make`, for what does not depend on the model or the network."""
    return maker(*request.param)


gc.disable()  # nothing of what is imported and collected becomes garbage


def pytest_collection_finish():
    """The garbage collector passes over modules and tests: each command `fit` would look there."""
    gc.freeze()
    gc.enable()


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


@contextmanager
def limited(size):
    """A limit of the memory while a file of that size is read: twice that, and `ALLOWANCE`."""
    gc.collect(0)
    ctypes.CDLL(None).malloc_trim(0)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + 2 * size + ALLOWANCE, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


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


def _blank(figure):
    """A PNG as large as a figure, of nothing."""
    width, height = figure.get_size_inches() * figures.DPI
    Image.new("RGB", (int(width), int(height))).save(png := BytesIO(), "png")
    return png.getvalue()


@pytest.fixture(scope="session", autouse=True)
def few_steps_will_do(tmp_path_factory):
    """Models of the tests are saved however bad they are: most have had a few steps, not more.

    What they keep of images is not in the user's cache. Reports have no pictures, and others are
    blank: drawing them takes most of the time of a small run (see `drawing`). Filters are tuned
    on one image.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(doctor, "BROKEN", frozenset())
        patch.setattr("diabolo.tasks.comparing.TUNING_PIXELS", 1)
        for name in GALLERIES:
            patch.setattr(name, lambda *_: [])
        patch.setattr(figures, "to_png", _blank)
        yield


@pytest.fixture(autouse=True)
def drawn_alike():
    """What a test draws does not depend on the tests before it."""
    torch.manual_seed(0)


@pytest.fixture
def judged(monkeypatch):
    """Models are judged as users' are: a broken one is not saved."""
    monkeypatch.setattr(doctor, "BROKEN", BROKEN)


@contextmanager
def drawing():
    """Reports have their pictures, as users' do, and pictures show what they should."""
    with pytest.MonkeyPatch.context() as patch:
        for name, pictures in PICTURES.items():
            patch.setattr(name, pictures)
        yield


@pytest.fixture
def drawn():
    """As `drawing`, for a test."""
    with drawing():
        yield


@pytest.fixture
def untouched():
    """A context manager: the global random states must be the same after it as before."""
    return _untouched


@pytest.fixture(params=[pytest.param(1, marks=pytest.mark.stress), 2])
def threads(request):
    """Run a test with two threads of torch, and under stress with one."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


needs_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"
)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """A headless Chromium, whose console and requests are logged."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ARGUMENTS.split():
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium):
    """The module's browser in a new tab, which knows nothing of the tests before it."""
    before = chromium.window_handles
    chromium.switch_to.new_window("tab")
    new = chromium.current_window_handle
    for handle in before:
        chromium.switch_to.window(handle)
        chromium.close()
    chromium.switch_to.window(new)
    chromium.execute_cdp_cmd("Network.clearBrowserCache", {})
    chromium.execute_cdp_cmd("Network.clearBrowserCookies", {})
    for log in ("browser", "performance"):
        chromium.get_log(log)
    return chromium


def look_as(browser, width, scheme):
    """Look at pages on a screen of so many pixels, "light" or "dark"."""
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def requested(browser):
    """The addresses that pages have asked for since the last call."""
    events = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    sent = (e["params"] for e in events if e["method"] == "Network.requestWillBeSent")
    return [params["request"]["url"] for params in sent]


@pytest.fixture(scope="module")
def studio():
    """Starts the studio in a folder; gives the address that it prints."""
    running = []

    def start(folder, *words):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "diabolo", "studio", "--no-browser", "--port", str(port)]
        process = subprocess.Popen(
            [*command, *map(str, words)], cwd=folder, stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        return process.stdout.readline().split()[1].rstrip("/")

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()
