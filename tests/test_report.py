"""The report in a real browser, and its words."""

from base64 import b64decode

import numpy as np
import pytest
from conftest import FEW, drawing, look_as, needs_browser
from selenium.webdriver.support.ui import WebDriverWait

from diabolo import Autoencoder, report
from diabolo.commands.training import fit
from diabolo.data import Samples
from diabolo.doctor import Finding
from diabolo.recipes import read
from diabolo.report import verdict
from diabolo.tasks.evaluation import outcome

OTHERS = [
    pytest.param(*look, marks=pytest.mark.stress) for look in (("light", 390), ("dark", 1280))
]
LOOKS = [("light", 1280), ("dark", 390), *OTHERS]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "run"
    with drawing():
        fit("vae-conv", parameters={"epochs": 1}, limit=128, test=FEW[1], out=folder)
    return folder / "report.html"


@needs_browser
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_page_in_a_browser(browser, page, width, scheme):
    look_as(browser, width, scheme)
    browser.get(page.as_uri())
    loaded = "return document.readyState === 'complete'"
    WebDriverWait(browser, 60).until(lambda _: browser.execute_script(loaded))
    images = browser.execute_script(
        "return [...document.images].map(i => [i.naturalWidth, i.alt, i.currentSrc])"
    )
    assert len(images) == len(list((page.parent / "figures").iterdir()))
    assert all(natural > 100 and alt for natural, alt, _ in images)
    background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 23, 28)"}[scheme]
    shown = [b64decode(src.removeprefix("data:image/png;base64,")) for _, _, src in images]
    files = {path.read_bytes() for path in (page.parent / "figures").iterdir()}
    assert set(shown) == files, "one drawing of each figure, whatever the scheme"
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.get_log("browser") == []
    requests = [
        e["message"] for e in browser.get_log("performance") if "requestWill" in e["message"]
    ]
    assert requests
    assert not any('"url":"http' in request for request in requests)


def test_verdict_names_the_winner():
    test = {"mse": 0.02, "psnr": 17.0, "noisy_mse": 0.1, "noisy_psnr": 10.0}
    words = verdict({"test": test, "linear": {"mse": 0.025, "full_rank_mse": 0.016}})
    assert "with the same code size is 0.0250, so this model has 20% less" in words
    assert "of any rank is 0.0160, which is better: 20% less than this model's" in words
    assert "The error of doing nothing is 0.1000, so this model has 80% less" in words
    words = verdict({"test": {"mse": 0.02, "bce": 0.1}, "linear": {"mse": 0.01}})
    assert "PCA with the same code size is 0.0100, which is better: 50% less" in words
    assert "The error" not in verdict({"test": {"mse": 0.02}})
    few = {"mse": 0.04, "full_rank_mse": 0.05}
    assert "it overfits" in verdict({"test": test, "linear": few})


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The text of a report, without its pictures, on findings and an error beside PCA's 0.02."""
    monkeypatch.setattr(report, "gallery", lambda *_: [])
    X = np.random.default_rng(0).random((40, 6), dtype=np.float32)
    model = Autoencoder(latent_dim=2, hidden=(), epochs=1, random_state=0).fit(X)
    counts = {"parameters": 1, "epochs": 1, "seconds": 1.0, "samples": 40}
    counts |= {"device": "cpu", "images_per_second": 40}

    def write(findings, mse):
        model.findings_ = findings
        numbers = {"test": {"mse": mse}, "linear": {"mse": 0.02}, **counts}
        path = report.write(
            tmp_path,
            model,
            read("ae-32"),
            numbers,
            Samples(X, [], "npy"),
            outcome=outcome(model, X),
        )
        return path.read_text(encoding="utf-8")

    return write


def test_findings_are_in_the_report(written):
    finding = Finding("dead code units", "10 of <36> never change.", "Use code_activation=elu.")
    page = written([finding], mse=0.03)
    section = page[page.index('<h2 id="findings">') : page.index("<dl>")]
    assert section.count("<li>") == 2
    assert "<strong>dead code units</strong>10 of &lt;36&gt; never change." in section
    assert "<span>Use code_activation=elu.</span>" in section
    assert "<strong>worse than linear</strong>The mean squared error is 0.03," in section
    assert written([finding], mse=0.01).count("<li><strong>") == 1


def test_without_findings_there_is_no_heading_for_them(written):
    page = written([], mse=0.01)
    assert "Findings" not in page
    assert 'class="findings"' not in page
