"""What `vlmad data` says of a category, in numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vlmad import Problem
    from vlmad_datasets.opening import OpenDataset
    from vlmad_datasets.survey import Measured, Survey


@dataclass(frozen=True, slots=True)
class Defect:
    """The test images of one defect, and which share of their pixels it covers."""

    images: int
    smallest: float | None
    """Of the images whose mask marks any pixel; None if there are none."""
    largest: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts, sizes and defective shares of the images of one category."""

    category: str
    class_name: str
    train: int
    validation: int
    normal: int
    """Normal images under test."""
    anomalous: int
    """Anomalous images under test."""
    masks: int
    """How many of these have a mask that can be used."""
    defects: dict[str, Defect]
    sizes: tuple[tuple[int, int], ...]
    """Different widths and heights, the most frequent first."""
    defective_pixels: float | None
    """The defective share of all test pixels whose truth is known; None if none has a mask."""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "class_name": self.class_name,
            "train": self.train,
            "validation": self.validation,
            "test": {"normal": self.normal, "anomalous": self.anomalous, "masks": self.masks},
            "defects": {name: asdict(defect) for name, defect in self.defects.items()},
            "image_sizes": [list(size) for size in self.sizes],
            "defective_pixels": self.defective_pixels,
        }


def summarise(dataset: OpenDataset, survey: Survey) -> list[Summary]:
    """Return a summary of each category that has readable images."""
    members: dict[str, list[Measured]] = {}
    for measured in survey.measured:
        members.setdefault(measured.sample.category, []).append(measured)
    return [
        _summary(category, dataset.class_name(category), found)
        for category, found in members.items()
    ]


def _summary(category: str, class_name: str, found: Sequence[Measured]) -> Summary:
    splits = Counter(measured.sample.split for measured in found)
    tested = [measured for measured in found if measured.sample.split == "test"]
    anomalous = [measured for measured in tested if measured.sample.anomalous]
    return Summary(
        category,
        class_name,
        train=splits["train"],
        validation=splits["validation"],
        normal=len(tested) - len(anomalous),
        anomalous=len(anomalous),
        masks=sum(measured.defective is not None for measured in anomalous),
        defects=_defects(anomalous),
        sizes=tuple(size for size, _ in Counter(m.size for m in found).most_common()),
        defective_pixels=_defective_pixels(tested),
    )


def _defects(anomalous: Iterable[Measured]) -> dict[str, Defect]:
    members: dict[str, list[Measured]] = {}
    for measured in anomalous:
        members.setdefault(measured.sample.defect, []).append(measured)
    defects = {}
    for name, found in sorted(members.items()):
        shares = [m.defective / _pixels(m) for m in found if m.defective]
        defects[name] = Defect(len(found), min(shares, default=None), max(shares, default=None))
    return defects


def _pixels(measured: Measured) -> int:
    return measured.size[0] * measured.size[1]


def _defective_pixels(tested: Iterable[Measured]) -> float | None:
    """Return the share over images with a mask, and normal ones, whose truth is known too."""
    known = [m for m in tested if m.defective is not None or not m.sample.anomalous]
    if not any(m.defective is not None for m in known):
        return None
    return sum(m.defective or 0 for m in known) / sum(map(_pixels, known))


def as_json(
    dataset: OpenDataset, summaries: Sequence[Summary], problems: Sequence[Problem]
) -> dict[str, Any]:
    """Return all that is known of a data set as JSON has it."""
    return {
        "dataset": dataset.name,
        "root": str(dataset.root),
        "usable": not any(problem.severity == "fatal" for problem in problems),
        "categories": {summary.category: summary.as_json() for summary in summaries},
        "problems": [
            {"path": str(p.path), "what": p.what, "severity": p.severity} for p in problems
        ],
    }


def percent(share: float | None) -> str:
    """Return a share in percent, with as many digits as small ones need.

    >>> percent(0.0123), percent(0.00042), percent(None)
    ('1.2 %', '0.042 %', '-')
    """
    return "-" if share is None else f"{100 * share:.2g} %"


def readable(name: object) -> str:
    r"""Return a name without what would move the cursor or cannot be printed.

    >>> readable("a\nb")
    'a?b'
    """
    return "".join(c if c.isprintable() else "?" for c in str(name))
