"""Scores and statistics of images, watched as they come.

    watch = DriftWatch({"score": usual_scores}, alpha=0.01)
    for alarm in watch.see("000123.png", "2026-05-01T06:00:00+00:00", {"score": 0.31}):
        print(alarm.shift.words)
    state = watch.state()  # a document; DriftWatch.of(state) goes on from it

If the usual images and those that come are exchangeable, and each of those that come may besides
show anything by a probability of `defects`, independently of the others, the probability that there
is ever an alarm is at most alpha.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from vlmad_drift._shifts import BeforeAndAfter, change_point, later, spread_out
from vlmad_drift.drift_documents import (
    DriftAlarm,
    DriftShift,
    DriftState,
    WatchedImage,
    WatchedQuantity,
    WatchedSide,
)
from vlmad_drift.martingales import Martingale, Tally, fortune_of
from vlmad_drift.quantities import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from jaxtyping import Float

    from vlmad_drift.quantities import DriftSide

ALPHA, DEFECTS = 0.01, 0.05
RECENT = 256
"""So many of the last images are remembered one by one."""
LATELY = 50
"""So many of them are compared with those before where nothing has changed."""
SIDES: tuple[DriftSide, ...] = ("more", "less")


class _WatchedNumbers:
    """One quantity: what its values were, what was bet on them, and its alarm."""

    def __init__(self, tally: Tally, sides: dict[DriftSide, Martingale]) -> None:
        self.tally, self.sides = tally, sides
        self.alarm: DriftAlarm | None = None
        self.p = 1.0
        """Of the last value: the share of values that are higher."""

    @property
    def evidence(self) -> float:
        return fortune_of([*self.sides.values()])

    def see(self, value: float, chance: float) -> None:
        self.tally.add(value)
        self.p = self.tally.p_value(value, chance)
        for side, martingale in self.sides.items():
            martingale.step(self.p if side == "more" else 1 - self.p)

    def state(self) -> WatchedQuantity:
        items = self.tally.items()
        sides = {
            side: WatchedSide(steps=each.steps, resting=each.resting, betting=each.betting)
            for side, each in self.sides.items()
        }
        return WatchedQuantity(
            values=[value for value, _ in items],
            counts=[count for _, count in items],
            sides=sides,
            alarm=self.alarm,
        )


class DriftWatch:
    """Watches images one by one.

    Args:
        usual: values of good images, by quantity (`vlmad_drift.quantities.QUANTITIES`), in any
            order; those without any are compared among the images that come.
        quantities: which are watched; alpha is divided among them.
        alpha: the probability of any false alarm ever, at most.
        defects: the largest share of defective images that is no drift.
        seed: by which ties are broken.
        rises: quantities of which only a rise counts, because the usual values tend to be higher
            than those of new images.
    """

    def __init__(
        self,
        usual: Mapping[str, Sequence[float]],
        quantities: Collection[str] = tuple(QUANTITIES),
        *,
        alpha: float = ALPHA,
        defects: float = DEFECTS,
        seed: int = 0,
        rises: Collection[str] = (),
    ) -> None:
        self.alpha, self.defects, self.seed, self.images = alpha, defects, seed, 0
        self.recent: deque[WatchedImage] = deque(maxlen=RECENT)
        self._watched: dict[str, _WatchedNumbers] = {}
        for name in quantities:
            tally = Tally()
            for value in usual.get(name, ()):
                tally.add(QUANTITIES[name].rounded(value))
            sides = SIDES[:1] if name in rises else SIDES
            self._watched[name] = _WatchedNumbers(
                tally, {side: Martingale(defects) for side in sides}
            )

    @property
    def needed(self) -> float:
        """The evidence from which on a quantity is an alarm."""
        return len(self._watched) / self.alpha

    @property
    def alarms(self) -> list[DriftAlarm]:
        """All alarms so far, the earliest first; each stays."""
        found = [each.alarm for each in self._watched.values() if each.alarm]
        return sorted(found, key=lambda alarm: alarm.number)

    @property
    def evidence(self) -> dict[str, float]:
        """By quantity how many times its stake has been won."""
        return {name: each.evidence for name, each in self._watched.items()}

    @property
    def p_values(self) -> dict[str, float]:
        """Of the last image: the share of images before it that were higher, by quantity."""
        if not self.recent:
            return {}
        return {name: self._watched[name].p for name in self.recent[-1].values}

    def see(self, image: str, at: str, values: Mapping[str, float]) -> list[DriftAlarm]:
        """Take what was found of the next image; return the alarms that it raises.

        Args:
            image: its name.
            at: when it was taken, in words.
            values: by quantity; one that is not there, or not watched, is passed over.
        """
        known = {
            name: QUANTITIES[name].rounded(value)
            for name, value in values.items()
            if name in self._watched and np.isfinite(value)
        }
        self.images += 1
        chances = np.random.default_rng((self.seed, self.images)).random(len(QUANTITIES))
        self.recent.append(WatchedImage(image=image, at=at, number=self.images, values=known))
        for chance, name in zip(chances, QUANTITIES, strict=True):
            if name in known:
                self._watched[name].see(known[name], float(chance))
        return [*self._raised(known)]

    def _raised(self, names: Iterable[str]) -> Iterable[DriftAlarm]:
        for name in names:
            watched = self._watched[name]
            if watched.alarm is None and watched.evidence >= self.needed:
                watched.alarm = self._alarm(name, watched)
                yield watched.alarm

    def _alarm(self, name: str, watched: _WatchedNumbers) -> DriftAlarm:
        last = [each for each in self.recent if name in each.values]
        before, values = self._split(name, last)
        place = change_point(before, values)
        side = max(watched.sides, key=lambda each: watched.sides[each].fortune)
        first, now = last[place], last[-1]
        change = BeforeAndAfter(np.concatenate([before, values[:place]]), np.array(values[place:]))
        return DriftAlarm(
            quantity=name, side=side, image=now.image, number=now.number, at=now.at,
            since=first.number, since_at=first.at, since_image=first.image,
            earlier=place == 0 and first.number > 1, shift=change.shift(name),
        )  # fmt: skip

    def _split(
        self, name: str, last: Sequence[WatchedImage]
    ) -> tuple[Float[np.ndarray, " n"], list[float]]:
        """Return the values of a quantity that are not of the last images, and theirs."""
        values = [each.values[name] for each in last]
        counts = dict(self._watched[name].tally.items())
        for value in values:
            counts[value] -= 1
        return spread_out(np.array([*counts], float), np.array([*counts.values()], int)), values

    def shifts(self) -> list[DriftShift]:
        """Return how much each quantity differs lately from what was usual, the largest first.

        Of a quantity with an alarm the last `LATELY` images since its change are compared with what
        was usual when it was raised. Of any other it is all images since the first change of those
        with all before; where nothing has changed, the last `LATELY` (or the later half, where
        there are fewer than twice as many) with those before.
        """
        found = (self._shift(name, watched) for name, watched in self._watched.items())
        return sorted(filter(None, found), key=lambda each: -abs(each.shift))

    def _shift(self, name: str, watched: _WatchedNumbers) -> DriftShift | None:
        last = [each for each in self.recent if name in each.values]
        before, values = self._split(name, last)
        if watched.alarm is not None:
            pairs = zip(last, values, strict=True)
            since = [value for each, value in pairs if each.number >= watched.alarm.since]
            return later(watched.alarm.shift, np.array(since[-LATELY:]))
        place = len(values) - min(LATELY, (len(before) + len(values)) // 2, len(values))
        if self.alarms:
            first = min(alarm.since for alarm in self.alarms)
            place = sum(each.number < first for each in last)
        known, new = np.concatenate([before, values[:place]]), np.array(values[place:])
        return BeforeAndAfter(known, new).shift(name) if len(known) and len(new) else None

    def state(self) -> DriftState:
        """Return all that is remembered, as a document."""
        return DriftState(
            alpha=self.alpha,
            defects=self.defects,
            seed=self.seed,
            images=self.images,
            quantities={name: each.state() for name, each in self._watched.items()},
            recent=list(self.recent),
        )

    @classmethod
    def of(cls, state: DriftState) -> DriftWatch:
        """Go on from what was remembered."""
        watch = cls({}, (), alpha=state.alpha, defects=state.defects, seed=state.seed)
        watch.images = state.images
        watch.recent.extend(state.recent)
        for name, kept in state.quantities.items():
            sides = {
                side: Martingale(state.defects, each.steps, each.resting, list(each.betting))
                for side, each in kept.sides.items()
            }
            tally = Tally(zip(kept.values, kept.counts, strict=True))
            watch._watched[name] = _WatchedNumbers(tally, sides)
            watch._watched[name].alarm = kept.alarm
        return watch
