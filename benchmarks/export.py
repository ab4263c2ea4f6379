"""Exported against trained: python -m benchmarks.export [recipes models detectors browser].

Every recipe, or those of --only (--limit digits or patches of made-up photographs, an epoch),
every model with every network, every criterion over 10,000 digits, and the answers of WebAssembly
in a headless Chromium (npm install --no-save onnxruntime-web). A line each: the largest
difference, of the range, and the verdicts that flipped. It ends with 1 where one is above 1e-5, or
any verdict flipped.
"""

import argparse
import functools
import json
import shutil
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from diabolo import AnomalyDetector, export, load
from diabolo.cli import main as diabolo
from diabolo.data import load_mnist
from diabolo.errors import InputError
from diabolo.exporting import TOLERANCE
from diabolo.models import MODELS
from diabolo.networks import Network
from diabolo.recipes import names

ROOT = Path(__file__).parents[1]
ORT = ROOT / "node_modules/onnxruntime-web/dist"
CRITERIA = ("reconstruction", "latent", "combined", "shape", "elbo", "near_codes", "edges")
PARTS = ("recipes", "models", "detectors", "browser")
PAGE = """<script type="importmap">
{"imports": {"onnxruntime-web": "/ort/ort.wasm.min.mjs"}}
</script>
<script type="module">
try {
  const { judge } = await import("/exported.mjs");
  const pixels = new Uint8Array(await (await fetch("/pixels")).arrayBuffer());
  const found = { score: [], p: [], anomaly: [] }, step = 200 * 784; // or it takes 4 GB
  for (let start = 0; start < pixels.length; start += step) {
    const part = await judge(pixels.slice(start, start + step));
    for (const name in found) found[name].push(...part[name]);
  }
  window.found = found;
} catch (error) { window.found = { error: String(error) }; }
</script>"""


def main() -> int:
    """0: all answers agree."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export", description=__doc__)
    parser.add_argument("parts", nargs="*", default=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--limit", type=int, default=2000, help="samples to train on")
    parser.add_argument("--only", nargs="+", default=names(), metavar="RECIPE")
    parser.add_argument("--to", choices=("onnx", "torch"), default="onnx")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    right = True
    for part in options.parts:
        ways = {"recipes": functools.partial(recipes, options.only)}
        way = ways.get(part, globals()[part])
        for name, off, flipped in way(options.limit, options.to):
            right &= off <= TOLERANCE and not flipped
            print(f"{name:40}  {off:8.1e}  {flipped}", flush=True)
    return 0 if right else 1


Line = tuple[str, float, int]


def line(name: str, proof: dict[str, Any]) -> Line:
    """What was found of the files of an export; p-values may be a step off."""
    files = proof["files"].values()
    off = max(d for file in files for key, d in file["difference"].items() if key != "p_value")
    return name, off, sum(file.get("flipped", 0) for file in files)


def recipes(only: list[str], limit: int, to: str) -> Iterator[Line]:
    """Recipes by the commands, and of digits a detector over the 10,000 test digits."""
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder, "photos.npy")
        np.save(photos, photographs())
        for name in only:
            run, out = f"{folder}/{name}", f"{folder}/{name}-exported"
            words = ["fit", name, "--out", run, "--epochs", "1", "--force"]
            kind = ["--data", str(photos)] if "photo" in name else ["--limit", str(limit)]
            if diabolo([*words, *kind]) or diabolo(["export", run, "--to", to, "--out", out]):
                yield name, np.inf, 0
                continue
            yield line(name, json.loads(Path(out, "export.json").read_text()))
            if "photo" not in name:
                yield line(f"{name} detector", _of_detector(run, f"{out}-detector", limit, to))


def _of_detector(run: str, out: str, limit: int, to: str) -> dict[str, Any]:
    """The export of a run's detector, tried on the test digits."""
    (X, _), (test, _) = load_mnist()
    detector = AnomalyDetector(load(Path(run, "model.safetensors")), prefit=True)
    return export(detector.fit(X[limit : 2 * limit]), out, to, X=test)


def photographs() -> np.ndarray:
    """Smooth images in colour (16, 3, 96, 128), uint8."""
    draw = np.random.default_rng(0)
    coarse = draw.random((16, 3, 7, 9))
    rows, columns = (np.linspace(0, n - 1.001, size) for n, size in ((7, 96), (9, 128)))
    for axis, place in ((2, rows), (3, columns)):
        low = place.astype(int)
        share = (place - low).reshape([-1, 1] if axis == 2 else [-1])
        coarse = coarse.take(low, axis) * (1 - share) + coarse.take(low + 1, axis) * share
    return np.rint(255 * coarse).astype(np.uint8)


def models(limit: int, to: str) -> Iterator[Line]:
    """Every model with every network."""
    (X, _), (test, _) = load_mnist()
    for name, cls in MODELS.items():
        for network, kind in Network.kinds().items():
            sizes = {"hidden": (16, 16), "latent_dim": None if kind.any_size else 16}
            model = cls(network=network, epochs=1, random_state=0, **sizes)
            try:
                model.fit(X[:limit])
            except InputError:  # which do not go together
                continue
            with tempfile.TemporaryDirectory() as folder:
                yield line(f"{name} {network}", export(model, folder, to, X=test[:500]))


def detectors(limit: int, to: str) -> Iterator[Line]:
    """Every model and criterion, over the 10,000 test digits."""
    (X, _), (test, _) = load_mnist()
    for name, cls in MODELS.items():
        model = cls(latent_dim=16, epochs=3, random_state=0).fit(X[:limit])
        for criterion in CRITERIA:
            detector = AnomalyDetector(model, criterion=criterion, prefit=True, random_state=0)
            detector.fit(X[limit : 2 * limit])
            with tempfile.TemporaryDirectory() as folder:
                yield line(f"{name} {criterion}", export(detector, folder, to, X=test))


def browser(limit: int, to: str) -> Iterator[Line]:
    """Every criterion over the 10,000 test digits, by WebAssembly."""
    (X, _), (test, _) = load_mnist()
    model = MODELS["VAE"](latent_dim=16, epochs=3, random_state=0).fit(X[:limit])
    for criterion in CRITERIA:
        detector = AnomalyDetector(model, criterion=criterion, prefit=True, random_state=0)
        detector.fit(X[limit : 2 * limit])
        scores = detector.score_samples(test)
        with tempfile.TemporaryDirectory() as folder:
            export(detector, Path(folder, "exported"), X=test[:100])
            found = in_chromium(Path(folder), test)
        off = np.abs(np.array(found["score"]) - scores).max() / np.abs(scores).max()
        flipped = int((np.array(found["anomaly"]) != (scores < detector.offset_)).sum())
        yield f"WebAssembly {criterion}", float(off), flipped


def in_chromium(folder: Path, digits: np.ndarray) -> dict[str, list[float]]:
    """What docs/exported.mjs makes of digits, in a headless Chromium, by `folder`/exported."""
    from selenium import webdriver
    from selenium.webdriver.support.ui import WebDriverWait

    shutil.copy(ROOT / "docs/exported.mjs", folder)
    (folder / "pixels").write_bytes(digits.tobytes())
    (folder / "index.html").write_text(PAGE)
    if not (folder / "ort").exists():
        (folder / "ort").symlink_to(ORT)
    handler = functools.partial(Quiet, directory=str(folder))
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            driver.get(f"http://127.0.0.1:{server.server_port}/index.html")
            wait = WebDriverWait(driver, 300)
            found: dict[str, Any] = wait.until(lambda d: d.execute_script("return window.found"))
        finally:
            driver.quit()
            server.shutdown()
    if "error" in found:
        raise RuntimeError(found["error"])
    return found


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and says nothing of it."""

    def log_message(self, *_: Any) -> None:
        pass


if __name__ == "__main__":
    sys.exit(main())
