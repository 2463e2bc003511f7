"""What a detector checks of what its parts give each other, so that the one at fault is named.

Shapes and types are looked at, not values: that costs microseconds. What several scorers or
batches use in turn, nobody may write to: texts and memories are watched by torch's count of
writes, and the features that a third party's part is given are a copy.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vlmad.types import Features, Prediction, TextEmbeddings, VisualFeatures

if TYPE_CHECKING:
    from vlmad.assembly import Chosen
    from vlmad.types import Request


def check_answers(visual: Any, requests: Sequence[Request], images: int) -> None:
    """Refuse answers of a backbone that lack a request or an image."""
    if not isinstance(visual, VisualFeatures):
        raise TypeError(f"it gave a {type(visual).__name__}, not vlmad.VisualFeatures")
    for request in requests:
        answer = visual.tensors.get(request)
        if not isinstance(answer, Tensor):
            raise TypeError(f"it gave no tensor for {request}")
        if len(answer) != images:
            raise ValueError(f"it gave {len(answer)} answers for {images} images to {request}")


def check_features(features: Any, images: int) -> None:
    """Refuse what an extractor made if it is not of so many images."""
    if not isinstance(features, Features):
        raise TypeError(f"it gave a {type(features).__name__}, not vlmad.Features")
    levels = [features.image, *(regions.embeddings for regions in features.regions)]
    for level in levels:
        if not (isinstance(level, Tensor) and level.is_floating_point()):
            raise TypeError("its features are no floating-point tensors")
        if len(level) != images:
            raise ValueError(f"it gave features of {len(level)} images, not of {images}")


def checked_text(text: Any) -> TextEmbeddings | None:
    """Return what prompts made so that writes to it are counted, or refuse it."""
    if text is None:
        return None
    if not isinstance(text, TextEmbeddings):
        raise TypeError(f"they gave a {type(text).__name__}, not vlmad.TextEmbeddings")
    count = text.embeddings.shape[-2]
    if not len(text.anomalous) == len(text.sentences) == count:
        raise ValueError(f"{count} embeddings do not go with their sides and sentences")
    embeddings, norms = _watchable(text.embeddings), _watchable(text.norms)
    return replace(text, embeddings=embeddings, norms=norms, anomalous=_watchable(text.anomalous))


def checked(prediction: Any, features: Features) -> Prediction:
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


def copy_of(features: Features) -> Features:
    """Return features with tensors of their own."""
    regions = tuple(
        replace(level, embeddings=level.embeddings.clone(), cells=level.cells.clone())
        for level in features.regions
    )
    return replace(features, image=features.image.clone(), regions=regions)


def remembered(memory: Any) -> Mapping[str, Tensor]:
    """Return what a scorer remembers so that writes to it are counted, or refuse it."""
    if not isinstance(memory, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in memory.items()
    ):
        raise TypeError("what it remembers is no mapping of names to tensors")
    return {name: _watchable(tensor) for name, tensor in memory.items()}


def _watchable(tensor: Tensor) -> Tensor:
    """Return a tensor that counts writes: those that inference mode makes do not."""
    if not tensor.is_inference():
        return tensor
    with torch.inference_mode(False):
        return tensor.clone()


@contextmanager
def unchanged(value: TextEmbeddings | Mapping[str, Tensor] | None, name: str) -> Iterator[None]:
    """Refuse that what is done meanwhile writes to text embeddings or a memory."""
    before = [(tensor, tensor._version) for tensor in _watched(value)]
    yield
    if any(tensor._version != version for tensor, version in before):
        raise ValueError(f"it writes to the {name} that it is given, which others use too")


def _watched(value: TextEmbeddings | Mapping[str, Tensor] | None) -> list[Tensor]:
    if value is None:
        return []
    if isinstance(value, TextEmbeddings):
        tensors = [value.embeddings, value.norms, value.anomalous]
    else:
        tensors = [*value.values()]
    return [tensor for tensor in tensors if not tensor.is_inference()]


def part_at_fault(
    error: BaseException | None, running: Chosen, parts: Iterable[Chosen]
) -> Chosen:
    """Return in whose code an error arose: parts call each other.

    A backbone runs the attention, and prompts ask the backbone.
    """
    by_package = {_package(type(chosen.part).__module__): chosen for chosen in parts}
    by_package[_package(type(running.part).__module__)] = running
    frames = traceback.walk_tb(error.__traceback__ if error else None)
    names = [_package(str(frame.f_globals.get("__name__"))) for frame, _ in frames]
    return next((by_package[name] for name in reversed(names) if name in by_package), running)


def _package(module: str) -> str:
    return module.partition(".")[0]
