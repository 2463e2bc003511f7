"""The pages of `make docs` that do not lie in docs/: front page, linked sources, reference.

mkdocs calls these hooks. A link that leads out of docs/ becomes one to a page that shows the file,
at the same line.
"""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.structure.files import Files

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))
import public_names  # noqa: E402  (the scripts are no package)

LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)(?:#(L?)([^)\s]+))?\)")
OUTSIDE = {
    "index.md": "README.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
}
"""Pages of the site, and the files of the repository that they are."""
NAMES = [name.replace(":", ".") for name in (*public_names.MODULES, *public_names.OTHERS)]
"""Modules, and single protocols, that are for authors of plugins."""
LINE = "__codelineno-0-"


def on_config(config: Any) -> None:
    """Add the reference to what is listed."""
    config.nav.append({"Reference": [{name: f"reference/{name}.md"} for name in NAMES]})


def on_files(files: Files, config: Any) -> Files:
    """Add what lies elsewhere."""
    for place, name in OUTSIDE.items():
        files.append(File.generated(config, place, content=(ROOT / name).read_text("utf-8")))
    for name in NAMES:
        files.append(
            File.generated(config, f"reference/{name}.md", content=f"# {name}\n\n::: {name}\n")
        )
    sources = {target for place in list(files.src_uris) for target in _outside(place)}
    for target in sorted(sources):
        files.append(File.generated(config, _place_of(target), content=_shown(target)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links lead to where things are on the site."""
    here = page.file.src_uri
    if here.startswith(("source/", "reference/")):
        return markdown

    def lead(link: re.Match[str]) -> str:
        target, is_line, anchor = link.groups()
        place = posixpath.relpath(_place_of(_file(here, target)), posixpath.dirname(here) or ".")
        fragment = f"#{LINE if is_line else ''}{anchor}" if anchor else ""
        return f"]({place}{fragment})"

    return LINK.sub(lead, markdown)


def on_page_content(html: str, page: Any, **_: Any) -> None:
    """Tell mkdocs, which checks anchors, of the lines of a source."""
    page.present_anchor_ids |= {*re.findall(f'id="({LINE}[0-9]+)"', html)}


def _file(here: str, target: str) -> Path:
    """Return the file that a page's link leads to."""
    origin = ROOT / OUTSIDE[here] if here in OUTSIDE else DOCS / here
    return (origin.parent / target).resolve()


def _place_of(file: Path) -> str:
    """Return where a file is on the site."""
    name = file.relative_to(ROOT).as_posix()
    pages = {source: place for place, source in OUTSIDE.items()}
    if name in pages:
        return pages[name]
    if file.is_relative_to(DOCS) and file.suffix in (".md", ".jpg", ".png", ".json"):
        return file.relative_to(DOCS).as_posix()
    return f"source/{name}.md"


def _outside(place: str) -> Iterator[Path]:
    """Yield the files beside pages that a page links to."""
    if place.endswith(".md") and not place.startswith("reference/"):
        origin = ROOT / OUTSIDE.get(place, f"docs/{place}")
        for target, *_ in LINK.findall(origin.read_text("utf-8")):
            file = _file(place, target)
            if _place_of(file).startswith("source/"):
                yield file


def _shown(file: Path) -> str:
    """Return the page that shows a file, or lists those of a folder."""
    name = file.relative_to(ROOT).as_posix()
    if file.is_dir():
        inside = sorted(
            each for each in file.rglob("*") if each.is_file() and each.suffix != ".pyc"
        )
        return f"# {name}\n\n" + "".join(f"- {each.relative_to(file)}\n" for each in inside)
    kind = file.suffix.lstrip(".") or "text"
    return f'# {name}\n\n~~~~~~ {{.{kind} linenums="1"}}\n{file.read_text("utf-8")}\n~~~~~~\n'
