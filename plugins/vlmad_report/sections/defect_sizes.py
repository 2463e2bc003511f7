"""The section on size: how well small and large defects are found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad.errors import printable
from vlmad_report.content import Section
from vlmad_report.looking.study import SIZE
from vlmad_report.sections.classed import blocks_of, paragraphs_of

if TYPE_CHECKING:
    from vlmad_report.looking.study import Study

DEFINITION = (
    "The size of a defect is the share of the image that its mask covers, all regions together."
)
NOTHING = (
    "The size of a defect is read from its mask, and no anomalous image has one that can be used: "
    "{reason}. Masks in the data set would fill this section."
)


def defect_sizes(study: Study) -> Section:
    """Show AUROC of images and pixels for small, medium and large defects."""
    name, title = "defect-size", "Size of defects"
    if not any(study.known()):
        reasons = [reason for reason in study.defects.values() if isinstance(reason, str)]
        reason = printable(reasons[0]) if reasons else "there is no anomalous image"
        return Section(name, title, (NOTHING.format(reason=reason),))
    ranges = study.sizes.ranges("{:.3g}%", 100)
    blocks = tuple(blocks_of(study, SIZE, ranges))
    return Section(name, title, (DEFINITION, *paragraphs_of(study)), blocks)
