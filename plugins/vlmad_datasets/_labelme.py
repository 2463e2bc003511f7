"""Label files of LabelMe: one JSON for each image, with the shapes drawn over it upright."""

from __future__ import annotations

import base64
import io
import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from vlmad.errors import InputError, first_line
from vlmad_datasets._foreign import ForeignTable
from vlmad_datasets._shapes import Canvas, Drawing, Shape

if TYPE_CHECKING:
    from collections.abc import Callable

CLOSED = ("polygon", "rectangle", "rotation", "oriented_rectangle")
OPEN = {"line": "a line", "linestrip": "a line", "point": "a point"}


class LabelmeShape(ForeignTable):
    """A shape as LabelMe writes it."""

    label: str | None = None
    points: list[tuple[float, float]]
    shape_type: str | None = None
    mask: str | None = None
    """Of a shape that was painted: a PNG in base64, of the box between two pixels."""


class LabelmeFile(ForeignTable):
    """A file as LabelMe writes it; the image that it may hold is passed over."""

    shapes: list[LabelmeShape]
    imageWidth: int | None = None
    imageHeight: int | None = None


def labelme_drawing(table: dict[str, Any]) -> Drawing:
    """Return what a LabelMe file says.

    Raises:
        InputError: it makes no sense, or has a shape without a meaning as a mask.
    """
    found = LabelmeFile.of(table)
    size = (found.imageWidth, found.imageHeight)
    shapes = tuple(_shape(f"shape {i}", each) for i, each in enumerate(found.shapes, start=1))
    stated = None if None in size else (size[0] or 0, size[1] or 0)
    return Drawing(shapes, stated)


def _shape(place: str, shape: LabelmeShape) -> Shape:
    kind, label = shape.shape_type or "polygon", shape.label or ""
    if kind in OPEN:
        return Shape(place, label, partial(Canvas.line, points=shape.points), OPEN[kind])
    coarse = "a box" if kind == "rectangle" else ""
    return Shape(place, label, _area(place, kind, shape), coarse)


def _area(place: str, kind: str, shape: LabelmeShape) -> Callable[[Canvas], None]:
    points, count = shape.points, len(shape.points)
    if kind == "rectangle" and count == 2:
        return partial(Canvas.box, one=points[0], other=points[1])
    if kind in CLOSED and count > 2:
        return partial(Canvas.polygon, points=points)
    if kind == "circle" and count == 2:
        radius = math.dist(*points)
        return partial(Canvas.ellipse, middle=points[0], radii=(radius, radius))
    if kind == "mask" and count == 2 and shape.mask:
        return partial(_paint, points=points, png=shape.mask)
    raise InputError(f"{place} is a '{kind}' of {count} points; draw it as a polygon")


def _paint(canvas: Canvas, points: list[tuple[float, float]], png: str) -> None:
    """Mark what was painted within a box, whose last row and column belong to it."""
    (left, top), (right, bottom) = ((math.floor(x), math.floor(y)) for x, y in points)
    size = (right - left + 1, bottom - top + 1)
    canvas.check_inside(left, top, *size)
    try:
        with Image.open(io.BytesIO(base64.b64decode(png)), formats=["PNG"]) as image:
            painted = np.asarray(image.convert("L")) > 0 if image.size == size else None
    except Exception as error:  # decoders raise whatever a damaged file makes them raise
        raise InputError(f"is a mask that cannot be decoded: {first_line(error)}") from error
    if painted is None:
        raise InputError("is a mask of another size than its box")
    canvas.paste(painted, left, top)
