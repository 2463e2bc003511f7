"""Names in drawings: as they are, whatever they hold, and short enough to be read."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from itertools import chain, count
from typing import TYPE_CHECKING

import matplotlib
from matplotlib import font_manager

from vlmad.errors import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from matplotlib.text import Text

LETTER = 0.085
"""Inches of a letter, on average and rather more."""
LINE_HEIGHT = 0.17
"""Inches from line to line."""
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

    Where one is too long, the words with which all begin or end make way first: they tell
    nothing apart. Then the middle does.

    >>> shortened(["tile", "a very long name of a category, first", "tile"], 12)
    ['tile', 'a ver…first', 'tile (2)']
    >>> shortened(["tiny + window scales=2 + none", "tiny + window scales=3 + none"], 14)
    ['…scales=2…', '…scales=3…']
    """
    shown = [_drawable(printable(name)) for name in names]
    if any(_breadth(name) > most for name in shown):
        shown = _without_common_ends(shown)
    found: list[str] = []
    for name in shown:
        short = _without_middle(name, most)
        numbered = (f"{short} ({number})" for number in count(2))
        found.append(next(each for each in chain([short], numbered) if each not in found))
    return found


def wrapped(name: str, line: int = LINE) -> str:
    r"""Return a name on lines of at most so many letters, parted at spaces where there are any.

    >>> wrapped("hybrid extractor=window attention=none")
    'hybrid extractor=window\nattention=none'
    """
    lines = [""]
    for word in name.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if _breadth(joined) <= line:
            lines[-1] = joined
            continue
        lines += [word]
        while _breadth(lines[-1]) > line:
            start = _start(lines[-1], line)
            lines[-1:] = [start, lines[-1][len(start) :]]
    return "\n".join(filter(None, lines))


def lines_of(name: str) -> int:
    """Return on how many lines a wrapped name stands."""
    return name.count("\n") + 1


def longest(names: Iterable[str]) -> int:
    """Return how many letters the longest line of wrapped names has."""
    return max((_breadth(line) for name in names for line in name.split("\n")), default=0)


def _without_common_ends(names: Sequence[str]) -> list[str]:
    """Leave out the words with which all names begin, and those with which all end."""
    words = [name.split(" ") for name in names]
    most = min(map(len, words)) - 1  # each keeps one
    if len(set(names)) < 2 or most < 1:
        return list(names)
    before = _common(words, most, lambda each, place: each[place])
    after = _common(words, most - before, lambda each, place: each[-1 - place])
    left, right = "…" * bool(before), "…" * bool(after)
    return [left + " ".join(each[before : len(each) - after]) + right for each in words]


def _common(
    words: Sequence[Sequence[str]], most: int, at: Callable[[Sequence[str], int], str]
) -> int:
    places = (n for n in range(most) if len({at(each, n) for each in words}) > 1)
    return next(places, most)


def _without_middle(name: str, most: int) -> str:
    if _breadth(name) <= most:
        return name
    start, end = "", ""
    while _breadth(start + end) < most - 2:
        if _breadth(start) <= _breadth(end):
            start += name[len(start)]
        else:
            end = name[-len(end) - 1] + end
    return f"{start.rstrip()}…{end}"


def _start(word: str, line: int) -> str:
    """Return as much of a word as fits on a line, one letter at least."""
    ends = range(1, len(word))
    return word[: next((end for end in ends if _breadth(word[: end + 1]) > line), len(word))]


def _breadth(text: str) -> int:
    return sum(map(_width, text))


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
