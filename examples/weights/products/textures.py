"""Surfaces that fill the picture, irregular ones; `cloths.py` has regular ones.

A family draws what is the same in all pieces of a product from a generator, and returns what draws
a piece in a scene.
"""

from __future__ import annotations

import math

import numpy as np

from products.covering import Draw, Family, covered, draw_finish
from products.fields import (
    Array,
    Rng,
    any_colour,
    beside,
    cells,
    line_noise,
    mix,
    noise,
    one_of_each,
    shaded,
    step,
    tone,
    wave,
)  # fmt: skip
from products.scene import Scene


def stone(rng: Rng) -> Draw:
    """Draw stone or plaster: clouds with ever finer spots."""
    across, octaves = np.exp(rng.uniform(0.7, 4)), int(rng.integers(2, 6))
    longer, sharp = np.exp(rng.exponential(0.4)), rng.uniform(0.2, 1.2)

    def pattern(x: Array, y: Array, scene: Scene) -> tuple[Array, Array]:
        spots = noise(x.shape, across, scene.rng, across * longer, octaves)
        return np.clip(0.5 + 0.35 * sharp * spots, 0, 1), 0.4 * spots

    return covered(pattern, draw_finish(rng))


def concrete(rng: Rng) -> Draw:
    """Draw concrete: fine sand, clouds, and pores."""
    pores, across = rng.uniform(8, 30), rng.uniform(20, 120)
    size, share = rng.uniform(0.6, 2.5), rng.uniform(0.02, 0.4)
    grey = tone(rng, (0.05, 0.6), (0, 0.15), (0.35, 0.85))

    def pattern(x: Array, y: Array, scene: Scene) -> tuple[Array, Array]:
        places = cells(x, y, pores, 0.9, scene.rng)
        sizes = np.abs(one_of_each(places.number, scene.rng)) * np.float32(size / 2) + size
        chosen = one_of_each(places.number, scene.rng) < 2 * share - 1
        pore = step(sizes - places.nearest, 1.2) * chosen
        cloud = 0.2 * noise(x.shape, across, scene.rng, octaves=5)
        return np.clip(cloud + 0.9 * pore, 0, 1), cloud - pore

    return covered(pattern, draw_finish(rng, grey, np.float32(0.5) * grey))


def brushed(rng: Rng) -> Draw:
    """Draw brushed, ground or rolled metal: streaks along x."""
    colour = tone(rng, (0.05, 0.65), (0, 0.2), (0.3, 0.9))
    fine, long = rng.uniform(0.8, 3), np.exp(rng.uniform(3, 7))
    turn, contrast = float(rng.choice([0, math.pi / 2])), rng.uniform(0.1, 0.6)

    def pattern(x: Array, y: Array, scene: Scene) -> tuple[Array, Array]:
        sizes = (fine, long) if turn else (long, fine)
        streaks = noise(x.shape, sizes[0], scene.rng, sizes[1])
        wide = noise(x.shape, 4 * sizes[0], scene.rng, 4 * sizes[1])
        share = 0.5 + np.float32(contrast) * (0.35 * streaks + 0.2 * wide)
        return np.clip(share, 0, 1), share

    finish = draw_finish(rng, colour, beside(colour, rng, 30, 90))
    return covered(pattern, finish._replace(relief=0.3 * finish.relief))


def wood(rng: Rng) -> Draw:
    """Draw wood: years that wander, fine fibres, and sometimes knots' waves."""
    colour = tone(rng, (0.04, 0.12), (0.25, 0.7), (0.35, 0.9))
    years, wander, fibre = rng.uniform(4, 30), rng.uniform(2, 25), rng.uniform(0.05, 0.25)
    turned = rng.random() < 0.5

    def pattern(x: Array, y: Array, scene: Scene) -> tuple[Array, Array]:
        across, along = (x, 400) if turned else (y, 400)
        sizes = (30.0, 200.0) if not turned else (200.0, 30.0)
        bent = across + np.float32(wander) * noise(x.shape, sizes[0], scene.rng, sizes[1])
        rings = 0.5 + 0.3 * line_noise((bent + 5000) % 320 - 160, years / 2, scene.rng)
        thin = (along, 1.2) if turned else (1.2, along)
        fibres = np.float32(fibre) * noise(x.shape, thin[0] / 4, scene.rng, thin[1] / 4)
        share = np.clip(rings + fibres, 0, 1)
        return share, share

    finish = draw_finish(rng, colour, colour * np.float32(rng.uniform(0.4, 0.8)))
    return covered(pattern, finish._replace(relief=0.3 * finish.relief))


def leather(rng: Rng) -> Draw:
    """Draw leather or another pebbled skin: cells between dark grooves."""
    period, jitter = np.exp(rng.uniform(1.6, 3.4)), rng.uniform(0.5, 1)
    groove = period * rng.uniform(0.08, 0.35)

    def pattern(x: Array, y: Array, scene: Scene) -> tuple[Array, Array]:
        places = cells(x, y, period, jitter, scene.rng)
        up = np.clip(places.border / np.float32(groove), 0, 1)
        return 1 - up * (2 - up), up * (2 - up)

    finish = draw_finish(rng)
    dark = np.float32(rng.uniform(0.3, 0.85)) * finish.one
    return covered(pattern, finish._replace(other=dark, warp=rng.uniform(0, 4)))


def grains(rng: Rng) -> Draw:
    """Draw gravel, packed grains or pellets: round stones, each of its own brightness."""
    period, jitter = np.exp(rng.uniform(2, 3.6)), rng.uniform(0.4, 1)
    spread, gap = rng.uniform(0.1, 0.5), rng.uniform(0.05, 0.3)

    def pattern(x: Array, y: Array, scene: Scene) -> tuple[Array, Array]:
        rng = scene.rng
        places = cells(x, y, period, jitter, rng)
        up = np.clip(places.border / np.float32(0.6 * period), 0, 1)
        inside = step(places.border - np.float32(gap * period), 2)
        own = np.clip(0.4 + spread * one_of_each(places.number, rng), 0, 1)
        spots = 0.1 * noise(x.shape, 3, rng)
        return np.clip(1 - inside * (1 - own) + spots, 0, 1), np.sqrt(up) * 2 + spots

    finish = draw_finish(rng)
    dark = np.float32(rng.uniform(0.1, 0.5)) * finish.one
    return covered(pattern, finish._replace(relief=rng.uniform(1, 0.3 * period), other=dark))


def terrazzo(rng: Rng) -> Draw:
    """Draw chips of a few colours in a smooth bed: terrazzo, chipboard, granite, nougat."""
    period, share = np.exp(rng.uniform(1.2, 3.2)), rng.uniform(0.15, 0.9)
    bed, chips = any_colour(rng), [any_colour(rng) for _ in range(rng.integers(1, 4))]
    longer = np.float32(rng.choice([1, 1, rng.uniform(1.5, 4)]))
    edge = rng.uniform(0.05, 0.25)
    finish = draw_finish(rng, bed, chips[0])

    def draw(scene: Scene) -> None:
        rng, (x, y) = scene.rng, scene.everywhere
        places = cells(x + 4000, (y + 4000) * longer, period, 1, rng)
        which = one_of_each(places.number, rng)
        inside = step(places.border - np.float32(edge * period), 1.5) * (which < 4 * share - 2)
        paint = bed * (1 + np.float32(finish.cloud) * noise(x.shape, finish.cloud_size, rng))
        for index, chip in enumerate(chips):
            own = inside * ((np.abs(which * 1000) % len(chips)).astype(np.int32) == index)
            paint = mix(paint, chip * (1 + np.float32(0.08) * which), own)
        paint += np.float32(finish.grain) * rng.standard_normal(x.shape, np.float32)
        lit = shaded(paint, inside * np.float32(0.3 * finish.relief), scene.lamp, finish.gloss)
        scene.ground, scene.whole = lit.astype(np.float32), True

    return draw


def marble(rng: Rng) -> Draw:
    """Draw marble: clouds and thin veins."""
    across, fine, strength = rng.uniform(30, 120), rng.uniform(0.03, 0.25), rng.uniform(0.3, 1)

    def pattern(x: Array, y: Array, scene: Scene) -> tuple[Array, Array]:
        field = noise(x.shape, across, scene.rng, octaves=5)
        veins = np.exp(-np.square(field / np.float32(fine)))
        patchy = np.clip(0.5 + 0.6 * noise(x.shape, 60, scene.rng), 0, 1)
        cloud = 0.12 * noise(x.shape, 50, scene.rng, octaves=4)
        return np.clip(np.float32(strength) * veins * patchy + cloud, 0, 1), -veins

    finish = draw_finish(rng)
    return covered(pattern, finish._replace(relief=0.2 * finish.relief, grain=finish.grain / 2))


def foam(rng: Rng) -> Draw:
    """Draw foam, bread or sponge: holes of all sizes between walls."""
    period, walls = np.exp(rng.uniform(1.8, 3.6)), rng.uniform(0.1, 0.35)
    jitter = rng.uniform(0.6, 1)

    def pattern(x: Array, y: Array, scene: Scene) -> tuple[Array, Array]:
        places = cells(x, y, period, jitter, scene.rng)
        sizes = 0.32 + 0.12 * one_of_each(places.number, scene.rng)
        hole = step(np.minimum(sizes * np.float32(period) - places.nearest,
                               places.border - np.float32(walls * period)), 3)  # fmt: skip
        return hole * (0.7 + 0.15 * noise(x.shape, 5, scene.rng)), -hole

    finish = draw_finish(rng)
    dark = np.float32(rng.uniform(0.2, 0.8)) * finish.one
    return covered(pattern, finish._replace(other=dark, relief=rng.uniform(0.5, 4), warp=2))


def glaze(rng: Rng) -> Draw:
    """Draw a glaze, hammered or orange-peel surface: smooth bumps, uneven colour, gleams."""
    bumps, octaves = np.exp(rng.uniform(1.3, 3.5)), int(rng.integers(1, 3))
    pools, strength = rng.uniform(25, 200), rng.uniform(0, 0.5)

    def pattern(x: Array, y: Array, scene: Scene) -> tuple[Array, Array]:
        height = noise(x.shape, bumps, scene.rng, octaves=octaves)
        pool = noise(x.shape, pools, scene.rng, octaves=3)
        return np.clip(0.4 + np.float32(strength) * pool, 0, 1), height

    finish = draw_finish(rng)
    height = bumps * rng.uniform(0.02, 0.12)
    return covered(pattern, finish._replace(relief=height, gloss=rng.uniform(0, 130), grain=1))


def carpet(rng: Rng) -> Draw:
    """Draw carpet, felt or fur: tufts and fibres of several shades."""
    tuft, longer = rng.uniform(1.5, 6), np.exp(rng.exponential(0.5))
    colours = rng.uniform(0.2, 0.5)

    def pattern(x: Array, y: Array, scene: Scene) -> tuple[Array, Array]:
        tufts = noise(x.shape, tuft, scene.rng, tuft * longer)
        trodden = noise(x.shape, 80, scene.rng)
        share = 0.45 + np.float32(colours) * tufts + 0.06 * trodden
        return np.clip(share, 0, 1), 0.5 * tufts

    return covered(pattern, draw_finish(rng))


def translucent(rng: Rng) -> Draw:
    """Draw glass, film, liquid or a screen: almost nothing but a gradient."""
    angle, steep, rounded = (float(rng.uniform(*span)) for span in ((0, 7), (0, 0.8), (-0.4, 0.4)))
    cloud = float(rng.exponential(0.08))

    def pattern(x: Array, y: Array, scene: Scene) -> tuple[Array, Array]:
        u, v = x / np.float32(160), y / np.float32(160)
        slope = steep / 2 * (math.cos(angle) * u + math.sin(angle) * v)
        cloudy = cloud * noise(x.shape, 100, scene.rng, octaves=2)
        share = (0.4 + slope + rounded * (u * u + v * v) + cloudy).astype(np.float32)
        return np.clip(share, 0, 1), share

    finish = draw_finish(rng)._replace(relief=0, free=False, warp=0)
    return covered(pattern, finish._replace(grain=min(finish.grain, 2), cloud=finish.cloud / 3))


def ripples(rng: Rng) -> Draw:
    """Draw sand, cream or a poured surface: waves that bend and fade."""
    period, bend = rng.uniform(8, 40), rng.uniform(2, 25)

    def pattern(x: Array, y: Array, scene: Scene) -> tuple[Array, Array]:
        bent = y + np.float32(bend) * noise(x.shape, 60, scene.rng, octaves=2)
        fading = np.clip(0.6 + 0.3 * noise(x.shape, 80, scene.rng), 0.1, 1)
        height = fading * wave(bent, period)
        return np.clip(0.2 + 0.5 * height, 0, 1), height

    finish = draw_finish(rng)
    return covered(pattern, finish._replace(relief=rng.uniform(1, 0.2 * period)))


FAMILIES: dict[str, Family] = {
    "stone": (stone, ("stone", "plaster", "rusted sheet", "suede")),
    "concrete": (concrete, ("concrete", "aerated block", "cement plate")),
    "brushed": (brushed, ("brushed metal", "ground steel", "rolled sheet")),
    "wood": (wood, ("wood", "veneer", "parquet board")),
    "leather": (leather, ("leather", "artificial leather", "pebbled skin")),
    "grains": (grains, ("gravel", "packed grains", "pellets", "roasted beans")),
    "terrazzo": (terrazzo, ("terrazzo", "chipboard", "granite", "nougat")),
    "marble": (marble, ("marble", "veined slab")),
    "foam": (foam, ("foam", "sponge", "bread slice")),
    "glaze": (glaze, ("glazed tile", "hammered sheet", "lacquer")),
    "carpet": (carpet, ("carpet", "felt", "fur")),
    "translucent": (translucent, ("glass pane", "film", "display")),
    "ripples": (ripples, ("sand", "icing", "poured plaster")),
}
