"""Which images of a request are views of one part, and what is said of the part."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import InputError, printable
from vlmad_groups.combining import PartRule
from vlmad_groups.part_rows import judge_part
from vlmad_line.line_parts import said_of, view_of
from vlmad_run.part_grouping import ALONE, ByTable, lacking
from vlmad_run.possible_parts import why_never_anomalous
from vlmad_serve.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad_line.judgements import PartJudgement
    from vlmad_line.line_products import LineProduct
    from vlmad_run.part_grouping import Grouping
    from vlmad_serve.batching import Answered

MOST_NAME = 255
ROOT = Path(os.sep)
"""Where tables have the images of a request: no name of it leads to a file of the server."""


@dataclass(frozen=True, slots=True)
class SentViews:
    """How images that come together become parts."""

    grouping: Grouping | None = None
    """Finds the parts in the names of images."""
    rule: PartRule = field(default_factory=PartRule)
    """How many views a part has, and how they become one verdict."""
    part: str = ""
    """The part of which all images are views; else `grouping` says so."""

    def asked(self, part: str | None, views: int | None) -> SentViews:
        """Return how the images of a request become parts that names one, or does not.

        Raises:
            Refusal: the name is empty, or the views are not those that the server knows of.
        """
        if part is None and views is None:
            return self
        named = printable(part or "")[:MOST_NAME].strip()
        if not named:
            raise Refusal(400, "a part needs a name", "name it as part=0042, beside views=")
        known = self.rule.views
        if views is not None and known not in (None, views):
            raise Refusal(400, f"a part has {known} views here", "leave out views=")
        return replace(self, part=named, rule=replace(self.rule, views=views or known))

    def part_of(self, image: str) -> str:
        """Return the part that an image is a view of; empty where no parts are judged."""
        if self.part or self.grouping is None:
            return self.part
        return self.grouping.part_of(self._path(image)) or image

    def judge(self, answers: Sequence[Answered]) -> list[PartJudgement]:
        """Return what follows from what was said of all images of a request."""
        views: dict[str, list[Answered]] = {}
        for each in answers:
            if each.judgement.part:
                views.setdefault(each.judgement.part, []).append(each)
        return [self._judge(part, said) for part, said in views.items()]

    def _judge(self, part: str, answers: Sequence[Answered]) -> PartJudgement:
        said = [each.judgement for each in answers]
        never = {self._why_never(each.product, len(said)) for each in answers if each.product}
        faults = [*self._faults(part, [self._path(each.image) for each in said]), *sorted(never)]
        row = judge_part(part, [*map(view_of, said)], self.rule, [*filter(None, faults)])
        return said_of(row, [each.id for each in said])

    def require_possible(self, product: LineProduct) -> None:
        """Refuse a product by which no part could be anomalous.

        Raises:
            InputError: it is such.
        """
        if why := self._why_never(product, 1):
            raise InputError(why)

    def _why_never(self, product: LineProduct, views: int) -> str:
        most = max(views, self.rule.views or 1)
        return why_never_anomalous(self.rule, most, product.detector, product.manifest)

    def _faults(self, part: str, images: Sequence[Path]) -> Sequence[str]:
        """Return what keeps a part from being whole, whatever was said of its views."""
        if self.part or self.grouping is None:
            return ()
        if any(self.grouping.part_of(image) is None for image in images):
            return (ALONE,)
        return lacking(images, self.grouping, part)

    def _path(self, image: str) -> Path:
        return ROOT / image if isinstance(self.grouping, ByTable) else Path(image)


ONE_BY_ONE = SentViews()
"""Where each image is judged by itself."""


def sent_views(grouping: Grouping | None, rule: PartRule) -> SentViews:
    """Return how parts are found in the names of images, which a table has from its own folder."""
    if isinstance(grouping, ByTable):
        here = os.path.abspath(grouping.table.parent)
        own = {ROOT / os.path.relpath(image, here): part for image, part in grouping.parts.items()}
        grouping = ByTable(own, grouping.table)
    return SentViews(grouping, rule)
