"""What is said at a line: of images and parts OK or NG, and why; that a source has stopped."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from vlmad_documents.documents import Document, FileName

Answer = Literal["OK", "NG", ""]
"""Empty where nothing says from which score on an image is anomalous. Only OK is good."""


class Standout(Document):
    """A place of an image that its map stands out at, in pixels of the upright image."""

    left: Annotated[int, Field(ge=0)]
    top: Annotated[int, Field(ge=0)]
    width: Annotated[int, Field(gt=0)]
    height: Annotated[int, Field(gt=0)]
    peak: float
    """The highest value of the map in it."""


class Judgement(Document):
    """One image at a line.

    An image is OK only if it was scored, there is a threshold, and the score lies below it. One
    that could not be read or scored is NG, whatever there is to compare with.
    """

    format: Literal["vlmad judgement 1"] = "vlmad judgement 1"
    id: Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{8,64}$")]
    """Its own among all; whoever gets a judgement twice knows it by that."""
    at: str
    """When the image came, in UTC as ISO 8601."""
    image: FileName
    """The name of the image."""
    answer: Answer
    source: FileName = ""
    """Where it came from, as it was asked for."""
    product: str = ""
    """Which product it was judged as; `unknown` if it shows none of several, which is NG."""
    reason: str = ""
    """Why it is not OK."""
    score: float | None = None
    threshold: float | None = None
    p_value: Annotated[float, Field(gt=0, le=1)] | None = None
    """The share of good references at least as high, where it is known."""
    regions: list[Standout] = Field(default_factory=list)
    """What stands out, the highest first."""
    file: FileName = ""
    """Where the image itself lies, if it came as a file."""
    sha256: str | None = None
    """Of that file."""
    milliseconds: Annotated[float, Field(ge=0)] | None = None
    """From the complete image to the judgement."""
    part: FileName = ""
    """The part that it is a view of, where parts are judged: what is said of that counts."""

    @model_validator(mode="after")
    def _check_answer(self) -> Self:
        if self.answer == "OK":
            if self.score is None or self.threshold is None or self.score >= self.threshold:
                raise ValueError("an image is OK only if its score lies below a threshold")
        elif not self.reason:
            raise ValueError("what is not OK says why")
        if self.answer == "" and self.score is None:
            raise ValueError("an image without a score is NG")
        return self


class PartJudgement(Document):
    """A part of several views at a line.

    It is OK only if all its views are there and each is; see `vlmad_line.line_parts`.
    """

    format: Literal["vlmad part judgement 1"] = "vlmad part judgement 1"
    id: Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{8,64}$")]
    at: str
    """When it was judged, in UTC as ISO 8601."""
    part: FileName
    answer: Answer
    reason: str = ""
    """Why it is not OK."""
    score: float | None = None
    """Of its worst view."""
    worst: FileName = ""
    """The view with that score."""
    p_value: Annotated[float, Field(gt=0, le=1)] | None = None
    """The combined one, where p-values are combined: then it decides."""
    images: list[FileName]
    """The views that came."""
    views: list[str] = Field(default_factory=list)
    """The `id` of the judgement of each."""

    @model_validator(mode="after")
    def _check_reason(self) -> Self:
        if self.answer == "OK" and (self.score is None or not self.images or self.reason):
            raise ValueError("a part is OK only if its views were scored and nothing is wrong")
        if self.answer != "OK" and not self.reason:
            raise ValueError("what is not OK says why")
        return self


AlarmState: TypeAlias = Literal["stopped", "changed", "back"]


class Alarm(Document):
    """What an operator must know that is of no single image.

    A source has `stopped`, or images have `changed`, or all is `back` as it was.
    """

    format: Literal["vlmad alarm 1"] = "vlmad alarm 1"
    id: Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{8,64}$")]
    at: str
    """When, in UTC as ISO 8601."""
    source: FileName
    state: AlarmState
    """While it is `stopped` no image comes; one that came before may still be judged."""
    reason: str = ""


Message: TypeAlias = Judgement | PartJudgement | Alarm
"""What sinks are given."""


def read_message(text: str | bytes, name: str) -> Message:
    """Read what `Document.to_json` made of a judgement, of an image or a part, or of an alarm.

    Raises:
        InputError: it is none of them.
    """
    start = text[:60] if isinstance(text, str) else text[:60].decode("utf-8", "replace")
    for kind in (Alarm, PartJudgement):
        if f'"{kind.model_fields["format"].default}"' in start:
            return kind.parse(text, name)
    return Judgement.parse(text, name)
