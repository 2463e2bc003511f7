"""The rules by which a threshold is chosen, and the rates that they take."""

from __future__ import annotations

from enum import StrEnum

from vlmad.errors import InputError

DEFAULT_RATE = 0.05


class Rule(StrEnum):
    """How a threshold is chosen; all but the first need bad images."""

    quantile = "quantile"
    """Just above a quantile of good images, for a false-alarm rate."""
    margin = "margin"
    """Above the scores of few references, by a margin that was measured."""
    f1 = "f1"
    """The largest F1, 2 TP / (2 TP + FP + FN)."""
    false_alarms = "false-alarms"
    """The fewest misses with no more than a rate of false alarms."""
    misses = "misses"
    """The fewest false alarms with no more than a rate of misses."""

    def in_words(self, rate: float | None) -> str:
        """Return how a threshold was chosen."""
        return {
            Rule.quantile: f"quantile of good images for a false-alarm rate of {rate}",
            Rule.margin: "a measured margin above the scores of few references",
            Rule.f1: "largest F1",
            Rule.false_alarms: f"false-alarm rate of at most {rate}",
            Rule.misses: f"miss rate of at most {rate}",
        }[self]


def settle(rule: Rule | None, rate: float | None, labelled: bool) -> tuple[Rule, float | None]:
    """Return the rule and the rate in force.

    Args:
        rule: by default `f1` if there are bad images, otherwise `quantile`.
        rate: by default 0.05; `f1` and `margin` take none.
        labelled: whether there are bad images.

    Raises:
        InputError: the rule needs bad images, or the rate is none.
    """
    rule = rule or (Rule.f1 if labelled else Rule.quantile)
    if rule not in (Rule.quantile, Rule.margin) and not labelled:
        raise InputError(
            f"the rule {rule} needs bad images: add --bad PATH, or use --rule quantile"
        )
    if rule in (Rule.f1, Rule.margin):
        if rate is not None:
            takes = f"the rule {rule} takes no rate"
            raise InputError(f"{takes}: leave out --rate or choose another --rule")
        return rule, None
    rate = DEFAULT_RATE if rate is None else rate
    zero = rate == 0 and rule is not Rule.quantile
    if not (zero or 0 < rate < 1):
        least = "above 0" if rule is Rule.quantile else "from 0"
        raise InputError(f"the rule {rule} takes a rate {least} and below 1, not {rate}")
    return rule, rate
