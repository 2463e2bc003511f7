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
    """Assemble every detector; named parts and options hold for all of them."""
    recipes: list[str | None] = [n for text in names or () for n in text.split(",") if n]
    detectors: dict[str, Detector] = {}
    backbones: list[Chosen] = []
    for recipe in recipes or [None]:
        detector = replace(choice, detector=recipe).load()
        name = detector.assembly.recipe.name
        if name in detectors:
            raise InputError(f"detector '{name}' is named twice")
        shared = share_backbone(detector.assembly, backbones)
        detectors[name] = Detector(shared, str(detector.resizing), detector.reading)
    return detectors


def share_backbone(assembly: Assembly, backbones: list[Chosen]) -> Assembly:
    """Return an assembly with an equal backbone that is there already, so that it loads once."""
    own = assembly.parts["backbone"]
    for other in backbones:
        if (other.registration, other.options) == (own.registration, own.options):
            return replace(assembly, parts={**assembly.parts, "backbone": other})
    backbones.append(own)
    return assembly
