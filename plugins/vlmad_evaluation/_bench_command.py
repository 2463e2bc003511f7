"""What `bench` and `grid` do alike: run into a folder, and print what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from vlmad.console import console, say, write_json
from vlmad.watching import watched
from vlmad_evaluation._bench_folder import open_bench
from vlmad_evaluation._bench_running import describe, run_bench
from vlmad_evaluation._cell_scoring import passes_of
from vlmad_evaluation._cluster_scoring import score_on_cluster
from vlmad_evaluation._grid_choice import choose, sentences
from vlmad_evaluation._result_terminal import print_results
from vlmad_evaluation.notation import count
from vlmad_evaluation.result_folders import read_results
from vlmad_run.progress import ShownProgress, bars, interruptible, print_notes
from vlmad_run.references import settle_range

if TYPE_CHECKING:
    from vlmad_evaluation._asked_bench import AskedBench
    from vlmad_evaluation._bench_document import Bench
    from vlmad_evaluation._bench_plan import Plan


def run_and_print(ready: Bench, asked: AskedBench) -> None:
    """Run into the named folder, the one where it was stopped, or a new one; print the result.

    The exit status is 1 if something failed, or lines of the table are left out.
    """
    measuring = asked.measuring
    notes = measuring.messages()
    samples = ready.dataset.select(ready.categories)
    said = settle_range([each.image for each in samples], *ready.detectors.values())
    print_notes(said, notes)
    with bars(notes) as progress, watched(ShownProgress(progress)):
        plan, manifest = describe(ready, progress)
        if ready.settings.conditions:
            print_notes([_cost(plan, ready)], notes)
        with open_bench(measuring.out, manifest, ready.kind) as folder, interruptible(folder.path):
            if measuring.engine is not None:
                score_on_cluster(ready, plan, folder, asked, progress)
            document = run_bench(ready, plan, folder, progress, notes)
    if measuring.as_json:
        write_json(document.to_json())
    elif not measuring.quiet:
        print_results(console(), document, folder.path)
    if asked.choose_by:
        chosen = choose(read_results(folder.path), ready.detectors, asked.choose_by)
        for line in () if measuring.as_json or measuring.quiet else sentences(chosen):
            console().print(line, soft_wrap=True, markup=False)
    failed = sum(cell.failed for cell in document.cells)
    if failed:
        page = folder.path / f"{ready.kind}.md"
        say(f"{count(failed, 'image')} could not be scored, see {page}")
    left_out = ready.dataset.wrong_lines
    if failed or left_out or any(entry.fault for entry in document.skipped):
        raise typer.Exit(1)


def _cost(plan: Plan, bench: Bench) -> str:
    """Say how much there is to do with all conditions."""
    images = len({sample.image for cell in plan.cells for sample in cell.samples})
    changes = sum(len(each.amounts) for each in bench.settings.conditions.values())
    return (
        f"{count(images, 'test image')} as they are and under {count(changes, 'change')}: "
        f"{count(images * (1 + changes), 'image')} to encode in "
        f"{count(passes_of(bench.detectors), 'pass', 'passes')} each, "
        f"{count(plan.images, 'score')}"
    )
