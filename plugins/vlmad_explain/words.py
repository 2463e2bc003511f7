"""How an explanation's numbers are put into words, the same on paper and on screen."""

from __future__ import annotations

from itertools import groupby
from math import fsum
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad_explain.explanations import (
        Explanation,
        NamedRegion,
        ScoreAddend,
        SentenceShare,
        ShownRegion,
    )

HEADINGS = {
    "references": "farthest from the references",
    "nearest": "least like any place of the references",
    "others": "farthest from the other images",
    "text": "most anomalous by text",
    "image": "most unlike the rest of the image",
    "map": "highest on the scorer's map",
}
VALUES = {"text": "text {:.3f}", "references": "distance {:.3g}", "others": "distance {:.3g}"}
VALUES |= {"nearest": "from nearest {:.3g}"}
VALUES |= {"image": "from own image {:.3g}", "map": "map {:.3g}"}
PLURAL, COLOURLESS = {"specks"}, {"distortion", "displaced strip", "missing piece"}
"""Kinds that are said without an article, and those that no colour or shade tells."""


def named(region: NamedRegion) -> str:
    """Return what a region looks like and where it lies: a dark hole, upper left (71 %)."""
    kind, look = region.kind or "spot", region.look
    said = f"{look} {kind}" if look and kind not in COLOURLESS else kind
    article = "" if kind in PLURAL else "an " if said[0] in "aeiou" else "a "
    sure = "" if region.certainty is None else f" ({region.certainty:.0%})".replace("%", " %")
    return f"{article}{said}, {region.where}{sure}"


def equation(explanation: Explanation) -> list[str]:
    """Return the score as the sum that it is, an addend on each line."""
    lines = []
    if explanation.tile:
        lines.append(f"the most anomalous of the image's tiles, at pixels {explanation.tile}:")
    for index, addend in enumerate(explanation.addends):
        sign = "+" if index else "="
        factor = "" if addend.weight == 1 else f"{addend.weight:.3g} · "
        lines.append(f"{sign} {factor}{addend.value:.3f}  {_addend(explanation, addend)}")
    return lines


def _addend(explanation: Explanation, addend: ScoreAddend) -> str:
    if addend.by == "references":
        what = f"references: {_distance(addend)}"
    elif addend.by == "others":
        what = "other images: "
        what += "what similar ones add" if addend.whole_image else "the largest distance to them"
    elif addend.by == "image":
        what = f"the rest of the image: {_distance(addend)}"
    elif explanation.unit == "log-odds":
        what = "text: the probability of the anomalous side"
    else:
        what = "text: the largest cosine to a sentence"
    if addend.whole_image:
        return f"{what}, of the whole {'tile' if explanation.tile else 'image'}"
    where = f"at pixels {addend.place}" if addend.place else "in the margin of padding"
    several = addend.highest > 1 or addend.mean == "joined"
    where = f"the highest {where}" if several else where
    count = len(addend.regions)
    return f"{what}, {where}" + (f", from {count} regions there" if count > 1 else "")


def _distance(addend: ScoreAddend) -> str:
    if addend.mean == "joined":
        return "a power mean over all cells"
    if addend.whole_image:
        return "the distance to the nearest of them"
    several = f"mean of the {addend.highest} " if addend.highest > 1 else ""
    return f"the {several}largest distance{'s' * bool(several)} to the nearest of them"


def values(finding: ShownRegion) -> str:
    """Return by what a region was judged, and how."""
    return "  ".join(VALUES[by].format(value) for by, value in finding.values.items())


def nearest(finding: ShownRegion) -> str:
    """Return which reference was nearest and where, or nothing."""
    if finding.nearest is None:
        return ""
    found = finding.nearest
    name = Path(found.image).name if found.image else "a reference"
    return f"{name} at {found.place}" if found.place else name


def strongest_sentences(
    sentences: Sequence[SentenceShare], count: int
) -> tuple[list[SentenceShare], list[SentenceShare]]:
    """Return those that push most towards and most away from an anomaly, `count` of each.

    Where pushes are not known, the first list holds those with the highest cosines.

    Args:
        sentences: in falling order, as an explanation has them.
        count: how many at most.
    """
    ahead = [s for s in sentences if s.push is None or s.push > 0]
    behind = [s for s in reversed(sentences) if (s.push or 0.0) < 0]
    return ahead[:count], behind[:count]


def by_state(sentences: Sequence[SentenceShare]) -> list[SentenceShare]:
    """Return sentences in falling order, those of one state as one.

    Pushes add up to that of the state, and its share is the size of that sum among the sizes of
    all pushes; its cosine is the mean. Sentences of no state stay as they are.
    """

    def side(sentence: SentenceShare) -> tuple[bool, str]:
        return sentence.anomalous, sentence.state or sentence.text

    groups = groupby(sorted(sentences, key=side), side)
    states = [_joined(state, list(each)) for (_, state), each in groups]
    states.sort(key=lambda s: s.cosine if s.push is None else s.push, reverse=True)
    return states


def _joined(state: str, sentences: list[SentenceShare]) -> SentenceShare:
    if len(sentences) == 1:
        return sentences[0]
    changes: dict[str, str | float] = {
        "text": f"{state} ({len(sentences)} sentences)",
        "cosine": fmean(each.cosine for each in sentences),
    }
    pushes = [each.push for each in sentences if each.push is not None]
    if pushes:
        sizes, shares = fsum(map(abs, pushes)), fsum(each.share or 0.0 for each in sentences)
        push = fsum(pushes)
        changes |= {"push": push, "share": shares * abs(push) / sizes if sizes else 0.0}
    return sentences[0].model_copy(update=changes)


def measure(sentence: SentenceShare) -> str:
    """Return a sentence's share, or its cosine where no share is known."""
    return f"cosine {sentence.cosine:.3f}" if sentence.share is None else f"{sentence.share:.1%}"


def totals(explanation: Explanation) -> str:
    """Return what all sentences together add up to."""
    if explanation.unit is None:
        return f"{len(explanation.sentences)} sentences, by cosine"
    pushes = [s.push or 0.0 for s in explanation.sentences]
    ahead, behind = sum(p for p in pushes if p > 0), sum(p for p in pushes if p < 0)
    return (
        f"{len(pushes)} sentences on {explanation.sentences_on}: {ahead:+.3f} for, "
        f"{behind:+.3f} against, {sum(pushes):+.3f} together (in {explanation.unit})"
    )
