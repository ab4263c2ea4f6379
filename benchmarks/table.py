"""The benchmarks' rows as text, and kept as JSON: docs/results.md shows benchmarks/results."""

import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Line = tuple[Any, ...]


class Table:
    """Markdown whose rows are printed as they come; in a folder a file NAME.json of them, too."""

    def __init__(self, name: str, head: Sequence[str], folder: Path | None = None) -> None:
        self.file = folder and folder / f"{name}.json"
        module = Path(sys.argv[0]).stem
        self.kept: dict[str, Any] = {
            "command": shlex.join(["python", "-m", f"benchmarks.{module}", *given(sys.argv[1:])]),
            "date": datetime.now(UTC).date().isoformat(),
            "machine": f"{os.cpu_count()} cores of {processor()}, torch {version('torch')}",
            "head": list(head),
            "rows": [],
        }
        print("|", " | ".join(head), "|")
        print("|---" * len(head) + "|", flush=True)

    def row(self, *cells: object) -> None:
        """Print a row, and keep it."""
        line = [str(cell) for cell in cells]
        print("|", " | ".join(line), "|", flush=True)
        self.kept["rows"].append(line)
        if self.file:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_text(json.dumps(self.kept, indent=1) + "\n", encoding="utf-8")


def given(words: list[str]) -> list[str]:
    """Of a command's words those that say what is measured: no folder of anyone's."""
    kept = [i for i in range(len(words)) if "--json" not in words[max(i - 1, 0) : i + 1]]
    return [Path(words[i]).name if "/" in words[i] else words[i] for i in kept]


def processor() -> str:
    """What this machine calls its processor."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def grid(lines: list[Line]) -> str:
    """Columns, the first to the left and the others to the right."""
    widths = [max(len(str(cell)) for cell in column) for column in zip(*lines, strict=True)]
    return "\n".join(
        str(line[0]).ljust(widths[0])
        + "".join(str(c).rjust(w + 2) for c, w in zip(line[1:], widths[1:], strict=True)).rstrip()
        for line in lines
    )


def training(rows: list[Row]) -> str:
    """One recipe: seconds per epoch, beside the floor and beside ours."""
    done = {row["way"]: row for row in rows if "stopped" not in row}
    head = ("s/epoch", "least-most", "x floor", "x ours", "compile s", "MB", "imports", "loss")
    lines: list[Line] = [(rows[0]["recipe"], *head)]
    for way, row in done.items():
        ratios = [
            f"{row['seconds'] / done[other]['seconds']:.2f}" if other in done else "-"
            for other in ("floor", "ours")
        ]
        spread = f"{row['low']:.3f}-{row['high']:.3f}"
        memory = f"{row['peak_mb']:.0f}", f"{row['imported_mb']:.0f}"
        compiling, loss = known(row["compile_seconds"], 1), known(row["loss"], 4)
        lines.append((way, known(row["seconds"], 3), spread, *ratios, compiling, *memory, loss))
    return "\n".join([grid(lines), *notes(rows)])


def known(value: float | None, places: int) -> str:
    """A number, or nothing."""
    return "" if value is None else f"{value:.{places}f}"


def notes(rows: list[Row]) -> list[str]:
    """Of each way what it does otherwise, or why it has no figures."""
    said = {row["way"]: row.get("stopped") or row.get("differs") for row in rows}
    return [f"  {way}: {words}" for way, words in said.items() if words]


def inference(rows: list[Row]) -> str:
    """Images a second."""
    lines: list[Line] = [("inference", "images", "encode /s", "reconstruct /s", "MB", "imports")]
    for row in rows:
        if "stopped" not in row:
            names = ("samples", "encode", "reconstruct", "peak_mb", "imported_mb")
            lines.append((row["way"], *(f"{row[name]:,.0f}" for name in names)))
    return "\n".join([grid(lines), *notes(rows)])


def growth(axis: str, rows: list[Row]) -> str:
    """Seconds per epoch (peak MB) of each way along one size."""
    values = sorted({row[axis] for row in rows})
    cells = {
        (row["way"], row[axis]): f"{row['seconds']:.3f} s ({row['peak_mb']:.0f} MB)"
        for row in rows
        if "stopped" not in row
    }
    lines: list[Line] = [(f"{rows[0]['recipe']}, {axis}", *(f"{v:,}" for v in values))]
    for way in dict.fromkeys(row["way"] for row in rows):
        lines.append((way, *(cells.get((way, v), "-") for v in values)))
    return "\n".join([grid(lines), *notes(rows)])


def starting(seconds: dict[str, float]) -> str:
    """Start-up times, beyond the bare interpreter's."""
    bare = seconds["bare interpreter"]
    lines: list[Line] = [("start-up", "s", "beyond bare")]
    return grid(lines + [(name, f"{s:.3f}", f"{s - bare:.3f}") for name, s in seconds.items()])
