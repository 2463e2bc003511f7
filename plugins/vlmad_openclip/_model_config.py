"""A model configuration that came from elsewhere: judged before open_clip sees it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from vlmad.errors import WeightsError, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST = 2**20
"""The largest width, vocabulary or image that is believed."""
MOST_LAYERS = 1024
VISION = ("layers", "width", "patch_size", "image_size")
TEXT = ("layers", "width", "heads")
OPTIONAL = ("head_width", "context_length", "vocab_size")
"""Numbers for which open_clip has a default."""


def check_config(table: Any, source: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return a model's configuration and how its images are prepared.

    Args:
        table: the content of ``open_clip_config.json``, or the model configuration alone.
        source: what messages call it.

    Raises:
        WeightsError: it is none, or a number in it is none that a model can have; its field is
            named.
    """
    config = table.get("model_cfg", table) if isinstance(table, dict) else {}
    missing = {"embed_dim", "vision_cfg", "text_cfg"} - set(config)
    if missing:
        raise WeightsError(f"{source} is no open_clip configuration: it lacks {sorted(missing)}")
    _check_numbers(config, ["embed_dim"], source)
    vision, text = _table(config, "vision_cfg", source), _table(config, "text_cfg", source)
    if "timm_model_name" not in vision:
        _check_numbers(vision, VISION, f"{source}: vision_cfg")
    if "hf_model_name" not in text:
        _check_numbers(text, TEXT, f"{source}: text_cfg")
    preparing = _table(table, "preprocess_cfg", source)
    for name, above in (("mean", -math.inf), ("std", 0.0)):
        values = preparing.get(name)
        if values is not None and not _are_colours(values, above):
            what = f"'{name}' is {one_line(repr(values), 60)}, not 3 numbers above {above}"
            raise WeightsError(f"{source}: preprocess_cfg: {what}")
    return config, preparing


def _table(table: Mapping[str, Any], name: str, source: str) -> Mapping[str, Any]:
    found = table.get(name, {})
    if not isinstance(found, dict):
        raise WeightsError(f"{source}: '{name}' is {one_line(repr(found), 60)}, not a table")
    return found


def _check_numbers(table: Mapping[str, Any], needed: Sequence[str], where: str) -> None:
    for name in (*needed, *(name for name in OPTIONAL if name in table)):
        if name not in table:
            raise WeightsError(f"{where} lacks '{name}'")
        value, most = table[name], MOST_LAYERS if name == "layers" else MOST
        if type(value) is not int or not 1 <= value <= most:
            shown = one_line(repr(value), 60)
            raise WeightsError(f"{where}: '{name}' is {shown}, not a whole number from 1 to {most}")


def _are_colours(values: Any, above: float) -> bool:
    """Return whether there is a finite number above a limit for each of three colours."""
    numbers = values if isinstance(values, list) else []
    return len(numbers) == 3 and all(
        type(each) in (int, float) and math.isfinite(each) and each > above for each in numbers
    )
