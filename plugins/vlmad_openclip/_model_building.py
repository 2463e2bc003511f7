"""Building open_clip's models, whole or the vision tower alone, and filling them with weights."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

from vlmad.errors import OptionError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor

    from vlmad_openclip._model_source import ModelSource

RANDOM = "random:"


def build_model(source: ModelSource, with_vision: bool = True) -> Any:
    """Build the architecture with open_clip's classes, without any weights.

    Args:
        source: its configuration.
        with_vision: whether the vision tower is to be of use; if not, one block stands for it.
    """
    from open_clip.model import CLIP, CustomTextCLIP

    config = copy.deepcopy(dict(source.config))
    custom = config.pop("custom_text", False) or "hf_model_name" in config["text_cfg"]
    if "multimodal_cfg" in config:
        raise WeightsError(f"{source.name} is a captioning model (CoCa), which is not supported")
    if "hf_model_name" in config["text_cfg"]:
        config["text_cfg"]["hf_model_pretrained"] = False
    if not with_vision:
        config["vision_cfg"]["layers"] = 1
    return _build(source, CustomTextCLIP if custom else CLIP, **config)


def build_vision(source: ModelSource) -> Any:
    """Build the vision tower alone, as `build_model` would."""
    from open_clip.model import _build_vision_tower

    config = source.config
    names = ("embed_dim", "vision_cfg", "quick_gelu", "cast_dtype")
    given = {name: copy.deepcopy(config[name]) for name in names if name in config}
    return _build(source, _build_vision_tower, **given)


def _build(source: ModelSource, make: Callable[..., Any], **config: Any) -> Any:
    try:
        return make(**config)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise WeightsError(f"open_clip cannot build {source.name}: {error}") from error


def fill_from(
    own: Mapping[str, Tensor],
    whole: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    path: Path,
) -> None:
    """Copy weights into a model or a part of it, as float32.

    Args:
        own: what is filled, by its names in the whole model.
        whole: the whole model's state, of which only names and shapes matter.
        tensors: the weights, of the whole model.
        path: where they are from.

    Raises:
        WeightsError: they are of another architecture.
    """
    wrong = f"weights {path} are of another architecture"
    missing, unexpected = sorted(whole.keys() - tensors), sorted(tensors.keys() - whole)
    if missing or unexpected:
        raise WeightsError(
            f"{wrong}: {len(missing)} tensors are missing and "
            f"{len(unexpected)} are unknown, among them '{(missing or unexpected)[0]}'"
        )
    for name, tensor in tensors.items():
        scale = name == "logit_scale" and tensor.numel() == 1  # a number, or a vector of one
        if tensor.shape != whole[name].shape and not scale:
            found, wanted = tuple(tensor.shape), tuple(whole[name].shape)
            raise WeightsError(f"{wrong}: size mismatch, '{name}' is {found} and not {wanted}")
    for name, target in own.items():
        target.copy_(tensors[name].reshape(target.shape))


def fill_at_random(own: Mapping[str, Tensor], whole: Mapping[str, Tensor], seed: str) -> None:
    """Give a model or a part of it the seeded weights that the whole model would get.

    Their activations stay in a usable range.
    """
    if not seed.isdigit():
        raise OptionError(f"random weights need a seed, {RANDOM}0, not '{RANDOM}{seed}'")
    generator = torch.Generator().manual_seed(int(seed))
    for name, tensor in whole.items():
        if tensor.ndim >= 2 or name.endswith("class_embedding"):
            scale = 1.0 if "embedding" in name else tensor.shape[-1] ** -0.5
            drawn = torch.randn(tensor.shape, generator=generator, device="cpu")
            if name in own:
                own[name].copy_(drawn.mul_(scale))
        elif name.endswith("bias") and name in own:
            own[name].zero_()
