"""Which drawings are learned from: what the backbone does not see of a defect teaches nothing.

They are chosen once, before the first epoch, always in the same groups, and kept on disk.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch
from PIL import Image
from pydantic import Field

from vlmad.errors import InputError
from vlmad.loading import chunks
from vlmad.watching import track
from vlmad_documents.documents import Document
from vlmad_synthesis.visibility import seen
from vlmad_train._images import at_model_size, ready
from vlmad_train._synthetic_images import ChosenDrawing, SyntheticImage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vlmad.types import Features
    from vlmad_synthesis.synthetic import Synthetic
    from vlmad_train._images import TrainingImage
    from vlmad_train._learner import Learner

FILE = "drawings.json"


class VisibleDrawings(Document):
    """Which drawing is taken of each image that is to be defective, in their order."""

    format: Literal["vlmad drawings 1"] = "vlmad drawings 1"
    judged: bool = True
    """Whether features have regions, by which alone it is judged what is seen."""
    taken: list[ChosenDrawing | None] = Field(default_factory=list)
    """None where nothing that was drawn is seen."""

    @property
    def again(self) -> int:
        """How many were drawn again and then seen."""
        return sum(each is not None and each.number > 0 for each in self.taken)

    @property
    def left_out(self) -> int:
        """How many are seen in no drawing."""
        return self.taken.count(None)

    def chosen_of(self, images: Sequence[TrainingImage]) -> list[TrainingImage]:
        """Return images as they were chosen, without those of which nothing is seen."""
        left = iter(self.taken)
        chosen: list[TrainingImage] = []
        for image in images:
            if not isinstance(image, SyntheticImage) or not image.anomalous:
                chosen.append(image)
            elif (drawing := next(left)) is not None:
                chosen.append(replace(image, open=partial(image.canvas.opened, drawing)))
        return chosen


def defective(images: Sequence[TrainingImage]) -> list[SyntheticImage]:
    """Return the images in which a defect is drawn."""
    return [i for i in images if isinstance(i, SyntheticImage) and i.anomalous]


def choose_visible(
    learner: Learner, images: Sequence[TrainingImage], batch: int, folder: Path
) -> VisibleDrawings:
    """Choose drawings that the backbone sees, or go on where that was stopped.

    Raises:
        InputError: it sees none, or an image cannot be read.
    """
    path = folder / FILE
    found = VisibleDrawings.read(path) if path.exists() else VisibleDrawings()
    groups = list(chunks(defective(images)[len(found.taken) :], batch))
    for group in track(groups, "choosing drawings", len(groups)):
        judged, taken = _choose(learner, group)
        found = VisibleDrawings(judged=judged, taken=[*found.taken, *taken])
        found.write(path)
    if found.left_out == len(found.taken):
        raise InputError(
            f"the backbone sees none of the {len(found.taken)} defects that were drawn; choose "
            "other kinds with --synthesise, or another --extractor or --backbone"
        )
    return found


def _choose(
    learner: Learner, images: Sequence[SyntheticImage]
) -> tuple[bool, list[ChosenDrawing | None]]:
    """Return whether regions tell what is seen, and what is taken of each image."""
    drawn = [image.canvas.drawn() for image in images]
    good = _features(learner, images, [before for before, _ in drawn])
    firsts: list[ChosenDrawing | None] = [ChosenDrawing(kind=made.kind) for _, made in drawn]
    if not good.regions:
        return False, firsts
    visible = _seen(learner, images, good, [made for _, made in drawn])
    for row, image in enumerate(images):
        if not visible[row]:
            firsts[row] = _another(learner, image, drawn[row][1].kind, good.take([row]))
    return True, firsts


def _another(
    learner: Learner, image: SyntheticImage, first: str, good: Features
) -> ChosenDrawing | None:
    for drawing in image.canvas.others(first):
        try:
            _, made = image.canvas.drawn(drawing)
        except InputError:  # the other kind finds no place in this image
            continue
        if _seen(learner, [image], good, [made])[0]:
            return drawing
    return None


def _seen(
    learner: Learner, images: Sequence[SyntheticImage], good: Features, made: Sequence[Synthetic]
) -> list[bool]:
    detector = learner.detector
    size, resize = detector.backbone.spec.preprocessing.size, detector.resizing.of_each
    changed = _features(learner, images, [Image.fromarray(each.image) for each in made])
    masks = [at_model_size(each.mask, size, resize, 0).numpy() for each in made]
    return seen(good, changed, masks)


@torch.no_grad()
def _features(
    learner: Learner, images: Sequence[SyntheticImage], pictures: Sequence[Image.Image]
) -> Features:
    sources = [i.canvas.source(p) for i, p in zip(images, pictures, strict=True)]
    return learner.features(ready(sources, learner.detector))
