"""Few rows that stand for many: greedy selection, each next one the farthest from those chosen."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import torch

from vlmad.console import say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jaxtyping import Float, Int
    from torch import Tensor

LONG = 20.0
"""Seconds from which on a selection says before how long it takes."""
TRIED = 64
"""Rows after which that is known."""


def farthest_first(
    rows: Float[Tensor, "m d"], count: int, start: int | None = None
) -> Int[Tensor, " k"]:
    """Return the indices of `count` different rows, each next one the farthest from those before.

    Args:
        rows: to choose from; all are returned if they are no more.
        count: how many to choose.
        start: the first of them; by default the one farthest from the mean.
    """
    count, lengths = min(count, len(rows)), rows.square().sum(1)
    first = (rows - rows.mean(0)).square().sum(1).argmax() if start is None else start
    chosen = torch.empty(count, dtype=torch.long, device=rows.device)
    chosen[0] = first
    distances = torch.full_like(lengths, torch.inf)
    began = time.perf_counter()
    for number in range(1, count):
        last = chosen[number - 1]
        squared = torch.addmv(lengths + lengths[last], rows, rows[last], alpha=-2)
        distances = torch.minimum(distances, squared)
        distances[last] = -torch.inf  # not even where all others are equal to one chosen
        chosen[number] = distances.argmax()
        if number == TRIED:
            _say_how_long((time.perf_counter() - began) / TRIED * count, count, len(rows))
    return chosen


def _say_how_long(seconds: float, count: int, rows: int) -> None:
    if seconds >= LONG:
        took = f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.0f} minutes"
        say(f"choosing {count} of {rows} patches takes about {took}; a smaller coreset takes less")


def merged_and_reduced(
    rows: Float[Tensor, "m d"], batches: Iterable[Int[Tensor, " n"]], count: int, local: int
) -> Int[Tensor, " k"]:
    """Return the indices of `count` rows chosen batch by batch, as a stream would bring them.

    Of each batch up to `local` are kept; two such selections of one level are joined and reduced
    to one of the next, as counting in binary does; in the end all are.
    """
    levels: dict[int, Tensor] = {}

    def reduced(indices: Tensor, most: int) -> Tensor:
        return indices[farthest_first(rows[indices], most)]

    for batch in batches:
        level, kept = 0, reduced(batch, min(count, local))
        while level in levels:
            kept = reduced(torch.cat([levels.pop(level), kept]), min(count, local))
            level += 1
        levels[level] = kept
    return reduced(torch.cat([levels[level] for level in sorted(levels)]), count)


def random_projection(
    rows: int, width: int, seed: int, epsilon: float = 0.9
) -> Float[Tensor, "p d"] | None:
    """Return a sparse random projection under which distances stay about what they are.

    It has the width of Johnson and Lindenstrauss for so many rows, and numbers other than zero
    with probability 1/sqrt(d) (Li, Hastie and Church, KDD 2006). None where it is not narrower.
    """
    narrow = int(4 * math.log(rows) / (epsilon**2 / 2 - epsilon**3 / 3))
    if not 0 < narrow < width:
        return None
    generator = torch.Generator().manual_seed(seed)
    density = 1 / math.sqrt(width)
    drawn = torch.rand(narrow, width, generator=generator)
    signs = torch.where(drawn < density / 2, -1.0, torch.where(drawn < density, 1.0, 0.0))
    return signs / math.sqrt(density * narrow)


def coreset_size(kept: float, rows: int) -> int:
    """Return how many of so many rows to keep: a share up to 1, above it a number."""
    return max(1, min(rows, math.floor(kept * rows) if kept <= 1 else round(kept)))
