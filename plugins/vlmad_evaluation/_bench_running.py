"""A whole bench or grid: from the plan to the files with what came of it."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from vlmad.errors import InputError, PluginError, printable
from vlmad_evaluation._bench_cells import run_cells
from vlmad_evaluation._bench_document import Machine, make_document
from vlmad_evaluation._bench_folder import BenchIdentity, BenchManifest, CategoryIdentity
from vlmad_evaluation._bench_page import to_csv, to_markdown
from vlmad_evaluation._bench_plan import content_digests, make_plan
from vlmad_evaluation._cell_scoring import side_by_side
from vlmad_evaluation._image_timing import peak_memory, seconds_per_image
from vlmad_evaluation.grid_table import grid_csv, grid_markdown
from vlmad_evaluation.labelled_maps import describe_resolution
from vlmad_evaluation.notation import metric_text, shots_name
from vlmad_evaluation.result_documents import GridDocument, SkippedEntry, write_document
from vlmad_evaluation.result_folders import CellResult, write_samples
from vlmad_evaluation.sharing import share
from vlmad_run.manifest import digest_of_names, identity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.progress import Progress

    from vlmad_evaluation._bench_document import Bench
    from vlmad_evaluation._bench_folder import BenchFolder
    from vlmad_evaluation._bench_plan import Cell, Plan
    from vlmad_evaluation.result_documents import BenchDocument


def describe(bench: Bench, progress: Progress) -> tuple[Plan, BenchManifest]:
    """Return the cells and the manifest of the bench.

    Raises:
        InputError: there is nothing to measure, or a file cannot be read.
        WeightsError: weights cannot be loaded.
    """
    dataset, settings = bench.dataset, bench.settings
    plan = make_plan(dataset, bench.categories, bench.detectors, settings)
    contents = content_digests(dataset, bench.categories, progress)
    what = BenchIdentity(
        reader=dataset.name,
        categories={
            name: CategoryIdentity(content=contents[name], class_name=dataset.class_name(name))
            for name in bench.categories
        },
        detectors={name: identity(d, "object") for name, d in share(bench.detectors).items()},
        shots=list(settings.shots),
        seeds=settings.seeds,
        resolution=describe_resolution(settings.resolution),
        replicates=settings.replicates,
        batch_size=settings.batch_size,
    )
    images = [sample.image for sample in dataset.select(bench.categories, "test")]
    names = digest_of_names(images)
    return plan, BenchManifest(command=sys.argv[1:], images_sha256=names, identity=what)


def run_bench(
    bench: Bench, plan: Plan, folder: BenchFolder, progress: Progress, console: Console
) -> BenchDocument:
    """Run all cells that are not finished, and write what came of all; return the document.

    Who interrupts it finds in the files what is done so far.

    Raises:
        InputError: nothing could be measured, or an image has gone.
        OutputError: the folder cannot be written.
    """
    came: dict[Cell, CellResult | SkippedEntry] = {}
    seconds = _seconds(bench, plan)
    write_samples(folder.path, bench.dataset.select(bench.categories, "test"))
    try:
        for cell, result in _results(bench, plan, folder, progress):
            came[cell] = result
            if bench.kind == "bench" or isinstance(result, SkippedEntry):
                count = f"{len(came)}/{len(plan.cells)}"
                console.print(f"{count} {_line(cell, result)}", markup=False, soft_wrap=True)
    finally:
        if came:
            document = make_document(bench, plan, came, Machine(seconds, peak_memory()))
            _write(folder, document)
    if not document.cells:
        raise InputError(f"nothing could be measured: {document.skipped[-1].reason}")
    folder.finish()
    return document


def _results(
    bench: Bench, plan: Plan, folder: BenchFolder, progress: Progress
) -> Iterator[tuple[Cell, CellResult | SkippedEntry]]:
    """Yield what comes of each cell; those of a category are scored together."""
    task = progress.add_task("scoring", total=plan.images)
    groups = side_by_side(bench.detectors)
    for category in bench.categories:
        own = [cell for cell in plan.cells if cell.category == category]
        for group in groups:
            cells = [cell for cell in own if cell.detector in group.detectors]
            yield from run_cells(
                cells, group, folder, bench.settings, lambda count: progress.advance(task, count)
            )


def _seconds(bench: Bench, plan: Plan) -> dict[str, float | None]:
    """Return the time per image of each detector that is to be timed."""
    seconds: dict[str, float | None] = {}
    for cell in plan.cells if bench.settings.timed else ():
        if cell.detector not in seconds:
            seconds[cell.detector] = None
            images = [sample.image for sample in cell.samples]
            with suppress(PluginError):  # then its cells fail as well, and say so
                seconds[cell.detector] = seconds_per_image(
                    bench.detectors[cell.detector], images, cell.references, cell.class_name
                )
    return seconds


def _line(cell: Cell, result: CellResult | SkippedEntry) -> str:
    if isinstance(result, SkippedEntry):
        figures = f"not measured, {result.reason}"
    else:
        image, pixel = (metric_text(result.metrics[f"{kind}_auroc"]) for kind in ("image", "pixel"))
        figures = f"image AUROC {image}, pixel AUROC {pixel}"
    seed = "" if cell.seed is None else f", seed {cell.seed}"
    where = f"{cell.detector}, {cell.category}, {shots_name(cell.shots)}{seed}"
    return printable(f"{where}: {figures}")


def _write(folder: BenchFolder, document: BenchDocument) -> None:
    if isinstance(document, GridDocument):
        tables = {"grid.csv": grid_csv(document), "grid.md": grid_markdown(document)}
    else:
        tables = {"bench.csv": to_csv(document), "bench.md": to_markdown(document)}
    for name, text in tables.items():
        folder.write(name, text.encode("utf-8", "backslashreplace"))
    write_document(document, folder.path)
