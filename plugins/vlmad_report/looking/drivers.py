"""What drove a score, in sentences: from the detector itself, rebuilt from its run's manifest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vlmad.errors import InputError, VlmadError, first_line
from vlmad.files import digest
from vlmad_explain import words
from vlmad_run.repeating import read_earlier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vlmad_evaluation.bench.measuring import Scored

    from vlmad import Detector
    from vlmad_explain.explanations import Explanation, Sentence
    from vlmad_run.repeating import Earlier

SAME = 1e-3
"""How far the score may be from that of the run: other batches and processors change digits."""
SPOKEN = 2


class Drivers:
    """Explains images of one detector, which is built again only where references differ."""

    def __init__(self) -> None:
        self._built: tuple[str, Detector] | None = None

    def sentences(self, run: Path, scored: Scored) -> tuple[str, ...]:
        """Return what drove the score of an image, or why that cannot be known here.

        Args:
            run: the folder of the run that scored it.
            scored: the image.
        """
        try:
            return tuple(sentences_of(self._explain(run, scored)))
        except VlmadError as error:
            return (f"What drove the score is not known: {error}.",)
        except Exception as error:  # of a plugin that is not ours; the card is worth showing
            failed = f"the detector failed, {first_line(error)}"
            return (f"What drove the score is not known: {failed}.",)

    def _explain(self, run: Path, scored: Scored) -> Explanation:
        from vlmad_explain.explaining import explain  # here, because it needs torch

        earlier = read_earlier(run)
        image = scored.sample.image
        if digest(image) != scored.row.sha256:
            raise InputError(f"{image} is not the file any more that was scored")
        detector = self._detector(earlier)
        other = earlier.differences(detector)
        if other:
            raise InputError(f"the detector is another now: {'; '.join(other[:3])}")
        if detector.scorer.scope == "set":
            raise InputError("its scorer looks at all images together, and only one is at hand")
        [explanation] = explain(detector, [image], earlier.class_name, top=1)
        if abs(explanation.score - (scored.row.score or 0.0)) > SAME:
            raise InputError(f"the score is {explanation.score:.3f} now")
        return explanation

    def _detector(self, earlier: Earlier) -> Detector:
        """Build the detector of a run; the last one stays at hand, weights are large."""
        if "identity" not in earlier.manifest:
            raise InputError("the manifest does not say what the detector was")
        key = _key(earlier.manifest)
        if self._built is None or self._built[0] != key:
            self._built = None
            self._built = key, earlier.detector({})[0]
        return self._built[1]


def _key(manifest: Any) -> str:
    """Return what a fitted detector is: its class name comes with each image."""
    of_image = ("class_name", "sentences_sha256")
    identity = {k: v for k, v in manifest["identity"].items() if k not in of_image}
    return json.dumps([identity, manifest.get("options"), manifest.get("references")], default=str)


def sentences_of(explanation: Explanation) -> Iterator[str]:
    """Yield what an explanation says in a few sentences.

    The sum that the score is, the region that stands out most, and the loudest sentences.
    """
    parts = [" ".join(line.split()) for line in words.equation(explanation)]
    if parts:
        yield f"{explanation.score:.3f} {' '.join(parts)}."
    for finding in explanation.findings[:1]:
        level = finding.level if not finding.decided else f"{finding.level}, which decided,"
        near = words.nearest(finding)
        beside = f"; nearest is {near}" if near else ""
        values = ", ".join(words.values(finding).split("  "))
        heading = words.HEADINGS[finding.by].capitalize()
        yield f"{heading}: {level} at {finding.place} ({values}{beside})."
    ahead, behind = words.spoken(explanation, SPOKEN)
    if explanation.unit is None and ahead:
        yield f"Nearest sentences: {_quoted(ahead)}."
    elif len(explanation.sentences) > 2:  # of two, each has half of the say
        where = explanation.sentences_on
        yield (
            f"On {where} spoke most for an anomaly: {_quoted(ahead)}; against: {_quoted(behind)}."
        )
    if explanation.gap:
        yield f"Not known: {explanation.gap}."


def _quoted(sentences: list[Sentence]) -> str:
    said = [f"“{each.text}” ({words.measure(each)})" for each in sentences]
    return ", ".join(said) or "none"
