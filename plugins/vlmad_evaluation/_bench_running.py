"""A whole bench: from the plan to the files that say what came of it."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vlmad.errors import InputError, PluginError, printable
from vlmad_evaluation._bench_cells import run_cells
from vlmad_evaluation._bench_document import FORMAT, Kind, make_document
from vlmad_evaluation._bench_folder import BenchFolder, open_folder
from vlmad_evaluation._bench_page import to_markdown
from vlmad_evaluation._bench_plan import Skipped, content_digests, make_plan
from vlmad_evaluation._bench_samples import write_samples
from vlmad_evaluation._cell_results import CellResult
from vlmad_evaluation._cell_scoring import side_by_side
from vlmad_evaluation._image_timing import Machine, seconds_per_image
from vlmad_evaluation.notation import shots_name, to_csv, value
from vlmad_evaluation.resolution import describe_resolution
from vlmad_run.manifest import identity
from vlmad_run.places import describe_images
from vlmad_run.run_folder import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import Console

    from vlmad_evaluation._bench_document import Bench
    from vlmad_evaluation._bench_plan import Cell, Plan
    from vlmad_run.execute import Progress


def describe(bench: Bench, progress: Progress) -> tuple[Plan, dict[str, Any]]:
    """Return the cells and the manifest of the bench.

    Raises:
        InputError: there is nothing to measure, or a file cannot be read.
        WeightsError: weights cannot be loaded.
    """
    plan = make_plan(bench.dataset, bench.categories, bench.detectors, bench.settings)
    contents = content_digests(
        bench.dataset, bench.categories, lambda done, total: progress("hashing", done, total)
    )
    settings = bench.settings
    images = [cell.image for cell in bench.dataset.select(bench.categories, "test")]
    what = {
        "reader": bench.dataset.name,
        "categories": {c: {"content": contents[c], "class_name": n} for c, n in _names(bench)},
        "detectors": {name: identity(each, "object") for name, each in bench.detectors.items()},
        "shots": list(settings.shots),
        "seeds": settings.seeds,
        "resolution": describe_resolution(settings.resolution),
        "replicates": settings.replicates,
        "batch_size": settings.batch_size,
    }
    manifest = {
        "format": FORMAT,
        "command": sys.argv[1:],
        "images": describe_images(images),
        "identity": what,
    }
    return plan, json.loads(to_json(manifest))


def _names(bench: Bench) -> list[tuple[str, str]]:
    return [(category, bench.dataset.class_name(category)) for category in bench.categories]


def run_bench(
    bench: Bench,
    plan: Plan,
    manifest: dict[str, Any],
    path: Path,
    progress: Progress,
    say: Console,
) -> dict[str, Any]:
    """Run all cells that are not finished, and write what came of all; return the document.

    Who interrupts it finds in the files what is done so far.

    Raises:
        OutputError: the folder cannot be written, or holds another bench.
    """
    came: dict[Cell, CellResult | Skipped] = {}
    with open_folder(path, manifest) as folder:
        machine = Machine.read(path)
        _time(bench, plan, machine)
        machine.note(path)
        write_samples(path, bench.dataset.select(bench.categories, "test"))
        try:
            for cell, result in _results(bench, plan, folder, progress):
                came[cell] = result
                machine.note(path)
                if bench.kind.tells or isinstance(result, Skipped):
                    _tell(cell, result, len(came), len(plan.cells), say)
        except KeyboardInterrupt:
            if came:
                _write(folder, bench, make_document(bench, plan, came, machine))
            raise
        document = make_document(bench, plan, came, machine)
        _write(folder, bench, document)
        if any(isinstance(result, CellResult) for result in came.values()):
            folder.finish()
            return document
    raise InputError(f"nothing could be measured: {document['skipped'][-1]['reason']}")


def _results(
    bench: Bench, plan: Plan, folder: BenchFolder, progress: Progress
) -> Iterator[tuple[Cell, CellResult | Skipped]]:
    """Yield what comes of each cell; those of a category are scored together."""
    groups = side_by_side(bench.detectors)
    done = 0

    def told(count: int) -> None:
        progress("scoring", done + count, plan.images)

    for category in bench.categories:
        for group in groups:
            cells = [c for c in plan.cells if c.category == category and c.detector in group.names]
            yield from run_cells(cells, group, folder, bench.settings, told)
            done += sum(len(cell.samples) for cell in cells)


def _time(bench: Bench, plan: Plan, machine: Machine) -> None:
    """Measure the time per image of each detector, once for each bench."""
    for cell in plan.cells if bench.settings.timed else ():
        if cell.detector not in machine.seconds:
            images = [sample.image for sample in cell.samples]
            detector = bench.detectors[cell.detector]
            machine.seconds[cell.detector] = None
            with suppress(PluginError):  # then its cells fail as well, and say so
                machine.seconds[cell.detector] = seconds_per_image(
                    detector, images, cell.references, cell.class_name
                )


def _tell(
    cell: Cell, result: CellResult | Skipped, number: int, total: int, say: Console
) -> None:
    seed = "" if cell.seed is None else f", seed {cell.seed}"
    found = f"not measured, {result.reason}" if isinstance(result, Skipped) else ", ".join(
        f"{words} {value(asdict(result.metrics[name]))}"
        for name, words in (("image_auroc", "image AUROC"), ("pixel_auroc", "pixel AUROC"))
    )
    say.print(
        f"{number}/{total} {printable(cell.detector)}, {printable(cell.category)}, "
        f"{shots_name(cell.shots)}{seed}: {found}",
        markup=False,
        soft_wrap=True,
    )


def _write(folder: BenchFolder, bench: Bench, document: dict[str, Any]) -> None:
    for name, content in bench.kind.files(document).items():
        folder.write(name, content.encode("utf-8", "backslashreplace"))
    folder.write(f"{bench.kind.name}.json", to_json(document))


BENCH = Kind("bench", lambda document: {
    "bench.csv": to_csv(document), "bench.md": to_markdown(document)
})
