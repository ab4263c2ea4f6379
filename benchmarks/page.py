"""How quickly the page answers: `python -m benchmarks.page [MODEL]` prints a markdown table.

In headless Chromium: from a movement of the pen on the drawing pad to the frame that shows its
reconstruction, with a pause after each movement and without one; the size of the first page, and
when it can be drawn on. MODEL is a run folder below the working directory (else the newest run).
"""

import argparse
import math
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run"
    " --disable-background-networking --disable-component-update --disable-sync"
)
WATCH = """
window.moved = {}; window.shown = []; let count = 0, sent = 0;
addEventListener("pointermove", (event) => { moved[++count] = event.timeStamp; }, true);
const ask = fetch;
window.fetch = (...given) => {
  if (String(given[0]).includes("view")) sent = count;
  return ask(...given);
};
const put = CanvasRenderingContext2D.prototype.putImageData;
CanvasRenderingContext2D.prototype.putImageData = function (...given) {
  put.apply(this, given);
  if (!this.canvas.closest(".output")) return;
  const upTo = sent;
  requestAnimationFrame(() => {
    for (const one of Object.keys(moved)) {
      if (one <= upTo) { shown.push(performance.now() - moved[one]); delete moved[one]; }
    }
  });
};
"""
READY = "return document.querySelector('.output .value')?.textContent"


@contextmanager
def studio() -> Iterator[str]:
    """The address of a studio in the working directory."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "diabolo", "studio", "--no-browser", "--port", port]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().split()[1]
    finally:
        process.terminate()
        process.wait()


@contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium with a profile of its own."""
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for flag in [*FLAGS.split(), f"--user-data-dir={profile}", "--window-size=1280,900"]:
            options.add_argument(flag)
        driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
        yield driver
        driver.quit()


def strokes(driver: Any, pause: float, moves: int) -> np.ndarray:
    """Milliseconds from each movement of the pen to what it shows."""
    box = driver.execute_script(
        "const b = document.querySelector('.pad').getBoundingClientRect();"
        " return [b.left, b.top, b.width, b.height]"
    )

    def pen(kind: str, x: float, y: float) -> None:
        place = {"x": box[0] + x * box[2], "y": box[1] + y * box[3]}
        event = {"type": kind, "button": "left", "buttons": 1, "clickCount": 1, **place}
        driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)

    pen("mousePressed", 0.5, 0.5)
    time.sleep(1)
    driver.execute_script("moved = {}; shown.length = 0")
    for n in range(moves):
        pen("mouseMoved", 0.5 + 0.3 * math.cos(n / 9), 0.5 + 0.3 * math.sin(n / 13))
        time.sleep(pause)
    pen("mouseReleased", 0.5, 0.5)
    time.sleep(1)
    return np.array(driver.execute_script("return shown"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?")
    parser.add_argument("--moves", type=int, default=200, help="of the pen (200)")
    given = parser.parse_args()
    with studio() as address, browser() as driver:
        query = f"?model={given.model}" if given.model else ""
        driver.get(f"{address}{query}#draw")
        WebDriverWait(driver, 60).until(lambda _: driver.execute_script(READY))
        driver.refresh()
        WebDriverWait(driver, 60, 0.01).until(lambda _: driver.execute_script(READY))
        ready = driver.execute_script("return performance.now()")
        files = driver.execute_script(
            "return performance.getEntries().filter(e => e.encodedBodySize"
            " && !e.name.includes('/api/')).map(e => e.encodedBodySize)"
        )
        print(f"First page: {sum(files) / 1000:.0f} kB in {len(files)} files; its first")
        print(f"reconstruction is there after {ready / 1000:.2f} s.\n")
        driver.execute_script(WATCH)
        print("| pen | movements | median ms | 95 % ms |\n|---|---:|---:|---:|")
        for name, pause in (("with pauses", 0.15), ("without", 0.0)):
            times = strokes(driver, pause, given.moves)
            middle, most = np.quantile(times, [0.5, 0.95])
            print(f"| {name} | {len(times)} | {middle:.0f} | {most:.0f} |", flush=True)


if __name__ == "__main__":
    main()
