"""Which images of a request are views of one part, and what is said of the part."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import printable
from vlmad_groups.combining import PartRule
from vlmad_groups.part_rows import judge_part
from vlmad_line.line_parts import said_of, view_of
from vlmad_run.part_grouping import ALONE, ByTable, lacking
from vlmad_serve.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad_line.judgements import Judgement, PartJudgement
    from vlmad_run.part_grouping import Grouping

MOST_NAME = 255
ROOT = Path(os.sep)
"""Where tables have the images of a request: no name of it leads to a file of the server."""


@dataclass(frozen=True, slots=True)
class SentViews:
    """How images that come together become parts."""

    grouping: Grouping | None = None
    """Finds the parts in the names of images."""
    views: int | None = None
    """How many a part has."""
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
        if views is not None and self.views not in (None, views):
            raise Refusal(400, f"a part has {self.views} views here", "leave out views=")
        return replace(self, part=named, views=views or self.views)

    def part_of(self, image: str) -> str:
        """Return the part that an image is a view of; empty where no parts are judged."""
        if self.part or self.grouping is None:
            return self.part
        return self.grouping.part_of(self._path(image)) or image

    def judge(self, judgements: Sequence[Judgement]) -> list[PartJudgement]:
        """Return what follows from what was said of all images of a request."""
        views: dict[str, list[Judgement]] = {}
        for each in judgements:
            if each.part:
                views.setdefault(each.part, []).append(each)
        return [self._judge(part, said) for part, said in views.items()]

    def _judge(self, part: str, views: Sequence[Judgement]) -> PartJudgement:
        faults = self._faults(part, [self._path(each.image) for each in views])
        row = judge_part(part, [*map(view_of, views)], PartRule(views=self.views), faults)
        return said_of(row, [each.id for each in views])

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


def sent_views(grouping: Grouping | None, views: int | None) -> SentViews:
    """Return how parts are found in the names of images, which a table has from its own folder."""
    if isinstance(grouping, ByTable):
        here = os.path.abspath(grouping.table.parent)
        own = {ROOT / os.path.relpath(image, here): part for image, part in grouping.parts.items()}
        grouping = ByTable(own, grouping.table)
    return SentViews(grouping, views)
