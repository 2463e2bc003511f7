"""A finished cell on disk: metrics as JSON, replicates beside, for averages and comparisons."""

from __future__ import annotations

import io
import json
import zlib
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from vlmad.files import write_atomically
from vlmad_evaluation.bootstrap import Replicates
from vlmad_evaluation.metric import IMAGE_METRICS, PIXEL_METRICS, Metric
from vlmad_run.run_folder import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from jaxtyping import Bool, Float

FORMAT = "vlmad cell 1"
METRICS, REPLICATES = "metrics.json", "replicates.npz"
NAMES = (*IMAGE_METRICS, *PIXEL_METRICS)
WITHOUT_BOUND = "pixel_aupro_200_thresholds"


@dataclass(frozen=True, slots=True)
class CellResult:
    """What came of a cell."""

    facts: Mapping[str, Any]
    """Who it is (detector, category, shots, seed), its references and counts of images."""
    metrics: Mapping[str, Metric]
    replicates: Mapping[str, Replicates]
    labels: Bool[np.ndarray, " n"]
    scores: Float[np.ndarray, " n"]
    """Of the images that could be scored, in the order of the data set."""

    @property
    def key(self) -> tuple[str, str, int]:
        """Detector, category and shots: what cells of other seeds share."""
        return self.facts["detector"], self.facts["category"], self.facts["shots"]


def to_table(metric: Metric, name: str) -> dict[str, Any]:
    """Return a metric as plain values; an unknown error is None, never 0."""
    table = asdict(metric)
    if metric.value is None or name == WITHOUT_BOUND:
        table["error"] = None
    return table


def from_table(table: Mapping[str, Any]) -> Metric:
    """Return the metric of `to_table`.

    Raises:
        KeyError: something is missing.
    """
    values = {field.name: table[field.name] for field in fields(Metric)}
    return Metric(**{**values, "error": values["error"] or 0.0})


def write_result(folder: Path, result: CellResult) -> None:
    """Write a cell's replicates, then its metrics: with those it is finished.

    Raises:
        OutputError: the folder cannot be written.
    """
    arrays: dict[str, Any] = {"labels": result.labels, "scores": result.scores}
    for name, found in result.replicates.items():
        arrays |= {f"{name}.{field.name}": getattr(found, field.name) for field in _PARTS}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_atomically(folder / REPLICATES, buffer.getvalue())
    metrics = {name: to_table(metric, name) for name, metric in result.metrics.items()}
    table = {"format": FORMAT, **result.facts, "metrics": metrics}
    write_atomically(folder / METRICS, to_json(table))


def read_result(folder: Path) -> CellResult | None:
    """Return what came of a cell, or None if it is not finished or its files are damaged."""
    try:
        table = json.loads((folder / METRICS).read_bytes())
        if table.pop("format") != FORMAT:
            return None
        metrics = {name: from_table(table["metrics"][name]) for name in NAMES}
        del table["metrics"]
        stored = io.BytesIO((folder / REPLICATES).read_bytes())
        with np.load(stored, allow_pickle=False) as arrays:
            replicates = {
                name: _replicates(arrays, name) for name in NAMES if f"{name}.values" in arrays
            }
            labels, scores = arrays["labels"], arrays["scores"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, BadZipFile):
        return None
    except (RuntimeError, MemoryError, zlib.error):  # what else a damaged archive may seem to be
        return None
    return CellResult(table, metrics, replicates, labels, scores)


_PARTS = fields(Replicates)


def _replicates(arrays: Any, name: str) -> Replicates:
    found = {field.name: arrays[f"{name}.{field.name}"] for field in _PARTS}
    return Replicates(
        float(found["estimate"]),
        found["values"],
        found["without"],
        found["strata"],
        float(found["error"]),
        str(found["reason"]),
    )
