"""What is remembered of cells of a level: rows, where each is from, how they were whitened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from vlmad.errors import InputError, one_line
from vlmad_memory.whitening import Whitening

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float, Int
    from torch import Tensor

    from vlmad import Regions

IMAGES = "images"
"""Under which the references' own embeddings are remembered."""
NEARLY = 1e-3
"""How far from 1 or 0 the length of a row that is to be compared by its direction may be."""


@dataclass(frozen=True, slots=True)
class PatchMemory:
    """The remembered cells of one level."""

    rows: Float[Tensor, "m d"]
    """Whitened if they are, and of unit length if directions are compared."""
    origins: Int[Tensor, "m 2"]
    """Of each the number of the reference, and of its cell there."""
    whitening: Whitening | None = None

    def stored(self, name: str) -> dict[str, Tensor]:
        """Return it as named tensors."""
        tensors = {f"{name}.rows": self.rows, f"{name}.origins": self.origins}
        if self.whitening is not None:
            tensors |= {
                f"{name}.mean": self.whitening.mean,
                f"{name}.matrix": self.whitening.matrix,
            }
        return tensors

    @classmethod
    def read(cls, memory: Mapping[str, Tensor], name: str) -> PatchMemory:
        """Return that of a level."""
        whitening = None
        if f"{name}.matrix" in memory:
            whitening = Whitening(memory[f"{name}.mean"], memory[f"{name}.matrix"])
        return cls(memory[f"{name}.rows"], memory[f"{name}.origins"], whitening)

    @classmethod
    def for_level(cls, memory: Mapping[str, Tensor], regions: Regions) -> PatchMemory:
        """Return what is remembered of the cells of such a level.

        Raises:
            InputError: it is nothing, or of other cells.
        """
        if f"{regions.name}.rows" not in memory:
            raise InputError(f"nothing of {regions.name} is remembered: fit the detector again")
        found, (cells, width) = cls.read(memory, regions.name), regions.embeddings.shape[1:]
        wide = found.rows if found.whitening is None else found.whitening.matrix.T
        if wide.shape[1] != width or int(found.origins[:, 1].max()) >= cells:
            raise InputError(
                f"what is remembered of {regions.name} is no part of {cells} cells of {width} "
                "numbers: fit the detector again"
            )
        return found


def refused(memory: Mapping[str, Tensor], directions: bool, whitened: bool) -> str | None:
    """Return what is no memory of cells of levels.

    Args:
        memory: as it was stored.
        directions: whether rows have to be of unit length, or zero.
        whitened: whether there has to be a whitening.
    """
    images = memory.get(IMAGES)
    if images is None or not _is_matrix(images):
        return f"'{IMAGES}' is no list of embeddings"
    levels = [name.removesuffix(".rows") for name in memory if name.endswith(".rows")]
    of_each = ["rows", "origins", *(["mean", "matrix"] if whitened else [])]
    expected = {IMAGES} | {f"{name}.{what}" for name in levels for what in of_each}
    if not levels or memory.keys() != expected:
        odd = ", ".join(f"'{one_line(name)}'" for name in sorted(memory.keys() ^ expected)[:3])
        return f"it should hold rows of levels and nothing else; lacking or unexpected: {odd}"
    for name in levels:
        level = PatchMemory.read(memory, name)
        fault = _fault(level, len(images), directions)
        if fault:
            return f"of '{one_line(name)}' {fault}"
    return None


def _fault(level: PatchMemory, images: int, directions: bool) -> str | None:
    rows, origins = level.rows, level.origins
    if not _is_matrix(rows):
        return "the rows are no list of finite features"
    lengths = rows.norm(dim=1)
    if directions and not bool(torch.minimum((lengths - 1).abs(), lengths).le(NEARLY).all()):
        return "the rows are not of unit length"
    shape = (len(rows), 2)
    if origins.dtype != torch.int64 or tuple(origins.shape) != shape or bool((origins < 0).any()):
        return "the origins are not a reference and a cell for each row"
    if int(origins[:, 0].max()) >= images:
        return "the origins are of references that are not there"
    if level.whitening is not None:
        mean, matrix = level.whitening
        fits = _is_matrix(matrix) and mean.ndim == 1 and _is_matrix(mean[None])
        if not fits or matrix.shape != (len(mean), rows.shape[1]):
            return "the whitening is not that of its rows"
    return None


def _is_matrix(tensor: Tensor) -> bool:
    whole = tensor.dtype == torch.float32 and tensor.ndim == 2 and min(tensor.shape) > 0
    return whole and bool(torch.isfinite(tensor).all())
