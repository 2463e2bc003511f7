"""Which sections a report has, and what stands at its top.

A section that fails takes only itself from the page: in its place stands what went wrong.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmad.errors import VlmadError, first_line, reason_of
from vlmad_report import _curve_section, _defect_sections, _setting_sections
from vlmad_report._failure_section import failures
from vlmad_report._group_section import object_groups
from vlmad_report._image_study import ImageStudy
from vlmad_report._published_section import published
from vlmad_report._report_blocks import ReportPage, ReportSection
from vlmad_report._report_text import count
from vlmad_report._summary import categories, summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vlmad_datasets.object_groups import Groups
    from vlmad_report._result_source import ResultSource

LISTED, NAMED = 8, 3
"""Detectors that are named at the top of a page, and in its title; more are counted."""


@dataclass(frozen=True, slots=True)
class ReportWishes:
    """What the user asked of a report."""

    groups: Groups
    """Of objects and of defects."""
    title: str = ""
    failures: int = 4
    """How many failures are shown of each kind; 0 for no photographs."""


Makers = dict[str, "Callable[[], ReportSection]"]
"""From the title of a section to what makes it."""


def section_makers(source: ResultSource, wishes: ReportWishes) -> Makers:
    """Return what makes the sections of a report; each image is looked at once for all."""
    study = ImageStudy(source)
    return {
        "Summary": lambda: summary(source),
        "Categories": lambda: categories(source),
        "Object groups": lambda: object_groups(source, wishes.groups),
        "Contrast of defects": lambda: _defect_sections.contrasts(study),
        "Size of defects": lambda: _defect_sections.sizes(study),
        "Types of defects": lambda: _defect_sections.types(study, wishes.groups),
        "Zero-shot and few-shot": lambda: _setting_sections.few_shot(source),
        "Window sizes": lambda: _setting_sections.windows(source),
        "Published figures": lambda: published(source),
        "Curves and scores": lambda: _curve_section.curves(study),
        "Failures": lambda: failures(study, wishes.failures),
    }


def make_page(
    source: ResultSource, wishes: ReportWishes, makers: Makers, titles: Iterable[str]
) -> tuple[ReportPage, list[str]]:
    """Make the sections of some titles; return their page with what could not be made of it."""
    sections, faults = [], []
    for title in titles:
        try:
            sections.append(makers[title]())
        except Exception as error:  # whatever it is: the others are still worth having
            reason = first_line(error) if isinstance(error, VlmadError) else reason_of(error)
            faults.append(f"{title}: {reason.rstrip('.')}")
            sentence = f"This part of the report could not be made: {reason.rstrip('.')}."
            sections.append(ReportSection(title, [sentence]))
    notices = [f"A part of this report could not be made: {fault}." for fault in faults]
    title = wishes.title or _title(source)
    page = ReportPage(title, list(_facts(source)), sections, [*_notices(source), *notices])
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
    yield "Test images", f"{normal} normal, {anomalous} anomalous"
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
