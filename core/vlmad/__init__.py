"""vlmad: a plugin-based registry of visual anomaly detectors built on vision-language models.

>>> from vlmad import load_detector
>>> detector = load_detector("winclip")
>>> [result] = detector.predict("examples/samples/cloth/test/good/000.png", class_name="cloth")
>>> result.map.ndim
2

The names below are public; everything else may change without notice. Importing the package
does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from vlmad.errors import VlmadError
from vlmad.hookspecs import hookimpl
from vlmad.parts import Attention, Backbone, Extractor, Prompts, Scorer
from vlmad.recipes import Recipe
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

if TYPE_CHECKING:
    from vlmad.detector import Detector, Result, load_detector

__all__ = [
    "Attention",
    "Backbone",
    "BackboneSpec",
    "ClassToken",
    "ContextPrompts",
    "Detector",
    "Extractor",
    "Features",
    "ImageBatch",
    "Patches",
    "Prediction",
    "Preprocessing",
    "Prompts",
    "Recipe",
    "Regions",
    "Request",
    "Result",
    "Scorer",
    "TextEmbeddings",
    "Tiles",
    "VisualFeatures",
    "VlmadError",
    "Windows",
    "hookimpl",
    "load_detector",
]

_WITH_TORCH = ("Detector", "Result", "load_detector")


def __getattr__(name: str) -> Any:
    if name in _WITH_TORCH:
        return getattr(importlib.import_module("vlmad.detector"), name)
    raise AttributeError(f"module 'vlmad' has no attribute '{name}'")
