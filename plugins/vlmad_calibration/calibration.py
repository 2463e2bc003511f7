"""A rule applied to scores, with the error rates to expect."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from pydantic import Field
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import LeaveOneOut, StratifiedKFold

from vlmad.errors import InputError, printable
from vlmad_calibration.cuts import Rule, as_scores, choose_threshold, settle
from vlmad_calibration.rates import (
    ErrorRates,
    conformal_rank,
    expected_false_alarms,
    images_needed,
    measured_rate,
)
from vlmad_run.documents import Document
from vlmad_run.thresholds import Threshold

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Bool

    from vlmad_calibration.cuts import Scores
    from vlmad_run.manifest import Identity

Labels: TypeAlias = "Bool[np.ndarray, ' n']"
MOST_LEFT_OUT_SINGLY = 500
FOLDS = 5
OPTIMISTIC = "rates on the same images that the threshold was chosen on are optimistic; "
TOO_FEW = "leaving images out takes at least two good and two bad ones"


class Evidence(Document):
    """What a threshold was chosen on, and the error rates to expect."""

    rule: Literal["quantile", "f1", "false-alarms", "misses"]
    rate: float | None
    """The one in force; `f1` takes none."""
    good: int
    bad: int
    """How many images were scored."""
    errors: list[ErrorRates]
    """The first is of the threshold itself, the second of the rule on images left out."""
    auroc: float | None
    remarks: list[str]
    left_out: dict[str, int] = Field(default_factory=dict)
    """How many images do not count, by reason."""
    failures: list[str] = Field(default_factory=list)
    """Why images could not be scored, each with its name."""
    command: list[str] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold, with what speaks for it."""

    threshold: float
    evidence: Evidence

    def document(self, identity: Identity, **more: Any) -> Threshold:
        """Return what `vlmad run --threshold` takes, for one detector.

        Args:
            identity: of the detector.
            more: fields of the evidence that are known by now.
        """
        words = [printable(word) for word in sys.argv[1:]]
        evidence = self.evidence.model_copy(update={**more, "command": words})
        rule = Rule(evidence.rule).in_words(evidence.rate)
        table = evidence.model_dump()
        return Threshold(value=self.threshold, rule=rule, evidence=table, identity=identity)


def calibrate(
    good: Sequence[float],
    bad: Sequence[float] = (),
    rule: Rule | None = None,
    rate: float | None = None,
    seed: int = 0,
) -> Calibration:
    """Choose from which score on an image is anomalous.

    Args:
        good: scores of good images.
        bad: scores of anomalous ones; they let the rates of misses be known.
        rule: by default `f1` if there are bad images, otherwise `quantile`.
        rate: the false-alarm or miss rate, 0.05 by default; `f1` takes none.
        seed: of the folds, where images are too many to leave each out.

    Raises:
        InputError: no scores, or a rule or rate that cannot be.
    """
    rule, rate = settle(rule, rate, bool(len(bad)))
    normal, anomalous = as_scores(good), as_scores(bad)
    if not len(normal):
        raise InputError("no good image could be scored: there is nothing to calibrate on")
    threshold = choose_threshold(normal, anomalous, rule, rate)
    scores = np.concatenate([normal, anomalous])
    labels = np.arange(len(scores)) >= len(normal)
    measured = _measure("on the same images", scores >= threshold, labels)
    if rule is Rule.quantile:
        errors, remarks = _promise(len(normal), rate or 0.0, measured)
    elif min(len(normal), len(anomalous)) < 2:
        errors, remarks = [measured], [OPTIMISTIC + TOO_FEW]
    else:
        left_out = _leave_out(scores, labels, partial(choose_threshold, rule=rule, rate=rate), seed)
        errors, remarks = [measured, left_out], [OPTIMISTIC + "trust those of images left out"]
    return Calibration(
        threshold,
        Evidence(
            rule=rule.value,
            rate=rate,
            good=len(normal),
            bad=len(anomalous),
            errors=errors,
            auroc=float(roc_auc_score(labels, scores)) if len(anomalous) else None,
            remarks=remarks,
        ),
    )


def _measure(source: str, called: Labels, labels: Labels) -> ErrorRates:
    """Count errors; `called` and `labels` are true for what is called and what is anomalous."""
    good, bad = called[~labels], called[labels]
    return ErrorRates(
        source=source,
        false_alarms=measured_rate(int(good.sum()), len(good)),
        misses=measured_rate(int((~bad).sum()), len(bad)) if len(bad) else None,
    )


def _promise(
    images: int, rate: float, measured: ErrorRates
) -> tuple[list[ErrorRates], list[str]]:
    """Return the rate of false alarms to expect beside the measured one of misses.

    The threshold was chosen from good images alone, so that the bad ones give an honest rate.
    Too few images have the largest score, and with it the lowest rate that they can promise.
    """
    rank = conformal_rank(images, rate)
    expected = expected_false_alarms(images, min(rank, images))
    errors = measured.model_copy(update={"source": "expected", "false_alarms": expected})
    if rank <= images:
        return [errors], []
    remark = (
        f"{images} good image{'' if images == 1 else 's'} cannot promise a false-alarm rate of "
        f"{rate}: that takes {images_needed(rate)}; the threshold lies just above the highest of "
        f"their scores, which promises {expected.value:.3g}"
    )
    return [errors], [remark]


def _leave_out(
    scores: Scores, labels: Labels, choose: Callable[..., float], seed: int
) -> ErrorRates:
    """Judge each image by a threshold that was chosen without it."""
    splitter, source = LeaveOneOut(), "each image left out"
    if len(scores) > MOST_LEFT_OUT_SINGLY:
        folds = min(FOLDS, int(labels.sum()), int((~labels).sum()))
        splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
        source = f"{folds} folds left out"
    called = np.zeros(len(scores), dtype=bool)
    for kept, left_out in splitter.split(scores, labels):
        threshold = choose(scores[kept[~labels[kept]]], scores[kept[labels[kept]]])
        called[left_out] = scores[left_out] >= threshold
    return _measure(source, called, labels)
