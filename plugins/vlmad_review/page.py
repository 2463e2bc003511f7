"""What a review found, in words: on the terminal and as a page of Markdown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vlmad_evaluation.bench.tables import escaped

from vlmad.errors import printable
from vlmad_review.decisions import Name
from vlmad_review.gains import CONFIDENCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vlmad_review.gains import Estimate, Figures, Gains
    from vlmad_review.keeping import Kept
    from vlmad_review.material import Material, Selection
    from vlmad_review.proposals import Findings

COLUMNS = (
    "held out",
    "AUROC",
    "F1",
    "false alarms",
    "misses",
    "over",
    "gain in AUROC",
    "gain in F1",
)
CERTAIN = "no interval stands where all draws give one value: few images, not certainty"
AS_REVIEWED = (
    "reviewed images are usually picked because they were hard: all figures hold for images like "
    "these, not for every image of the line"
)
ONE_SIDE = (
    "no image that the run called {} was reviewed, so that its {} are unknown: whether there are "
    "more of them by a change is not seen here"
)
SPENT = (
    "images that were used for choosing are no test images any more: measure what you keep on "
    "images that nobody has reviewed"
)
TOGETHER = (
    "what is adopted is picked as it looks better, so the interval of each gain is one of "
    "{}, and those of all that may be picked hold together with 95 %"
)
FOLDS_FIXED = (
    "intervals draw images anew, not what was learned from them, and say nothing of other days or "
    "lines"
)
NO_THRESHOLD_BEFORE = (
    "the run had no threshold: its verdicts here are those of thresholds by the same rule, chosen "
    "on the other folds"
)
FEW = 20
LISTED = 20


@dataclass(frozen=True, slots=True)
class Told:
    """Everything that a page tells."""

    run: str
    material: Material
    selection: Selection
    undecided: int
    findings: Findings
    change: str = ""
    """The adopted change of words."""
    kept: Kept | None = None
    """None where nothing was to be written."""
    notes: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as one JSON document."""
        findings, threshold = self.findings, self.findings.threshold
        return {
            "format": "vlmad review 1",
            "run": self.run,
            "class_name": self.material.class_name,
            **counts(self.material),
            "undecided": self.undecided,
            "missing_or_changed": self.selection.gone,
            "left_out": self.selection.of_no_use,
            **findings.to_dict(),
            "new_references": [
                {"path": str(image.path), "sha256": image.sha256, "score": image.score}
                for image in (self.material.images[i] for i in findings.new_references)
            ],
            "changed_words": self.change,
            "threshold": None if threshold is None else threshold.threshold,
            "threshold_evidence": None if threshold is None else threshold.to_dict(),
            "remarks": list(remarks(self)),
            "files": [str(path) for path in self.kept.files] if self.kept else [],
            "use": self.kept.use if self.kept else "",
        }


def counts(material: Material) -> dict[str, int]:
    """Return how many reviewed images of each class there are, and how the run judged them."""
    anomalous = material.anomalous
    found = {"normal": int((~anomalous).sum()), "anomalous": int(anomalous.sum())}
    if material.threshold is None:
        return found
    called = material.called
    alarms, misses = called & ~anomalous, ~called & anomalous
    return found | {"false_alarms": int(alarms.sum()), "misses": int(misses.sum())}


def summary(told: Told) -> str:
    """Return a sentence on what was reviewed."""
    found = counts(told.material)
    text = f"{found['normal']} normal and {found['anomalous']} anomalous images of {told.run}"
    if "misses" in found:
        text += f": {found['false_alarms']} false alarms, {found['misses']} misses by its threshold"
    return text + (f"; {told.undecided} rows without a verdict" if told.undecided else "")


def rows(findings: Findings) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the table of figures, with `COLUMNS`; none if nothing was measured.

    New references and words change the scores, so they come with a threshold chosen anew, and
    are compared with one.
    """
    if findings.as_it_is is None:
        return
    yield ("as it is", *_figures(findings.as_it_is), "", "", "")
    for each in findings.proposals:
        if each.figures is not None and each.gains is not None:
            over = "as it is" if each.name is Name.threshold else Name.threshold.value
            yield (each.name, *_figures(each.figures), over, *_gains(each.gains))
    if findings.together is not None and findings.together_gains is not None:
        found, gains = findings.together, findings.together_gains
        yield ("adopted", *_figures(found), "as it is", *_gains(gains))


def _figures(found: Figures) -> tuple[str, str, str, str]:
    return (
        _interval(found.auroc),
        _interval(found.f1),
        f"{found.false_alarms} of {found.normal}",
        f"{found.misses} of {found.anomalous}",
    )


def _gains(found: Gains) -> tuple[str, str]:
    return _interval(found.auroc, "+"), _interval(found.f1, "+")


def _interval(found: Estimate, sign: str = "") -> str:
    """Return a value with its interval.

    >>> from vlmad_review.gains import Estimate
    >>> _interval(Estimate(0.05, -0.01, 0.125), "+")
    '+0.050 [-0.010, +0.125]'
    """
    value, low, high = (f"{x:{sign}.3f}" for x in (found.value, found.low, found.high))
    if found.low == found.high:
        return value
    return f"{value} [{low}, {high}]"


def decisions(findings: Findings) -> Iterator[str]:
    """Yield for each proposal what it is, whether it is adopted and why."""
    for each in findings.proposals:
        decision = findings.decisions[each.name]
        word = "adopted" if decision.adopted else "not adopted"
        yield f"{each.name}: {each.what}. {word.capitalize()}: {decision.why}"


def remarks(told: Told) -> Iterator[str]:
    """Yield what limits the figures."""
    findings, found = told.findings, counts(told.material)
    if findings.unsaid:
        yield findings.unsaid
    else:
        if told.material.threshold is None:
            yield NO_THRESHOLD_BEFORE
        if any("[" not in cell for row in rows(findings) for cell in row[1:3]):
            yield CERTAIN
        yield (
            f"every image is judged without itself, in {findings.folds} folds; 95 % intervals"
            f"{_width(found['normal'], found['anomalous'])}; {FOLDS_FIXED}"
        )
        if findings.confidence > CONFIDENCE:
            yield TOGETHER.format(f"{100 * findings.confidence:.4g} %")
    yield from _of_the_choice(told.material)
    if findings.adopted:
        yield SPENT
    yield from told.notes


def _of_the_choice(material: Material) -> Iterator[str]:
    """Yield what the choice of images to review leaves open."""
    if len(material.images) >= material.scored:
        return
    yield AS_REVIEWED
    if material.threshold is not None and material.called.all():
        yield ONE_SIDE.format("ok", "misses")
    if material.threshold is not None and not material.called.any():
        yield ONE_SIDE.format("anomalous", "false alarms")


def _width(normal: int, anomalous: int) -> str:
    if min(normal, anomalous) >= FEW:
        return ""
    return f" are wide with {normal} normal and {anomalous} anomalous images"


def left_out(selection: Selection) -> Iterator[str]:
    """Yield the images that are left out, and count those beyond the first."""
    for reasons in (selection.gone, selection.of_no_use):
        for reason in reasons[:LISTED]:
            yield f"left out: {reason}"
        if len(reasons) > LISTED:
            yield f"left out: {len(reasons) - LISTED} more"


def markdown(told: Told) -> str:
    """Return the page."""
    lines = ["# Review", "", escaped(f"{summary(told)}."), ""]
    table = list(rows(told.findings))
    if table:
        lines += [_cells(COLUMNS), _cells(["---"] * len(COLUMNS))]
        lines += [*map(_cells, table), ""]
    lines += [f"- {escaped(line)}" for line in decisions(told.findings)]
    if told.findings.new_references:
        lines += ["", "New references, the highest scores first:", ""]
        chosen = [told.material.images[index] for index in told.findings.new_references]
        chosen.sort(key=lambda image: -image.score)
        lines += [f"- {escaped(image.path)} ({image.score:.4g})" for image in chosen]
    notes = (*remarks(told), *left_out(told.selection))
    lines += ["", *(f"Note: {escaped(line)}.\n" for line in notes)]
    if told.kept and told.kept.use:
        lines += ["Use it with:", "", f"    {printable(told.kept.use)}", ""]
    return "\n".join(lines)


def _cells(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"
