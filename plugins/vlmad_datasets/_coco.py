"""Annotation files of COCO: one JSON for many images, with polygons or run lengths.

The format is that of Lin et al., ECCV 2014, as its page describes it: polygons in pixels, the
parts of one object beside each other; run lengths along columns, as numbers or as text in which
each character holds five bits and whether more follow, and each run after the second its
difference to the one before the last.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property, partial
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from vlmad.errors import InputError
from vlmad_datasets._foreign import ForeignTable, ListedImages
from vlmad_datasets._shapes import Canvas, Drawing, Shape

if TYPE_CHECKING:
    from pathlib import Path

Four = Annotated[list[float], Field(min_length=4, max_length=4)]


class CocoRuns(ForeignTable):
    """Run lengths of a mask of height and width."""

    counts: list[int] | str
    size: tuple[int, int]


class CocoImage(ForeignTable):
    """An image that the file speaks of."""

    id: int | str
    file_name: str
    width: int
    height: int


class CocoCategory(ForeignTable):
    """What objects may be."""

    id: int
    name: str


class CocoAnnotation(ForeignTable):
    """One object of an image; `bbox` is left, top, width and height."""

    image_id: int | str
    category_id: int = 0
    segmentation: list[list[float]] | CocoRuns | None = None
    bbox: Four | None = None


class CocoFile(ForeignTable):
    """All images, and the objects in them."""

    images: list[CocoImage]
    annotations: list[CocoAnnotation]
    categories: list[CocoCategory] = Field(default_factory=list)

    @cached_property
    def _by_image(self) -> dict[int | str, list[int]]:
        found = defaultdict(list)
        for index, each in enumerate(self.annotations):
            found[each.image_id].append(index)
        return found

    @cached_property
    def listed(self) -> ListedImages:
        """The names of the images."""
        return ListedImages(each.file_name for each in self.images)

    def drawing(self, image: Path) -> Drawing:
        """Return what the file says of an image.

        Raises:
            InputError: it does not say anything of it, or nothing that makes sense.
        """
        entry = self.images[self.listed.entry(image)]
        labels = {each.id: each.name for each in self.categories}
        shapes = []
        for index in self._by_image.get(entry.id, []):
            found = self.annotations[index]
            label = labels.get(found.category_id, str(found.category_id))
            shapes.append(_shape(f"annotations.{index}", label, found))
        return Drawing(tuple(shapes), (entry.width, entry.height))


def _shape(place: str, label: str, found: CocoAnnotation) -> Shape:
    if isinstance(found.segmentation, CocoRuns):
        return Shape(place, label, partial(_draw_runs, runs=found.segmentation))
    if found.segmentation:
        return Shape(place, label, partial(_draw_polygons, polygons=found.segmentation))
    if found.bbox:
        x, y, width, height = found.bbox
        draw = partial(Canvas.box, one=(x, y), other=(x + width, y + height))
        return Shape(place, label, draw, "a box")
    raise InputError(f"{place} has neither segmentation nor bbox")


def _draw_polygons(canvas: Canvas, polygons: list[list[float]]) -> None:
    for polygon in polygons:
        if len(polygon) % 2 or len(polygon) < 6:
            raise InputError(f"has a polygon of {len(polygon)} numbers")
        canvas.polygon(list(zip(polygon[::2], polygon[1::2], strict=True)))


def _draw_runs(canvas: Canvas, runs: CocoRuns) -> None:
    height, width = runs.size
    if (width, height) != (canvas.width, canvas.height):
        raise InputError(f"is a mask of {width} x {height} pixels in another image")
    counts = _unpacked(runs.counts) if isinstance(runs.counts, str) else runs.counts
    canvas.runs(counts, (0, 0, width, height), "F")


def _unpacked(text: str) -> list[int]:
    """Return the run lengths that a text stands for."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - ord("0")
        if not 0 <= bits < 64 or shift > 60:
            raise InputError("has run lengths that are no text of COCO")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (1 << shift) if bits & 16 else 0  # the highest bit is the sign
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise InputError("has run lengths that end too early")
    return runs
