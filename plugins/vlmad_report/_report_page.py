"""From a folder of results to its report: which sections it has, and what stands at its top.

A section that fails takes only itself from the page: in its place stands what went wrong.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rich.progress import track

from vlmad.console import messages
from vlmad.errors import InputError, OutputError, VlmadError, first_line, reason_of
from vlmad.files import write_atomically
from vlmad_evaluation.judged_parts import part_words
from vlmad_evaluation.notation import count
from vlmad_report._average_sections import categories, object_groups, summary
from vlmad_report._condition_section import TITLE, other_conditions
from vlmad_report._curve_section import curves
from vlmad_report._defect_sections import contrasts, sizes, types
from vlmad_report._failure_section import failures
from vlmad_report._image_study import ImageStudy
from vlmad_report._published_section import published
from vlmad_report._report_blocks import ReportPage, ReportSection
from vlmad_report._report_html import MARK, to_html
from vlmad_report._result_source import open_source
from vlmad_report._setting_sections import few_shot, windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vlmad_datasets.object_groups import Groups
    from vlmad_report._result_source import ResultSource

    Makers = dict[str, Callable[[], ReportSection]]
    """From the title of a section to what makes it."""

LISTED, NAMED = 8, 3
"""Detectors that are named at the top of a page, and in its title; more are counted."""


def write_report(
    folder: Path, path: Path, data: Path | None, groups: Groups, title: str, most_failures: int
) -> list[str]:
    """Write a report to a path, in place of an earlier one; return what could not be made of it.

    Raises:
        InputError: the folder cannot be read.
        OutputError: the file cannot be written, or holds something else.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name one of vlmad bench or vlmad grid")
    _check_free(path)
    source = open_source(folder, data)
    page, faults = make_page(source, title, section_makers(source, groups, most_failures))
    write_atomically(path, to_html(page))
    return faults


def _check_free(path: Path) -> None:
    """Refuse, before anything is computed, a file that is no earlier report."""
    try:
        taken = path.exists() and (path.is_dir() or MARK not in path.read_bytes()[:1000])
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    if taken:
        raise OutputError(f"{path} is there and is no report; choose another --out")


def section_makers(source: ResultSource, groups: Groups, most_failures: int) -> Makers:
    """Return what makes the sections of a report; each image is looked at once for all."""
    study = ImageStudy(source)
    return {
        "Summary": lambda: summary(source),
        "Categories": lambda: categories(source),
        "Object groups": lambda: object_groups(source, groups),
        "Contrast of defects": lambda: contrasts(study),
        "Size of defects": lambda: sizes(study),
        "Types of defects": lambda: types(study, groups),
        "Zero-shot and few-shot": lambda: few_shot(source),
        "Window sizes": lambda: windows(source),
        TITLE: lambda: other_conditions(source),
        "Published figures": lambda: published(source),
        "Curves and scores": lambda: curves(study),
        "Failures": lambda: failures(study, most_failures),
    }


def make_page(source: ResultSource, title: str, makers: Makers) -> tuple[ReportPage, list[str]]:
    """Make the sections of a page; return it with what could not be made of it."""
    sections, faults = [], []
    steps = track(makers.items(), "sections", console=messages(), transient=True)
    for name, make in steps:
        try:
            sections.append(make())
        except Exception as error:  # whatever it is: the others are still worth having
            reason = first_line(error) if isinstance(error, VlmadError) else reason_of(error)
            faults.append(f"{name}: {reason.rstrip('.')}")
            sentence = f"This part of the report could not be made: {reason.rstrip('.')}."
            sections.append(ReportSection(name, [sentence]))
    notices = [f"A part of this report could not be made: {fault}." for fault in faults]
    facts = list(_facts(source))
    page = ReportPage(title or _title(source), facts, sections, [*_notices(source), *notices])
    return page, faults


def _title(source: ResultSource) -> str:
    detectors = source.document.detectors
    names = f"{len(detectors)} detectors" if len(detectors) > NAMED else ", ".join(detectors)
    root = source.document.dataset.root
    return f"{names} on {os.path.basename(os.path.abspath(root)) or root}"


def _facts(source: ResultSource) -> Iterator[tuple[str, str]]:
    """Yield what was measured on what, with what: names and values."""
    document = source.document
    dataset, settings, detectors = document.dataset, document.settings, document.detectors
    normal = sum(each.normal for each in dataset.categories.values())
    anomalous = sum(each.anomalous for each in dataset.categories.values())
    names = ", ".join(dataset.categories)
    yield "Data set", f"{dataset.root}, read as {dataset.reader}"
    if source.data is not None:
        yield "Images from", str(source.data)
    yield "Categories", f"{len(dataset.categories)}: {names}"
    spare = " and good train images that are no reference" if settings.spare_good else ""
    aligned = ", aligned to the first reference" if settings.align else ""
    yield "Test images", f"{normal} normal, {anomalous} anomalous{spare}{aligned}"
    if settings.group:
        yield "Parts", f"{'. '.join(part_words(settings))}; curves and failures below are of images"
    listed = f": {', '.join(detectors)}" if len(detectors) <= LISTED else ""
    yield "Detectors", f"{len(detectors)}{listed}"
    backbones = (
        f"{each.backbone}, licence {each.licence or 'unknown'}, "
        f"weights {(each.weights_sha256 or 'unknown')[:12]}, {each.precision}"
        for each in detectors.values()
    )
    yield "Backbone", "; ".join(dict.fromkeys(backbones))
    drawn = f" ({settings.seeds} seeds)" if any(settings.shots) else ""
    yield "References", f"{', '.join(map(str, settings.shots))}{drawn}"
    yield "Pixel metrics", f"at {settings.resolution} resolution"
    yield "Intervals", f"{settings.confidence:.0%}, {settings.replicates} replicates"
    yield "Results in", str(source.results.folder)
    yield "Measured with", f"vlmad {document.vlmad}"


def _notices(source: ResultSource) -> Iterator[str]:
    """Yield what must be known first: what is not finished, not there, and what failed."""
    document, folder = source.document, source.results.folder
    if not document.finished:
        done = count(len(document.cells), "cell")
        yield f"{folder} is not finished: what follows is of the {done} done so far."
    missing = [sample.image for sample in source.samples if not sample.image.is_file()]
    if missing:
        yield (
            f"{count(len(missing), 'image')} of {len(source.samples)} are not where they were "
            f"measured, the first is {missing[0]}. What is seen in them is not in this report: "
            "photographs, contrast and size of defects, curves of pixels. If the data set has "
            "moved, name it with --data."
        )
    failed = sum(cell.failed for cell in document.cells)
    if failed:
        yield f"{count(failed, 'image')} could not be scored and count nowhere."
