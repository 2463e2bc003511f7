"""Annotation files of CVAT: one XML for many images, as "CVAT for images" exports it.

Coordinates are pixels; run lengths go along the rows of a box. `labelmap.txt`, which an export of
"segmentation masks" has beside its pictures, says which colour stands for what.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from vlmad.errors import InputError, first_line
from vlmad_datasets._foreign import ListedImages
from vlmad_datasets._shapes import Canvas, Drawing, Shape

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from xml.etree.ElementTree import Element

COARSE = {"box": "a box", "polyline": "a line", "points": "a point"}
PASSED_OVER = ("tag",)
"""What stands among an image's shapes and is none."""


class CvatFile:
    """All images that a file speaks of.

    Args:
        text: the XML; one that defines entities is refused.

    Raises:
        InputError: it is no such XML.
    """

    def __init__(self, text: str) -> None:
        if "<!DOCTYPE" in text:  # without one, there are no entities to expand
            raise InputError("an XML with a document type, which no annotation file needs")
        try:
            root = ElementTree.fromstring(text)
        except (ElementTree.ParseError, ValueError) as error:
            raise InputError(f"no XML: {first_line(error)}") from error
        self.images = root.findall("image")
        self.listed = ListedImages(each.get("name", "") for each in self.images)
        """The names of the images."""
        if root.tag != "annotations" or not self.images:
            form = "export the task as 'CVAT for images'"
            raise InputError(f"an XML of <{root.tag}> without images of CVAT; {form}")

    def drawing(self, image: Path) -> Drawing:
        """Return what the file says of an image.

        Raises:
            InputError: it does not say anything of it, or nothing that makes sense.
        """
        entry = self.images[self.listed.entry(image)]
        width, height = _numbers(entry, "width", "height")
        found = [each for each in entry if each.tag not in PASSED_OVER]
        shapes = (_shape(f"{each.tag} {i}", each) for i, each in enumerate(found, start=1))
        return Drawing(tuple(shapes), (int(width), int(height)))


def _shape(place: str, found: Element) -> Shape:
    try:
        draw = _draw(found)
    except InputError as error:
        raise InputError(f"{place}: {error}") from error
    return Shape(place, found.get("label", ""), draw, COARSE.get(found.tag, ""))


def _draw(found: Element) -> Callable[[Canvas], None]:
    if found.tag == "polygon":
        return partial(Canvas.polygon, points=_points(found))
    if found.tag == "polyline":
        return partial(Canvas.line, points=_points(found))
    if found.tag == "points":
        return partial(_draw_points, points=_points(found))
    if found.tag == "mask":
        return partial(_draw_runs, found=found)
    degrees = _number(found.get("rotation", "0"))
    if found.tag == "box":
        left, top, right, bottom = _numbers(found, "xtl", "ytl", "xbr", "ybr")
        return partial(Canvas.box, one=(left, top), other=(right, bottom), degrees=degrees)
    if found.tag == "ellipse":
        x, y, rx, ry = _numbers(found, "cx", "cy", "rx", "ry")
        return partial(Canvas.ellipse, middle=(x, y), radii=(rx, ry), degrees=degrees)
    raise InputError("is no shape with a meaning as a mask; draw it as a polygon")


def _draw_points(canvas: Canvas, points: list[tuple[float, float]]) -> None:
    for point in points:
        canvas.line([point])


def _draw_runs(canvas: Canvas, found: Element) -> None:
    left, top, width, height = map(int, _numbers(found, "left", "top", "width", "height"))
    runs = [int(_number(text)) for text in found.get("rle", "").split(",")]
    canvas.runs(runs, (left, top, width, height), "C")


def _points(found: Element) -> list[tuple[float, float]]:
    pairs = [pair.split(",") for pair in found.get("points", "").split(";")]
    if any(len(pair) != 2 for pair in pairs):
        raise InputError("has points that are no pairs of numbers")
    return [(_number(x), _number(y)) for x, y in pairs]


def _numbers(found: Element, *names: str) -> list[float]:
    absent = [name for name in names if found.get(name) is None]
    if absent:
        raise InputError(f"has no '{absent[0]}'")
    return [_number(found.get(name, "")) for name in names]


def _number(text: str) -> float:
    """Return a finite number.

    Raises:
        InputError: the text is none.
    """
    try:
        value = float(text)
        int(value)  # which no infinity becomes
    except (ValueError, OverflowError):
        raise InputError("has a value that is no number") from None
    return value
