"""Label files of YOLO: a text for each image, a line for each object.

A line holds the number of a class and then shares of the upright image's width and height: the
corners of a polygon, or the middle, width and height of a box.
"""

from __future__ import annotations

from functools import partial

from vlmad.errors import InputError
from vlmad_datasets._shapes import Canvas, Drawing, Shape

BEYOND = 0.01
"""How far outside of the image rounding may put a corner, as a share of its side."""


def yolo_drawing(text: str) -> Drawing:
    """Return what a label file says; nothing if there is no object.

    Raises:
        InputError: a line is none of YOLO's.
    """
    lines = enumerate(text.splitlines(), start=1)
    return Drawing(tuple(_shape(f"line {i}", line.split()) for i, line in lines if line.strip()))


def _shape(place: str, fields: list[str]) -> Shape:
    try:
        number, *shares = map(float, fields)
    except ValueError:
        raise InputError(f"{place} is not made of numbers, as YOLO's are") from None
    if len(shares) < 4 or len(shares) % 2 or not number.is_integer():
        form = "a class and the corners of a polygon, or a box"
        raise InputError(f"{place} has {len(fields)} numbers, not {form}")
    if not all(-BEYOND <= share <= 1 + BEYOND for share in shares):
        raise InputError(f"{place} has a number that is no share of the image, 0 to 1")
    box = len(shares) == 4
    draw = partial(_draw_box if box else _draw_polygon, shares=shares)
    return Shape(place, f"class {int(number)}", draw, "a box" if box else "")


def _draw_polygon(canvas: Canvas, shares: list[float]) -> None:
    x = [share * canvas.width for share in shares[::2]]
    canvas.polygon(list(zip(x, (s * canvas.height for s in shares[1::2]), strict=True)))


def _draw_box(canvas: Canvas, shares: list[float]) -> None:
    x, y, width, height = shares
    left, top = (x - width / 2) * canvas.width, (y - height / 2) * canvas.height
    canvas.box((left, top), (left + width * canvas.width, top + height * canvas.height))
