"""The studio's page in a real browser: what a person does there, and what the page must not do."""

import csv
import time
from pathlib import Path
from threading import Thread

import axe_core_python
import numpy as np
import pytest
import uvicorn
from conftest import FEW, look_as, needs_browser, requested, run
from PIL import Image
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from diabolo import Autoencoder, load
from diabolo.corruption import BlindGaussian
from diabolo.data.mnist import read_split
from diabolo.studio.server import serve

VIEWS = [
    *[
        ("runs/dae", v)
        for v in ("draw", "noise", "latent", "generate", "anomaly", "train", "models")
    ],
    *[("runs/table", v) for v in ("row", "latent", "generate", "anomaly")],
    ("photo.safetensors", "photo"),
]
COLUMNS = ["height", "width", "depth", "a colour, with a longer name"]
pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning"), needs_browser]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with a plain and a denoising run, a run of a table, and a photograph's denoiser."""
    folder = tmp_path_factory.mktemp("studio")
    _fit_others(folder)
    np.save(folder / "few.npy", read_split("test")[0][:300])
    for recipe in ("ae-32-fast", "dae-32-fast"):
        out = folder / "runs" / recipe.split("-")[0]
        assert run("fit", recipe, "--out", out, "--limit", 600, "--epochs", 1, *FEW) == 0
    for config in folder.glob("runs/*/config.toml"):  # all are served, though few were tested on
        config.write_text(config.read_text().replace(FEW[1], "mnist:test"))
    return folder


def _fit_others(folder):
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(2, 400)).round(3)
    np.savetxt(
        folder / "table.csv",
        np.stack([x, 2 * x, 3 * x, y], 1),
        delimiter=",",
        header=",".join([*COLUMNS[:3], f'"{COLUMNS[3]}"']),
        comments="",
        fmt="%.3f",
    )
    photo = Autoencoder(
        network="unet",
        hidden=(4, 4, 4),
        latent_dim=None,
        condition="level",
        corruption=BlindGaussian((0, 0.2)),
        epochs=1,
        random_state=0,
    )
    patches = draw.integers(0, 256, (64, 3, 16, 16), dtype=np.uint8)
    photo.fit(patches).save(folder / "photo.safetensors")
    small = ["--latent-dim", 2, "--hidden", "16", "--scaling", "standard", "--epochs", 30]
    table = ["--data", folder / "table.csv", "--out", folder / "runs/table"]
    assert run("fit", "ae", *table, *small) == 0


@pytest.fixture(scope="module")
def address(root, studio):
    return studio(root, "photo")


@pytest.fixture
def page(browser, address):
    """The page, with means to act on it; at the end nothing was amiss."""
    browser.get_log("performance")
    yield Page(browser, address)
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    asked = [url for url in requested(browser) if url.startswith(("http", "ws"))]
    assert [url for url in asked if not url.startswith(address)] == []


class Page:
    """The page in a browser."""

    def __init__(self, browser, address):
        self.browser, self.address = browser, address

    def show(self, view, model="runs/ae"):
        self.browser.get(f"{self.address}/?model={model}#{view}")
        self.until(lambda: self.one("[data-view]:not([hidden]) *"))
        self.until(lambda: self.one("#summary").text)

    def settled(self):
        """Wait until nothing is asked any more."""
        count = "return performance.getEntriesByType('resource').length"
        before = None
        while before != (before := self.browser.execute_script(count)):
            time.sleep(0.3)
            self.until(lambda: not self.one("#working").is_displayed())

    def one(self, selector):
        found = self.browser.find_elements(By.CSS_SELECTOR, selector)
        return found[0] if found else None

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def until(self, condition, seconds=60):
        stale = [StaleElementReferenceException]
        wait = WebDriverWait(self.browser, seconds, 0.2, ignored_exceptions=stale)
        return wait.until(lambda _: condition())

    def pixels(self, selector):
        return self.browser.execute_script("return arguments[0].toDataURL()", self.one(selector))

    def changes(self, selector, act):
        """Act, and wait until a canvas shows something else."""
        before = self.pixels(selector)
        act()
        self.until(lambda: self.pixels(selector) != before)

    def slide(self, element, value):
        script = (
            "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
        )
        self.browser.execute_script(script, element, value)

    def decibels(self, selector):
        return float(self.one(selector).text.removeprefix("PSNR ").removesuffix(" dB"))

    def field(self, label):
        """The form's control under a label."""

        def found():
            return [one for one in self.all("form label") if one.text.lower() == label]

        return self.one(f"#{self.until(found)[0].get_attribute('for')}")

    def fill(self, label, text):
        self.field(label).clear()
        self.field(label).send_keys(text)

    def stroke(self, selector, places):
        """Draw with the pointer, places in shares of the canvas."""
        box = self.browser.execute_script(
            "arguments[0].scrollIntoView({block: 'center'}); const b ="
            " arguments[0].getBoundingClientRect(); return [b.x, b.y, b.width, b.height]",
            self.one(selector),
        )
        kinds = ["mousePressed", *["mouseMoved"] * (len(places) - 1), "mouseReleased"]
        for kind, (x, y) in zip(kinds, [*places, places[-1]], strict=True):
            event = {"type": kind, "button": "left", "buttons": 1, "clickCount": 1}
            event |= {"x": box[0] + x * box[2], "y": box[1] + y * box[3]}
            self.browser.execute_cdp_cmd("Input.dispatchMouseEvent", event)


# ---- what a person does


def test_a_stroke_changes_the_reconstruction(page):
    page.show("draw")
    page.until(lambda: page.one(".which").text)
    stroke = [(0.2, 0.8), (0.4, 0.5), (0.7, 0.3)]
    page.changes(".output canvas", lambda: page.stroke(".pad", stroke))
    page.until(lambda: page.one(".pad-box .value").text == "yours")
    assert "dB" in page.one(".output .value").text


def test_the_pad_can_be_drawn_on_by_keys(page):
    page.show("draw")
    page.until(lambda: page.one(".which").text)
    page.changes(".pad", lambda: page.one(".pad").send_keys(" ", *[Keys.ARROW_RIGHT] * 5, " "))


def test_steps_walk_the_test_digits(page):
    page.show("draw")
    page.until(lambda: "7" in page.one(".which").text)  # the first test digit is a seven
    page.changes(".output canvas", page.one("button.next").click)
    page.until(lambda: "a 2" in page.one(".which").text)


def test_the_strength_of_the_noise_changes_what_is_seen(page):
    page.show("noise", model="runs/dae")
    page.until(lambda: "dB" in page.one("[data-view=noise] .output .value").text)
    slider = page.one(".strengths input[type=range]")
    before = page.decibels("[data-view=noise] .pad-box .value")
    page.changes("[data-view=noise] .pad", lambda: page.slide(slider, 1.4))
    page.until(lambda: page.decibels("[data-view=noise] .pad-box .value") < before - 3)
    page.changes("[data-view=noise] .pad", page.one("button.again").click)


def test_a_slider_of_the_code_changes_the_picture(page):
    page.show("latent")
    page.until(lambda: len(page.all(".code-sliders input[type=range]")) == 32)
    output = ".latent-head figure:nth-child(2) canvas"
    slider = page.one(".code-sliders input[type=range]")
    moved = float(slider.get_attribute("max"))
    page.changes(output, lambda: page.slide(slider, moved))
    page.changes(output, page.one("button.reset").click)


def test_a_new_sample_is_taken_into_draw(page):
    page.show("generate")
    page.until(lambda: len(page.all(".samples .tile")) == 25)
    assert "mixture" in page.one("#law").text
    first = ".samples figure canvas"
    page.changes(first, page.one("button.more").click)
    page.one("#nearest").click()
    page.until(lambda: page.one(".samples figcaption").text)
    page.one(".samples .tile").click()
    page.until(lambda: page.one("[data-view=draw]:not([hidden])"))
    page.until(lambda: page.one("[data-view=draw] .output .value").text)


def test_an_odd_drawing_is_flagged(page):
    page.show("draw")
    page.until(lambda: page.one(".which").text)
    scribble = [(x, y) for x in (0.1, 0.4, 0.6, 0.9) for y in (0.1, 0.9)]
    page.changes(".output canvas", lambda: page.stroke(".pad", scribble))
    page.browser.execute_script("location.hash = 'anomaly'")
    page.until(lambda: page.one(".verdict.odd"))
    assert page.one(".histogram").is_displayed()


def choose_fast(page):
    """Show what to train, with the fields of a quick recipe."""
    page.show("train")
    page.until(lambda: page.one("#recipe option"))
    Select(page.one("#recipe")).select_by_value("ae-32-fast")
    page.until(lambda: page.field("epochs").get_attribute("value") == "3")


def test_a_training_is_started_watched_and_stopped(page, root):
    choose_fast(page)
    page.fill("epochs", "0")
    page.one("#start").click()
    page.until(lambda: "at least 1" in page.one("#mistake").text)
    assert all("422" in entry["message"] for entry in page.browser.get_log("browser"))
    page.fill("epochs", "4000")
    page.fill("data", "few.npy")
    page.one("#start").click()
    page.until(lambda: page.all(".live .ten canvas"))
    assert page.one(".live button.stop").is_displayed()
    page.one(".live button.stop").click()
    page.until(lambda: page.one("#run").text.startswith("Stopped"))
    name = page.one("#run").text.split()[-1]
    assert (root / name / "report.html").is_file()
    page.one(".live button.use").click()
    page.until(lambda: Select(page.one("#model")).first_selected_option.text == name)


@pytest.mark.stress
def test_a_broken_model_is_called_so(page, root):
    choose_fast(page)
    page.fill("epochs", "1")
    page.fill("limit", "200")
    page.one("#start").click()
    page.until(lambda: page.one("#run").text.startswith("Failed"))
    assert "The model is broken, so it is not saved" in page.one("#message").text
    name = page.one("#run").text.split()[-1]
    assert (root / name / "report.html").is_file()
    assert not (root / name / "model.safetensors").exists()


def test_runs_are_compared(page, root):
    page.show("models")
    page.until(lambda: len(page.all("table.models tbody tr")) >= 2)
    names = page.browser.execute_script(
        "return [...document.querySelectorAll('table.models tbody tr')].map(r => r.dataset.name)"
    )
    assert {"runs/ae", "runs/dae"} <= set(names)
    page.until(lambda: len(page.all("[data-view=models] .ten canvas")) >= 2)
    for name, what, fix in load(root / "runs" / "ae" / "model.safetensors").findings_:
        text = f"{name}\n{what} {fix}"
        page.until(lambda text=text: text in page.one("#findings").text)


def test_a_row_is_changed_and_its_odd_cell_named(page):
    page.show("draw", model="runs/table")  # where it is led to the view of rows
    page.until(lambda: page.one(".verdict").text == "Usual")
    assert page.one("nav a[aria-current]").text == "Row"
    assert not page.one("nav a[href='#noise']").is_displayed()
    cell = page.all(".cells tbody input")[2]
    made = page.one(".cells tbody tr:nth-child(3) td:nth-child(3)")
    before = made.text
    page.slide(cell, "3x")
    assert cell.get_attribute("aria-invalid") == "true"
    page.slide(cell, "9,5")
    page.until(lambda: page.one("[data-view=row] .verdict.odd"))
    assert page.one(".odd-cell-words").text.startswith("depth: 9.5, where ")
    assert [head.text for head in page.all(".cells tr.odd th")] == ["depth"]
    assert made.text != before
    assert page.one(".which").text == "Your own row"
    page.browser.execute_script("location.hash = 'anomaly'")
    page.until(lambda: page.one("[data-view=anomaly] .verdict.odd"))
    assert page.one("[data-view=anomaly] .cells tbody th").text == "depth"


def test_a_signal_is_drawn_and_a_row_is_not(page, root):
    steps = np.arange(40) + np.random.default_rng(0).random((60, 1)) * 9
    x = np.stack([np.sin(steps / 3), np.cos(steps / 5)], 1).astype(np.float32)
    told = {"network": "conv", "dimensions": 1, "hidden": (8,), "latent_dim": 4, "epochs": 9}
    Autoencoder(**told, random_state=0).fit(x).save(root / "signal.safetensors")
    page.show("row", model="signal.safetensors")
    page.until(lambda: len(page.all("[data-view=row] .line-chart polyline")) == 4)
    assert "Step" in page.one("[data-view=row] .line-chart").text
    page.show("row", model="runs/table")
    page.until(lambda: page.one(".cells tbody input"))
    assert not page.one("[data-view=row] .line-chart").is_displayed()


def test_rows_of_a_file_are_walked_and_one_is_pasted(page, root, tmp_path):
    page.show("row", model="runs/table")
    opened = page.one("[data-view=row] input[type=file]")
    (tmp_path / "other.csv").write_text("height,wide\n1,2\n")
    opened.send_keys(str(tmp_path / "other.csv"))
    page.until(lambda: page.one("#status").text.startswith("The table other.csv lacks"))
    assert all("422" in entry["message"] for entry in page.browser.get_log("browser"))
    opened.send_keys(str(root / "table.csv"))
    page.until(lambda: page.one(".which").text == "Row 1 of table.csv")
    assert "200 of the 400" in page.one("#status").text
    page.one("button.next").click()
    page.until(lambda: page.one(".which").text == "Row 2 of table.csv")
    second = (root / "table.csv").read_text().splitlines()[2].split(",")
    wanted = [float(text) for text in second]
    cells = page.all(".cells tbody input")
    page.until(lambda: [float(cell.get_attribute("value")) for cell in cells] == wanted)
    paste = (
        "const data = new DataTransfer(); data.setData('text', arguments[0]); document."
        "dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, cancelable: true}))"
    )
    page.browser.execute_script(
        paste, "\t".join(["depth", "height", "width", COLUMNS[3]]) + "\n3\t1\t2\t-1"
    )
    page.until(lambda: page.one(".which").text == "Your own row")
    page.until(lambda: page.one(".cells tbody input").get_attribute("value") == "1")
    assert page.all(".cells tbody input")[2].get_attribute("value") == "3"


def test_the_code_of_a_row_is_turned_and_new_rows_are_kept(page, tmp_path):
    page.show("latent", model="runs/table")
    page.until(lambda: len(page.all(".code-sliders input[type=range]")) == 2)
    decoded = "[data-view=latent] .cells tbody td:nth-child(3)"
    page.until(lambda: page.one(decoded))
    before = page.one(decoded).text
    slider = page.one(".code-sliders input[type=range]")
    page.slide(slider, float(slider.get_attribute("max")))
    page.until(lambda: page.one(decoded).text != before)
    page.browser.execute_script("location.hash = 'generate'")
    page.until(lambda: len(page.all(".new-rows tbody tr")) == 25)
    kept = _downloaded(page, tmp_path, "[data-view=generate] .download", "table-new.csv")
    names, *rows = csv.reader(kept.open())
    assert names == COLUMNS
    assert len(rows) == 25
    cells = page.all(".new-rows tbody tr:first-child td")
    shown = [cell.text.replace("\N{MINUS SIGN}", "-") for cell in cells]
    assert [float(text) for text in shown[1:]] == pytest.approx([*map(float, rows[0])], rel=1e-4)
    page.one(".new-rows button").click()
    page.until(lambda: page.one("[data-view=row]:not([hidden])"))
    page.until(lambda: page.one(".cells tbody input"))
    assert float(page.one(".cells tbody input").get_attribute("value")) == float(rows[0][0])


def _downloaded(page, folder, selector, name):
    page.browser.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)}
    )
    page.one(selector).click()
    page.until((folder / name).exists)
    return folder / name


def test_a_photograph_of_any_size_is_cleaned_and_kept(page, root, tmp_path):
    page.show("", model="photo.safetensors")  # it begins with this view
    opened = page.one("[data-view=photo] input[type=file]")
    (tmp_path / "text.png").write_text("no image")
    opened.send_keys(str(tmp_path / "text.png"))
    words = "[data-view=photo] > p"
    page.until(lambda: page.one(words).text.startswith("text.png is not an image"))
    assert all("422" in entry["message"] for entry in page.browser.get_log("browser"))
    photograph = np.random.default_rng(0).integers(0, 256, (37, 61, 3), np.uint8)
    Image.fromarray(photograph).save(tmp_path / "photo.png")
    opened.send_keys(str(tmp_path / "photo.png"))
    page.until(lambda: "61 \N{MULTIPLICATION SIGN} 37 pixels, cleaned in" in page.one(words).text)
    assert page.one(".compare-frame img:first-child").is_displayed()
    out = tmp_path / "own.png"
    assert run("denoise", root / "photo.safetensors", tmp_path / "photo.png", "--out", out) == 0
    kept = _downloaded(page, tmp_path, "[data-view=photo] .download", "photo-clean.png")
    assert kept.read_bytes() == out.read_bytes()
    assert "noise of about " in page.one(words).text
    page.one("[data-view=photo] input[type=number]").send_keys("40", Keys.ENTER)
    page.until(lambda: "noise of about 40 of 255" in page.one(words).text)


def test_a_model_from_elsewhere_is_among_those_to_choose(page, tmp_path):
    page.show("photo", model="photo")
    assert Select(page.one("#model")).first_selected_option.text == "photo"
    assert page.one("#model").is_enabled()
    assert "of no narrow code" in page.one("#summary").text
    assert not page.one("nav a[href='#latent']").is_displayed()
    Image.new("RGB", (900, 700), "red").save(tmp_path / "red.png")
    page.one("[data-view=photo] input[type=file]").send_keys(str(tmp_path / "red.png"))
    stop, again = (page.one(f"[data-view=photo] button.{name}") for name in ("stop", "again"))
    page.until(stop.is_displayed)
    stop.click()
    page.until(again.is_displayed)
    again.click()
    page.until(lambda: "pixels, cleaned in" in page.one("[data-view=photo] > p").text)
    assert not again.is_displayed()


# ---- what the page must be


@pytest.fixture
def beyond(tmp_path, monkeypatch):
    """The address of a studio in an empty folder, for others too; it is served by a thread."""
    run, said, servers = uvicorn.Server.run, [], []

    def kept(server, sockets):
        servers.append(server)
        run(server, sockets)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(uvicorn.Server, "run", kept)
    options = {"host": "0.0.0.0", "port": 0, "browser": False, "say": said.append}
    thread = Thread(target=serve, kwargs=options)
    thread.start()
    while not servers and thread.is_alive():
        time.sleep(0.01)
    yield said[0].split()[1]
    servers[0].should_exit = True
    thread.join()


def test_beyond_this_machine_the_address_has_a_token_and_an_empty_folder_leads_to_a_training(
    browser, beyond
):
    plain, _, token = beyond.partition("#")
    plain = f"http://127.0.0.1:{plain.rpartition(':')[2]}"
    page = Page(browser, plain)
    browser.get(plain)
    page.until(lambda: "token" in page.one("#notice").text)
    browser.get(f"{plain}#{token}")
    browser.refresh()
    page.until(lambda: page.one("#notice button"))
    assert "token" not in browser.current_url
    page.one("#notice button").click()
    page.until(lambda: page.one("#start"))


FEW_VIEWS = [VIEWS[place] for place in (0, 2, 4, 5, 7, -1)]
EVERY = [
    pytest.param(width, scheme, VIEWS, marks=pytest.mark.stress)
    for width, scheme in ((390, "dark"), (1280, "light"))
]


@pytest.mark.parametrize(("width", "scheme", "views"), [(390, "dark", FEW_VIEWS), *EVERY])
def test_every_view_is_accessible_and_fits(page, width, scheme, views):
    axe = Path(axe_core_python.__file__).with_name("axe.min.js").read_text()
    judge = "axe.run({resultTypes: ['violations']}).then(arguments[0])"
    look_as(page.browser, width, scheme)
    for model, view in views:
        page.show(view, model=model)
        page.settled()
        for screen in (width, 1366):
            look_as(page.browser, screen, scheme)
            wide = "return document.documentElement.scrollWidth"
            assert page.browser.execute_script(wide) <= screen, view
        look_as(page.browser, width, scheme)
        if page.browser.execute_script("return !window.axe"):
            page.browser.execute_script(axe)
        found = page.browser.execute_async_script(judge)
        said = [(v["id"], [n["html"] for n in v["nodes"]]) for v in found["violations"]]
        assert said == [], view


def test_the_first_page_is_small_and_quickly_there(page):
    page.show("draw")
    page.until(lambda: page.one(".output .value").text)
    sizes = page.browser.execute_script(
        "return performance.getEntries().filter(e => e.transferSize"
        " && !e.name.includes('/api/')).map(e => e.transferSize)"
    )
    assert len(sizes) >= 5
    assert sum(sizes) < 300_000
