"""What is proposed, and what it gains on images held out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from vlmad.errors import InputError
from vlmad_calibration.calibration import Calibration
from vlmad_calibration.calibration import calibrate as calibrated
from vlmad_calibration.rules import Rule, settle
from vlmad_review.decisions import Decision, Name, Proposal, decide
from vlmad_review.folds import LEAST
from vlmad_review.gains import Figures, Gains, Measured, confidence_of_each

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad_review.material import Material
    from vlmad_review.states import Change
    from vlmad_review.trials import Trials

NONE_CHOSEN = "too few images to choose one without judging them as their own references"


@dataclass(frozen=True, slots=True)
class Findings:
    """All that a review found."""

    rule: Rule
    rate: float | None
    folds: int
    as_it_is: Figures | None
    proposals: tuple[Proposal, ...]
    decisions: dict[Name, Decision]
    together: Figures | None = None
    """Of all that is adopted."""
    together_gains: Gains | None = None
    threshold: Calibration | None = None
    new_references: tuple[int, ...] = ()
    """Which images are adopted as references."""
    change: int = 0
    """Which change of words is adopted, from 1; 0 is none."""
    unsaid: str = ""
    """Why nothing is measured, if so."""
    confidence: float = 0.95
    """Of the interval of each gain."""

    @property
    def adopted(self) -> list[Name]:
        """What is adopted."""
        return [name for name, decision in self.decisions.items() if decision.adopted]

    def to_dict(self) -> dict[str, Any]:
        """Return all figures as JSON takes them."""
        return {
            "rule": self.rule,
            "rate": self.rate,
            "folds": self.folds,
            "confidence_of_gains": self.confidence,
            "not_measured": self.unsaid,
            "as_it_is": None if self.as_it_is is None else self.as_it_is.to_dict(),
            "proposals": {
                each.name: asdict(each) | asdict(self.decisions[each.name])
                for each in self.proposals
            },
            "adopted": self.adopted,
            "together": None if self.together is None else self.together.to_dict(),
            "together_gains": None if self.together_gains is None else asdict(self.together_gains),
        }


def settle_rule(
    rule: Rule | None, rate: float | None, anomalous: int
) -> tuple[Rule, float | None]:
    """Return the rule and the rate in force.

    Raises:
        InputError: the rule needs images that are called anomalous, or the rate is none.
    """
    if rule not in (None, Rule.quantile) and not anomalous:
        raise InputError(f"the rule {rule} needs images that you call anomalous: there are none")
    return settle(rule, rate, bool(anomalous))


def mostly_mistakes(material: Material) -> str:
    """Say why nothing can be learned of scores, or nothing: what the run judged rightly is missing.

    Images that were picked because the run is wrong about them make any other detector look
    better, be it by chance, and any threshold the better the more verdicts it turns round. They
    are known by the run's being wrong about them more often than a guess, which finds as large a
    share of the anomalous images as it gives false alarms. If all images were reviewed, none
    were picked.
    """
    wrong, anomalous = material.mistakes, material.anomalous
    sides = [wrong[anomalous == side] for side in (False, True) if (anomalous == side).any()]
    shares = [float(side.mean()) for side in sides]
    left = material.scored - len(wrong)
    if left <= 0 or not (sum(shares) > 1 or shares == [1]):
        return ""
    return (
        f"the run is wrong about {int(wrong.sum())} of the {len(wrong)} reviewed images, more than "
        "a guess would be: on images picked as mistakes any change looks like a gain; review some "
        f"that it judged rightly too ({left} others are there)"
    )


def too_few(normal: int, anomalous: int) -> str:
    """Say why nothing can be measured, or nothing."""
    if min(normal, anomalous) >= LEAST:
        return ""
    return (
        f"{normal} normal and {anomalous} anomalous images are too few to measure anything on "
        f"images held out: that takes {LEAST} of each at least, and some twenty to say much"
    )


@dataclass
class Review:
    """Finds out what verdicts are worth.

    Args:
        trials: what is tried.
        changes: of words; empty where there are none to try.
        no_changes: why there are none.
        rule: as `settle_rule` returns it.
        seed: of the draws.
    """

    trials: Trials
    changes: Sequence[Change]
    no_changes: str
    rule: tuple[Rule, float | None]
    seed: int
    _measured: dict[tuple[bool, bool, bool], Measured] = field(default_factory=dict)

    def find(self, asked: frozenset[Name] | None) -> Findings:
        """Measure each proposal and all that is adopted together.

        Raises:
            InputError: something is asked for by name that cannot be had.
        """
        unsaid = mostly_mistakes(self._material) or too_few(*self._counts())
        proposals = (self._references(unsaid), self._threshold(unsaid), self._states(unsaid))
        decisions = decide(proposals, asked, self._material.threshold is None, unsaid)
        adopted = {name for name, decision in decisions.items() if decision.adopted}
        references, states = Name.references in adopted, Name.states in adopted
        change = self.trials.chosen_change() if states else 0
        new = self.trials.references_without().tolist() if references else ()
        threshold = self._chosen(references, change) if Name.threshold in adopted else None
        if Name.threshold in adopted and threshold is None:
            adopted.discard(Name.threshold)
            decisions[Name.threshold] = Decision(False, NONE_CHOSEN)
        rule, rate = self.rule
        together: tuple[Figures | None, Gains | None] = None, None
        if adopted and not unsaid:
            together = self._together(references, states)
        return Findings(
            rule=rule,
            rate=rate,
            folds=0 if unsaid or self.trials.folds is None else self.trials.folds.count,
            as_it_is=None if unsaid else self._measure(False, False, False).figures,
            proposals=proposals,
            decisions=decisions,
            together=together[0],
            together_gains=together[1],
            threshold=threshold,
            new_references=tuple(new),
            change=change,
            unsaid=unsaid,
            confidence=self._confidence,
        )

    @property
    def _confidence(self) -> float:
        """Of each gain: a threshold alone may come of it, or one with references, words, both."""
        changes = (not self._material.no_references, not self.no_changes)
        return confidence_of_each(2 ** sum(changes))

    @property
    def _material(self) -> Material:
        return self.trials.material

    def _counts(self) -> tuple[int, int]:
        anomalous = int(self.trials.anomalous.sum())
        return len(self.trials.anomalous) - anomalous, anomalous

    def _measure(self, references: bool, states: bool, anew: bool) -> Measured:
        """Measure an outcome once; `anew` chooses thresholds, else the run's own is taken."""
        key = (references, states, anew)
        if key not in self._measured:
            own = None if anew else self._material.threshold
            value = None if own is None else own.value
            outcome = self.trials.outcome(references, states, value)
            self._measured[key] = Measured(self.trials.anomalous, outcome, self.seed)
        return self._measured[key]

    def _proposal(
        self, name: Name, what: str, cannot: str, measured: tuple[bool, bool] | None
    ) -> Proposal:
        if measured is None:
            return Proposal(name, what, cannot)
        found = self._measure(*measured, True)
        # what is gained by choosing the threshold anew is the threshold's own gain
        before = self._measure(False, False, name is not Name.threshold)
        gains = found.over(before, self._confidence)
        return Proposal(name, what, cannot, found.figures, gains)

    def _references(self, unsaid: str) -> Proposal:
        count = len(self.trials.references_without())
        what = f"{count} confirmed normal images become references"
        cannot = self._material.no_references or ("" if count else "no image is confirmed normal")
        measured = None if cannot or unsaid else (True, False)
        return self._proposal(Name.references, what, cannot, measured)

    def _threshold(self, unsaid: str) -> Proposal:
        rule, rate = self.rule
        normal, _ = self._counts()
        cannot = "" if normal else "no image is confirmed normal"
        cannot = cannot or mostly_mistakes(self._material)
        what = f"a threshold by the rule: {rule.in_words(rate)}"
        return self._proposal(Name.threshold, what, cannot, None if unsaid else (False, False))

    def _states(self, unsaid: str) -> Proposal:
        what = f"one of {len(self.changes)} changes of the prompts' words"
        cannot = self.no_changes
        if not cannot and min(self._counts()) == 0:
            cannot = "words are chosen on images of both classes"
        cannot = cannot or mostly_mistakes(self._material)
        if cannot:
            return Proposal(Name.states, "no change of the prompts' words", cannot)
        change = self.trials.chosen_change()
        if change == 0:
            cannot = f"none of {len(self.changes)} changes ranks the reviewed images better"
        else:
            what += f": {self.changes[change - 1].words}"
        return self._proposal(Name.states, what, cannot, None if unsaid else (False, True))

    def _together(self, references: bool, states: bool) -> tuple[Figures, Gains]:
        found = self._measure(references, states, True)
        return found.figures, found.over(self._measure(False, False, False), self._confidence)

    def _chosen(self, references: bool, change: int) -> Calibration | None:
        """Choose the threshold that is kept, on scores out of fold of what is adopted."""
        normal, _ = self._counts()
        if not normal or (references and self.trials.folds is None):
            return None
        scores, anomalous = self.trials.final_scores(references, change), self.trials.anomalous
        good, bad = scores[~anomalous].tolist(), scores[anomalous].tolist()
        return calibrated(good, bad, *self.rule, self.seed)
