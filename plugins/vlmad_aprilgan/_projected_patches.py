"""The extractor whose patches of each layer go through a learned linear map.

The file holds of each layer N `layer.N.weight` (d, w), from the width of patches to that of the
text, and `layer.N.bias` (d).
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import torch
import torch.nn.functional as F
from annotated_types import Ge, Len

from vlmad import ClassToken, Extractor, Features, Patches, Regions
from vlmad.errors import OptionError, WeightsError
from vlmad.options import in_order
from vlmad.parts import CLASS_TOKEN, PATCH_TOKENS, PATCHES, REGIONS
from vlmad.regions import patch_cells
from vlmad_documents.learned_file import LearnedOn, read_learned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from vlmad import Attention, Backbone, BackboneSpec, Request, VisualFeatures

Depths: TypeAlias = Annotated[tuple[Annotated[int, Ge(1)], ...], Len(1, 64), in_order]
NAME = re.compile(r"layer\.([1-9][0-9]{0,2})\.(weight|bias)")


class ProjectedPatches(Extractor):
    """Patches of several layers, brought to the text's space by a linear map each (APRIL-GAN).

    As they were, they come along for references; text is not compared with them.

    Args:
        file: a file of learned maps, which knows its layers.
        any_weights: take the maps on other weights of the same widths than they were learned on.
        anew: whether, without a file, they are drawn at random, to be learned: `vlmad train` sets
            it.
        layers: whose patches new maps are of; by default those at each quarter of the blocks, of
            24 blocks 6, 12, 18 and 24.
    """

    needs = frozenset({PATCH_TOKENS})
    gives = frozenset({CLASS_TOKEN, REGIONS, PATCHES})
    loss = "april-gan"

    def __init__(
        self,
        file: Path | None = None,
        any_weights: bool = False,
        anew: bool = False,
        layers: Depths | None = None,
    ) -> None:
        if file is None and not anew:
            raise OptionError(
                "extractor 'projected' needs a file of learned maps: vlmad train DATA --detector "
                "april-gan --out FILE, then --extractor projected:FILE"
            )
        self.file, self.layers, self.any_weights = file, layers, any_weights
        self.maps, self.learned_on = read_maps(file) if file else ({}, LearnedOn(name="itself"))

    def refuses_weights(self, backbone: Backbone) -> str | None:
        """Return that the maps are of another backbone or, unless any will do, other weights."""
        reason = self.learned_on.refuses(backbone.spec)
        if reason or self.any_weights:
            return reason
        reason = self.learned_on.refuses_weights(backbone)
        hint = "learn them anew, or add --set extractor.any_weights=true"
        return f"{reason}; {hint}" if reason else None

    def learnable(self, spec: BackboneSpec, seed: int) -> Mapping[str, Tensor]:
        """Return weights and biases; see `vlmad_documents.learned_file.Learns`."""
        if self.file is None:
            layers = self.layers or in_order(math.ceil(spec.depth * n / 4) for n in range(1, 5))
            self.maps = draw_maps(layers, spec.vision_width, spec.embedding_dim, seed)
        return self.maps

    def facts(self) -> Mapping[str, str]:
        """Return nothing: the names of the tensors tell the layers."""
        return {}

    def requests(
        self, spec: BackboneSpec, attention: Attention, class_token: Literal["normed", "raw"]
    ) -> Sequence[Request]:
        """Ask for the class token and the patches of each layer, as the block leaves them."""
        maps = self.maps or self.learnable(spec, seed=0)
        path: Literal["plain", "beside"] = "beside" if attention.path == "beside" else "plain"
        layers = in_order(map(layer_of, maps))
        patches = [Patches(spec.layer(number), path, "raw") for number in layers]
        return [ClassToken(class_token == "normed"), *patches]

    def __call__(self, visual: VisualFeatures) -> Features:
        """Make each patch of each layer a region of one cell, through its map and as it was."""
        projected, plain = [], []
        for request, tensor in visual.tensors.items():
            if isinstance(request, ClassToken):
                image = tensor
            elif isinstance(request, Patches):
                name, cells = f"layer {request.layer}", patch_cells(visual.grid).to(tensor.device)
                own = (self.maps[f"layer.{request.layer}.{each}"] for each in ("weight", "bias"))
                through = F.linear(tensor, *(each.to(tensor) for each in own))
                projected.append(Regions(name, through, cells))
                plain.append(Regions(f"{name} as it is", tensor, cells, aligned=False))
        return Features(image, (*projected, *plain), visual.grid, visual.image_size)


def draw_maps(layers: Sequence[int], width: int, dimensions: int, seed: int) -> dict[str, Tensor]:
    """Draw maps as torch draws those of linear layers."""
    generator, most = torch.Generator().manual_seed(seed), width**-0.5
    maps = {}
    with torch.inference_mode(False):  # or they could never be learned
        for layer in layers:
            for name, shape in (("weight", (dimensions, width)), ("bias", (dimensions,))):
                values = torch.empty(shape).uniform_(-most, most, generator=generator)
                maps[f"layer.{layer}.{name}"] = values
    return maps


def read_maps(path: Path) -> tuple[dict[str, Tensor], LearnedOn]:
    """Read and check a file of learned maps.

    Raises:
        WeightsError: it is missing, damaged, or lacks what it must hold.
    """
    maps, file = read_learned(path, "extractor", "projected")
    unknown = sorted(name for name in maps if not NAME.fullmatch(name))
    layers = [] if unknown else in_order(map(layer_of, maps))
    weights = [maps.get(f"layer.{layer}.weight") for layer in layers]
    biases = [maps.get(f"layer.{layer}.bias") for layer in layers]
    shapes = {tuple(weight.shape) for weight in weights if weight is not None}
    shape = shapes.pop() if len(shapes) == 1 else ()
    if unknown or len(maps) != 2 * len(layers) or len(shape) != 2:
        raise WeightsError(f"{path} holds no maps: layer.N.weight of one shape, layer.N.bias")
    dimensions, width = shape
    if any(bias is None or tuple(bias.shape) != (dimensions,) for bias in biases):
        raise WeightsError(f"{path}: a bias must have {dimensions} numbers, as its weight has rows")
    widths = {"vision_width": width, "embedding_dim": dimensions}
    return maps, file.backbone.model_copy(update=widths)


def layer_of(name: str) -> int:
    """Return the layer of a tensor's name."""
    return int(name.split(".")[1])
