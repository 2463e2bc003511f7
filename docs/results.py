"""Put what a bench and two grids gave into docs/results.md, in the place of what was there.

    python docs/results.py RECIPES PARTS WINDOWS

RECIPES is what `vlmad bench` wrote, PARTS and WINDOWS are what `vlmad grid` wrote; results.md has
the commands. Of PARTS the averages are shown alone. The words around the tables stay as they are.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

PAGE = Path(__file__).with_name("results.md")


def tables(text: str, only: str = "") -> str:
    r"""Return a page that vlmad wrote without its title, its headings a level lower.

    >>> tables("# Title\n\nAverages\n\n## cookie\n\n## Combinations", only="Combinations")
    'Averages\n\n### Combinations'
    """
    before, *sections = re.split(r"(?m)^(?=## )", text.partition("\n\n")[2])
    wanted = [f"#{each}" for each in sections if each.startswith(f"## {only}")]
    return (before + "".join(wanted)).strip()


def replaced(page: str, name: str, text: str) -> str:
    """Return the page with another text between the marks of a name."""
    place = re.compile(rf"(?s)(<!-- {name}: .*?-->\n\n).*?(\n\n<!-- end of {name} -->)")
    return place.sub(lambda marks: marks[1] + text + marks[2], page)


def main(recipes: Path, parts: Path, windows: Path) -> None:
    """Write the page."""
    page = PAGE.read_text(encoding="utf-8")
    for name, file, only in (
        ("recipes", recipes / "bench.md", ""),
        ("parts", parts / "grid.md", "Combinations"),
        ("windows", windows / "grid.md", ""),
    ):
        page = replaced(page, name, tables(file.read_text(encoding="utf-8"), only))
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
