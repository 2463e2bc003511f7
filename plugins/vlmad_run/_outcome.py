"""What came of a run, for people: the table, and what went wrong."""

from __future__ import annotations

import heapq
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from vlmad.errors import one_line, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from vlmad_run.manifest import Reference
    from vlmad_run.rows import ScoreRow
    from vlmad_run.run_folder import RunFolder
    from vlmad_run.thresholds import Threshold

ROWS_SHOWN = 40
WARNINGS = 20
"""As many of a kind are written out."""


@dataclass(slots=True)
class RunSummary:
    """What came of a run, for those who look at it."""

    done: int = 0
    failed: int = 0
    anomalous: int = 0
    highest: list[tuple[float, int, ScoreRow]] = field(default_factory=list)
    """The highest scores with their rows, a heap of at most `ROWS_SHOWN`."""
    failures: list[str] = field(default_factory=list)
    """Why the first images that could not be scored were not."""
    tested: dict[str, str] = field(default_factory=dict)
    """Images that are references too: from the image's name to the reference's."""

    def rows(self) -> list[ScoreRow]:
        """Return the rows with the highest scores, the highest first."""
        return [row for _, _, row in sorted(self.highest, reverse=True)]


def summarise(rows: Iterable[ScoreRow], references: Iterable[Reference]) -> RunSummary:
    """Take rows into account, one after the other."""
    summary, known = RunSummary(), {each.sha256: each.path for each in references}
    for row in rows:
        if row.sha256 in known:
            summary.tested[row.image] = known[row.sha256]
        if row.score is None:
            summary.failed += 1
            summary.failures += [row.reason] if summary.failed <= ROWS_SHOWN else []
            continue
        summary.done += 1
        summary.anomalous += row.verdict == "anomalous"
        full = len(summary.highest) >= ROWS_SHOWN
        push = heapq.heappushpop if full else heapq.heappush
        push(summary.highest, (row.score, -summary.done, row))
    return summary


def print_warnings(summary: RunSummary, folder: Path, console: Console) -> None:
    """Name the images that could not be scored, and those whose scores mean little."""

    def warn(text: str) -> None:
        console.print(f"vlmad: {text}", markup=False, soft_wrap=True)

    for reason in summary.failures:
        warn(f"not scored: {one_line(reason)}")
    if summary.failed > len(summary.failures):
        warn(f"and {summary.failed - len(summary.failures)} more, see {folder}/scores.csv")
    for image, reference in list(summary.tested.items())[:WARNINGS]:
        same = "" if image == reference else f", as {image}"
        warn(f"warning: reference {reference} is also under test{same}")
    if len(summary.tested) > WARNINGS:
        warn(f"warning: and {len(summary.tested) - WARNINGS} more")


def print_table(
    summary: RunSummary, folder: RunFolder, threshold: Threshold | None, console: Console
) -> None:
    """Print the table, the most anomalous first, and where the rest is."""
    rows, manifest, place = summary.rows(), folder.manifest, printable(folder.path)
    drawn = any((folder.path / row.overlay).is_file() for row in rows)
    if rows:
        console.print(_table(rows, folder.path, drawn))
    if summary.done > len(rows):
        console.print(f"… and {summary.done - len(rows)} more with lower scores")
    images = "image" if summary.done == 1 else "images"
    how = f"{manifest.backbone} on {manifest.device} in {manifest.identity.precision}"
    console.print(
        f"\n{summary.done} {images} scored by {how}; higher is more anomalous", soft_wrap=True
    )
    if threshold is not None:
        console.print(
            f"{summary.anomalous} anomalous, {summary.done - summary.anomalous} ok; "
            f"anomalous from {threshold.value:.6g} on ({threshold.rule})"
        )
    console.print(f"all scores: {place}/scores.csv", soft_wrap=True, markup=False)
    if drawn:
        console.print(f"heat maps: {place}/overlays/", soft_wrap=True, markup=False)


def _table(rows: Sequence[ScoreRow], folder: Path, drawn: bool) -> Table:
    """Return scores beside images, named from the folder that they share."""
    shared = _shared_folder([row.image for row in rows])
    judged = any(row.verdict for row in rows)
    table = Table("score", box=None, header_style="bold")
    if judged:
        table.add_column("verdict")
    title = f"image in {printable(shared)}" if shared else "image"
    table.add_column(escape(title), overflow="fold")
    if drawn:
        table.add_column("heat map in overlays/", overflow="fold")
    for row in rows:
        name = os.path.relpath(row.image, shared) if shared else row.image
        there = (folder / row.overlay).is_file()
        picture = escape(Path(row.overlay).name) if there else ""
        cells = [f"{row.score:.3f}", *([row.verdict] if judged else []), escape(printable(name))]
        table.add_row(*cells, *([picture] if drawn else []))
    return table


def _shared_folder(images: Sequence[str]) -> str:
    folders = [os.path.dirname(image) for image in images]
    if len({os.path.isabs(folder) for folder in folders}) != 1:
        return ""  # no images, or some named from the root and some from here
    return os.path.commonpath(folders)
