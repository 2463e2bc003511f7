"""What is asked of a backbone, and what each part is handed: what it names in `needs`."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import torch

from vlmad import parts as words
from vlmad.assembly import GIVERS
from vlmad.regions import tile_boxes, window_cells
from vlmad.types import ClassToken, Level, Patches, Tiles, Windows

if TYPE_CHECKING:
    from collections.abc import Collection

    from vlmad.types import BackboneSpec, Features, Request


def word_of(request: Request) -> str | None:
    """Return the word for what a backbone must provide to answer a request; None if any can."""
    if isinstance(request, Windows):
        return words.SHARED_WINDOWS if request.encoding == "shared" else words.TOKEN_WINDOWS
    own = {Patches: words.PATCH_TOKENS, Tiles: words.IMAGE_TILES, Level: words.LEVELS}
    return own.get(type(request))


def shape_of(request: Request, spec: BackboneSpec, images: int) -> tuple[int, ...]:
    """Return the shape of the answer to a request."""
    if isinstance(request, Patches):
        width = spec.embedding_dim if request.stage == "projected" else spec.vision_width
        return images, spec.grid[0] * spec.grid[1], width
    if isinstance(request, Level):
        level = spec.levels[request.name]
        return images, *level.grid, level.width
    regions = () if isinstance(request, ClassToken) else (_count_of(request, spec.grid),)
    return images, *regions, spec.embedding_dim


@cache
def _count_of(request: Windows | Tiles, grid: tuple[int, int]) -> int:
    if isinstance(request, Windows):
        return len(window_cells(grid, request.size))
    return len(tile_boxes(request.grid, request.overlap))


def not_named(needs: Collection[str]) -> list[str]:
    """Return what of features and text `needs` does not name; a word not vlmad's own names all."""
    if not {*needs} <= GIVERS.keys():
        return []
    any_of = {
        words.CLASS_TOKEN: {words.CLASS_TOKEN, words.CELLS},
        words.REGIONS: {words.REGIONS, words.PATCHES, words.CELLS},
        words.TEXT: {words.TEXT},
    }
    return [word for word, named in any_of.items() if not named & {*needs}]


def only_named(features: Features, needs: Collection[str]) -> Features:
    """Return features without what `needs` does not name: no regions, NaN for the whole image."""
    lacking = not_named(needs)
    if words.REGIONS in lacking:
        features = replace(features, regions=())
    if words.CLASS_TOKEN in lacking:
        nothing = features.image.new_full((), torch.nan)
        features = replace(features, image=nothing.expand_as(features.image))
    return features
