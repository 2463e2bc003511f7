"""The folder of a report, which holds its own files and whatever else a user put there.

- ``report.html``: the page, complete in itself
- ``report.md`` and ``figures/``: the same in Markdown
- ``report.json``: which files are the report's, so that another one replaces those and no others
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from vlmad.errors import OutputError, first_line
from vlmad.files import read_text, write_atomically
from vlmad_run.run_folder import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FORMAT = "vlmad report 1"
HTML, MARKDOWN, LIST = "report.html", "report.md", "report.json"
OWN = re.compile(r"report\.(html|md)|figures/[A-Za-z0-9_-]+\.(png|jpg)")
"""Names that a report gives to its files."""


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds something else than a report.

    Raises:
        OutputError: it does, or it cannot be read.
    """
    try:
        filled = folder.is_dir() and any(folder.iterdir())
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder} is no folder; choose another --out")
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {first_line(error)}") from error
    if filled and _listed(folder) is None:
        raise OutputError(f"{folder} exists and holds something else; choose another --out")


def write_report(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a report, and delete those of an earlier one that it has no more.

    Args:
        folder: one that `check_folder` let pass.
        files: their contents by their names.

    Raises:
        OutputError: the folder cannot be written, or a name is taken by a file of the user's.
    """
    before = _listed(folder) or set()
    for name in files:
        if name not in before and (folder / name).exists():
            raise OutputError(f"{folder / name} is not of a report; move it or choose --out")
    # first, so that whatever a killed command leaves is known to be the report's
    _write_list(folder, before | set(files))
    for name, content in files.items():
        write_atomically(folder / name, content)
    try:
        for name in before - set(files):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {first_line(error)}") from error
    _write_list(folder, set(files))


def _write_list(folder: Path, names: set[str]) -> None:
    write_atomically(folder / LIST, to_json({"format": FORMAT, "files": sorted(names)}))


def _listed(folder: Path) -> set[str] | None:
    """Return the names of an earlier report's files, or None if there is no report."""
    try:
        table = json.loads(read_text(folder / LIST))
        if table["format"] != FORMAT:
            return None
        return {str(name) for name in table["files"] if OWN.fullmatch(str(name))}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
