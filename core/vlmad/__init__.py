"""vlmad: a plugin-based registry of visual anomaly detectors built on vision-language models.

>>> from vlmad import load_detector
>>> detector = load_detector("winclip")
>>> [result] = detector.predict("examples/samples/cloth/test/good/000.png", class_name="cloth")
>>> result.map.ndim
2

The names below are public; everything else may change without notice. Importing the package
imports none of them, and no torch, until a name is asked for.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # as type checkers read it; importing typing would take longer than all this
    from typing import Any

    from vlmad.building import load_detector
    from vlmad.datasets import Contents, Dataset, Problem, Sample
    from vlmad.detector import Detector
    from vlmad.errors import VlmadError
    from vlmad.hookspecs import hookimpl
    from vlmad.parts import Attention, Backbone, Extractor, Prompts, Scorer
    from vlmad.recipes import Recipe
    from vlmad.streaming import Result
    from vlmad.types import (
        BackboneSpec,
        ClassToken,
        ContextPrompts,
        Features,
        ImageBatch,
        Patches,
        Prediction,
        Preprocessing,
        Regions,
        Request,
        TextEmbeddings,
        Tiles,
        VisualFeatures,
        Windows,
    )
    from vlmad_explain.explaining import explain

__all__ = [
    "Attention",
    "Backbone",
    "BackboneSpec",
    "ClassToken",
    "Contents",
    "ContextPrompts",
    "Dataset",
    "Detector",
    "Extractor",
    "Features",
    "ImageBatch",
    "Patches",
    "Prediction",
    "Preprocessing",
    "Problem",
    "Prompts",
    "Recipe",
    "Regions",
    "Request",
    "Result",
    "Sample",
    "Scorer",
    "TextEmbeddings",
    "Tiles",
    "VisualFeatures",
    "VlmadError",
    "Windows",
    "explain",
    "hookimpl",
    "load_detector",
]

_MODULES = {
    "vlmad.building": ("load_detector",),
    "vlmad.datasets": ("Contents", "Dataset", "Problem", "Sample"),
    "vlmad.detector": ("Detector",),
    "vlmad.errors": ("VlmadError",),
    "vlmad_explain.explaining": ("explain",),
    "vlmad.hookspecs": ("hookimpl",),
    "vlmad.parts": ("Attention", "Backbone", "Extractor", "Prompts", "Scorer"),
    "vlmad.recipes": ("Recipe",),
    "vlmad.streaming": ("Result",),
    "vlmad.types": (
        "BackboneSpec",
        "ClassToken",
        "ContextPrompts",
        "Features",
        "ImageBatch",
        "Patches",
        "Prediction",
        "Preprocessing",
        "Regions",
        "Request",
        "TextEmbeddings",
        "Tiles",
        "VisualFeatures",
        "Windows",
    ),
}
"""Which module brings which names, when they are asked for: the command line can then answer
Ctrl-C from its first line, and only detectors need torch."""


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            import importlib

            found = globals()[name] = getattr(importlib.import_module(module), name)
            return found
    raise AttributeError(f"module 'vlmad' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
