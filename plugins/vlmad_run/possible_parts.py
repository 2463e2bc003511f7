"""Whether a rule by which p-values are combined could call any part anomalous."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad_groups.combining import references_needed

if TYPE_CHECKING:
    from vlmad_groups.combining import PartRule
    from vlmad_run.kinds import Runnable
    from vlmad_run.manifest import Manifest


def why_never_anomalous(rule: PartRule, views: int, detector: Runnable, manifest: Manifest) -> str:
    """Return why no part of so many views could be anomalous by a detector; empty if one could."""
    if not rule.combine.of_p_values:
        return ""
    products = getattr(detector, "products", None)  # of a line, whose module imports torch
    known = [each.assembled.good for each in products.values()] if products else [manifest.good]
    fewest = min((len(good.scores) if good else 0 for good in known), default=0)
    if not fewest:
        return f"--combine {rule.combine} needs p-values, as of --model of vlmad fit"
    needed = references_needed(rule.combine, views, rule.level)
    if fewest >= needed:
        return ""
    return (
        f"a part of {views} views could never be anomalous: --combine {rule.combine} at "
        f"--level {rule.level} needs {needed} references, and there are {fewest}; "
        "fit on more, or leave out --combine"
    )
