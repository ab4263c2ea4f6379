"""The studio's page in a real browser: what a person does there, and what the page must not do."""

import time
from pathlib import Path

import axe_core_python
import pytest
from conftest import FEW, look_as, needs_browser, requested, run
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from diabolo import load

VIEWS = ("draw", "noise", "latent", "generate", "anomaly", "train", "models")
HASH = "return [...arguments[0].getContext('2d').getImageData(0, 0, arguments[0].width,"
HASH += " arguments[0].height).data].join()"
pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning"), needs_browser]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with a plain and a denoising run."""
    folder = tmp_path_factory.mktemp("studio")
    for recipe in ("ae-32-fast", "dae-32-fast"):
        out = folder / "runs" / recipe.split("-")[0]
        assert run("fit", recipe, "--out", out, "--limit", 600, "--epochs", 1, *FEW) == 0
    for config in folder.glob("runs/*/config.toml"):  # all are served, though few were tested on
        config.write_text(config.read_text().replace(FEW[1], "mnist:test"))
    return folder


@pytest.fixture(scope="module")
def address(root, studio):
    return studio(root)


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
        self.until(lambda: self.one(f"[data-view={view}]:not([hidden]) *"))
        self.until(lambda: self.one("#summary").text)

    def one(self, selector):
        found = self.browser.find_elements(By.CSS_SELECTOR, selector)
        return found[0] if found else None

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def until(self, condition, seconds=60):
        stale = [StaleElementReferenceException]
        wait = WebDriverWait(self.browser, seconds, 0.05, ignored_exceptions=stale)
        return wait.until(lambda _: condition())

    def pixels(self, selector):
        return self.browser.execute_script(HASH, self.one(selector))

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
        found = [one for one in self.all("form label") if one.text.lower() == label]
        return self.one(f"#{found[0].get_attribute('for')}")

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


def test_a_training_is_started_watched_and_stopped(page, root):
    page.show("train")
    page.until(lambda: page.one("#recipe option"))
    Select(page.one("#recipe")).select_by_value("ae-32-fast")
    page.until(lambda: page.field("epochs").get_attribute("value") == "3")
    page.fill("epochs", "0")
    page.one("#start").click()
    page.until(lambda: "at least 1" in page.one("#mistake").text)
    assert all("422" in entry["message"] for entry in page.browser.get_log("browser"))
    page.fill("epochs", "400")
    page.fill("limit", "2000")
    page.one("#start").click()
    page.until(lambda: page.all(".live .ten canvas"))
    assert page.one(".live button.stop").is_displayed()
    page.one(".live button.stop").click()
    page.until(lambda: page.one("#run").text.startswith("Stopped"))
    name = page.one("#run").text.split()[-1]
    assert (root / name / "report.html").is_file()
    page.one(".live button.use").click()
    page.until(lambda: Select(page.one("#model")).first_selected_option.text == name)


def test_a_broken_model_is_called_so(page, root):
    page.show("train")
    page.until(lambda: page.one("#recipe option"))
    Select(page.one("#recipe")).select_by_value("ae-32-fast")
    page.until(lambda: page.field("epochs").get_attribute("value") == "3")
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


# ---- what the page must be


def test_without_a_model_it_leads_to_a_training(browser, tmp_path, studio):
    address = studio(tmp_path)
    page = Page(browser, address)
    browser.get(address)
    page.until(lambda: page.one("#notice button"))
    page.one("#notice button").click()
    page.until(lambda: page.one("#start"))


def test_beyond_this_machine_the_printed_address_has_the_token(browser, root, studio):
    address = studio(root, "--host", "0.0.0.0")
    plain, _, token = address.partition("#")
    plain = f"http://127.0.0.1:{plain.rpartition(':')[2]}"
    page = Page(browser, plain)
    browser.get(plain)
    page.until(lambda: "token" in page.one("#notice").text)
    browser.get(f"{plain}#{token}")
    browser.refresh()
    page.until(lambda: page.one("#summary").text)
    assert "token" not in browser.current_url


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_every_view_is_accessible_and_fits(page, width, scheme):
    axe = Path(axe_core_python.__file__).with_name("axe.min.js").read_text()
    look_as(page.browser, width, scheme)
    for view in VIEWS:
        page.show(view, model="runs/dae")
        time.sleep(1)
        page.browser.execute_script(axe)
        found = page.browser.execute_async_script("axe.run().then(arguments[0])")
        said = [(v["id"], [n["html"] for n in v["nodes"]]) for v in found["violations"]]
        assert said == [], view
        assert page.browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_the_first_page_is_small_and_quickly_there(page):
    page.show("draw")
    page.until(lambda: page.one(".output .value").text)
    sizes = page.browser.execute_script(
        "return performance.getEntries().filter(e => e.transferSize"
        " && !e.name.includes('/api/')).map(e => e.transferSize)"
    )
    assert len(sizes) >= 5
    assert sum(sizes) < 300_000
