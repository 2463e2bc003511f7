"""What a model of timm gives: found by a trial of its shapes, before any weight is read.

One way serves all: timm's models run to any of their intermediate features by themselves
(`forward_intermediates`), drop class and register tokens, and know how their positions meet
another image size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from vlmad import LevelSpec
from vlmad.errors import OptionError, WeightsError, did_you_mean, reason_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float
    from torch import Tensor

NORMED = "normed"
"""The level of a transformer's last tokens after its final norm."""
POOLED = ""
"""The features that the model pools before its classifier, which are no level."""
MIDDLE_STRIDES = (8, 16)
"""Of the levels of a pyramid that comparisons read (PatchCore's layer2 and layer3)."""


@dataclass(frozen=True, slots=True)
class TimmFacts:
    """What is known of a model at an image size."""

    config: Mapping[str, Any]
    """How timm says that its published weights are had, and what images they want."""
    size: tuple[int, int]
    levels: Mapping[str, LevelSpec]
    middle: tuple[str, ...]
    width: int
    """Of its pooled features."""


def create_model(name: str, device: str = "cpu") -> Any:
    """Build an architecture without a classifier, with values that mean nothing.

    Args:
        name: as timm lists it, with or without the tag of published weights.
        device: `meta` for names and shapes alone.

    Raises:
        WeightsError: timm has no such model, or it gives no features of its layers.
    """
    import timm

    if not timm.is_model(name):
        hint = did_you_mean(name.partition(".")[0], timm.list_models())
        raise WeightsError(f"timm knows no model '{name}'; {hint[:200]}")
    try:
        with torch.random.fork_rng(devices=[]), torch.device(device):  # initial values are random
            model = timm.create_model(name, num_classes=0).eval().requires_grad_(False)
    except Exception as error:  # whatever its classes raise, such as for an unknown tag
        raise WeightsError(f"timm cannot build {name}: {reason_of(error)}") from error
    if not hasattr(model, "forward_intermediates"):
        raise WeightsError(f"timm's {name} gives no features of its layers")
    return model


def set_size(model: Any, size: tuple[int, int]) -> None:
    """Make a model ready for images of a size; positions are interpolated as timm does it."""
    if tuple(model.pretrained_cfg["input_size"][1:]) != size and hasattr(model, "set_input_size"):
        model.set_input_size(size)


def find_facts(name: str, image_size: tuple[int, ...] | None) -> TimmFacts:
    """Return what a model gives at an image size; nothing is computed.

    Raises:
        WeightsError: timm has no such model, or it gives no features of its layers.
        OptionError: it gives none of images of that size.
    """
    model = create_model(name, "meta")
    size = _whole_patches(model, image_size)
    try:
        set_size(model, size)
        with torch.inference_mode():
            final, maps = model.forward_intermediates(torch.empty(1, 3, *size, device="meta"))
            pooled = model.forward_head(final, pre_logits=True)
        specs = [LevelSpec((each.shape[2], each.shape[3]), each.shape[1]) for each in maps]
    except Exception as error:  # of the model's own
        height, width = size
        raise OptionError(
            f"timm's {name} gives no features of images of {height} x {width} pixels "
            f"({reason_of(error)}); try another --set backbone.image_size, or another model"
        ) from error
    levels = dict(zip(_names(model, len(specs)), specs, strict=True))
    cells = specs[-1].grid[0] * specs[-1].grid[1]
    if _has_blocks(model) and final.shape[1:-1] == (model.num_prefix_tokens + cells,):
        levels[NORMED] = specs[-1]
    middle = _middle_blocks(model, levels) if _has_blocks(model) else _middle_stages(size, levels)
    return TimmFacts(model.pretrained_cfg, size, levels, middle, pooled.flatten(1).shape[1])


def _whole_patches(model: Any, given: tuple[int, ...] | None) -> tuple[int, int]:
    """Return height and width of the images, rounded down to whole patches."""
    if given is None:
        _, height, width = model.pretrained_cfg["input_size"]
        return height, width
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", (1, 1))
    size = (given[0] - given[0] % patch[0], given[-1] - given[-1] % patch[1])
    if min(size) == 0:
        raise OptionError(f"image_size must be at least one patch, {max(patch)} pixels")
    return size


def _has_blocks(model: Any) -> bool:
    """Return whether levels are blocks over one grid of tokens, not stages of a pyramid."""
    return isinstance(getattr(model, "num_prefix_tokens", None), int) and hasattr(model, "blocks")


def _names(model: Any, count: int) -> list[str]:
    """Return the numbers of blocks from 1, or a pyramid's stages as timm names them."""
    stages = [str(each["module"]) for each in getattr(model, "feature_info", [])]
    if _has_blocks(model) or len(set(stages)) != count:
        return [str(number) for number in range(1, count + 1)]
    return stages


def _middle_stages(size: tuple[int, int], levels: Mapping[str, LevelSpec]) -> tuple[str, ...]:
    strides = {name: round(size[0] / level.grid[0]) for name, level in levels.items()}
    found = {stride: name for name, stride in strides.items() if stride in MIDDLE_STRIDES}
    return tuple(found.values()) or tuple(levels)[-2:]


def _middle_blocks(model: Any, levels: Mapping[str, LevelSpec]) -> tuple[str, ...]:
    """Return the last tokens, if the model was never trained to classify by them (AnomalyDINO).

    Of others, whose last blocks know classes and little else, two blocks in the middle.
    """
    if NORMED in levels and model.pretrained_cfg.get("num_classes") == 0:
        return (NORMED,)
    depth = len(model.blocks)
    numbers = (max(1, depth // 2), max(1, 3 * depth // 4))
    return tuple(dict.fromkeys(map(str, numbers)))


def run(
    model: Any,
    pixels: Float[Tensor, "b 3 h w"],
    wanted: set[str],
    levels: Mapping[str, LevelSpec],
) -> dict[str, Tensor]:
    """Return the wanted levels (b, gh, gw, c), and pooled features (b, d) if they are wanted.

    Blocks after the deepest level are not run unless what comes after them all is wanted.
    """
    names = [name for name in levels if name != NORMED]
    inner = [index for index, name in enumerate(names) if name in wanted] or [len(names) - 1]
    whole = not wanted <= set(names)
    answer: Any = model.forward_intermediates(
        pixels, inner, stop_early=not whole, intermediates_only=not whole
    )
    final, maps = answer if whole else (answer[-1], answer)
    found = {names[i]: each.permute(0, 2, 3, 1) for i, each in zip(inner, maps, strict=True)}
    if NORMED in wanted:
        found[NORMED] = final[:, model.num_prefix_tokens :].unflatten(1, levels[NORMED].grid)
    if POOLED in wanted:
        found[POOLED] = model.forward_head(final, pre_logits=True).flatten(1)
    return {name: found[name].float().contiguous() for name in wanted}
