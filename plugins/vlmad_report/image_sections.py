"""All sections that look at images, masks, maps and scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad_report.contrast import contrast
from vlmad_report.curves import curves
from vlmad_report.defect_sizes import defect_sizes
from vlmad_report.defect_types import defect_types
from vlmad_report.failures import CARDS, DETECTORS, failures
from vlmad_report.study import study

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vlmad_datasets.groups import Groups
    from vlmad_evaluation.bench.reading import Results
    from vlmad_report.content import Section


def image_sections(
    results: Sequence[Results],
    groups: Groups | None = None,
    contrast_limits: tuple[float, float] | None = None,
    detectors: int = DETECTORS,
    cards: int = CARDS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Section, ...]:
    """Return contrast, size and type of defects, curves and failures; every map is read twice.

    Args:
        results: of benches or grids.
        groups: types of defects; by default those of MVTec AD.
        contrast_limits: between low, medium and high contrast, in CIELAB units; by default such
            that each class holds a third of the defects.
        detectors: how many have their failures shown.
        cards: failures of each kind that are shown for each of them.
        progress: told how many images and cells are looked at.
    """
    looked = study(results, contrast_limits, progress=progress)
    return (
        contrast(looked),
        defect_sizes(looked),
        defect_types(looked, groups),
        curves(looked),
        failures(looked, detectors, cards),
    )
