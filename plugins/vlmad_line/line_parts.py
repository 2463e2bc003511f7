"""Parts of several views at a line: a judgement of each when its views are there, or too late."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import shown
from vlmad_groups.collecting import PartCollector
from vlmad_groups.combining import PartRule
from vlmad_groups.part_rows import PartView, judge_part
from vlmad_line.judgements import Answer, PartJudgement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vlmad_groups.part_rows import PartRow, PartVerdict
    from vlmad_line.judgements import Judgement
    from vlmad_run.part_grouping import Grouping

PATIENCE = 10.0
"""Seconds from the first view of a part to its last, where nobody says."""
UNKNOWN = "unknown"
"""The product of an image that shows none of several."""


class LineParts:
    """Makes judgements of parts from those of their images, as they come.

    Args:
        grouping: which image is a view of which part.
        views: how many a part has; one with fewer after `patience` seconds is NG.
        patience: see `views`.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        grouping: Grouping,
        views: int | None,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._grouping, self._clock, self._here = grouping, clock, Path.cwd()
        self._rule = PartRule(views=views)
        self._parts = PartCollector(self._rule, patience)

    def take(self, judgements: Sequence[Judgement]) -> list[PartJudgement]:
        """Take what was said of images; return what follows for parts that are whole now.

        An image that belongs to no part is one of its own, which is NG; so is a part of which a
        table names another number of images than there are views.
        """
        said = [self._row_after(each) for each in judgements]
        return [_said_of(row) for row in said if row is not None]

    def _row_after(self, judgement: Judgement) -> PartRow | None:
        path = Path(judgement.file or judgement.image)
        here = path.is_relative_to(self._here)  # then as `vlmad run` has it
        part = self._grouping.part_of(path.relative_to(self._here) if here else path)
        if part is None:
            alone = "it belongs to no part by --group"
            return judge_part(judgement.image, [_view(judgement)], self._rule, [alone])
        named = len(self._grouping.images_of(part))
        if named and named != self._rule.views:
            other = f"the table names {named} images of it, not {self._rule.views}"
            return judge_part(part, [_view(judgement)], self._rule, [other])
        return self._parts.add(part, _view(judgement), self._clock())

    def overdue(self) -> list[PartJudgement]:
        """Return what is said of parts that have waited too long: each is NG."""
        return [_said_of(row) for row in self._parts.overdue(self._clock())]

    def finish(self) -> list[PartJudgement]:
        """Return what is said of parts that wait when the line stops: each is NG."""
        return [_said_of(row) for row in self._parts.finish()]


def _view(judgement: Judgement) -> PartView:
    verdict: PartVerdict = ""
    if judgement.answer == "OK":
        verdict = "ok"
    elif judgement.answer == "NG":
        verdict = "unknown" if judgement.product == UNKNOWN else "anomalous"
    reason = f"{judgement.image}: {judgement.reason}" if judgement.score is None else ""
    return PartView(judgement.image, judgement.score, verdict, judgement.p_value, reason)


def _said_of(row: PartRow) -> PartJudgement:
    answer: Answer = "NG"
    if row.verdict in ("ok", ""):
        answer = "OK" if row.verdict else ""
    reason = row.reason or (f"{row.worst} is NG" if answer == "NG" else "")
    if answer == "":
        reason = "nothing says from which score on an image is anomalous"
    return PartJudgement(
        id=uuid.uuid4().hex,
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        part=row.part,
        answer=answer,
        reason=shown(reason),
        score=row.score,
        worst=row.worst,
        images=row.views,
    )
