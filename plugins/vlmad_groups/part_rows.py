"""What is said of a part of several views: a line of ``parts.jsonl`` and a row of ``parts.csv``.

A part is OK only if nothing is missing: all views are there, each could be read and scored, and
each belongs to it. What speaks against a part counts whether it is whole or not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from vlmad_documents.documents import Document, FileName
from vlmad_groups.combining import Combine, combine_p_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad_groups.combining import PartRule

PartVerdict: TypeAlias = Literal["ok", "anomalous", "unknown", ""]
"""As of an image: `unknown` is neither good nor bad, empty where there is no threshold."""
SEVERITY = {"": 0, "ok": 0, "unknown": 1, "anomalous": 2}


@dataclass(frozen=True, slots=True)
class PartView:
    """One image of a part, and what was said of it."""

    image: str
    score: float | None = None
    """None if it could not be read or scored."""
    verdict: PartVerdict = ""
    p_value: float | None = None
    reason: str = ""
    """Why it has no score."""


class PartRow(Document):
    """One part of a run."""

    part: FileName
    """Its name: a folder, what a pattern finds in the names of its images, or as a table has it."""
    verdict: PartVerdict
    """`ok` only if it is whole; `unknown` if it is not, unless what is there is anomalous."""
    status: Literal["whole", "not whole"]
    """Whether all its views are there, and all could be scored."""
    reason: str = ""
    """What it lacks, or has too much."""
    score: float | None = None
    """Of its worst view."""
    worst: FileName = ""
    """The view with that score."""
    p_value: Annotated[float, Field(gt=0, le=1)] | None = None
    """The combined one, where p-values are combined."""
    combine: Combine = Field(default=Combine.worst, strict=False)
    views: list[FileName]
    """Its images."""

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        if self.status == "not whole":
            if not self.reason:
                raise ValueError("a part that is not whole has a reason")
            if self.verdict not in ("anomalous", "unknown"):
                raise ValueError("a part that is not whole is anomalous or unknown, never ok")
        return self


def judge_part(
    part: str, views: Sequence[PartView], rule: PartRule, faults: Sequence[str] = ()
) -> PartRow:
    """Judge a part by its views.

    With `worst` it is anomalous if a view is. Otherwise if the combined p-value is at most the
    level; a view that is missing or has no p-value then counts as 1, which makes no false alarm
    more likely.

    Args:
        part: its name.
        views: what is there.
        rule: how they become one.
        faults: what else is wrong with it, such as images that a table names and nobody found.
    """
    wrong = [*faults, *_faults(views, rule)]
    p_value = _combined(views, rule) if rule.combine.of_p_values else None
    worst = max((v for v in views if v.score is not None), key=_badness, default=None)
    return PartRow(
        part=part,
        verdict=_verdict(views, rule, p_value, bool(wrong)),
        status="not whole" if wrong else "whole",
        reason="; ".join(wrong),
        score=None if worst is None else worst.score,
        worst="" if worst is None else worst.image,
        p_value=p_value,
        combine=rule.combine,
        views=[view.image for view in views],
    )


def _badness(view: PartView) -> tuple[int, float, float]:
    """Order views; p-values come before scores, which of two products cannot be compared."""
    return SEVERITY[view.verdict], -(view.p_value or 1.0), view.score or 0.0


def _combined(views: Sequence[PartView], rule: PartRule) -> float:
    known = [view.p_value for view in views if view.p_value is not None]
    count = max(rule.views or 0, len(views), 1)
    return combine_p_values([*known, *[1.0] * (count - len(known))], rule.combine)


def _faults(views: Sequence[PartView], rule: PartRule) -> list[str]:
    """Return what keeps a part from being whole."""
    found, count = [], len({view.image for view in views})
    if not views or (rule.views and count != rule.views):
        found.append(f"{count} of {rule.views or 1} views")
    for view in views:
        if view.score is None:
            found.append(view.reason or f"{view.image} could not be scored")
        elif view.verdict == "unknown":
            found.append(f"{view.image} shows no known product")
        elif rule.combine.of_p_values and view.p_value is None:
            found.append(f"{view.image} has no p-value")
    return found


def _verdict(
    views: Sequence[PartView], rule: PartRule, p_value: float | None, wrong: bool
) -> PartVerdict:
    said = {view.verdict for view in views}
    if p_value is not None:
        anomalous = p_value <= rule.level or math.isclose(p_value, rule.level)
    else:
        anomalous = "anomalous" in said
    if anomalous:
        return "anomalous"
    if wrong:
        return "unknown"
    return "ok" if p_value is not None or "" not in said else ""
