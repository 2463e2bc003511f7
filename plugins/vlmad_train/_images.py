"""The labelled images that parts are trained on."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from PIL import Image

from vlmad.errors import InputError
from vlmad.files import digest
from vlmad.resizing import frame, resample
from vlmad.types import ImageBatch, Preprocessing
from vlmad_datasets.masks import mask_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from jaxtyping import Bool
    from torch import Tensor

    from vlmad.datasets import Split
    from vlmad.detector import Detector
    from vlmad.images import Source
    from vlmad.types import Resize
    from vlmad_run.opening import OpenDataset

    Opened: TypeAlias = "tuple[Source, Bool[np.ndarray, 'H W'] | None]"
    """An image, and which of its pixels are defective, where that is known."""


@dataclass(frozen=True, slots=True)
class TrainingImage:
    """An image with its label, opened when it is encoded."""

    name: str
    category: str
    class_name: str
    anomalous: bool
    sha256: str
    """Of what it is made of: its file and mask, and what is drawn on it."""
    open: Callable[[], Opened]


def labelled_images(
    data: OpenDataset, split: Split, categories: Sequence[str], sourced: Callable[[object], Source]
) -> list[TrainingImage]:
    """Return the images of a split of a data set.

    Args:
        data: the data set.
        split: which images of it.
        categories: which of its categories; all if there are none.
        sourced: makes a source of a path as the detector reads it.

    Raises:
        InputError: there are none, or a file cannot be read.
    """
    images = []
    for sample in data.select(categories, split):
        files = [sample.image, *([sample.mask] if sample.mask and sample.mask.is_file() else [])]
        content = " ".join([*map(digest, files), sample.label])

        def opened(sample=sample):  # type: ignore[no-untyped-def]  # a default binds it here
            return sourced(sample.image), mask_of(sample)

        images.append(
            TrainingImage(
                str(sample.image),
                sample.category,
                data.class_name(sample.category),
                sample.anomalous,
                hashlib.sha256(content.encode()).hexdigest(),
                opened,
            )
        )
    if not images:
        raise InputError(
            f"{data.root} has no {split} images; choose another --split, or draw defects on good "
            "ones with --synthesise"
        )
    return images


def data_digest(images: Iterable[TrainingImage]) -> str:
    """Return a SHA-256 of what images are made of, in their order."""
    return hashlib.sha256(" ".join(image.sha256 for image in images).encode()).hexdigest()


def check_classes(images: Sequence[TrainingImage]) -> None:
    """Refuse images of one class, of which nothing can be told apart.

    Raises:
        InputError: none is good, or none is defective.
    """
    count = Counter(image.anomalous for image in images)
    for anomalous, word in ((False, "good"), (True, "defective")):
        if not count[anomalous]:
            raise InputError(
                f"none of the {len(images)} images to train on is {word}; choose another --split "
                "or other categories, or draw defects on good images with --synthesise"
            )


def ready(sources: Sequence[Source], detector: Detector) -> ImageBatch:
    """Return images decoded and resized as the backbone of a detector takes them."""
    resize = detector.resizing.of_each
    for source in sources:
        source.make_ready(detector.preprocessings(), resize)
    return ImageBatch(tuple(sources), resize)


def at_model_size(
    mask: Bool[np.ndarray, "H W"], size: tuple[int, int], resize: Resize, share: float = 0.5
) -> Bool[Tensor, "h w"]:
    """Bring a mask to where the model's pixels lie: defective by more than that share of them."""
    picture = Image.fromarray(mask.astype(np.uint8) * 255).convert("RGB")
    shares = Preprocessing(size, (0.0,) * 3, (1.0,) * 3, "bilinear")
    box = frame(picture.size, size, resize)
    small: Tensor = resample(picture, box, shares)[0] > share
    return small


def blank(size: tuple[int, int]) -> Bool[Tensor, "h w"]:
    """Return a mask without a defect."""
    return torch.zeros(size, dtype=torch.bool)
