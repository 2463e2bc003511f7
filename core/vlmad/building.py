"""From a name to a detector: recipe and options are put together, parts chosen and built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.assembly import assemble
from vlmad.detector import Detector, Keep
from vlmad.recipes import Recipe, find_recipe, read_recipe
from vlmad.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Mapping


def load_detector(
    detector: str | None = None,
    *,
    backbone: str | None = None,
    prompts: str | None = None,
    extractor: str | None = None,
    attention: str | None = None,
    scorer: str | None = None,
    recipe: str | Path | Recipe | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    weights: str | Path | None = None,
    resize: str = "squash",
    keep: Keep = "text",
    registry: Registry | None = None,
) -> Detector:
    """Assemble a detector from a recipe and the parts that are to differ from it.

    Args:
        detector: a recipe's name, `vlmad plugins` lists them.
        backbone: a part, as ``name`` or ``name:argument``, instead of the recipe's.
        prompts: likewise.
        extractor: likewise.
        attention: likewise.
        scorer: likewise.
        recipe: a recipe object, or the path of a recipe file, which may build on `detector`.
        options: options by kind, such as ``{"scorer": {"temperature": 0.01}}``.
        weights: a checkpoint file; short for the backbone's option `weights`.
        resize: `squash` images to the model's square, `pad` them to keep their format, or
            `tiles:N` to cut them into overlapping squares, N along the shorter side.
        keep: what is kept on disk for the next time: nothing, text embeddings, or all, with
            the features of images, for those who see the same images again.
        registry: which plugins to use; all installed ones by default.

    Raises:
        VlmadError: a name, option, recipe or combination that cannot be.
    """
    registry = registry or Registry.discover()
    settings = {kind: dict(values) for kind, values in (options or {}).items()}
    if weights is not None:
        settings.setdefault("backbone", {})["weights"] = weights
    if isinstance(recipe, Recipe):
        chosen = recipe.over(find_recipe(registry, detector))
    elif recipe is not None:
        chosen = read_recipe(registry, Path(recipe), detector)
    else:
        chosen = find_recipe(registry, detector)
    named = {"backbone": backbone, "prompts": prompts, "extractor": extractor}
    named |= {"attention": attention, "scorer": scorer}
    return Detector(assemble(registry, chosen, named, settings), resize, keep)
