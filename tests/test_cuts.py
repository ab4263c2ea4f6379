"""A run is cut off at every change of a file: by a kill, and by a power cut.

A kill loses nothing that was written. A power cut loses what was not synced: of files their
contents, of folders their names. `Disk` follows what a training syncs, by an audit hook and by
`os.fsync`, and says what may be left at each moment, as the file system pleases: only what was
synced; or all names, but of what was not synced nothing, or the first half.
"""

import io
import itertools
import multiprocessing
import os
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from test_resume import same_run

from diabolo.cli import main
from diabolo.store import CHECKPOINT

CHANGES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir")
pytestmark = pytest.mark.stress


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    table = tmp_path_factory.mktemp("data") / "table.csv"
    rows = np.random.default_rng(0).normal(size=(300, 5))
    rows[:, 3] = 7
    np.savetxt(table, rows, delimiter=",", header="a,b,c,d,e", comments="")
    words = "--epochs 5 --batch-size 32 --early-stopping none --device cpu --linear false"
    return ["fit", "ae", "--data", str(table), *words.split()]


@pytest.fixture(scope="module", autouse=True)
def plain():
    """The loss is not drawn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("diabolo.report.draw_loss", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory, command):
    """A run that nothing cut off."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert main([*command, "--out", str(folder)]) == 0
    return folder


def changes(event, given, folder):
    """Whether an event of an audit hook is a change of a file below a folder."""
    if event not in CHANGES or str(folder) not in " ".join(map(str, given[:2])):
        return False
    return event != "open" or bool(given[2] & (os.O_WRONLY | os.O_RDWR))


def until_change(number, command, folder):
    """Fit, and be killed just before the so many'th time that something in the folder changes."""
    count = itertools.count(1)

    def killed(event, given):
        if changes(event, given, folder) and next(count) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.stdout = sys.stderr = io.StringIO()
    sys.addaudithook(killed)
    sys.exit(main([*command, "--out", folder]))


def test_a_run_killed_before_any_change_of_a_file_is_resumed_or_made_again(
    whole, command, tmp_path, capsys
):
    processes = multiprocessing.get_context("fork")  # which has imported all there is
    for number in itertools.count(1):
        folder = tmp_path / f"run-{number}"
        process = processes.Process(target=until_change, args=(number, command, str(folder)))
        process.start()
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        if main(["fit", "--resume", str(folder)]) != 0:
            assert main([*command, "--out", str(folder)]) == 0, number
        assert same_run(folder, whole), number
        shutil.rmtree(folder)
    with capsys.disabled():
        print(f"\n{number - 1} kills")
    assert number > 40


class Held:
    """A file: what of it was synced."""

    synced: bytes | None = None


class Disk:
    """What may be on the disk, of a folder in which nothing is yet, after a power cut."""

    def __init__(self, root):
        self.root, self.active = root, True
        self.files = {}  # inode -> Held
        self.folders = {root: {}}  # folder -> the names that were synced, each a Held or a path
        self.found = {}  # what is left, each once -> (how, whether a checkpoint is among it)
        self.sync = os.fsync

    def watch(self, event, given):
        if not self.active or not changes(event, given, self.root):
            return
        self.cut()
        gone = {"os.remove": given[0], "os.rename": given[1] if len(given) > 1 else None}
        path = gone.get(event)
        if path is not None and Path(path).is_file():
            self.files.pop(Path(path).stat().st_ino, None)  # the number may be given again

    def fsync(self, handle):
        path = Path(f"/proc/self/fd/{handle}").readlink()
        if self.root in (path, *path.parents):
            self.cut()
            if path.is_dir():
                inside = list(path.iterdir())
                self.folders[path] = {p.name: p if p.is_dir() else self.held(p) for p in inside}
            else:
                self.held(path).synced = path.read_bytes()
        self.sync(handle)

    def held(self, path):
        return self.files.setdefault(path.stat().st_ino, Held())

    def cut(self):
        """Keep what may be left now."""
        kept = self.synced_below(self.root)
        there = any(path.name == CHECKPOINT for path in kept)
        self.found.setdefault(frozenset(kept.items()), ("what was synced", there))
        for how, share in (("all names", 0.0), ("all names, halves", 0.5)):
            tree = {}
            for path in filter(Path.is_file, self.root.rglob("*")):
                content, own = path.read_bytes(), self.held(path).synced
                tree[path] = content[: int(share * len(content))] if own is None else own
            self.found.setdefault(frozenset(tree.items()), (how, there))

    def synced_below(self, folder):
        tree = {}
        for name, entry in self.folders.get(folder, {}).items():
            if isinstance(entry, Held):
                tree[folder / name] = entry.synced or b""
            else:
                tree |= self.synced_below(entry)
        return tree


def test_a_run_outlasts_a_power_cut_at_any_change_of_a_file(
    whole, command, tmp_path, monkeypatch, capsys
):
    disk = Disk(tmp_path / "disk")
    disk.root.mkdir()
    sys.addaudithook(disk.watch)
    monkeypatch.setattr(os, "fsync", disk.fsync)
    assert main([*command, "--out", str(disk.root / "run")]) == 0
    disk.cut()
    disk.active = False
    monkeypatch.undo()
    ways = Counter()
    for number, (tree, (how, kept)) in enumerate(disk.found.items()):
        root = tmp_path / str(number)
        for path, content in tree:
            target = root / path.relative_to(disk.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        resumed = main(["fit", "--resume", str(root / "run")]) == 0
        assert resumed or not kept, (number, how, sorted(p.name for p, _ in tree))
        if not resumed:
            assert main([*command, "--out", str(root / "run")]) == 0, (number, how)
        assert same_run(root / "run", whole), (number, how)
        ways[how, "resumed" if resumed else "made again"] += 1
    with capsys.disabled():
        print(f"\n{sum(ways.values())} power cuts: {dict(ways)}")
    assert sum(ways.values()) > 20
