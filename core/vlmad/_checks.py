"""What is checked where one part hands over to the next, so that the one at fault is named.

Shapes and types are looked at, not values: that costs microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from vlmad.types import Features, Prediction, TextEmbeddings, VisualFeatures

if TYPE_CHECKING:
    from vlmad.types import Request


def check_answers(visual: Any, requests: Sequence[Request], images: int) -> VisualFeatures:
    """Return the answers of a backbone, or refuse them if a request or an image is missing."""
    if not isinstance(visual, VisualFeatures):
        raise TypeError(f"it gave a {type(visual).__name__}, not vlmad.VisualFeatures")
    for request in requests:
        answer = visual.tensors.get(request)
        if not isinstance(answer, Tensor):
            raise TypeError(f"it gave no tensor for {request}")
        if len(answer) != images:
            raise ValueError(f"it gave {len(answer)} answers for {images} images to {request}")
    return visual


def check_features(features: Any, images: int) -> Features:
    """Return what an extractor made, or refuse it if it is not of so many images."""
    if not isinstance(features, Features):
        raise TypeError(f"it gave a {type(features).__name__}, not vlmad.Features")
    for level in (features.image, *(regions.embeddings for regions in features.regions)):
        if not (isinstance(level, Tensor) and level.is_floating_point()):
            raise TypeError("its features are no floating-point tensors")
        if len(level) != images:
            raise ValueError(f"it gave features of {len(level)} images, not of {images}")
    for regions in features.regions:
        if regions.embeddings.ndim != 3 or len(regions.cells) != regions.embeddings.shape[1]:
            raise ValueError(f"its regions '{regions.name}' have no cell for each embedding")
    return features


def check_text(text: Any) -> TextEmbeddings | None:
    """Return what prompts made, or refuse it."""
    if text is None:
        return None
    if not isinstance(text, TextEmbeddings):
        raise TypeError(f"they gave a {type(text).__name__}, not vlmad.TextEmbeddings")
    count = text.embeddings.shape[-2]
    if not len(text.anomalous) == len(text.sentences) == count:
        raise ValueError(f"{count} embeddings do not go with their sides and sentences")
    return text


def check_prediction(prediction: Any, features: Features) -> Prediction:
    """Return what a scorer made as float32, or refuse it."""
    if not isinstance(prediction, Prediction):
        raise TypeError(f"it gave a {type(prediction).__name__}, not a vlmad.Prediction")
    for tensor in (prediction.score, prediction.map):
        if not (isinstance(tensor, Tensor) and tensor.is_floating_point()):
            kind = getattr(tensor, "dtype", type(tensor).__name__)
            raise TypeError(f"its score or map is of {kind}, not a floating-point tensor")
    shapes = tuple(prediction.score.shape), tuple(prediction.map.shape)
    expected = (len(features),), (len(features), *features.image_size)
    if shapes != expected:
        raise ValueError(f"score and map have shapes {shapes}, not {expected}")
    return Prediction(prediction.score.float(), prediction.map.float())


def check_memory(memory: Any) -> Mapping[str, Tensor]:
    """Return what a scorer remembers, or refuse it."""
    if not isinstance(memory, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in memory.items()
    ):
        raise TypeError("what it remembers is no mapping of names to tensors")
    return memory
