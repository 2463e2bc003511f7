"""Which sections a report has, and how the page is made of them.

A section that fails takes only itself from the page: in its place stands what went wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmad.errors import VlmadError, first_line
from vlmad_report.content import Figure, Page, Section
from vlmad_report.looking.study import Looking
from vlmad_report.rendering.encoded import render
from vlmad_report.sections import facts
from vlmad_report.sections.categories import categories
from vlmad_report.sections.contrast import contrast
from vlmad_report.sections.curves import curves
from vlmad_report.sections.defect_sizes import defect_sizes
from vlmad_report.sections.defect_types import defect_types
from vlmad_report.sections.failures import CARDS, failures
from vlmad_report.sections.few_shot import few_shot
from vlmad_report.sections.groups import groups
from vlmad_report.sections.published import published
from vlmad_report.sections.summary import summary
from vlmad_report.sections.windows import windows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vlmad_evaluation.bench.reading import Results

    from vlmad_datasets.object_groups import Groups
    from vlmad_report.rendering.encoded import Rendered

NAME = re.compile(r"[A-Za-z0-9-]{1,100}")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asked of the sections."""

    groups: Groups
    """Of objects and of defects."""
    failures: int = CARDS
    """How many failures the gallery shows of each kind; 0 for no gallery."""


@dataclass(frozen=True, slots=True)
class Part:
    """A section that is to be made."""

    name: str
    title: str
    """For the place of a section that could not be made."""
    make: Callable[[Sequence[Results], Wishes], Section]


def all_parts() -> tuple[Part, ...]:
    """Return all sections of a report, in their order; each image is looked at once for all."""
    looking = Looking()
    return (
        Part("summary", "Summary", lambda results, _: summary(results)),
        Part("categories", "Categories", lambda results, _: categories(results)),
        Part("groups", "Object groups", lambda results, wishes: groups(results, wishes.groups)),
        Part("contrast", "Contrast of defects", lambda results, _: contrast(looking(results))),
        Part("defect-size", "Size of defects", lambda results, _: defect_sizes(looking(results))),
        Part(
            "defect-type",
            "Types of defects",
            lambda results, wishes: defect_types(looking(results), wishes.groups),
        ),
        Part("few-shot", "Zero-shot and few-shot", lambda results, _: few_shot(results)),
        Part("windows", "Window sizes", lambda results, _: windows(results)),
        Part("published", "Published figures", lambda results, _: published(results)),
        Part("curves", "Curves and scores", lambda results, _: curves(looking(results))),
        Part(
            "failures",
            "Failures",
            lambda results, wishes: (
                failures(looking(results), cards=wishes.failures)
                if wishes.failures
                else Section("failures", "Failures", ("Photographs were left out on request.",))
            ),
        ),
    )


@dataclass(frozen=True, slots=True)
class Report:
    """A page, its pictures, and what could not be made."""

    page: Page
    rendered: dict[str, Rendered]
    faults: tuple[str, ...]


def make_report(
    results: Sequence[Results],
    wishes: Wishes,
    parts: Sequence[Part],
    title: str = "",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Make all sections and their pictures.

    Args:
        results: what is reported, of one bench or several.
        wishes: what the user asked for.
        parts: the sections.
        title: of the page; by default made of detectors and data sets.
        progress: told how many sections are done, and of how many.

    Raises:
        InputError: the results lack what a report starts from.
    """
    sections: list[Section] = []
    rendered: dict[str, Rendered] = {}
    faults: list[str] = []
    for done, part in enumerate(parts):
        progress(done, len(parts))
        try:
            section, pictures = _make(part, results, wishes, {s.name for s in sections}, rendered)
            rendered |= pictures
        except Exception as error:  # whatever it is: the others are still worth having
            faults.append(f"{part.title}: {_reason(error)}")
            section = _fault(part, error)
        sections.append(section)
    progress(len(parts), len(parts))
    notices = [f"A part of this report could not be made: {fault}." for fault in faults]
    page = Page(
        title or facts.title(results),
        facts.facts(results),
        tuple(sections),
        (*facts.notices(results), *notices),
    )
    return Report(page, rendered, tuple(faults))


def _make(
    part: Part,
    results: Sequence[Results],
    wishes: Wishes,
    taken: set[str],
    rendered: dict[str, Rendered],
) -> tuple[Section, dict[str, Rendered]]:
    section = part.make(results, wishes)
    _check_names([section.name], taken)
    figures = [block.name for block in section.blocks if isinstance(block, Figure)]
    _check_names(figures, set(rendered))
    return section, render(section)


def _check_names(names: Sequence[str], taken: set[str]) -> None:
    """Refuse names that would not do as anchors and files, or that are there already."""
    lower = {name.lower() for name in taken}  # some file systems know no difference
    for name in names:
        if not NAME.fullmatch(name):
            raise ValueError(f"a section or figure is called {name!r}")
        if name.lower() in lower:
            raise ValueError(f"two sections or figures are called {name!r}")
        lower.add(name.lower())


def _fault(part: Part, error: Exception) -> Section:
    sentence = f"This part of the report could not be made: {_reason(error)}."
    return Section(part.name, part.title, (sentence,))


def _reason(error: Exception) -> str:
    line = first_line(error).rstrip(".")
    kind = type(error).__name__
    return line if isinstance(error, VlmadError) or line == kind else f"{kind}: {line}"
