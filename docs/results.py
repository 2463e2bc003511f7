"""Write what a bench and two grids gave into docs/results.md, in the place of what was there.

    python docs/results.py RECIPES PARTS WINDOWS

RECIPES is what `vlmad bench` wrote, PARTS and WINDOWS are what `vlmad grid` wrote; results.md has
the commands. The words around the tables stay as they are; figures go to docs/figures/.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from vlmad_evaluation.result_folders import read_results
from vlmad_report.content import Page
from vlmad_report.rendering import markdown
from vlmad_report.rendering.encoded import render
from vlmad_report.sections.windows import windows

PAGE = Path(__file__).with_name("results.md")
RECIPES, PARTS, WINDOWS = "recipes", "parts", "windows"
HEADING = re.compile(r"^##", re.MULTILINE)


def marks(name: str) -> tuple[str, str]:
    """Return what stands before and after tables.

    >>> marks("parts")
    ('<!-- parts: python docs/results.py -->', '<!-- end of parts -->')
    """
    return f"<!-- {name}: python docs/results.py -->", f"<!-- end of {name} -->"


def with_tables(page: str, name: str, tables: str) -> str:
    """Return the page with other tables in one of its places, a heading lower."""
    start, end = marks(name)
    before, _, rest = page.partition(start)
    _, _, after = rest.partition(end)
    return f"{before}{start}\n\n{HEADING.sub('###', tables).strip()}\n\n{end}{after}"


def without_title(text: str) -> str:
    """Return a page of Markdown from its second paragraph on."""
    return text.partition("\n\n")[2]


def averages(text: str) -> str:
    """Return of a grid's page the averages, and what could not be combined."""
    introduction, *sections = re.split(r"(?m)^(?=## )", without_title(text))
    wanted = [section for section in sections if section.startswith("## Combinations")]
    return introduction + "".join(wanted)


def window_sizes(folder: Path) -> str:
    """Write the figures of a report's section and return its text."""
    section = windows([read_results(folder)])
    rendered = render(section)
    for name, content in markdown.files(rendered).items():
        path = PAGE.parent / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    text = markdown.to_markdown(Page("", (), (section,)), rendered)
    return without_title(without_title(text))


def main(recipes: Path, parts: Path, sizes: Path) -> None:
    """Write the page."""
    page = PAGE.read_text(encoding="utf-8")
    bench = (recipes / "bench.md").read_text(encoding="utf-8")
    page = with_tables(page, RECIPES, without_title(bench))
    page = with_tables(page, PARTS, averages((parts / "grid.md").read_text(encoding="utf-8")))
    page = with_tables(page, WINDOWS, window_sizes(sizes))
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
