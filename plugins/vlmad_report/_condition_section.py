"""The section on how detectors hold when light, focus, angle and so on change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad_evaluation.condition_results import (
    HELD_TITLES,
    RATES,
    RULE,
    WORSE,
    amount_text,
    by_condition,
    change_text,
    glance,
    held_text,
    is_worse,
)
from vlmad_evaluation.conditions import CLEAN, HELD
from vlmad_evaluation.notation import UNDEFINED, shots_name
from vlmad_report._report_blocks import (
    BarChart,
    BarPlot,
    ChartValue,
    ReportSection,
    ReportTable,
    TableEntry,
)
from vlmad_report._report_text import AVERAGE, entries, left_out

if TYPE_CHECKING:
    from vlmad_evaluation.condition_results import ByCondition
    from vlmad_evaluation.result_documents import ConditionEntry
    from vlmad_report._report_blocks import Block
    from vlmad_report._result_source import ResultSource

TITLE = "Other conditions"
NOTHING = (
    "The test images were not scored under other conditions. This does it: "
    "vlmad bench DATA --conditions all"
)
DOTS = (
    "Averages, {}. The ring is on clean images, the dots are at rising severity, the largest and "
    "the number at the strongest."
)


def other_conditions(source: ResultSource) -> ReportSection:
    """Show which condition hurts which detector most, then all figures."""
    document = source.document
    if not document.conditions:
        return ReportSection(TITLE, [NOTHING])
    shots = sorted({entry.shots for entry in document.conditions})
    paragraphs = [line for number in shots for line in glance(document, number)]
    blocks: list[Block] = []
    for number in shots:
        blocks.append(_chart(source, number))
        blocks += [_strongest(source, number, metric) for metric in ("image_auroc", *RATES)]
        blocks.append(_averages(source, number))
    return ReportSection(TITLE, [*paragraphs, f"{RULE} With *: {WORSE}."], blocks)


def _chart(source: ResultSource, shots: int) -> BarChart:
    found = by_condition(source.document, shots)
    conditions = list(source.document.settings.conditions)
    chosen = source.best(list(found), len(conditions))

    def trail(own: ByCondition, condition: str, metric: str) -> list[float | None]:
        steps = (*own.get(CLEAN, ()), *own.get(condition, ()))
        return [entry.metrics[metric].value for entry in steps]

    plots = [
        BarPlot(
            HELD_TITLES[metric],
            [
                (
                    condition,
                    [
                        ChartValue(number, (values or [None])[-1], trail=values)
                        for number, name in enumerate(chosen)
                        for values in [trail(found[name], condition, metric)]
                    ],
                )
                for condition in conditions
            ],
        )
        for metric in ("image_auroc", *RATES)
    ]
    caption = DOTS.format(shots_name(shots)) + left_out(chosen, list(found))
    return BarChart(caption, chosen, [plot for plot in plots if plot.values])


def _strongest(source: ResultSource, shots: int, metric: str) -> ReportTable:
    names, rows = [CLEAN, *source.document.settings.conditions], []
    categories = source.categories if len(source.categories) > 1 else []
    for category in (*categories, None):
        for detector, found in by_condition(source.document, shots, category).items():
            own = (found[name][-1] if name in found else None for name in names)
            figures = (_figure(entry, metric) for entry in own)
            rows.append([*entries(category or AVERAGE, detector), *figures])
    caption = (
        f"At the strongest severity, {shots_name(shots)}: {HELD_TITLES[metric]}, with the change "
        "against clean images and its interval."
    )
    return ReportTable(caption, ["category", "detector", *names], rows, words=2)


def _averages(source: ResultSource, shots: int) -> ReportTable:
    document = source.document
    rows = [
        [
            *entries(f"{entry.name}, {amount_text(document, entry)}".removesuffix(", ")),
            *entries(entry.detector),
            *(_figure(entry, metric) for metric in HELD),
            *entries(UNDEFINED if entry.rank is None else str(entry.rank)),
        ]
        for entry in document.conditions
        if (entry.shots, entry.category) == (shots, None)
    ]
    columns = ["condition", "detector", *(HELD_TITLES[name] for name in HELD), "rank"]
    caption = f"Averages at every severity, {shots_name(shots)}; the rank is that by image AUROC."
    return ReportTable(caption, columns, rows, words=2)


def _figure(entry: ConditionEntry | None, metric: str) -> TableEntry:
    if entry is None:
        return TableEntry(UNDEFINED, "not measured")
    note = change_text(entry, metric)
    if entry.metrics[metric].value is None:
        note = entry.metrics[metric].reason
    return TableEntry(held_text(entry, metric), note, mark="*" * is_worse(entry, metric))
