"""Similarities: a turn, a change of size and a shift that lead from one frame to another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float


class Similarity(NamedTuple):
    """Leads from places in a frame to places in an image.

    Places are counted from the middle, to the right and down, in shares of the longer side.
    """

    degrees: float
    """Clockwise, as one sees it."""
    size: float
    """How many times larger things are in the image."""
    right: float
    down: float

    @classmethod
    def of(cls, numbers: Float[np.ndarray, " 4"]) -> Similarity:
        """Read the numbers of `numbers`."""
        cosine, sine, right, down = (float(each) for each in numbers)
        return cls(math.degrees(math.atan2(sine, cosine)), math.hypot(cosine, sine), right, down)

    def numbers(self) -> Float[np.ndarray, " 4"]:
        """Return size times cosine and sine of the turn, and the shift."""
        angle = math.radians(self.degrees)
        turn = (self.size * math.cos(angle), self.size * math.sin(angle))
        return np.array([*turn, self.right, self.down])

    def inverse(self) -> Similarity:
        """Return what leads back."""
        cosine, sine, right, down = self.numbers()
        back = (cosine * right + sine * down, cosine * down - sine * right)
        return Similarity(-self.degrees, 1 / self.size, *(-each / self.size**2 for each in back))

    def coefficients(
        self, frame: tuple[int, int], image: tuple[int, int]
    ) -> tuple[float, float, float, float, float, float]:
        """Return what leads from pixels of a frame to those of an image, as Pillow takes it.

        With a, b, c, d, e, f place (x, y) becomes (a x + b y + c, d x + e y + f), from corners on.

        Args:
            frame: its width and height.
            image: likewise.
        """
        cosine, sine, right, down = self.numbers()
        scale, longer = max(image) / max(frame), max(image)
        a, d = cosine * scale, sine * scale
        c = image[0] / 2 + right * longer - (a * frame[0] - d * frame[1]) / 2
        f = image[1] / 2 + down * longer - (d * frame[0] + a * frame[1]) / 2
        return a, -d, c, d, a, f

    def apart(self, other: Similarity, size: tuple[int, int]) -> float:
        """Return how far apart the two lead a corner of a frame of that format, at most.

        In shares of the longer side.
        """
        x, y = (side / max(size) / 2 * np.array([-1, 1]) for side in size)
        x, y = np.meshgrid(x, y)
        cosine, sine, right, down = self.numbers() - other.numbers()
        return float(np.hypot(cosine * x - sine * y + right, sine * x + cosine * y + down).max())


SAME = Similarity(0.0, 1.0, 0.0, 0.0)
