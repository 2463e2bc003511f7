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
    from vlmad.building import load_detector
    from vlmad.datasets import Contents, Dataset, OpenDataset, Problem, Sample, open_dataset
    from vlmad.detector import Detector
    from vlmad.explaining import explain
    from vlmad.streaming import Result

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
    "OpenDataset",
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
    "open_dataset",
]

_LATER = {
    "Contents": "vlmad.datasets",
    "Dataset": "vlmad.datasets",
    "Detector": "vlmad.detector",
    "OpenDataset": "vlmad.datasets",
    "Problem": "vlmad.datasets",
    "Result": "vlmad.streaming",
    "Sample": "vlmad.datasets",
    "explain": "vlmad.explaining",
    "load_detector": "vlmad.building",
    "open_dataset": "vlmad.datasets",
}
"""Names whose modules are imported when they are asked for: those of the detector need torch."""


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    raise AttributeError(f"module 'vlmad' has no attribute '{name}'")
