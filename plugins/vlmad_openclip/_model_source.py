"""Which model a name means: its configuration and where its weights are, nothing loaded yet."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.errors import WeightsError, did_you_mean
from vlmad.files import parse, read_text
from vlmad_openclip._model_config import check_config
from vlmad_openclip.hub import SITE, cached, not_fetched

if TYPE_CHECKING:
    from collections.abc import Mapping

HUB = "hf-hub:"


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model as it was named: architecture, weights, and how its images are prepared."""

    name: str
    config: Mapping[str, Any]
    tag: str | None = None
    """open_clip's name of pretrained weights."""
    folder: Path | None = None
    """A folder with ``open_clip_config.json`` and weights beside it."""
    preprocessing: Mapping[str, Any] = field(default_factory=dict)


def find_model(name: str, fetch: bool = True) -> ModelSource:
    """Read what ``model`` names.

    Args:
        name: ``ARCHITECTURE``, ``ARCHITECTURE/TAG``, ``hf-hub:OWNER/NAME``, the path of a
            model configuration (``.json``), or a folder with ``open_clip_config.json``.
        fetch: whether the network may be asked.

    Raises:
        WeightsError: nothing is known by that name, or a configuration cannot be read.
    """
    source = _find(name, fetch)
    text = source.config["text_cfg"]
    elsewhere = text.get("hf_model_name") or text.get("hf_tokenizer_name")
    if elsewhere and not fetch:  # its library asks the hub even for what is here
        raise WeightsError(not_fetched(f"the text tower of {name}", f"{SITE}/{elsewhere}"))
    return source


def _find(name: str, fetch: bool) -> ModelSource:
    import open_clip

    if name.startswith(HUB):
        return _from_hub(name, fetch)
    path = Path(name)
    if path.suffix == ".json":
        return _from_file(path, None)
    if path.is_dir():
        return _from_file(path / "open_clip_config.json", path)
    architecture, _, tag = name.partition("/")
    config = open_clip.get_model_config(architecture)
    if config is None:
        hint = did_you_mean(architecture, open_clip.list_models())
        raise WeightsError(f"open_clip knows no model '{architecture}'; {hint[:200]}")
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag and tag not in tags:
        raise WeightsError(f"'{architecture}' has no weights '{tag}'; {did_you_mean(tag, tags)}")
    if not tag:
        return ModelSource(name, config)
    pretrained = open_clip.get_pretrained_cfg(architecture, tag)
    _refuse_wrong_activation(architecture, tag, config, pretrained)
    return ModelSource(name, config, tag, None, pretrained)


def _from_file(path: Path, folder: Path | None) -> ModelSource:
    try:
        table = parse(json.loads, read_text(path))
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise WeightsError(f"{path} is not JSON: {error}") from error
    config, preprocessing = check_config(table, str(path))
    return ModelSource(str(folder or path), config, None, folder, preprocessing)


def _from_hub(name: str, fetch: bool) -> ModelSource:
    from open_clip.factory import _get_hf_config

    if not fetch:
        repository = name.removeprefix(HUB)
        file = cached(repository, "open_clip_config.json")
        if file is None:
            raise WeightsError(not_fetched(name, f"{SITE}/{repository}"))
        return replace(_from_file(file, None), name=name)
    try:
        table = _get_hf_config(name.removeprefix(HUB))
    except Exception as error:  # the hub's client raises errors of several libraries
        raise WeightsError(
            f"cannot read the configuration of {name} ({type(error).__name__}); without network, "
            "download the repository elsewhere and name its folder: openclip:FOLDER"
        ) from error
    config, preprocessing = check_config(table, name)
    return ModelSource(name, config, None, None, preprocessing)


def _refuse_wrong_activation(
    architecture: str, tag: str, config: Mapping[str, Any], pretrained: Mapping[str, Any]
) -> None:
    """Refuse weights made with QuickGELU on a model without it, and the reverse.

    open_clip only warns of this; the numbers are then wrong without a sign of it.
    """
    import open_clip

    quick = bool(pretrained.get("quick_gelu", False))
    base = architecture.removesuffix("-quickgelu")
    other = f"{base}-quickgelu" if quick else base
    # some configurations state their activation where their weights do not, under one name only
    others = set(open_clip.list_models()) - {architecture}
    if quick != bool(config.get("quick_gelu", False)) and other in others:
        raise WeightsError(
            f"weights '{tag}' of '{architecture}' were trained "
            f"{'with' if quick else 'without'} QuickGELU; use openclip:{other}/{tag}"
        )
