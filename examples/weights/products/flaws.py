"""Defects of all sorts, drawn in a piece with an exact mask."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from products.camera import levels
from products.fields import SIZE, Array, Mask, Rng
from products.scene import LOOSE, PART, PRINT, Piece
from products.structure import CHANGES, LEAST, OF_OUTLINES, OF_PARTS, OF_PRINTS
from vlmad.errors import InputError
from vlmad_synthesis.synthetic import Defect, choose_defects, synthesise

ON_SURFACES = (
    "cutpaste", "scar", "smoothblend", "perlin", "scratch", "crack", "thread", "stain", "specks",
    "colour", "hole", "dent", "missing", "foreign", "warp", "shift",
)  # fmt: skip
ANOTHER = "another product"
KINDS = (*ON_SURFACES, *CHANGES, ANOTHER)
CLEAR = 2 * LEAST
"""Levels by which the clearest pixels of a defect differ at least."""
SMALLEST = 40
"""Pixels of a mask at least, and that many of them differ."""
LARGEST = 0.3
"""Share of the picture that a mask covers at most, unless everything is another."""
PARTS, OUTLINE, WHOLE = 0.5, 0.3, 0.06
"""Shares of structural defects where a piece has parts or prints, or only an outline; and of
pictures of another product."""


TRIES = 30
THIN, FINE = ("crack", "scratch", "thread"), (0.002, 0.005)
"""Kinds of which some are hairlines, and how wide those are, as shares of the picture."""


class Flaw(NamedTuple):
    """A piece with a defect, before the camera."""

    image: Array
    mask: Mask
    kind: str


def draw_flaw(piece: Piece, rng: Rng, another: Callable[[Rng], Piece], kind: str = "") -> Flaw:
    """Draw a defect in a piece; outside of the mask it stays as it is.

    Args:
        piece: a good one.
        rng: where all chance comes from.
        another: draws a piece of another product on the same ground.
        kind: one of `KINDS`; empty means any that the piece can have.
    """
    good, kinds = piece.render(), (kind,) if kind else _kinds(piece, rng)
    tries = 0
    while (flaw := _draw(kinds[rng.integers(len(kinds))], piece, good, rng, another)) is None:
        tries += 1
        if tries == TRIES and kind:
            raise InputError(f"this piece cannot show: {kind}")
        if tries == TRIES:  # what this piece has of them cannot be seen
            kinds = ON_SURFACES
    return flaw


def _kinds(piece: Piece, rng: Rng) -> tuple[str, ...]:
    """Choose between what only the drawing knows, what changes a surface, and another product."""
    if rng.random() < WHOLE:
        return (ANOTHER,)
    parts, prints = piece.of_role(PART, LOOSE), piece.of_role(PRINT)
    structural = PARTS if parts or prints else OUTLINE
    if (piece.whole and not parts) or rng.random() > structural:
        return ON_SURFACES
    return (*(OF_PARTS if parts else ()), *(OF_PRINTS if prints else ()),
            *(() if piece.whole else OF_OUTLINES))  # fmt: skip


def _draw(
    kind: str, piece: Piece, good: Array, rng: Rng, another: Callable[[Rng], Piece]
) -> Flaw | None:
    if kind == ANOTHER:
        return _replaced(piece, good, another(rng))
    if kind in CHANGES:
        changed = CHANGES[kind](piece, rng)
        return None if changed is None else _kept(good, changed.render(), kind)
    return _on_surface(kind, piece, good, rng)


def _replaced(piece: Piece, good: Array, other: Piece) -> Flaw | None:
    image = other.render()
    differs = _differing(good, image)
    mask = piece.product() | other.product() | (differs >= CLEAR)
    if (differs[mask] >= CLEAR).mean() < 0.1:
        return None
    return Flaw(np.where(mask, image, good), mask, ANOTHER)


def _on_surface(kind: str, piece: Piece, good: Array, rng: Rng) -> Flaw | None:
    """Draw a kind of vlmad's own, in the picture or for a smaller defect in a part of it."""
    pixels, product = levels(good), piece.product()
    fine = kind in THIN and rng.random() < 0.4
    side = SIZE if fine or rng.random() < 0.4 else int(rng.integers(72, 240))
    row, column = divmod(int(rng.choice(np.flatnonzero(product))), SIZE)
    window = tuple(
        slice(start, start + side)
        for start in (min(max(0, at - side // 2), SIZE - side) for at in (row, column))
    )
    try:
        made = synthesise(np.ascontiguousarray(pixels[window]), rng, _defect(kind, fine))
    except InputError:
        return None
    by = made.image.astype(np.float32) - pixels[window]
    fading = 1 if rng.random() < 0.45 else rng.uniform(0.25, 1)
    image = good.copy()
    image[:, *window] += np.float32(fading) * product[window] * by.transpose(2, 0, 1)
    return _kept(good, image, kind)


@cache
def _defect(kind: str, fine: bool) -> dict[str, Defect]:
    return choose_defects([kind], {"width": FINE} if fine else None)


def _kept(good: Array, changed: Array, kind: str) -> Flaw | None:
    """Return the change where it can be seen, or None where that is too little or too much."""
    differs = _differing(good, changed)
    seen = differs >= LEAST
    mask = ndimage.binary_closing(np.pad(seen, 4), iterations=2)[4:-4, 4:-4] | seen
    clear = (differs >= CLEAR).sum() >= SMALLEST / 4
    if not clear or seen.sum() < SMALLEST or mask.mean() > LARGEST:
        return None
    return Flaw(np.where(mask, changed, good), mask, kind)


def _differing(one: Array, other: Array) -> Array:
    """Return by how many levels pixels differ, in the channel that differs most."""
    by: Array = np.abs(np.clip(one, 0, 255) - np.clip(other, 0, 255)).max(0)
    return by
