"""The studio attacked: `python -m benchmarks.mixed [--requests 20000] [--idle 1100]`.

The real `diabolo studio`, in which a training runs all the while, is asked by 8 clients for a
mixture of everything that the page and programs ask for, mistakes included, and once more while
so many connections stay open of which nothing comes. Printed: the requests by kind with their
slowest, statuses, latencies, the memory of the process, and the length of its log. It ends with 1
where an answer was 5xx, 95 % took 250 ms or more, one took 2 s, the memory grew by 1 GB, or the
idle connections kept anybody out.
"""

import argparse
import base64
import http.client
import io
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from diabolo.data import load_mnist

CLIENTS = 8
RECIPES = ("ae-32-fast", "vae", "dae")
TRAINED = {"recipe": "ae-32-fast", "parameters": {"epochs": "100000"}, "limit": 5000}
Asked = tuple[str, str, bytes | None, str]  # method, path, body, its type


def kinds(runs: list[str]) -> dict[str, Callable[[random.Random], Asked]]:
    """What is asked for: of one digit and of many, of samples, codes and pictures, and rubbish."""
    x = load_mnist()[1][0]

    def npy(array: np.ndarray) -> bytes:
        stream = io.BytesIO()
        np.save(stream, array)
        return stream.getvalue()

    def rows(name: str, most: int) -> Callable[[random.Random], Asked]:
        def one(draw: random.Random) -> Asked:
            start, count = draw.randrange(9000), draw.randint(1, most)
            place = f"/api/{name}?model={draw.choice(runs)}"
            return "POST", place, npy(x[start : start + count]), "application/x-npy"

        return one

    def get(*paths: str) -> Callable[[random.Random], Asked]:
        def one(draw: random.Random) -> Asked:
            path = draw.choice(paths).replace("RUN", draw.choice(runs))
            return "GET", path.replace("SEED", str(draw.randrange(1000))), None, ""

        return one

    def view(draw: random.Random) -> Asked:
        picture = base64.b64encode(x[draw.randrange(9000)].tobytes()).decode()
        corruption = {"kind": draw.choice(["gaussian", "salt-pepper", "masking", "blur"])}
        asked: dict[str, Any] = {"model": draw.choice(runs)} | draw.choice(
            [
                {"sample": draw.randrange(100), "corruption": corruption},
                {"image": {"shape": [1, 28, 28], "pixels": picture}},
                {"image": {"shape": [1, 28, 28], "pixels": picture}, "corruption": corruption},
            ]
        )
        return "POST", "/api/view", json.dumps(asked).encode(), "application/json"

    def wrong(draw: random.Random) -> Asked:
        bodies = [b"", b"{", b"[" * 10**5, npy(np.zeros((2, 5))), b"\x93NUMPY\x01\x00"]
        path = draw.choice(["reconstruct", "encode", "view", "score", "train", "nothing"])
        kind = draw.choice(["application/json", "application/x-npy"])
        return (
            "POST",
            f"/api/{path}?model={draw.choice([*runs, '../x'])}",
            draw.choice(bodies),
            kind,
        )

    return {
        "a digit": rows("reconstruct", 1),
        "200 digits": rows("reconstruct", 200),
        "codes": rows("encode", 50),
        "scores": rows("score", 50),
        "denoised": rows("denoise", 20),
        "new": get("/api/generate?model=RUN&n=16&seed=SEED", "/api/new?model=RUN&seed=SEED"),
        "nearest": get("/api/new?model=RUN&n=4&nearest=true&seed=SEED"),
        "view": view,
        "lists": get("/api/models", "/api/recipes", "/api/recipes/vae", "/api/corruptions"),
        "samples": get("/api/samples?model=RUN&count=20", "/api/codes?model=RUN&index=SEED"),
        "map": get("/api/map?model=RUN&count=500", "/api/normal?model=RUN"),
        "about": get("/api/model?model=RUN", "/", "/api/openapi.json", "/api/train"),
        "wrong": wrong,
    }


@contextmanager
def studio(root: Path, log: Path) -> Iterator[tuple[int, str]]:
    """The number of the process, and the address."""
    with log.open("wb") as file:
        words = [
            sys.executable,
            "-m",
            "diabolo",
            "studio",
            str(root),
            "--no-browser",
            "--port",
            "0",
        ]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=file)
        try:
            assert process.stdout is not None
            found = re.search(rb"http://(\S+?)/", process.stdout.readline())
            assert found is not None
            yield process.pid, found[1].decode()
        finally:
            process.terminate()
            process.wait()  # for the report of what was trained, too


def memory(process: int) -> float:
    """What a process holds, in MB."""
    text = Path(f"/proc/{process}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", text)[0]) / 1000


def asked(connection: http.client.HTTPConnection, what: Asked) -> int:
    """The status of an answer."""
    method, path, body, kind = what
    connection.request(method, path, body, {"content-type": kind} if kind else {})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def training(address: str) -> dict[str, Any]:
    """How far it is."""
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("GET", "/api/train")
    found: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return found


def load(address: str, count: int, process: int, runs: list[str]) -> bool:
    """Ask so often, and say what was found; whether it is as promised."""
    made, took, statuses = kinds(runs), defaultdict[str, list[float]](list), Counter[int]()
    numbers, held, lock = iter(range(count)), [memory(process)], threading.Lock()

    def client() -> None:
        connection = http.client.HTTPConnection(address, timeout=60)
        while True:
            with lock:
                number = next(numbers, None)
                if number is None:
                    return
                if number % max(1, count // 10) == 0:
                    held.append(memory(process))
            draw = random.Random(number)
            kind = draw.choice(list(made))
            what, started = made[kind](draw), time.perf_counter()
            status = asked(connection, what)
            with lock:
                took[kind].append(time.perf_counter() - started)
                statuses[status] += 1

    started = time.perf_counter()
    clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    seconds = time.perf_counter() - started
    for kind, each in sorted(took.items()):
        print(f"{kind:12} {len(each):6}  {_times(each)}")
    every = [value for each in took.values() for value in each]
    print(f"{'all':12} {len(every):6}  {_times(every)}  in {seconds:.0f} s; {dict(statuses)}")
    print("memory, MB:", *(f"{value:.0f}" for value in [*held, memory(process)]))
    good = np.quantile(every, 0.95) < 0.25 and max(every) < 2
    return bool(good) and max(statuses) < 500 and max(held) - held[0] < 1000


def _times(each: list[float]) -> str:
    half, most = (1e3 * np.quantile(each, share) for share in (0.5, 0.95))
    return f"half {half:5.0f} ms  95 % {most:5.0f} ms  slowest {1e3 * max(each):5.0f} ms"


def idle(address: str, count: int, log: Path) -> bool:
    """Open connections of which nothing comes, and ask beside them; whether all was answered."""
    host, port = address.split(":")
    before, took, statuses = log.stat().st_size, list[float](), Counter[int]()
    silent = [socket.create_connection((host, int(port))) for _ in range(count)]
    for _ in range(200):
        started = time.perf_counter()
        connection = http.client.HTTPConnection(address, timeout=60)
        statuses[asked(connection, ("GET", "/api/health", None, ""))] += 1
        took.append(time.perf_counter() - started)
        connection.close()
    for connection in silent:
        connection.close()
    said = log.stat().st_size - before
    print(f"beside {count} idle connections: {_times(took)}; {dict(statuses)}; log {said} bytes")
    return set(statuses) == {200} and max(took) < 2 and said < 10_000


def main() -> int:
    """0: all as promised."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--idle", type=int, default=1_100)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root, log = Path(name), Path(name, "log")
        for recipe in RECIPES:
            words = ["fit", recipe, "--out", str(root / recipe), "--limit", "1000", "--force"]
            command = [sys.executable, "-m", "diabolo", *words, "--epochs", "1"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with studio(root, log) as (process, address):
            connection = http.client.HTTPConnection(address, timeout=60)
            body = json.dumps(TRAINED).encode()
            while asked(connection, ("GET", "/api/health", None, "")) != 200:
                time.sleep(0.1)
            assert asked(connection, ("POST", "/api/train", body, "application/json")) == 202
            load(address, 300, process, list(RECIPES))  # all is loaded now
            print(f"-- warm; load of the machine {os.getloadavg()[0]:.1f}", flush=True)
            good = load(address, given.requests, process, list(RECIPES))
            state = training(address)
            print(f"the training: {state['state']}, epoch {state['epoch']}")
            good &= idle(address, given.idle, log) and state["state"] == "running"
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
