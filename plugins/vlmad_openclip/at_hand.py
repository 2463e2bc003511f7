"""Which published weights are on this machine already, and so need no network."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def models_at_hand() -> list[str]:
    """Return the models, as ARCHITECTURE/TAG, whose weights are in a cache; nothing is loaded."""
    import open_clip

    return [
        f"{architecture}/{tag}"
        for architecture, tag in open_clip.list_pretrained()
        if cached_file(open_clip.get_pretrained_cfg(architecture, tag))
    ]


def cached_file(settings: Mapping[str, Any]) -> Path | None:
    """Return the file in which open_clip finds published weights, if it has been downloaded.

    Args:
        settings: open_clip's description of the weights.
    """
    from huggingface_hub import try_to_load_from_cache  # comes with open_clip_torch
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

    where = settings.get("hf_hub")
    if not where:
        file = Path.home() / ".cache" / "clip" / PurePosixPath(settings.get("url") or "?").name
        return file if file.is_file() else None
    repository, _, name = str(where).rpartition("/")
    names = (
        (str(PurePosixPath(name).with_suffix(".safetensors")), name)
        if name
        else (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME)
    )
    found = (try_to_load_from_cache(repository, candidate) for candidate in names)
    return next((Path(file) for file in found if isinstance(file, str)), None)
