"""Finding the published weights of open_clip's models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import WeightsError
from vlmad_openclip._model_source import HUB
from vlmad_openclip.hub import NAMED, SITE, cached, fetched, not_fetched

if TYPE_CHECKING:
    from vlmad_openclip._model_source import ModelSource


def find_weights(source: ModelSource, fetch: bool = True) -> Path:
    """Return the checkpoint of a model, with `fetch` downloading it if it is not in the cache.

    Raises:
        WeightsError: the model names no weights, or they cannot be had; the message says
            which file is missing and how to provide it.
    """
    from open_clip import factory

    model = f"openclip:{source.name}"
    if source.folder:
        found = factory._find_checkpoint_in_dir(source.folder)
        if found is None:
            raise WeightsError(f"no weights (.safetensors, .bin, .pth) in {source.folder}")
        return Path(found)
    if source.name.startswith(HUB):
        where = source.name.removeprefix(HUB)
        if not fetch:
            return _on_this_machine(source, f"{where}/")
        return fetched(lambda: factory.download_pretrained_from_hf(where), model, where)
    if source.tag is None:
        raise WeightsError(f"{model} names no weights; write {model}/TAG, or add {NAMED}")
    settings = dict(source.preprocessing)
    where = str(settings.get("hf_hub") or settings.get("url") or source.tag)
    if not fetch:
        return _on_this_machine(source, where)
    file = f"{where}open_clip_model.safetensors" if where.endswith("/") else where
    return fetched(lambda: factory.download_pretrained(settings), model, file)


def _on_this_machine(source: ModelSource, where: str) -> Path:
    """Return weights that were downloaded before: of a repository, its file, or an address."""
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

    if "://" in where:
        file: Path | None = Path("~/.cache/clip", where.rpartition("/")[2]).expanduser()
    else:
        repository, _, name = where.rpartition("/")
        safe = f"{Path(name).stem}.safetensors" if name else HF_SAFE_WEIGHTS_NAME
        file = cached(repository, safe, name or HF_WEIGHTS_NAME)
    if file is None or not file.is_file():
        site = where if "://" in where else f"{SITE}/{where}"
        raise WeightsError(not_fetched(f"openclip:{source.name}", site))
    return file
