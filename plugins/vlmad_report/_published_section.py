"""The section on published figures, beside one's own where they are about the same thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad_evaluation.metric import METRICS
from vlmad_evaluation.notation import shots_name
from vlmad_evaluation.result_tables import metric_table, published_sources
from vlmad_report._report_blocks import ReportSection

if TYPE_CHECKING:
    from vlmad_report._result_source import ResultSource

NOTHING = (
    "No published figures stand beside these: they are shown only for a data set in its public "
    "layout with exactly the public numbers of test images, such as MVTec AD or VisA, and for a "
    "recipe as it was registered. With MVTec AD this makes them: "
    "vlmad bench mvtec/ --detector winclip,anomalyclip"
)
STATED = (
    "Averages are shown as the source states them, and as they follow from its own rows where "
    "these differ. An empty place was not published."
)


def published(source: ResultSource) -> ReportSection:
    """Show published figures below measured ones; averages as stated and as recomputed."""
    document, tables = source.document, []
    for shots in dict.fromkeys(each.shots for each in document.published):
        own = [each for each in document.published if each.shots == shots]
        known = {name for each in own for row in each.categories.values() for name in row}
        known.update(name for each in own for name in each.averages)
        names = [name for name in METRICS if name in known]
        caption = f"Published and measured, {shots_name(shots)}."
        tables.append(metric_table(document, names, [shots], document.places(), caption))
    paragraphs = [STATED, *published_sources(document)] if tables else [NOTHING]
    return ReportSection("Published figures", paragraphs, tables)
