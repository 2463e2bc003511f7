"""Metrics as entries of a table: three decimals, the interval beside, a dash and its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmad_evaluation.bench.tables import UNDEFINED, value
from vlmad_evaluation.grid.table import BETTER, SIGNIFICANT, WORSE

from vlmad.errors import printable
from vlmad_report.content import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vlmad_evaluation.comparison import Comparison

IMAGE = ("image_auroc", "image_ap", "image_f1_max")
PIXEL = ("pixel_auroc", "pixel_aupro_30", "pixel_ap", "pixel_f1_max")
TASKS = {"Image metrics": IMAGE, "Pixel metrics": PIXEL}
FULL = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "image_f1_max": "image F1-max",
    "pixel_auroc": "pixel AUROC",
    "pixel_aupro_30": "AUPRO",
    "pixel_ap": "pixel AP",
    "pixel_f1_max": "pixel F1-max",
}
"""What a metric is called where the table does not say of what it is."""
NONE = Entry("")


def named(text: object) -> Entry:
    """Return a name as an entry."""
    return Entry(printable(text))


def entry(metric: Mapping[str, Any], best: bool = False, mark: str = "") -> Entry:
    """Return a metric as an entry; deviation and interval are its note."""
    if metric["value"] is None:
        return Entry(UNDEFINED, printable(metric["reason"] or "no number"))
    text, _, note = value(metric).partition(" ")
    if not note and metric["low"] is None:
        note = printable(metric["reason"])
    return Entry(text, note, best, mark)


def fixed(figure: float | None, reason: str = "") -> Entry:
    """Return a plain figure, or a dash with the reason."""
    return Entry(UNDEFINED, reason) if figure is None else Entry(f"{figure:.3f}")


def difference(found: Comparison) -> Entry:
    """Return a difference with its interval."""
    if found.difference is None:
        return Entry(UNDEFINED, printable(found.reason))
    note = printable(found.reason)
    if found.low is not None and found.high is not None:
        note = f"[{found.low:+z.3f}, {found.high:+z.3f}]"
    return Entry(f"{found.difference:+z.3f}", note)


def mark_of(comparison: Mapping[str, Any]) -> str:
    """Return an arrow for a difference that is significant after correction."""
    p_value, difference = comparison["p_value_max_t"], comparison["difference"]
    if p_value is None or difference is None or p_value >= SIGNIFICANT:
        return ""
    return BETTER if difference > 0 else WORSE


def legend_of_marks(against: str) -> str:
    """Say what the marks mean."""
    return (
        f" {BETTER} and {WORSE} differ significantly from {printable(against)} "
        f"(p < {SIGNIFICANT}, corrected by max-T)."
    )


def compared(
    rows: Sequence[Mapping[str, Any]],
    names: Iterable[str],
    marks: Mapping[tuple[int, str], str] | None = None,
) -> list[tuple[Entry, ...]]:
    """Return the metrics of several rows, the best of each column shown as such.

    What is shown as the same figure is equally good; where all rows are, none is the best.

    Args:
        rows: the metrics of each row.
        names: the columns.
        marks: from row and column to a mark.
    """
    names, marks = tuple(names), marks or {}
    shown = {name: {_shown(row[name]) for row in rows} for name in names}
    highest = {name: max(figures) for name, figures in shown.items() if len(figures) > 1}
    return [
        tuple(
            entry(
                row[name],
                _shown(row[name]) == highest.get(name),
                marks.get((index, name), ""),
            )
            for name in names
        )
        for index, row in enumerate(rows)
    ]


def _shown(metric: Mapping[str, Any]) -> str:
    """Return a figure as it is shown, which sorts as figures from 0 to 1 do; "" if undefined."""
    return "" if metric["value"] is None else f"{abs(metric['value']):.3f}"
