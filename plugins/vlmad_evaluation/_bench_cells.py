"""The cells of a bench: scored side by side, measured one by one, each with its threshold."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from vlmad.loading import chunks
from vlmad_evaluation._cell_metrics import best_threshold, measure_cell
from vlmad_evaluation._cell_scoring import score_cells
from vlmad_evaluation.result_folders import CellResult, read_result, write_result
from vlmad_run.rows import MAPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from vlmad_evaluation._bench_folder import BenchFolder
    from vlmad_evaluation._bench_plan import Cell, Settings
    from vlmad_evaluation._cell_scoring import Outcome, SideBySide
    from vlmad_evaluation.result_documents import SkippedEntry

AT_ONCE = 64
"""Cells that are scored side by side; each holds what it remembers of its references."""
SETS_AT_ONCE = 8
"""Fewer, of scorers that see all images together: each may hold features of its own of all."""


def run_cells(
    cells: Sequence[Cell],
    group: SideBySide,
    folder: BenchFolder,
    settings: Settings,
    advance: Callable[[int], None],
) -> Iterator[tuple[Cell, CellResult | SkippedEntry]]:
    """Yield what comes of each cell; that of finished ones is read.

    Args:
        cells: of one category and of detectors of the group.
        group: the detectors.
        folder: the bench's.
        settings: what is measured how.
        advance: given how many more images are done, one counting for each cell.

    Raises:
        InputError: an image has gone.
        OutputError: the folder cannot be written, or holds something else.
    """
    for some in _side_by_side(cells, group):
        finished = {cell: read_result(folder.cell(cell)) for cell in some}
        advance(sum(len(cell.samples) for cell in some if finished[cell] is not None))
        missing = [cell for cell in some if finished[cell] is None]
        outcome = score_cells(missing, group, folder, settings, advance)
        for cell in some:
            yield cell, finished[cell] or _result(cell, outcome, folder, settings)
            if not settings.keep_maps:
                _delete_maps(folder.cell(cell))


def _side_by_side(cells: Sequence[Cell], group: SideBySide) -> Iterator[list[Cell]]:
    """Yield the cells that are scored at one time."""
    of_sets = {n for n, each in group.detectors.items() if each.scorer.scope == "set"}
    yield from chunks((cell for cell in cells if cell.detector not in of_sets), AT_ONCE)
    yield from chunks((cell for cell in cells if cell.detector in of_sets), SETS_AT_ONCE)


def _result(
    cell: Cell, outcome: Outcome, folder: BenchFolder, settings: Settings
) -> CellResult | SkippedEntry:
    """Measure a cell that was scored, and keep what comes of it."""
    if cell in outcome.failures:
        return outcome.failures[cell]
    scored, manifest = outcome.scored[cell], outcome.manifests[cell]
    if not scored:
        return cell.skip(f"no image could be scored, see {folder.cell(cell)}/scores.csv")
    result = measure_cell(cell, scored, manifest.references, settings)
    threshold = best_threshold(result, manifest.identity)
    if threshold is not None:
        threshold.write(folder.threshold(cell))
    write_result(folder.cell(cell), result)
    return result


def _delete_maps(place: Path) -> None:
    for path in (place / MAPS).glob("*.png"):
        with suppress(OSError):  # they are in no one's way
            path.unlink()
