"""Parts whose views come one after another, as at a line: each is judged once, when it is whole.

A part whose views do not all come in time is judged without them, so never as good. The clock is
the caller's: any that never goes back.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vlmad.errors import InputError
from vlmad_groups.part_rows import judge_part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad_groups.combining import PartRule
    from vlmad_groups.part_rows import PartRow, PartView

REMEMBERED = 10_000
"""As many judged parts are known by name, so that a late view is told from a new part."""


@dataclass(slots=True)
class _Waiting:
    """A part some views of which are there."""

    since: float
    views: list[PartView] = field(default_factory=list)


class PartCollector:
    """Collects views until their part is whole, or has waited too long.

    Not for several threads at once. It holds no more than the parts that wait and the names of the
    last `REMEMBERED` that were judged.

    Args:
        rule: how views become a verdict; it says how many a part has.
        patience: how many seconds after its first view a part has to be whole.

    Raises:
        InputError: the rule does not say how many views there are, or nobody would wait.
    """

    def __init__(self, rule: PartRule, patience: float) -> None:
        if rule.views is None:
            raise InputError("parts whose views come one by one need --views N to know the last")
        if not patience > 0:
            raise InputError(f"a part has to wait for its views more than {patience} seconds")
        self.rule, self.patience = rule, patience
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self._judged: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        """Return how many parts wait."""
        return len(self._waiting)

    def add(self, part: str, view: PartView, now: float) -> PartRow | None:
        """Take a view; return what is said of its part if that is whole now, else None.

        A view of a part that was judged before makes a row of its own, which is never `ok`: either
        it came too late, or two parts have one name. Nor is a part whose last view came too late,
        though nobody asked `overdue` before.

        Args:
            part: the name of its part.
            view: what was said of it.
            now: the time, in seconds.
        """
        if part in self._judged:
            late = f"{view.image} came after its part was judged, or two parts have one name"
            return judge_part(part, [view], self.rule, [late])
        waiting = self._waiting.setdefault(part, _Waiting(now))
        waiting.views.append(view)
        images = {each.image for each in waiting.views}  # one that came twice is one view
        took = now - waiting.since
        wrong = [f"its last view came after {took:.0f} s"] if took >= self.patience else []
        return self._judge(part, wrong) if len(images) == self.rule.views else None

    def overdue(self, now: float) -> list[PartRow]:
        """Judge the parts that have waited too long; none of them is `ok`."""
        late = [p for p, each in self._waiting.items() if now - each.since >= self.patience]
        return [self._judge(part) for part in late]

    def finish(self) -> list[PartRow]:
        """Judge whatever waits, as when the line stops; none of it is `ok`."""
        return [self._judge(part) for part in list(self._waiting)]

    def _judge(self, part: str, faults: Sequence[str] = ()) -> PartRow:
        self._judged[part] = None
        while len(self._judged) > REMEMBERED:
            self._judged.popitem(last=False)
        return judge_part(part, self._waiting.pop(part).views, self.rule, faults)
