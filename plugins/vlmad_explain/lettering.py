"""Texts that fit into pictures."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import matplotlib
from PIL import ImageFont


@cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return a font for most alphabets."""
    # matplotlib brings DejaVu, which has the letters of more languages than Pillow's own font
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def shortened(text: str, letters: ImageFont.FreeTypeFont, width: float) -> str:
    """Return a text without its middle where it is wider than `width` pixels."""
    text = "".join(c if c.isprintable() else "?" for c in text)
    if letters.getlength(text) <= width:
        return text
    kept = len(text)
    while kept > 2 and letters.getlength(_ends(text, kept)) > width:
        kept -= 1
    return _ends(text, kept)


def _ends(text: str, kept: int) -> str:
    return text[: kept // 2] + "…" + text[len(text) - (kept - kept // 2) :]


def wrapped(text: str, letters: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Return a text as lines that are at most `width` pixels wide."""
    lines = [""]
    for word in text.split():
        if letters.getlength(f"{lines[-1]} {word}") > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return [shortened(line, letters, width) for line in lines]
