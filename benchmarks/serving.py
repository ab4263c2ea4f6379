"""The service under load: `python -m benchmarks.serving` prints a markdown table.

One digit a request, reconstructed, by 1, 8 and 64 clients that each ask again as soon as they are
answered: answers a second, and the latency that half, 90 % and 99 % of them stay below. Each row
is also measured with the same server that makes every request alone. The load is from `wrk`
(Debian: apt-get install wrk), which has a thread of its own on the same machine.
"""

import argparse
import io
import json
import multiprocessing
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.table import Table
from diabolo.data import load_mnist

RECIPES = ("ae-32-fast", "vae-conv")
CLIENTS = (1, 8, 64)
HEAD = ("model", "clients", "joined", "answers/s", "median ms", "90 %", "95 %", "99 %", "errors")
SCRIPT = """
local file = io.open({body!r}, "rb")
wrk.method, wrk.body = "POST", file:read("*a")
wrk.headers["Content-Type"] = "application/x-npy"
function done(summary, latency, requests)
  local failed = summary.errors
  io.write(string.format('{{"answers": %d, "seconds": %f, "errors": %d, "p50": %f, "p90": %f,'
    .. ' "p95": %f, "p99": %f}}\\n', summary.requests, summary.duration / 1e6,
    failed.connect + failed.read + failed.write + failed.status + failed.timeout,
    latency:percentile(50) / 1e3, latency:percentile(90) / 1e3, latency:percentile(95) / 1e3,
    latency:percentile(99) / 1e3))
end
"""


def serve(root: Path, port: int, join: bool) -> None:
    """The service on a port, until it is killed."""
    import torch
    import uvicorn

    from diabolo.studio.app import create_app
    from diabolo.studio.service import Service

    torch.set_num_threads(1)
    uvicorn.run(create_app(Service(root, join=join)), port=port, log_level="error")


@contextmanager
def serving(root: Path, *, join: bool) -> Iterator[str]:
    """The address of a service in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(root, port, join))
    process.start()
    address = f"http://127.0.0.1:{port}/api/"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(address + "health").close()
                break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        process.kill()
        process.join()


def loaded(address: str, script: Path, clients: int, seconds: int) -> dict[str, float]:
    """What wrk measured."""
    words = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "-s", str(script), address]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return json.loads(re.findall(r"^{.*}$", text, re.M)[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=10, help="of each row (10)")
    parser.add_argument("--json", type=Path, metavar="FOLDER", help="keep the table there")
    parser.add_argument("--runs", type=Path, help="where trained runs of the recipes are")
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not there: apt-get install wrk.")
    with tempfile.TemporaryDirectory() as folder:
        found = measure(given.runs or trained(Path(folder)), Path(folder), given.seconds)
        table = Table("serving", HEAD, given.json)
        for row in found:
            table.row(*row)


def trained(folder: Path) -> Path:
    """Short trainings: how good the models are does not change their speed."""
    for name in RECIPES:
        words = ["fit", name, "--out", folder / name, "--limit", 500, "--epochs", 1, "--force"]
        command = [sys.executable, "-m", "diabolo", *map(str, words)]
        subprocess.run(command, check=True, capture_output=True)
    return folder


def measure(root: Path, folder: Path, seconds: int) -> Iterator[tuple[object, ...]]:
    """The rows of the table."""
    stream = io.BytesIO()
    np.save(stream, load_mnist()[1][0][:1])
    (folder / "body.npy").write_bytes(stream.getvalue())
    script = folder / "load.lua"
    script.write_text(SCRIPT.format(body=str(folder / "body.npy")))
    for name in RECIPES:
        for clients in CLIENTS:
            for join in (True, False):
                with serving(root, join=join) as address:
                    place = f"{address}reconstruct?model={name}"
                    loaded(place, script, clients, 2)
                    found = loaded(place, script, clients, seconds)
                    times = (f"{found[key]:.1f}" for key in ("p50", "p90", "p95", "p99"))
                    rate = f"{found['answers'] / found['seconds']:.0f}"
                    said = "yes" if join else "no"
                    yield name, clients, said, rate, *times, f"{found['errors']:.0f}"


if __name__ == "__main__":
    main()
