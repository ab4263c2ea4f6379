"""The house plan: who imports whom, who touches files and sockets, and what costs seconds."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
import torch

import diabolo

SOURCE = Path(diabolo.__file__).parent
LEVELS = [
    "errors arguments inputs params draw layers beside backprop divergence distributed optim train"
    " progress data metrics linear denoiser sparse annealing figures names columns gaps noise"
    " shipped integers exact nearest fuzzy autoregressive measures",
    "scaling networks corruption condition bottleneck rate store intake engines hub",
    "likelihood units priors codebook",
    "net hyperparameters posterior",
    "infer begin",
    "doctor examining",
    "unlike",
    "trial",
    "fitted",
    "defaults resuming",
    "fitting",
    "estimator",
    "models tasks codec",
    "recipes report loading exporting",
    "commands",
    "cli studio __main__",
]
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms.split()}
NETWORK = {
    *("socket", "socketserver", "http", "urllib.request", "ssl", "asyncio", "ftplib", "smtplib"),
    *("xmlrpc", "requests", "httpx", "aiohttp", "urllib3", "wsgiref", "websockets", "select"),
}
FILE_ROOMS = {"data", "store", "report", "exporting", "commands", "recipes"}
FILE_CALLS = {"open", "read_text", "read_bytes", "write_text", "write_bytes"}


def name_of(path: Path, root: Path = SOURCE) -> str:
    """diabolo.data.idx for .../diabolo/data/idx.py, diabolo.data for its __init__.py."""
    parts = ["diabolo", *path.relative_to(root).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted(SOURCE.rglob("*.py"))}


def room_of(module: str) -> str:
    """The room of a module: data for diabolo.data.idx; the package itself is ''."""
    return [*module.split("."), ""][1]


class Uses(ast.NodeVisitor):
    """What a module imports, those for type checkers aside, and the files it opens."""

    def __init__(self, module: str, text: str, *, package: bool, known: set[str]) -> None:
        self.module, self.package, self.known = module, package, known
        self.imports: set[str] = set()
        self.opened: list[int] = []
        self.visit(ast.parse(text))

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.orelse:
                self.visit(child)
        else:
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.imports |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            here = self.module.split(".")
            up = node.level - 1 if self.package else node.level
            base = ".".join([*here[: len(here) - up], *filter(None, [node.module])])
        for alias in node.names:
            self.imports.add(self._home(base, alias.name))

    def _home(self, base: str, name: str) -> str:
        if f"{base}.{name}" in self.known:
            return f"{base}.{name}"
        if base == "diabolo":
            return base if name.startswith("__") else diabolo._HOMES.get(name, f"{base}.{name}")
        return f"{base}.{name}" if base == "urllib" else base

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func
        name = getattr(called, "attr", getattr(called, "id", ""))
        first = node.args[0] if node.args else None
        if name in ("import_module", "__import__") and isinstance(first, ast.Constant):
            self.imports.add(first.value)
        owner = getattr(getattr(called, "value", None), "id", "")
        if name in FILE_CALLS and owner not in ("os", "webbrowser"):
            self.opened.append(node.lineno)
        self.generic_visit(node)


def uses(files: dict[str, Path]) -> dict[str, Uses]:
    return {
        module: Uses(
            module,
            path.read_text(encoding="utf-8"),
            package=path.name == "__init__.py",
            known=set(files),
        )
        for module, path in files.items()
    }


def own(found: Uses) -> set[str]:
    return {m for m in found.imports if m.split(".")[0] == "diabolo"} - {found.module}


def faults(found: dict[str, Uses]) -> list[str]:
    """Every breach of the plan, in words."""
    each = [fault for use in found.values() for fault in [*upward(use), *misplaced(use)]]
    return [*each, *circles(found)]


def upward(use: Uses) -> Iterator[str]:
    room = room_of(use.module)
    if room and room not in LEVEL:
        yield f"{use.module}: no level is given for {room}"
        return
    for other in map(room_of, own(use)):
        if not other or other == room:
            continue
        if other not in LEVEL:
            yield f"{use.module} imports {other}, which has no level"
        elif not room or LEVEL[other] > LEVEL[room]:
            yield f"{use.module} imports {other}, upwards"


def misplaced(use: Uses) -> Iterator[str]:
    room = room_of(use.module)
    for name in sorted(use.imports):
        if room != "studio" and {name, name.split(".")[0]} & NETWORK:
            yield f"{use.module} imports {name}: sockets belong to the studio"
    if use.opened and room not in FILE_ROOMS:
        yield f"{use.module} touches files in line {use.opened[0]}"


def circles(found: dict[str, Uses]) -> Iterator[str]:
    rooms: dict[str, set[str]] = {}
    for module, use in found.items():
        others = set(map(room_of, own(use))) - {room_of(module), ""}
        rooms.setdefault(room_of(module), set()).update(others)
    modules = {module: own(use) - {"diabolo"} for module, use in found.items()}
    for what, graph in (("rooms", rooms), ("modules", modules)):
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            yield f"a circle of {what}: {' -> '.join(error.args[1])}"


def test_every_import_points_downwards_and_files_and_sockets_stay_in_their_rooms():
    assert len(FILES) > 15
    assert faults(uses(FILES)) == []


def lines_of_code(text: str) -> int:
    """Without docstrings, comments, imports and what is empty."""
    left = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        told = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if told or isinstance(node, ast.Import | ast.ImportFrom):
            left[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return sum(not line.strip().startswith("#") for line in left if line.strip())


def test_a_model_is_a_file_of_under_60_lines_of_code():
    assert lines_of_code('"""One\n\ntwo."""\nimport a\n\nx = 1\n# y\ndef f():\n    "z"\n') == 2
    models = [path for name, path in FILES.items() if name.startswith("diabolo.models.")]
    found = {path.name: lines_of_code(path.read_text(encoding="utf-8")) for path in models}
    assert len(found) > 10
    assert {name: lines for name, lines in found.items() if lines >= 60} == {}


BREACHES = {
    "an upward import": ({"net.py": "import diabolo.estimator"}, "diabolo.net imports estimator"),
    "one in a function": (
        {"train.py": "def f():\n    from diabolo import corruption"},
        "diabolo.train imports corruption, upwards",
    ),
    "a lazy name": ({"metrics.py": "from diabolo import VAE"}, "diabolo.metrics imports models"),
    "a relative one": ({"data/idx.py": "from ..store import read"}, "data.idx imports store"),
    "a dynamic one": (
        {"net.py": "from importlib import import_module as i\ni.import_module('diabolo.cli')"},
        "diabolo.net imports cli",
    ),
    "from the package itself": (
        {"__init__.py": "import diabolo.errors"},
        "diabolo imports errors",
    ),
    "an unknown room": ({"attic.py": ""}, "no level is given for attic"),
    "an unknown folder": ({"attic/box.py": ""}, "no level is given for attic"),
    "an import of it": ({"cli.py": "from diabolo.attic import box"}, "attic, which has no level"),
    "a circle in a level": (
        {"net.py": "import diabolo.train", "train.py": "from diabolo.net import Net"},
        "a circle of rooms",
    ),
    "a circle in a room": (
        {"data/a.py": "from diabolo.data import b", "data/b.py": "from diabolo.data.a import x"},
        "a circle of modules",
    ),
    "a socket": ({"report.py": "import socket"}, "report imports socket"),
    "a server": ({"cli.py": "from http.server import HTTPServer"}, "cli imports http.server"),
    "a download": ({"data/net.py": "from urllib import request"}, "imports urllib.request"),
    "an open": ({"net.py": "open('x')"}, "diabolo.net touches files in line 1"),
    "a path's open": ({"figures.py": "p.open()"}, "diabolo.figures touches files"),
    "a write": ({"tasks/a.py": "Path('x').write_bytes(b'')"}, "tasks.a touches files"),
}
HARMLESS = {
    "report.py": "from diabolo import figures\nPath('x').read_text()",
    "studio/server.py": "import socket\nfrom diabolo.commands import fit",
    "commands.py": "",
    "figures.py": "",
    "data/__init__.py": "from diabolo.data.idx import read",
    "data/idx.py": "from urllib.parse import quote\ndef read(p): return p.open('rb')",
    "errors.py": "if TYPE_CHECKING:\n    from diabolo.estimator import Autoencoder",
    "cli.py": "import webbrowser\nwebbrowser.open('http://x')",
}


def faults_of(tmp_path, texts):
    files = {}
    for name, text in texts.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        files[name_of(path, tmp_path)] = path
    return faults(uses(files))


@pytest.mark.parametrize("what", BREACHES)
def test_the_test_above_sees(tmp_path, what):
    texts, message = BREACHES[what]
    assert any(message in fault for fault in faults_of(tmp_path, texts))


def test_the_test_above_lets_pass_what_is_right(tmp_path):
    assert faults_of(tmp_path, HARMLESS) == []


def modules_after(code: str) -> set[str]:
    """The modules that are loaded once a fresh interpreter has run `code`."""
    code += "\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return set(json.loads(found.stdout.splitlines()[-1]))


HEAVY = {"torch", "sklearn", "matplotlib", "scipy", "pandas", "pydantic", "PIL"}


def test_the_package_imports_nothing_heavy():
    assert not modules_after("import diabolo; dir(diabolo); diabolo.__version__") & HEAVY


def test_a_recipes_help_imports_nothing_heavy():
    code = """
from diabolo.cli import main
try:
    main(["fit", "vae", "--help"])
except SystemExit:
    print()
"""
    assert not modules_after(code) & HEAVY


def test_recipes_and_a_files_header_are_read_without_torch_and_sklearn(tmp_path):
    code = f"""
from diabolo import errors, layers, recipes, store
recipes.names()
try:
    store.read_config({str(tmp_path / "missing")!r})
except errors.InputError:
    pass
"""
    assert not modules_after(code) & {"torch", "sklearn", "matplotlib"}


def test_the_public_names_come_when_asked_for_and_help_is_that_of_the_classes(tmp_path):
    code = f"""
import numpy as np
from diabolo import VAE, Autoencoder, load
from diabolo.commands import parameters as p
from diabolo.models import MODELS
X = np.zeros((8, 8, 8), np.uint8)
X[::2] = 1
small = {{"latent_dim": 2, "epochs": 1, "device": "cpu"}}
models = [model(**small) for name, model in MODELS.items() if name != "ContractiveAutoencoder"]
for model in [*models, Autoencoder(network="gdn", **small)]:
    model.fit(X).save({str(tmp_path / "model.safetensors")!r})
    load({str(tmp_path / "model.safetensors")!r})
assert p.in_words() == p.WRITTEN.read_text(encoding="utf-8"), "stale: make parameters"
"""
    loaded = modules_after(code)
    assert {"torch", "sklearn"} <= loaded
    compiler = {"torch._dynamo", "sympy"}  # which older versions need for an optimiser
    assert not loaded & {"matplotlib", *(compiler if torch.__version__ >= (2, 13) else ())}
    assert set(diabolo.__all__) == set(diabolo._HOMES)
    assert set(diabolo.__all__) <= set(dir(diabolo))
    for name in diabolo.__all__:
        assert getattr(diabolo, name).__module__ == diabolo._HOMES[name]
    with pytest.raises(AttributeError, match="no attribute 'Autoencodr'"):
        diabolo.Autoencodr  # noqa: B018
