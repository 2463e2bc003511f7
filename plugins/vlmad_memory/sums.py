"""Sums of cells, of which Gaussians and principal components are made.

They are exact under addition: the sums of two sets of references together are those of all, in
whatever order, and of ordinary features to the last bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from vlmad.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Bool, Float
    from torch import Tensor

GRAIN = 2.0**-40
"""What sums are multiples of: additions of such doubles are not rounded, up to 8,192."""
PARTS = ("count", "sum", "products")


def sums_of(
    name: str, cells: Float[Tensor, "b r d"], counted: Bool[Tensor, "b r"] | None = None
) -> dict[str, Tensor]:
    """Return the number of cells, their sum and the sum of their outer products.

    Args:
        name: of the level; the sums are called after it.
        cells: of all images.
        counted: which of them count, if not all do.
    """
    width = cells.shape[-1]
    sums = [torch.zeros(shape, dtype=torch.float64) for shape in ((), (width,), (width, width))]
    count, total, products = (each.to(cells.device) for each in sums)
    for index, image in enumerate(cells.double()):  # one by one: products depend on the shape
        kept = image if counted is None else image[counted[index]]
        count += len(kept)
        total += _in_grains(kept.sum(0))
        products += _in_grains(kept.T @ kept)
    parts = (count, total, products)
    return {f"{name} {part}": value for part, value in zip(PARTS, parts, strict=True)}


def _in_grains(values: Tensor) -> Tensor:
    return (values / GRAIN).round() * GRAIN


def added(memory: Mapping[str, Tensor], more: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the sums over the cells of both.

    Raises:
        WeightsError: they are not of the same levels.
    """
    shapes = [{name: tensor.shape for name, tensor in each.items()} for each in (memory, more)]
    if shapes[0] != shapes[1]:
        raise WeightsError("the memories to be added are of other levels")
    return {name: tensor + more[name] for name, tensor in memory.items()}


def mean_and_covariance(
    name: str, memory: Mapping[str, Tensor], less: int = 0
) -> tuple[Float[Tensor, " d"], Float[Tensor, "d d"]]:
    """Return both in double precision.

    Args:
        name: of the level.
        memory: the sums.
        less: by how much the divisor of the covariance is smaller than the number of cells.
    """
    count, total, products = (memory[f"{name} {part}"].double() for part in PARTS)
    mean = total / count
    spread = products - count * torch.outer(mean, mean)
    return mean, spread / (count - less).clamp_min(1)


def check_level(name: str, width: int, memory: Mapping[str, Tensor]) -> None:
    """Refuse a memory that is not of a level.

    Raises:
        WeightsError: it is of other levels, or of another width.
    """
    total = memory.get(f"{name} sum")
    if total is None or total.shape != (width,):
        raise WeightsError(f"the references' memory is not of '{name}'; fit it anew")


def refuse_sums(memory: Mapping[str, Tensor]) -> str | None:
    """Return what no sums of cells are, or None if they could be some."""
    names = sorted({name.rpartition(" ")[0] for name in memory})
    if memory.keys() != {f"{name} {part}" for name in names for part in PARTS}:
        return f"it does not hold {', '.join(PARTS)} of each level"
    for name in names:
        count, total, products = (memory[f"{name} {part}"] for part in PARTS)
        shapes = (count.shape, total.shape, products.shape)
        width = total.numel()
        if shapes != ((), (width,), (width, width)) or not width:
            return f"the shapes of '{name}' are not those of a number, a sum and products"
        if any(each.dtype != torch.float64 for each in (count, total, products)):
            return f"the sums of '{name}' are not of double precision"
        if not all(bool(torch.isfinite(each).all()) for each in (count, total, products)):
            return f"the sums of '{name}' are not finite"
        if count < 1 or count != count.round():
            return f"the count of '{name}' is no number of cells"
        if not _is_covariance(mean_and_covariance(name, memory)[1], products):
            return f"the products of '{name}' are none of any cells"
    return None


def _is_covariance(covariance: Float[Tensor, "d d"], products: Float[Tensor, "d d"]) -> bool:
    """Return whether a matrix is symmetric and no variance negative, but for rounding."""
    allowed = 1e-9 * products.diagonal().abs().amax().clamp_min(1e-9)
    if not bool(((covariance - covariance.T).abs() <= allowed).all()):
        return False
    raised = covariance + allowed * torch.eye(len(covariance)).to(covariance)
    return not bool(torch.linalg.cholesky_ex(raised).info)
