"""The section on contrast: how well faint and striking defects are found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad.errors import printable
from vlmad_report.content import Section
from vlmad_report.looking.study import CONTRAST
from vlmad_report.sections.classed import blocks_of, paragraphs_of

if TYPE_CHECKING:
    from vlmad_report.looking.study import Study

DEFINITION = (
    "The contrast of a defect is the distance in CIELAB (CIE 1976, D65; about 2.3 is just "
    "noticeable) between the median colour of the pixels in its mask and that of the pixels "
    "nearest around it, as many as the mask has. All regions of a mask are taken together. "
    "Medians, unlike means of differences between pixels, are not raised by noise and texture. "
    "A defect that differs in its pattern but not in its median colour counts as low; where the "
    "mask is drawn generously or ends at the object's edge, the background has its part."
)
NOTHING = (
    "Contrast is computed from image and mask, and no anomalous image has both: {reason}. Masks "
    "in the data set would fill this section."
)


def contrast(study: Study) -> Section:
    """Show AUROC of images and pixels for defects of low, medium and high contrast."""
    title = "Contrast of defects"
    if study.contrasts is None or not any(study.known()):
        reasons = [reason for reason in study.defects.values() if isinstance(reason, str)]
        reason = printable(reasons[0]) if reasons else "there is no anomalous image"
        return Section(CONTRAST, title, (NOTHING.format(reason=reason),))
    ranges = study.contrasts.ranges("{:.1f}")
    given = "were given" if study.limits_given else "make each class a third of these defects"
    limits = " and ".join(f"{limit:.1f}" for limit in study.contrasts.limits)
    text = f"{DEFINITION} The limits, {limits}, {given}."
    blocks = tuple(blocks_of(study, CONTRAST, ranges))
    return Section(CONTRAST, title, (text, *paragraphs_of(study)), blocks)
