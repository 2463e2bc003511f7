"""Adding references to a fitted detector without those that it was fitted on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vlmad.errors import InputError, blaming
from vlmad_run.kinds import AddsReferences
from vlmad_run.memory_documents import Reference
from vlmad_run.part_options import file_digest
from vlmad_run.references import draw_references, settle_range

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from vlmad.detector import Detector
    from vlmad.images import Source
    from vlmad_run.references import Assembled


def add_references(
    fitted: Assembled, paths: Sequence[str], shots: int | None = None, seed: int = 0
) -> Assembled:
    """Return a fitted detector that remembers more references, as if fitted on all at once.

    Where the scorer only comes near to that, and where it needs all references for it, a remark
    says so.

    Args:
        fitted: as it was stored; it stays as it is.
        paths: where the new references are.
        shots: how many of them to draw; all by default.
        seed: which of them to draw.

    Raises:
        InputError: a reference is remembered already, or is there twice, or all are needed anew
            and those before are not there any more.
    """
    from vlmad_run.finding import find

    found = find(paths, "references")
    where = " and ".join(paths) + found.without()
    shots = len(found.images) if shots is None else shots
    chosen = draw_references(found.images, shots, seed, where)
    more = [Reference(path=str(path), sha256=file_digest(path)) for path in chosen]
    refuse_repeated(fitted.references, more)
    detector = fitted.detector.on(fitted.detector.backbone)
    remarks = [
        *fitted.remarks,
        *settle_range(chosen, detector),
        *_remember(detector, chosen, fitted),
    ]
    return replace(
        fitted,
        detector=detector,
        references=[*fitted.references, *more],
        model=None,
        found=found,
        remarks=tuple(remarks),
    )


def refuse_repeated(known: Sequence[Reference], more: Sequence[Reference]) -> None:
    """Refuse references that are remembered already, or are there twice.

    Raises:
        InputError: one is; it is named.
    """
    first = {each.sha256: each.path for each in known}
    for each in more:
        if each.sha256 in first:
            same = first[each.sha256]
            raise InputError(f"{each.path} is a reference already, as {same}; leave it out")
        first[each.sha256] = each.path


def _remember(detector: Detector, more: Sequence[Path], fitted: Assembled) -> Iterator[str]:
    """Add to the memory; all are read anew if that alone is exact and they are still there."""
    sources, before = list(detector.sources(more)), fitted.references
    seen = detector.views_of(sources, len(before) + len(sources))
    why = _why_not_added(detector, seen[1 : len(seen) // len(sources)], len(before), len(sources))
    scorer = detector.assembly.parts["scorer"]
    if why is None:
        added = detector.memory_of(detector.encode_references(seen))
        with blaming(f"{scorer.registration} failed"):
            detector.memory = scorer.part.add(detector.memory, added)
        if not scorer.part.adds_exactly:
            yield f"{scorer} comes near to what fitting all at once gives, but not to the same"
        detector.references += tuple(seen) if detector.references else ()
        return
    if fitted.misses:
        raise InputError(f"{why}, and what it learned from misses would be lost; review anew")
    if not detector.references:
        raise InputError(f"{why}, and those are not there any more; fit all at once")
    step = 1 + len(detector.views)
    detector.fit([*detector.references[::step], *sources])
    yield f"{why}: all references were read anew"


def _why_not_added(
    detector: Detector, views: Sequence[Source], before: int, more: int
) -> str | None:
    """Return why a memory cannot be added to; None if it can."""
    scorer = detector.assembly.parts["scorer"]
    if not isinstance(scorer.part, AddsReferences):
        return f"{scorer} cannot add to what it remembers of {before} references"
    if tuple(each.view for each in views) == detector.views:
        return None
    ways = f"{len(detector.views)} turned or mirrored copies of each of {before} references"
    return f"{scorer} remembers {ways}, of each of {before + more} it would be {len(views)}"
