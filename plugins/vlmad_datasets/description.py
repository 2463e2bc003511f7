"""What `vlmad data` finds in a data set: the document that `--json` prints."""

from __future__ import annotations

from collections import Counter, defaultdict
from statistics import median
from typing import TYPE_CHECKING, Literal

from vlmad.datasets import Severity
from vlmad_documents.documents import Document, FileName
from vlmad_run.passed_over import PassedOver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad_datasets.survey import Survey, SurveyedSample
    from vlmad_run.opening import OpenDataset


class TestedCounts(Document):
    """How many images are under test, and how many anomalous ones have a usable mask."""

    normal: int
    anomalous: int
    masks: int


class MaskShares(Document):
    """Which shares of their images the masks mark that mark anything."""

    smallest: float
    median: float
    largest: float


class CategoryDescription(Document):
    """Counts, sizes and defective shares of the images of one category."""

    class_name: FileName
    train: int
    validation: int
    test: TestedCounts
    defects: dict[FileName, int]
    """How many test images show each defect."""
    image_sizes: list[list[int]]
    """Different widths and heights, the most frequent first."""
    defective_pixels: float | None
    """The defective share of all test pixels whose truth is known; None if none has a mask."""
    masks: MaskShares | None
    """Of defective test images; None if no mask marks anything."""


class ProblemDescription(Document):
    """Something wrong with a file."""

    path: FileName
    what: FileName
    severity: Severity


class DatasetDescription(Document):
    """All that is known of a data set."""

    version: Literal[3] = 3
    dataset: str
    root: FileName
    usable: bool
    categories: dict[FileName, CategoryDescription]
    problems: list[ProblemDescription]
    passed_over: list[PassedOver]
    """What lies in its folder and is neither photograph nor mask of it."""


def describe_dataset(dataset: OpenDataset, survey: Survey) -> DatasetDescription:
    """Return the document of a data set that was surveyed."""
    members: dict[str, list[SurveyedSample]] = defaultdict(list)
    for measured in survey.measured:
        members[measured.sample.category].append(measured)
    return DatasetDescription(
        dataset=dataset.name,
        root=str(dataset.root),
        usable=not survey.of("fatal"),
        categories={
            category: _describe_category(dataset.class_name(category), found)
            for category, found in members.items()
        },
        problems=[
            ProblemDescription(path=str(p.path), what=p.what, severity=p.severity)
            for p in survey.problems
        ],
        passed_over=list(survey.passed_over),
    )


def _describe_category(class_name: str, found: Sequence[SurveyedSample]) -> CategoryDescription:
    splits = Counter(each.sample.split for each in found)
    tested = [each for each in found if each.sample.split == "test"]
    anomalous = [each for each in tested if each.sample.anomalous]
    defects = Counter(each.sample.defect for each in anomalous)
    return CategoryDescription(
        class_name=class_name,
        train=splits["train"],
        validation=splits["validation"],
        test=TestedCounts(
            normal=len(tested) - len(anomalous),
            anomalous=len(anomalous),
            masks=sum(each.defective is not None for each in anomalous),
        ),
        defects=dict(sorted(defects.items())),
        image_sizes=[list(size) for size, _ in Counter(each.size for each in found).most_common()],
        defective_pixels=_defective_pixels(tested),
        masks=_mask_shares(anomalous),
    )


def _defective_pixels(tested: Sequence[SurveyedSample]) -> float | None:
    """Return the share over images with a mask, and normal ones, whose truth is known too."""
    known = [each for each in tested if each.defective is not None or not each.sample.anomalous]
    if all(each.defective is None for each in known):
        return None
    return sum(each.defective or 0 for each in known) / sum(each.pixels for each in known)


def _mask_shares(anomalous: Sequence[SurveyedSample]) -> MaskShares | None:
    shares = sorted(each.defective / each.pixels for each in anomalous if each.defective)
    if not shares:
        return None
    return MaskShares(smallest=shares[0], median=median(shares), largest=shares[-1])
