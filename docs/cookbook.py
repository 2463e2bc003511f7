"""Put the files that cookbook.md shows into it.

    python docs/cookbook.py

A block of code whose first line is a comment with the path of a file shows the whole file.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "cookbook.md"
SHOWN = re.compile(r"```(\w+)\n# (examples/\S+)\n(.*?)```", re.DOTALL)


def filled(page: str) -> str:
    """Return the page with its files as they are now."""

    def show(match: re.Match[str]) -> str:
        language, path, _ = match.groups()
        return f"```{language}\n# {path}\n{(ROOT / path).read_text(encoding='utf-8')}```"

    return SHOWN.sub(show, page)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
