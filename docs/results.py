"""Write the tables of a bench into docs/results.md, in the place of the earlier ones.

    python docs/results.py FOLDER

FOLDER is what `vlmad bench` wrote. The words around the tables stay as they are.
"""

from __future__ import annotations

import sys
from pathlib import Path

PAGE = Path(__file__).with_name("results.md")
START, END = "<!-- tables: python docs/results.py FOLDER -->", "<!-- end of tables -->"


def with_tables(page: str, markdown: str) -> str:
    """Return the page with other tables; their title is dropped."""
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    _, _, tables = markdown.partition("\n\n")
    return f"{before}{START}\n\n{tables.strip()}\n\n{END}{after}"


if __name__ == "__main__":
    markdown = (Path(sys.argv[1]) / "bench.md").read_text(encoding="utf-8")
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), markdown), encoding="utf-8")
