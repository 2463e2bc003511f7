"""Building open_clip's models, and filling them or a tower of theirs with weights."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

from vlmad.errors import OptionError, WeightsError, reason_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from vlmad_openclip._model_source import ModelSource

RANDOM = "random"


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


def fill(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give a model some or all of its weights, as copies of its own."""
    state = model.state_dict()
    own = {
        name: tensor.to(state[name].dtype, copy=True).reshape(state[name].shape)
        for name, tensor in tensors.items()
    }
    model.load_state_dict(own, strict=False, assign=True)


def check_architecture(
    tensors: Mapping[str, Tensor], state: Mapping[str, Tensor], path: Path
) -> None:
    """Refuse weights that are not of the architecture with a state's names and shapes.

    Raises:
        WeightsError: so it is.
    """
    wrong = f"weights {path} are of another architecture"
    missing, unexpected = sorted(state.keys() - tensors), sorted(tensors.keys() - state)
    if missing or unexpected:
        raise WeightsError(
            f"{wrong}: {len(missing)} tensors are missing and "
            f"{len(unexpected)} are unknown, among them '{(missing or unexpected)[0]}'"
        )
    for name, tensor in tensors.items():
        scale = name == "logit_scale" and tensor.numel() == 1  # a number, or a vector of one
        if tensor.shape != state[name].shape and not scale:
            found, right = tuple(tensor.shape), tuple(state[name].shape)
            raise WeightsError(f"{wrong}: size mismatch, '{name}' is {found} and not {right}")
        if tensor.is_floating_point() != state[name].is_floating_point() or _is_packed(tensor):
            kind = str(tensor.dtype).removeprefix("torch.")
            raise WeightsError(f"{wrong}: '{name}' is of type {kind}, which is no weight's")


def _is_packed(tensor: Tensor) -> bool:
    """Return whether numbers are of 8 bits or fewer, which mean nothing without their scales."""
    return tensor.is_floating_point() and tensor.itemsize < 2


def random_weights(state: Mapping[str, Tensor], seed: str) -> dict[str, Tensor]:
    """Return seeded weights for a model, whose activations stay in a usable range."""
    if not seed.isdigit():
        raise OptionError(f"random weights need a seed, {RANDOM}:0, not '{RANDOM}:{seed}'")
    generator = torch.Generator().manual_seed(int(seed))
    weights = {}
    for name, own in state.items():
        if own.ndim >= 2 or name.endswith("class_embedding"):
            scale = 1.0 if "embedding" in name else own.shape[-1] ** -0.5
            weights[name] = torch.randn(own.shape, generator=generator, device="cpu").mul_(scale)
        else:
            weights[name] = torch.full(own.shape, float(not name.endswith("bias")), device="cpu")
    return weights
