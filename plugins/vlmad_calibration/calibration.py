"""A rule applied to scores, with the error rates to expect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from vlmad.errors import InputError
from vlmad_calibration.cuts import as_scores, choose_threshold
from vlmad_calibration.rates import (
    ErrorRates,
    expected_false_alarms,
    images_needed,
    measured_rate,
)
from vlmad_calibration.rules import DEFAULT_RATE, Rule, settle
from vlmad_documents.documents import Document, FileName
from vlmad_run.leaving_out import above_few, conformal_rank
from vlmad_run.manifest import GoodScores
from vlmad_run.passed_over import PassedOver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float

    from vlmad_run.leaving_out import How

MOST_LEFT_OUT_SINGLY = 500
FOLDS = 5
FEW = (
    "so few good images promise no rate of false alarms: more of them, in vlmad calibrate --good, "
    "choose a threshold that has one"
)
OPTIMISTIC = "rates on the same images that the threshold was chosen on are optimistic; "


class Evidence(Document):
    """What a threshold was chosen on, and the error rates to expect."""

    rule: Literal["quantile", "margin", "f1", "false-alarms", "misses"]
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
    passed_over: list[PassedOver] = Field(default_factory=list)
    """What else was found where they were looked for."""
    command: list[str] = Field(default_factory=list)
    group: FileName = ""
    """Which images are views of one part, if so: all counts are of parts then."""
    views: int | None = None
    """How many a part was to have."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold, with what speaks for it."""

    threshold: float
    evidence: Evidence

    @property
    def name(self) -> str:
        """How the threshold was chosen, in words."""
        return Rule(self.evidence.rule).in_words(self.evidence.rate)


def calibrate(
    good: Sequence[float],
    bad: Sequence[float] = (),
    rule: Rule | None = None,
    rate: float | None = None,
    seed: int = 0,
    how: How | None = None,
) -> Calibration:
    """Choose from which score on an image is anomalous.

    Args:
        good: scores of good images.
        bad: scores of anomalous ones; they let the rates of misses be known.
        rule: by default `f1` if there are bad images, otherwise `quantile`.
        rate: the false-alarm or miss rate, 0.05 by default; `f1` takes none.
        seed: of the folds, where images are too many to leave each out.
        how: by which the good scores are those of references, if they are: too few of them for
            the quantile take `margin`, unless a rule is named.

    Raises:
        InputError: no scores, or a rule or rate that cannot be.
    """
    unnamed = rule is None
    rule, rate = settle(rule, rate, bool(len(bad)))
    normal, anomalous = as_scores(good), as_scores(bad)
    if not len(normal):
        raise InputError("no good image could be scored: there is nothing to calibrate on")
    few = how == "changed" or images_needed(rate or DEFAULT_RATE) > len(normal)
    if how and unnamed and rule is Rule.quantile and few:
        threshold = above_few(GoodScores(scores=normal.tolist(), how=how))
        rule, rate = Rule.margin, None
    else:
        threshold = choose_threshold(normal, anomalous, rule, rate)
    scores = np.concatenate([normal, anomalous])
    labels = np.arange(len(scores)) >= len(normal)
    errors, remarks = _errors(threshold, scores, labels, rule, rate, seed)
    evidence = Evidence(
        rule=rule.value,
        rate=rate,
        good=len(normal),
        bad=len(anomalous),
        errors=errors,
        auroc=_auroc(scores, labels),
        remarks=remarks,
    )
    return Calibration(threshold, evidence)


def _errors(
    threshold: float,
    scores: Float[np.ndarray, " n"],
    labels: Bool[np.ndarray, " n"],
    rule: Rule,
    rate: float | None,
    seed: int,
) -> tuple[list[ErrorRates], list[str]]:
    """Return the error rates to expect, and what limits them; `labels` are true for bad images."""
    measured = _measure("on the same images", scores >= threshold, labels)
    bad = int(labels.sum())
    good = len(labels) - bad
    if rule is Rule.quantile:
        return _promise(good, rate or 0.0, measured)
    if rule is Rule.margin:
        return [measured], [FEW]
    if min(good, bad) < 2:
        remark = OPTIMISTIC + "leaving images out takes at least two good and two bad ones"
        return [measured], [remark]
    left_out = _leave_out(scores, labels, rule, rate, seed)
    return [measured, left_out], [OPTIMISTIC + "trust those of images left out"]


def _measure(
    source: str, called: Bool[np.ndarray, " n"], labels: Bool[np.ndarray, " n"]
) -> ErrorRates:
    """Count errors; `called` and `labels` are true for what is called and what is anomalous."""
    good, bad = called[~labels], called[labels]
    return ErrorRates(
        source=source,
        false_alarms=measured_rate(int(good.sum()), len(good)),
        misses=measured_rate(int((~bad).sum()), len(bad)) if len(bad) else None,
    )


def _promise(images: int, rate: float, measured: ErrorRates) -> tuple[list[ErrorRates], list[str]]:
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
    scores: Float[np.ndarray, " n"],
    labels: Bool[np.ndarray, " n"],
    rule: Rule,
    rate: float | None,
    seed: int,
) -> ErrorRates:
    """Judge each image by a threshold that was chosen without it."""
    from sklearn.model_selection import LeaveOneOut, StratifiedKFold

    splitter, source = LeaveOneOut(), "each image left out"
    if len(scores) > MOST_LEFT_OUT_SINGLY:
        folds = min(FOLDS, int(labels.sum()), int((~labels).sum()))
        splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
        source = f"{folds} folds left out"
    called = np.zeros(len(scores), dtype=bool)
    for kept, left_out in splitter.split(scores, labels):
        good, bad = kept[~labels[kept]], kept[labels[kept]]
        threshold = choose_threshold(scores[good], scores[bad], rule, rate)
        called[left_out] = scores[left_out] >= threshold
    return _measure(source, called, labels)


def _auroc(scores: Float[np.ndarray, " n"], labels: Bool[np.ndarray, " n"]) -> float | None:
    """Return how often a bad image scores above a good one, ties counting half."""
    if not labels.any():
        return None
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, scores))
