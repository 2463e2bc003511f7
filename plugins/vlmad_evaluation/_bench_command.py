"""What `bench` and `grid` do alike: run into a folder, and print what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import typer

from vlmad.console import console, messages, output
from vlmad_evaluation._bench_folder import open_bench
from vlmad_evaluation._bench_running import describe, run_bench
from vlmad_evaluation.result_documents import BenchDocument
from vlmad_run.progress import bars, interruptible

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rich.console import Console

    from vlmad_evaluation._bench_document import Bench
    from vlmad_evaluation._measuring_options import Measuring

D = TypeVar("D", bound=BenchDocument)


def run_into(ready: Bench, out: Path | None, console: Console) -> tuple[BenchDocument, Path]:
    """Run a bench into the named folder, the one where it was stopped, or a new one."""
    with bars(console) as progress:
        plan, manifest = describe(ready, progress)
        with open_bench(out, manifest, ready.kind) as folder, interruptible(folder.path):
            return run_bench(ready, plan, folder, progress, console), folder.path


def print_outcome(
    document: D,
    page: Path,
    measuring: Measuring,
    print_tables: Callable[[Console, D, Path], None],
) -> None:
    """Print what came of it; end with status 1 if something failed.

    Args:
        document: what came of it.
        page: the file for people, in the folder of the bench.
        measuring: whether the document is printed, the tables, or nothing.
        print_tables: prints the tables.
    """
    if measuring.as_json:
        output().write(document.to_json().decode("utf-8"))
    elif not measuring.quiet:
        print_tables(console(), document, page.parent)
    failed = sum(cell.failed for cell in document.cells)
    if failed:
        images = "image" if failed == 1 else "images"
        what = f"vlmad: {failed} {images} could not be scored, see {page}"
        messages().print(what, markup=False, soft_wrap=True)
    if failed or any(entry.fault for entry in document.skipped):
        raise typer.Exit(1)
