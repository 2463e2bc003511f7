"""The picture: scores, p-values and evidence, image after image."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from vlmad_drift.quantities import QUANTITIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from vlmad_drift.drift_documents import DriftReport

SIZE = (10.0, 8.0)
LOWEST, HIGHEST = 1e-2, 1e7
"""Of the evidence that is drawn."""


def drift_chart(report: DriftReport) -> bytes:
    """Return the chart of a report as the bytes of a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    values, ranks, evidence = figure.subplots(3, sharex=True, height_ratios=(2, 2, 3))
    shown = _shown(report)
    _draw_values(values, report, shown)
    numbers, found = _series(report, "p_values", shown)
    ranks.plot(numbers, found, ".", markersize=3, color="0.3")
    ranks.set(ylim=(0, 1), ylabel=f"share higher:\n{shown}")
    for name in QUANTITIES:
        numbers, found = _series(report, "evidence", name)
        if found:
            evidence.plot(numbers, [min(max(v, LOWEST), HIGHEST) for v in found], label=name)
    evidence.axhline(report.needed, color="black", linestyle="--")
    evidence.set(yscale="log", ylim=(LOWEST / 2, HIGHEST * 2), ylabel="evidence", xlabel="image")
    evidence.legend(loc="upper left", ncols=4, fontsize="small")
    for axes in (values, ranks, evidence):
        _mark(axes, report)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _shown(report: DriftReport) -> str:
    """Return the quantity that is drawn: the scores, where there are any."""
    if any("score" in point.values for point in report.points):
        return "score"
    return report.alarms[0].quantity if report.alarms else "brightness"


def _series(report: DriftReport, field: str, name: str) -> tuple[list[int], list[float]]:
    tables = enumerate((getattr(point, field) for point in report.points), start=1)
    found = [(number, table[name]) for number, table in tables if name in table]
    return [number for number, _ in found], [value for _, value in found]


def _draw_values(axes: Axes, report: DriftReport, shown: str) -> None:
    numbers, found = _series(report, "values", shown)
    axes.plot(numbers, found, ".", markersize=3)
    axes.set(ylabel=shown)
    known = [each.usual for each in report.shifts if each.quantity == shown]
    if known:
        axes.axhline(known[0], color="0.6", label="usual median")
        axes.legend(loc="upper left", fontsize="small")


def _mark(axes: Axes, report: DriftReport) -> None:
    for alarm in report.alarms:
        axes.axvline(alarm.since, color="tab:orange", linestyle=":")
        axes.axvline(alarm.number, color="tab:red")
