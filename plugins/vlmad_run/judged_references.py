"""References judged by each other before a detector is stored: what stands out is left out."""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad_run.kinds import TellsOddReferences
from vlmad_run.leaving_out import judge_references, standing_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vlmad import Scorer
    from vlmad_run.manifest import GoodScores
    from vlmad_run.memory_documents import Reference
    from vlmad_run.references import Assembled

KEEP_ALL = "--keep-all"
GONE = "not all references are there any more, so that there is no threshold: see vlmad calibrate"


def judge_fitted(assembled: Assembled, keep_all: bool = False) -> Assembled:
    """Return a fitted detector with the scores of its references, without those that stand out.

    Where a reference's file is not there any more, nothing is known of the scores.

    Args:
        assembled: fitted on files that are there.
        keep_all: whether those that stand out are only named.

    Raises:
        InputError: a reference cannot be read.
    """
    references, detector = assembled.references, assembled.detector
    if not all(Path(each.path).is_file() for each in references):
        return replace(assembled, good=None, remarks=(*assembled.remarks, GONE))
    good = judge_references(detector, _paths(references), assembled.class_name)
    standing = _standing(detector.scorer, good)
    remarks = [*assembled.remarks, *_name(assembled, standing, good.scores, keep_all)]
    if not standing or keep_all:
        return replace(assembled, good=good, remarks=tuple(remarks))
    kept = [each for index, each in enumerate(references) if index not in standing]
    detector.fit(_paths(kept))
    return replace(
        assembled,
        references=kept,
        left_out=[references[index] for index in standing],
        good=judge_references(detector, _paths(kept), assembled.class_name),
        remarks=tuple(remarks),
    )


def _standing(scorer: Scorer, good: GoodScores) -> list[int]:
    """Return which references may show a defect; none by a scorer that was not measured."""
    odd = scorer.odd_reference if isinstance(scorer, TellsOddReferences) else None
    return [] if odd is None or good.how != "left out" else standing_out(good.scores, odd)


def _paths(references: Sequence[Reference]) -> list[Path]:
    return [Path(each.path) for each in references]


def _name(
    assembled: Assembled, standing: Sequence[int], scores: Sequence[float], keep_all: bool
) -> Iterator[str]:
    done = "kept" if keep_all else f"left out ({KEEP_ALL} keeps it)"
    for index in standing:
        path, score = assembled.references[index].path, scores[index]
        median = statistics.median([*scores[:index], *scores[index + 1 :]])
        why = f"it scores {score:.3g}, the median of the others {median:.3g}"
        yield f"reference {path} may show a defect: {why}; {done}"
