"""The options by which a run judges parts of several views, and not images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from vlmad.errors import InputError
from vlmad_groups.combining import LEVEL, Combine, PartRule
from vlmad_run.part_grouping import Grouped, find_parts, group_option

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vlmad_run._run_parts import RunParts


@dataclass(frozen=True, slots=True)
class JudgingParts(Grouped):
    """Options: how a verdict on a part follows from those on its images."""

    combine: Annotated[
        Combine | None,
        group_option(
            help="A part is as bad as its worst view (default), or has one p-value of all, valid "
            "however they depend on each other."
        ),
    ] = None
    level: Annotated[
        float | None,
        group_option(
            metavar="RATE", help=f"Up to which such p-value it is anomalous; {LEVEL} by default."
        ),
    ] = None

    def rule(self) -> PartRule:
        """Return how a verdict on a part follows from those on its images.

        Raises:
            InputError: options that do not go together.
        """
        combine = self.combine or Combine.worst
        if self.group is None and (self.combine or self.level is not None):
            raise InputError("--combine and --level need --group, which says what a part is")
        if self.level is not None and not combine.of_p_values:
            raise InputError("--level is of p-values: add --combine bonferroni or harmonic")
        level = LEVEL if self.level is None else self.level
        if not 0 < level < 1:
            raise InputError(f"--level takes a rate above 0 and below 1, not {level}")
        return PartRule(combine, self.views, level)

    def parts(self, images: Sequence[Path]) -> RunParts | None:
        """Return the parts that images show, if parts are to be judged.

        Raises:
            InputError: options that do not go together, or no image belongs to a part.
        """
        from vlmad_run._run_parts import RunParts

        grouping, rule = self.grouping(), self.rule()
        return RunParts(find_parts(images, grouping), rule) if grouping else None
