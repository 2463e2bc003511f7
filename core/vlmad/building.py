"""From a name to a detector: recipe and options are put together, parts chosen and built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.assembly import assemble
from vlmad.detector import Detector
from vlmad.recipes import Recipe, find_recipe, read_recipe
from vlmad.registry import installed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmad.registry import Registry


def load_detector(
    detector: str | Path | Recipe | None = None,
    *,
    backbone: str | None = None,
    prompts: str | None = None,
    extractor: str | None = None,
    attention: str | None = None,
    scorer: str | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    resize: str | None = None,
    reading: Any = None,
    registry: Registry | None = None,
) -> Detector:
    """Assemble a detector from a recipe and the parts that are to differ from it.

    Args:
        detector: a recipe: its name (`vlmad plugins` lists them), a recipe file (TOML), or a
            recipe object.
        backbone: a part, as ``name`` or ``name:argument``, instead of the recipe's.
        prompts: likewise.
        extractor: likewise.
        attention: likewise.
        scorer: likewise.
        options: options by kind, such as ``{"scorer": {"temperature": 0.01}}``.
        resize: `squash` images to the model's square, `pad` them to keep their format, cut them
            into overlapping squares by `tiles:N`, N along the shorter side, or do so with long
            formats alone by `auto`; by default as the recipe says.
        reading: how files of more than 8 bits, or of several pages, are read
            (`vlmad_formats.reading.Reading`).
        registry: which plugins to use; all installed ones by default.

    Raises:
        VlmadError: a name, option, recipe or combination that cannot be.
    """
    registry = registry or installed()
    if isinstance(detector, Recipe):
        recipe = detector.over(find_recipe(registry))
    elif detector is not None and str(detector).endswith(".toml"):
        recipe = read_recipe(registry, Path(detector))
    else:
        recipe = find_recipe(registry, None if detector is None else str(detector))
    named = {"backbone": backbone, "prompts": prompts, "extractor": extractor}
    named |= {"attention": attention, "scorer": scorer}
    assembly = assemble(registry, recipe, named, options or {})
    return Detector(assembly, resize or recipe.resize or "squash", reading)
