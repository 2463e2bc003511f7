"""Grown, baked and toy-like objects, trays of equal parts and kits of different ones."""

from __future__ import annotations

import math

import numpy as np

from products.assemblies import small_form
from products.covering import Draw, Family
from products.fields import SIZE, Rng, any_colour
from products.materials import any_material, ink, metal, plastic, rough
from products.objects import around, words
from products.outlines import (
    bar,
    both,
    box,
    disc,
    joined,
    moved,
    polygon,
    radial,
    text,
    without,
    wobbly,
)  # fmt: skip
from products.scene import BODY, CRUMB, LOOSE, PART, PRINT, Scene


def cookie(rng: Rng) -> Draw:
    """Draw a biscuit: a crumbly disc or box with holes, chips or crumbs that lie anywhere."""
    radius, crumbly = rng.uniform(85, 130), np.exp(rng.uniform(-4.5, -2.2))
    body, chip = rough(rng), rough(rng)
    holes, chips = ((0, 0), (5, 0), (8, 0), (12, 0), (0, 9), (0, 25), (5, 6))[rng.integers(7)]
    square, longer = rng.random() < 0.35, np.exp(rng.exponential(0.12))
    pierced = body._replace(colour=body.colour * np.float32(0.5), rise=-2, bevel=3)
    crumbs = int(rng.choice([0, 0, 4, 10]))

    def draw(scene: Scene) -> None:
        rng, size = scene.rng, scene.about(radius, 0.015)
        for _ in range(rng.poisson(crumbs)):
            away, angle, crumb = size * rng.uniform(1, 1.5), rng.uniform(0, 7), rng.uniform(1, 5)
            at = (away * math.cos(angle), away * math.sin(angle))
            scene.lay(wobbly(crumb, 0.3, rng, 6), body, CRUMB, at, 0, 2 * crumb, 1)
        rough_by = crumbly * (0.5 + scene.vary / 2)
        outline = wobbly(size, rough_by, rng, 30, longer)
        if square:
            rim, straight = wobbly(size * 1.25, rough_by, rng, 30), box(1.8 * size, 1.7 * size, 14)
            outline = both(straight, rim)
        scene.lay(outline, body, reach=1.5 * size, thick=7)
        for x, y, _ in around(holes, 0.55 * size):
            at = (x + scene.off(3), y + scene.off(3))
            scene.lay(disc(scene.about(5, 0.1)), pierced, PART, at, reach=9)
        for _ in range(max(0, chips + round(scene.off(chips / 9)))):
            away, angle = 0.85 * size * math.sqrt(rng.random()), rng.uniform(0, 7)
            lump, at = rng.uniform(4, 14), (away * math.cos(angle), away * math.sin(angle))
            scene.lay(wobbly(lump, 0.2, rng, 6), chip, BODY, at, 0, 1.6 * lump, 1.5)

    return draw


def shell(rng: Rng) -> Draw:
    """Draw a nut, seed, fruit or stone: an uneven body with a cap and furrows."""
    radius, longer = rng.uniform(70, 110), rng.uniform(1, 1.5)
    body, cap = rough(rng)._replace(rise=radius * 0.35, bevel=radius * 0.9), rough(rng)
    uneven, capped = rng.uniform(0.01, 0.06), rng.random() < 0.5
    furrows, fine = int(rng.integers(0, 9)), rng.uniform(0.8, 2.5)
    dark = body._replace(colour=body.colour * np.float32(0.7), rise=0)

    def draw(scene: Scene) -> None:
        whole = wobbly(scene.about(radius), uneven * (0.5 + scene.vary / 2), scene.rng, 8, longer)
        scene.lay(whole, body, reach=radius * 1.7, thick=9)
        if furrows:
            gaps = [(each - (furrows - 1) / 2) * radius * 1.5 / furrows for each in range(furrows)]
            lines = joined(*(moved(bar(2 * radius, fine), 0, gap + scene.off(2)) for gap in gaps))
            scene.lay(both(whole, lines), dark, reach=radius * 1.5)
        if capped:
            end = moved(wobbly(radius * 0.6, 0.04, scene.rng, 9), -radius * longer, 0)
            scene.lay(both(whole, end), cap, PART, reach=radius * 1.7)

    return draw


def figure(rng: Rng) -> Draw:
    """Draw a toy: a body, a head, limbs and buttons of several colours."""
    wide, high = rng.uniform(50, 90), rng.uniform(70, 110)
    body, head, limb, eye = (plastic(rng) for _ in range(4))
    round_by, thin = rng.uniform(8, 30), rng.uniform(8, 17)
    arm, leg = rng.uniform(40, 70), rng.uniform(45, 75)
    face, corners = rng.uniform(24, 38), int(rng.choice([3, 4, 5, 6, 8]))
    skull = disc(face) if rng.random() < 0.6 else polygon(corners, face * 1.2, face * 1.1)
    buttons, raised = int(rng.integers(0, 4)), rng.uniform(-0.9, 0.9)

    def draw(scene: Scene) -> None:
        for side in (-1, 1):
            bend = side * (raised + scene.off(0.02)) + (0 if side > 0 else math.pi)
            at = (side * (wide / 2 + 0.35 * arm * math.cos(raised)), -high / 4 + arm * raised / 3)
            scene.lay(bar(arm, thin), limb, PART, at, bend, arm, 4)
            scene.lay(bar(leg, thin), limb, PART, (side * wide / 4, high / 2 + leg / 3),
                      math.pi / 2 + scene.off(0.02), leg, 4)  # fmt: skip
        scene.lay(box(wide, high, round_by), body, reach=high, thick=6)
        scene.lay(skull, head, PART, (0, -high / 2 - face * 0.7), 0, 1.4 * face, 5)
        for side in (-1, 1):
            at = (side * face * 0.4, -high / 2 - face * 0.8)
            scene.lay(disc(face * 0.14), eye, PART, at, 0, face / 2)
        for each in range(buttons):
            scene.lay(disc(6), eye, PART, (0, -high / 4 + 22 * each), 0, 8, 2)

    return draw


def leaf(rng: Rng) -> Draw:
    """Draw a leaf, feather or petal: a pointed outline with veins."""
    length, wide = rng.uniform(90, 140), rng.uniform(0.3, 0.7)
    angles = np.linspace(-math.pi, math.pi, 360, endpoint=False)
    teeth, fine = int(rng.integers(0, 40)), rng.uniform(0, 0.04)
    form = wide + (1 - wide) * np.abs(np.cos(angles)) ** rng.uniform(3, 9)
    body, veins = rough(rng)._replace(rise=1), int(rng.integers(3, 9))
    pale, lean = ink(body.colour, rng), rng.uniform(0.4, 1.1)
    turn = rng.uniform(0, 7)

    def draw(scene: Scene) -> None:
        rng = scene.rng
        wander = np.cumsum(rng.normal(0, 0.1, 360)) * np.sin(angles / 2) ** 2
        uneven = 1 + 0.02 * scene.vary * wander
        outline = radial(length * form * uneven * (1 + fine * np.sin(teeth * angles)))
        scene.lay(outline, body, turn=turn, reach=1.3 * length, thick=3)
        lines = [bar(1.9 * length, 1.5)]
        for each in range(veins):
            along = (each / veins - 0.45) * 1.6 * length
            lines += [moved(bar(length, 0.8), along + 0.4 * length * math.cos(lean),
                            side * 0.4 * length * math.sin(lean), side * lean)
                      for side in (-1, 1)]  # fmt: skip
        scene.lay(both(outline, joined(*lines)), pale, BODY, turn=turn, reach=1.3 * length)

    return draw


def wires(rng: Rng) -> Draw:
    """Draw a cable cut across: a jacket, insulated wires, strands."""
    radius, jacket = rng.uniform(90, 135), plastic(rng)
    fill, copper = plastic(rng), metal(rng)._replace(rise=2, bevel=4)
    count = int(rng.integers(2, 8))
    away = radius * (0.42 if count < 4 else 0.52)
    own = min(0.9 * away * math.sin(math.pi / count), 0.4 * radius)
    colours = [plastic(rng) for _ in range(count)]
    strands = int(rng.integers(1, 8))

    def draw(scene: Scene) -> None:
        scene.lay(disc(radius), jacket, reach=radius, thick=4)
        scene.lay(disc(0.88 * radius), fill, reach=radius)
        for (x, y, angle), colour in zip(around(count, away), colours, strict=True):
            at = (x + scene.off(1), y + scene.off(1))
            scene.lay(disc(own), colour, PART, at, 0, own)
            spread = 0 if strands == 1 else 0.4 * own
            for right, below, _ in around(strands, spread, angle):
                place = (at[0] + right, at[1] + below)
                thin = 0.5 * own if strands == 1 else 0.9 * own / strands**0.9
                scene.lay(disc(thin), copper, PART, place, 0, own)

    return draw


def label(rng: Rng) -> Draw:
    """Draw a box, label or card with a print: lines of text, bars, a frame."""
    wide, high = rng.uniform(150, 280), rng.uniform(110, 260)
    body = any_material(rng)._replace(rise=1.5, relief=0)
    mark, second = ink(body.colour, rng), ink(body.colour, rng)._replace(colour=any_colour(rng))
    sizes = rng.uniform(14, 40, rng.integers(2, 6))
    lines = [(text(words(rng, 3, 9), size), size) for size in sizes]
    bars, framed = int(rng.choice([0, 0, 14, 20])), rng.random() < 0.5
    widths = rng.uniform(1, 5, 20)
    frame = without(box(wide - 12, high - 12, 6), box(wide - 20, high - 20, 4))

    def draw(scene: Scene) -> None:
        scene.lay(box(wide, high, 5), body, reach=wide / 2 + high / 2, thick=4)
        if framed:
            scene.lay(frame, second, BODY, reach=wide / 2 + high / 2)
        down = -high / 2 + 24
        for index, (line, size) in enumerate(lines):
            if down + size < high / 2:
                colour = mark if index % 2 else second
                scene.lay(line, colour, PRINT, (scene.off(0.5), down + size / 2), reach=wide / 2)
            down += size + 8
        for each in range(bars):
            at = ((each - bars / 2) * 8, high / 2 - 30)
            scene.lay(box(widths[each], 34), mark, PRINT, at, 0, 40)

    return draw


def tray(rng: Rng) -> Draw:
    """Draw a tray or block with equal parts in its places, in rows or in a ring."""
    rows, columns = int(rng.integers(1, 5)), int(rng.integers(2, 6))
    pitch = min(250 / columns, 250 / rows, 90)
    size, role = 0.42 * pitch, any_material(rng)
    outline, spins = small_form(rng, size), rng.random() < 0.4
    sort = LOOSE if spins else PART
    block = any_material(rng)._replace(rise=3)
    pocket = block._replace(colour=block.colour * np.float32(0.6), rise=-3, bevel=4)
    slot = disc(size * 1.12) if rng.random() < 0.6 else box(2.2 * size, 2.2 * size, 4)
    inner, mark = small_form(rng, 0.45 * size), any_material(rng)
    marked = rng.random() < 0.5
    loose, base = rng.uniform(0, 0.05) * size, (columns * pitch + 20, rows * pitch + 20)

    def draw(scene: Scene) -> None:
        scene.lay(box(*base, 8), block, reach=sum(base) / 2, thick=8)
        places = [((column - (columns - 1) / 2) * pitch, (row - (rows - 1) / 2) * pitch)
                  for row in range(rows) for column in range(columns)]  # fmt: skip
        for x, y in places:
            scene.lay(slot, pocket, reach=1.6 * size, at=(x, y))
        for x, y in places:
            at = (x + scene.off(loose), y + scene.off(loose))
            turn = scene.rng.uniform(0, 7) if spins else scene.off(0.02)
            scene.lay(outline, role, sort, at, turn, 1.3 * size, 4)
            if marked:
                scene.lay(inner, mark, sort, at, turn, size, 1)

    return draw


def kit(rng: Rng) -> Draw:
    """Draw a kit: different parts side by side, on a card or on the bare ground."""
    count = int(rng.integers(3, 11))
    places = np.array([(x, y) for x in (-90, 0, 90) for y in (-96, -32, 32, 96)], float)
    chosen = places[rng.permutation(len(places))[:count]] + rng.normal(0, 4, (count, 2))
    sizes = rng.uniform(16, 38, count)
    parts = [(small_form(rng, size), any_material(rng), float(size)) for size in sizes]
    spread, card = rng.uniform(0.3, 4), any_material(rng)
    carded, turning = rng.random() < 0.5, rng.choice([0.02, 0.1, 3])

    def draw(scene: Scene) -> None:
        if carded:
            scene.lay(box(290, 280, 8), card, reach=SIZE, thick=4)
        for (x, y), (outline, material, size) in zip(chosen, parts, strict=True):
            at = (x + scene.off(spread), y + scene.off(spread))
            scene.lay(outline, material, PART, at, scene.off(turning), 1.3 * size, 5)

    return draw


def pins(rng: Rng) -> Draw:
    """Draw a connector, comb, brush or socket: rows of pins on a body."""
    rows, columns = int(rng.integers(1, 5)), int(rng.integers(4, 16))
    pitch = min(270 / columns, 36)
    body, pin = plastic(rng), any_material(rng)._replace(rise=2, bevel=4)
    long = rng.choice([0.0, rng.uniform(20, 90)]) if rows == 1 else 0.0
    outline = box(0.5 * pitch, max(0.5 * pitch, 2 * long), 2) if rng.random() < 0.5 else bar(
        max(0.55 * pitch, 2 * long), 0.27 * pitch)  # fmt: skip
    turn = math.pi / 2 if long and rng.random() < 0.5 else 0.0
    wide, high = columns * pitch + 14, rows * pitch + rng.uniform(10, 60)

    def draw(scene: Scene) -> None:
        scene.lay(box(wide, high, 5), body, reach=wide, thick=7)
        for row in range(rows):
            for column in range(columns):
                at = ((column - (columns - 1) / 2) * pitch + scene.off(0.2),
                      (row - (rows - 1) / 2) * pitch + scene.off(0.2) + long / 2)  # fmt: skip
                scene.lay(outline, pin, PART, at, turn, pitch + long, 2)

    return draw


FAMILIES: dict[str, Family] = {
    "cookie": (cookie, ("cookie", "biscuit", "cracker")),
    "shell": (shell, ("hazelnut", "seed", "fruit", "pebble")),
    "figure": (figure, ("toy figure", "robot", "doll")),
    "leaf": (leaf, ("leaf", "petal", "feather")),
    "wires": (wires, ("cable", "wire bundle")),
    "label": (label, ("label", "box", "card")),
    "tray": (tray, ("tray", "block of parts", "blister")),
    "kit": (kit, ("kit", "set of parts", "assortment")),
    "pins": (pins, ("pin header", "comb", "brush")),
}
