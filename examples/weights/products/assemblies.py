"""Things made of many parts: boards, keys, zips, brushes, dials; and many pieces at once."""

from __future__ import annotations

import math

import numpy as np

from products import cloths, textures
from products.covering import Draw, Family
from products.fields import SIZE, Rng, any_colour, beside, tone
from products.materials import Material, any_material, ink, metal, plastic, rough
from products.objects import around, words
from products.outlines import (
    Outline,
    bar,
    bent,
    both,
    box,
    disc,
    joined,
    moved,
    polygon,
    ring,
    text,
    without,
    wobbly,
)
from products.scene import BODY, PART, PRINT, Scene


def small_form(rng: Rng, size: float) -> Outline:
    """Draw the outline of a small part that fits into a circle."""
    forms = (
        disc(size), ring(size, size * rng.uniform(0.3, 0.7)), polygon(6, size),
        box(1.5 * size, size * rng.uniform(0.6, 1.3), size * 0.2),
        bar(1.9 * size, size * rng.uniform(0.25, 0.5)), polygon(int(rng.integers(3, 9)), size),
        without(polygon(6, size), disc(0.5 * size)), wobbly(size * 0.8, 0.08, rng, 6, 1.2),
        bent(size * 0.7, size * rng.uniform(0.15, 0.3), rng.uniform(0.8, 2.6)),
    )  # fmt: skip
    return forms[rng.integers(len(forms))]


def _grid(rows: int, columns: int, pitch: float, high: float = 0) -> list[tuple[float, float]]:
    """Return the places of a grid about the middle, x and y."""
    return [
        ((column - (columns - 1) / 2) * pitch, (row - (rows - 1) / 2) * (high or pitch))
        for row in range(rows)
        for column in range(columns)
    ]


def circuit(rng: Rng) -> Draw:
    """Draw a circuit board: tracks, pads, small parts, chips, letters."""
    green = tone(rng, (0.2, 0.65), (0.4, 0.9), (0.15, 0.6))
    board = plastic(rng)._replace(colour=green, rise=1, uneven=0.03)
    copper = ink(board.colour, rng)._replace(colour=board.colour * np.float32(1.35))
    pad, steps = metal(rng), np.linspace(-100, 100, 9)
    tracks = []
    for _ in range(rng.integers(4, 10)):
        (x, y), long, wide = rng.choice(steps, 2), rng.uniform(30, 140), rng.uniform(2, 5)
        angle = float(rng.choice([0, math.pi / 2, math.pi / 4, -math.pi / 4]))
        tracks.append((bar(long, wide), (float(x), float(y)), angle, long / 2 + wide))
    cells = [_grid(6, 6, 44)[place] for place in rng.permutation(36)]
    vias, smalls = cells[: rng.integers(0, 8)], cells[8 : 8 + rng.integers(4, 12)]
    sorts = [(box(rng.uniform(16, 36), rng.uniform(9, 22), 2), any_material(rng)) for _ in "abc"]
    parts = [(place, sorts[rng.integers(3)], float(rng.choice([0, math.pi / 2])))
             for place in smalls]  # fmt: skip
    names = [(text(words(rng, 2, 3), 11), (x + 14, y + 18)) for x, y in smalls[::3]]
    white, full = ink(board.colour, rng), rng.random() < 0.4
    side = 2 * SIZE if full else rng.uniform(265, 300)

    def draw(scene: Scene) -> None:
        scene.lay(box(side, side, 3), board, reach=side, thick=4)
        for track, place, turn, reach in tracks:
            scene.lay(track, copper, BODY, place, turn, reach)
        for place in vias:
            scene.lay(ring(7, 3), pad, BODY, place, 0, 8)
        for place, (outline, material), turn in parts:
            x, y = place[0] + scene.off(0.3), place[1] + scene.off(0.3)
            scene.lay(box(40, 14, 2), pad, BODY, place, turn, 22)
            scene.lay(outline, material, PART, (x, y), turn + scene.off(0.01), 22, 3)
        for name, place in names:
            scene.lay(name, white, PRINT, place, 0, 24)

    return draw


def keyboard(rng: Rng) -> Draw:
    """Draw keys, dominoes or blocks with a letter each on a panel."""
    rows, columns = int(rng.integers(1, 5)), int(rng.integers(2, 6))
    pitch = min(270 / columns, 270 / rows, 80)
    panel, key = plastic(rng), any_material(rng)._replace(rise=3, bevel=6)
    outline = box(0.86 * pitch, 0.86 * pitch, pitch * rng.uniform(0, 0.4))
    letters = [text(words(rng, 1, 2), 0.45 * pitch) for _ in range(rows * columns)]
    mark, second, odd = ink(key.colour, rng), any_material(rng), rng.integers(2, 9)

    def draw(scene: Scene) -> None:
        scene.lay(box(columns * pitch + 14, rows * pitch + 14, 8), panel, reach=220, thick=5)
        for index, (letter, place) in enumerate(
            zip(letters, _grid(rows, columns, pitch), strict=True)
        ):
            surface = second if index % odd == odd - 1 else key
            scene.lay(outline, surface, PART, place, scene.off(0.006), 0.65 * pitch, 4)
            scene.lay(letter, mark, PRINT, place, 0, 0.5 * pitch)

    return draw


def zipper(rng: Rng) -> Draw:
    """Draw a zip: two tapes of cloth and teeth that interlock, full in the picture's height."""
    cloth = cloths.FAMILIES[str(rng.choice(["weave", "knit", "stripes"]))][0](rng)
    pitch, wide = rng.uniform(13, 26), rng.uniform(14, 40)
    tooth, edge = any_material(rng), plastic(rng)
    outline = box(wide, 0.42 * pitch, 2)

    def draw(scene: Scene) -> None:
        cloth(scene)
        scene.lay(box(2.6 * wide, 3 * SIZE, 0), edge, BODY, thick=2)
        for each in range(-int(200 / pitch), int(200 / pitch) + 1):
            for side in (-1, 1):
                at = (side * wide * 0.36, (each + side / 4) * pitch + scene.off(0.2))
                scene.lay(outline, tooth, PART, at, 0, wide, 2)

    return draw


def brush(rng: Rng) -> Draw:
    """Draw a brush from the side of its bristles: tufts of several colours in a grid."""
    rows, columns = int(rng.integers(3, 9)), int(rng.integers(3, 7))
    pitch = min(250 / columns, 270 / rows, 40)
    handle, colours = plastic(rng), [rough(rng) for _ in range(rng.integers(1, 4))]
    order = rng.integers(0, len(colours), rows * columns)
    size, splayed = 0.46 * pitch, rng.uniform(0.02, 0.15)

    def draw(scene: Scene) -> None:
        high = rows * pitch
        scene.lay(box(columns * pitch + 16, high + 20, 24), handle, reach=high + 60, thick=6)
        for place, which in zip(_grid(rows, columns, pitch), order, strict=True):
            tuft = wobbly(scene.about(size, 0.03), splayed, scene.rng, 12)
            material = colours[which]._replace(spots=2.5, relief=1.2)
            at = (place[0] + scene.off(0.8), place[1] + scene.off(0.8))
            scene.lay(tuft, material, PART, at, 0, 1.5 * size, 2)

    return draw


def studs(rng: Rng) -> Draw:
    """Draw a surface with studs, holes, buttons or motifs in rows, each a part of its own."""
    families = textures.FAMILIES | cloths.FAMILIES
    surface = families[str(rng.choice(["brushed", "leather", "glaze", "weave", "paper", "wood"]))]
    below, pitch, size = surface[0](rng), rng.uniform(36, 75), rng.uniform(0.18, 0.38)
    form, material = small_form(rng, pitch * size), any_material(rng)
    thick = float(rng.choice([0, 3]))
    count, shifted = int(340 / pitch) + 1, rng.random() < 0.5

    def draw(scene: Scene) -> None:
        below(scene)
        for x, y in _grid(count, count, pitch):
            at = (x + (pitch / 2 if shifted and round(y / pitch) % 2 else 0), y)
            scene.lay(form, material, PART, at, scene.off(0.01), 1.3 * pitch * size, thick)

    return draw


def heap(rng: Rng) -> Draw:
    """Draw pieces that lie anywhere: sweets, beans, macaroni, granules, coins."""
    size, count = rng.uniform(14, 48), 0
    count = int(np.clip(rng.uniform(0.3, 0.9) * (250 / size) ** 2 / 5, 3, 45))
    sorts = [(small_form(rng, size), any_material(rng)) for _ in range(rng.integers(1, 4))]
    sorts = [(form, m._replace(rise=size * 0.25, bevel=size * 0.7)) for form, m in sorts]
    apart = rng.random() < 0.6

    def draw(scene: Scene) -> None:
        rng = scene.rng
        cells = np.array(_grid(6, 6, 46))[rng.permutation(36)]
        for each in range(count):
            x, y = cells[each % 36] if apart else rng.uniform(-120, 120, 2)
            form, material = sorts[each % len(sorts)]
            at = (float(x) + rng.normal(0, 5), float(y) + rng.normal(0, 5))
            scene.lay(form, material, BODY, at, rng.uniform(0, 7), 1.3 * size, size * 0.15)

    return draw


def dial(rng: Rng) -> Draw:
    """Draw a clock, gauge or knob: a face with ticks, numbers and a hand."""
    radius, case, face = rng.uniform(95, 135), any_material(rng), plastic(rng)
    ticks, numbers = int(rng.choice([8, 10, 12, 24, 36])), rng.random() < 0.6
    mark, hand = ink(face.colour, rng), any_material(rng)
    face = face._replace(rise=0, gloss=0)
    digits = [text(str(each), 0.17 * radius) for each in range(1, ticks + 1)]
    angle, hands, wide = rng.uniform(0, 7), int(rng.integers(1, 3)), rng.uniform(3, 7)

    def draw(scene: Scene) -> None:
        scene.lay(disc(radius), case, reach=radius, thick=6)
        scene.lay(disc(0.88 * radius), face, reach=radius)
        for x, y, turn in around(ticks, 0.8 * radius):
            scene.lay(box(0.12 * radius, 3, 0), mark, PRINT, (x, y), turn, 12)
        for digit, (x, y, _) in zip(digits, around(ticks, 0.63 * radius), strict=True):
            if numbers and ticks <= 12:
                scene.lay(digit, mark, PRINT, (x, y), 0, 0.2 * radius)
        for each in range(hands):
            turn, long = angle * (each + 1) + scene.off(0.01), (0.55 - 0.2 * each) * radius
            at = (0.4 * long * math.cos(turn), 0.4 * long * math.sin(turn))
            scene.lay(bar(long, wide / (1 + each / 2)), hand, PART, at, turn, long, 2)
        scene.lay(disc(wide * 1.6), hand, PART, reach=20, thick=1)

    return draw


def transistor(rng: Rng) -> Draw:
    """Draw a transistor, plug or LED in its board: a body and wires that go into holes."""
    wires, wide = int(rng.integers(2, 5)), rng.uniform(80, 150)
    body, lead, hole = plastic(rng), metal(rng), plastic(rng)._replace(rise=0)
    high, long = rng.uniform(60, 110), rng.uniform(60, 120)
    dark = hole._replace(colour=tone(rng, bright=(0.02, 0.15)))
    label, mark = text(words(rng, 3, 5), 20), ink(body.colour, rng)
    row, domed = _grid(5, 8, 36), rng.random() < 0.5
    shape = joined(box(wide, high, 6), disc(wide / 2)) if domed else box(wide, high, 6)

    def draw(scene: Scene) -> None:
        for place in row:
            scene.lay(disc(5), dark, BODY, place, 0, 7)
        for each in range(wires):
            across = (each - (wires - 1) / 2) * 0.7 * wide / wires
            bend = 0.25 * (each - (wires - 1) / 2) + scene.off(0.03)
            at = (across - 0.5 * long * math.sin(bend), high / 2 - 50 + 0.5 * long)
            scene.lay(box(7, long, 2), lead, PART, at, bend, long, 4)
        scene.lay(shape, body, BODY, (0, -50), scene.off(0.01), wide, 8)
        scene.lay(label, mark, PRINT, (0, -50), 0, wide / 2)

    return draw


def pipe(rng: Rng) -> Draw:
    """Draw a tube, pen, candle or bottle from the side: lengths with bands and a label."""
    long, wide = rng.uniform(180, 300), rng.uniform(35, 110)
    body = any_material(rng)._replace(bevel=wide / 2, rise=wide * rng.uniform(0.1, 0.4))
    neck, cap = wide * rng.uniform(0.3, 1), plastic(rng)._replace(bevel=wide / 3, rise=wide / 6)
    bands = [(rng.uniform(-0.35, 0.35) * long, rng.uniform(4, 40)) for _ in range(rng.integers(4))]
    materials = [Material(beside(body.colour, rng), any_colour(rng), 0.05) for _ in bands]
    label, turn = text(words(rng, 3, 8), wide * 0.4), float(rng.choice([0, math.pi / 2]))
    mark, rolls = ink(body.colour, rng), float(rng.choice([0, 0, 0.3]))

    def draw(scene: Scene) -> None:
        def at(along: float) -> tuple[float, float]:
            return along * math.cos(turn), along * math.sin(turn)

        scene.lay(box(long, wide, wide * 0.15), body, BODY, turn=turn, reach=long / 1.6, thick=8)
        for (along, size), material in zip(bands, materials, strict=True):
            lit = material._replace(bevel=body.bevel, rise=0)
            scene.lay(box(size, wide * 0.98), lit, PART, at(along), turn, wide)
        scene.lay(box(0.2 * long, neck, 4), cap, PART, at(-0.5 * long), turn, wide + long / 5, 6)
        rolled = moved(label, 0.1 * long, rolls * wide * scene.rng.normal())
        scene.lay(both(box(long, wide), rolled), mark, PRINT, turn=turn, reach=long / 2)

    return draw


FAMILIES: dict[str, Family] = {
    "circuit": (circuit, ("circuit board", "control board")),
    "keyboard": (keyboard, ("keyboard", "keypad", "letter blocks")),
    "zipper": (zipper, ("zipper",)),
    "brush": (brush, ("toothbrush", "hairbrush")),
    "studs": (studs, ("studded belt", "quilted panel", "punched sheet")),
    "heap": (heap, ("sweets", "beans", "macaroni", "granules")),
    "dial": (dial, ("clock", "gauge", "knob")),
    "transistor": (transistor, ("transistor", "plug", "diode")),
    "pipe": (pipe, ("tube", "pen", "candle", "syringe")),
}
