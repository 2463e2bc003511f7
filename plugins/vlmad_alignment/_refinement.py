"""From about where a frame lies in an image to a fraction of a pixel, and how alike both are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vlmad_alignment._sampling import SIDE, centred, sample, smoothed

if TYPE_CHECKING:
    from vlmad_alignment._sampling import Numbers, Plane

LEAST_SHARED = 0.4
"""The least share of the frame that must lie in the image."""
STILL = 0.02
"""The move in pixels after which nothing is gained."""
DOUBTFUL = 2.5
"""From how many times the usual difference on a pixel counts for less than half."""


class Sampled:
    """A frame or an image, every `step`-th pixel of it."""

    def __init__(self, values: Plane, step: int) -> None:
        soft = smoothed(values, step / 2) if step > 1 else values
        self.right, self.down = (each[::step, ::step] for each in centred(*values.shape))
        self.of_places = soft[::step, ::step]
        falling, rising = np.gradient(soft)
        self.planes = np.stack([soft, rising, falling])
        """The values, and how much they rise to the right and down."""


def refine(frame: Sampled, image: Sampled, start: Numbers, rounds: int) -> Numbers | None:
    """Move a similarity to where frame and image differ least; None where they part.

    Gauss-Newton on the differences under any light (gain and offset), in which pixels that differ
    much count little: a defect must not move the part.
    """
    numbers = start
    for _ in range(rounds):
        planes, inside = sample(image.planes, numbers, frame.right, frame.down)
        if inside.mean() < LEAST_SHARED:
            return None
        (value, dx, dy), places = planes[:, inside], (frame.right, frame.down, frame.of_places)
        x, y, wanted = (each[inside] for each in places)
        value, wanted = value - value.mean(), wanted - wanted.mean()
        gain = float(value @ wanted) / (float(value @ value) + 1e-6)
        if gain <= 0:
            return None
        differs = wanted - gain * value
        weight = 1 / (1 + (differs / (DOUBTFUL * np.median(abs(differs)) + 1e-6)) ** 2)
        moves = gain * np.stack([dx * x + dy * y, dy * x - dx * y, dx, dy])
        design = np.concatenate([moves, value[None], np.ones_like(value)[None]]).astype(np.float64)
        normal = (design * weight) @ design.T
        normal += 1e-6 * np.trace(normal) / 6 * np.eye(6)
        move = np.linalg.solve(normal, (design * weight) @ differs)[:4]
        numbers = numbers + move
        if abs(move[2:]).max() + SIDE / 2 * abs(move[:2]).max() < STILL:
            break
    return numbers


def likeness(frame: Sampled, image: Sampled, numbers: Numbers) -> float:
    """Return the correlation of frame and image where both are, -1 to 1."""
    planes, inside = sample(image.planes[:1], numbers, frame.right, frame.down)
    if inside.mean() < LEAST_SHARED:
        return -1.0
    value, wanted = planes[0, inside], frame.of_places[inside]
    value, wanted = value - value.mean(), wanted - wanted.mean()
    power = float(value @ value) * float(wanted @ wanted)
    return float(value @ wanted) / float(np.sqrt(power)) if power > 0 else 0.0
