"""The section on failures: the worst false alarms and misses, and what drove their scores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vlmad.errors import printable
from vlmad_report.content import Gallery, Section
from vlmad_report.looking.cards import card_of, why_hidden
from vlmad_report.looking.drivers import Drivers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vlmad_evaluation.bench.measuring import Scored

    from vlmad_report.content import Card
    from vlmad_report.looking.cells import Line
    from vlmad_report.looking.looks import Look
    from vlmad_report.looking.study import Study

DETECTORS, CARDS, NEAREST = 2, 4, 2
RANKED = (
    "Images are ranked by how far their score lies on the wrong side of the threshold of their "
    "category, in standard deviations of the category's scores. The thresholds are those with "
    "the largest F1 on these same images, so failures are fewer here than they would be elsewhere."
)
NOTHING = "No image has a score that can be read; a bench of any images would fill this section."


@dataclass(frozen=True, slots=True)
class Case:
    """An image and how far its score is on the wrong side."""

    look: Look
    scored: Scored
    excess: float
    """In standard deviations of the category's scores; below 0 on the right side."""

    @property
    def wrong(self) -> bool:
        """Whether the verdict is false: an image that scores the threshold is called anomalous."""
        if self.look.threshold is None:
            return False
        flagged = self.scored.row.score >= self.look.threshold  # type: ignore[operator]
        return flagged != self.scored.sample.anomalous


def failures(study: Study, detectors: int = DETECTORS, cards: int = CARDS) -> Section:
    """Show the worst false alarms and misses of the first detectors.

    Args:
        study: what was looked at.
        detectors: how many of them.
        cards: images shown of each kind for each detector.
    """
    blocks: list[Gallery] = []
    chosen = [i for i, looks in enumerate(study.looks) if any(look.scored for look in looks)]
    for index in chosen[:detectors]:
        blocks += _galleries(study.lines[index], study.looks[index], cards)
    if not blocks:
        return Section("failures", "Failures", (NOTHING,))
    shown = f"The first {detectors} of {len(chosen)} detectors are shown."
    paragraphs = (f"{RANKED} {shown}" if len(chosen) > detectors else RANKED,)
    return Section("failures", "Failures", paragraphs, tuple(blocks))


def _galleries(line: Line, looks: Sequence[Look], cards: int) -> Iterator[Gallery]:
    cases = sorted((c for look in looks for c in _cases(look)), key=lambda case: -case.excess)
    drivers = Drivers()
    for anomalous, one, many in ((False, "false alarm", "false alarms"), (True, "miss", "misses")):
        kind = [case for case in cases if case.scored.sample.anomalous == anomalous]
        if not kind:
            continue
        wrong = [case for case in kind if case.wrong]
        shown = wrong[:cards] or kind[:NEAREST]
        name = printable(str(line))
        number = f"{len(wrong)} {one if len(wrong) == 1 else many}"
        total = f"{len(kind)} {'anomalous' if anomalous else 'normal'} images"
        if wrong:
            caption = f"{name}: {number} among {total}, the worst first."
        elif all(case.look.threshold is None for case in shown):
            least = "lowest" if anomalous else "highest"
            caption = f"{name}: no threshold; the {total} with the {least} scores."
        else:
            caption = f"{name}: no {many} among {total}; nearest to the threshold:"
        yield _gallery(caption, _cards(shown, drivers))


def _gallery(caption: str, cards: Sequence[Card]) -> Gallery:
    """Return a gallery whose caption says what else all its cards would say."""
    common = _said_on_all(cards)
    shorter = (
        replace(card, sentences=tuple(s for s in card.sentences if s not in common))
        for card in cards
    )
    return Gallery(" ".join([caption, *common]), tuple(shorter))


def _said_on_all(cards: Sequence[Card]) -> list[str]:
    """Return the sentences that all cards have, such as why a picture is missing."""
    if len(cards) < 2:
        return []
    return [s for s in cards[0].sentences if all(s in card.sentences for card in cards[1:])]


def _cases(look: Look) -> Iterator[Case]:
    if not look.scored:
        return
    spread = float(look.scores.std()) or 1.0
    limit = float(np.median(look.scores)) if look.threshold is None else look.threshold
    for each, score in zip(look.scored, look.scores, strict=True):
        beyond = (limit - score) if each.sample.anomalous else (score - limit)
        yield Case(look, each, float(beyond / spread))


def _cards(cases: Sequence[Case], drivers: Drivers) -> list[Card]:
    """Return a card for each case; those of a category follow each other, to build less often."""
    order = sorted(range(len(cases)), key=lambda i: cases[i].look.category)
    made = {}
    for index in order:
        case = cases[index]
        hidden = why_hidden(case.scored) is not None  # which the card says, once
        said = () if hidden else drivers.sentences(case.look.run, case.scored)
        made[index] = card_of(case.look, case.scored, (_verdict(case), *said))
    return [made[index] for index in range(len(cases))]


def _verdict(case: Case) -> str:
    score, limit = case.scored.row.score, case.look.threshold
    if limit is None:
        return f"Score {score:.3f}; there is no threshold without both kinds of images."
    kind = "miss" if case.scored.sample.anomalous else "false alarm"
    outcome = f"a {kind}" if case.wrong else "right"
    return f"Score {score:.3f}, threshold {limit:.3f}: {outcome}."
