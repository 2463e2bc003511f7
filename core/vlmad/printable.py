"""Texts that anybody may have written, made fit to be shown: on a page, or on a terminal."""

from __future__ import annotations

import re
import unicodedata

KEPT = frozenset("\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}")
"""Without these, some scripts cannot be written; other invisible characters only deceive."""


def printable(text: object) -> str:
    r"""Return a text on one line in which every character shows, escaped if need be.

    >>> print(printable("a\nb\x00c\udcff"))
    a b\x00c\udcff
    """
    words = str(text)
    if words.isprintable():
        return words
    return "".join(_shown(c) for c in re.sub(r"[\t\n\r\v\f]+", " ", words))


def _shown(character: str) -> str:
    if character.isprintable() or character in KEPT:
        return character
    if unicodedata.category(character) == "Zs":  # spaces of all widths
        return character
    return character.encode("unicode_escape").decode("ascii")
