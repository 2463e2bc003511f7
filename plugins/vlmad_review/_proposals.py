"""What is proposed, what it gains on images held out, and which of it is adopted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad.errors import InputError
from vlmad_calibration.calibration import Calibration, calibrate
from vlmad_calibration.rules import Rule, settle
from vlmad_review._trials import Lessons
from vlmad_review.gains import LEAST, HeldOut, confidence_of_each, gain
from vlmad_review.review_document import Adoptable, DetectorGains, Lesson, ReviewDocument
from vlmad_run.memory_documents import Reference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from jaxtyping import Bool

    from vlmad_review._material import ReviewMaterial
    from vlmad_review._trials import Trials
    from vlmad_review.review_document import GainInterval


AS_IT_IS = "as it is"
NO_NORMAL, NO_ANOMALOUS = "no image is confirmed normal", "no image is confirmed anomalous"
ENOUGH = 8
"""Images of each class from which on a gain counts that all draws agree on: if it were none, as
many would all be judged better by chance once in 2⁸ times, less than the tail of an interval."""


def settle_rule(
    material: ReviewMaterial, rule: Rule | None, rate: float | None
) -> tuple[Rule, float | None]:
    """Return the rule and the rate in force.

    Raises:
        InputError: the rule needs images that are called anomalous, or the rate is none.
    """
    labelled = bool(material.anomalous.any())
    if rule not in (None, Rule.quantile) and not labelled:
        raise InputError(f"the rule {rule} needs images that you call anomalous: there are none")
    return settle(rule, rate, labelled)


def mostly_mistakes(material: ReviewMaterial) -> str:
    """Return why nothing can be learned of scores, if what the run judged rightly is missing.

    Images that were picked because the run is wrong about them make any other detector look
    better, be it by chance, and any threshold the better the more verdicts it turns round. They
    are known by the run's being wrong about them more often than a guess, which finds as large a
    share of the anomalous images as it gives false alarms. If all images were reviewed, none
    were picked.
    """
    if material.called is None or not material.unreviewed:
        return ""
    anomalous = material.truth
    wrong = material.of_parts(material.called) != anomalous
    sides = [wrong[anomalous == side] for side in (False, True) if (anomalous == side).any()]
    shares = [float(side.mean()) for side in sides]
    if not (sum(shares) > 1 or shares == [1]):
        return ""
    return (
        f"the run is wrong about {int(wrong.sum())} of the {len(wrong)} reviewed images, more than "
        "a guess would be: on images picked as mistakes any change looks like a gain; review some "
        f"that it judged rightly too ({material.unreviewed} others are there)"
    )


def propose(trials: Trials, adopt: Adoptable | None) -> ReviewDocument:
    """Measure each proposal, and adopt what gains for certain or what is asked for.

    Raises:
        InputError: something is asked for that cannot be had.
    """
    material = trials.material
    truth = material.truth
    called = None if material.called is None else material.of_parts(material.called)
    not_measured = mostly_mistakes(material) or too_few(truth)
    held_out = {} if not_measured else _measure(trials)
    confidence = confidence_of_each(_detectors(material) if held_out else 1)
    gains = _gains(held_out, confidence)
    references = _references(trials, gains, adopt)
    gains += _try_misses(trials, held_out, confidence, references.adopted)
    misses = _misses(trials, gains, adopt)
    learned = Lessons(references.adopted, misses.adopted)
    threshold = _threshold(trials, gains, adopt, any(learned))
    new = trials.new_references() if references.adopted else ()
    missed = trials.new_misses() if misses.adopted else ()
    chosen = kept_threshold(trials, learned) if threshold.adopted else None
    return ReviewDocument(
        run=str(material.run.folder),
        class_name=material.assembled.class_name,
        normal=int((~truth).sum()),
        anomalous=int(truth.sum()),
        of_parts=bool(material.parts),
        false_alarms=None if called is None else int((called & ~truth).sum()),
        misses=None if called is None else int((~called & truth).sum()),
        unreviewed=material.unreviewed,
        missing_or_changed=list(material.gone),
        left_out=list(material.left_out),
        wrong_lines=list(material.wrong_lines),
        rule=trials.rule.in_words(trials.rate),
        not_measured=not_measured,
        folds=trials.count if held_out else 0,
        confidence=confidence,
        figures={name: each.figures for name, each in held_out.items()},
        gains=gains,
        references=references,
        from_misses=misses,
        threshold=threshold,
        new_references=[_file(material, index) for index in new],
        new_misses=[_file(material, index) for index in missed],
        new_threshold=None if chosen is None else chosen.threshold,
        notes=list(material.notes),
    )


def _file(material: ReviewMaterial, index: int) -> Reference:
    image = material.images[index]
    return Reference(path=str(image.path), sha256=str(image.row.sha256))


def learned_of(review: ReviewDocument) -> Lessons:
    """Return what is adopted beside a threshold."""
    misses = review.from_misses
    return Lessons(review.references.adopted, misses is not None and misses.adopted)


def kept_threshold(trials: Trials, learned: Lessons) -> Calibration:
    """Choose the threshold that is kept, on scores out of fold of what is adopted."""
    scores = trials.material.of_parts(trials.out_of_fold(learned))
    anomalous = trials.material.truth
    good, bad = scores[~anomalous].tolist(), scores[anomalous].tolist()
    return calibrate(good, bad, trials.rule, trials.rate)


def too_few(anomalous: Bool[np.ndarray, " n"]) -> str:
    """Return why nothing can be measured on images held out, if they are too few."""
    good, bad = int((~anomalous).sum()), int(anomalous.sum())
    if min(good, bad) >= LEAST:
        return ""
    return (
        f"{good} normal and {bad} anomalous images are too few to measure anything on images "
        f"held out: that takes {LEAST} of each at least, and some twenty to show much"
    )


def _measure(trials: Trials) -> dict[str, HeldOut]:
    found = {AS_IT_IS: trials.of_the_run(), "threshold": trials.held_out(Lessons())}
    if not trials.material.no_references:
        found["references"] = trials.held_out(Lessons(references=True))
    return found


def _detectors(material: ReviewMaterial) -> int:
    """Return how many detectors may be picked: misses are learned with new references or not."""
    references, misses = not material.no_references, not material.no_misses
    return 1 + references + misses * (1 + references)


def _try_misses(
    trials: Trials, held_out: dict[str, HeldOut], confidence: float, references: bool
) -> list[DetectorGains]:
    """Measure what is learned from misses beside all that is adopted before."""
    if not held_out or trials.material.no_misses:
        return []
    held_out["misses"] = trials.held_out(Lessons(references, misses=True))
    before = "references" if references else "threshold"
    return [_gain(held_out, "misses", before, confidence)]


def _gain(
    held_out: Mapping[str, HeldOut], name: str, before: str, confidence: float
) -> DetectorGains:
    one, other = held_out[name], held_out[before]
    return DetectorGains(
        detector=name,
        over=before,
        auroc=gain(one.auroc, other.auroc, confidence),
        f1=gain(one.f1, other.f1, confidence),
    )


def _gains(held_out: Mapping[str, HeldOut], confidence: float) -> list[DetectorGains]:
    """Return the gain of each proposal, and of both together."""
    # what is gained by choosing the threshold anew is the threshold's own gain
    pairs = (("threshold", AS_IT_IS), ("references", "threshold"), ("references", AS_IT_IS))
    return [_gain(held_out, *pair, confidence) for pair in pairs if pair[0] in held_out]


def _references(trials: Trials, gains: Sequence[DetectorGains], adopt: Adoptable | None) -> Lesson:
    count = len(trials.new_references())
    what = f"{count} confirmed normal images become references"
    cannot = trials.material.no_references or ("" if count else NO_NORMAL)
    gained = [each.auroc for each in gains if each.detector == "references"]
    certain = certainty(trials.material.truth, gained[0] if gained else None, "AUROC")
    return _decide(Adoptable.references, what, cannot, certain, adopt)


def _misses(trials: Trials, gains: Sequence[DetectorGains], adopt: Adoptable | None) -> Lesson:
    count = len(trials.new_misses())
    what = f"what resembles {count} confirmed anomalous images scores higher"
    cannot = trials.material.no_misses or ("" if count else NO_ANOMALOUS)
    gained = [each.auroc for each in gains if each.detector == "misses"]
    certain = certainty(trials.material.truth, gained[0] if gained else None, "AUROC")
    return _decide(Adoptable.misses, what, cannot, certain, adopt)


def _threshold(
    trials: Trials, gains: Sequence[DetectorGains], adopt: Adoptable | None, learned: bool
) -> Lesson:
    what = f"a threshold by the rule: {trials.rule.in_words(trials.rate)}"
    no_normal = trials.material.truth.all()
    cannot = NO_NORMAL if no_normal else mostly_mistakes(trials.material)
    certain = certainty(trials.material.truth, gains[0].f1 if gains else None, "F1")
    if gains and trials.material.called is None:
        certain = True, "the run had no threshold"
    if learned and not trials.count and not cannot:
        cannot = "too few images to choose one without judging them as their own references"
    elif learned and not cannot:
        why = "what is learned changes the scores, so that a threshold must be chosen anew"
        adopt, certain = None, (True, why)
    return _decide(Adoptable.threshold, what, cannot, certain, adopt)


def certainty(
    anomalous: Bool[np.ndarray, " n"], gained: GainInterval | None, measure: str
) -> tuple[bool, str]:
    """Return whether the whole interval of a gain lies above 0, and that in words."""
    if gained is None:
        return False, "its gain is not known"
    few = min(anomalous.sum(), (~anomalous).sum()) < ENOUGH
    if gained.low == gained.high > 0 and few:
        return False, f"fewer than {ENOUGH} images of a class give its gain no interval"
    lies = "lies" if gained.low > 0 else "does not lie"
    return gained.low > 0, f"the interval of its gain in {measure} {lies} above 0"


def _decide(
    name: Adoptable, what: str, cannot: str, certain: tuple[bool, str], adopt: Adoptable | None
) -> Lesson:
    """Adopt what is asked for, or else what gains for certain."""
    if cannot and adopt is name:
        raise InputError(f"--adopt {name} cannot be: {cannot}")
    adopted, why = certain
    if adopt is not None:
        adopted = adopt is name
        why = "--adopt asks for it" if adopted else "--adopt does not name it"
    return Lesson(what=what, adopted=adopted and not cannot, why=cannot or why)
