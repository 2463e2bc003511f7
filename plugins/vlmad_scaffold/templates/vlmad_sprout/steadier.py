"""The steadier of verdicts `sprout`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

if TYPE_CHECKING:
    from vlmad_video.steadiers import Moment


class SproutSteadier:
    """Anomalous until some seconds have passed without a moment that is.

    Args:
        seconds: how many.
    """

    def __init__(self, seconds: Annotated[float, Ge(0)] = 1.0) -> None:
        self.seconds = seconds
        self._last = -math.inf

    def __call__(self, moment: Moment) -> bool:
        """Take the next moment, and return whether it is anomalous."""
        if moment.anomalous:
            self._last = moment.time
        return moment.time - self._last <= self.seconds
