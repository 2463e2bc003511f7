"""AU-sPRO of MVTec LOCO: that of logical and of structural anomalies, and the mean of both.

Each kind is measured with all normal images, over the false positive rate of these images alone;
every region counts the same within its kind, and each kind the same in the mean (Bergmann et al.,
IJCV 2022, section 5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vlmad_evaluation.bootstrap import Replicates, average_replicates
from vlmad_evaluation.metric import ANOMALIES, AU_SPRO_LIMITS, Metric, macro_average

if TYPE_CHECKING:
    from collections.abc import Mapping


def mean_of_kinds(by_kind: Mapping[str, Mapping[str, Metric]]) -> dict[str, Metric]:
    """Return the mean of both kinds, undefined where one is, then each under a name of its own."""
    found: dict[str, Metric] = {}
    for name in AU_SPRO_LIMITS:
        kinds = {kind: by_kind[kind][name] for kind in ANOMALIES}
        mean = macro_average(kinds).model_copy(update={"categories": []})
        found[name] = next((each for each in kinds.values() if each.value is None), mean)
        found |= {f"{name}_{kind}": each for kind, each in kinds.items()}
    return found


def replicates_of_kinds(by_kind: Mapping[str, Mapping[str, Replicates]]) -> dict[str, Replicates]:
    """Return the same of replicates; there are none of what is undefined."""
    found = {f"{n}_{kind}": each for kind, own in by_kind.items() for n, each in own.items()}
    both = [name for name in AU_SPRO_LIMITS if all(f"{name}_{kind}" in found for kind in ANOMALIES)]
    return found | {n: _together(*(found[f"{n}_{kind}"] for kind in ANOMALIES)) for n in both}


def _together(one: Replicates, other: Replicates) -> Replicates:
    """Average the replicates of two kinds, for which draw i takes the same normal images."""
    both = one, other
    if np.sum(one.strata == 0) != np.sum(other.strata == 0):  # a mask vanished when it was resized
        return average_replicates({"one": one, "other": other})
    estimate = (one.estimate + other.estimate) / 2
    moved = [(part.without - part.estimate) / 2 for part in both]
    normal = sum(change[part.strata == 0] for change, part in zip(moved, both, strict=True))
    rest = [change[part.strata != 0] for change, part in zip(moved, both, strict=True)]
    changes = [normal, *rest]
    return Replicates(
        estimate,
        (one.values + other.values) / 2,
        estimate + np.concatenate(changes),
        np.repeat(np.arange(len(changes)), [len(change) for change in changes]),
        (one.error + other.error) / 2,
        one.reason or other.reason,
    )
