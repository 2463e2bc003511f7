"""The extractor of raw patch features."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from annotated_types import Ge, Le

from vlmad import ClassToken, Extractor, Features, Level, Regions
from vlmad.errors import OptionError, did_you_mean
from vlmad.parts import CELLS, LEVELS
from vlmad.regions import patch_cells
from vlmad_memory.cell_grids import (
    Alignment,
    concatenated,
    neighbourhood_mean,
    pooled_neighbourhoods,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad import Attention, BackboneSpec, Request, VisualFeatures
    from vlmad_memory.cell_grids import CellGrid

LAST = "last"


def odd(number: int) -> int:
    """Return an odd number as it is; a neighbourhood has a middle.

    Raises:
        ValueError: it is even.
    """
    if number % 2 == 0:
        raise ValueError(number)
    return number


class PatchFeatures(Extractor):
    """Raw features of levels of the backbone, each a grid of cells; no text judges them.

    Args:
        levels: which; by default those that the backbone calls its middle ones, of which `last`
            is the last.
        standardised: whether channels are standardised by public statistics; auto where the
            backbone has them.
        neighbourhood: the side, an odd number of cells, over which each is averaged.
        outside: whether cells outside of the grid count as zeros there (PatchCore) or are
            left-out.
        joining: whether levels are kept apart, or become one on the finest grid: concatenated;
            averaged, where all have one grid and width (SubspaceAD); or pooled to one width with
            their neighbourhoods (PatchCore's authors).
        alignment: how coarser levels are brought to the finest grid.
        width: of cells that are pooled.
        image: what stands for the whole image: the mean over the cells of the last level, or the
            backbone's class-token, which may cost a pass of its own.
    """

    needs = frozenset({LEVELS})
    gives = frozenset({CELLS})

    def __init__(
        self,
        levels: tuple[str, ...] | None = None,
        standardised: Literal["auto", "yes", "no"] = "auto",
        neighbourhood: Annotated[int, Ge(1), Le(15), odd] = 1,
        outside: Literal["zeros", "left-out"] = "left-out",
        joining: Literal["apart", "concatenated", "averaged", "pooled"] = "apart",
        alignment: Alignment = "bilinear",
        width: Annotated[int, Ge(1), Le(65536)] = 1024,
        image: Literal["pooled", "class-token"] = "pooled",
    ) -> None:
        self.levels, self.standardised, self.neighbourhood = levels, standardised, neighbourhood
        self.outside, self.joining, self.alignment = outside, joining, alignment
        self.width, self.image = width, image

    def requests(
        self, spec: BackboneSpec, attention: Attention, class_token: Literal["normed", "raw"]
    ) -> Sequence[Request]:
        """Ask for each level, and for the class token if it stands for the image."""
        names = dict.fromkeys(self._name(name, spec) for name in self.levels or spec.middle)
        if self.joining == "averaged":
            shapes = {(spec.levels[name].grid, spec.levels[name].width) for name in names}
            if len(shapes) > 1:
                raise OptionError(
                    f"levels {', '.join(names)} of {spec.name} differ in grid or width and cannot "
                    "be averaged: set extractor.joining to concatenated"
                )
        levels: list[Request] = [self._request(name, spec) for name in names]
        return [*levels, ClassToken()] if self.image == "class-token" else levels

    def _name(self, name: str, spec: BackboneSpec) -> str:
        if name in spec.levels:
            return name
        if name == LAST and spec.middle:
            return spec.middle[-1]
        raise OptionError(f"{spec.name} has no level '{name}'; {did_you_mean(name, spec.levels)}")

    def _request(self, name: str, spec: BackboneSpec) -> Level:
        statistics = spec.levels[name].statistics
        if self.standardised == "yes" and not statistics:
            raise OptionError(f"{spec.name} has no public statistics of level '{name}'")
        return Level(name, statistics and self.standardised != "no")

    def __call__(self, visual: VisualFeatures) -> Features:
        """Give the cells of each level, or of all together."""
        asked = [request for request in visual.tensors if isinstance(request, Level)]
        names, grids = [each.name for each in asked], [visual[each] for each in asked]
        image = grids[-1].flatten(1, 2).mean(1)
        if self.image == "class-token":
            image = visual[ClassToken()]
        if self.joining == "apart":
            levels = [
                _regions(f"level {name}", self._averaged_around(cells))
                for name, cells in zip(names, grids, strict=True)
            ]
        else:
            levels = [_regions(f"levels {' + '.join(names)}", self._joined(grids))]
        return Features(image, tuple(levels), visual.grid, visual.image_size)

    def _averaged_around(self, cells: CellGrid) -> CellGrid:
        return neighbourhood_mean(cells, self.neighbourhood, self.outside == "zeros")

    def _joined(self, levels: Sequence[CellGrid]) -> CellGrid:
        grid = max(((g.shape[1], g.shape[2]) for g in levels), key=math.prod)
        if self.joining == "pooled":
            return pooled_neighbourhoods(levels, grid, self.neighbourhood, self.width)
        averaged = [self._averaged_around(cells) for cells in levels]
        if self.joining == "averaged":
            return torch.stack(averaged).mean(0)
        return concatenated(averaged, grid, self.alignment)


def _regions(name: str, cells: CellGrid) -> Regions:
    grid = (cells.shape[1], cells.shape[2])
    places = patch_cells(grid).to(cells.device)
    return Regions(name, cells.flatten(1, 2), places, aligned=False, grid=grid)
