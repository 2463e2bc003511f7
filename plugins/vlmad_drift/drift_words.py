"""What a watch has found, in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vlmad_drift.drift_documents import DriftAlarm, DriftShift
    from vlmad_drift.drift_watch import DriftWatch

TOLD = 1.0
"""A change of that many usual spreads is worth telling where only the scores are an alarm."""


def sentence(watch: DriftWatch) -> str:
    """Say whether there is drift, which, since when, and what else has changed."""
    alarms = watch.alarms
    if not alarms:
        return f"no drift in {watch.images} image{'s' if watch.images != 1 else ''}"
    strongest = sorted(alarms, key=lambda alarm: -abs(alarm.shift.shift))
    now = {each.quantity: each for each in watch.shifts()}
    words = [_one(alarm, now.get(alarm.quantity)) for alarm in strongest]
    return f"drift: {'; '.join(words)}{_beside(alarms, [*now.values()])}"


def _one(alarm: DriftAlarm, now: DriftShift | None) -> str:
    before = " or before" if alarm.earlier else ""
    words = f"{alarm.shift.words} since image {alarm.since}{before} ({alarm.since_at})"
    words += f", found at image {alarm.number}"
    return words if now is None or now.words == alarm.shift.words else f"{words}, now {now.words}"


def _beside(alarms: list[DriftAlarm], now: list[DriftShift]) -> str:
    """Say what may be the reason where the scores alone are an alarm."""
    if {alarm.quantity for alarm in alarms} != {"score"} or len(now) < 2:
        return ""
    told = [each.words for each in now if each.quantity != "score" and abs(each.shift) >= TOLD]
    if told:
        return f"; at the same time {', '.join(told)}"
    return "; brightness, contrast, sharpness, colour and place are as before"
