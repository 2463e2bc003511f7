"""Looking at a cell once: its scores and maps by class of defect, in memory that does not grow.

Maps are read twice, one at a time: first for thresholds that split the scores finely, then for
the counts of every image above them. Counts add up, so each class of images needs but one row.
What the bins between thresholds leave open is proved by `vlmad_evaluation.curves`, and is kept
as the error of a metric.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from vlmad.errors import InputError, VlmadError
from vlmad_evaluation.curves import Curve, metrics_of
from vlmad_evaluation.image_curves import ImageCurveCollector
from vlmad_evaluation.image_metrics import image_curve, image_metrics
from vlmad_evaluation.resolution import at_resolution
from vlmad_evaluation.streaming import PixelStream
from vlmad_run.thresholds import read_threshold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from jaxtyping import Float
    from vlmad_evaluation.bench.measuring import Scored
    from vlmad_evaluation.validation import LabelledMap

    from vlmad import Sample
    from vlmad_evaluation.metric import Metric
    from vlmad_evaluation.resolution import Resolution
    from vlmad_report.looking.cells import Place

Class: TypeAlias = tuple[str, str]
"""A kind of class and its name in it, such as contrast and low."""
EVERYTHING: Class = ("all", "")
NORMAL: Class = ("normal", "")
METRICS = ("pixel_auroc", "pixel_aupro_30")
BINS = 4096
PRO_LIMIT = 0.3
POINTS = 301
"""At which a curve is drawn; it is computed at all."""
NO_MAPS = "no map is on disk (--no-maps deletes them); a bench that keeps them gives pixel figures"


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How well a class of anomalous images is told from a category's normal images."""

    images: int
    """Anomalous images of the class that have a score."""
    mapped: int
    """Those of them with a map and a mask that can be read."""
    metrics: Mapping[str, Metric]
    """image_auroc, pixel_auroc, pixel_aupro_30; a pixel metric is missing without maps."""

    def value(self, metric: str) -> float | None:
        """Return the value of a metric, if it is defined."""
        return self.metrics[metric].value if metric in self.metrics else None


@dataclass(frozen=True, slots=True)
class Look:
    """What a cell shows."""

    category: str
    """As the report calls it."""
    original: str
    """As its data set calls it."""
    run: Path
    """The folder of its run."""
    scored: tuple[Scored, ...]
    threshold: float | None
    by_class: Mapping[Class, Accuracy]
    roc: Float[np.ndarray, "k 2"] | None
    """False positive rate and recall of images."""
    pro: Float[np.ndarray, "k 2"] | None
    """False positive rate of pixels up to `PRO_LIMIT`, and mean region overlap."""
    problems: tuple[str, ...] = ()

    @property
    def labels(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """True for anomalous images."""
        return np.array([each.sample.anomalous for each in self.scored], dtype=bool)

    @property
    def scores(self) -> Float[np.ndarray, " n"]:
        """The score of each image."""
        return np.array([each.row.score for each in self.scored], dtype=np.float64)


def look(place: Place, classes_of: Callable[[Sample], Iterable[Class]]) -> Look:
    """Look at a cell; what cannot be read of it is left out and listed.

    Args:
        place: the cell.
        classes_of: to which classes an anomalous image belongs.
    """
    problems: list[str] = []
    scored: tuple[Scored, ...] = ()
    try:
        scored = place.scored()
    except VlmadError as error:
        problems.append(str(error))
    else:
        problems += _unread(place, len(scored))
    belongs = [
        (EVERYTHING, *classes_of(each.sample)) if each.sample.anomalous else (NORMAL,)
        for each in scored
    ]
    pixels = _Pixels(scored, belongs, place.resolution)
    pixels.count()
    by_class = {
        chosen: _accuracy(scored, belongs, chosen, pixels)
        for chosen in dict.fromkeys(c for each in belongs for c in each if c != NORMAL)
    }
    threshold = _threshold(place, problems)
    problems += pixels.problems.values()
    pro = pixels.curve(EVERYTHING)
    roc, drawn = _roc(scored), None if pro is None else _pro(pro)
    names = place.category, str(place.cell["category"])
    return Look(*names, place.run, scored, threshold, by_class, roc, drawn, tuple(problems))


def _unread(place: Place, read: int) -> Iterator[str]:
    """Say if scores of images that were measured are not there any more."""
    measured = sum(place.cell.get(name, 0) for name in ("normal", "anomalous"))
    if read < measured:
        yield f"{place.run} has the scores of {read} of {measured} measured images"


def _accuracy(
    scored: Sequence[Scored],
    belongs: Sequence[Sequence[Class]],
    chosen: Class,
    pixels: _Pixels,
) -> Accuracy:
    pairs = [
        (chosen in classes, each.row.score)
        for each, classes in zip(scored, belongs, strict=True)
        if chosen in classes or NORMAL in classes
    ]
    labels, scores = zip(*pairs, strict=True)
    found = {"image_auroc": image_metrics(labels, scores)["image_auroc"]}
    curve = pixels.curve(chosen)
    if curve is not None:
        found |= metrics_of(curve, METRICS)
    return Accuracy(sum(labels), pixels.images.get(chosen, 0), found)


@dataclass(slots=True)
class _Pixels:
    """Counts of pixels above shared thresholds, for each class of images."""

    scored: Sequence[Scored]
    belongs: Sequence[Sequence[Class]]
    resolution: Resolution
    problems: dict[int | None, str] = field(default_factory=dict)
    """By the index of the image; None for what concerns all."""
    images: dict[Class, int] = field(default_factory=dict)
    _thresholds: Float[np.ndarray, " k"] | None = None
    _sums: dict[Class, Float[np.ndarray, "3 k"]] = field(default_factory=dict)
    _regions: dict[Class, int] = field(default_factory=dict)

    def count(self) -> None:
        """Read all maps that can be read, twice."""
        known = [s for s in self.scored if s.sample.mask is not None and s.sample.anomalous]
        if not known:
            return
        if not any((each.run / each.row.map).is_file() for each in self.scored):
            self.problems[None] = NO_MAPS
            return
        stream = PixelStream()
        for _, image in self._maps():
            stream.add(image.scores, image.mask)
        try:
            self._thresholds = stream.thresholds(BINS)
        except InputError as error:
            self.problems[None] = str(error)
            return
        for index, image in self._maps():
            try:
                self._add(index, image)
            except InputError as error:  # the map was changed between the two passes
                self.problems[index] = str(error)

    def _maps(self) -> Iterator[tuple[int, LabelledMap]]:
        for index, each in enumerate(self.scored):
            if index in self.problems:
                continue
            try:
                whole = each.map()
                if whole is None:
                    continue
                name = str(each.sample.image)
                yield index, at_resolution(whole.scores, whole.mask, self.resolution, name)
            except VlmadError as error:
                self.problems[index] = str(error)

    def _add(self, index: int, image: LabelledMap) -> None:
        assert self._thresholds is not None
        collector = ImageCurveCollector(self._thresholds)
        collector.add(image)
        one = collector.curves()
        assert one.overlap is not None
        assert one.regions is not None
        row = np.concatenate([one.false_positives, one.true_positives, one.overlap])
        for chosen in self.belongs[index]:
            self._sums[chosen] = self._sums.get(chosen, 0) + row
            self._regions[chosen] = self._regions.get(chosen, 0) + int(one.regions[0])
            # a thin defect can vanish at the resolution of the bench; then it is in no figure
            self.images[chosen] = self.images.get(chosen, 0) + bool(one.regions[0])

    def curve(self, chosen: Class) -> Curve | None:
        """Return the curve of a class of images together with the normal ones."""
        if self._thresholds is None or not self._regions.get(chosen):
            return None
        false, true, overlap = self._sums[chosen] + self._sums.get(NORMAL, 0)
        if not false[-1]:
            return None
        overlap = overlap / self._regions[chosen]
        untied = np.zeros(len(self._thresholds), dtype=bool)
        return Curve(false, true, self._thresholds, untied, overlap)


def _roc(scored: Sequence[Scored]) -> Float[np.ndarray, "k 2"] | None:
    labels = np.array([each.sample.anomalous for each in scored], dtype=bool)
    if labels.all() or not labels.any():  # as it is where there are none at all
        return None
    scores = np.array([each.row.score for each in scored], dtype=np.float64)
    curve = image_curve(labels, scores)
    points = _with_start(curve.false_positives, curve.true_positives)
    chosen = np.linspace(0, len(points) - 1, min(len(points), POINTS)).astype(int)
    shown: np.ndarray = points[chosen]
    return shown


def _pro(curve: Curve) -> Float[np.ndarray, "k 2"]:
    assert curve.overlap is not None
    points = _with_start(curve.false_positives, curve.overlap)
    rates = np.linspace(0, PRO_LIMIT, POINTS)
    return np.stack([rates, np.interp(rates, *points.T)], axis=1)


def _with_start(
    false: Float[np.ndarray, " k"], found: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "m 2"]:
    points = np.stack([false / false[-1], found / found[-1]], axis=1)
    return np.concatenate([np.zeros((1, 2)), points])


def _threshold(place: Place, problems: list[str]) -> float | None:
    stored = place.cell.get("threshold")
    if not stored:
        return None
    try:
        return read_threshold(str(place.results.folder / str(stored))).value
    except VlmadError as error:
        problems.append(str(error))
        return None
