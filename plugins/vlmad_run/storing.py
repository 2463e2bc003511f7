"""What a run keeps of an image: its map as a file, and its row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad.errors import printable
from vlmad.files import write_atomically
from vlmad_run.leaving_out import p_value
from vlmad_run.map_png import map_png
from vlmad_run.picked_product import ProductResult, verdict
from vlmad_run.pictures import to_16_bits
from vlmad_run.rows import MAPS, OVERLAYS, ScoreRow, file_stem

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from jaxtyping import UInt16

    from vlmad.types import Result
    from vlmad_run.manifest import GoodScores
    from vlmad_run.thresholds import Threshold

DIGITS = 9
"""As many tell every float32 apart."""


def store_result(
    folder: Path, good: GoodScores | None, threshold: Threshold | None, result: Result
) -> ScoreRow:
    """Store the map of an image in a run folder, and return its row.

    Args:
        folder: that of the run.
        good: what p-values are made of, unless the product has its own.
        threshold: from which score on it is anomalous.
        result: what came of the image.

    Raises:
        OutputError: the map cannot be written.
    """
    row, heat = row_of(result, good, threshold)
    if heat is not None:
        store_map(folder, row, heat)
    return row


def store_map(folder: Path, row: ScoreRow, heat: UInt16[np.ndarray, "H W"]) -> None:
    """Store the map of a row in a run folder.

    Raises:
        OutputError: it cannot be written.
    """
    write_atomically(folder / row.map, map_png(heat))


def row_of(
    result: Result, good: GoodScores | None, threshold: Threshold | None
) -> tuple[ScoreRow, UInt16[np.ndarray, "H W"] | None]:
    """Return the row of an image and its map as it is stored; see `store_result`."""
    size, modified = result.status or (None, None)
    if result.map is None:
        failed = ScoreRow(
            image=result.name,
            status="failed",
            reason=printable(result.error),
            sha256=result.sha256,
            bytes=size,
            modified=modified,
        )
        return failed, None
    stored, scale = to_16_bits(result.map)
    score = _rounded(result.score)  # judged as it is written, so that tables can be trusted
    picked = result.picked if isinstance(result, ProductResult) else None
    stem, good = file_stem(result.name), picked.good if picked else good
    row = ScoreRow(
        notes=list(result.notes),
        image=result.name,
        score=score,
        verdict=verdict(score, threshold, picked),
        product=picked.name if picked else "",
        margin=picked.margin if picked else None,
        p_value=p_value(score, good.scores) if good else None,
        map=f"{MAPS}/{stem}.png",
        map_low=_rounded(scale.low),
        map_high=_rounded(scale.high),
        overlay=f"{OVERLAYS}/{stem}.jpg",
        milliseconds=round(result.seconds * 1000, 1),
        sha256=result.sha256,
        bytes=size,
        modified=modified,
    )
    return row, stored


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
