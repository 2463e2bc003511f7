"""A whole bench or grid: from the plan to the files with what came of it."""

from __future__ import annotations

import itertools
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from vlmad.errors import InputError, PluginError
from vlmad.files import write_atomically
from vlmad.loading import chunks
from vlmad_evaluation._bench_document import make_document
from vlmad_evaluation._bench_folder import BenchIdentity, BenchManifest, CategoryIdentity
from vlmad_evaluation._bench_page import to_markdown
from vlmad_evaluation._bench_plan import content_digests, make_plan, measured_samples
from vlmad_evaluation._cell_metrics import best_threshold, measure_cell
from vlmad_evaluation._cell_scoring import score_cells, side_by_side
from vlmad_evaluation._result_csv import bench_csv, conditions_csv, grid_csv
from vlmad_evaluation.conditions import changes_of
from vlmad_evaluation.judged_parts import NoWholePart
from vlmad_evaluation.notation import not_measured
from vlmad_evaluation.result_documents import GridDocument, SkippedEntry, write_document
from vlmad_evaluation.result_folders import CellResult, read_result, write_result, write_samples
from vlmad_evaluation.sharing import share
from vlmad_run.identity import identity
from vlmad_run.learning_in_fit import learning_seconds
from vlmad_run.manifest import digest_of_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from rich.console import Console
    from rich.progress import Progress

    from vlmad_evaluation._bench_document import Bench
    from vlmad_evaluation._bench_folder import BenchFolder
    from vlmad_evaluation._bench_plan import Cell, Plan
    from vlmad_evaluation._cell_scoring import OpenCell
    from vlmad_evaluation.result_documents import BenchDocument, BenchSettings

AT_ONCE = 64
"""Cells that are scored side by side; each holds what it remembers of its references."""


def describe(bench: Bench, progress: Progress) -> tuple[Plan, BenchManifest]:
    """Return the cells and the manifest of the bench."""
    dataset = bench.dataset
    for detector in bench.detectors.values():
        with suppress(PluginError):  # its cells say so
            detector.requests()
    plan = make_plan(dataset, bench.categories, bench.detectors, bench.settings)
    contents = content_digests(dataset, bench.categories, progress)
    what = BenchIdentity(
        reader=dataset.name,
        categories={
            name: CategoryIdentity(content=contents[name], class_name=dataset.class_name(name))
            for name in bench.categories
        },
        detectors={name: identity(d, "object") for name, d in share(bench.detectors).items()},
        settings=bench.settings,
    )
    samples = measured_samples(dataset, bench.categories, bench.settings)
    images = [sample.image for sample in samples]
    names = digest_of_names(images)
    return plan, BenchManifest(command=sys.argv[1:], images_sha256=names, identity=what)


def run_bench(
    bench: Bench, plan: Plan, folder: BenchFolder, progress: Progress, console: Console
) -> BenchDocument:
    """Run all cells that are not finished, and write what came of all; return the document.

    Who interrupts it finds in the files what is done so far.
    """
    came: dict[Cell, CellResult | SkippedEntry] = {}
    write_samples(folder.path, measured_samples(bench.dataset, bench.categories, bench.settings))
    try:
        for cell, result in results_of(bench, plan, folder, progress):
            came[cell] = result
            if isinstance(result, SkippedEntry):
                for line in not_measured([result]):
                    console.print(line)
    finally:
        if came:
            document = make_document(bench, plan, came)
            _write(folder, document)
    if not document.cells:
        raise InputError(f"nothing could be measured: {document.skipped[-1].reason}")
    folder.finish()
    return document


def results_of(
    bench: Bench, plan: Plan, folder: BenchFolder, progress: Progress
) -> Iterator[tuple[Cell, CellResult | SkippedEntry]]:
    """Yield what comes of each cell; those of a category are scored together."""
    task = progress.add_task("scoring", total=plan.images)
    groups, settings = side_by_side(bench.detectors), bench.settings

    def advance(count: int) -> None:
        progress.advance(task, count)

    changes = (None, *changes_of(settings.conditions))
    for category, group, change in itertools.product(bench.categories, groups, changes):
        of_category = (c for c in plan.cells if (c.category, c.change) == (category, change))
        own = (cell for cell in of_category if cell.detector in group.detectors)
        for cells in _of_one_frame(own):
            finished = {cell: read_result(folder.cell(cell)) for cell in cells}
            advance(sum(len(cell.samples) for cell in cells if finished[cell] is not None))
            missing = [cell for cell in cells if finished[cell] is None]
            scored = score_cells(missing, group, folder, settings, advance)
            for cell in cells:
                yield cell, finished[cell] or _measure(scored[cell], folder, settings)


def _of_one_frame(cells: Iterable[Cell]) -> Iterator[list[Cell]]:
    """Yield up to `AT_ONCE` cells that see images in one place, and so share what they encode."""
    alike: dict[Path | None, list[Cell]] = {}
    for cell in cells:
        alike.setdefault(cell.frame, []).append(cell)
    for own in alike.values():
        yield from chunks(own, AT_ONCE)


def _measure(
    own: OpenCell | SkippedEntry, folder: BenchFolder, settings: BenchSettings
) -> CellResult | SkippedEntry:
    """Measure a cell that was scored, and keep what comes of it."""
    if isinstance(own, SkippedEntry):
        return own
    cell, scored = own.cell, own.scored()
    if not scored:
        return cell.skip(f"no image could be scored, see {folder.cell(cell)}/scores.csv")
    try:
        learned = learning_seconds(folder.learned(cell))
        result = measure_cell(cell, scored, own.manifest.references, settings, learned)
    except NoWholePart as error:
        return cell.skip(str(error))
    threshold = best_threshold(result, own.manifest.identity)
    if threshold is not None and cell.change is None:
        threshold.write(folder.threshold(cell))
    write_result(folder.cell(cell), result)
    return result


def _write(folder: BenchFolder, document: BenchDocument) -> None:
    if isinstance(document, GridDocument):
        kind, table = "grid", grid_csv(document)
    else:
        kind, table = "bench", bench_csv(document)
    page = to_markdown(document).encode("utf-8", "backslashreplace")
    contents = {f"{kind}.csv": table, f"{kind}.md": page}
    if document.conditions:
        contents["conditions.csv"] = conditions_csv(document)
    for name, content in contents.items():
        write_atomically(folder.path / name, content)
    write_document(document, folder.path)
