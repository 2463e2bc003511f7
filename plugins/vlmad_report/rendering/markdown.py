"""A page as Markdown of GitHub's flavour, with its pictures as files beside it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vlmad.errors import printable
from vlmad_report.content import Figure, Table
from vlmad_report.rendering.encoded import picture_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vlmad_report.content import Block, Entry, Gallery, Page, Section
    from vlmad_report.rendering.encoded import Rendered

FIGURES = "figures"
"""The folder of the pictures, beside the page."""
SPECIAL = re.compile(r"[\\`*_\[\]<>|~$]|&(?=[#\w])|:(?=//)|(?<=www)\.")
"""With a backslash before them these are letters like any."""
AT_THE_START = re.compile(r"^(\d*)([.)](?=\s|$)|[-+](?=[\s-]|$)|#(?=[\s#]|$))")
"""What makes lists, headings and rules of a line."""


def to_markdown(page: Page, rendered: Mapping[str, Rendered]) -> str:
    """Return a page as Markdown; the pictures are where `files` puts them.

    Args:
        page: its sections, tables and figures have unique names.
        rendered: its figures and pictures by name, from `vlmad_report.rendering.encoded.render`.
    """
    pieces = [f"# {escaped(page.title)}"]
    pieces += [f"> **Note:** {escaped(notice)}" for notice in page.notices]
    if page.facts:
        pieces.append("\n".join(f"- **{escaped(n)}:** {escaped(v)}" for n, v in page.facts))
    for section in page.sections:
        pieces += _section(section, rendered)
    return "\n\n".join(pieces) + "\n"


def files(rendered: Mapping[str, Rendered]) -> dict[str, bytes]:
    """Return the files beside the page, by name."""
    return {_file(name, each): each.plain.content for name, each in rendered.items()}


def escaped(text: object) -> str:
    r"""Return a text that Markdown shows as it is, on one line.

    >>> print(escaped("a|b *c* <d>"), escaped("1. x"))
    a\|b \*c\* \<d\> 1\. x
    """
    safe = SPECIAL.sub(lambda found: f"\\{found[0]}", printable(text).strip())
    return AT_THE_START.sub(r"\1\\\2", safe)


def _file(name: str, each: Rendered) -> str:
    return f"{FIGURES}/{name}{each.plain.suffix}"


def _section(section: Section, rendered: Mapping[str, Rendered]) -> Iterator[str]:
    yield f"## {escaped(section.title)}"
    yield from map(escaped, section.paragraphs)
    for place, block in enumerate(section.blocks):
        yield from _block(block, section, place, rendered)


def _block(
    block: Block, section: Section, place: int, rendered: Mapping[str, Rendered]
) -> Iterator[str]:
    if isinstance(block, Table):
        yield from (f"*{escaped(block.caption)}*" if block.caption else "", _table(block))
    elif isinstance(block, Figure):
        yield _image(block.alternative, block.name, rendered)
        yield f"*{escaped(block.caption)}*"
    else:
        yield from _gallery(block, section, place, rendered)


def _table(block: Table) -> str:
    sides = ["---" if i < block.words else "---:" for i in range(len(block.columns))]
    rows = [[escaped(name) for name in block.columns], sides]
    rows += [[_entry(entry) for entry in row] for row in block.rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _entry(entry: Entry) -> str:
    text = escaped(entry.text)
    shown = f"**{text}**" if entry.best and text else text
    note = f" {escaped(entry.note)}" if entry.note else ""
    return f"{shown}{escaped(entry.mark)}{note}"


def _gallery(
    block: Gallery, section: Section, place: int, rendered: Mapping[str, Rendered]
) -> Iterator[str]:
    yield f"*{escaped(block.caption)}*"
    for number, card in enumerate(block.cards):
        yield f"### {escaped(card.title)}"
        names = [picture_name(section, place, number, i) for i in range(len(card.pictures))]
        if names:
            shown = [
                _image(picture.alternative, name, rendered)
                for picture, name in zip(card.pictures, names, strict=True)
            ]
            captions = [escaped(picture.caption) for picture in card.pictures]
            lines = (captions, ["---"] * len(names), shown)
            yield "\n".join(f"| {' | '.join(line)} |" for line in lines)
        if card.sentences:
            yield escaped(" ".join(card.sentences))


def _image(alternative: str, name: str, rendered: Mapping[str, Rendered]) -> str:
    return f"![{escaped(alternative)}]({_file(name, rendered[name])})"
