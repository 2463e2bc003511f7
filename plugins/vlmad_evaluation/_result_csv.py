"""The figures of a bench or a grid as CSV: a row for each cell, combination or condition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad_evaluation._detector_pairs import COMPARED
from vlmad_evaluation.comparison import Comparison
from vlmad_evaluation.conditions import HELD
from vlmad_evaluation.result_tables import AVERAGE, figures_at
from vlmad_run.csv_cells import csv_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmad_evaluation.metric import Metric
    from vlmad_evaluation.result_documents import BenchDocument, GridDocument

    Row = dict[str, object]


def _table(rows: Sequence[Mapping[str, object]]) -> bytes:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return csv_table([columns, *([row.get(name) for name in columns] for row in rows)])


def _facts(name: str, of: Metric | Comparison | None, facts: Sequence[str]) -> Row:
    return {f"{name}_{fact}".removesuffix("_value"): getattr(of, fact, None) for fact in facts}


def _learned(seconds: float | None) -> Row:
    """Return how long a scorer learned, where it does."""
    return {} if seconds is None else {"learning_seconds": round(seconds, 1)}


def bench_csv(document: BenchDocument) -> bytes:
    """Return a row for each cell; undefined values are empty, and have a reason."""
    facts = ("detector", "category", "shots", "seed", "normal", "anomalous", "failed")
    figures = ("value", "low", "high", "error", "reason")
    rows: list[Row] = []
    for cell in document.cells:
        row: Row = {fact: getattr(cell, fact) for fact in facts}
        row["resolution"] = document.settings.resolution
        row["threshold"] = cell.metrics["image_f1_max"].threshold
        row |= _learned(cell.learning_seconds)
        for name, metric in cell.metrics.items():
            row |= _facts(name, metric, figures)
        rows.append(row)
    return _table(rows)


def grid_csv(document: GridDocument) -> bytes:
    """Return a row for each combination, number of references and category or average."""
    rows: list[Row] = []
    compared, pairs = document.measured(COMPARED), document.pairs()
    places = [(s, c) for s in document.settings.shots for c in (None, *document.dataset.categories)]
    for shots, category in places:
        for detector, metrics in figures_at(document, shots, category, compared).items():
            row: Row = {"category": category or AVERAGE, "shots": shots, "combination": detector}
            row |= _learned(document.learning_seconds(detector, shots, category))
            row |= {axis: document.grid.combinations[detector].get(axis) for axis in document.axes}
            for name, (metric, leads) in metrics.items():
                pair = pairs.get((name, shots, category, detector))
                row |= _facts(name, metric, ("value", "low", "high", "reason"))
                row[f"{name}_categories"] = len(metric.categories) or None
                row |= _facts(name, pair, ("difference", "p_value_max_t"))
                row[f"{name}_best"] = int(leads)
            rows.append(row)
    return _table(rows)


def conditions_csv(document: BenchDocument) -> bytes:
    """Return a row for each detector, category or average, references, condition and severity."""
    rows: list[Row] = []
    for entry in document.conditions:
        row: Row = {"category": entry.category or AVERAGE, "shots": entry.shots}
        row |= {"detector": entry.detector, "condition": entry.name}
        row |= {fact: getattr(entry.change, fact, None) for fact in ("severity", "amount")}
        row["rank"] = entry.rank
        for name in HELD:
            change = entry.changes.get(name, Comparison())
            row |= _facts(name, entry.metrics[name], ("value", "low", "high"))
            row[f"{name}_change"] = change.difference
            row |= _facts(f"{name}_change", change, ("low", "high"))
        rows.append(row)
    return _table(rows)
