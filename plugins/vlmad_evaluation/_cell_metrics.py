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

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vlmad.errors import InputError
from vlmad_evaluation._bench_folder import cell_place
from vlmad_evaluation._saturated_overlap import (
    find_config,
    kind_of,
    mean_of_kinds,
    regions_of,
    replicates_of_kinds,
)
from vlmad_evaluation.bootstrap import (
    BINS,
    Replicates,
    bootstrap_images,
    resample,
    with_interval,
)
from vlmad_evaluation.curves import metrics_of
from vlmad_evaluation.image_curves import ImageCurveCollector
from vlmad_evaluation.image_metrics import image_metrics
from vlmad_evaluation.judged_parts import judged_images, judged_parts
from vlmad_evaluation.labelled_maps import at_resolution, resize_mask
from vlmad_evaluation.metric import (
    ANOMALIES,
    AU_SPRO_LIMITS,
    AUPRO_200,
    PIXEL_METRICS,
    Metric,
    Reason,
    undefined,
)
from vlmad_evaluation.pixel_metrics import (
    EqualSteps,
    SortedPixels,
)
from vlmad_evaluation.result_documents import BenchCell, PixelFacts
from vlmad_evaluation.result_folders import CellResult
from vlmad_evaluation.streaming import PixelStream
from vlmad_formats.stored_values import read_facts
from vlmad_run.thresholds import Threshold

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Literal

    from vlmad_evaluation._bench_plan import Cell
    from vlmad_evaluation.image_curves import ImageCurves
    from vlmad_evaluation.judged_parts import LabelledScores
    from vlmad_evaluation.labelled_maps import LabelledMap
    from vlmad_evaluation.result_documents import BenchSettings
    from vlmad_evaluation.result_folders import Scored
    from vlmad_run.identity import Identity
    from vlmad_run.memory_documents import Reference

PIXELS_AT_ONCE = 1 << 26
"""More are streamed; so many take about 1.5 GB."""
MISSING: tuple[Reason, ...] = ("no logical anomaly", "no structural anomaly")
RULE = "the largest F1 on the test images themselves"


@dataclass(frozen=True, slots=True)
class MeasuredCell:
    """The metrics of a cell with their intervals, and what they were computed from."""

    metrics: dict[str, Metric]
    replicates: dict[str, Replicates]
    pixels: PixelFacts | None = None


def measure_cell(
    cell: Cell,
    scored: Sequence[Scored],
    references: Sequence[Reference],
    settings: BenchSettings,
    learned: float | None = None,
) -> CellResult:
    """Measure what could be scored of a cell; `learned` is how many seconds its scorer did."""
    judged = judged_images(scored)
    normal, anomalous = int((~judged.labels).sum()), int(judged.labels.sum())
    if settings.group:
        judged = judged_parts(scored, cell.samples, settings, cell.references)
    measured = measure(scored, settings, judged=judged)
    done = {each.sample for each in scored}
    threshold = None if cell.change else measured.metrics["image_f1_max"].threshold
    found = BenchCell(
        detector=cell.detector,
        category=cell.category,
        class_name=cell.class_name,
        shots=cell.shots,
        seed=cell.seed,
        change=cell.change,
        references=list(references),
        normal=normal,
        anomalous=anomalous,
        parts=judged.parts,
        failed=len(cell.samples) - len(scored),
        left_out=[os.path.abspath(s.image) for s in cell.samples if s not in done],
        pixels=measured.pixels,
        learning_seconds=learned,
        run=f"cells/{cell_place(cell)}",
        threshold=None if threshold is None else f"thresholds/{cell_place(cell)}.json",
        metrics=measured.metrics,
    )
    return CellResult(found, measured.replicates, judged.labels, judged.scores)


def best_threshold(result: CellResult, identity: Identity) -> Threshold | None:
    """Return where F1 is largest, as `vlmad run --threshold` takes it.

    It lies halfway to the next lower score, so that rounding in the last digit decides nothing.
    """
    best = result.metrics["image_f1_max"]
    if best.value is None or best.threshold is None:
        return None
    lower = result.scores[result.scores < best.threshold]
    value = (best.threshold + float(lower.max())) / 2 if len(lower) else best.threshold
    return Threshold(
        value=float(value),
        rule=RULE,
        identity=identity,
        evidence={
            "warning": "chosen on the test images: expect more errors on others",
            "category": result.cell.category,
            **({"group": "parts"} if result.cell.parts else {}),
            "normal": int((~result.labels).sum()),
            "anomalous": int(result.labels.sum()),
            "f1": best.value,
            "false_alarms": int((result.scores[~result.labels] >= value).sum()),
            "missed": int((result.scores[result.labels] < value).sum()),
        },
    )


def measure(
    scored: Sequence[Scored],
    settings: BenchSettings,
    at_once: int = PIXELS_AT_ONCE,
    judged: LabelledScores | None = None,
) -> MeasuredCell:
    """Compute all metrics of some images; those of images are of what is judged."""
    judged = judged or judged_images(scored)
    labels, scores = judged.labels, judged.scores
    pixels = _measure_pixels(scored, settings, at_once)
    saturated = _measure_saturated(scored, settings, at_once)
    metrics = {**image_metrics(labels, scores), **pixels.metrics, **saturated.metrics}
    replicates = bootstrap_images(labels, scores, replicates=settings.replicates)
    replicates |= pixels.replicates | saturated.replicates
    for name, found in replicates.items():
        metrics[name] = with_interval(metrics[name], found, settings.confidence)
    return MeasuredCell(metrics, replicates, pixels.pixels)


def _measure_pixels(
    scored: Sequence[Scored], settings: BenchSettings, at_once: int
) -> MeasuredCell:
    if not any(each.sample.anomalous and each.sample.mask for each in scored):
        anomalous = any(each.sample.anomalous for each in scored)
        reason: Reason = "no mask" if anomalous else "no anomalous image"
        return MeasuredCell(undefined(PIXEL_METRICS, reason), {})
    return _of_maps(StoredMaps(scored, settings.size), PIXEL_METRICS, settings, at_once)


def _measure_saturated(
    scored: Sequence[Scored], settings: BenchSettings, at_once: int
) -> MeasuredCell:
    """Compute MVTec LOCO's measure where the data set brings what it needs."""
    moved = any(each.change for each in scored)  # as the masks' files are not
    if moved or not any(find_config(each.sample) for each in scored):
        return MeasuredCell({}, {})
    names = tuple(AU_SPRO_LIMITS)
    found: dict[str, MeasuredCell] = {}
    for kind, reason in zip(ANOMALIES, MISSING, strict=True):
        own = [s for s in scored if not s.sample.anomalous or kind_of(s.sample) == kind]
        try:
            maps = StoredMaps(own, settings.size, saturated=True)
            found[kind] = _of_maps(maps, names, settings, at_once)
        except InputError:
            misfit = undefined(names, "a mask does not fit defects_config.json")
            found[kind] = MeasuredCell(misfit, {})
        if not any(each.sample.anomalous for each in own):
            found[kind] = MeasuredCell(undefined(names, reason), {})
    return MeasuredCell(
        mean_of_kinds({kind: each.metrics for kind, each in found.items()}),
        replicates_of_kinds({kind: each.replicates for kind, each in found.items()}),
    )


def _of_maps(
    maps: StoredMaps, names: Sequence[str], settings: BenchSettings, at_once: int
) -> MeasuredCell:
    """Compute metrics of maps in memory, or of one map after another where they are too many."""
    streamed = maps.pixels() > at_once
    images = maps if streamed else list(maps)
    collect = PixelStream.of if streamed else SortedPixels.of
    plain = collect(image for image, _ in images)
    facts = maps.facts("streamed" if streamed else "exact", plain.regions)
    if plain.missing:
        return MeasuredCell(undefined(names, plain.missing), {}, facts)
    exact = [name for name in names if name != AUPRO_200]
    found = metrics_of(plain.curve(), exact)
    bounds = [
        metrics_of(collect(_moved(*each, way) for each in images).curve(), exact) for way in (1, -1)
    ]
    collector, steps = ImageCurveCollector(*plain.thresholds(BINS)), EqualSteps(*plain.range)
    for image, _ in images:
        own = SortedPixels.of([image])
        collector.add(own)
        steps.add(own)
    last = {AUPRO_200: steps.metric().model_copy(update={"error": None})}
    metrics = {
        name: last[name] if name in last else _bounded(name, found, *bounds) for name in names
    }
    return MeasuredCell(metrics, resample(collector.curves(), exact, settings.replicates), facts)


def curves_of_maps(maps: StoredMaps, at_once: int = PIXELS_AT_ONCE) -> ImageCurves | None:
    """Return the curve of each image that is known, or None where a class of pixels is missing."""
    if not any(each.sample.anomalous for each in maps.known):
        return None
    streamed = maps.pixels() > at_once
    images = maps if streamed else list(maps)
    plain = (PixelStream if streamed else SortedPixels).of(image for image, _ in images)
    if plain.missing:
        return None
    collector = ImageCurveCollector(*plain.thresholds(BINS))
    for image, _ in images:
        collector.add(SortedPixels.of([image]))
    return collector.curves()


class StoredMaps:
    """The maps with masks of a cell at the evaluation resolution, read as they are needed."""

    def __init__(
        self,
        scored: Sequence[Scored],
        resolution: tuple[int, int] | None,
        saturated: bool = False,
    ) -> None:
        self.known = [s for s in scored if s.sample.mask is not None or not s.sample.anomalous]
        self.left_out = len(scored) - len(self.known)
        self.resolution, self.vanished = resolution, 0
        self.saturated = saturated
        """Whether regions are those of the masks' files, with their saturation."""

    def pixels(self) -> int:
        """Return how many there are at the evaluation resolution."""
        if self.resolution is not None:
            return len(self.known) * self.resolution[0] * self.resolution[1]
        sizes = (read_facts(each.sample.image).size for each in self.known)
        return sum(width * height for width, height in sizes)

    def __iter__(self) -> Iterator[tuple[LabelledMap, float]]:
        """Yield each map with how far its scores can be from the computed ones."""
        self.vanished = 0
        for each in self.known:
            whole = each.map()
            assert whole is not None
            regions = regions_of(each.sample) if self.saturated else ()
            where = str(each.sample.image)
            image = at_resolution(whole.scores, whole.mask, self.resolution, where, regions)
            if whole.outside is not None:
                outside = resize_mask(whole.outside, image.mask.shape)
                image = replace(image, outside=outside)
            marked = each.sample.anomalous if each.change is not None else whole.mask.any()
            self.vanished += bool(marked) and not image.mask.any()
            yield image, each.half_level

    def facts(self, how: Literal["exact", "streamed"], regions: int) -> PixelFacts:
        """Return what metrics of these maps were computed from."""
        return PixelFacts(
            images=len(self.known),
            without_mask=self.left_out,
            vanished_masks=self.vanished,
            regions=regions,
            how=how,
        )


def _moved(image: LabelledMap, reach: float, way: int) -> LabelledMap:
    """Move anomalous pixels up and normal ones down by `reach` (way 1), or the reverse (-1)."""
    change = np.where(image.mask, np.float32(way * reach), np.float32(-way * reach))
    return replace(image, scores=image.scores + change)


def _bounded(
    name: str, found: dict[str, Metric], up: dict[str, Metric], down: dict[str, Metric]
) -> Metric:
    """Return a metric with the error that its bounds leave."""
    values, errors = (
        [getattr(each[name], fact) or 0.0 for each in (found, up, down)]
        for fact in ("value", "error")
    )
    above, below = values[1] + errors[1] - values[0], values[0] - values[2] + errors[2]
    return found[name].model_copy(update={"error": max(errors[0], above, below)})
