"""Nearest neighbours by blocked matrix products, exactly.

Half the squared distance of x to y is |x|²/2 + (|y|²/2 - x.y), of which the term in brackets is
one product for a block of each. Products round; so they only tell which groups of rows may hold
the nearest. There it is found again in double precision, and its distance is a difference's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import torch

from vlmad_openclip.devices import computes_bfloat16

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

Allowed: TypeAlias = Callable[[slice, slice], "Bool[Tensor, 'q m']"]
SEARCHED, QUERIES, ROWS, GROUP = 16384, 1024, 1024, 64
"""Queries that are searched for and that are multiplied at once, rows at once and in a group."""
ROUNDING = {torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8}
"""Of a product, relative to the lengths, for each of the dimensions in float32."""


class Neighbours(NamedTuple):
    """The nearest rows of each query, the nearest first, of equal ones the first."""

    squared: Float[Tensor, "q k"]
    """Squared Euclidean distances."""
    rows: Int[Tensor, "q k"]


def nearest_rows(
    queries: Float[Tensor, "q d"],
    rows: Float[Tensor, "m d"],
    count: int = 1,
    allowed: Allowed | None = None,
    first_pass: torch.dtype | None = None,
) -> Neighbours:
    """Return the nearest rows of each query.

    Args:
        queries: in float32.
        rows: likewise.
        count: how many; all rows if they are fewer.
        allowed: tells of a slice of queries and one of rows which pairs may be; where a query
            may have too few, distances are infinite.
        first_pass: in what products are computed; by default bfloat16 where that is native.
    """
    if torch.compiler.is_compiling() and allowed is None:
        return _in_a_graph(queries, rows, min(count, len(rows)))
    native = computes_bfloat16(queries.device)
    search = _RowSearch(rows, min(count, len(rows)), allowed, first_pass or _type(native))
    found = [
        search(queries[start : start + SEARCHED], start)
        for start in range(0, len(queries), SEARCHED)
    ]
    return Neighbours(*map(torch.cat, zip(*found, strict=True)))


def _in_a_graph(
    queries: Float[Tensor, "q d"], rows: Float[Tensor, "m d"], count: int
) -> Neighbours:
    """Return the same but for ties, without choices that a graph cannot make.

    One product tells which rows are the nearest, so that of almost equal ones another may come
    first; distances are those of differences.
    """
    halves = rows.square().sum(1) / 2
    found = (queries @ rows.T - halves).topk(count, dim=1).indices
    squared = (queries[:, None] - rows[found]).square().sum(2)
    return Neighbours(squared, found)


def _type(native: bool) -> torch.dtype:
    return torch.bfloat16 if native else torch.float32


class _RowSearch:
    def __init__(
        self, rows: Float[Tensor, "m d"], count: int, allowed: Allowed | None, first: torch.dtype
    ) -> None:
        self.rows, self.count, self.allowed, self.first = rows, count, allowed, first
        self.halves = rows.square().sum(1) / 2
        self.groups = -(-len(rows) // GROUP)
        self.exact = torch.float32 if rows.device.type == "mps" else torch.float64

    def __call__(self, queries: Float[Tensor, "q d"], start: int) -> Neighbours:
        least = self._least_of_groups(queries, start)
        bound = least.kthvalue(min(self.count, self.groups), dim=1).values
        if self.groups < self.count:
            bound = torch.full_like(bound, torch.inf)
        candidates = least <= (bound + 2 * self._rounding(queries))[:, None]
        found = self._in_groups(queries, candidates, start)
        differences = [queries - self.rows[k] for k in found.clamp_min(0).T]
        squared = torch.stack([each.square().sum(1) for each in differences], 1)
        return Neighbours(squared.masked_fill(found < 0, torch.inf), found)

    def _rounding(self, queries: Float[Tensor, "q d"]) -> Float[Tensor, " q"]:
        """Return by how much a product of each may be wrong."""
        longest = (2 * self.halves.max()).sqrt()
        each = ROUNDING[self.first] * (queries.shape[1] if self.first == torch.float32 else 1)
        return each * longest * (queries.square().sum(1).sqrt() + longest)

    def _least_of_groups(
        self, queries: Float[Tensor, "q d"], start: int
    ) -> Float[Tensor, "q groups"]:
        least = queries.new_empty(len(queries), self.groups)
        halves, rows, some = (t.to(self.first) for t in (self.halves, self.rows, queries))
        buffer = halves.new_empty(QUERIES * ROWS)
        for q in _slices(len(queries), QUERIES):
            for r in _slices(len(rows), ROWS):
                shape = (q.stop - q.start, r.stop - r.start)
                products = buffer[: shape[0] * shape[1]].view(shape)
                torch.addmm(halves[r], some[q], rows[r].T, alpha=-1, out=products)
                if self.allowed:
                    products.masked_fill_(~self._allowed(q, r, start), torch.inf)
                first, whole = r.start // GROUP, products.shape[1] // GROUP * GROUP
                least[q, first : first + whole // GROUP] = (
                    products[:, :whole].unflatten(1, (-1, GROUP)).amin(2)
                )
                if whole < products.shape[1]:  # the last group of all is shorter
                    least[q, -1] = products[:, whole:].amin(1)
        return least

    def _in_groups(
        self, queries: Float[Tensor, "q d"], candidates: Bool[Tensor, "q groups"], start: int
    ) -> Int[Tensor, "q k"]:
        """Return the nearest rows of those in each query's candidate groups, -1 for none."""
        queries = queries.to(self.exact)
        best = queries.new_full((len(queries), self.count), torch.inf)
        found = torch.full_like(best, -1, dtype=torch.long)
        for group in range(self.groups):
            asking = candidates[:, group].nonzero()[:, 0]
            if not len(asking):
                continue
            r = slice(group * GROUP, min((group + 1) * GROUP, len(self.rows)))
            rows = self.rows[r].to(self.exact)
            values = torch.addmm(rows.square().sum(1) / 2, queries[asking], rows.T, alpha=-1)
            if self.allowed:
                whole = self._allowed(slice(0, len(queries)), r, start)
                values.masked_fill_(~whole[asking], torch.inf)
            numbers = torch.arange(r.start, r.stop, device=rows.device).expand_as(values)
            numbers = numbers.where(values < torch.inf, -1)
            values = torch.cat([best[asking], values], 1)
            numbers = torch.cat([found[asking], numbers], 1)
            order = _least(values, self.count)
            best[asking], found[asking] = values.gather(1, order), numbers.gather(1, order)
        return found

    def _allowed(self, q: slice, r: slice, start: int) -> Bool[Tensor, "q m"]:
        assert self.allowed is not None
        return self.allowed(slice(start + q.start, start + q.stop), r)


def _least(values: Float[Tensor, "q m"], count: int) -> Int[Tensor, "q k"]:
    """Return where the least of each query are, of equal ones the first."""
    if count == 1:  # sorting takes ten times as long
        return values.min(1, keepdim=True).indices
    return values.sort(dim=1, stable=True).indices[:, :count]


def _slices(length: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, length)) for start in range(0, length, step)]
