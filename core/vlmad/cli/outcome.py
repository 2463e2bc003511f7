"""What came of a run, for people: the table, and what went wrong."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad.runs import Row, Summary
    from vlmad.thresholds import Threshold


def tell_failures(summary: Summary, folder: Path) -> None:
    """Name the images that could not be scored, on standard error."""
    for row in summary.failures:
        print(f"vlmad: not scored: {' '.join(row.reason.split())}", file=sys.stderr)
    unsaid = summary.failed - len(summary.failures)
    if unsaid:
        print(f"vlmad: and {unsaid} more, see {folder}/scores.csv", file=sys.stderr)


def show(summary: Summary, folder: Path, threshold: Threshold | None) -> None:
    """Print the table, the most anomalous first, and where the rest is."""
    console = Console(highlight=False)
    rows = summary.shown()
    if rows:
        console.print(_table(rows))
    if summary.done > len(rows):
        console.print(f"… and {summary.done - len(rows)} more with lower scores")
    images = "image" if summary.done == 1 else "images"
    console.print(f"\n{summary.done} {images} scored; higher is more anomalous")
    if threshold is not None:
        console.print(
            f"{summary.anomalous} anomalous, {summary.done - summary.anomalous} ok; "
            f"anomalous from {threshold.value:.6g} on ({threshold.rule})"
        )
    for what, name in (("all scores", "scores.csv"), ("heat maps", "overlays/")):
        console.print(f"{what}: {_printable(str(folder))}/{name}", soft_wrap=True, markup=False)


def _shared_folder(images: Sequence[str]) -> str:
    folders = [os.path.dirname(image) for image in images]
    if len({os.path.isabs(folder) for folder in folders}) != 1:
        return ""  # no images, or some named from the root and some from here
    return os.path.commonpath(folders)


def _table(rows: Sequence[Row]) -> Table:
    """Return scores beside images, named from the folder that they share."""
    shared = _shared_folder([row.image for row in rows])
    title = f"image in {_printable(shared)}" if shared else "image"
    table = Table("score", box=None, header_style="bold")
    judged = any(row.verdict for row in rows)
    if judged:
        table.add_column("verdict")
    table.add_column(escape(title), overflow="fold")
    table.add_column("heat map in overlays/", overflow="fold")
    for row in rows:
        name = os.path.relpath(row.image, shared) if shared else row.image
        verdict = [row.verdict] if judged else []
        files = [escape(_printable(name)), escape(Path(row.overlay).name)]
        table.add_row(f"{row.score:.3f}", *verdict, *files)
    return table


def _printable(name: str) -> str:
    """Return a name whose bytes that are no text are escaped."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
