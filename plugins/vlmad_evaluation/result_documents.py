"""What a bench and a grid write of what they measured: `bench.json`, `grid.json` and their parts.

`BenchDocument` and `GridDocument` hold all that came of one, with a `BenchCell` for each run
folder; docs/bench.md lists the keys. Each metric is a `vlmad_evaluation.metric.Metric`, by its
name; it has no value, never 0, where it is undefined. Text that may hold the name of a file or of
a folder is `FileName`.
"""

from __future__ import annotations

from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, Field, JsonValue, model_validator

from vlmad.datasets import Label, Severity
from vlmad.errors import InputError
from vlmad_documents.documents import Document, FileName
from vlmad_evaluation.comparison import Comparison
from vlmad_evaluation.conditions import CLEAN, Change, ConditionSettings
from vlmad_evaluation.metric import METRICS, SATURATED_METRICS, Count, Metric, Share
from vlmad_run.memory_documents import Reference

if TYPE_CHECKING:
    from collections.abc import Iterable

BENCH_FILE, GRID_FILE = "bench.json", "grid.json"
METRICS_FILE, SAMPLES_FILE = "metrics.json", "samples.json"


def _check_inside(name: str) -> str:
    path = PureWindowsPath(name)  # which knows both slashes
    if path.drive or path.root or ".." in path.parts:
        raise ValueError("not inside its folder")
    return name


def _check_all_there(metrics: dict[str, Metric]) -> dict[str, Metric]:
    if set(metrics) not in (set(METRICS), {*METRICS, *SATURATED_METRICS}):
        raise ValueError(f"holds other metrics than {', '.join(METRICS)}")
    return metrics


InnerName = Annotated[FileName, AfterValidator(_check_inside)]
"""The name of a file or folder inside the folder that the document is in."""
ByMetric = Annotated[dict[str, Metric], AfterValidator(_check_all_there)]


class PixelFacts(Document):
    """What the pixel metrics of a cell were computed from."""

    images: Count
    without_mask: Count
    vanished_masks: Count
    """Masks whose defects fell between the pixels of the resolution, or left the frame."""
    regions: Count
    how: Literal["exact", "streamed"]


class PartFacts(Document):
    """The parts of several views that the image metrics of a cell are of."""

    normal: Count
    anomalous: Count
    left_out: list[FileName] = Field(default_factory=list)
    """Those that are not whole, or of which a view could not be scored or is a reference."""


class BenchCell(Document):
    """One detector on one category with the references of one seed: what came of it."""

    detector: FileName
    category: FileName
    class_name: FileName
    shots: Count
    seed: Count | None
    """None without references."""
    change: Change | None = None
    """What was done to the images before they were scored."""
    references: list[Reference]
    normal: Count
    anomalous: Count
    failed: Count
    left_out: list[FileName]
    """The images that could not be scored."""
    parts: PartFacts | None = None
    """What image metrics and the threshold are of, where images are views of parts."""
    pixels: PixelFacts | None
    """None where pixel metrics are undefined for want of masks."""
    learning_seconds: float | None = None
    """How long its scorer learned from the references; None where it does not."""
    run: InnerName
    """Its run folder."""
    threshold: InnerName | None
    """The file of the threshold at which F1 is largest on the test images."""
    metrics: ByMetric


class CellDocument(Document):
    """`metrics.json`, in the run folder of a finished cell."""

    format: Literal["vlmad cell 3"] = "vlmad cell 3"
    cell: BenchCell


class MetricEntry(Document):
    """A detector on a category, over seeds, or on average over categories."""

    detector: FileName
    category: FileName | None
    """None for averages."""
    shots: Count
    metrics: ByMetric


class PairEntry(Comparison):
    """The difference of a detector to the first, on the same images."""

    metric: str
    shots: Count
    category: FileName | None
    """None for the averages."""
    detector: FileName
    against: FileName
    p_value_max_t: Share | None


class ConditionEntry(Document):
    """A detector under a condition: on a category over seeds, or on average over categories."""

    detector: FileName
    category: FileName | None
    """None for averages."""
    shots: Count
    change: Change | None
    """None for the images as they are."""
    thresholds: list[float]
    """Of each seed, fixed on the images as they are; none for averages."""
    metrics: dict[str, Metric]
    """`HELD` of `vlmad_evaluation.conditions`."""
    changes: dict[str, Comparison]
    """How far they are above those of the images as they are."""
    rank: Count | None
    """Among the detectors, by image AUROC; 1 is the best."""

    @property
    def name(self) -> str:
        """The condition, or `clean`."""
        return CLEAN if self.change is None else self.change.condition


class PublishedAverage(Document):
    """A published average, and what follows from the published figures of the categories."""

    stated: Share | None
    recomputed: Share | None


class PublishedEntry(Document):
    """What a source says of a detector on these images."""

    detector: FileName
    shots: Count
    label: str
    source: str
    notes: list[FileName]
    categories: dict[FileName, dict[str, Share]]
    averages: dict[str, PublishedAverage]


class SkippedEntry(Document):
    """What was not measured, and why."""

    detector: FileName | None
    category: FileName | None
    shots: Count
    reason: FileName
    fault: bool
    """Whether a part failed, rather than that there is nothing to measure."""


class CategoryFacts(Document):
    """How many images a category has."""

    class_name: FileName
    train: Count
    normal: Count
    """Test images."""
    anomalous: Count
    """Test images."""
    masks: Count


class DatasetFault(Document):
    """Something that is wrong with a data set."""

    path: FileName
    what: FileName
    severity: Severity


class DatasetFacts(Document):
    """The data set that was measured."""

    reader: str
    root: FileName
    categories: dict[FileName, CategoryFacts]
    problems: list[DatasetFault]


class BenchSettings(Document):
    """What was measured how."""

    shots: list[Count] = Field(default_factory=lambda: [0])
    seeds: Count = 5
    resolution: str = "each mask's own"
    replicates: Count = 1000
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    interval: str = "BCa, images drawn with replacement, normal and anomalous ones apart"
    batch_size: Count = 1
    spare_good: bool = False
    """Whether good train images that are no reference of a cell are test images of it too."""
    group: FileName = ""
    """Which images are views of one part, of which image metrics are then."""
    group_sha256: str | None = None
    """Of the table that says so, if one does."""
    views: Count | None = None
    """How many a part has; None for as many as there are."""
    align: bool = False
    """Whether images are brought to the first reference of their cell, where it has any."""
    conditions: dict[str, ConditionSettings] = Field(default_factory=dict)
    """Under which the test images were scored again, by name."""

    @property
    def size(self) -> tuple[int, int] | None:
        """The resolution of pixel metrics as height and width; None for each mask's own."""
        height, _, width = self.resolution.partition(" x ")
        return (int(height), int(width)) if height.isdigit() and width.isdigit() else None


class DetectorFacts(Document):
    """A detector that was measured."""

    recipe: FileName
    parts: dict[str, str]
    """By kind."""
    options: dict[str, dict[str, JsonValue]]
    """By kind and name."""
    notes: list[FileName]
    backbone: str
    licence: str | None
    weights_sha256: str | None
    device: str
    precision: str


class BenchDocument(Document):
    """`bench.json`: all that came of a bench."""

    format: Literal["vlmad bench 4"] = "vlmad bench 4"
    vlmad: str
    libraries: dict[str, str]
    finished: bool
    dataset: DatasetFacts
    settings: BenchSettings
    detectors: Annotated[dict[FileName, DetectorFacts], Field(min_length=1)]
    averages: list[MetricEntry]
    categories: list[MetricEntry]
    comparisons: list[PairEntry]
    published: list[PublishedEntry]
    skipped: list[SkippedEntry]
    cells: list[BenchCell]
    conditions: list[ConditionEntry] = Field(default_factory=list)
    changed_cells: list[BenchCell] = Field(default_factory=list)
    """The cells under conditions; all else but `conditions` is of the images as they are."""

    def entries(self, shots: int, category: str | None = None) -> list[MetricEntry]:
        """Return the metrics of each detector on a category, or on average."""
        found = self.averages if category is None else self.categories
        return [each for each in found if (each.category, each.shots) == (category, shots)]

    @property
    def first(self) -> str:
        """The detector that the others are compared with; of a grid its baseline."""
        return next(iter(self.detectors))

    def draws(self, shots: int) -> int:
        """Return how many draws of references there should be."""
        return self.settings.seeds if shots else 1

    def pairs(self) -> dict[tuple[str, int, str | None, str], PairEntry]:
        """Return the comparisons with the first by metric, shots, category and detector."""
        found = (each for each in self.comparisons if each.against == self.first)
        return {(p.metric, p.shots, p.category, p.detector): p for p in found}

    def places(self) -> list[str | None]:
        """Return what a table has rows for: the categories and, as None, the average."""
        return [*self.dataset.categories, None]

    def learning_seconds(
        self, detector: str, shots: int | None = None, category: str | None = None
    ) -> float | None:
        """Return how long a scorer learned from the references of a cell, on average."""
        own = (
            cell.learning_seconds
            for cell in self.cells
            if cell.detector == detector
            and shots in (None, cell.shots)
            and category in (None, cell.category)
        )
        found = [seconds for seconds in own if seconds is not None]
        return sum(found) / len(found) if found else None

    def measured(self, names: Iterable[str]) -> list[str]:
        """Return those of some metrics that any category has."""
        known = {name for entry in self.categories for name in entry.metrics}
        return [name for name in names if name in known]

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        entries = self.averages, self.categories, self.cells, self.published
        detectors = {entry.detector for each in entries for entry in each}
        places = self.categories, self.cells
        categories = {str(entry.category) for each in places for entry in each}
        for name in sorted(detectors - set(self.detectors)):
            raise ValueError(f"{name} is none of the detectors")
        for name in sorted(categories - set(self.dataset.categories)):
            raise ValueError(f"{name} is none of the categories")
        return self


class GridAxes(Document):
    """The combinations of a grid, by name."""

    combinations: dict[FileName, dict[str, FileName]]
    """What each has of what varies: parts by kind, options by ``kind.option``."""
    illegal: dict[FileName, FileName]
    """Why some cannot be."""
    same: dict[FileName, FileName]
    """Which came out as another one."""


class GridDocument(BenchDocument):
    """`grid.json`: a bench whose detectors are combinations of parts."""

    baseline: FileName
    grid: GridAxes

    @property
    def axes(self) -> list[str]:
        """What tells combinations apart, such as `scorer` and ``extractor.scales``."""
        varied = (axis for values in self.grid.combinations.values() for axis in values)
        return list(dict.fromkeys(varied))

    def places(self) -> list[str | None]:
        """Return the average alone."""
        several = len(self.dataset.categories) > 1
        return [None] if several else [*self.dataset.categories]

    @model_validator(mode="after")
    def _check_baseline(self) -> Self:
        if self.baseline not in self.detectors:
            raise ValueError("baseline is none of the detectors")
        return self


class SampleEntry(Document):
    """A test image with what is true of it; paths are absolute."""

    image: FileName
    label: Label
    category: FileName
    defect: FileName
    mask: FileName | None


class SamplesDocument(Document):
    """`samples.json`: the test images of a bench."""

    format: Literal["vlmad samples 2"] = "vlmad samples 2"
    samples: list[SampleEntry]


def read_document(folder: Path) -> BenchDocument:
    """Read what came of a bench or, as `GridDocument`, of a grid.

    Raises:
        InputError: the folder is that of neither, the bench was broken off before it wrote its
            document, or the document is damaged or of an earlier vlmad.
    """
    models: dict[str, type[BenchDocument]] = {BENCH_FILE: BenchDocument, GRID_FILE: GridDocument}
    for name, model in models.items():
        path = folder / name
        if path.is_file():
            try:
                return model.read(path)
            except InputError as error:
                raise InputError(f"{error}; run its command again") from error
    if (folder / SAMPLES_FILE).is_file():
        raise InputError(
            f"{folder} was broken off before it wrote what came of it; "
            "the command that made it goes on from there when it is given again"
        )
    raise InputError(f"{folder} holds no {' or '.join(models)}: it is no bench or grid")


def write_document(document: BenchDocument, folder: Path) -> Path:
    """Write the document into the folder of its bench or grid; return the file.

    Raises:
        OutputError: the file cannot be written.
    """
    path = folder / (GRID_FILE if isinstance(document, GridDocument) else BENCH_FILE)
    document.write(path)
    return path
