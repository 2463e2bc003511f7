"""Images that are told by what was drawn over them in an annotation tool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.datasets import Contents, Dataset, Problem
from vlmad.errors import InputError, first_line
from vlmad_datasets._annotations import drawing_of, is_label_file
from vlmad_datasets._layout import (
    Masks,
    check_chosen,
    images_below,
    label_places,
    labelled,
    name_of,
)
from vlmad_datasets.masks import read_mask
from vlmad_run.walking import walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmad.datasets import Sample


class Annotated(Dataset):
    """Images with label files: those with an object are defective, the others good.

    Only used where it is named, since an image without an object may as well be one that nobody
    looked at. Files of LabelMe, COCO, YOLO and CVAT, and masks that are images, are found by the
    names of the images. All images are under test.

    Args:
        labels: the folder of label files or masks, or the label file of all images; by default
            those of usual names: labels, annotations, masks, annotations.json ….
        images: the folder of images; by default all in the root.
        category: what the images show; the root's name by default.
    """

    def __init__(
        self,
        root: Path,
        labels: str | None = None,
        images: str | None = None,
        category: str | None = None,
    ) -> None:
        check_chosen(root, labels=labels, images=images)
        self.labels = [root / labels] if labels else label_places(root)
        self.root, self.images = root, root / (images or "")
        self.category = category or name_of(root)

    @classmethod
    def lacks(cls, root: Path) -> str | None:
        """Return that it must be named, if there are label files."""
        if not any(map(_holds_labels, label_places(root))):
            return None
        return "that is read only by name, as images without objects are good: --dataset annotated"

    def read(self) -> Contents:
        """Return the images, sorted; what their label files say is read to know which are good."""
        images = [
            image
            for image in images_below(self.images)
            if not any(image.is_relative_to(place) for place in self.labels)
        ]
        masks, problems = Masks(*self.labels), list[Problem]()
        found = {image: masks.of(image, self._place(image)) for image in images}
        found |= {i: m for i, m in masks.of_many(images).items() if found[i] is None}
        samples = [each for image in images for each in self._sample(image, found[image], problems)]
        bare = sum(mask is None for mask in found.values())
        if bare:
            what = f"{bare} images of which no label file speaks, taken as good"
            problems.append(Problem(self.root, what, "note"))
        return Contents(tuple(samples), (*masks.unused(), *problems))

    def _place(self, image: Path) -> tuple[str, ...]:
        return image.relative_to(self.images).parts[:-1]

    def _sample(self, image: Path, mask: Path | None, problems: list[Problem]) -> Iterator[Sample]:
        try:
            labels = _labels(image, mask)
        except InputError as error:
            what = first_line(error).removeprefix(f"{mask}: ")
            problems.append(Problem(mask or image, what, "fatal"))
            return
        yield labelled(image, self.category, "test", " + ".join(sorted(labels)) or None, mask)


def _labels(image: Path, mask: Path | None) -> set[str]:
    """Return what an image's objects are called; none if it has no objects.

    Raises:
        InputError: its mask cannot be read.
    """
    if mask is None:
        return set()
    if is_label_file(mask):
        return {each.label or "defect" for each in drawing_of(mask, image).shapes}
    return {"defect"} if read_mask(mask).marked.any() else set()


def _holds_labels(place: Path) -> bool:
    within = (file for folder in walk(place) for file in folder.named("ending"))
    return place.is_file() or any(map(is_label_file, within))
