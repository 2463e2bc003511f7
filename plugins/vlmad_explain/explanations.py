"""What an explanation says: the addends of a score, sentences, places and nearest references.

`vlmad_explain.explain` makes them, and `vlmad explain` writes them as an `ExplanationFile`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from pydantic import Field, JsonValue

from vlmad_attribution.attribution import Judge, Mean
from vlmad_documents.documents import Document, FileName
from vlmad_explain._look import Where

if TYPE_CHECKING:
    from collections.abc import Sequence


@runtime_checkable
class HasStates(Protocol):
    """Prompts whose sentences are made of states, several of one state alike in meaning."""

    def states(self, class_name: str) -> Sequence[str | None]:
        """Return the state that each sentence is made of, in their order."""


class PixelBox(Document):
    """A rectangle in whole pixels of an original; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    def __str__(self) -> str:
        return f"{self.left},{self.top} to {self.right},{self.bottom}"


class SentenceShare(Document):
    """What one sentence added to a conclusion.

    `push` is its addend to what was concluded (see `Explanation.unit`), above 0 for an anomaly;
    `share` (0 to 1) is the size of its push among the sizes of all pushes. Both are None where
    the scorer does not know.
    """

    text: str
    anomalous: bool
    cosine: float
    """That between it and the image or region."""
    push: float | None
    share: float | None
    state: str | None = None
    """What it calls the object, where prompts know: several templates have one state."""


class NearestRegion(Document):
    """The region of the references, or of the other images of a set, nearest to one of the image.

    Of references that are not known any more all but the distance is None.
    """

    number: int | None
    """Which of the file's references it is, from 0; a view of one counts for itself."""
    image: FileName | None
    place: PixelBox | None
    distance: float
    """By the scorer's own measure, or else (1 - cosine) / 2."""


class ShownRegion(Document):
    """A region that stands out."""

    number: int
    by: Judge
    level: str
    place: PixelBox
    values: dict[str, float]
    """Its value by each kind of judgement that it got."""
    decided: bool
    """Whether it covers the place that decided the score."""
    for_anomaly: list[SentenceShare]
    against_anomaly: list[SentenceShare]
    nearest: NearestRegion | None


class CoveringRegion(Document):
    """A region that covers the place that decided; `place` is None in margins of padding."""

    level: str
    place: PixelBox | None
    value: float


class ScoreAddend(Document):
    """One addend of the score: weight * value.

    If `whole_image`, `value` is a judgement of the whole image. If not, it is that of the cell
    at `place` (None if that lies in the margins of padding): the mean over levels of the
    `mean` of `regions`, or where that is `smoothed` of one pixel of the blurred map. Where it is
    `joined`, `value` is a power mean over all cells, of which the one at `place` is the highest.
    """

    by: Judge
    weight: float
    value: float
    whole_image: bool
    place: PixelBox | None = None
    mean: Mean | None = None
    highest: int = 1
    """Where above 1, `value` is the mean of so many of the highest cells, `place` the highest."""
    regions: list[CoveringRegion] = Field(default_factory=list)


class NamedRegion(Document):
    """Where the map stands out, and what that looks like: see docs/explanations.md.

    `certainty` is how often such a judgement is right on drawn defects. It and `kind` are None
    where the kind is not sure enough to be told.
    """

    place: PixelBox
    where: Where
    """In which of nine equal parts of the image its middle lies."""
    look: str | None
    """Dark, light or a colour, as it differs from its surroundings; None if it hardly does."""
    kind: str | None
    certainty: float | None


class Explanation(Document):
    """What drove the score of one image.

    `score` is the sum of weight * value of `addends`. Where the image was cut into tiles it is
    that of the most anomalous one, `tile`, which all else is about. The pushes of all `sentences`
    sum to what they concluded: with the unit log-odds to ln(p / (1 - p)) of the probability p
    that is the value of the addend by text, with the unit cosine to that value itself.
    """

    image: FileName
    width: int
    height: int
    class_name: str
    score: float
    tile: PixelBox | None
    addends: list[ScoreAddend]
    unit: Literal["log-odds", "cosine"] | None
    sentences_on: str | None
    """What the sentences are about: the whole image or tile, or the place that decided."""
    sentences: list[SentenceShare]
    findings: list[ShownRegion]
    named: list[NamedRegion] = Field(default_factory=list)
    """The most striking first; none where the map is even or only prepared pixels are given."""
    gap: str | None
    """What is not known."""


class ExplainedPart(Document):
    """A part of the detector, and its options."""

    name: str
    options: dict[str, JsonValue]


class ExplainedDetector(Document):
    """The detector whose scores are explained."""

    recipe: str
    parts: dict[str, ExplainedPart]


class ExplanationFile(Document):
    """What `vlmad explain` writes."""

    format: Literal["vlmad explanation 2"] = "vlmad explanation 2"
    detector: ExplainedDetector
    references: list[FileName]
    explanations: list[Explanation]
