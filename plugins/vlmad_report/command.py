"""The command ``vlmad report``."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmad.errors import InputError, printable
from vlmad_report.asking import Images, Shown  # noqa: TC001 (typer reads the signature)
from vlmad_run.choosing import choosing
from vlmad_run.progress import progress_bars, speaking

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vlmad_evaluation.bench.reading import Results

    from vlmad_datasets import OpenDataset
    from vlmad_report.page import Report
    from vlmad_run.execute import Progress

INSIDE = "report"
"""The folder of a report in that of the only RUN."""


@choosing
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN…",
            help="Folders of vlmad bench, vlmad grid or vlmad run.",
            show_default=False,
        ),
    ],
    shown: Shown,
    images: Images,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The folder to write; by default RUN/report, or a new one in vlmad-runs/ if "
            "there are several RUNs."
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Show what benches, grids and runs gave: one page with tables, figures and failures.

    Writes report.html, a single file that loads nothing from anywhere, and the same as
    report.md with its pictures in figures/. A report that is made again replaces its own files.

    Exit status: 0 all done, 1 a part of the report could not be made, 2 nothing could be done.

    Examples:
    vlmad report vlmad-runs/2026-05-01-120000-bench

    vlmad report benches/one benches/two --out comparison --title "Two backbones"

    vlmad report vlmad-runs/2026-05-01-130000-winclip --data mvtec/

    vlmad report benches/one --data /where/the/photographs/are/now
    """
    from vlmad_report.page import all_parts, make_report

    folders = list(dict.fromkeys(runs))
    _check_wanted(folders, out)
    wishes = shown.wishes()
    with progress_bars(speaking(quiet)) as progress:
        made = make_report(
            _read(folders, images.open(), progress),
            wishes,
            all_parts(),
            shown.title,
            progress=lambda done, total: progress("sections", done, total),
        )
    folder = _write(made, folders, out)
    print(printable(folder / "report.html"))
    for fault in made.faults:
        print(f"vlmad: not in the report: {printable(fault)}", file=sys.stderr)
    if made.faults:
        raise typer.Exit(1)


def _check_wanted(folders: Sequence[Path], out: Path | None) -> None:
    """Refuse, before anything is computed, what cannot be read, or written in the end."""
    from vlmad_report.folder import check_folder

    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; name one of vlmad bench, grid or run")
    if out is not None or len(folders) == 1:
        check_folder(out or folders[0] / INSIDE)


def _read(
    folders: Sequence[Path], dataset: OpenDataset | None, progress: Progress
) -> list[Results]:
    from vlmad_evaluation.bench.reading import DOCUMENTS, read_results

    from vlmad_report.sources.labelled import is_run, label_run
    from vlmad_report.sources.moved import find_again

    def told(done: int, total: int) -> None:
        progress("matching", done, total)

    results: list[Results] = []
    for folder in folders:
        documented = any((folder / name).is_file() for name in DOCUMENTS)
        if documented or not is_run(folder):
            own = read_results(folder)
            results.append(own if dataset is None else find_again(own, dataset, told))
        elif dataset is None:
            raise InputError(
                f"{folder} is a run, which has no labels: name its data set with --data DATA"
            )
        else:
            results.append(label_run(folder, dataset, told))
    return results


def _write(made: Report, folders: Sequence[Path], out: Path | None) -> Path:
    from vlmad_report.folder import write_report

    with _folder(folders, out) as folder:
        write_report(folder, _files(made))
    return folder


@contextmanager
def _folder(folders: Sequence[Path], out: Path | None) -> Iterator[Path]:
    """Yield the folder to write; one that was made for nothing is removed."""
    from vlmad_run.places import RUNS, new_folder, remove_if_empty

    if out is not None or len(folders) == 1:
        yield out or folders[0] / INSIDE
        return
    folder = new_folder(RUNS, INSIDE)
    try:
        yield folder
    finally:
        remove_if_empty(folder)


def _files(made: Report) -> Mapping[str, bytes]:
    from vlmad_report import folder
    from vlmad_report.rendering import html, markdown

    return {
        **markdown.files(made.rendered),
        folder.MARKDOWN: markdown.to_markdown(made.page, made.rendered).encode("utf-8"),
        folder.HTML: html.to_html(made.page, made.rendered).encode("utf-8"),
    }

