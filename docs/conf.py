"""The site: `make docs`. What it shows is run while it is built; nothing comes from elsewhere."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

import diabolo
from diabolo.condition import Condition
from diabolo.corruption import Corruption
from diabolo.estimator import Estimator
from diabolo.likelihood import Likelihood
from diabolo.networks import Network
from diabolo.params import Parameters

PARTS = [Corruption, Likelihood, Network, Condition]
project = "diabolo"
author = "the authors of diabolo"
release = version = diabolo.__version__
html_title = f"diabolo {release}"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "run", "links"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_theme_options = {"top_of_page_buttons": []}
html_math_renderer = "mathml"
html_show_sphinx = html_show_copyright = False
myst_enable_extensions = ["dollarmath", "attrs_block", "colon_fence"]
myst_heading_anchors = 3
default_role = "code"
autodoc_default_options = {"members": True}
autodoc_typehints = "none"
napoleon_use_rtype = False
pygments_style, pygments_dark_style = "a11y-high-contrast-light", "a11y-high-contrast-dark"


def inline(self: Any, node: nodes.math) -> None:
    """A formula as MathML, which every browser draws by itself."""
    self.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def block(self: Any, node: nodes.math_block) -> None:
    """A formula on a line of its own."""
    self.body.append(f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def listed(app: Any, page: str, source: list[str]) -> None:
    """Every model and part stands on the page of the API, found as the library finds them."""
    if page != "api":
        return
    models = [cls for name in diabolo.__all__ if is_model(cls := getattr(diabolo, name))]
    parts = [cls for part in PARTS for cls in sorted(set(part.kinds().values()), key=str)]
    for word, classes in (("MODELS", models), ("PARTS", parts)):
        names = [f"{cls.__module__}.{cls.__name__}" for cls in classes]
        lines = "\n\n".join(f".. autoclass:: {name}\n   :no-members:" for name in names)
        source[0] = source[0].replace(f"\n{word}\n", f"\n```{{eval-rst}}\n{lines}\n```\n")


def is_model(cls: Any) -> bool:
    """Whether a class is a model other than the plain one."""
    return isinstance(cls, type) and issubclass(cls, Estimator) and cls is not diabolo.Autoencoder


def shortened(app: Any, what: str, name: str, cls: Any, *more: Any) -> None:
    """Formulas as they stand; of a model its own parameters: those of all are at Autoencoder."""
    lines: list[str] = more[-1]
    lines[:] = [line.replace("|", r"\|").replace("*", r"\*") for line in lines]
    if what == "module":  # what is indented there are formulas, to be read as they stand
        lines[:] = [f"| {line}" if line.startswith("    ") else line for line in lines]
    if what != "class" or not is_model(cls) or cls is Estimator:
        return
    shared = {parameter.name for parameter in diabolo.Autoencoder.declared()}
    heads = [n for n, line in enumerate(lines) if line.partition(" : ")[0] in shared]
    for n in reversed(heads):
        del lines[n : n + 2]
    if lines[-3:-1] == ["Parameters", "----------"]:
        del lines[-3:]


def signature(app: Any, what: str, name: str, cls: Any, *more: Any) -> tuple[str, None] | None:
    """Of what has parameters these stand below, and not in its signature."""
    return ("(**parameters)", None) if what == "class" and issubclass(cls, Parameters) else None


def spoken(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """The language of a page, as its name says: articles/ae-32.ja is Japanese."""
    context["language"] = {"ja": "ja", "ko": "ko"}.get(page.rpartition(".")[2], "en")


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    app.connect("source-read", listed)
    app.connect("html-page-context", spoken)
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-process-docstring", shortened, priority=400)
