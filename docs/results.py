"""Write what a bench and two grids gave into docs/results.md, in the place of what was there.

    python docs/results.py RECIPES PARTS WINDOWS

RECIPES is what `vlmad bench` wrote, PARTS and WINDOWS are what `vlmad grid` wrote; results.md has
the commands. The words around the tables stay as they are.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from vlmad_evaluation.notation import escaped, markdown_table
from vlmad_report._report_blocks import ReportTable
from vlmad_report._result_source import open_source
from vlmad_report._setting_sections import windows

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
    """Return the tables of a report's section."""
    section = windows(open_source(folder))
    parts = list(map(escaped, section.paragraphs))
    for table in section.blocks:
        if isinstance(table, ReportTable):
            rows = [[escaped(f"{each.text} {each.note}".strip()) for each in r] for r in table.rows]
            parts += [escaped(table.caption), markdown_table(table.columns, rows)]
    return "\n\n".join(parts)


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
