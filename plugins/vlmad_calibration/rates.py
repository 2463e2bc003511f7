"""Error rates with their 95 % intervals."""

from __future__ import annotations

import math
from fractions import Fraction

from vlmad_documents.documents import Document

CONFIDENCE = 0.95


class Rate(Document):
    """A share of images between 0 and 1, with its interval of 95 % confidence."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{_percent(self.value)} % ({_percent(self.low)} to {_percent(self.high)})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}" if share >= 0.001 or share == 0 else f"{100 * share:.2g}"


class ErrorRates(Document):
    """How often a threshold errs, and how that is known."""

    source: str
    false_alarms: Rate
    misses: Rate | None
    """None where there are no bad images."""


def measured_rate(errors: int, images: int) -> Rate:
    """Return the share of errors among images, with the interval of Clopper and Pearson.

    The interval holds all rates under which neither so many errors nor so few would have a
    probability below 2.5 % (Clopper and Pearson, Biometrika 26, 1934). It never covers less
    often than 95 %, provided that the images were not used to choose what is measured.

    >>> print(measured_rate(0, 20))
    0.0 % (0.0 to 16.8)
    """
    from scipy.stats import binomtest

    interval = binomtest(errors, images).proportion_ci(CONFIDENCE, method="exact")
    return Rate(value=errors / images, low=float(interval.low), high=float(interval.high))


def expected_false_alarms(images: int, rank: int) -> Rate:
    """Return the false-alarm rate of a threshold just above an order statistic of good scores.

    If scores are continuous and new good images come from where the n old ones came from, the
    share of new ones above the k-th smallest of the old is itself random, with distribution
    Beta(n + 1 - k, k): mean (n + 1 - k) / (n + 1), and quantiles that give the interval. Where
    scores are tied the rate is no larger. See Vovk, "Conditional validity of inductive conformal
    predictors" (2012), and Marques, "Universal distribution of the empirical coverage in split
    conformal prediction" (arXiv 2303.02770).

    Args:
        images: n, how many good images there are.
        rank: k, from 1 to n.

    >>> print(expected_false_alarms(19, 19))
    5.0 % (0.1 to 17.6)
    """
    from scipy.stats import beta

    above = images + 1 - rank
    tail = (1 - CONFIDENCE) / 2
    low, high = beta.ppf([tail, 1 - tail], above, rank)
    return Rate(value=above / (images + 1), low=float(low), high=float(high))


def images_needed(rate: float) -> int:
    """Return the smallest number of good images that can promise a false-alarm rate.

    >>> images_needed(0.05), images_needed(0.3)
    (19, 3)
    """
    return math.ceil(1 / Fraction(str(rate))) - 1


def errors_allowed(images: int, rate: float) -> int:
    """Return the largest number of errors among images that is no more than a rate.

    >>> errors_allowed(100, 0.29), errors_allowed(19, 0.05)
    (29, 0)
    """
    return math.floor(images * Fraction(str(rate)))
