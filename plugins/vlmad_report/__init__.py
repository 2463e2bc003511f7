"""Show what benches and grids gave: one page with analyses, figures and failures.

    content.py    what a page consists of
    page.py       which sections a report has; one that fails takes only itself from the page
    facts.py      what stands at the top
    labelled.py   a run of ``vlmad run`` with the labels of a data set
    drawing.py    figures, on light and on dark ground
    encoded.py    pictures as the bytes of files
    text.py       names that anybody may have chosen
    html.py       a page as one file that loads nothing; templates/ has its markup and style
    markdown.py   the same page with its pictures beside it
    folder.py     where both are written
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
