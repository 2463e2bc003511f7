"""Surfaces that repeat: cloth, mesh, sheets, tiles, prints."""

from __future__ import annotations

import math

import numpy as np

from products.covering import Draw, Family, Pattern, covered, draw_finish
from products.fields import Array, Rng, cells, line_noise, noise, one_of_each, step, wave
from products.scene import Scene


def _turned(pattern: Pattern, rng: Rng) -> Pattern:
    """Return a pattern that lies straight, diagonally or at any angle."""
    angle = (0.0, math.pi / 4, rng.uniform(0, math.pi))[rng.choice(3, p=(0.6, 0.2, 0.2))]
    if not angle:
        return pattern
    cosine, sine = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    return lambda x, y, scene: pattern(cosine * x + sine * y, cosine * y - sine * x, scene)


def _each_its_own(number: Array, times: int, strength: float, rng: Rng) -> Array:
    """Return a value for each thread or bar by its number."""
    own = rng.normal(0, strength, times).astype(np.float32)
    return own.take(number.astype(np.int32) % times)


def weave(rng: Rng) -> Draw:
    """Draw plain weave, basket or twill: threads over and under."""
    down, across = np.exp(rng.uniform(1.4, 3.2)) * np.array([1, rng.uniform(0.7, 1.4)])
    over, along = ((1, 1), (2, 1), (1, 2), (3, 1))[rng.integers(4)]
    uneven, two = rng.exponential(0.08), rng.uniform(0, 1)

    def pattern(x: Array, y: Array, scene: Scene) -> tuple[Array, Array]:
        u, v = x / np.float32(across), y / np.float32(down)
        column, row = np.floor(u), np.floor(v)
        above = (column + along * row) % (over + 1) < over
        warp, weft = 1 - np.square(2 * (u - column) - 1), 1 - np.square(2 * (v - row) - 1)
        height = np.where(above, warp * (0.5 + 0.5 * weft), weft * (0.5 + 0.5 * warp))
        own = np.where(above, _each_its_own(column, 97, uneven, scene.rng),
                       _each_its_own(row, 89, uneven, scene.rng))  # fmt: skip
        share = 1 - height * (0.7 + 0.3 * np.where(above, 1, two)) + own
        return np.clip(share, 0, 1).astype(np.float32), height.astype(np.float32)

    return covered(_turned(pattern, rng), draw_finish(rng))


def knit(rng: Rng) -> Draw:
    """Draw knitwear: columns of loops that lean to each other."""
    wide, slant = np.exp(rng.uniform(1.9, 3.3)), rng.uniform(0.4, 1)
    high = wide * rng.uniform(0.6, 1.1)

    def pattern(x: Array, y: Array, scene: Scene) -> tuple[Array, Array]:
        u = x / np.float32(wide)
        column = np.floor(u)
        side = np.abs(2 * (u - column) - 1)
        v = y / np.float32(high) + np.float32(slant) * side
        loop = wave(v, 1) * np.sqrt(np.clip(4 * side * (1.05 - side), 0, 1))
        return np.clip(1 - loop, 0, 1), loop

    return covered(_turned(pattern, rng), draw_finish(rng))


def mesh(rng: Rng) -> Draw:
    """Draw a grid, net or lattice: bars with gaps between them."""
    across, down = rng.uniform(7, 45) * np.array([1, rng.choice([1, 1, rng.uniform(0.6, 1.6)])])
    wide, uneven = rng.uniform(0.08, 0.4), rng.exponential(0.03)

    def pattern(x: Array, y: Array, scene: Scene) -> tuple[Array, Array]:
        bars = []
        for at, period in ((x, across), (y, down)):
            u = at / np.float32(period)
            number = np.floor(u)
            off = _each_its_own(number, 83, uneven, scene.rng)
            away = np.abs(u - number - 0.5 + off) * np.float32(period)
            bars.append(np.float32(wide * period / 2) - away)
        depth = np.maximum(*bars)
        bar = step(depth, 1.5)
        round_off = np.sqrt(np.clip(depth / np.float32(wide * across / 2), 0, 1))
        return 1 - bar, bar * (0.5 + 0.5 * round_off)

    return covered(_turned(pattern, rng), draw_finish(rng))


def perforated(rng: Rng) -> Draw:
    """Draw a sheet with holes, studs or dots in rows."""
    period, offset = rng.uniform(8, 50), float(rng.choice([0, 0.5]))
    radius, squareness = period * rng.uniform(0.15, 0.42), rng.choice([2.0, 2.0, 6.0])
    uneven = rng.exponential(0.02)

    def pattern(x: Array, y: Array, scene: Scene) -> tuple[Array, Array]:
        v = y / np.float32(period)
        row = np.floor(v)
        u = x / np.float32(period) + np.float32(offset) * row
        column = np.floor(u)
        number = (row * 31 + column).astype(np.int32)
        away = np.abs(np.stack([u - column, v - row]) - 0.5) * np.float32(period)
        distance = (away**squareness).sum(0) ** (1 / squareness)
        sizes = np.float32(radius) * (1 + np.float32(uneven) * one_of_each(number, scene.rng))
        hole = step(sizes - distance, 1.5)
        return hole, -hole

    return covered(_turned(pattern, rng), draw_finish(rng))


def bricks(rng: Rng) -> Draw:
    """Draw tiles, bricks or paving with grout between them."""
    wide, offset = rng.uniform(22, 150), float(rng.choice([0, 0, 0.5, 0.33]))
    high, grout = wide * rng.choice([1, rng.uniform(0.3, 1)]), rng.uniform(1, 6)
    spread, rough = rng.exponential(0.12), rng.uniform(0.02, 0.2)

    def pattern(x: Array, y: Array, scene: Scene) -> tuple[Array, Array]:
        v = y / np.float32(high)
        row = np.floor(v)
        u = x / np.float32(wide) + np.float32(offset) * row
        column = np.floor(u)
        away = np.minimum((0.5 - np.abs(u - column - 0.5)) * np.float32(wide),
                          (0.5 - np.abs(v - row - 0.5)) * np.float32(high))  # fmt: skip
        own = np.float32(spread) * one_of_each((row * 29 + column).astype(np.int32), scene.rng)
        spots = np.float32(rough) * noise(x.shape, 12, scene.rng, octaves=4)
        tile = step(away - np.float32(grout) + 3 * spots, 1.5)
        up = np.clip(away / np.float32(grout + 4), 0, 1)
        return np.clip(1 - tile * (1 - 0.25 - own - spots), 0, 1), up + spots

    return covered(_turned(pattern, rng), draw_finish(rng))


def stripes(rng: Rng) -> Draw:
    """Draw stripes, ribs or corrugation, of one width or of a repeating row of widths."""
    period, sharp = np.exp(rng.uniform(1.5, 4)), np.exp(rng.uniform(0, 2.5))
    levels = rng.uniform(0, 1, rng.integers(2, 7)).astype(np.float32)

    def pattern(x: Array, y: Array, scene: Scene) -> tuple[Array, Array]:
        rib = np.clip(0.5 + np.float32(sharp) * (wave(y, period) - 0.5), 0, 1)
        level = levels.take(np.floor(y / np.float32(period)).astype(np.int32) % len(levels))
        return np.clip(0.5 * rib + 0.5 * level, 0, 1), rib

    return covered(_turned(pattern, rng), draw_finish(rng))


def scales(rng: Rng) -> Draw:
    """Draw scales, roof tiles or shingles that overlap."""
    wide = np.exp(rng.uniform(2.5, 4))
    high, own = wide * rng.uniform(0.4, 0.8), rng.exponential(0.08)

    def pattern(x: Array, y: Array, scene: Scene) -> tuple[Array, Array]:
        share, number = np.ones(x.shape, np.float32), np.zeros(x.shape, np.int32)
        v = y / np.float32(high)
        for back in (1, 0):  # the row above reaches over the one below it
            row = np.floor(v) - back
            u = x / np.float32(wide) + 0.5 * (row % 2)
            bow = np.square(2 * (u - np.floor(u)) - 1)
            depth = (v - row) - 1 - 0.8 * (1 - bow) * back
            lies = (depth < 0) | (back == 0)
            at = np.where(back == 1, 1 + depth / 1.8, (v - row) * 0.5)
            share = np.where(lies & (back == 1), at, share) if back else np.where(
                share == 1, at, share)  # fmt: skip
            number = np.where(lies, (row * 37 + np.floor(u)).astype(np.int32), number)
        shade = np.clip(share + np.float32(own) * one_of_each(number, scene.rng), 0, 1)
        return shade.astype(np.float32), share.astype(np.float32)

    return covered(_turned(pattern, rng), draw_finish(rng))


def honeycomb(rng: Rng) -> Draw:
    """Draw honeycomb, a bubble film or hexagonal tiles."""
    period, wall = rng.uniform(10, 45), rng.uniform(0.05, 0.3)
    domed, spread = rng.random() < 0.5, rng.exponential(0.08)

    def pattern(x: Array, y: Array, scene: Scene) -> tuple[Array, Array]:
        v = y / np.float32(period * math.sqrt(3) / 2)
        places = [np.floor(v), np.floor(v) + 1]
        middles = [
            (np.round(x / np.float32(period) - 0.5 * (row % 2)) + 0.5 * (row % 2), row)
            for row in places
        ]
        away = [
            np.square(x / np.float32(period) - column) + 0.75 * np.square(v - row)
            for column, row in middles
        ]
        upper = away[0] < away[1]
        number = np.where(upper, middles[0][0] * 2 + 41 * places[0],
                          middles[1][0] * 2 + 41 * places[1])  # fmt: skip
        border = np.abs(np.sqrt(away[0]) - np.sqrt(away[1])) * np.float32(period)
        across = x / np.float32(period) - np.where(upper, middles[0][0], middles[1][0])
        border = np.minimum(border, (0.5 - np.abs(across)) * np.float32(2 * period))
        inside = step(border - np.float32(wall * period), 1.5)
        own = np.float32(spread) * one_of_each(number.astype(np.int32), scene.rng)
        near = np.sqrt(np.clip(1 - 3 * np.minimum(*away), 0, 1))
        height = near if domed else -inside
        return np.clip(1 - inside * (0.9 - own), 0, 1), (3 * height).astype(np.float32)

    return covered(_turned(pattern, rng), draw_finish(rng))


def tread(rng: Rng) -> Draw:
    """Draw tread plate, embossed foil or a quilt: short bars crosswise, or diamonds."""
    period, quilted = rng.uniform(14, 50), rng.random() < 0.4
    length, wide = rng.uniform(0.6, 0.95), rng.uniform(0.12, 0.3)

    def pattern(x: Array, y: Array, scene: Scene) -> tuple[Array, Array]:
        u, v = x / np.float32(period), y / np.float32(period)
        column, row = np.floor(u), np.floor(v)
        a, b = u - column - 0.5, v - row - 0.5
        if quilted:
            height = np.sqrt(np.clip(1 - 2 * np.maximum(np.abs(a), np.abs(b)), 0, 1))
            return (0.6 * (1 - height)).astype(np.float32), (3 * height).astype(np.float32)
        crosswise = (row + column) % 2 > 0
        along, across = np.where(crosswise, a, b), np.where(crosswise, b, a)
        inside = 1 - np.square(along / (length / 2)) - np.square(across / (wide / 2))
        height = np.clip(inside * 2, 0, 1).astype(np.float32)
        return 0.4 * height, 2 * height

    return covered(_turned(pattern, rng), draw_finish(rng)._replace(relief=rng.uniform(1, 3)))


def print_pattern(rng: Rng) -> Draw:
    """Draw wallpaper or printed cloth: a motif of waves that repeats."""
    period = rng.uniform(18, 90)
    orders = rng.integers(-3, 4, (5, 2)) * 2 * math.pi / period
    phases, strengths = rng.uniform(0, 7, 5), rng.normal(0, 1, 5)
    cuts, sharp = np.sort(rng.normal(0, 1.2, 2)), rng.uniform(0.4, 4)

    def pattern(x: Array, y: Array, scene: Scene) -> tuple[Array, Array]:
        total = np.zeros(x.shape, np.float32)
        for (down, across), phase, strength in zip(orders, phases, strengths, strict=True):
            total += np.float32(strength) * np.cos(
                np.float32(across) * x + np.float32(down) * y + np.float32(phase))  # fmt: skip
        share = 0.5 * sum(np.clip((total - cut) * sharp + 0.5, 0, 1) for cut in cuts)
        return np.asarray(share, np.float32), np.asarray(share, np.float32)

    return covered(_turned(pattern, rng), draw_finish(rng)._replace(relief=0))


def paper(rng: Rng) -> Draw:
    """Draw paper or board: fibres, sometimes ruled, squared or ribbed."""
    period, strong = rng.uniform(8, 40), rng.choice([0, 0, 1]) * rng.uniform(0.2, 1)
    squared, fibre = rng.random() < 0.5, rng.uniform(1.5, 8)

    def pattern(x: Array, y: Array, scene: Scene) -> tuple[Array, Array]:
        fibres = noise(x.shape, fibre, scene.rng, 3 * fibre, 2)
        lines = np.zeros(x.shape, np.float32)
        for at in (x, y) if squared else (y,):
            near = np.abs(at / np.float32(period) - np.round(at / np.float32(period)))
            lines = np.maximum(lines, step(0.8 - near * np.float32(period), 1.2))
        return np.clip(0.12 + 0.06 * fibres + np.float32(strong) * lines, 0, 1), 0.3 * fibres

    finish = draw_finish(rng)
    return covered(_turned(pattern, rng), finish._replace(relief=min(finish.relief, 1)))


def cable(rng: Rng) -> Draw:
    """Draw wound wire, a spool or bundled rods: ropes side by side with slanting strands."""
    period, strand = rng.uniform(8, 40), rng.uniform(5, 20)
    slant, deep = rng.uniform(-1.5, 1.5), rng.uniform(0, 0.5)

    def pattern(x: Array, y: Array, scene: Scene) -> tuple[Array, Array]:
        v = y / np.float32(period)
        across = 2 * (v - np.floor(v)) - 1
        dome = np.sqrt(np.clip(1 - across * across, 0, 1))
        bent = x + np.float32(slant * period) * across + line_noise(
            (y + 5000) % 320 - 160, period, scene.rng)  # fmt: skip
        height = dome * (1 - np.float32(deep) * wave(bent, strand))
        return np.clip(1 - height, 0, 1), height

    finish = draw_finish(rng)
    return covered(_turned(pattern, rng), finish._replace(relief=rng.uniform(1, 0.3 * period)))


def cobbles(rng: Rng) -> Draw:
    """Draw cracked clay, crazed glaze or stained glass: flat cells of their own colour."""
    period, jitter = rng.uniform(15, 70), rng.uniform(0.5, 1)
    line, spread = rng.uniform(0.8, 4), rng.exponential(0.2)

    def pattern(x: Array, y: Array, scene: Scene) -> tuple[Array, Array]:
        places = cells(x, y, period, jitter, scene.rng)
        inside = step(places.border - np.float32(line), 1.5)
        own = np.float32(spread) * one_of_each(places.number, scene.rng)
        return np.clip(1 - inside * (0.85 - own), 0, 1), inside

    return covered(pattern, draw_finish(rng))


FAMILIES: dict[str, Family] = {
    "weave": (weave, ("woven cloth", "canvas", "basket weave", "twill")),
    "knit": (knit, ("knitwear", "knitted fabric")),
    "mesh": (mesh, ("mesh", "grid", "net", "lattice")),
    "perforated": (perforated, ("perforated sheet", "dotted cloth", "studded plate")),
    "bricks": (bricks, ("tiles", "brickwork", "paving")),
    "stripes": (stripes, ("striped cloth", "corrugated sheet", "ribbed plate")),
    "scales": (scales, ("roof tiles", "scales", "shingles")),
    "honeycomb": (honeycomb, ("honeycomb", "bubble film", "hexagonal tiles")),
    "tread": (tread, ("tread plate", "embossed foil", "quilt")),
    "print": (print_pattern, ("wallpaper", "printed cloth", "wrapping paper")),
    "paper": (paper, ("paper", "cardboard", "squared paper")),
    "cable": (cable, ("wound wire", "rope", "bundled rods")),
    "cobbles": (cobbles, ("cracked clay", "crazed glaze", "stained glass")),
}
