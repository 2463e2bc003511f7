"""From the scores and stored maps of a cell to its metrics.

Metrics always come from the stored maps, fresh or not, so that a bench that was interrupted
gives the same numbers as one that was not. A stored map has 65,536 levels between its lowest and
its highest value: each of its scores is at most half a level from the computed one. What that
can do to a metric is computed, not guessed: all exact metrics rise when anomalous pixels score
higher and normal ones lower, so moving every pixel by its half level one way and the other
bounds them. The bound is the `error` of the metric. AUPRO by 200 thresholds does not rise like
that and has no bound.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from vlmad.errors import InputError, OutputError
from vlmad_datasets.headers import read_header
from vlmad_datasets.masks import mask_of
from vlmad_evaluation.bootstrap import (
    BINS,
    Replicates,
    bootstrap_images,
    resample,
    with_interval,
)
from vlmad_evaluation.curves import metrics_of
from vlmad_evaluation.image_curves import ImageCurveCollector, curves_of_maps
from vlmad_evaluation.image_metrics import image_metrics
from vlmad_evaluation.labelled_maps import LabelledMap
from vlmad_evaluation.metric import PIXEL_METRICS, Metric, undefined
from vlmad_evaluation.pixel_metrics import EXACT_METRICS, SortedPixels, metrics_of_pixels
from vlmad_evaluation.resolution import at_resolution
from vlmad_evaluation.streaming import PixelStream
from vlmad_run.overlays import Range, from_16_bits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jaxtyping import Float, UInt16

    from vlmad import Sample
    from vlmad_evaluation._bench_plan import Settings
    from vlmad_run.rows import Row

PIXELS_AT_ONCE = 1 << 26
"""More are streamed; so many take about 1.5 GB."""
LEVELS = 65535
HALF = 0.51
"""Of a level; arithmetic in float32 can push a score a hundredth of a level further."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A test image and what a run says of it."""

    sample: Sample
    row: Row
    run: Path
    """The run folder that its map is in."""

    def map(self) -> LabelledMap | None:
        """Return the stored map with its mask, or None if nobody knows where the defect is.

        Raises:
            OutputError: the stored map is damaged.
            InputError: the mask can no longer be read, or the image has another size now.
        """
        mask = mask_of(self.sample)
        if mask is None:
            return None
        heat = self.heat()
        if heat.shape != mask.shape:
            raise InputError(f"{self.sample.image} has changed since it was scored; start anew")
        return LabelledMap(heat, mask)

    def heat(self) -> Float[np.ndarray, "H W"]:
        """Return the stored map, whatever is known of the image.

        Raises:
            OutputError: it is damaged or gone.
        """
        return from_16_bits(self._levels(), self.scale)

    def _levels(self) -> UInt16[np.ndarray, "H W"]:
        path = self.run / self.row.map
        try:
            with Image.open(io.BytesIO(path.read_bytes())) as stored:
                return np.asarray(stored).astype(np.uint16)
        except (OSError, ValueError, SyntaxError) as error:
            raise OutputError(f"{path} is damaged; delete {self.run} and go on") from error

    @property
    def scale(self) -> Range:
        """What the lowest and the highest level of the map stand for."""
        return Range(float(self.row.map_low or 0), float(self.row.map_high or 0))

    @property
    def half_level(self) -> float:
        """How far a stored score can be from the computed one, rounding to float32 included."""
        largest = max(map(abs, self.scale))
        rounding = 4 * float(np.finfo(np.float32).eps) * largest
        return (self.scale.high - self.scale.low) / LEVELS * HALF + rounding


@dataclass(frozen=True, slots=True)
class Measured:
    """The metrics of a cell with their intervals, and what they were computed from."""

    metrics: dict[str, Metric]
    replicates: dict[str, Replicates]
    pixels: dict[str, object] = field(default_factory=dict)
    """Facts about the pixel metrics: images, regions, masks that vanished, how."""


def measure(
    scored: Sequence[Scored], settings: Settings, at_once: int = PIXELS_AT_ONCE
) -> Measured:
    """Compute all metrics of a cell.

    Args:
        scored: its images.
        settings: what is measured how.
        at_once: pixels that may be held in memory; more are streamed.
    """
    labels = np.array([each.sample.anomalous for each in scored], dtype=bool)
    scores = np.array([each.row.score for each in scored], dtype=np.float64)
    metrics = image_metrics(labels, scores)
    replicates = bootstrap_images(labels, scores, replicates=settings.replicates)
    pixels = _measure_pixels(scored, settings, at_once)
    metrics |= pixels.metrics
    replicates |= pixels.replicates
    found = {
        name: with_interval(metric, replicates[name], settings.confidence)
        if name in replicates
        else metric
        for name, metric in metrics.items()
    }
    return Measured(found, replicates, pixels.pixels)


def _measure_pixels(scored: Sequence[Scored], settings: Settings, at_once: int) -> Measured:
    if not any(each.sample.anomalous and each.sample.mask for each in scored):
        anomalous = any(each.sample.anomalous for each in scored)
        reason = "no mask" if anomalous else "no anomalous image"
        return Measured(undefined(PIXEL_METRICS, reason), {})
    maps = _Maps(scored, settings.resolution)
    return _streamed(maps, settings) if maps.pixels > at_once else _exact(maps, settings)


class _Maps:
    """The maps with masks of a cell at the evaluation resolution, read as they are needed."""

    def __init__(self, scored: Sequence[Scored], resolution: tuple[int, int] | None) -> None:
        self.known = [s for s in scored if s.sample.mask is not None or not s.sample.anomalous]
        self.left_out = len(scored) - len(self.known)
        self.resolution, self.vanished = resolution, 0
        self.regions = 0

    @property
    def pixels(self) -> int:
        """How many there are at the evaluation resolution."""
        if self.resolution is not None:
            return len(self.known) * self.resolution[0] * self.resolution[1]
        sizes = (read_header(each.sample.image).size for each in self.known)
        return sum(width * height for width, height in sizes)

    def __iter__(self) -> Iterator[tuple[LabelledMap, float]]:
        """Yield each map with how far its scores can be from the computed ones."""
        self.vanished = 0
        for each in self.known:
            whole = each.map()
            assert whole is not None
            image = at_resolution(whole.scores, whole.mask, self.resolution, str(each.sample.image))
            self.vanished += bool(whole.mask.any()) and not image.mask.any()
            yield image, each.half_level

    def facts(self, how: str, regions: int) -> dict[str, object]:
        return {
            "images": len(self.known),
            "without_mask": self.left_out,
            "vanished_masks": self.vanished,
            "regions": regions,
            "how": how,
        }


def _exact(maps: _Maps, settings: Settings) -> Measured:
    """Hold all maps of the cell in memory."""
    read = list(maps)
    images = [image for image, _ in read]
    pixels = SortedPixels.of(images)
    facts = maps.facts("exact", pixels.regions)
    if pixels.missing:
        return Measured(undefined(PIXEL_METRICS, pixels.missing), {}, facts)
    metrics = metrics_of_pixels(pixels)
    up, down = (
        metrics_of(SortedPixels.of(_moved(*each, way) for each in read).curve(), EXACT_METRICS)
        for way in (1, -1)
    )
    metrics |= {name: _bounded(metrics[name], up[name], down[name]) for name in EXACT_METRICS}
    curves = curves_of_maps(images, BINS)
    return Measured(metrics, resample(curves, EXACT_METRICS, settings.replicates), facts)


def _streamed(maps: _Maps, settings: Settings) -> Measured:
    """Read the maps twice, one at a time."""
    streams = {way: PixelStream() for way in (0, 1, -1)}
    for image, reach in maps:
        for way, stream in streams.items():
            moved = _moved(image, reach, way)
            stream.add(moved.scores, moved.mask)
    plain = streams[0]
    facts = maps.facts("streamed", plain.regions)
    metrics = plain.metrics()
    if metrics["pixel_auroc"].value is None:
        return Measured(metrics, {}, facts)
    up, down = streams[1].metrics(), streams[-1].metrics()
    metrics |= {name: _bounded(metrics[name], up[name], down[name]) for name in EXACT_METRICS}
    collector = ImageCurveCollector(plain.thresholds(BINS))
    for image, _ in maps:
        collector.add(image)
    replicates = resample(collector.curves(), EXACT_METRICS, settings.replicates)
    return Measured(metrics, replicates, facts)


def _moved(image: LabelledMap, reach: float, way: int) -> LabelledMap:
    """Move anomalous pixels up and normal ones down by `reach` (way 1), or the reverse (-1)."""
    if not way:
        return image
    change = np.where(image.mask, np.float32(way * reach), np.float32(-way * reach))
    return LabelledMap(image.scores + change, image.mask)


def _bounded(metric: Metric, up: Metric, down: Metric) -> Metric:
    """Return a metric with the error that its bounds leave."""
    assert metric.value is not None
    assert up.value is not None
    assert down.value is not None
    error = max(up.value + up.error - metric.value, metric.value - down.value + down.error)
    return replace(metric, error=max(error, metric.error))
