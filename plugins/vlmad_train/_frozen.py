"""What stays the same of images from epoch to epoch, kept on disk: a safetensors file for each.

A file is whole or absent, so that an interrupted pass goes on where it stopped.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from vlmad.errors import InputError, OutputError
from vlmad.files import write_atomically
from vlmad.loading import ahead, chunks
from vlmad.types import ImageBatch
from vlmad.watching import track
from vlmad_train._images import at_model_size, blank, ready

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from jaxtyping import Bool, Float
    from torch import Tensor

    from vlmad_train._images import TrainingImage
    from vlmad_train._learner import Learner

MASK = "mask"
GIGABYTE = 10**9


@dataclass(frozen=True, slots=True)
class Drawn:
    """Images of a step: what is frozen of them, or they themselves, with labels and masks."""

    images: list[TrainingImage]
    frozen: list[Tensor] | ImageBatch
    labels: Float[Tensor, " b"]
    masks: Bool[Tensor, "b h w"]
    known: Bool[Tensor, " b"]

    @property
    def names(self) -> list[str]:
        """What each image shows."""
        return [image.class_name for image in self.images]


@dataclass(frozen=True, slots=True)
class Cost:
    """What the visual pass takes for each image, measured on the first ones."""

    bytes: int
    seconds: float
    first: Drawn
    """Those, encoded."""


class FrozenImages:
    """Images, and what is computed of them once.

    Args:
        learner: computes it.
        images: all that training or validation looks at.
        folder: where it is kept; None computes it anew whenever it is asked for.
        batch: how many images are encoded together.
    """

    def __init__(
        self, learner: Learner, images: Sequence[TrainingImage], folder: Path | None, batch: int
    ) -> None:
        self.learner, self.images, self.batch = learner, images, batch
        self.folder = None if learner.stage == "images" else folder

    def measure(self) -> Cost:
        """Encode the first images, and return what each of all will take."""
        first = self._opened(range(min(self.batch, len(self.images))))
        if self.learner.stage == "images":
            return Cost(0, 0.0, first)
        assert isinstance(first.frozen, ImageBatch)
        started = time.perf_counter()
        tensors = self.learner.frozen(first.frozen)
        seconds = (time.perf_counter() - started) / len(first.images)
        size = sum(tensor[0].nbytes for tensor in tensors) + first.masks[0].nbytes
        return Cost(size, seconds, replace(first, frozen=tensors))

    def check_room(self, cost: Cost, limit: float) -> None:
        """Refuse what is larger than `limit` gigabytes, or than the disk has room for.

        Raises:
            OutputError: it is.
        """
        if self.folder is None:
            return
        needed = cost.bytes * len(self.images)
        place = next(each for each in (self.folder, *self.folder.parents) if each.exists())
        free = shutil.disk_usage(place).free
        if needed > limit * GIGABYTE or needed > free:
            room = "--disk allows" if needed > limit * GIGABYTE else "are free"
            least = min(limit, free / GIGABYTE)
            raise OutputError(
                f"features of {len(self.images)} images take {needed / GIGABYTE:.2g} GB, and "
                f"{least:.2g} GB {room}; raise it, choose another --out, or encode images anew in "
                "every epoch with --disk 0"
            )

    def fill(self) -> None:
        """Compute what is not on disk yet, always in the same groups: last bits depend on them."""
        if self.folder is None:
            return
        every = chunks(range(len(self.images)), self.batch)
        groups = [rows for rows in every if not all(self._path(row).exists() for row in rows)]
        for drawn, rows in zip(
            track(ahead(groups, self._opened), "encoding once", len(groups)), groups, strict=True
        ):
            assert isinstance(drawn.frozen, ImageBatch)
            tensors = [tensor.cpu() for tensor in self.learner.frozen(drawn.frozen)]
            for place, row in enumerate(rows):
                own = {str(i): t[place].contiguous() for i, t in enumerate(tensors)}
                own |= {MASK: drawn.masks[place]} if drawn.known[place] else {}
                write_atomically(self._path(row), save(own))

    def steps(self, groups: Iterable[Sequence[int]]) -> Iterator[Drawn]:
        """Yield images by their numbers, read while the step before them works."""
        return ahead(groups, self._opened if self.folder is None else self._read)

    def delete(self) -> None:
        """Delete what was kept."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, row: int) -> Path:
        assert self.folder is not None
        return self.folder / f"{row:06d}.safetensors"

    def _read(self, rows: Sequence[int]) -> Drawn:
        found = []
        for row in rows:
            try:
                found.append(load_file(self._path(row)))
            except (OSError, SafetensorError) as error:
                path = self._path(row)
                raise InputError(f"{path} cannot be read: {error}; delete it") from error
        masks = [each.pop(MASK, None) for each in found]
        tensors = [torch.stack([each[str(i)] for each in found]) for i in range(len(found[0]))]
        return self._drawn(rows, tensors, masks)

    def _opened(self, rows: Sequence[int]) -> Drawn:
        detector = self.learner.detector
        resize, size = detector.resizing.of_each, detector.backbone.spec.preprocessing.size
        sources, masks = [], []
        for row in rows:
            source, mask = self.images[row].open()
            sources.append(source)
            masks.append(None if mask is None else at_model_size(mask, size, resize))
        return self._drawn(rows, ready(sources, detector), masks)

    def _drawn(
        self, rows: Sequence[int], frozen: list[Tensor] | ImageBatch, masks: list[Tensor | None]
    ) -> Drawn:
        images, device = [self.images[row] for row in rows], self.learner.device
        size = self.learner.spec.preprocessing.size
        return Drawn(
            images,
            frozen,
            torch.tensor([float(image.anomalous) for image in images], device=device),
            torch.stack([blank(size) if m is None else m for m in masks]).to(device),
            torch.tensor([mask is not None for mask in masks], device=device),
        )
