"""Names in drawings: as they are, whatever they hold, and short enough to be read."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from itertools import chain, count
from typing import TYPE_CHECKING

import matplotlib
from matplotlib import font_manager

from vlmad_evaluation.bench.tables import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.text import Text

LINE = 28
"""Letters of a line; wide ones count twice."""
MOST = 2 * LINE - 2
"""Letters of a name in a drawing. Tables have the whole name."""


OWN = "DejaVu Sans"
"""The font that matplotlib brings."""
NO_LETTERS = ("Last Resort High-Efficiency",)
"""Brought as well: it draws a box for every letter that there is."""


def shortened(names: Sequence[str], most: int = MOST) -> list[str]:
    """Return names of which none is long, and that differ where the whole ones do.

    The middle is left out: what tells names apart stands at either end.

    >>> shortened(["tile", "a very long name of a category, first", "tile"], 12)
    ['tile', 'a ver…first', 'tile (2)']
    """
    found: list[str] = []
    for name in names:
        short = _without_middle(_drawable(printable(name)), most)
        numbered = (f"{short} ({number})" for number in count(2))
        found.append(next(each for each in chain([short], numbered) if each not in found))
    return found


def wrapped(name: str) -> str:
    r"""Return a short name on one line or two, parted at a space if one is near the middle.

    >>> wrapped("hybrid extractor=window attention=none")
    'hybrid extractor=window\nattention=none'
    """
    width = sum(map(_width, name))
    if width <= LINE:
        return name
    middle = next(i for i in range(len(name)) if 2 * sum(map(_width, name[: i + 1])) >= width)
    spaces = [i for i, letter in enumerate(name) if letter == " "]
    place = min(spaces, key=lambda i: abs(i - middle), default=middle)
    if max(sum(map(_width, part)) for part in (name[:place], name[place + 1 :])) > LINE:
        place = middle
    return f"{name[:place].rstrip()}\n{name[place:].lstrip()}"


def _without_middle(name: str, most: int) -> str:
    if sum(map(_width, name)) <= most:
        return name
    start, end = "", ""
    while sum(map(_width, start + end)) < most - 2:
        if sum(map(_width, start)) <= sum(map(_width, end)):
            start += name[len(start)]
        else:
            end = name[-len(end) - 1] + end
    return f"{start.rstrip()}…{end}"


def _width(letter: str) -> int:
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def write(texts: Iterable[Text], names: Sequence[str]) -> None:
    """Set the words of a drawing's texts to names, in fonts that have their letters.

    Nothing in a name is taken for a formula: matplotlib would between two dollar signs.
    """
    extra = [font for letter in "".join(names) if (font := _font_of(letter))]
    for text, name in zip(texts, names, strict=True):
        text.set_parse_math(False)
        text.set_text(name)
        text.set_fontfamily([*matplotlib.rcParams["font.family"], OWN, *dict.fromkeys(extra)])


def _drawable(name: str) -> str:
    """Return a name with a question mark for each letter that no font here has."""
    return "".join(c if _font_of(c) is not None else "?" for c in name)


@lru_cache(maxsize=4096)
def _font_of(letter: str) -> str | None:
    """Return which installed font has a letter: "" for matplotlib's own, None for none."""
    if letter.isascii() or _has(font_manager.findfont(OWN), letter):
        return ""
    for font in font_manager.fontManager.ttflist:
        try:
            if font.name not in NO_LETTERS and _has(font.fname, letter):
                return font.name
        except (OSError, RuntimeError):  # a broken font is another's matter
            continue
    return None


def _has(path: str, letter: str) -> bool:
    return bool(font_manager.get_font(path).get_char_index(ord(letter)))
