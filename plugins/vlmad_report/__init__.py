"""Show what benches and grids gave: one page with analyses, figures and failures.

    content.py    what a page consists of
    sources/      what it is made of: folders of results, taken together
    looking/      what images, masks and maps show
    sections/     analyses, each a section of the page
    figures/      kinds of figures
    page.py       which sections there are; one that fails takes only itself from the page
    rendering/    the page as HTML and as Markdown
    folder.py     where both are written
    asking.py     the options of the command
    command.py    the command ``vlmad report``

Importing the package loads none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_commands(register: Register) -> None:
    """Register `vlmad report`."""
    register(
        "report",
        "vlmad_report.command:report",
        "Show what benches, grids and runs gave: one page.",
    )
