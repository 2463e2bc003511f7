"""Directions in which confirmed misses differ from normal cells, and what they raise.

A direction is kept as the unit difference of an unusual cell to the mean of normal ones. It is
compared where normal variation has one size in all directions (whitened), so that what good parts
differ in hardly counts, also if that is learned later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float
    from torch import Tensor

MISSED = ", missed"
"""What the directions of a level are called after its name."""
WEIGHT = 1.0
"""By how much the logarithm of a cell's distance grows that lies in a missed direction."""
CELLS = 4
"""The most unusual ones of each miss that are remembered."""
MOST = 200
"""Directions of a level; no more are remembered."""


def raised(
    distances: Float[Tensor, "b r"],
    offsets: Float[Tensor, "b r d"],
    directions: Float[Tensor, "n d"],
) -> Float[Tensor, "b r"]:
    """Return distances times exp(weight * s) with the largest cosine s, if it is above 0.

    Args:
        distances: of cells.
        offsets: of these, whitened.
        directions: of misses, whitened; of any length.
    """
    cosines = F.normalize(offsets, dim=-1) @ F.normalize(directions, dim=-1).T
    return distances * (WEIGHT * cosines.amax(-1).clamp_min(0)).exp()


def learned(
    memory: Mapping[str, Tensor], name: str, differences: Float[Tensor, "n d"]
) -> dict[str, Tensor]:
    """Return a memory with further directions of a level; those without length are left out."""
    lengths = differences.norm(dim=-1, keepdim=True)
    new = (differences / lengths)[lengths[:, 0] > 0].float()
    return joined(memory, {name + MISSED: new} if len(new) else {})


def joined(memory: Mapping[str, Tensor], directions: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a memory with the directions of another one beside its own."""
    both = dict(memory)
    for name, rows in directions.items():
        both[name] = torch.cat([both[name], rows])[:MOST] if name in both else rows[:MOST]
    return both


def apart(memory: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the directions and the rest of a memory."""
    directions = {name: rows for name, rows in memory.items() if name.endswith(MISSED)}
    return directions, {name: kept for name, kept in memory.items() if name not in directions}


def refuse_directions(directions: Mapping[str, Tensor], sums: Mapping[str, Tensor]) -> str | None:
    """Return what no directions of a memory's levels are, or None if they could be some."""
    for name, rows in directions.items():
        level = name.removesuffix(MISSED)
        total = sums.get(f"{level} sum")
        if total is None or rows.dtype != torch.float32 or rows.shape[1:] != total.shape:
            return f"its misses of '{level}' are not those of a level"
        if not 1 <= len(rows) <= MOST:
            return f"its misses of '{level}' are not 1 to {MOST}"
        if not bool(((rows.norm(dim=-1) - 1).abs() < 1e-3).all()):
            return f"its misses of '{level}' are not of unit length"
    return None
