"""The extractor of raw patch features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from vlmad import Extractor, Features, Level, Regions
from vlmad.errors import OptionError, did_you_mean
from vlmad.parts import CELLS, LEVELS
from vlmad.regions import patch_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad import Attention, BackboneSpec, Request, VisualFeatures


class PatchFeatures(Extractor):
    """Raw features of levels of the backbone, each a grid of cells; no text judges them.

    The image's own embedding is the mean over the cells of the last level.

    Args:
        levels: which; by default those that the backbone calls its middle ones.
        standardised: whether channels are standardised by public statistics; auto where the
            backbone has them.
    """

    needs = frozenset({LEVELS})
    gives = frozenset({CELLS})

    def __init__(
        self,
        levels: tuple[str, ...] | None = None,
        standardised: Literal["auto", "yes", "no"] = "auto",
    ) -> None:
        self.levels, self.standardised = levels, standardised

    def requests(
        self, spec: BackboneSpec, attention: Attention, class_token: Literal["normed", "raw"]
    ) -> Sequence[Request]:
        """Ask for each level."""
        return [self._request(name, spec) for name in dict.fromkeys(self.levels or spec.middle)]

    def _request(self, name: str, spec: BackboneSpec) -> Level:
        level = spec.levels.get(name)
        if level is None:
            raise OptionError(
                f"{spec.name} has no level '{name}'; {did_you_mean(name, spec.levels)}"
            )
        if self.standardised == "yes" and not level.statistics:
            raise OptionError(f"{spec.name} has no public statistics of level '{name}'")
        return Level(name, level.statistics and self.standardised != "no")

    def __call__(self, visual: VisualFeatures) -> Features:
        """Give the cells of each level."""
        regions = []
        for request, tensor in visual.tensors.items():
            assert isinstance(request, Level)
            grid = (tensor.shape[1], tensor.shape[2])
            cells = patch_cells(grid).to(tensor.device)
            name = f"level {request.name}"
            regions.append(Regions(name, tensor.flatten(1, 2), cells, aligned=False, grid=grid))
        image = regions[-1].embeddings.mean(1)
        return Features(image, tuple(regions), visual.grid, visual.image_size)
