"""What the server answers, as documents."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vlmad_documents.documents import Document, FileName
from vlmad_line.judgements import Judgement, PartJudgement
from vlmad_review.review_document import ReviewDocument
from vlmad_run.rows import ScoreRow


class RequestProblem(Document):
    """Why a request was not carried out."""

    error: str
    remedy: str


class ScoreAnswer(Document):
    """What is said of the images of a request, in their order."""

    format: Literal["vlmad scores 1"] = "vlmad scores 1"
    judgements: list[Judgement]
    parts: list[PartJudgement] = Field(default_factory=list)
    """Of those of which they are views; what is said of these counts."""
    maps: dict[str, str] = Field(default_factory=dict)
    """Where they were asked for: the PNG of each map in base64, by the judgement's id."""
    error: str = ""
    """Where none could be scored, which is status 422."""
    remedy: str = ""


class ServedProduct(Document):
    """One product of a station."""

    name: str
    class_name: str
    """What its images show, as its detector is told."""
    file: str = ""
    """The name of its fitted file, if it has one."""
    detector: str = ""
    """Its recipe."""
    threshold: float | None = None
    rule: str = ""
    """How the threshold was chosen."""
    judges: bool = False
    """Whether there is a threshold for whatever it is shown."""
    digest: str = ""
    """Its own; another detector or threshold has another."""
    notes: list[str] = Field(default_factory=list)


class ProductList(Document):
    """The products of a station."""

    format: Literal["vlmad products 1"] = "vlmad products 1"
    chosen: str
    """As which images are judged that come without one; empty if there is none."""
    products: list[ServedProduct]
    files: list[str] = Field(default_factory=list)
    """Fitted files that products may be made of."""


class ProductChange(Document):
    """What a product is to become; what is left out stays, or is that of the file."""

    file: str | None = None
    """The name of a fitted file in the folder of ``--products``."""
    threshold: float | None = None
    chosen: bool = False
    """Whether images that come without a product are judged as it from now on."""


class StationHealth(Document):
    """Whether a station works."""

    format: Literal["vlmad station health 1"] = "vlmad station health 1"
    ready: bool
    """Whether it judges images now; else the status is 503."""
    alarms: list[str]
    """What a person should look at."""
    changed: list[str] = Field(default_factory=list)
    """Whose images are no longer like the usual ones; POST /drift/NAME/anew ends the alarm."""
    version: str
    product: str
    paused: bool = False
    """Whether somebody has paused it."""
    unjudged: Annotated[int, Field(ge=0)] = 0
    """Requests for judgements that got none, since an image got one that was sent after them."""
    newest: str = ""
    """The `id` of what was said of the newest image. Empty if nothing holds: no image was judged
    that was sent after the start, a pause, a change of the products, or one that got nothing."""
    waiting: Annotated[int, Field(ge=0)]
    """Images that are not judged yet."""
    waits: Annotated[float, Field(ge=0)] = 0.0
    """For how many seconds the first of them has."""
    seconds: float
    """For how long it has been up."""


class History(Document):
    """The latest judgements, the newest first."""

    format: Literal["vlmad history 1"] = "vlmad history 1"
    judgements: list[Judgement]
    more: str = ""
    """What `before` takes for the page after this one; empty if there is none."""
    parts: list[PartJudgement] = Field(default_factory=list)
    """What was said of the parts of which these are views."""
    kept: list[str] = Field(default_factory=list)
    """Ids of those whose image and map can still be had."""


class PausedStation(Document):
    """Whether a station is to judge nothing for now."""

    paused: bool


class SaidTruth(Document):
    """What an image shows, as a person says."""

    truth: Literal["normal", "anomalous"]


class ProductScores(Document):
    """Scores of a product's images."""

    format: Literal["vlmad product scores 1"] = "vlmad product scores 1"
    product: str
    threshold: float | None
    good: list[float]
    """Of its references, each by the others, and of images that a person called good."""
    bad: list[float]
    """Of images that a person called defective."""
    open: list[float]
    """Of the latest images, whatever they show."""
    adjustable: bool = True
    """Whether one threshold holds for all of them: not where a file of several products has one
    for each."""


class KnownRows(Document):
    """Rows of images that a person said something of, from the run folder that has them."""

    format: Literal["vlmad known rows 1"] = "vlmad known rows 1"
    product: str
    rows: list[ScoreRow]
    """Without verdicts: those hang on the threshold, which may change."""
    truth: dict[str, Literal["normal", "anomalous"]]
    """What the person said of each, by `image`."""
    more: FileName = ""
    """What `after` takes for the page after this one; empty if there is none."""


class ReviewState(Document):
    """What a person said of a product's images, and what learning from it would gain."""

    format: Literal["vlmad review state 1"] = "vlmad review state 1"
    normal: int
    anomalous: int
    state: Literal["none", "running", "done", "failed"] = "none"
    """Of the last trial."""
    reason: str = ""
    """Why it failed."""
    review: ReviewDocument | None = None
    """What it found on images held out."""
    adoptable: bool = False
    """Whether something was learned that may be used."""
