"""Building open_clip's models, and random weights for them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

from vlmad.errors import WeightsError, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from vlmad_openclip._model_source import ModelSource


def build_model(source: ModelSource, device: str = "meta") -> Any:
    """Build the architecture with open_clip's classes, without any weights.

    Args:
        source: its configuration.
        device: by default none: names and shapes, in a moment, until `fill` gives them values.
    """
    from open_clip.model import CLIP, CustomTextCLIP

    config = copy.deepcopy(dict(source.config))
    custom = config.pop("custom_text", False) or "hf_model_name" in config["text_cfg"]
    if "multimodal_cfg" in config:
        raise WeightsError(f"{source.name} is a captioning model (CoCa), which is not supported")
    if "hf_model_name" in config["text_cfg"]:
        config["text_cfg"]["hf_model_pretrained"] = False
    try:
        with torch.device(device):
            return (CustomTextCLIP if custom else CLIP)(**config)
    except Exception as error:  # whatever its classes make of an odd configuration
        raise WeightsError(f"open_clip cannot build {source.name}: {reason_of(error)}") from error


def random_weights(state: Mapping[str, Tensor], seed: int) -> Iterator[tuple[str, Tensor]]:
    """Yield seeded weights for a model by name, whose activations stay in a usable range."""
    generator = torch.Generator().manual_seed(seed)
    for name, own in state.items():
        if own.ndim >= 2 or name.endswith("class_embedding"):
            scale = 1.0 if "embedding" in name else own.shape[-1] ** -0.5
            yield name, torch.randn(own.shape, generator=generator, device="cpu").mul_(scale)
        else:
            yield name, torch.full(own.shape, float(not name.endswith("bias")), device="cpu")
