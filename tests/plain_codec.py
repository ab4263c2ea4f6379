"""A second decoder of `.dia` files without loss, by numpy and the standard library alone.

decode(file, model): bytes of a file, and of the .safetensors file of its model, -> images
"""

import json
import zlib

import numpy as np

TOTAL, REST = 1 << 24, ("flag", "hidden", "value")


def decode(content: bytes, model: bytes) -> list[np.ndarray]:
    header, chunks = read(content)
    law, found = Law(tensors_of(model)), []
    for said, coded in chunks:
        shape = said.get("shape", header["shape"])
        usual = max(1, (1 << 17) // int(np.prod(shape)))
        found.append(law.images(coded, said.get("n", usual), *shape))
    return found


def read(content: bytes) -> tuple[dict, list[tuple[dict, bytes]]]:
    assert content[:9] == b"\x89DIA\r\n\x1a\n\x01"
    number = lambda at: int.from_bytes(content[at : at + 4], "little")  # noqa: E731
    at = 13 + number(9)
    header, chunks = json.loads(content[13:at]), []
    assert zlib.crc32(content[13:at]) == number(at)
    at += 4
    while at < len(content):
        size, words, check = number(at), number(at + 4), number(at + 8)
        middle, end = at + 12 + words, at + 12 + words + size
        whole = len(chunks).to_bytes(4, "little") + content[at : at + 8] + content[at + 12 : end]
        assert zlib.crc32(whole) == check
        said = json.loads(zlib.decompress(content[at + 12 : middle])) if words else {}
        chunks.append((said, content[middle:end]))
        at = end
    return header, chunks


def tensors_of(model: bytes) -> dict[str, np.ndarray]:
    """The law's tensors in a .safetensors file."""
    start = 8 + int.from_bytes(model[:8], "little")
    found, prefix = {}, "decoder.1.law."
    for name, item in json.loads(model[8:start]).items():
        if name.startswith(prefix):
            begin, end = (start + offset for offset in item["data_offsets"])
            kind = {"F16": "<f2", "F32": "<f4", "U8": "u1"}[item["dtype"]]
            values = np.frombuffer(model[begin:end], kind).reshape(item["shape"])
            found[name.removeprefix(prefix)] = values.astype(np.float64)
    return found


class Law:
    def __init__(self, t: dict[str, np.ndarray]) -> None:
        self.table = t["table"]
        self.first = t["first.weight"][:, :-1] * 32 / 256  # the last is of a hint, and 0
        names = sorted(name[:-7] for name in t if name.startswith("blocks") and "weight" in name)
        self.dense = {n: (t[f"{n}.weight"], t[f"{n}.bias"] * 32) for n in [*names, *REST]}
        self.blocks = [self.dense[name] for name in names]
        self.shifts = [t[name] * 32 for name in ("channels", "rows", "columns")]
        self.channels = len(t["channels"])
        values = self.first.shape[1] // self.table.shape[1] - (self.channels - 1)
        self.reach = next(r for r in range(1, 33) if 2 * r * (r + 1) * self.channels == values)

    def images(self, coded: bytes, n: int, c: int, h: int, w: int) -> np.ndarray:
        size, reach = n if n > 1 else 4, self.reach
        coder = Coder(coded[:-size])
        padded = np.zeros((n, c, h + reach, w + 2 * reach), np.int64)
        steps: dict[int, list[tuple[int, int]]] = {}
        for row, column in np.ndindex(h, w):
            steps.setdefault(row * (reach + 1) + column, []).append((row, column))
        for step in sorted(steps):
            for channel in range(c):
                at = [(i, row, column) for i in range(n) for row, column in steps[step]]
                last = self.last(padded, at, channel)
                flag = dense(last, self.dense["flag"])
                there = coder.take(tables(np.concatenate([0 * flag, flag], 1)))
                some = np.flatnonzero(there)
                hidden = np.clip(dense(last[some], self.dense["hidden"]), 0, 255)
                values = coder.take(tables(dense(hidden, self.dense["value"])))
                for k, value in zip(some, values, strict=True):
                    i, row, column = at[k]
                    padded[i, channel, row + reach, column + reach] = value + 1
        images = padded[:, :, reach:, reach:-reach].astype(np.uint8)
        assert (coder.state, coder.words) == (0, [])
        sums = [zlib.crc32(image.tobytes()) for image in images]
        width = size // n
        wanted = b"".join((s % 256**width).to_bytes(width, "little") for s in sums)
        assert coded[-size:] == wanted
        return images

    def last(self, padded: np.ndarray, at: list, channel: int) -> np.ndarray:
        reach, near = self.reach, []
        for i, row, column in at:
            window = padded[i, :, row : row + reach + 1, column : column + 2 * reach + 1]
            values = window.reshape(self.channels, -1)[:, : -reach - 1].ravel()
            here = padded[i, :-1, row + reach, column + reach].copy()
            here[channel:] = 0
            near.append(np.concatenate([values, here]))
        seen = self.table[np.array(near)].reshape(len(at), -1)
        channels, rows, columns = self.shifts
        places = np.array(at)
        h = np.rint(seen @ self.first.T) + channels[channel]
        h += rows[places[:, 1]] + columns[places[:, 2]]
        for block in self.blocks:
            h += dense(np.clip(h, 0, 255), block)
        return np.clip(h, 0, 255)


def dense(x: np.ndarray, layer: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return np.rint(x @ layer[0].T) + layer[1]


def powers() -> np.ndarray:
    found = [TOTAL << 40]
    while found[-1] >> 40:
        found.append(found[-1] * 1065683211334 >> 40)
    return np.array([value >> 40 for value in found], np.float64)


def tables(logits: np.ndarray) -> np.ndarray:
    exp, top = powers(), logits.max(1, keepdims=True, initial=-1e9)
    weights = exp[np.minimum(top - logits, len(exp) - 1).astype(int)]
    free = TOTAL - logits.shape[1]
    found = np.floor(weights * (free / weights.sum(1, keepdims=True))) + 1
    found[np.arange(len(found)), logits.argmax(1)] += TOTAL - found.sum(1)
    return found.astype(np.int64)


class Coder:
    """J. Duda's range variant of asymmetric numeral systems: words of 32 bits, a state of 64."""

    def __init__(self, content: bytes) -> None:
        self.words = [int(word) for word in np.frombuffer(content, "<u4")]
        self.state = 0
        while self.words and self.state < 1 << 32:
            self.state = self.state << 32 | self.words.pop()

    def take(self, frequencies: np.ndarray) -> np.ndarray:
        found = np.empty(len(frequencies), np.int64)
        for k, row in enumerate(frequencies):
            ends, low = np.cumsum(row), self.state % TOTAL
            found[k] = symbol = int(np.searchsorted(ends, low, side="right"))
            first = int(ends[symbol] - row[symbol])
            self.state = (self.state >> 24) * int(row[symbol]) + low - first
            if self.state < 1 << 32 and self.words:
                self.state = self.state << 32 | self.words.pop()
        return found
