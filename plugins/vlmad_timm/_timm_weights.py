"""Weights for a model of timm: from the hub, from a file, or random."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vlmad.errors import WeightsError, reason_of
from vlmad_openclip.checkpoint import check_architecture, fill, read_weights
from vlmad_openclip.hub import NAMED, SITE, cached, fetched, not_fetched

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

FILES = ("model.safetensors", "pytorch_model.bin")
"""What timm's repositories hold, the one that it prefers first."""


def find_weights(name: str, config: Mapping[str, Any], fetch: bool) -> Path:
    """Return the published checkpoint, with `fetch` downloading it if it is not in the cache.

    Raises:
        WeightsError: there is none, or it cannot be had; the message says how to provide it.
    """
    from huggingface_hub import hf_hub_download

    repository, file = config.get("hf_hub_id"), config.get("hf_hub_filename")
    if not repository:
        where = config.get("url")
        known = f"are at {where}" if where else "are not published"
        raise WeightsError(f"the weights of timm:{name} {known}; name a file with {NAMED}")
    files = (str(file),) if file else FILES
    here = cached(repository, *files)
    if here is not None:
        return here
    if not fetch:
        raise WeightsError(not_fetched(f"timm:{name}", f"{SITE}/{repository}"))
    return fetched(
        lambda: hf_hub_download(repository, files[0]), f"timm:{name}", f"{repository}/{files[0]}"
    )


def load_weights(model: Any, path: Path) -> None:
    """Fill a model from a checkpoint, as it was published or as timm names its tensors.

    A classifier in it is passed over.

    Raises:
        WeightsError: the file is refused, or of another architecture.
    """
    tensors, state = read_weights(path), model.state_dict()
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if convert is not None:
        try:
            tensors = convert(dict(tensors), model)
        except Exception as error:  # whatever it makes of another's names and shapes
            raise WeightsError(
                f"weights {path} are of another architecture: {reason_of(error)}"
            ) from error
    classifier = tuple(_classifier(model.pretrained_cfg, state))
    kept = {k: t for k, t in tensors.items() if k in state or not k.startswith(classifier)}
    check_architecture(kept, state, path)
    fill(model, kept.items())


def _classifier(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield how the names of a classifier's tensors begin, a norm of its own among them."""
    named = config.get("classifier") or ()
    for module in (named,) if isinstance(named, str) else named:
        head = module.rpartition(".")[0]
        belongs = head and not any(name.startswith(f"{head}.") for name in state)
        yield f"{head if belongs else module}."


def random_weights(state: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Return seeded weights whose activations stay in a usable range, whatever the layer."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, own in state.items():
        if not own.is_floating_point():
            weights[name] = own
        elif own.ndim < 2:
            zero = name.endswith(("bias", "running_mean"))
            weights[name] = torch.full_like(own, float(not zero))
        else:  # tokens and positions have a first axis of 1
            scale = 1.0 if len(own) == 1 else math.prod(own.shape[1:]) ** -0.5
            weights[name] = torch.randn(own.shape, generator=generator).mul_(scale)
    return weights
