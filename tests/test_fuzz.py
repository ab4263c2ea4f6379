"""Model files that are broken, by chance or by malice: each is the same model, or is refused.

A worker reads them one by one, under a limit of its memory (twice the file, and `ALLOWANCE` for
Python's own objects) and of its time. A failure names the kind, the base file and the number of
the mutation, which make it again. `make stress` runs the long form.
"""

import contextlib
import copy
import hashlib
import io
import json
import math
import multiprocessing
import os
import random
import shutil
import signal
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import limited

from diabolo import VAE, AnomalyDetector, Autoencoder, cli, load, store
from diabolo.corruption import GaussianNoise
from diabolo.data.mnist import read_split
from diabolo.errors import InputError

SECONDS = 2.0  # of the processor, for everything that is done with a file
RUN = 500  # mutations in a worker
FILES = Path(__file__).parent / "files"

# ---- values


class Raw:
    """JSON that `json.dumps` would not write."""

    def __init__(self, text):
        self.text = text


RAW = {
    f"<raw {number}>": text
    for number, text in enumerate(
        [
            *("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e-999", "-0", "1.0", "1e2"),
            *("9" * 400, "9" * 4300, "9" * 5000, "0.1" + "1" * 9999, '"\\ud800"', '"\\u0000\\n"'),
            *("[" * n + "]" * n for n in (60, 150, 300, 490, 960, 5000)),
            *('{"a":' * n + "0" + "}" * n for n in (60, 300, 960, 5000)),
            *('{"model":' * n + "0" + "}" * n for n in (60, 300)),
            '"' + "x" * 100_000 + '"',
            "[" + "0," * 20_000 + "0]",
            "[" + "[]," * 20_000 + "[]]",
            "{" + ",".join(f'"{n}":[]' for n in range(5000)) + "}",
        ]
    )
}
ODD = [
    *(None, True, False, 0, 1, -1, 2, 3, 5, 0.5, -2.5, "", "x", "none", "2", "1", [], {}, [0]),
    *([1], [-1], ["x"], [[]], {"x": 1}, [7, 7, 7], [1, 2, 3, 4], [1, 10**6], [10**6] * 3),
    *(10**6, 10**9, 10**12, 2**31, 2**40, 2**62, 2**63 - 1, 2**63, 2**64, 10**18, 10**300),
    *([1] * 3000, [10**6] * 300, [2**39] * 300, {"kind": "masking", "p": 0.5}, "ä", "\U0001f600"),
    *("float32", "F64", "U8", "BF16", "BOOL", "C64", "VAE", "Autoencoder", "conv", "subpixel"),
    "residual",
    *RAW,
]
CONFIG = {  # what an attacker would try first
    "latent_dim": ["none", 10**9, 2**62, 1],
    "hidden": [[10**9], [2**62, 2**62], [1] * 3000, [10**6] * 100_000, [], "none"],
    "image_shape": [[10**6] * 3, [1, 1, 1], [1, 2**40, 2**40], "none", [6, 1, 1], [1, 8, 8]],
    "sample_shape": [[10**6] * 3, [2**62], [1, 6], [6, 1], [1, 1, 6], [8, 8], [784], [2**31] * 3],
    "network": ["dense", "conv", "subpixel", "residual"],
    "activation": ["relu", "leaky_relu", "elu", "gelu", "softplus", "tanh", "sigmoid", "identity"],
    "code_activation": ["sigmoid", "softplus"],
    "output_activation": ["tanh", "identity", "sigmoid"],
    "scaling": ["symmetric", "standard", "none", "unit"],
    "likelihood": ["bernoulli", "mse", "bce"],
    "kind": ["VAE", "Autoencoder", "Estimator", "LatentSampler"],
    "dtype": ["bool", "uint8", "uint16", "float32", "float64"],
    "corruption": ["none", {"kind": "masking", "p": 9}, {"kind": "salt-and-pepper", "p": 0.1}],
    "device": ["cuda:99", "meta", "auto", "cuda"],
    "custom_network": [True],
    "seed": [10**30],
    "random_state": [2**63 - 1, 2**64],
    "beta": [0.0, 1e300],
    "false_alarm_rate": [0.0, 1.0, 1e-300, 0.5, "x"],
    "criterion": ["reconstruction", "latent", "combined", "elbo", "x" * 900],
    "prefit": [True, False],
}


def written(tree):
    """A tree as JSON, its `RAW` entries as they are."""
    text = json.dumps(tree, separators=(",", ":"))
    for name, raw in RAW.items():
        text = text.replace(f'"{name}"', raw)
    return text


def places(tree):
    """Every place in a tree: what holds it, and its key there."""
    found, left = [], [tree]
    while left:
        node = left.pop()
        inside = list(node) if isinstance(node, dict) else range(len(node))
        found += [(node, key) for key in inside]
        left += [node[key] for key in inside if isinstance(node[key], dict | list)]
    return found


def odd(draw):
    """A value that has no place there, which no later edit shares."""
    return copy.deepcopy(draw.choice(ODD))


def edit(draw, tree):
    """Change a tree at one place."""
    node, key = draw.choice(places(tree))
    kind = draw.randrange(8)
    if kind == 0:
        del node[key]
    elif kind == 1 and isinstance(node, dict):
        node[draw.choice([key + "x", "", "x", "model", "__metadata__", *RAW])] = odd(draw)
    elif kind == 1:
        node.insert(key, odd(draw))
    elif kind == 2:
        other, there = draw.choice(places(tree))
        node[key] = json.loads(json.dumps(other[there]))
    elif kind == 3 and type(node[key]) in (int, float):
        node[key] = draw.choice([-1, 2, 0.5, 10**6, 10**12]) * node[key]
    elif kind == 4 and type(node[key]) in (int, float):
        node[key] += draw.choice([-8, -4, -1, 1, 4, 8])
    else:
        node[key] = odd(draw)


# ---- files


def parts(content):
    """A file's header and its tensors."""
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def joined(header, data):
    text = header if isinstance(header, bytes) else written(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry_of(header):
    return json.loads(header["__metadata__"][store.ENTRY])


def signed(entry, header, data):
    """A file whose checksums are right, whatever is in it; `entry` has its config."""
    config = written(entry.get("config"))
    sums = {"config": "", "tensors": ""}
    with contextlib.suppress(ValueError, RecursionError):
        sums["config"] = store._sum(store._canonical(json.loads(config)))
    with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
        sums["tensors"] = _sum_of_tensors(header, data)
    if entry.get("format") == 1:
        entry = {"format": 1} | entry["config"]
    else:
        entry = entry | {"sha256": sums}
    return joined(header | {"__metadata__": {store.ENTRY: written(entry)}}, data)


def _sum_of_tensors(header, data):
    total = hashlib.sha256()
    for name, item in sorted(header.items()):
        if name != "__metadata__":
            start, end = item["data_offsets"]
            kind = store.TYPES[item["dtype"]][0]
            total.update(f"{name!r} torch.{kind} {list(item['shape'])} ".encode())
            total.update(data[start:end])
    return total.hexdigest()


def unsigned(content):
    """The entry (with its config in one place, of format 1 too), the header and the tensors."""
    header, data = parts(content)
    entry = entry_of(header)
    if entry["format"] == 1:
        config = {name: value for name, value in entry.items() if name != "format"}
        entry = {"format": 1, "config": config}
    return entry, header, data


# ---- mutations without the checksums: the same model, or refused


def cut(draw, content):
    return content[: draw.choice([draw.randrange(len(content)), len(content) - 1])]


def bits(draw, content, first=0, last=None):
    changed = bytearray(content)
    for _ in range(draw.choice([1, 1, 1, 2, 8, 64])):
        changed[draw.randrange(first, last or len(content))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def bits_of_the_header(draw, content):
    return bits(draw, content, last=8 + int.from_bytes(content[:8], "little"))


def bits_of_the_tensors(draw, content):
    return bits(draw, content, first=8 + int.from_bytes(content[:8], "little"))


def bytes_moved(draw, content):
    """Bytes put in, left out, or there twice."""
    header = 8 + int.from_bytes(content[:8], "little")
    at = draw.randrange(draw.choice([header, len(content)]))
    size = draw.choice([1, 1, 2, 8, 100])
    new = draw.choice([draw.randbytes(size), b"[" * size, b'"' * size, b"9" * size])
    middle, rest = draw.choice(
        [(new, at), (b"", at + size), (content[at : at + size], at), (new, at + size)]
    )
    changed = content[:at] + middle + content[rest:]
    length = header - 8 + len(changed) - len(content)
    if draw.random() < 0.5 and at >= 8 and length > 0:  # a header of the right length
        changed = length.to_bytes(8, "little") + changed[8:]
    return changed


def length(draw, content):
    size = int.from_bytes(content[:8], "little")
    absurd = [0, 1, 2, 2**24, 2**24 + 1, 2**31, 2**32, 2**62, 2**63, 2**64 - 1, len(content)]
    near = [size - 1, size + 1, size - 8, size + 8, len(content) - 8, len(content) - 7]
    return draw.choice(absurd + near).to_bytes(8, "little") + content[8:]


def header(draw, content):
    changed, data = parts(content)
    for _ in range(draw.choice([1, 1, 2, 5])):
        edit(draw, changed)
    return joined(changed, data)


def tensor_entry(draw, content):
    header, data = parts(content)
    change_a_tensor(draw, header)
    return joined(header, data)


def change_a_tensor(draw, changed):
    """Change the entry of a tensor in a header."""
    names = [name for name in changed if name != "__metadata__"]
    name, other = draw.choice(names), draw.choice(names)
    item = changed[name]
    kind = draw.randrange(8)
    if kind == 0:
        item["data_offsets"] = changed[other]["data_offsets"]
    elif kind == 1:
        item["data_offsets"] = [n + draw.choice([-8, -4, -1, 1, 4]) for n in item["data_offsets"]]
    elif kind == 2:
        item["dtype"] = draw.choice([*store.TYPES, "C64", "", None, 3, []])
    elif kind == 3:
        shape = item["shape"]
        like = [[f(n) for n in shape] for f in (float, str, bool, lambda n: -n)]
        item["shape"] = draw.choice([shape[::-1], [], "", {}, [1, *shape], None, *like])
    elif kind == 4:
        changed[name], changed[other] = changed[other], changed[name]
    elif kind == 5:
        changed[draw.choice(["", "x", "training x", "best x", "ä"])] = changed.pop(name)
    elif kind == 6:
        empty = {"dtype": "F32", "shape": [0] * draw.choice([1, 2, 70]), "data_offsets": [0, 0]}
        changed[draw.choice(["x", "training x", "best x"])] = empty
    else:
        edit(draw, item)


def names_twice(draw, content):
    header, data = parts(content)
    name = draw.choice(list(header))
    first = f"{{{json.dumps(name)}:{written(draw.choice([header[name], *ODD]))},"
    return joined(first.encode() + written(header).encode()[1:], data)


def metadata(draw, content):
    header, data = parts(content)
    kind = draw.randrange(4)
    if kind == 0:
        header["__metadata__"] = draw.choice(ODD)
    elif kind == 1:
        header["__metadata__"][draw.choice(["x", "", "Diabolo"])] = draw.choice(ODD)
    elif kind == 2:
        header["__metadata__"][store.ENTRY] = draw.choice([*ODD, *map(written, ODD)])
    else:
        entry = entry_of(header)
        entry[draw.choice(["format", "sha256", "config", "x"])] = draw.choice(ODD)
        header["__metadata__"][store.ENTRY] = written(entry)
    return joined(header, data)


def config(draw, content):
    header, data = parts(content)
    entry = entry_of(header)
    for _ in range(draw.choice([1, 1, 2, 5])):
        edit(draw, entry)
    header["__metadata__"][store.ENTRY] = written(entry)
    return joined(header, data)


# ---- mutations with the checksums: any model, or refused


def signed_config(draw, content):
    entry, header, data = unsigned(content)
    for _ in range(draw.choice([1, 1, 2, 5])):
        edit(draw, entry["config"])
    return signed(entry, header, data)


def signed_model(draw, content):
    entry, header, data = unsigned(content)
    config = entry["config"]
    for name in draw.sample(list(CONFIG), draw.choice([1, 1, 2, 3])):
        for holder in (config, config["model"], config.get("detector") or {}):
            if name in holder and (name != "image_shape" or draw.random() < 0.7):
                holder[name] = draw.choice([*CONFIG[name], draw.choice(ODD)])
    if draw.random() < 0.2:
        edit(draw, config["layers"])
    return signed(entry, header, data)


def signed_tensors(draw, content):
    entry, header, data = unsigned(content)
    change_a_tensor(draw, header)
    if draw.random() < 0.5:
        data = refilled(draw, header, data)
    return signed(entry, header, data)


def refilled(draw, header, data):
    """Numbers of one tensor that are none, or zero, or any."""
    changed = bytearray(data)
    for item in draw.sample(list(header.values()), min(2, len(header))):
        with contextlib.suppress(KeyError, TypeError, ValueError):
            start, end = item["data_offsets"]
            nan, infinity = b"\0\0\xc0\x7f", b"\0\0\x80\x7f"
            number = draw.choice([nan, infinity, bytes(4), draw.randbytes(4)])
            changed[start:end] = (number * len(data))[: end - start]
    return bytes(changed[: len(data)])


def signed_whole(draw, content):
    """Other tensors of the right sizes: each as large as it says."""
    entry, header, data = unsigned(content)
    items = {n: i for n, i in header.items() if n != "__metadata__"}
    name = draw.choice(list(items))
    shape = items[name]["shape"]
    usual = [[], [0], [1], shape[::-1], [*shape, 1], [2, 2]]
    new = draw.choice([*usual, [1] * 80, [0, 2**39, 2**39]])
    kind, bytes_ = draw.choice([("F32", 4), ("F64", 8), ("BF16", 2), ("BOOL", 1), ("I64", 8)])
    changed, filled = {}, b""
    for other, item in items.items():
        start, ours = len(filled), other == name
        size = bytes_ * math.prod(new)
        filled += draw.randbytes(size) if ours else data[slice(*item["data_offsets"])]
        changed[other] = (item | {"dtype": kind, "shape": new}) if ours else item
        changed[other] = changed[other] | {"data_offsets": [start, len(filled)]}
    return signed(entry, changed, filled)


PLAIN = {
    "cut off": cut,
    "bits": bits,
    "bits of the header": bits_of_the_header,
    "bits of the tensors": bits_of_the_tensors,
    "bytes moved": bytes_moved,
    "length": length,
    "header": header,
    "tensor entry": tensor_entry,
    "names twice": names_twice,
    "metadata": metadata,
    "config": config,
}
SIGNED = {
    "signed config": signed_config,
    "signed model": signed_model,
    "signed tensors": signed_tensors,
    "signed whole": signed_whole,
}
MUTATIONS = PLAIN | SIGNED


# ---- files that ask for more than they are


def bare(config=None, header=None, data=b""):
    """A file of a small dense model, with other entries in its config or its header."""
    entry, old, tensors = unsigned((FILES / "format-1.safetensors").read_bytes())
    entry = {"format": 2, "config": entry["config"] | (config or {})}
    return signed(entry, old | (header or {}), tensors + data)


def many(n, text, ends="[]"):
    """JSON with n times a text."""
    return Raw(ends[0] + ",".join(text.replace("#", str(i)) for i in range(n)) + ends[1])


def inside(name, value):
    """JSON of an object with one entry."""
    return Raw(f'{{"{name}":{value.text}}}')


def with_raw(value, **where):
    """A file with a `Raw` in its config."""
    RAW["<raw greedy>"] = value.text
    try:
        nested = {"model": _model() | where["model"]} if "model" in where else where["config"]
        return bare(config=nested)
    finally:
        del RAW["<raw greedy>"]


def _model():
    return unsigned((FILES / "format-1.safetensors").read_bytes())[0]["config"]["model"]


def entry_with(name, value):
    return with_raw(value, config={name: "<raw greedy>"})


def parameter(name, value):
    return with_raw(value, model={name: "<raw greedy>"})


EMPTY = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}


def deep_and_wide(layers):
    """A network of very many layers, with a tensor without numbers for each."""
    tensors = {str(n): EMPTY for n in range(2 * layers)}
    return bare(config={"model": _model() | {"hidden": [1] * layers}}, header=tensors)


def a_shape(text):
    item = f'{{"dtype":"F32","shape":{text},"data_offsets":[0,0]}}'
    header = f'{{"__metadata__":{{"diabolo":"{{\\"format\\":2}}"}},"a":{item}}}'
    return joined(header.encode(), b"")


GREEDY = {
    "a header of empty lists": lambda: joined(many(1_000_000, "[]").text.encode(), b""),
    "a header of small objects": lambda: joined(many(300_000, '{"":1.5}').text.encode(), b""),
    "a header of other letters": lambda: joined(f'["\U0001f600{"x" * 10**7}"]'.encode(), b""),
    "a header of UTF-32": lambda: joined(many(2 * 10**5, "[]").text.encode("utf-32"), b""),
    "metadata of empty lists": lambda: entry_with("metrics", many(3 * 10**5, "[]")),
    "escaped lists": lambda: joined(
        b'{"__metadata__":{"diabolo":"[' + rb"\u005b\u005d," * 10**5 * 6 + b'0]"}}', b""
    ),
    "metrics of objects": lambda: entry_with("metrics", many(100_000, '"#":{"a":[]}', "{}")),
    "wrong names": lambda: entry_with("feature_names", many(2 * 10**5, "0")),
    "wrong columns": lambda: entry_with("columns", many(10**5, "0")),
    "a wrong history": lambda: entry_with("history", inside("loss", many(3 * 10**5, "{}"))),
    "many histories": lambda: entry_with("history", many(10**5, '"#":0', "{}")),
    "wrong data": lambda: entry_with("data", many(10**5, '"#":[]', "{}")),
    "wrong versions": lambda: entry_with("versions", many(10**5, '"#":1', "{}")),
    "wrong findings": lambda: entry_with("findings", many(10**5, "[0,0,0]")),
    "wrong layers": lambda: entry_with("layers", many(10**5, "0")),
    "a long name of a layer": lambda: entry_with(
        "layers",
        Raw(
            f'[{{"part":"","name":"{"x" * 10**6}","shape":[],"parameters":0}}'
            + ',{"part":"","name":"","shape":[],"parameters":0}' * 2000
            + "]"
        ),
    ),
    "a long shape of a sample": lambda: entry_with("sample_shape", many(5 * 10**5, "1")),
    "many hidden layers": lambda: parameter("hidden", many(5 * 10**5, "1")),
    "wrong hidden layers": lambda: parameter("hidden", many(2 * 10**5, '"x"')),
    "a parameter of long words": lambda: parameter("hidden", many(900, f'"{"x" * 900}"')),
    "a deep parameter": lambda: parameter("hidden", Raw("[" * 400 + "]" * 400)),
    "a long parameter": lambda: parameter("activation", Raw('"' + "x" * 10**7 + '"')),
    "many parameters": lambda: parameter("corruption", many(10**5, '"#":0', "{}")),
    "many layers": lambda: deep_and_wide(4000),
    "very many layers": lambda: deep_and_wide(20_000),
    "many dimensions": lambda: a_shape(many(10**6, str(2**39)).text),
    "many dimensions, fewer": lambda: a_shape(many(250_000, str(2**39)).text),
    "dimensions of one": lambda: a_shape(many(10**6, "1").text),
    "a text for a shape": lambda: bare(header={"x": EMPTY | {"shape": ""}}),
    "an object for a shape": lambda: bare(header={"x": EMPTY | {"shape": {"0": 0}}}),
    "a float in a shape": lambda: bare(header={"x": EMPTY | {"shape": [0.0]}}),
    "many numbers, fewer": lambda: entry_with("metrics", inside("", many(300_000, "1.#"))),
    "many words, fewer": lambda: entry_with("columns", many(150_000, '"#x"')),
    "many layers of the table": lambda: entry_with("layers", many(15_000, '{"name":[]}')),
    "many lists, fewer": lambda: entry_with("metrics", inside("", many(40_000, "[]"))),
    "many objects, fewer": lambda: entry_with("layers", many(30_000, '{"":0}')),
    "many objects": lambda: entry_with("layers", many(80_000, '{"":0}')),
    "many tensors": lambda: bare(header={str(n): EMPTY for n in range(8000)}),
    "tensors in one place": lambda: bare(
        header={
            f"training {n}": {"dtype": "U8", "shape": [10**6], "data_offsets": [0, 10**6]}
            for n in range(100)
        },
        data=bytes(10**6),
    ),
    "as many layers as there may be": lambda: deep_and_wide(1000),
    "a long name": lambda: joined(
        b'{"__metadata__":{"diabolo":"{}"},"' + b"\x7f" * 10**7
        + b'":{"dtype":"F32","shape":[1],"data_offsets":[0,0]}}',
        b"",
    ),
}  # fmt: skip


# ---- the worker


class Base:
    """A whole file, and what its model answers."""

    def __init__(self, path):
        self.content = path.read_bytes()
        model = load(path, device="cpu")
        self.config, self.state = store.read_config(path), state(model)

    def is_same(self, model):
        return state(model) == self.state


def inputs(model):
    """Five samples of the kind of a model or detector; None where one alone would be large."""
    model = getattr(model, "model_", model)
    shape = model.sample_shape_
    if math.prod(shape) > 10**5:
        return None
    x = np.random.default_rng(0).random((5, *shape))
    scale = {"uint8": 255, "uint16": 65535}.get(model.dtype_, 1)
    x = x > 0.5 if model.dtype_ == "bool" else (x * scale).astype(model.dtype_)
    names = getattr(model, "feature_names_in_", None)
    return x if names is None else pd.DataFrame(x, columns=names)


def used(loaded):
    """What a model or a detector makes of samples."""
    x = inputs(loaded)
    if x is None:
        return []
    if not isinstance(loaded, AnomalyDetector):
        return [loaded.transform(x)]
    return [loaded.score_samples(x), loaded.predict(x), loaded.p_values(x), loaded.errors(x)]


def state(loaded):
    """All that can be seen of a model or a detector."""
    arrays, model = used(loaded), loaded
    if isinstance(loaded, AnomalyDetector):
        model = loaded.model_
        learnt = [
            loaded.calibration_scores_,
            *(t.numpy() for t in loaded.members_[0].learnt.values()),
        ]
        arrays += [*learnt, np.array(loaded.offset_), np.array(str(loaded.fitted_config_))]
    arrays += [t.numpy() for t in model.net_.state_dict().values()]
    arrays += [model.step_loss_, model.code_range_]
    return [a.tobytes() for a in arrays], model.history_, model.fitted_config_, model.columns_


def read(function, path):
    """What a function makes of a file, or None where it refuses it."""
    try:
        with limited(path.stat().st_size):
            return function(path)
    except InputError as error:
        refusal = error
    message, reason = str(refusal), repr(refusal.__context__)
    assert message.isprintable(), f"more than a line: {message!r:.200}"
    assert len(message) < 2000, f"a message of {len(message)} letters"
    assert "memory" not in reason.lower(), reason
    return None


def summary(path):
    """The exit status of `diabolo summary`."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors=e) for e in (None, "replace"))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        return cli.main(["summary", str(path)])


def outcome(path, base, exact, commands):
    """What became of a file; raises where it is not what it must be."""
    config = read(store.read_config, path)
    if exact:
        assert config in (None, base.config), "another config"
    model = read(partial(load, device="cpu"), path)
    if commands:
        with limited(path.stat().st_size):
            assert summary(path) in (0, 2)
    if model is None:
        return "refused"
    same = base is not None and base.is_same(model)
    assert same or not exact, "another model"
    used(model)
    return "the same" if same else "another"


def mutated(kind, name, number, bases):
    if kind == "greedy":
        return GREEDY[name]()
    return MUTATIONS[kind](random.Random(f"{kind} {name} {number}"), bases[name].content)


def worker(folder, jobs):
    """Read the files of jobs (kind, base, number), and note in a log what became of each."""
    os.chdir(folder / "empty")
    path = folder / "mutated" / "model.safetensors"
    names = {name for kind, name, _ in jobs if kind != "greedy"}
    bases = {name: Base(folder / "bases" / name) for name in names}
    for base in sorted((folder / "bases").iterdir()):
        summary(base)
        outcome(base, None, False, True)  # nothing is loaded for the first time later
    with (folder / "log").open("w") as log:
        for kind, name, number in jobs:
            print(json.dumps([kind, name, number]), end="\t", file=log, flush=True)
            path.write_bytes(b"")
            exact = kind in PLAIN and not name.startswith("format-1")
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            try:
                path.write_bytes(mutated(kind, name, number, bases))
                became = outcome(path, bases.get(name), exact, kind == "greedy" or number % 4 == 0)
            except BaseException as error:
                became = f"WRONG {error!r:.300}".replace("\n", " ")
            signal.setitimer(signal.ITIMER_PROF, 0)
            if [p.name for p in path.parent.iterdir()] != [path.name] or any(Path().iterdir()):
                became = "WRONG: a file is written"
            print(became, file=log, flush=True)


def work(folder, jobs):
    """What became of each job; a worker that ends before its last has failed in it."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__])
    for part in ("empty", "mutated"):
        shutil.rmtree(folder / part, ignore_errors=True)
        (folder / part).mkdir()
    (folder / "log").unlink(missing_ok=True)
    child = processes.Process(target=worker, args=(folder, jobs))
    child.start()
    child.join(300)
    if child.is_alive():  # it waits for something, without the processor
        child.kill()
        child.join()
    lines = (folder / "log").read_text().splitlines() if (folder / "log").exists() else []
    found = [line.split("\t") for line in lines]
    if child.exitcode != 0:
        assert found, f"the worker ended with {child.exitcode} before its first file"
        found[-1][1:] = [f"WRONG: the worker ended with {child.exitcode} ({SECONDS} s: -27)"]
        rest = jobs[len(found) :]
        return [tuple(line) for line in found] + (work(folder, rest) if rest else [])
    return [tuple(line) for line in found]


def check(folder, jobs):
    """Run the jobs; the counts of what became of the files of each kind."""
    found = [line for at in range(0, len(jobs), RUN) for line in work(folder, jobs[at : at + RUN])]
    wrong = [" ".join(line) for line in found if line[1].startswith("WRONG")]
    assert not wrong, f"{len(wrong)} of {len(jobs)}:\n" + "\n".join(wrong[:40])
    assert len(found) == len(jobs)
    return Counter((json.loads(job)[0], became) for job, became in found)


# ---- the tests


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the whole files that are mutated."""
    folder = tmp_path_factory.mktemp("fuzz")
    common = {"epochs": 2, "batch_size": 16, "random_state": 0, "device": "cpu"}
    x = np.random.default_rng(0).random((40, 6), dtype=np.float32)
    digits = read_split("test")[0][:64]
    noise = GaussianNoise(0.1)
    dense = Autoencoder(latent_dim=2, hidden=(3,), corruption=noise, **common).fit(x)
    dense.save(folder / "bases" / "dense")
    VAE(network="conv", hidden=(2, 3), latent_dim=2, **common).fit(digits[:, ::4, ::4]).save(
        folder / "bases" / "conv"
    )
    table = Autoencoder(latent_dim=None, hidden=(4, 2), scaling="standard", **common)
    table.fit(pd.DataFrame(x, columns=list("abcdef")))
    table.fitted_ = replace(table.fitted_, columns=list("abcdef"))
    table.save(folder / "bases" / "table")
    detector = AnomalyDetector(dense, criterion="combined", random_state=0)
    detector.fit(x).save(folder / "bases" / "detector")
    VAE(latent_dim=2, hidden=(4,), corruption=noise, **common).fit(x, checkpoint=folder / "kept")
    shutil.copy(folder / "kept" / store.CHECKPOINT, folder / "bases" / "checkpoint")
    for name, units in (("400 kB", 64), ("3 MB", 512)):
        large = Autoencoder(latent_dim=8, hidden=(units,), **common).fit(digits)
        large.save(folder / "bases" / name)
    shutil.copy(FILES / "format-1.safetensors", folder / "bases")
    return folder


SOME = ("dense", "detector", "checkpoint", "3 MB")  # the other bases are mutated under stress


def jobs(folder, each):
    """`each` mutations of every kind, for every base; of the large ones a tenth."""
    return [
        (kind, base.name, number)
        for base in sorted((folder / "bases").iterdir())
        for kind in MUTATIONS
        for number in range(each if base.stat().st_size < 10**5 else math.ceil(each / 10))
    ]


def test_a_mutated_file_is_the_same_model_or_is_refused(folder):
    """So is one that asks for more memory than it is large, a "greedy" one."""
    greedy = [("greedy", name, 0) for name in list(GREEDY)[::24]]
    some = [job for job in jobs(folder, 1) if job[1] in SOME]
    counts = check(folder, some + greedy)
    assert {became for _, became in counts} >= {"refused", "the same"}


@pytest.mark.stress
def test_all_files_that_ask_for_more_than_they_are(folder):
    counts = check(folder, [("greedy", name, 0) for name in GREEDY])
    assert counts["greedy", "refused"] > 0.8 * len(GREEDY)


@pytest.mark.stress
def test_twenty_thousand_mutated_files(folder, capsys):
    every = jobs(folder, 260)
    assert len(every) >= 20_000
    counts = check(folder, every)
    with capsys.disabled():
        print(f"\n{len(every)} mutated files")
        for kind in MUTATIONS:
            became = {word: n for (of, word), n in sorted(counts.items()) if of == kind}
            print(f"{kind:20}", ", ".join(f"{n} {word}" for word, n in became.items()))
