"""The directive `run`: a block that is run while the site is built, and shown with its output.

    ```{run} sh
    :picture: runs/ae/figures/loss.png
    :alt: what it shows
    diabolo fit ae --out runs/ae
    ```

All pages share one folder, empty at first. Python blocks of a page share their names. A command
that is on two pages is run once; with `sphinx-build -t unrun` none is. `:fails:` is for a command
whose mistake is shown.

The directive `results NAME` is a table that a benchmark wrote: benchmarks/results/NAME.json.
"""

import ast
import contextlib
import io
import json
import os
import shlex
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

from diabolo.cli import main

WORK = Path(__file__).parent / "_build" / "work"
WRITTEN = Path(__file__).parent.parent / "benchmarks" / "results"
DONE: dict[str, tuple[int, str]] = {}
NAMES: dict[str, dict[str, Any]] = {}


def run_python(code: str, names: dict[str, Any]) -> int:
    """Run a block as a notebook does: a last expression is printed."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<docs>", "exec"), names)
    if last:
        sys.displayhook(eval(compile(ast.Expression(last.value), "<docs>", "eval"), names))
    return 0


def run_command(line: str) -> int:
    """Run a line of a shell; our own commands in this process, which has PyTorch already."""
    if line.startswith("diabolo ") and not set(line.partition("#")[0]) & set("|<>&$"):
        return main(shlex.split(line, comments=True)[1:])
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
    print(done.stdout + done.stderr, end="")
    return done.returncode


def told(work: Callable[[], int]) -> tuple[int, str]:
    """The exit code of some work in the common folder, and what it said."""
    said = io.StringIO()
    WORK.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(WORK), redirect_stdout(said), redirect_stderr(said):
        try:
            status = work()
        except Exception:
            traceback.print_exc()
            status = 1
    return status, said.getvalue()


def run_lines(code: str) -> tuple[int, str]:
    """Run lines of a shell, each that was run before not again."""
    for line in (lines := code.replace("\\\n", " ").splitlines()):
        if line not in DONE:
            DONE[line] = told(partial(run_command, line))
    return max(DONE[line][0] for line in lines), "".join(DONE[line][1] for line in lines)


class Run(SphinxDirective):
    """Runs its content, and shows it with what it printed, and a picture that it made."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {
        "picture": directives.unchanged,
        "alt": directives.unchanged,
        "quiet": directives.flag,
        "fails": directives.flag,
    }

    def run(self) -> list[nodes.Node]:
        """The code, its output, its picture."""
        kind, code = self.arguments[0], "\n".join(self.content)
        if "unrun" in self.env.app.tags:
            return [nodes.literal_block(code, code, language=kind)]
        names = NAMES.setdefault(self.env.docname, {})
        status, said = run_lines(code) if kind == "sh" else told(partial(run_python, code, names))
        if bool(status) != ("fails" in self.options):
            raise self.error(f"this block ended with {status}:\n{code}\n{said}")
        shown: list[nodes.Node] = [nodes.literal_block(code, code, language=kind)]
        if said := "" if "quiet" in self.options else said.rstrip():
            shown.append(nodes.literal_block(said, said, language="text", classes=["said"]))
        if name := self.options.get("picture"):
            source = os.path.relpath(WORK / name, Path(__file__).parent)
            shown.append(nodes.image(uri=f"/{source}", alt=self.options.get("alt", name)))
        return shown


class Results(SphinxDirective):
    """A benchmark's table, and below it the command, the day and the machine."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The table."""
        file = WRITTEN / f"{self.arguments[0]}.json"
        self.env.note_dependency(str(file))
        found = json.loads(file.read_text(encoding="utf-8"))
        lines = [found["head"], ["---"] * len(found["head"]), *found["rows"]]
        text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        said = f"`{found['command']}`, {found['date']}, {found['machine']}"
        return self.parse_text_to_nodes(f"{text}\n\n{said}\n")


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("run", Run)
    app.add_directive("results", Results)
    return {"parallel_read_safe": False}
