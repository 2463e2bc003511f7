"""How an explanation's numbers are put into words, the same on paper and on screen."""

from __future__ import annotations

from dataclasses import replace
from math import fsum
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vlmad_explain.explanations import Explanation, Finding, Part, Sentence

HEADINGS = {
    "references": "farthest from the references",
    "text": "most anomalous by text",
    "map": "highest on the scorer's map",
}
NO_SENTENCE = "none"


def equation(explanation: Explanation) -> list[str]:
    """Return the score as the sum that it is, an addend on each line."""
    lines = []
    if explanation.tile:
        lines.append(f"the most anomalous of the image's tiles, at pixels {explanation.tile}:")
    for index, part in enumerate(explanation.parts):
        sign = "=" if index == 0 else "+"
        factor = "" if part.weight == 1 else f"{part.weight:g} · "
        lines.append(f"{sign} {factor}{part.value:.3f}  {_addend(explanation, part)}")
    return lines


def _addend(explanation: Explanation, part: Part) -> str:
    if part.by == "references":
        what = "references: the largest distance to the nearest of them"
    elif explanation.unit == "log-odds":
        what = "text: the probability of the anomalous side"
    else:
        what = "text: the largest cosine to a sentence"
    if part.whole_image:
        return f"{what}, of the whole {'tile' if explanation.tile else 'image'}"
    where = f"at pixels {part.place}" if part.place else "in the margin of padding"
    return f"{what}, {where}, from {len(part.regions)} regions there"


def values(finding: Finding) -> str:
    """Return by whom a region was judged, and how."""
    formats = {"text": "text {:.3f}", "references": "distance {:.3g}", "map": "map {:.3g}"}
    return "  ".join(formats[by].format(value) for by, value in finding.values.items())


def nearest(finding: Finding) -> str:
    """Return which reference was nearest and where, or nothing."""
    if finding.nearest is None:
        return ""
    found = finding.nearest
    name = Path(found.image).name if found.image else "a reference"
    where = f" at {found.place}" if found.place else ""
    return f"{name}{where}"


def spoken(explanation: Explanation, count: int) -> tuple[list[Sentence], list[Sentence]]:
    """Return the sentences that said most for and against an anomaly, at most `count` of each.

    Where pushes are not known, the first list holds those with the highest cosines.
    """
    if explanation.unit is None:
        return list(explanation.sentences[:count]), []
    pushes = [(s.push or 0.0, s) for s in explanation.sentences]
    speaking_for = [s for push, s in pushes if push > 0][:count]
    speaking_against = [s for push, s in reversed(pushes) if push < 0][:count]
    return speaking_for, speaking_against


def spoken_by_state(
    explanation: Explanation, count: int
) -> tuple[list[Sentence], list[Sentence]]:
    """Return what `spoken` does, with the sentences of one state as one.

    Pushes add up to that of the state, and its share is the size of that sum among the sizes of
    all pushes; its cosine is the mean. Where no state has several sentences they stay as they are.
    """
    groups: dict[tuple[bool, str], list[Sentence]] = {}
    for sentence in explanation.sentences:
        name = sentence.text if sentence.state is None else sentence.state
        groups.setdefault((sentence.anomalous, name), []).append(sentence)
    states = [_together(name, each) for (_, name), each in groups.items()]
    states.sort(key=lambda s: s.cosine if s.push is None else s.push, reverse=True)
    return spoken(replace(explanation, sentences=tuple(states)), count)


def _together(state: str, sentences: list[Sentence]) -> Sentence:
    first = sentences[0]
    if len(sentences) == 1:
        return first
    text = f"{state} ({len(sentences)} sentences)"
    cosine = fmean(each.cosine for each in sentences)
    pushes = [each.push for each in sentences if each.push is not None]
    if not pushes:
        return replace(first, text=text, cosine=cosine)
    sizes, shares = fsum(map(abs, pushes)), fsum(each.share or 0.0 for each in sentences)
    push = fsum(pushes)
    share = shares * abs(push) / sizes if sizes else 0.0
    return replace(first, text=text, cosine=cosine, push=push, share=share)


def measure(sentence: Sentence) -> str:
    """Return a sentence's share, or its cosine where no share is known."""
    if sentence.share is None:
        return f"cosine {sentence.cosine:.3f}"
    return f"{sentence.share:.1%}"


def totals(explanation: Explanation) -> str:
    """Return what all sentences together said."""
    if explanation.unit is None:
        return f"{len(explanation.sentences)} sentences, by cosine"
    pushes = [s.push or 0.0 for s in explanation.sentences]
    ahead, behind = sum(p for p in pushes if p > 0), sum(p for p in pushes if p < 0)
    unit = "in log-odds" if explanation.unit == "log-odds" else "in cosine"
    return (
        f"{len(pushes)} sentences on {explanation.sentences_on}: {ahead:+.3f} for, "
        f"{behind:+.3f} against, {sum(pushes):+.3f} together ({unit})"
    )
