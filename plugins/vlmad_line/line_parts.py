"""Parts of several views at a line: a judgement of each when its views are there, or too late."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import shown
from vlmad_groups.collecting import PartCollector
from vlmad_groups.part_rows import PartView, judge_part
from vlmad_line.judgements import Answer, PartJudgement
from vlmad_run.part_grouping import ALONE
from vlmad_run.possible_parts import why_never_anomalous

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vlmad_groups.combining import PartRule
    from vlmad_groups.part_rows import PartRow, PartVerdict
    from vlmad_line.judgements import Judgement
    from vlmad_line.line_products import LineProduct
    from vlmad_run.part_grouping import Grouping

PATIENCE = 10.0
"""Seconds from the first view of a part to its last, where nobody says."""
UNKNOWN = "unknown"
"""The product of an image that shows none of several."""


class LineParts:
    """Makes judgements of parts from those of their images, as they come.

    Args:
        grouping: which image is a view of which part.
        rule: how many views a part has, and how they become one verdict.
        patience: seconds after which a part with fewer views is NG.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        grouping: Grouping,
        rule: PartRule,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._grouping, self._clock, self._here = grouping, clock, Path.cwd()
        self._rule = rule
        self._parts = PartCollector(self._rule, patience)
        self._ids: dict[str, list[str]] = {}
        """Of what was said of the views of parts that wait."""

    def named(self, judgement: Judgement) -> Judgement:
        """Return what was said of an image, with the part that it is a view of."""
        part = self._part_of(judgement) or judgement.image
        return judgement.model_copy(update={"part": part})

    def take(self, judgements: Sequence[Judgement]) -> list[PartJudgement]:
        """Take what was said of images; return what follows for parts that are whole now.

        An image that belongs to no part is one of its own, which is NG; so is a part of which a
        table names another number of images than there are views.
        """
        said = [self._row_after(each) for each in judgements]
        return [self._said_of(row) for row in said if row is not None]

    def _part_of(self, judgement: Judgement) -> str | None:
        path = Path(judgement.file or judgement.image)
        here = path.is_relative_to(self._here)  # then as `vlmad run` has it
        return self._grouping.part_of(path.relative_to(self._here) if here else path)

    def _row_after(self, judgement: Judgement) -> PartRow | None:
        part, view = self._part_of(judgement), view_of(judgement)
        self._ids.setdefault(part or judgement.image, []).append(judgement.id)
        if part is None:
            return judge_part(judgement.image, [view], self._rule, [ALONE])
        named = len(self._grouping.images_of(part))
        if named and named != self._rule.views:
            other = f"the table names {named} images of it, not {self._rule.views}"
            return judge_part(part, [view], self._rule, [other])
        return self._parts.add(part, view, self._clock())

    def _said_of(self, row: PartRow) -> PartJudgement:
        return said_of(row, self._ids.pop(row.part, []))

    def why_never(self, product: LineProduct) -> str:
        """Return why no part could be anomalous by a product; empty if one could."""
        views = self._rule.views or 1
        return why_never_anomalous(self._rule, views, product.detector, product.manifest)

    def overdue(self) -> list[PartJudgement]:
        """Return what is said of parts that have waited too long: each is NG."""
        return [self._said_of(row) for row in self._parts.overdue(self._clock())]

    def finish(self) -> list[PartJudgement]:
        """Return what is said of parts that wait when the line stops: each is NG."""
        return [self._said_of(row) for row in self._parts.finish()]


def view_of(judgement: Judgement) -> PartView:
    """Return what was said of an image as of a view of a part."""
    verdict: PartVerdict = ""
    if judgement.answer == "OK":
        verdict = "ok"
    elif judgement.answer == "NG":
        verdict = "unknown" if judgement.product == UNKNOWN else "anomalous"
    reason = "" if judgement.score is not None else judgement.reason
    if reason and not reason.startswith(f"{judgement.image}: "):
        reason = f"{judgement.image}: {reason}"
    return PartView(judgement.image, judgement.score, verdict, judgement.p_value, reason)


def said_of(row: PartRow, ids: Sequence[str]) -> PartJudgement:
    """Return what is said of a part at a line, where nothing is good but what is known to be.

    Args:
        row: what follows from its views.
        ids: of what was said of these.
    """
    answer: Answer = "NG"
    if row.verdict in ("ok", ""):
        answer = "OK" if row.verdict else ""
    reason = row.reason
    if answer == "NG" and not reason:
        by_views = row.p_value is None
        reason = f"{row.worst} is NG" if by_views else f"its p-value is {row.p_value:.3g}"
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
        p_value=row.p_value,
        images=row.views,
        views=list(ids),
    )
