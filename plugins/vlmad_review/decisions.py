"""What may be learned, and which of it is adopted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from vlmad.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad_review.gains import Estimate, Figures, Gains


class Name(StrEnum):
    """What can be learned from verdicts."""

    references = "references"
    threshold = "threshold"
    states = "states"


HAD_NONE = "the run had no threshold"
CHOSEN_ANEW = "what else is adopted changes the scores, so that a threshold must be chosen anew"
ENOUGH = 8
"""Images of each class from which on a gain counts that all draws agree on: if it were none, as
many would all be judged better by chance once in 2⁸ times, less than the tail of an interval."""
ASKED = "--adopt asks for it"
NOT_ASKED = "--adopt does not name it"


@dataclass(frozen=True, slots=True)
class Proposal:
    """One thing that may be learned."""

    name: Name
    what: str
    """In words."""
    cannot: str = ""
    """Why it cannot be adopted, if so."""
    figures: Figures | None = None
    gains: Gains | None = None

    @property
    def decisive(self) -> Estimate | None:
        """The gain that decides: in F1 for a threshold, which ranks nothing anew, else in AUROC."""
        if self.gains is None:
            return None
        return self.gains.f1 if self.name is Name.threshold else self.gains.auroc

    @property
    def is_of_few(self) -> bool:
        """Whether all draws agree on the gain for the only reason that they draw from so few."""
        found, figures = self.decisive, self.figures
        if found is None or figures is None or found.low < found.high:
            return False
        return min(figures.normal, figures.anomalous) < ENOUGH


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a proposal is adopted, and why."""

    adopted: bool
    why: str


def parse_adopted(text: str | None) -> frozenset[Name] | None:
    """Read what the user wants adopted; None leaves it to the intervals.

    Raises:
        InputError: it names something else.

    >>> sorted(parse_adopted("threshold, references"))
    [<Name.references: 'references'>, <Name.threshold: 'threshold'>]
    """
    if text is None:
        return None
    words = [word.strip() for word in text.split(",") if word.strip()]
    if words == ["all"]:
        return frozenset(Name)
    known = [name.value for name in Name]
    wrong = [word for word in words if word not in known]
    if wrong or not words:
        raise InputError(f"--adopt takes {', '.join(known)} or all, not '{(wrong or [text])[0]}'")
    return frozenset(Name(word) for word in words)


def decide(
    proposals: Sequence[Proposal], asked: frozenset[Name] | None, no_threshold: bool, unsaid: str
) -> dict[Name, Decision]:
    """Decide what is adopted: what is asked for, or what gains with its whole interval.

    Raises:
        InputError: something is asked for by name that cannot be had.
    """
    decisions = {each.name: _decision(each, asked, no_threshold, unsaid) for each in proposals}
    changed = any(d.adopted for name, d in decisions.items() if name is not Name.threshold)
    of_threshold = next(each for each in proposals if each.name is Name.threshold)
    if changed and not decisions[Name.threshold].adopted and not of_threshold.cannot:
        decisions[Name.threshold] = Decision(True, CHOSEN_ANEW)
    return decisions


def _decision(
    proposal: Proposal, asked: frozenset[Name] | None, no_threshold: bool, unsaid: str
) -> Decision:
    if proposal.cannot:
        if asked is not None and proposal.name in asked and asked != frozenset(Name):
            raise InputError(f"--adopt {proposal.name} cannot be: {proposal.cannot}")
        return Decision(False, proposal.cannot)
    if asked is not None:
        wanted = proposal.name in asked
        return Decision(wanted, ASKED if wanted else NOT_ASKED)
    if unsaid:
        return Decision(False, "its gain is not known")
    if proposal.name is Name.threshold and no_threshold:
        return Decision(True, HAD_NONE)
    assert proposal.decisive is not None
    measure = "F1" if proposal.name is Name.threshold else "AUROC"
    if proposal.decisive.is_gain and proposal.is_of_few:
        return Decision(
            False, f"fewer than {ENOUGH} images of a class give its gain in {measure} no interval"
        )
    if proposal.decisive.is_gain:
        return Decision(True, f"the interval of its gain in {measure} lies above 0")
    return Decision(False, f"the interval of its gain in {measure} does not lie above 0")
