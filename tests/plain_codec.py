"""A second decoder of `.dia` files without loss, by numpy and the standard library alone."""

import itertools
import json
import zlib

import numpy as np

TOTAL, REST = 1 << 24, ("flag", "hidden", "value")
POWERS = [TOTAL << 40]  # of exp(-1/32)
while POWERS[-1] >> 40:
    POWERS.append(POWERS[-1] * 1065683211334 >> 40)


def decode(content: bytes, model: bytes) -> list[np.ndarray]:
    """The images in the bytes of a file, given those of the .safetensors file of its model."""
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
        self.channels, self.guessed = len(t["channels"]), self.table.shape[1] == 4
        values = (self.first.shape[1] // self.table.shape[1] - self.guessed) // self.channels
        self.reach = next(r for r in range(1, 33) if 2 * r * (r + 1) == values)

    def images(self, coded: bytes, n: int, c: int, h: int, w: int) -> np.ndarray:
        size, reach = n if n > 1 else 4, self.reach
        coder = Coder(coded[:-size])
        padded = np.zeros((n, self.channels, h + reach, w + 2 * reach), np.int64)
        steps: dict[int, list[tuple[int, int]]] = {}
        for row, column in np.ndindex(h, w):
            steps.setdefault(row * (reach + 1) + column, []).append((row, column))
        for step, channel in itertools.product(sorted(steps), range(c)):
            at = [(i, row, column) for i in range(n) for row, column in steps[step]]
            near = np.array([self.near(padded[i], *place, channel) for i, *place in at])
            last = self.last(near, np.array(at), channel)
            flag = dense(last, self.dense["flag"])
            found = coder.take(tables(np.concatenate([0 * flag, flag], 1)))
            some = np.flatnonzero(found)
            hidden = np.clip(dense(last[some], self.dense["hidden"]), 0, 255)
            found[some] = coder.take(tables(dense(hidden, self.dense["value"]))) + 1
            if self.guessed:  # 0, 1, 2, ... is a difference to the guess of 0, -1, 1, ...
                found = (near[:, -1] + np.where(found % 2, -1 - found // 2, found // 2)) % 256
            for value, (i, row, column) in zip(found, at, strict=True):
                padded[i, channel if c > 1 else ..., row + reach, column + reach] = value
        images = padded[:, :c, reach:, reach:-reach].astype(np.uint8)
        assert (coder.state, coder.words) == (0, [])
        checks = np.array([zlib.crc32(image.tobytes()) for image in images]) % 256 ** (size // n)
        assert np.array_equal(np.frombuffer(coded[-size:], f"<u{size // n}"), checks)
        return images

    def near(self, padded: np.ndarray, row: int, column: int, channel: int) -> np.ndarray:
        side = 2 * self.reach + 1
        window = padded[:, row : row + self.reach + 1, column : column + side]
        values = window.reshape(self.channels, -1)[:, : -self.reach - 1]
        here = np.where(np.arange(self.channels) < channel, window[:, -1, self.reach], 0)
        if not self.guessed:
            return np.concatenate([values.ravel(), here[:-1]])
        west, north, corner = np.diff(values.T[[-1, -side, -side - 1]], prepend=0)
        change, guess = np.median([west, north, west + north - corner], 0).astype(int), 0 * here
        for k in range(self.channels):
            guess[k] = np.clip(change[k] + (here[k - 1] if k else 0), 0, 255)
            here[k] = here[k] if k < channel else guess[k]
        off = np.concatenate([(values - here[:, None]).ravel(), (here - guess)[:-1]])
        return np.append(np.clip(off + 128, 0, 255), guess[channel])

    def last(self, near: np.ndarray, at: np.ndarray, channel: int) -> np.ndarray:
        channels, rows, columns = self.shifts
        h = np.rint(self.table[near].reshape(len(at), -1) @ self.first.T) + channels[channel]
        h += rows[at[:, 1] % len(rows)] + columns[at[:, 2] % len(columns)]
        for block in self.blocks:
            h += dense(np.clip(h, 0, 255), block)
        return np.clip(h, 0, 255)


def dense(x: np.ndarray, layer: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return np.rint(x @ layer[0].T) + layer[1]


def tables(logits: np.ndarray) -> np.ndarray:
    exp = np.array([power >> 40 for power in POWERS], np.float64)
    top = logits.max(1, keepdims=True, initial=-1e9)
    weights = exp[np.minimum(top - logits, len(exp) - 1).astype(int)]
    found = np.floor(weights * ((TOTAL - logits.shape[1]) / weights.sum(1, keepdims=True))) + 1
    found[np.arange(len(found)), logits.argmax(1)] += TOTAL - found.sum(1)
    return found.astype(np.int64)


class Coder:
    """J. Duda's range variant of asymmetric numeral systems: words of 32 bits, a state of 64."""

    def __init__(self, content: bytes) -> None:
        self.words, self.state = [int(word) for word in np.frombuffer(content, "<u4")], 0
        while self.words and self.state < 1 << 32:
            self.state = self.state << 32 | self.words.pop()

    def take(self, frequencies: np.ndarray) -> np.ndarray:
        found = np.empty(len(frequencies), np.int64)
        for k, row in enumerate(frequencies):
            ends, low = np.cumsum(row), self.state % TOTAL
            found[k] = symbol = int(np.searchsorted(ends, low, side="right"))
            self.state = (
                (self.state >> 24) * int(row[symbol]) + low - int(ends[symbol] - row[symbol])
            )
            if self.state < 1 << 32 and self.words:
                self.state = self.state << 32 | self.words.pop()
        return found
