"""The site: it builds without a warning, its links hold, and it is readable, also by programs."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import look_as, needs_browser, requested

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ["index", "start", "own/table", "theory", "results", "articles/dae-64.ko"]
pytestmark = [pytest.mark.stress, needs_browser]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, its blocks shown and not run: that is for `make docs`."""
    pytest.importorskip("sphinx")
    folder = tmp_path_factory.mktemp("site")
    words = ["-m", "sphinx", "-W", "--keep-going", "-q", "-t", "unrun", DOCS, folder]
    built = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert (built.returncode, built.stderr) == (0, "")
    return folder


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_readable(site, browser, page, scheme):
    from axe_core_python.selenium import Axe

    look_as(browser, 390, scheme)
    browser.get((site / f"{page}.html").as_uri())
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    found = Axe().run(browser)["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []
    assert all(address.startswith(("file:", "data:")) for address in requested(browser))


def test_search_works_without_a_network(site, browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get((site / "search.html").as_uri() + "?q=watermark")
    found = WebDriverWait(browser, 20).until(
        lambda driver: driver.find_elements(By.CSS_SELECTOR, "ul.search li a")
    )
    assert any("watermark" in link.get_attribute("href") for link in found)
