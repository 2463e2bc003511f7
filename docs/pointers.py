"""Keep the pointers from the documentation into the code right.

    python docs/pointers.py

A pointer is a link whose text is a name and whose target is the line where a file defines it,
such as [`Harmonic._text_map`](../plugins/vlmad_winclip/scorer.py#L78). This rewrites the line
numbers; the tests fail where a name is gone or a number is wrong.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parent
POINTER = re.compile(r"\[`([\w.]+)`\]\(((?:\.\./)?[\w/.-]+\.py)#L(\d+)\)")


def definitions(tree: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Yield the qualified names that a module or class defines, with their lines."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield prefix + node.name, node.lineno
        if isinstance(node, ast.ClassDef):
            yield from definitions(node, f"{prefix}{node.name}.")
        if isinstance(node, ast.Assign):
            yield from ((t.id, node.lineno) for t in node.targets if isinstance(t, ast.Name))
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield prefix + node.target.id, node.lineno


def corrected(page: Path) -> str:
    """Return a page's text with the right line in every pointer.

    Raises:
        ValueError: a pointer's file does not define its name.
    """

    def point(match: re.Match[str]) -> str:
        name, target, _ = match.groups()
        source = (page.parent / target).resolve()
        lines = dict(definitions(ast.parse(source.read_text(encoding="utf-8"))))
        if name not in lines:
            raise ValueError(f"{page.name}: {target} defines no {name}")
        return f"[`{name}`]({target}#L{lines[name]})"

    return POINTER.sub(point, page.read_text(encoding="utf-8"))


def pages() -> list[Path]:
    """Return all pages of the documentation."""
    return sorted([*DOCS.glob("*.md"), *DOCS.parent.glob("*.md")])


if __name__ == "__main__":
    for each in pages():
        each.write_text(corrected(each), encoding="utf-8")
