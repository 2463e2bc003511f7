"""What scoring an image and measuring a cell cost, found out on a few images."""

from __future__ import annotations

import copy
import itertools
import math
import tempfile
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from vlmad.streaming import Stream, stream_together

from vlmad.errors import PluginError, VlmadError
from vlmad.files import write_atomically
from vlmad.images import Source
from vlmad_datasets.masks import mask_of
from vlmad_evaluation._cell_metrics import PIXELS_AT_ONCE, Scored, measure
from vlmad_evaluation._cell_results import CellResult, write_result
from vlmad_evaluation.resolution import resize_map
from vlmad_run.pictures import png, to_16_bits
from vlmad_run.rows import Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jaxtyping import Float

    from vlmad import Sample
    from vlmad.types import Result
    from vlmad_evaluation._bench_plan import Cell, Settings
    from vlmad_evaluation._cell_metrics import Measured
    from vlmad_evaluation._cell_scoring import SideBySide

MEGAPIXEL = 1e6
MOST = 16.0
"""Megapixels of a trial; a cell that has no more is tried as it is, its maps aside."""


@dataclass(frozen=True, slots=True)
class ScoringCost:
    """Of an image under one combination; of all combinations on average."""

    seconds: float = 0.0
    """Of the scorer, whatever the size of the image."""
    seconds_per_megapixel: float = 0.0
    """Of bringing the map to the size of the image and writing it."""
    bytes_per_megapixel: float = 0.0

    def of(self, images: int, megapixels: float) -> float:
        """Return the seconds for some images that have so many pixels together."""
        return images * self.seconds + megapixels * self.seconds_per_megapixel


@dataclass(frozen=True, slots=True)
class MetricCost:
    """Of a cell: of its resampling, and of its pixels."""

    seconds: float = 0.0
    seconds_per_megapixel: float = 0.0

    def of(self, megapixels: float) -> float:
        """Return the seconds for a cell that has so many pixels to be measured."""
        return self.seconds + megapixels * self.seconds_per_megapixel


@dataclass(frozen=True, slots=True)
class MetricCosts:
    """Of cells whose pixels are held at once, and of larger ones."""

    exact: MetricCost = MetricCost()
    streamed: MetricCost = MetricCost()
    bytes_of_result: int = 0

    def of(self, megapixels: float) -> float:
        """Return the seconds for a cell."""
        return (self.streamed if is_streamed(megapixels) else self.exact).of(megapixels)


def is_streamed(megapixels: float) -> bool:
    """Tell whether the pixels of a cell are too many to be held at once."""
    return megapixels * MEGAPIXEL > PIXELS_AT_ONCE


def scoring_cost(
    groups: Sequence[SideBySide], image: Path, class_name: str, shots: int, reading: float
) -> tuple[ScoringCost, Float[np.ndarray, "H W"] | None]:
    """Score an image under all combinations that can with so many references, itself among them.

    Args:
        groups: the combinations.
        image: the file.
        class_name: what it shows.
        shots: how often it is taken as its own reference.
        reading: seconds that decoding it takes, which is not done for every combination.

    Returns:
        The cost, and one of the maps, if there is any.
    """
    model, around, sizes, heat = 0.0, 0.0, [], None
    source = Source(str(image), image)
    for group in groups:
        streams = _streams(group, source, class_name, shots)
        deque(_results(streams, source), maxlen=0)  # encodes, which is known the second time
        started, own = time.perf_counter(), 0.0
        for result in _results(streams, source):
            if result.map is not None:
                heat = result.map
                own += result.seconds
                sizes.append(len(png(Image.fromarray(to_16_bits(heat)[0]))))
        model += own
        around += max(0.0, time.perf_counter() - started - own - reading)
        group.shared.forget()
    if heat is None:
        return ScoringCost(), None
    pixels = len(sizes) * heat.size / MEGAPIXEL
    return ScoringCost(model / len(sizes), around / pixels, sum(sizes) / pixels), heat


def _streams(group: SideBySide, source: Source, class_name: str, shots: int) -> list[Stream]:
    """Return the detectors of a group that can score with so many references."""
    found = []
    for detector in group.shared.detectors:
        if detector.scorer.references == ("none" if shots else "required"):
            continue
        with suppress(PluginError):  # its cells say so when they are scored
            if shots:
                detector = copy.copy(detector)
                detector.remember([detector.encode([source], 1)] * shots, [source] * shots)
            found.append(Stream(detector, class_name, 1))
    return found


def _results(streams: list[Stream], source: Source) -> Iterator[Result]:
    """Yield what is said of an image; a stream that fails is taken out."""
    if streams:
        for _, result in stream_together(
            list(streams), [source], lambda stream, _: streams.remove(stream)
        ):
            yield result


def metric_costs(
    cells: Sequence[Cell],
    heat: Float[np.ndarray, "H W"],
    settings: Settings,
    streamed: bool,
) -> MetricCosts:
    """Measure two images of a cell, then all of them, or as many as do not take long.

    Args:
        cells: of which one is tried.
        heat: a map that stands for those of all images.
        settings: what is measured how.
        streamed: whether there are cells too large to be held at once.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            scored = _stored_maps(_by_turns(cells), heat, Path(folder), settings)
            quick = replace(settings, resolution=(32, 32), replicates=2)
            _timed(scored[:2], quick, PIXELS_AT_ONCE)  # what is imported now is not paid again
            exact, found = _cost(scored, settings, PIXELS_AT_ONCE)
            larger = _cost(scored, settings, 0)[0] if streamed else exact
            return MetricCosts(exact, larger, _size(found, scored, Path(folder)))
    except VlmadError:  # a mask that cannot be read: its cells say so
        return MetricCosts()


def _by_turns(cells: Sequence[Cell]) -> list[Sample]:
    """Return the images of a cell, normal and anomalous ones by turns, if possible with masks."""
    with_masks = (c for c in cells if any(s.mask is not None and s.anomalous for s in c.samples))
    cell = next(with_masks, cells[0])
    normal = [sample for sample in cell.samples if not sample.anomalous]
    anomalous = [sample for sample in cell.samples if sample.anomalous]
    anomalous.sort(key=lambda sample: sample.mask is None)
    pairs = itertools.zip_longest(normal, anomalous)
    return [sample for pair in pairs for sample in pair if sample is not None]


def _stored_maps(
    samples: Sequence[Sample], heat: Float[np.ndarray, "H W"], folder: Path, settings: Settings
) -> list[Scored]:
    """Store maps of the images' sizes as a run does, at most `MOST` megapixels of them."""
    stored: list[Scored] = []
    pixels = 0.0
    for number, sample in enumerate(samples):
        if number >= 2 and pixels > MOST:
            break
        own = np.roll(heat, (7 * number, 11 * number), (0, 1))  # equal ones would sort too fast
        stored.append(_stored(sample, own, folder, number))
        pixels += _megapixels(stored[-1], settings)
    return stored


def _stored(sample: Sample, heat: Float[np.ndarray, "H W"], folder: Path, number: int) -> Scored:
    mask = mask_of(sample)
    levels, scale = to_16_bits(heat if mask is None else resize_map(heat, mask.shape))
    name = f"{number}.png"
    write_atomically(folder / name, png(Image.fromarray(levels)))
    row = Row(str(sample.image), float(number), map=name, map_low=scale.low, map_high=scale.high)
    return Scored(sample, row, folder)


def _megapixels(scored: Scored, settings: Settings) -> float:
    """Return how many millions of pixels of an image are measured."""
    if scored.sample.anomalous and scored.sample.mask is None:
        return 0.0
    pixels = scored.heat().size if settings.resolution is None else math.prod(settings.resolution)
    return float(pixels) / MEGAPIXEL


def _cost(
    scored: Sequence[Scored], settings: Settings, at_once: int
) -> tuple[MetricCost, Measured]:
    """Split the time into that of any cell and that of its pixels."""
    first, whole = (sum(_megapixels(s, settings) for s in some) for some in (scored[:2], scored))
    few, _ = _timed(scored[:2], settings, at_once)
    many, found = _timed(scored, settings, at_once)
    slope = max(0.0, many - few) / (whole - first) if whole > first else 0.0
    return MetricCost(max(0.0, many - slope * whole), slope), found


def _timed(scored: Sequence[Scored], settings: Settings, at_once: int) -> tuple[float, Measured]:
    started = time.perf_counter()
    found = measure(scored, settings, at_once)
    return time.perf_counter() - started, found


def _size(found: Measured, scored: Sequence[Scored], folder: Path) -> int:
    """Return how many bytes the metrics of a cell take."""
    labels = np.array([each.sample.anomalous for each in scored])
    scores = np.array([each.row.score for each in scored])
    result = CellResult({}, found.metrics, found.replicates, labels, scores)
    place = folder / "result"
    place.mkdir()
    write_result(place, result)
    return sum(path.stat().st_size for path in place.iterdir())
