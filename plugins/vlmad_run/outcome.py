"""What came of a run, for people: the table, and what went wrong."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad_run.execute import Summary
    from vlmad_run.rows import Row
    from vlmad_run.thresholds import Threshold


def tell_failures(summary: Summary, folder: Path) -> None:
    """Name the images that could not be scored, on standard error."""
    for row in summary.failures:
        print(f"vlmad: not scored: {' '.join(row.reason.split())}", file=sys.stderr)
    unsaid = summary.failed - len(summary.failures)
    if unsaid:
        print(f"vlmad: and {unsaid} more, see {folder}/scores.csv", file=sys.stderr)


def computed_by(backbone: Any) -> str:
    """Return which backbone computed, where, and in which precision."""
    device = getattr(backbone, "device", "unknown device")
    return f"{backbone.spec.name} on {device} in {getattr(backbone, 'precision', 'float32')}"


def show(summary: Summary, folder: Path, threshold: Threshold | None, how: str) -> None:
    """Print the table, the most anomalous first, and where the rest is.

    Args:
        summary: of the run.
        folder: of the run.
        threshold: from which score on an image is anomalous.
        how: what computed the scores, and in which precision.
    """
    console = Console(highlight=False)
    rows = summary.shown()
    if rows:
        console.print(_table(rows, folder))
    if summary.done > len(rows):
        console.print(f"… and {summary.done - len(rows)} more with lower scores")
    images = "image" if summary.done == 1 else "images"
    console.print(
        f"\n{summary.done} {images} scored by {how}; higher is more anomalous", soft_wrap=True
    )
    if threshold is not None:
        console.print(
            f"{summary.anomalous} anomalous, {summary.done - summary.anomalous} ok; "
            f"anomalous from {threshold.value:.6g} on ({threshold.rule})"
        )
    written = [("all scores", "scores.csv"), ("heat maps", "overlays/")]
    for what, name in written if _drawn(rows, folder) else written[:1]:
        console.print(f"{what}: {_printable(str(folder))}/{name}", soft_wrap=True, markup=False)


def _shared_folder(images: Sequence[str]) -> str:
    folders = [os.path.dirname(image) for image in images]
    if len({os.path.isabs(folder) for folder in folders}) != 1:
        return ""  # no images, or some named from the root and some from here
    return os.path.commonpath(folders)


def _drawn(rows: Sequence[Row], folder: Path) -> bool:
    return any((folder / row.overlay).is_file() for row in rows)


def _table(rows: Sequence[Row], folder: Path) -> Table:
    """Return scores beside images, named from the folder that they share."""
    shared = _shared_folder([row.image for row in rows])
    title = f"image in {_printable(shared)}" if shared else "image"
    table = Table("score", box=None, header_style="bold")
    judged = any(row.verdict for row in rows)
    if judged:
        table.add_column("verdict")
    table.add_column(escape(title), overflow="fold")
    drawn = _drawn(rows, folder)
    if drawn:
        table.add_column("heat map in overlays/", overflow="fold")
    for row in rows:
        name = os.path.relpath(row.image, shared) if shared else row.image
        verdict = [row.verdict] if judged else []
        there = (folder / row.overlay).is_file()
        picture = [escape(Path(row.overlay).name) if there else ""] if drawn else []
        table.add_row(f"{row.score:.3f}", *verdict, escape(_printable(name)), *picture)
    return table


def _printable(name: str) -> str:
    """Return a name whose bytes that are no text are escaped."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
