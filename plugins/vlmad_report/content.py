"""What a report consists of, whatever it is rendered as.

Analyses make sections; `html` and `markdown` render them and know nothing of anomaly detection.

    Page → Section → Table, Figure or Gallery
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure as Drawing
    from PIL import Image


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands in one place of a table."""

    text: str
    note: str = ""
    """Smaller, after the text: an interval, a deviation, a count."""
    best: bool = False
    """The best of its column; shown so that it does not depend on colour."""
    mark: str = ""
    """A mark that the table's caption explains, such as * for a significant difference."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    words: int = 1
    """How many columns from the left hold names; the others hold figures, aligned right."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing, made when it is rendered: for wide and narrow pages, and as a picture."""

    name: str
    """Of its file, unique in the page: letters, digits and hyphens."""
    caption: str
    alternative: str
    """What it shows, in words, for who cannot see it."""
    draw: Callable[[], Drawing]
    """Draws with the colours of matplotlib's current rcParams and no others, and no wider than
    their ``figure.figsize`` says."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a card, already of the size in which it is shown."""

    caption: str
    alternative: str
    image: Image.Image


@dataclass(frozen=True, slots=True)
class Card:
    """An image that is looked at: pictures of it, and what is said of it."""

    title: str
    pictures: tuple[Picture, ...]
    sentences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gallery:
    """Cards beside each other."""

    caption: str
    cards: tuple[Card, ...]


Block: TypeAlias = Table | Figure | Gallery


@dataclass(frozen=True, slots=True)
class Section:
    """One analysis."""

    name: str
    """Of its anchor, unique in the page: letters, digits and hyphens."""
    title: str
    paragraphs: tuple[str, ...] = ()
    """What is shown, how it is defined, and what is missing and why."""
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A whole report."""

    title: str
    facts: tuple[tuple[str, str], ...]
    """What was measured on what, with what: pairs of name and value."""
    sections: tuple[Section, ...] = field(default=())
    notices: tuple[str, ...] = ()
    """What must be known before anything else is read, such as that a bench is not finished."""
