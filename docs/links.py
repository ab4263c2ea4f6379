"""Once the site is built: links and anchors lead somewhere, nothing is loaded from elsewhere."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sphinx.errors import SphinxError


class Page(HTMLParser):
    """The ids of a page, what it links to and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids, self.links, self.loaded = {""}, set[str](), set[str]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called for each tag."""
        given = dict(attrs)
        self.ids |= {given.get("id") or ""}
        link = given.get("href") or given.get("src")
        if link and given.get("rel") != "canonical":
            (self.links if tag == "a" else self.loaded).add(link)


def wrong(folder: Path) -> list[str]:
    """A sentence for each link of the pages below `folder` that leads nowhere."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in folder.rglob("*.html")}
    found = []
    for path, page in pages.items():
        for link in page.links | page.loaded:
            parts = urlsplit(link)
            if parts.scheme:
                if link in page.loaded and parts.scheme != "data":
                    found.append(f"{path.name} loads {link}")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            known = pages[target].ids if target in pages else {""}
            if not target.exists() or unquote(parts.fragment) not in known:
                found.append(f"{path.relative_to(folder)} links to {link}, which is not there")
    return sorted(found)


def check(app: Any, error: Exception | None) -> None:
    """Called by Sphinx at the end."""
    if error is None and app.builder.format == "html" and (found := wrong(Path(app.outdir))):
        raise SphinxError("\n".join(found))


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("build-finished", check)
