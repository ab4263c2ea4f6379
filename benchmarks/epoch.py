"""Seconds per epoch of the dense recipes, beside a plain PyTorch loop and the products alone.

For each recipe, in turn and repeatedly: our training; the article's loop as one writes it in
PyTorch with the data in memory; and the floor, the matrix products of the same steps with
`torch.mm(out=)`, forward and backward. Prints medians and ratios of one run, and writes them to
`build/epoch.json`. Run it with nothing else on the machine.
"""

import argparse
import json
import statistics
import time
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn

from diabolo import recipes
from diabolo.data import load_mnist
from diabolo.models import MODELS
from diabolo.params import from_config

RECIPES = ("ae-36", "ae-32", "dae-32", "dae-64")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    x = load_mnist()[0][0]
    table = {}
    for name in RECIPES:
        model = recipes.read(name).model
        seconds: dict[str, list[float]] = {"ours": [], "plain": [], "floor": []}
        for _ in range(rounds):
            seconds["ours"].append(ours(model, x))
            seconds["plain"].append(plain(model, x))
            seconds["floor"].append(floor(model, len(x)))
        table[name] = {way: statistics.median(values) for way, values in seconds.items()}
        ratios = {way: table[name][way] / table[name]["floor"] for way in ("ours", "plain")}
        print(
            f"{name:8}  ours {table[name]['ours']:6.3f} s = {ratios['ours']:.2f} x floor"
            f"   plain loop {table[name]['plain']:6.3f} s = {ratios['plain']:.2f} x floor",
            flush=True,
        )
    out = Path("build") / "epoch.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps({"threads": torch.get_num_threads(), "seconds": table}, indent=2))
    print(out)


def ours(model, x) -> float:
    """The better of two epochs of our training."""
    fitted = from_config(model | {"epochs": 2, "random_state": 0}, MODELS).fit(x)
    return min(fitted.history_["seconds"])


def sizes(model) -> list[int]:
    half = [784, *model["hidden"], model["latent_dim"]]
    return half + half[-2::-1]


def plain(model, x) -> float:
    """An epoch of the article's loop, in memory."""
    low, high = (-1, 1) if model["scaling"] == "symmetric" else (0, 1)
    data = torch.from_numpy(x.copy()).flatten(1).float() / 255 * (high - low) + low
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes(model)):
        layers += [nn.Linear(before, after), nn.ReLU()]
    last = nn.Tanh() if low else nn.Sigmoid()
    network = nn.Sequential(*layers[:-1], last)
    loss = nn.BCELoss() if model["likelihood"] == "bernoulli" else nn.MSELoss()
    optimizer = torch.optim.Adam(network.parameters())
    start = time.perf_counter()
    for index in torch.randperm(len(data)).split(model["batch_size"]):
        batch = noisy = data[index]
        if "corruption" in model:
            noisy = torch.clamp(batch + 0.5 * torch.randn(batch.shape), low, high)
        value = loss(network(noisy), batch)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return time.perf_counter() - start


def floor(model, samples: int) -> float:
    """The matrix products of an epoch's steps, and nothing else."""
    rows = model["batch_size"]
    products = []
    for i, (before, after) in enumerate(pairwise(sizes(model))):
        x, w, dy = torch.randn(rows, before), torch.randn(after, before), torch.randn(rows, after)
        products.append((x, w.t(), torch.empty(rows, after)))
        products.append((dy.t(), x, torch.empty(after, before)))
        if i:
            products.append((dy, w, torch.empty(rows, before)))
    start = time.perf_counter()
    for _ in range(-(-samples // rows)):
        for a, b, out in products:
            torch.mm(a, b, out=out)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
