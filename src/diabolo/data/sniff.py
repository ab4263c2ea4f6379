"""How a table is written as text: encoding, separator, decimal mark, titles, header.

All of it is guessed from the first rows alone.
"""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from diabolo.errors import InputError

HEAD = 1 << 18  # bytes that are looked at
ROWS = 300  # lines that are looked at
SPACES = r"\s+"
SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas", SPACES: "spaces"}
ENCODINGS = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "cp932": "Shift-JIS",
    "cp949": "EUC-KR",
    "euc_jp": "EUC-JP",
    "cp1252": "Windows-1252",
}
NUMBER = re.compile(r"[+\-\u2212]?(\d[\d.,' \u00a0\u202f]*|[.,]\d+)([eE][+-]?\d+)?")
DATE = re.compile(r"\d{1,4}\s?[-/.年년]\s?\d{1,2}\s?[-/.月월]\s?\d{1,4}.*")
PADDED = re.compile(r"0\d+")
_MINUS, _SPACES = "\u2212", "\u00a0\u202f"  # themselves, since Arrow knows no such escapes
GROUPED = {
    ",": re.compile(rf"[+{_MINUS}-]?[1-9]\d{{0,2}}(?:[.' {_SPACES}]\d{{3}})+(?:,\d+)?"),
    ".": re.compile(rf"[+{_MINUS}-]?[1-9]\d{{0,2}}(?:[,' {_SPACES}]\d{{3}})+(?:\.\d+)?"),
}
_DECIMAL = {
    ",": re.compile(r"[+\-\u2212]?(?:\d*,(?!\d{3}$)\d+|0,\d+|\d{1,3}(?:\.\d{3})+,\d+|\d{4,},\d+)"),
    ".": re.compile(
        r"[+\-\u2212]?(?:\d*\.(?!\d{3}$)\d+|0\.\d+|\d{1,3}(?:,\d{3})+\.\d+|\d{4,}\.\d+)"
    ),
}
_EITHER = re.compile(r"[+\-\u2212]?[1-9]\d{0,2},\d{3}")  # a fraction, or thousands


@dataclass(frozen=True)
class Form:
    """How a table is written as text; `skipped` are the lines above its header or first row.

    `names` is the header as it stands, None where there is none; `sample` are the first rows
    below it, as text; `suffix` is that of the file.
    """

    encoding: str = "utf-8"
    separator: str = ","
    decimal: str = "."
    newline: str = "\n"
    skipped: int = 0
    titles: tuple[str, ...] = ()
    names: tuple[str, ...] | None = None
    sample: tuple[tuple[str, ...], ...] = ()
    suffix: str = ".csv"

    @property
    def words(self) -> str:
        """What is not as in most files, or nothing."""
        plain = self.encoding.startswith("utf-8")
        found = ["" if plain else f"in {ENCODINGS[self.encoding]}"]
        found += ["" if self.separator == "," else f"separated by {SEPARATORS[self.separator]}"]
        found += ["with decimal commas" if self.decimal == "," else ""]
        return ", ".join(filter(None, found))

    def column(self, place: int) -> list[str]:
        """The first cells of a column, without those that are empty."""
        return [row[place].strip() for row in self.sample if place < len(row) and row[place]]

    def padded(self) -> list[int]:
        """The columns with whole numbers that begin with zeros: codes, which are kept as text."""
        width = max(map(len, self.sample), default=0)
        return [n for n in range(width) if any(map(PADDED.fullmatch, self.column(n)))]


def sniff(path: Path, file: BinaryIO, head: int = HEAD) -> Form:
    """How a table is written, judged by its first `head` bytes; `path` is what it is called."""
    data = file.read(head)
    encoding = find_encoding(data, path)
    text = codecs.getincrementaldecoder(encoding)("strict").decode(data)
    newline = "\r\n" if "\r\n" in text else "\n"
    if len(data) == head:
        text = text[: text.rfind("\n") + 1] or text
    lines = text.removeprefix("\ufeff").splitlines(keepends=True)[:ROWS]
    told = re.fullmatch(r'"?sep=(.)"?\s*', lines[0]) if lines else None
    start = 1 if told else 0
    separator = told[1] if told else _separator(lines, spaces=path.suffix.lower() != ".csv")
    rows = split(lines[start:], separator)
    titles, skipped = _titles(rows)
    body = [row for _, row in rows[titles:]]
    decimal = _decimal([cell.strip() for row in body for cell in row], separator)
    header = has_header(body)
    return Form(
        encoding,
        separator,
        decimal,
        newline,
        start + skipped,
        tuple(row[0].strip() for _, row in rows[:titles] if row[0].strip()),
        tuple(cell.strip() for cell in body[0]) if header else None,
        tuple(tuple(row) for row in body[header:]),
        path.suffix.lower(),
    )


def split(lines: list[str], separator: str) -> list[tuple[int, list[str]]]:
    """The rows that are not blank, each with the number of its first line, from 1."""
    if separator == SPACES:
        return [(n, line.split()) for n, line in enumerate(lines, 1) if line.strip()]
    reader, rows, first = csv.reader(lines, delimiter=separator), list[tuple[int, list[str]]](), 1
    for row in reader:
        if row and (len(row) > 1 or row[0].strip()):
            rows.append((first, row))
        first = reader.line_num + 1
    return rows


def find_encoding(data: bytes, path: Path) -> str:
    """The encoding in which the bytes read as text of a language."""
    for mark, name in ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16")):
        if data.startswith(mark):
            return name
    if data.startswith(codecs.BOM_UTF16_BE):
        return "utf-16"
    for name, place in (("utf-16-le", 1), ("utf-16-be", 0)):
        zeros = data[place::2].count(0)
        if zeros > len(data) / 5 and not data[1 - place :: 2].count(0):
            return name
    if b"\0" in data:
        raise InputError(f"{path} cannot be read as a table: it is no text")
    if _decoded(data, "utf-8") is not None:
        return "utf-8"
    scores = {name: _plausible(data, name) for name in PLAUSIBLE}
    best = max(scores, key=lambda name: scores[name])
    if scores[best] < 0.3:
        raise InputError(
            f"{path} cannot be read as a table: its encoding is not recognised; save it as UTF-8"
        )
    return best


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        return codecs.getincrementaldecoder(encoding)("strict").decode(data)
    except UnicodeDecodeError:
        return None


def _plausible(data: bytes, encoding: str) -> float:
    """How much of what is not ASCII in the text are characters that such texts have, 0 to 1."""
    text = _decoded(data, encoding)
    if text is None:
        return 0.0
    judge = PLAUSIBLE[encoding]
    runs = re.findall(r"[\x00-\x7f]?[^\x00-\x7f]+[\x00-\x7f]?", text)
    counts = Counter(runs)
    return sum(judge(run) * n for run, n in counts.items()) / max(sum(counts.values()), 1)


def _double(encoding: str, usual: str, lead: range) -> Callable[[str], float]:
    """The judge of runs of characters of two bytes: `usual` ones, and others by first byte."""

    def judge(run: str) -> float:
        marks = [character for character in run if not character.isascii()]
        good = 0.0
        for character in marks:
            code = character.encode(encoding)
            known = len(code) == 2 and code[0] in lead and (code[1] > 0xA0 or encoding == "cp932")
            good += 1.0 if re.match(usual, character) or known else 0.1
        return good / len(marks)

    return judge


def _western(run: str) -> float:
    """Few letters beside letters, or one sign: as in Größe, naïve, 20 °C, 5 µm."""
    inner = run.strip("".join(map(chr, range(128))))
    beside = run[0] + run[-1]
    if len(inner) <= 2 and inner.isalpha() and any(c.isascii() and c.isalpha() for c in beside):
        return 0.9
    if len(inner) == 1 and inner in "äöüÄÖÜßéèàçñåøæ":
        return 0.5
    return 0.9 if len(inner) == 1 and inner in "°µ€£²³§±½×–—’“”…·" else 0.2  # noqa: RUF001


PLAUSIBLE: dict[str, Callable[[str], float]] = {
    "cp932": _double("cp932", "[\u3000-\u33ff\u2000-\u24ff\uff01-\uff5e]", range(0x88, 0x98)),
    "cp949": _double("cp949", "[\u3000-\u303f\u2000-\u22ff\uff01-\uff5e]", range(0xB0, 0xC9)),
    "euc_jp": _double("euc_jp", "[\u3000-\u30ff\uff01-\uff5e]", range(0xB0, 0xD0)),
    "cp1252": _western,
}


def _separator(lines: list[str], *, spaces: bool) -> str:
    """What splits most rows into the same number of cells, more than one; else a comma."""
    best, found = 0.0, ","
    for separator in SEPARATORS:
        if separator == SPACES and (best or not spaces):
            break
        widths = Counter(len(row) for _, row in split(lines, separator))
        width, count = max(widths.items(), key=lambda item: item[1], default=(1, 0))
        share = count / max(widths.total(), 1)
        if width > 1 and share > max(best + 0.2, 0.5 if separator != SPACES else 0.99):
            best, found = share, separator
    return found


def _titles(rows: list[tuple[int, list[str]]]) -> tuple[int, int]:
    """How many rows above the header have a first cell at most, and the lines they take."""
    filled = [sum(map(bool, map(str.strip, row))) for _, row in rows]
    if not filled or Counter(filled).most_common(1)[0][0] < 2:
        return 0, 0
    for number, (line, row) in enumerate(rows[:10]):
        if filled[number] > bool(row[0].strip()) or is_value(row[0]):
            return number, line - 1
    return 0, 0


def _decimal(cells: list[str], separator: str) -> str:
    comma, point = (sum(map(bool, map(_DECIMAL[mark].fullmatch, cells))) for mark in ",.")
    if comma == point == 0 and separator == ";":
        return "," if any(map(_EITHER.fullmatch, cells)) else "."
    return "," if comma > point else "."


def is_value(cell: str) -> bool:
    """Whether a cell is a number or a date, so no name of a column."""
    return bool(NUMBER.fullmatch(cell.strip()) or DATE.fullmatch(cell.strip()))


def has_header(rows: list[list[str]]) -> bool:
    """Whether the first row names the columns below it."""
    if not rows:
        return False
    first, below = [cell.strip() for cell in rows[0]], rows[1:]
    values = [cell for cell in first if is_value(cell)]
    if len(values) == len(first):
        return _numbered(first, below)
    columns = [[row[i].strip() for row in below if i < len(row)] for i in range(len(first))]
    told = [
        any(map(is_value, column)) and bool(cell) and not is_value(cell)
        for cell, column in zip(first, columns, strict=True)
    ]
    if any(told):
        return True
    again = any(c and c in column for c, column in zip(first, columns, strict=True))
    years = all(re.fullmatch(r"(1[89]|2[01])\d\d", cell) for cell in values)
    return not again and years


def _numbered(first: list[str], below: list[list[str]]) -> bool:
    """Whether a row of numbers is a header: 0, 1, 2, ..., years, or wavelengths."""
    if first == [str(n) for n in range(len(first))]:
        second = below[0] if below else []
        return len(first) == 1 or not _rising(second) or not _even(second)
    return len(first) >= 8 and _rising(first) and not any(map(_rising, below[:5]))


def _floats(cells: list[str]) -> list[float]:
    try:
        return [float(cell.replace(",", ".")) for cell in cells]
    except ValueError:
        return []


def _rising(cells: list[str]) -> bool:
    numbers = _floats(cells)
    return len(numbers) > 1 and all(a < b for a, b in pairwise(numbers))


def _even(cells: list[str]) -> bool:
    return len({b - a for a, b in pairwise(_floats(cells))}) == 1
