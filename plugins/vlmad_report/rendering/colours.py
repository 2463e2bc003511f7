"""The colours of figures, and how a page's style sheet gives them to drawings that lie in it.

A drawing says which colour it means by a class; which it is on the ground at hand, light or dark,
on a screen or on paper, the sheet says.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CYCLE = ("#3181d6", "#dc7c01", "#05a97a", "#8c508b", "#a6514e")
"""Apart for all kinds of colour vision, and at least 3:1 on both grounds: found by search."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """Colours that depend on the ground."""

    ground: str
    ink: str
    muted: str
    line: str


LIGHT = Scheme("#ffffff", "#1b1f24", "#59616c", "#dfe2e6")
DARK = Scheme("#15181d", "#e4e7eb", "#a3abb6", "#333943")


def names() -> dict[str, str]:
    """Return the name of each colour in which a drawing for light ground is made."""
    own = {colour: name for name, colour in asdict(LIGHT).items()}
    return own | {colour: str(number) for number, colour in enumerate(CYCLE)}


def rules() -> str:
    """Return rules of a style sheet: `fill-NAME` and `line-NAME` for each colour."""
    return "\n".join(_rules()) + "\n"


def _rules() -> Iterator[str]:
    yield f":root {{ {_variables(LIGHT)} }}"
    yield f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}"
    for colour, name in names().items():
        value = f"var(--figure-{name})" if name in asdict(LIGHT) else colour
        yield f".fill-{name} {{ fill: {value}; }}"
        yield f".line-{name} {{ stroke: {value}; }}"


def _variables(scheme: Scheme) -> str:
    return " ".join(f"--figure-{name}: {colour};" for name, colour in asdict(scheme).items())
