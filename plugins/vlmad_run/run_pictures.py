"""Drawing the overlays of a run once all its maps are known, on one colour scale."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from PIL import Image

from vlmad.errors import InputError
from vlmad.files import write_atomically
from vlmad.images import decode
from vlmad.loading import ahead
from vlmad_run.pictures import Range, draw_overlay, jpeg, read_map, shared_range
from vlmad_run.rows import OVERLAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rich.progress import Progress

    from vlmad_run.region_of_interest import RegionOfInterest
    from vlmad_run.rows import ScoreRow
    from vlmad_run.run_folder import RunFolder

SCALE = ".scale.json"
"""Which colours the overlays in their folder were drawn with."""
WORKERS = 2


def draw_overlays(
    folder: RunFolder,
    images: Sequence[Path],
    which: str,
    progress: Progress,
    region_of: Callable[[str], RegionOfInterest | None] | None = None,
) -> None:
    """Draw the overlays that are missing, or all of them where the colour scale has changed.

    What lies outside of the region of interest of a product is dark and hatched.

    Raises:
        OutputError: the folder cannot be written.
    """
    scale = colour_scale(folder)
    if which == "none" or scale is None:
        return
    anew = _note_scale(folder.path, scale)

    def draw(row: ScoreRow) -> None:
        region = region_of(row.product) if region_of else None
        write_atomically(folder.path / row.overlay, jpeg(overlay(row, folder, scale, region)))

    def is_missing(row: ScoreRow) -> bool:
        shown = row.status == "done" and (which == "all" or row.verdict == "anomalous")
        return shown and (anew or not (folder.path / row.overlay).is_file())

    missing = filter(is_missing, folder.rows(images))
    drawn = ahead(missing, draw, ahead=2 * WORKERS, workers=WORKERS)
    for _ in progress.track(drawn, len(images), description="drawing"):
        pass


def colour_scale(folder: RunFolder) -> Range | None:
    """Return the values that all overlays' colours span, or None if there is no map."""
    rows = [row for row in folder.all_rows() if row.status == "done"]
    if not rows:
        return None
    return shared_range((row.map_low or 0.0, row.map_high or 0.0) for row in rows)


def overlay(
    row: ScoreRow, folder: RunFolder, scale: Range, region: RegionOfInterest | None = None
) -> Image.Image:
    """Draw the overlay of one image from its stored map."""
    assert row.map_low is not None
    assert row.map_high is not None
    heat = read_map(folder.path / row.map, Range(row.map_low, row.map_high))
    try:
        image = decode(folder.file_of(row), reading=folder.reading)
        if image.size != heat.shape[::-1]:
            raise InputError("the image has changed since it was scored")
    except InputError:
        image = Image.new("RGB", heat.shape[::-1], "grey")
    limit = folder.threshold
    verdict = f" {row.verdict} (from {limit.value:.4g})" if limit else ""
    verdict += f" {row.product}" if row.product and row.product != row.verdict else ""
    inside = region.at(image.size) if region else None
    return draw_overlay(image, heat, scale, f"{row.score:.4g}{verdict}", row.image, inside)


def _note_scale(out: Path, scale: Range) -> bool:
    """Write down the colour scale; return whether overlays of another one must be drawn anew."""
    path, text = out / OVERLAYS / SCALE, json.dumps(list(scale))
    if path.exists() and path.read_bytes() == text.encode():
        return False
    write_atomically(path, text)
    return True
