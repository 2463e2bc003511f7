"""A rule applied to scores, with the error rates to expect."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from vlmad.errors import InputError
from vlmad_calibration.cuts import as_scores, choose_cut, cuts_of, value_above, value_in_gap
from vlmad_calibration.rates import (
    Rate,
    conformal_rank,
    expected_false_alarms,
    images_needed,
    measured_rate,
)
from vlmad_calibration.rules import Rule, settle

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jaxtyping import Bool, Float, Int

MOST_LEFT_OUT_SINGLY = 500
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Errors:
    """How often a threshold errs, and how that is known."""

    source: str
    false_alarms: Rate
    misses: Rate | None = None
    """None where there are no bad images."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold, with what speaks for it."""

    threshold: float
    rule: Rule
    rate: float | None
    """The rate that was asked for."""
    good: int
    bad: int
    errors: tuple[Errors, ...]
    """The first is of the threshold itself, the second of the rule on images left out."""
    auroc: float | None
    remarks: tuple[str, ...]

    @property
    def name(self) -> str:
        """How the threshold was chosen, in words."""
        return self.rule.in_words(self.rate)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the threshold, as JSON takes it."""
        table = asdict(self)
        del table["threshold"]
        return table


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
    share = rate or 0.0
    if rule is Rule.quantile:
        threshold, errors, remarks = _by_quantile(normal, anomalous, share)
    else:
        threshold, errors, remarks = _by_labels(normal, anomalous, rule, share, seed)
    area = _auroc(normal, anomalous)
    counts = len(normal), len(anomalous)
    return Calibration(threshold, rule, rate, *counts, errors, area, remarks)


def choose_threshold(
    good: Float[np.ndarray, " n"], bad: Float[np.ndarray, " p"], rule: Rule, rate: float | None
) -> float:
    """Choose a threshold as `calibrate` does, without asking what it is worth.

    Args:
        good: scores of good images, as `cuts.as_scores` returns them.
        bad: of anomalous ones; all rules but `quantile` need some.
        rule: as `settle` returns it.
        rate: likewise.
    """
    share = rate or 0.0
    if rule is Rule.quantile:
        rank = min(conformal_rank(len(good), share), len(good))
        return value_above(np.unique(good), good[rank - 1])
    cuts = cuts_of(good, bad)
    return value_in_gap(cuts.values, choose_cut(cuts, rule, share))


Chosen: TypeAlias = tuple[float, tuple[Errors, ...], tuple[str, ...]]


def _by_quantile(
    good: Float[np.ndarray, " n"], bad: Float[np.ndarray, " p"], rate: float
) -> Chosen:
    """Choose from good images alone, so that the bad ones give an honest rate of misses.

    Too few images give the largest score, and with it the lowest rate that they can promise.
    """
    wanted = conformal_rank(len(good), rate)
    rank = min(wanted, len(good))
    threshold = choose_threshold(good, bad, Rule.quantile, rate)
    expected = expected_false_alarms(len(good), rank)
    misses = measured_rate(int((bad < threshold).sum()), len(bad)) if len(bad) else None
    remarks = []
    if wanted > rank:
        remarks.append(
            f"{_images(len(good), 'good')} cannot promise a false-alarm rate of {rate}: that takes "
            f"{images_needed(rate)}; the threshold lies just above the highest of their scores, "
            f"which promises {expected.value:.3g}"
        )
    return threshold, (Errors("expected", expected, misses),), tuple(remarks)


def _by_labels(
    good: Float[np.ndarray, " n"],
    bad: Float[np.ndarray, " p"],
    rule: Rule,
    rate: float,
    seed: int,
) -> Chosen:
    cuts = cuts_of(good, bad)
    cut = choose_cut(cuts, rule, rate)
    threshold = value_in_gap(cuts.values, cut)
    false_alarms = measured_rate(int(cuts.false_alarms[cut]), len(good))
    misses = measured_rate(int(cuts.misses[cut]), len(bad))
    errors = [Errors("on the same images", false_alarms, misses)]
    remark = "rates on the same images that the threshold was chosen on are optimistic"
    if len(good) > 1 and len(bad) > 1:
        errors.append(_cross_validated(good, bad, rule, rate, seed))
        remark += "; trust those of images left out"
    else:
        remark += "; leaving images out takes at least two good and two bad ones"
    return threshold, tuple(errors), (remark,)


def _cross_validated(
    good: Float[np.ndarray, " n"],
    bad: Float[np.ndarray, " p"],
    rule: Rule,
    rate: float,
    seed: int,
) -> Errors:
    """Judge each image by a threshold that was chosen without it."""
    scores = np.concatenate([good, bad])
    labels = np.arange(len(scores)) >= len(good)
    called = np.zeros(len(scores), dtype=bool)
    folds = len(scores) if len(scores) <= MOST_LEFT_OUT_SINGLY else min(FOLDS, len(good), len(bad))
    for kept, left_out in _splits(labels, folds, seed):
        threshold = choose_threshold(scores[kept & ~labels], scores[kept & labels], rule, rate)
        called[left_out] = scores[left_out] >= threshold
    return Errors(
        "each image left out" if folds == len(scores) else f"{folds} folds left out",
        measured_rate(int(called[~labels].sum()), len(good)),
        measured_rate(int((~called[labels]).sum()), len(bad)),
    )


def _splits(
    labels: Bool[np.ndarray, " n"], folds: int, seed: int
) -> Iterator[tuple[Bool[np.ndarray, " n"], Int[np.ndarray, " q"]]]:
    """Yield which images are kept, and the indices of those left out."""
    from sklearn.model_selection import LeaveOneOut, StratifiedKFold

    singly = folds == len(labels)
    splitter = LeaveOneOut() if singly else StratifiedKFold(folds, shuffle=True, random_state=seed)
    for _, left_out in splitter.split(labels, labels):
        kept = np.ones(len(labels), dtype=bool)
        kept[left_out] = False
        yield kept, left_out


def _auroc(good: Float[np.ndarray, " n"], bad: Float[np.ndarray, " p"]) -> float | None:
    """Return how often a bad image scores above a good one, ties counting half."""
    if not len(bad):
        return None
    from sklearn.metrics import roc_auc_score

    labels = np.arange(len(good) + len(bad)) >= len(good)
    return float(roc_auc_score(labels, np.concatenate([good, bad])))


def _images(count: int, kind: str) -> str:
    return f"{count} {kind} image" + ("" if count == 1 else "s")
