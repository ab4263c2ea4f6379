"""Text that can be written: fonts at hand are found for it, and what none of them has is escaped.

File names and columns come in every script. matplotlib takes the letters that its first font has
not from the others of a list, so the list has those installed fonts that are known to have many.
"""

import logging
import re
import unicodedata
from contextlib import suppress
from functools import lru_cache

from matplotlib.font_manager import (
    FontProperties,
    findfont,
    findSystemFonts,
    fontManager,
    get_font,
)

Weight = str | int
OWN = "sans-serif"
RICH = re.compile(  # families that have the letters of more than Europe
    r"CJK|Han Sans|Han Serif|IPA|Takao|VL |WenQuanYi|Nanum|UnDotum|Baekmuk|Droid Sans Fallback"
    r"|Hiragino|PingFang|Heiti|SimHei|SimSun|YaHei|JhengHei|Yu Gothic|Meiryo|MS Gothic|Malgun"
    r"|Gothic Neo|Unicode|Unifont|^Noto Sans|^Lohit"
)

# A font that has one weight alone is as good.
logging.getLogger("matplotlib.font_manager").addFilter(lambda said: "font weight" not in said.msg)


def legible(text: str, weight: Weight = "normal", *, brief: bool = False) -> str:
    """Text without what cannot be drawn: `?` for what is not printable, the others escaped.

    Where it is to be `brief`, all of it is `?`.
    """
    if text.isascii() and text.isprintable():
        return text
    known = frozenset[str]().union(*(_letters(f, weight) for f in families(text, weight)))
    return "".join(_drawn(letter, known, brief=brief) for letter in _composed(text))


def families(text: str, weight: Weight = "normal") -> tuple[str, ...]:
    """The fonts to write a text with: our own, and those that have letters that it lacks."""
    if text.isascii():
        return (OWN,)
    missing = frozenset(filter(str.isprintable, _composed(text))) - _letters(OWN, weight)
    return (OWN, *_others(missing, weight))


def _composed(text: str) -> str:
    """With accents and syllables as single letters, which some systems take apart in names."""
    return unicodedata.normalize("NFC", text)


def _drawn(letter: str, known: frozenset[str], *, brief: bool) -> str:
    if not letter.isprintable():
        return letter if letter == "\n" else "?"
    if letter in known:
        return letter
    return "?" if brief else letter.encode("unicode_escape").decode()


@lru_cache(maxsize=1024)
def _others(missing: frozenset[str], weight: Weight) -> tuple[str, ...]:
    """As few of the installed fonts as have, one after the other, most of the letters."""
    found = []
    for name in _rich():
        if missing & _letters(name, weight):
            found.append(name)
            missing -= _letters(name, weight)
        if not missing:
            break
    return tuple(found)


@lru_cache
def _rich() -> tuple[str, ...]:
    """The installed families with many letters, those newer than matplotlib's own list as well."""
    known = {font.fname for font in fontManager.ttflist}
    for path in sorted({*findSystemFonts()} - known):
        with suppress(OSError, RuntimeError):  # what is no font that it can read
            fontManager.addfont(path)
    return tuple(sorted({font.name for font in fontManager.ttflist if RICH.search(font.name)}))


def _letters(family: str, weight: Weight) -> frozenset[str]:
    font = FontProperties(family=[family], weight=weight)  # type: ignore[arg-type]
    return _letters_in(findfont(font))


@lru_cache
def _letters_in(path: str) -> frozenset[str]:
    return frozenset(map(chr, get_font(path).get_charmap()))
