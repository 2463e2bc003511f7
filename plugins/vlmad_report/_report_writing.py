"""From a folder of results to the file of its report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress import track

from vlmad.console import messages
from vlmad.errors import InputError, OutputError, first_line
from vlmad.files import write_atomically
from vlmad_report._report_html import MARK, to_html
from vlmad_report._report_page import make_page, section_makers
from vlmad_report._result_source import open_source

if TYPE_CHECKING:
    from pathlib import Path

    from vlmad_report._report_page import ReportWishes


def write_report(
    folder: Path, path: Path, data: Path | None, wishes: ReportWishes
) -> tuple[Path, list[str]]:
    """Write a report; return the file, and what could not be made of it.

    Args:
        folder: what a bench or a grid wrote.
        path: the file to write; an earlier report is replaced.
        data: where the data set is now, if it has moved.
        wishes: what the page is to show.

    Raises:
        InputError: the folder cannot be read.
        OutputError: the file cannot be written, or holds something else.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name one of vlmad bench or vlmad grid")
    _check_free(path)
    source = open_source(folder, data)
    makers = section_makers(source, wishes)
    titles = track(list(makers), "sections", console=messages(), transient=True)
    page, faults = make_page(source, wishes, makers, titles)
    write_atomically(path, to_html(page))
    return path, faults


def _check_free(path: Path) -> None:
    """Refuse, before anything is computed, a file that is no earlier report."""
    try:
        taken = path.exists() and (path.is_dir() or MARK not in path.read_bytes()[:1000])
    except OSError as error:
        raise OutputError(f"cannot write {path}: {first_line(error)}") from error
    if taken:
        raise OutputError(f"{path} is there and is no report; choose another --out")
