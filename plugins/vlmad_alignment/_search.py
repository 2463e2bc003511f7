"""Looking for a frame in an image: all turns, sizes and shifts of a grid, by correlation.

The frame in each turn and size is correlated with the image for all shifts at once, in the
frequency domain, and normalised by what both hold where they overlap (Padfield, "Masked object
registration in the Fourier domain", 2012; both are without mean already).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vlmad_alignment._sampling import SIDE, centred, sample, smoothed

if TYPE_CHECKING:
    from jaxtyping import Complex, Float

    from vlmad_alignment._sampling import Numbers, Plane

COARSE, ROOM = 32, 64
"""The longer side of image and frame as they are compared here, and of the room for shifts."""
STEP = SIDE / COARSE
TURNS = np.radians(np.arange(-30, 31, 5))
SIZES = 1.1 ** np.arange(-2, 3)
FARTHEST = 0.3
"""The longest shift, as a share of the longer side."""
LEAST_SHARED = 0.5
"""The least share of the image that the frame must cover."""
NEAR = (2, 1, 2.5)
"""Turns, sizes and pixels of a shift within which there is one candidate."""


class Search:
    """A frame in all turns and sizes."""

    def __init__(self, frame: Plane) -> None:
        x, y = (STEP * each for each in centred(ROOM, ROOM))
        soft, seen = smoothed(frame, STEP / 2.5), []
        for turn in TURNS:
            for size in SIZES:
                back = np.array([np.cos(turn) / size, -np.sin(turn) / size, 0, 0])
                seen.append(sample(soft[None], back, x, y))
        masks = np.array([inside for _, inside in seen], np.float32)
        views = np.concatenate([values for values, _ in seen]) * masks
        self._views, self._masks = _spectrum(views), _spectrum(masks)
        self._squares = _spectrum(views**2)
        self._of_size: dict[tuple[int, int], tuple[Plane, Plane]] = {}

    def candidates(self, image: Plane, most: int) -> list[Numbers]:
        """Return where the frame may lie in an image, the most similar place first."""
        likeness, right, down = self._likeness(image)
        found: list[Numbers] = []
        while len(found) < most:
            best = np.unravel_index(likeness.argmax(), likeness.shape)
            if likeness[best] <= 0:
                break
            turn, size, y, x = (int(each) for each in best)
            rotation = SIZES[size] * np.array([np.cos(TURNS[turn]), np.sin(TURNS[turn])])
            found.append(np.array([*rotation, STEP * right[x], STEP * down[y]]))
            near = np.outer(abs(down - down[y]) <= NEAR[2], abs(right - right[x]) <= NEAR[2])
            turns = slice(max(0, turn - NEAR[0]), turn + NEAR[0] + 1)
            likeness[turns, max(0, size - NEAR[1]) : size + NEAR[1] + 1, near] = -1
        return found

    def _likeness(
        self, image: Plane
    ) -> tuple[Float[np.ndarray, "t s y x"], Float[np.ndarray, " x"], Float[np.ndarray, " y"]]:
        """Return the correlation for each turn, size and shift, and the shifts right and down."""
        height, width = (max(1, round(side / STEP)) for side in image.shape)
        x, y = (STEP * each for each in centred(height, width))
        values, soft = np.zeros((ROOM, ROOM), np.float32), smoothed(image, STEP / 2.5)[None]
        values[:height, :width] = sample(soft, np.eye(4)[0], x, y)[0][0]
        power, counts = self._overlap(height, width)
        power = power * _correlation(self._masks, _spectrum(values**2))
        likeness = _correlation(self._views, _spectrum(values))
        likeness /= np.sqrt(np.maximum(power, 1e-6 * power.max() + 1e-6))
        likeness[~counts] = -1
        down, right = (_shifts(side) for side in (height, width))
        return likeness.reshape(len(TURNS), len(SIZES), ROOM, ROOM), right, down

    def _overlap(self, height: int, width: int) -> tuple[Plane, Plane]:
        """Return the squares that an image of that size covers, and which places count."""
        if (height, width) not in self._of_size:
            mask = np.zeros((ROOM, ROOM), np.float32)
            mask[:height, :width] = 1
            inside = _spectrum(mask)
            shared = _correlation(self._masks, inside) >= LEAST_SHARED * height * width
            near = [abs(_shifts(side)) <= FARTHEST * COARSE for side in (height, width)]
            counts = shared & np.logical_and.outer(*near)
            self._of_size[height, width] = _correlation(self._squares, inside), counts
        return self._of_size[height, width]


def _spectrum(values: Float[np.ndarray, "*n r r"]) -> Complex[np.ndarray, "*n r f"]:
    from scipy import fft  # which takes a while to import

    spectrum: Complex[np.ndarray, "*n r f"] = fft.rfft2(values)
    return spectrum


def _correlation(
    views: Complex[np.ndarray, "n r f"], image: Complex[np.ndarray, "r f"]
) -> Float[np.ndarray, "n r r"]:
    from scipy import fft

    correlation: Float[np.ndarray, "n r r"] = fft.irfft2(image * views.conj(), (ROOM, ROOM))
    return correlation


def _shifts(side: int) -> Float[np.ndarray, " r"]:
    """Return how far each index moves the middle of the room from that of an image's side."""
    moved = np.arange(ROOM) + (ROOM - side) / 2
    shifts: Float[np.ndarray, " r"] = (moved + ROOM / 2) % ROOM - ROOM / 2
    return shifts
