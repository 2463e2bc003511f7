"""How a patch counts less where the memory around its nearest one is about as far (PatchCore)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad_memory.nearest_rows import nearest_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float
    from torch import Tensor


def novelty_weight(
    queries: Float[Tensor, "b d"],
    rows: Float[Tensor, "m d"],
    count: int,
    distance: Callable[[Float[Tensor, "b k"]], Float[Tensor, "b k"]],
) -> Float[Tensor, " b"]:
    """Return 1 less the softmax share of a query's distance to its nearest row.

    It is that among its distances to the rows nearest to that row, itself the first of them.

    Args:
        queries: the patches.
        rows: the memory.
        count: how many of its rows, all if they are fewer.
        distance: of a squared one.
    """
    nearest = rows[nearest_rows(queries, rows).rows[:, 0]]
    around = rows[nearest_rows(nearest, rows, count).rows]
    distances = distance((queries[:, None] - around).square().sum(2))
    return 1 - distances.softmax(1)[:, 0]
