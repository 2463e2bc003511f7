"""What a review found, as `review.json` holds it and `vlmad review --json` prints it."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field, JsonValue

from vlmad_documents.documents import Document, FileName
from vlmad_run.memory_documents import Reference


class Adoptable(StrEnum):
    """What can be learned from verdicts."""

    references = "references"
    misses = "misses"
    threshold = "threshold"


class GainInterval(Document):
    """A value, or a gain, with the ends of its interval."""

    value: float
    low: float
    high: float

    def text(self, sign: str = "") -> str:
        """Return it in words.

        >>> GainInterval(value=0.05, low=-0.01, high=0.125).text("+")
        '+0.050 [-0.010, +0.125]'
        """
        value, low, high = (f"{x:{sign}.3f}" for x in (self.value, self.low, self.high))
        return value if self.low == self.high else f"{value} [{low}, {high}]"


class HeldOutFigures(Document):
    """What a detector and its threshold are worth on the reviewed images, each held out."""

    auroc: GainInterval
    f1: GainInterval
    false_alarms: int
    misses: int


class DetectorGains(Document):
    """By how much a detector is better than another, in paired draws of the same images."""

    detector: str
    over: str
    auroc: GainInterval
    f1: GainInterval


class Lesson(Document):
    """One thing that may be learned, and whether and why it is adopted."""

    what: str
    adopted: bool
    why: str


class ReviewDocument(Document):
    """All that was measured, what was adopted and why."""

    format: Literal["vlmad review 2"] = "vlmad review 2"
    run: FileName
    class_name: str
    normal: int
    anomalous: int
    of_parts: bool = False
    """Whether all counts, figures and gains are of parts, each as its worst view, as in the run."""
    false_alarms: int | None
    """By the threshold of the run; None where it had none."""
    misses: int | None
    unreviewed: int
    """Images of the run without a verdict."""
    missing_or_changed: list[FileName]
    left_out: list[FileName]
    wrong_lines: list[FileName] = Field(default_factory=list)
    """Of the table of verdicts, and why each could not be used."""
    rule: str
    """How a threshold is chosen."""
    not_measured: str
    """Why there are no figures, if so."""
    folds: int
    confidence: float
    """Of the interval of each gain."""
    figures: dict[str, HeldOutFigures]
    """Of the detector as it is, with a new threshold, and with each lesson and a threshold."""
    gains: list[DetectorGains]
    references: Lesson
    threshold: Lesson
    from_misses: Lesson | None = None
    new_references: list[Reference]
    """What is adopted, the highest scores first."""
    new_misses: list[Reference] = Field(default_factory=list)
    """What is learned from, the lowest scores first."""
    new_threshold: float | None
    notes: list[str]
    """In what the detector differs from that of the run."""
    files: list[FileName] = Field(default_factory=list)
    use: FileName = ""
    """The command that runs what was kept; empty if nothing was."""


class RankingGain(Document):
    """Image AUROC before and after something was learned, of images held out."""

    folds: int
    confidence: float
    """Of all intervals."""
    as_it_is: GainInterval
    learned: GainInterval
    gain: GainInterval


class LearnedReview(Document):
    """What a part learned from mistakes, what that gained on others, and whether it stays."""

    format: Literal["vlmad learned review 1"] = "vlmad learned review 1"
    run: FileName
    class_name: str
    normal: int
    anomalous: int
    mistakes: int
    """Images that the run was wrong about."""
    hard: int
    """These and their nearest opposites."""
    kind: str
    part: str
    """What learned."""
    options: dict[str, JsonValue]
    measured: RankingGain | None
    lesson: Lesson
    losses: list[float]
    """Of each epoch on all images, where it is adopted."""
    missing_or_changed: list[FileName]
    left_out: list[FileName]
    wrong_lines: list[FileName]
    notes: list[str]
    files: list[FileName] = Field(default_factory=list)
    use: FileName = ""
    """The command that runs what was kept; empty if nothing was."""
