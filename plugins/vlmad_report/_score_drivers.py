"""What drove a score, in sentences: from the detector itself, rebuilt from its run's manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad.errors import InputError, VlmadError, reason_of
from vlmad_explain import words
from vlmad_run.references import Assembled
from vlmad_run.repeating import repeat
from vlmad_run.stored_run import read_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from vlmad_evaluation.result_folders import Scored
    from vlmad_explain.explanations import Explanation, SentenceShare
    from vlmad_run.kinds import Runnable

SAME = 1e-3
"""How far the score may be from that of the run: other batches and processors change digits."""
MOST_SENTENCES = 2


class ScoreDrivers:
    """Explains images of one detector, which is built once for each run."""

    def __init__(self) -> None:
        self._built: tuple[Path, Runnable] | None = None

    def sentences(self, run: Path, scored: Scored) -> list[str]:
        """Return what drove the score of an image, or why that cannot be known here.

        Args:
            run: the folder of the run that scored it.
            scored: the image.
        """
        try:
            return list(sentences_of(self._explain(run, scored)))
        except VlmadError as error:
            return [f"What drove the score is not known: {error}."]
        except Exception as error:  # of a plugin that is not ours; the card is worth showing
            return [f"What drove the score is not known: the detector failed, {reason_of(error)}."]

    def _explain(self, run: Path, scored: Scored) -> Explanation:
        stored = read_run(run)
        if self._built is None or self._built[0] != run:
            self._built = None  # weights are large
            self._built = run, repeat(stored, {})
        repeated = self._built[1]
        other = stored.manifest.identity.differences(repeated.describe().identity, threshold=False)
        if other:
            raise InputError(f"the detector is another now: {'; '.join(other[:3])}")
        if repeated.together or not isinstance(repeated, Assembled):
            raise InputError("its scorer looks at all images together, and only one is at hand")
        from vlmad_explain import explain  # here, because it needs torch

        [explanation] = explain(
            repeated.detector, [scored.sample.image], stored.class_name, top=1
        )
        if abs(explanation.score - (scored.row.score or 0.0)) > SAME:
            raise InputError(f"the score is {explanation.score:.3f} now")
        return explanation


def sentences_of(explanation: Explanation) -> Iterator[str]:
    """Yield the sum that the score is, the region that stands out most, the strongest sentences."""
    parts = [" ".join(line.split()) for line in words.equation(explanation)]
    if parts:
        yield f"{explanation.score:.3f} {' '.join(parts)}."
    for finding in explanation.findings[:1]:
        level = f"{finding.level}, which decided," if finding.decided else finding.level
        near = words.nearest(finding)
        beside = f"; nearest is {near}" if near else ""
        values = ", ".join(words.values(finding).split("  "))
        heading = words.HEADINGS[finding.by].capitalize()
        yield f"{heading}: {level} at {finding.place} ({values}{beside})."
    ahead, behind = words.strongest_sentences(
        words.by_state(explanation.sentences), MOST_SENTENCES
    )
    if explanation.unit is None and ahead:
        yield f"Nearest sentences: {_quoted(ahead)}."
    elif len(explanation.sentences) > 2:  # of two, each has half of the sum
        yield (
            f"Strongest on {explanation.sentences_on}, for an anomaly: {_quoted(ahead)}; "
            f"against: {_quoted(behind)}."
        )
    if explanation.gap:
        yield f"Not known: {explanation.gap}."


def _quoted(sentences: Sequence[SentenceShare]) -> str:
    return ", ".join(f"“{each.text}” ({words.measure(each)})" for each in sentences) or "none"
