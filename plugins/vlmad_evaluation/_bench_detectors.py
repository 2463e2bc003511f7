"""The detectors of a bench, by name; those that can share a backbone do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vlmad.detector import Detector
from vlmad.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad.assembly import Assembly, Chosen
    from vlmad_run.choosing import Choice


def load_detectors(choice: Choice, names: Sequence[str] | None) -> dict[str, Detector]:
    """Assemble every detector; named parts and options hold for all of them.

    Features of images are kept on disk, in the user's cache: another detector, another draw of
    references and tomorrow's bench of the same images find them there, and the cache limits its
    own size.

    Args:
        choice: parts and options.
        names: recipes, or several in one text with commas; None takes the choice's own.

    Raises:
        InputError: a recipe is named twice, or a recipe file beside several.
        VlmadError: a name, option or combination that cannot be.
    """
    wanted: list[str | None] = [n for text in names or () for n in text.split(",") if n]
    if choice.recipe is not None and len(wanted) > 1:
        raise InputError("a recipe file is one detector: give --recipe with one --detector at most")
    detectors: dict[str, Detector] = {}
    backbones: list[Chosen] = []
    for name in wanted or [choice.detector]:
        detector = _sharing(replace(choice, detector=name).load(keep="all"), backbones)
        known_as = detector.assembly.recipe.name
        if known_as in detectors:
            raise InputError(f"detector '{known_as}' is named twice")
        detectors[known_as] = detector
    return detectors


def _sharing(detector: Detector, backbones: list[Chosen]) -> Detector:
    assembly = share_backbone(detector.assembly, backbones)
    if assembly is detector.assembly:
        return detector
    return Detector(assembly, str(detector.resizing), keep="all")


def share_backbone(assembly: Assembly, backbones: list[Chosen]) -> Assembly:
    """Return an assembly with an equal backbone that is there already, so that it loads once.

    Args:
        assembly: as it was assembled.
        backbones: those that are there; another is added.
    """
    own = assembly.parts["backbone"]
    for other in backbones:
        if (other.registration, other.options) == (own.registration, own.options):
            return replace(assembly, parts={**assembly.parts, "backbone": other})
    backbones.append(own)
    return assembly
