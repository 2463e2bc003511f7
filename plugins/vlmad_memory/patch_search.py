"""The nearest remembered cells, of all references or of some, anywhere or near the same place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from vlmad_memory.nearest_rows import nearest_rows

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

    from vlmad.regions import Grid
    from vlmad_memory.patch_memory import PatchMemory


class PatchSearch:
    """A search in what is remembered of one level.

    Args:
        remembered: that.
        grid: rows and columns of the level's cells.
        radius: how many of these a remembered cell may be away; None is anywhere. Where none of
            those is remembered all are.
        images: of each query image the references whose cells count; None is all.
    """

    def __init__(
        self,
        remembered: PatchMemory,
        grid: Grid,
        radius: int | None,
        images: Int[Tensor, "b k"] | None,
    ) -> None:
        self.remembered, self.grid, self.radius, self.images = remembered, grid, radius, images

    def __call__(
        self, queries: Float[Tensor, "b r d"], count: int
    ) -> tuple[Float[Tensor, "b r"], Int[Tensor, "b r"]]:
        """Return the mean squared distance to the nearest cells, and the nearest one.

        That is given as reference * r + cell.
        """
        everything = torch.arange(len(self.remembered.rows), device=queries.device)
        if self.images is None:
            squared, rows = self._search(queries.flatten(0, 1), everything, count)
        else:
            found = [
                self._search(cells, self._rows_of(images), count)
                for cells, images in zip(queries, self.images, strict=True)
            ]
            squared, rows = (torch.cat(each) for each in zip(*found, strict=True))
        origins = self.remembered.origins[rows]
        nearest = origins[:, 0] * queries.shape[1] + origins[:, 1]
        shape = (queries.shape[0], queries.shape[1])
        return squared.unflatten(0, shape), nearest.unflatten(0, shape)

    def _rows_of(self, images: Int[Tensor, " k"]) -> Int[Tensor, " m"]:
        """Return the rows of some references; of all where a coreset holds none of theirs."""
        mine = torch.isin(self.remembered.origins[:, 0], images)
        return (mine if mine.any() else ~mine).nonzero()[:, 0]

    def _search(
        self, queries: Float[Tensor, "q d"], rows: Int[Tensor, " m"], count: int
    ) -> tuple[Float[Tensor, " q"], Int[Tensor, " q"]]:
        whole = len(rows) == len(self.remembered.rows)
        kept = self.remembered.rows if whole else self.remembered.rows[rows]
        cells = self.remembered.origins[rows, 1]

        columns, radius = self.grid[1], self.radius or 0

        def near(q: slice, r: slice) -> Bool[Tensor, "q m"]:
            asked = torch.arange(q.start, q.stop, device=cells.device)[:, None]
            asked = asked % (self.grid[0] * columns)
            down = (asked // columns - cells[r] // columns).abs()
            across = (asked % columns - cells[r] % columns).abs()
            close: Bool[Tensor, "q m"] = torch.maximum(down, across) <= radius
            return close

        found = nearest_rows(queries, kept, count, None if self.radius is None else near)
        nowhere = found.squared[:, 0].isinf()
        squared, nearest = found
        if self.radius is not None and nowhere.any():
            anywhere = nearest_rows(queries[nowhere], kept, count)
            squared[nowhere], nearest[nowhere] = anywhere
        there = squared.isfinite()
        mean = squared.where(there, 0).sum(1) / there.sum(1)
        return mean, rows[nearest[:, 0]]
