"""Materials: what a surface of one colour looks like, with its spots, grain, relief and gleam."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from products.fields import (
    Array,
    Lamp,
    Rng,
    any_colour,
    beside,
    length,
    line_noise,
    mix,
    noise,
    shaded,
    tone,
)


class Material(NamedTuple):
    """A surface; lengths in pixels of the picture, strengths in levels where nothing is said."""

    colour: Array
    other: Array
    """What spots tend to."""
    uneven: float = 0.1
    """How far they do, as a share."""
    spots: float = 20
    """Length of a spot."""
    grain: float = 2
    """Spread of the finest noise."""
    streaks: float = 0
    """Spread of lines along x, or of rings where it is negative."""
    relief: float = 0
    """Height of the spots in pixels."""
    rise: float = 0
    """Height in pixels to which the edge rises"""
    bevel: float = 6
    """over so many."""
    gloss: float = 0
    sheen: float = 0
    """Strength of a soft reflection that lies elsewhere on each piece."""
    differs: float = 1
    """How much its colour differs from piece to piece, about 1."""

    def paint(
        self, x: Array, y: Array, depth: Array, lamp: Lamp, rng: Rng, vary: float = 1
    ) -> Array:
        """Return levels (3, h, w) of a surface that is drawn anew at each call.

        Args:
            x: places in the frame of the part, which streaks follow.
            y: likewise.
            depth: inside of the outline.
            lamp: where light comes from.
            rng: where all chance comes from.
            vary: how much colour and unevenness differ from piece to piece, about 1.
        """
        spots = noise(x.shape, self.spots, rng, octaves=2)
        by = rng.standard_normal() + 0.5 * rng.standard_normal((3, 1, 1))
        tint = 1 + 0.012 * vary * self.differs * np.clip(by, -3, 3)
        share = np.float32(self.uneven * np.exp(0.15 * vary * rng.standard_normal())) * spots
        paint = mix(self.colour, self.other, share) * tint.astype(np.float32)
        fine = np.float32(self.grain) * rng.standard_normal(x.shape, np.float32)
        if self.streaks:
            along = length(x, y) if self.streaks < 0 else y
            fine += np.float32(abs(self.streaks)) * line_noise(along, 1.5, rng)
        if self.sheen:
            away = x * np.float32(rng.uniform(0.5, 1)) + y - np.float32(40 * vary * rng.normal())
            fine += np.float32(self.sheen) * np.exp(-np.square(away / np.float32(30)))
        paint += fine
        if not (self.rise or self.relief):
            return paint
        up = np.clip(depth / np.float32(self.bevel), 0, 1)
        height = np.float32(self.rise) * up * (2 - up) + np.float32(self.relief) * spots
        return shaded(paint, height, lamp, self.gloss)


def metal(rng: Rng) -> Material:
    """Draw a metal: steel, aluminium, brass or copper, plain, brushed or turned."""
    steel = tone(rng, (0.5, 0.65), (0, 0.1), (0.35, 0.85))
    brass = tone(rng, (0.05, 0.14), (0.3, 0.7), (0.5, 0.85))
    colour = steel if rng.random() < 0.75 else brass
    return Material(
        colour, beside(colour, rng, 20, 60), rng.uniform(0, 0.25), rng.uniform(10, 60),
        rng.uniform(1, 5), rng.choice([-1, 0, 1]) * rng.uniform(2, 14), rng.uniform(0, 0.4),
        rng.uniform(1, 5), rng.uniform(2, 12), rng.uniform(0, 120),
        rng.choice([0, 0, 1]) * rng.uniform(10, 60),
    )  # fmt: skip


def plastic(rng: Rng) -> Material:
    """Draw a plastic, rubber or lacquer."""
    colour = any_colour(rng)
    return Material(
        colour, beside(colour, rng, 15, 50), rng.uniform(0, 0.12), rng.uniform(10, 80),
        rng.uniform(0.5, 4), 0, rng.uniform(0, 0.3), rng.uniform(1, 7), rng.uniform(3, 25),
        rng.uniform(0, 110), rng.choice([0, 0, 0, 1]) * rng.uniform(10, 50),
    )  # fmt: skip


def rough(rng: Rng) -> Material:
    """Draw something baked, grown, cast or broken: spots, grain and relief."""
    brown = tone(rng, (0.03, 0.13), (0.25, 0.75), (0.3, 0.9))
    colour = brown if rng.random() < 0.6 else any_colour(rng)
    return Material(
        colour, beside(colour, rng, 25, 90), rng.uniform(0.1, 0.5), rng.uniform(3, 18),
        rng.uniform(3, 14), 0, rng.uniform(0.2, 1.6), rng.uniform(1, 6), rng.uniform(5, 25),
        rng.uniform(0, 30), 0, rng.uniform(1, 4),
    )  # fmt: skip


def any_material(rng: Rng) -> Material:
    """Draw a material of any sort."""
    sorts = (metal, plastic, plastic, rough)
    return sorts[rng.integers(len(sorts))](rng)


def ink(colour: Array, rng: Rng) -> Material:
    """Draw what stands out from a colour and lies flat on it."""
    return Material(beside(colour, rng, 50, 150), colour, rng.uniform(0, 0.1), 8, 2)


def plain_ground(rng: Rng) -> Material:
    """Draw a ground that something lies on: paper, a table, a belt, a lit box."""
    sort = rng.choice(4, p=(0.3, 0.2, 0.25, 0.25))
    colour = (
        tone(rng, pure=(0, 0.05), bright=(0.8, 1)),
        tone(rng, pure=(0, 0.1), bright=(0.03, 0.2)),
        tone(rng, pure=(0, 0.08)),
        any_colour(rng),
    )[sort]
    return Material(
        colour, beside(colour, rng, 20, 60), rng.exponential(0.03), rng.uniform(2, 60),
        rng.exponential(2), relief=float(rng.choice([0, 0, 0.3])) * rng.random(),
    )  # fmt: skip
