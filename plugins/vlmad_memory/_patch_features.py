"""The extractor of raw patch features."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from annotated_types import Ge, Le

from vlmad import ClassToken, Extractor, Features, Level, Regions
from vlmad.errors import OptionError, did_you_mean
from vlmad.parts import CELLS, LEVELS
from vlmad.regions import patch_cells
from vlmad_documents.learned_file import LearnedOn
from vlmad_memory.cell_adapters import adapted, draw_adapters, levels_of, read_adapters
from vlmad_memory.cell_grids import (
    Alignment,
    concatenated,
    neighbourhood_mean,
    pooled_neighbourhoods,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from vlmad import Attention, Backbone, BackboneSpec, Request, VisualFeatures
    from vlmad_memory.cell_grids import CellGrid

LAST = "last"
STANDARDISED = "standardised"


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
        file: learned adapters of levels, through which cells go first; other levels stay as they
            are.
        any_weights: take them on other weights of the same widths than they were learned on.
        hidden: numbers between both layers of new adapters, for `vlmad train`.
    """

    needs = frozenset({LEVELS})
    gives = frozenset({CELLS})
    loss = "spd"

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
        file: Path | None = None,
        any_weights: bool = False,
        hidden: Annotated[int, Ge(1), Le(4096)] = 64,
    ) -> None:
        self.levels, self.standardised, self.neighbourhood = levels, standardised, neighbourhood
        self.outside, self.joining, self.alignment = outside, joining, alignment
        self.width, self.image, self.hidden = width, image, hidden
        self.file, self.any_weights, self._standardised = file, any_weights, "no"
        self.adapters: dict[str, Tensor] = {}
        self.learned_on = LearnedOn(name="itself")
        if file is not None:
            self.adapters, said = read_adapters(file)
            self.learned_on = said.backbone
            self._standardised = said.facts.get(STANDARDISED, "no")

    def refuses_weights(self, backbone: Backbone) -> str | None:
        """Return that adapters are of another backbone or, unless any will do, other weights."""
        if self.any_weights or not self.adapters:
            return None
        reason = self.learned_on.refuses_weights(backbone)
        hint = "learn them anew, or add --set extractor.any_weights=true"
        return f"{reason}; {hint}" if reason else None

    def learnable(self, spec: BackboneSpec, seed: int) -> Mapping[str, Tensor]:
        """Return adapters of its levels; see `vlmad_documents.learned_file.Learns`."""
        if self.file is None:
            asked = [self._request(name, spec) for name in self._names(spec)]
            self._standardised = "yes" if any(each.standardised for each in asked) else "no"
            widths = {each.name: spec.levels[each.name].width for each in asked}
            self.adapters = draw_adapters(widths, self.hidden, seed)
        return self.adapters

    def facts(self) -> Mapping[str, str]:
        """Return whether the cells were standardised."""
        return {STANDARDISED: self._standardised}

    def requests(
        self, spec: BackboneSpec, attention: Attention, class_token: Literal["normed", "raw"]
    ) -> Sequence[Request]:
        """Ask for each level, and for the class token if it stands for the image."""
        names = self._names(spec)
        if self.joining == "averaged":
            shapes = {(spec.levels[name].grid, spec.levels[name].width) for name in names}
            if len(shapes) > 1:
                raise OptionError(
                    f"levels {', '.join(names)} of {spec.name} differ in grid or width and cannot "
                    "be averaged: set extractor.joining to concatenated"
                )
        levels = [self._request(name, spec) for name in names]
        if self.adapters:
            self._check_adapters(levels, spec)
        return [*levels, ClassToken()] if self.image == "class-token" else levels

    def _check_adapters(self, asked: Sequence[Level], spec: BackboneSpec) -> None:
        widths, levels = levels_of(self.adapters), {each.name for each in asked}
        if not widths.keys() & levels:
            own, shown = ", ".join(widths), ", ".join(sorted(levels))
            raise OptionError(f"{self.file} has adapters of levels {own}, not of {shown}")
        for each in asked:
            width = spec.levels[each.name].width
            if widths.get(each.name, width) != width:
                learned = f"learned cells of width {widths[each.name]}, {spec.name} has {width}"
                raise OptionError(f"the adapter of level {each.name} {learned}")
        now = "yes" if any(each.standardised for each in asked) else "no"
        if now != self._standardised:
            word = "standardised" if self._standardised == "yes" else "raw"
            hint = f"--set extractor.standardised={self._standardised}"
            raise OptionError(f"adapters were learned on {word} cells: add {hint}")

    def _names(self, spec: BackboneSpec) -> list[str]:
        return [*dict.fromkeys(self._name(name, spec) for name in self.levels or spec.middle)]

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
        names = [each.name for each in asked]
        grids = [adapted(visual[each], each.name, self.adapters) for each in asked]
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
