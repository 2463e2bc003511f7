"""What is written for others: what a watch has seen, its alarms, and what came of a command."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from vlmad_documents.documents import Document, FileName
from vlmad_drift.martingales import BETS
from vlmad_drift.quantities import QUANTITIES, DriftSide, Kind

Coins = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]


class DriftShift(Document):
    """By how much a quantity has changed."""

    quantity: str
    kind: Kind
    words: str
    usual: float
    """The median before the change."""
    level: float
    """The median since."""
    shift: float
    """Their difference in units of the usual spread (standard deviation, from the quartiles)."""
    low: float
    high: float
    """Its interval of 95 % confidence, as if the change were not searched for."""


class DriftAlarm(Document):
    """A quantity that is no longer distributed as it was."""

    quantity: str
    side: DriftSide
    image: FileName
    """At which the alarm was raised."""
    number: Count
    """Of that image, counted from 1."""
    at: str
    since: Count
    """The number of the first image after the likeliest change."""
    since_at: str
    since_image: FileName
    earlier: bool
    """Whether it may have been before: further back is not remembered."""
    shift: DriftShift
    """As it was when the alarm was raised."""


class WatchedSide(Document):
    """A martingale against a rise or a fall; see `vlmad_drift.martingales`."""

    steps: Count
    resting: Coins
    betting: list[Coins] = Field(min_length=len(BETS), max_length=len(BETS))


class WatchedQuantity(Document):
    """What is kept of a quantity."""

    values: list[float]
    """Rounded values, usual ones included, each once."""
    counts: list[Annotated[int, Field(gt=0)]]
    """How often each was there."""
    sides: dict[DriftSide, WatchedSide] = Field(min_length=1)
    alarm: DriftAlarm | None = None

    @model_validator(mode="after")
    def _check_counts(self) -> Self:
        if len(self.values) != len(self.counts) or len(self.values) != len(set(self.values)):
            raise ValueError("each value stands there once, with its count")
        return self


class WatchedImage(Document):
    """One of the last images."""

    image: FileName
    at: str
    number: Count
    values: dict[str, float]


class DriftState(Document):
    """All that a watch remembers, to go on from."""

    format: Literal["vlmad drift state 1"] = "vlmad drift state 1"
    alpha: Annotated[float, Field(gt=0, lt=1)]
    defects: Annotated[float, Field(ge=0, lt=1)]
    seed: Count
    images: Count
    """How many were seen."""
    quantities: dict[str, WatchedQuantity]
    recent: list[WatchedImage]

    @model_validator(mode="after")
    def _check_recent(self) -> Self:
        if not self.quantities.keys() <= QUANTITIES.keys():
            raise ValueError(f"there are the quantities {', '.join(QUANTITIES)}")
        for name, kept in self.quantities.items():
            counts = dict(zip(kept.values, kept.counts, strict=True))
            recent = Counter(i.values[name] for i in self.recent if name in i.values)
            if any(count > counts.get(value, 0) for value, count in recent.items()):
                raise ValueError(f"values of the last images are not among those of '{name}'")
        return self


class DriftPoint(Document):
    """One image, as it was judged when it came."""

    image: FileName
    at: str
    values: dict[str, float]
    p_values: dict[str, float]
    """The share of images before it that were higher, by quantity."""
    evidence: dict[str, float]
    """Of each quantity after this image: how many times its stake."""


class DriftReport(Document):
    """What `vlmad drift` found."""

    format: Literal["vlmad drift 1"] = "vlmad drift 1"
    drift: bool
    words: str
    alpha: float
    """The probability of any false alarm ever, at most, if nothing changes."""
    defects: float
    needed: float
    """The evidence from which on a quantity is an alarm."""
    usual: dict[str, int]
    """With how many usual values each quantity began."""
    images: int
    """How many were compared."""
    alarms: list[DriftAlarm]
    shifts: list[DriftShift]
    """Of all quantities, the largest first: how the last images differ from what was usual."""
    remarks: list[str]
    failures: list[str]
    """Why images could not be scored or measured."""
    points: list[DriftPoint]


class ProductDrift(Document):
    """What a station has found of the images of one product; as in `DriftReport`."""

    drift: bool
    words: str
    images: Count
    needed: float
    alpha: float
    defects: float
    evidence: dict[str, float]
    """By quantity, how many times its stake."""
    alarms: list[DriftAlarm]
    shifts: list[DriftShift]
    remarks: list[str]
    begun: str
    """When watching them was begun, in UTC as ISO 8601."""
    because: str = ""
    """Why it was begun anew, and by whom; empty if it was the first."""


class StationDriftReport(Document):
    """What a station has found, by product."""

    format: Literal["vlmad station drift 1"] = "vlmad station drift 1"
    products: dict[str, ProductDrift]
    fault: str = ""
    """Why images are not watched, if they are not."""
