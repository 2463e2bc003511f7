"""A small circuit board: traces, vias, packages with pins, resistors and capacitors."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from drawing.surface import SIZE, Array, Mask, blob, colour, fill, grain, light, strokes, wander

DEFECTS = ("cut_trace", "missing_part", "solder_bridge")
SCALE = 2
"""How many times finer than the canvas the layout is drawn."""
PACKAGES = ((96, 110, 230, 250), (300, 262, 430, 402))
"""Left, top, right, bottom of the packages."""
RESISTORS = ((300, 84), (300, 122), (300, 160), (386, 84), (386, 122), (70, 318), (70, 356))
CAPACITORS = ((388, 176), (150, 330), (220, 330), (210, 430))
TRACES = (
    ((250, 128), (276, 128), (300, 104), (300, 84)),
    ((250, 152), (270, 152), (290, 122), (300, 122)),
    ((250, 176), (280, 176), (296, 160), (300, 160)),
    ((250, 224), (330, 224), (352, 246), (352, 262)),
    ((78, 128), (44, 162), (44, 300), (62, 318), (70, 318)),
    ((78, 200), (58, 220), (58, 344), (70, 356)),
    ((96, 356), (126, 386), (190, 386), (210, 410), (210, 430)),
    ((280, 286), (240, 286), (220, 306), (220, 330)),
    ((280, 334), (250, 364), (150, 364), (150, 330)),
    ((280, 382), (256, 406), (256, 470), (40, 470)),
    ((450, 286), (474, 262), (474, 60), (420, 40), (60, 40)),
    ((450, 358), (480, 388), (480, 474), (300, 474)),
    ((412, 84), (446, 84), (460, 98), (460, 200), (404, 200), (388, 176)),
    ((412, 122), (436, 122), (436, 160)),
)
VIAS = ((60, 40), (40, 470), (300, 474), (436, 160), (330, 60), (150, 70), (270, 440), (30, 90))
GREEN, COPPER = (22, 74, 50), (34, 104, 66)
GOLD, TIN, BLACK = (196, 164, 92), (176, 178, 180), (34, 34, 37)


def draw(rng: np.random.Generator, defect: str | None) -> tuple[Array, Mask]:
    """Draw a board, with a defect or without."""
    parts = [("resistor", place) for place in RESISTORS]
    parts += [("capacitor", place) for place in CAPACITORS]
    lost = parts[int(rng.integers(len(parts)))] if defect == "missing_part" else None
    image = board(lost)
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    if lost:
        mask = np.abs(image - board(None)).max(-1) > 0.02
    if defect == "cut_trace":
        image, mask = cut_trace(rng, image)
    if defect == "solder_bridge":
        image, mask = solder_bridge(rng, image)
    shift = tuple(np.rint(rng.normal(0, 3, 2)).astype(int))
    image, mask = np.roll(image, shift, (0, 1)), np.roll(mask, shift, (0, 1))
    uneven = 1 + 0.03 * grain(rng, 50) + 0.025 * grain(rng, 1.2)
    return image * uneven[..., None] * light(rng, 0.3), mask


def board(lost: tuple[str, tuple[int, int]] | None) -> Array:
    """Return the populated board but for one lost part, which leaves its pads."""
    layout = Layout()
    layout.copper()
    for package in PACKAGES:
        layout.package(*package)
    for kind, places in (("resistor", RESISTORS), ("capacitor", CAPACITORS)):
        for place in places:
            layout.pads(*place)
            if (kind, place) != lost:
                layout.part(kind, *place)
    return layout.shades()


class Layout:
    """A drawing of the board, finer than the canvas."""

    def __init__(self) -> None:
        self.canvas = Image.new("RGB", (SIZE * SCALE, SIZE * SCALE), GREEN)
        self.pen = ImageDraw.Draw(self.canvas)

    def box(self, left: float, top: float, right: float, bottom: float, **how: object) -> None:
        """Draw a rounded rectangle, in pixels of the canvas."""
        corners = [SCALE * value for value in (left, top, right, bottom)]
        self.pen.rounded_rectangle(corners, **how)  # type: ignore[arg-type]

    def copper(self) -> None:
        """Draw the traces under the green mask, and the vias."""
        for trace in TRACES:
            points = [(x * SCALE, y * SCALE) for x, y in trace]
            self.pen.line(points, fill=COPPER, width=7 * SCALE, joint="curve")
        for x, y in VIAS:
            for radius, shade in ((11, GOLD), (5, (16, 24, 20))):
                self.box(x - radius, y - radius, x + radius, y + radius, radius=99, fill=shade)

    def package(self, left: int, top: int, right: int, bottom: int) -> None:
        """Draw a black package with pins at both sides, its mark and its number."""
        for y in range(top + 18, bottom - 10, 24):
            for x, outward in ((left, -1), (right, 1)):
                tip = x + outward * 20
                self.box(min(x, tip), y - 5, max(x, tip), y + 5, radius=3, fill=TIN)
                self.box(min(x, tip) + 4, y - 4, max(x, tip) - 4, y - 1, radius=1, fill=(222,) * 3)
        self.box(left - 6, top - 10, right + 6, bottom + 10, radius=6, outline=(190,) * 3, width=3)
        self.box(left, top, right, bottom, radius=8, fill=BLACK)
        self.box(left + 3, top + 3, right - 3, top + 6, radius=2, fill=(58, 58, 62))
        self.box(left + 10, top + 12, left + 24, top + 26, radius=99, fill=(22, 22, 24))
        font = ImageFont.load_default(22 * SCALE)
        self.pen.text(((left + 18) * SCALE, (top + bottom) * SCALE / 2), "VA 26", (96,) * 3, font)

    def pads(self, x: int, y: int) -> None:
        """Draw the two pads of a small part."""
        for left in (x - 6, x + 16):
            self.box(left, y - 11, left + 16, y + 11, radius=3, fill=GOLD)

    def part(self, kind: str, x: int, y: int) -> None:
        """Draw a small part between tinned ends."""
        body = (44, 44, 48) if kind == "resistor" else (150, 116, 78)
        self.box(x - 3, y - 10, x + 29, y + 10, radius=3, fill=TIN)
        self.box(x + 4, y - 10, x + 22, y + 10, radius=1, fill=body)
        light_edge = tuple(value + 28 for value in body)
        self.box(x + 4, y - 10, x + 22, y - 7, radius=1, fill=light_edge)
        if kind == "resistor":
            font = ImageFont.load_default(10 * SCALE)
            self.pen.text(((x + 5) * SCALE, (y - 6) * SCALE), "103", (190,) * 3, font)

    def shades(self) -> Array:
        """Return the drawing as shades at the size of the canvas."""
        small = self.canvas.resize((SIZE, SIZE), Image.Resampling.BOX)
        return np.asarray(small) / 255


def cut_trace(rng: np.random.Generator, image: Array) -> tuple[Array, Mask]:
    """Return the board with a gouge through a trace, bare board and copper showing."""
    row, column = ((224, 290), (386, 160), (364, 200), (250, 58))[rng.integers(4)]
    angle = rng.uniform(0.9, 2.2)
    start = (column - 26 * np.cos(angle), row - 26 * np.sin(angle))
    line = wander(rng, start, angle, 52, 0.12)
    gouge, burr = strokes([line], 8), strokes([[(x + 4, y) for x, y in line]], 3)
    image = fill(image, gouge, colour(0.50, 0.43, 0.30) * (1 + 0.15 * grain(rng, 2))[..., None])
    return fill(image, 0.8 * burr, colour(0.80, 0.55, 0.36)), (gouge > 0.5) | (burr > 0.5)


def solder_bridge(rng: np.random.Generator, image: Array) -> tuple[Array, Mask]:
    """Return the board with solder that joins two pins."""
    left, top, right, _ = PACKAGES[rng.integers(2)]
    column = float(rng.choice([left - 12, right + 12]))
    row = top + 18 + 24 * int(rng.integers(4)) + 12.0
    joint = blob(rng, row, column, 17)
    gleam = blob(rng, row - 5, column - 4, 5)
    image = fill(image, joint, 0.62 * (1 + 0.06 * grain(rng, 4))[..., None] * colour(1, 1, 1.02))
    return fill(image, 0.9 * gleam, colour(0.97, 0.97, 0.97)), joint > 0.5
