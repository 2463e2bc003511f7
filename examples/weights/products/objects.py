"""Single objects on a ground, made ones; `goods.py` has grown and baked ones."""

from __future__ import annotations

import math

import numpy as np

from products.covering import Draw, Family
from products.fields import SIZE, Rng
from products.materials import any_material, ink, metal, plastic
from products.outlines import (
    Outline,
    about,
    bar,
    both,
    box,
    disc,
    joined,
    moved,
    polygon,
    radial,
    ring,
    text,
    without,
)  # fmt: skip
from products.scene import BODY, LOOSE, PART, PRINT, Scene

LETTERS = np.array([*"ABCDEFGHKLMNPRSTUVXZ0123456789"])


def words(rng: Rng, least: int = 1, most: int = 6) -> str:
    """Draw a text of capitals and digits."""
    return "".join(rng.choice(LETTERS, rng.integers(least, most + 1)))


def around(times: int, radius: float, start: float = 0) -> list[tuple[float, float, float]]:
    """Return places about the middle, x and y, and the angle of each."""
    angles = [start + 2 * math.pi * each / times for each in range(times)]
    return [(radius * math.cos(angle), radius * math.sin(angle), angle) for angle in angles]


def gear(rng: Rng) -> Draw:
    """Draw a gear: teeth, a hub, holes."""
    radius, teeth = rng.uniform(70, 115), int(rng.integers(8, 24))
    high, pitch = radius * rng.uniform(0.12, 0.25), 2 * math.pi * radius / teeth
    body, hub = any_material(rng), any_material(rng)
    bore, holes = radius * rng.uniform(0.1, 0.3), int(rng.choice([0, 0, 3, 4, 5, 6]))
    tooth = box(2 * high, pitch * rng.uniform(0.35, 0.6), rng.uniform(1, 4))
    outline = without(disc(radius), disc(bore))
    if holes:
        outline = without(outline, about(disc(radius * 0.16), holes, radius * 0.6))

    def draw(scene: Scene) -> None:
        for x, y, angle in around(teeth, radius):
            scene.lay(tooth, body, PART, (x, y), angle, high + pitch, 5)
        scene.lay(outline, body, reach=radius, thick=5)
        scene.lay(ring(bore * 1.7, bore), hub, reach=2 * bore, thick=1)

    return draw


def nut(rng: Rng) -> Draw:
    """Draw a nut: a polygon with a threaded hole."""
    radius, corners = rng.uniform(60, 120), int(rng.choice([4, 6, 6, 6, 8]))
    hole = radius * rng.uniform(0.35, 0.6)
    body = metal(rng)
    outline = without(polygon(corners, radius, radius * rng.uniform(0, 0.06)), disc(hole))
    thread = [ring(hole * (1 + 0.05 * turn), hole * (1 + 0.05 * turn - 0.02)) for turn in (1, 2)]

    def draw(scene: Scene) -> None:
        scene.lay(outline, body, reach=radius, thick=7)
        for line in thread:
            scene.lay(line, ink(body.colour, np.random.default_rng(1)), reach=hole * 1.2)

    return draw


def washer(rng: Rng) -> Draw:
    """Draw a washer, an O-ring or a flange with a bolt circle."""
    radius = rng.uniform(60, 125)
    hole, bolts = radius * rng.uniform(0.3, 0.85), int(rng.choice([0, 0, 4, 6, 8]))
    body, bolt = any_material(rng), metal(rng)
    size = (radius - hole) * 0.25

    def draw(scene: Scene) -> None:
        scene.lay(ring(radius, scene.about(hole, 0.01)), body, reach=radius, thick=4)
        for x, y, angle in around(bolts, (radius + hole) / 2):
            turn = angle + scene.rng.uniform(0, 7)
            scene.lay(polygon(6, size), bolt, LOOSE, (x, y), turn, size, 2)

    return draw


def screw(rng: Rng) -> Draw:
    """Draw a screw from the side: a head, a shank, threads, a point."""
    length, thick = rng.uniform(130, 230), rng.uniform(14, 40)
    head, pitch = thick * rng.uniform(1.6, 2.6), rng.uniform(5, 12)
    body = metal(rng)._replace(bevel=thick / 2, rise=thick * rng.uniform(0.1, 0.3))
    count, start = int(0.6 * length / pitch), 0.3 * length - length / 2
    turn, wide = rng.uniform(0, math.pi), head * rng.uniform(0.3, 0.7)
    lean = rng.uniform(0.05, 0.3)

    def draw(scene: Scene) -> None:
        cosine, sine = math.cos(turn), math.sin(turn)

        def part(outline: Outline, at: float, role: str, reach: float, lean: float = 0) -> None:
            scene.lay(outline, body, role, (at * cosine, at * sine), turn + lean, reach, 4)

        part(box(length, thick * 0.7, 3), 0, BODY, length)
        for each in range(count):
            part(bar(pitch * 0.6, thick / 2), start + each * pitch, PART, thick, lean)
        part(box(wide, head, 4), -length / 2, BODY, head)

    return draw


def bottle_cap(rng: Rng) -> Draw:
    """Draw a bottle cap or a lid: a crimped rim, a face with a print."""
    radius, crimps = rng.uniform(70, 125), int(rng.integers(12, 48))
    angles = np.linspace(-math.pi, math.pi, 720, endpoint=False)
    rim = radial(radius * (1 + rng.uniform(0.01, 0.05) * np.sign(np.sin(crimps * angles))))
    body, face = any_material(rng), plastic(rng)
    size, label = rng.uniform(24, 60), text(words(rng), rng.uniform(24, 60))
    mark, print_turns = ink(face.colour, rng), rng.random() < 0.4
    inner = radius * rng.uniform(0.7, 0.9)

    def draw(scene: Scene) -> None:
        turn = scene.rng.uniform(0, 7) if print_turns else scene.off(0.01)
        scene.lay(rim, body, reach=radius * 1.06, thick=6)
        scene.lay(disc(inner), face, reach=inner)
        scene.lay(label, mark, PRINT, (0, 0), turn, 3 * size)

    return draw


def bottle_from_above(rng: Rng) -> Draw:
    """Draw a bottle, jar, cup or bowl from above: rings about a dark mouth."""
    radius, turns = rng.uniform(90, 140), int(rng.integers(3, 7))
    share = np.sort(rng.uniform(0.25, 0.98, turns))[::-1]
    rings = [any_material(rng) for _ in range(2)]
    mouth = plastic(rng)._replace(colour=rings[0].colour * np.float32(rng.uniform(0.1, 0.5)))

    def draw(scene: Scene) -> None:
        scene.lay(disc(radius), rings[0], reach=radius, thick=8)
        for index, each in enumerate(share):
            surface = mouth if index == turns - 1 else rings[index % 2]
            scene.lay(disc(radius * each), surface, reach=radius * each)

    return draw


def pill(rng: Rng) -> Draw:
    """Draw a tablet or capsule: one or two halves, a print, a groove."""
    long, wide = rng.uniform(120, 230), rng.uniform(60, 120)
    capsule = rng.random() < 0.5
    radius = min(wide, long / 2.2) / 2
    whole = bar(long, radius) if capsule else disc(long / 2.2)
    body = plastic(rng)._replace(bevel=radius * rng.uniform(0.3, 1), rise=radius * 0.3)
    other, label = plastic(rng)._replace(bevel=radius, rise=radius * 0.3), words(rng, 2, 6)
    printed, groove = text(label, rng.uniform(16, 34)), rng.random() < 0.4
    mark, two = ink(body.colour, rng), rng.random() < 0.6
    rolls = float(rng.choice([0, 0, 0.4]))
    right = without(whole, moved(box(long, long), -long / 2, 0))

    def draw(scene: Scene) -> None:
        scene.lay(whole, body, reach=long / 2, thick=8)
        if two and capsule:
            scene.lay(right, other, PART, reach=long / 2, thick=1)
        if groove and not capsule:
            line = both(whole, bar(long, 1.5))
            scene.lay(line, ink(body.colour, np.random.default_rng(2)), reach=long / 2)
        down = scene.off(2) - (20 if groove else 0) + rolls * radius * scene.rng.normal()
        seen = both(whole, moved(printed, -long / 4 if two and capsule else 0, down))
        scene.lay(seen, mark, PRINT, reach=long / 2)

    return draw


def coin(rng: Rng) -> Draw:
    """Draw a coin, medal or button badge: a rim, a relief, a text."""
    radius, body = rng.uniform(80, 130), metal(rng)
    raised = body._replace(rise=rng.uniform(2, 5), bevel=rng.uniform(2, 6))
    number = text(words(rng, 1, 3), radius * rng.uniform(0.6, 0.9))
    beads = int(rng.choice([0, 24, 36]))

    def draw(scene: Scene) -> None:
        scene.lay(disc(radius), body, reach=radius, thick=4)
        scene.lay(ring(radius * 0.96, radius * 0.88), raised, reach=radius)
        scene.lay(number, raised, PRINT, reach=radius)
        for x, y, _ in around(beads, 0.8 * radius):
            scene.lay(disc(radius * 0.03), raised, PART, (x, y), reach=8)

    return draw


def plate(rng: Rng) -> Draw:
    """Draw a plate, button or wheel: rings, holes, spokes."""
    radius, body = rng.uniform(80, 135), any_material(rng)
    inner = radius * rng.uniform(0.5, 0.85)
    holes, size = int(rng.choice([2, 4, 4, 5, 6])), radius * rng.uniform(0.06, 0.15)
    away, second = radius * rng.uniform(0.2, 0.4), any_material(rng)
    dots, dot = int(rng.choice([0, 8, 12, 16])), any_material(rng)
    pierced = without(disc(radius), about(disc(size), holes, away))
    face = without(disc(inner), about(disc(size), holes, away))

    def draw(scene: Scene) -> None:
        scene.lay(pierced, body, reach=radius, thick=6)
        scene.lay(face, second, reach=inner, thick=2)
        for x, y, _ in around(dots, (radius + inner) / 2):
            scene.lay(disc((radius - inner) / 3), dot, PART, (x, y), reach=30, thick=1)

    return draw


def chip(rng: Rng) -> Draw:
    """Draw a chip or connector: a body, legs, a mark, a print."""
    wide, high = rng.uniform(80, 170), rng.uniform(100, 200)
    legs, long = int(rng.integers(3, 14)), rng.uniform(12, 30)
    body, leg = plastic(rng), metal(rng)
    pitch = high * 0.92 / legs
    lines = [text(words(rng, 3, 7), rng.uniform(14, 24)) for _ in range(rng.integers(1, 4))]
    mark, four = ink(body.colour, rng), rng.random() < 0.3
    shape = box(2 * long, pitch * rng.uniform(0.3, 0.6), 2)

    def draw(scene: Scene) -> None:
        for each in range(legs):
            at = (each - (legs - 1) / 2) * pitch
            for side in (-1, 1):
                scene.lay(shape, leg, PART, (side * wide / 2, at), 0, long + pitch, 4)
                if four and abs(at) < wide / 2 - 8:
                    scene.lay(shape, leg, PART, (at, side * high / 2), math.pi / 2, long + pitch, 4)
        scene.lay(box(wide, high, 5), body, reach=wide + high, thick=5)
        scene.lay(disc(5), mark, PART, (-wide / 2 + 14, -high / 2 + 14), reach=8)
        for index, line in enumerate(lines):
            scene.lay(line, mark, PRINT, (0, 26 * (index - (len(lines) - 1) / 2)), reach=wide / 2)

    return draw


def bracket(rng: Rng) -> Draw:
    """Draw a bracket, flange or sheet part: boxes joined, with holes."""
    body, wide = any_material(rng), rng.uniform(40, 70)
    arms = [
        moved(box(rng.uniform(100, 240), wide, rng.uniform(0, 20)), rng.uniform(-30, 30),
              rng.uniform(-50, 50), angle)
        for angle in rng.choice([0, math.pi / 2, math.pi / 4], 2, replace=False)
    ]  # fmt: skip
    places = rng.uniform(-60, 60, (int(rng.integers(1, 4)), 2))
    holes = [moved(disc(rng.uniform(7, 16)), *map(float, place)) for place in places]
    outline = without(joined(*arms), joined(*holes))
    screws, head = rng.random() < 0.4, metal(rng)

    def draw(scene: Scene) -> None:
        scene.lay(outline, body, reach=SIZE / 2, thick=5)
        for across, down in places if screws else ():
            turn = scene.rng.uniform(0, 7)
            scene.lay(polygon(6, 20), head, LOOSE, (across, down), turn, 22, 4)

    return draw


def key(rng: Rng) -> Draw:
    """Draw a key or blade: a bow with a hole, a shank, bits."""
    body, bow = metal(rng), rng.uniform(35, 55)
    head = without(disc(bow) if rng.random() < 0.5 else box(2 * bow, 1.8 * bow, 12),
                   moved(disc(bow * 0.25), -bow * 0.5, 0))  # fmt: skip
    length, wide = rng.uniform(120, 160), rng.uniform(18, 30)
    bits = [(float(x), rng.uniform(6, 16)) for x in np.arange(20, length - 10, 14)]
    turn = rng.uniform(0, 2 * math.pi)
    shank = joined(moved(head, -length / 2, 0), moved(box(length, wide, 3), 0.2 * length, 0))

    def draw(scene: Scene) -> None:
        scene.lay(shank, body, turn=turn, reach=150, thick=5)
        for along, high in bits:
            x, y = along - 0.3 * length, wide / 2
            at = (x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn))
            scene.lay(box(9, 2 * high, 2), body, PART, at, turn, 30, 4)

    return draw


FAMILIES: dict[str, Family] = {
    "gear": (gear, ("gear", "sprocket", "cogwheel")),
    "nut": (nut, ("nut", "hexagon nut")),
    "washer": (washer, ("washer", "flange", "sealing ring")),
    "screw": (screw, ("screw", "bolt", "threaded rod")),
    "bottle cap": (bottle_cap, ("bottle cap", "lid")),
    "bottle": (bottle_from_above, ("bottle", "jar", "cup", "bowl")),
    "pill": (pill, ("pill", "capsule", "tablet")),
    "coin": (coin, ("coin", "medal", "token")),
    "plate": (plate, ("plate", "button", "wheel")),
    "chip": (chip, ("chip", "connector", "transistor")),
    "bracket": (bracket, ("bracket", "sheet part", "hinge")),
    "key": (key, ("key", "blade")),
}
