"""The frame of the first reference: what inspection tools call a fixture.

    detector.fixture = ReferenceFrame.of(Image.open("good/000.png"))
    detector.fit(references)

Each image is then brought to where the part lies in that reference, and its map back.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from vlmad.errors import InputError
from vlmad.resizing import Box
from vlmad_alignment._refinement import Sampled, likeness, refine
from vlmad_alignment._sampling import SIDE, detail, repetition, shrink
from vlmad_alignment._search import Search
from vlmad_alignment.similarity import SAME, Similarity

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, UInt8

VERSION = 1
"""Of the arithmetic: other versions place images elsewhere."""
MOST_DEGREES, MOST_SIZE, MOST_SHIFT = 35.0, 1.3, 0.3
"""What is looked for: turns, sizes times or by so much, shifts as shares of the longer side."""
CANDIDATES = 3
LEAST_LIKENESS, LEAST_LEAD, LEAST_CONFIDENCE = 0.65, 0.04, 0.35
"""Below which an image is left as it is."""
MOST_REPETITION = 0.8
"""A reference that is so much like itself at another place is a pattern, which has no place."""
OTHER_PLACE = 0.05
"""From how far apart on, as a share of the longer side, two places are two."""
NEGLIGIBLE = 0.005
"""Moves so short, as shares of the longer side, are not worth sampling the image anew."""
MOST_PIXELS = 1 << 16
"""Of a reference's side, so that what a file says of it can be believed."""


class ReferenceFrame:
    """Finds where images of a part lie, seen from a reference.

    Args:
        pixels: the reference in grey, its longer side `SIDE` (`vlmad_alignment.SIDE`).
        size: its own width and height.

    Raises:
        InputError: no reference has these pixels and this size.
    """

    def __init__(self, pixels: UInt8[np.ndarray, "h w"], size: tuple[int, int]) -> None:
        scale = SIDE / max(*size, 1)
        expected = tuple(max(1, round(scale * side)) for side in reversed(size))
        small = pixels.dtype == np.uint8 and pixels.shape == expected
        if not small or min(size) < 1 or max(size) > MOST_PIXELS:
            raise InputError(
                f"no frame of a reference: {pixels.dtype} of shape {pixels.shape} for {size}"
            )
        self.pixels, self.size = pixels, size

    @classmethod
    def of(cls, image: Image.Image) -> ReferenceFrame:
        """Take the frame of a reference."""
        return cls(shrink(image), image.size)

    @property
    def digest(self) -> str:
        """What tells it, and how it places images, from another."""
        content = f"{VERSION} {self.size} ".encode() + self.pixels.tobytes()
        return hashlib.sha256(content).hexdigest()

    def place(self, image: Image.Image) -> Alignment:
        """Return where the frame lies in an RGB image, or that it is left as it is, and why."""
        found = Found(None, 0.0, 0.0) if self._problem else self.find(image)
        scale = max(image.size) / max(self.size)
        size = (max(1, round(scale * self.size[0])), max(1, round(scale * self.size[1])))
        problem = self._problem or _problem(found)
        if problem or found.similarity is None:
            return Alignment(image.size, image.size, SAME, (f"not aligned: {problem}",))
        same_format = abs(size[0] - image.width) + abs(size[1] - image.height) <= 1
        if same_format and found.similarity.apart(SAME, size) < NEGLIGIBLE:
            return Alignment(image.size, image.size, SAME)
        return Alignment(image.size, size, found.similarity)

    def find(self, image: Image.Image) -> Found:
        """Return the likeliest place of the frame in an RGB image, however unsure."""
        small = detail(shrink(image))
        coarse, fine = Sampled(small, 2), Sampled(small, 1)
        places = []
        for start in self._search.candidates(small, CANDIDATES):
            numbers = refine(self._coarse, coarse, start, 8)
            if numbers is not None:
                places.append((likeness(self._coarse, coarse, numbers), numbers))
        if not places:
            return Found(None, 0.0, 0.0)
        places.sort(key=lambda place: -place[0])
        best = _in_shares(places[0][1])
        others = [each for each, numbers in places if self._apart(best, numbers) > OTHER_PLACE]
        finest = refine(self._fine, fine, places[0][1], 4)
        best = best if finest is None else _in_shares(finest)
        return Found(best, places[0][0], max([0.0, *others]))

    @cached_property
    def _problem(self) -> str:
        """Why no image can be placed by this reference, or nothing."""
        alike = repetition(self._detail)
        repeats = alike > MOST_REPETITION
        return f"the first reference repeats itself ({alike:.2f})" if repeats else ""

    def _apart(self, one: Similarity, numbers: Float[np.ndarray, " 4"]) -> float:
        return one.apart(_in_shares(numbers), self.size)

    @cached_property
    def _detail(self) -> Float[np.ndarray, "h w"]:
        return detail(self.pixels)

    @cached_property
    def _search(self) -> Search:
        return Search(self._detail)

    @cached_property
    def _coarse(self) -> Sampled:
        return Sampled(self._detail, 2)

    @cached_property
    def _fine(self) -> Sampled:
        return Sampled(self._detail, 1)


@dataclass(frozen=True, slots=True)
class Found:
    """The likeliest place of a frame in an image."""

    similarity: Similarity | None
    likeness: float
    """The correlation of frame and image there."""
    rival: float
    """That at the likeliest other place."""

    @property
    def confidence(self) -> float:
        """How much of what the other place leaves unexplained this one explains, 0 to 1."""
        return (self.likeness - self.rival) / max(1 - self.rival, 1e-6)


def _problem(found: Found) -> str:
    """Return why a place is not to be trusted, or nothing."""
    place = found.similarity
    if place is None or found.likeness < LEAST_LIKENESS:
        wanted = f"{found.likeness:.2f}, at least {LEAST_LIKENESS:g} is wanted"
        return f"too little like the first reference ({wanted})"
    if found.likeness - found.rival < LEAST_LEAD or found.confidence < LEAST_CONFIDENCE:
        return f"two places fit alike ({found.likeness:.2f} and {found.rival:.2f})"
    far = max(abs(place.right), abs(place.down)) > MOST_SHIFT
    large = not 1 / MOST_SIZE <= place.size <= MOST_SIZE
    if far or large or abs(place.degrees) > MOST_DEGREES:
        shift = f"{100 * place.right:.0f} % right, {100 * place.down:.0f} % down"
        return f"it lies too far off ({place.degrees:.0f} degrees, {place.size:.2f} times, {shift})"
    return ""


def _in_shares(numbers: Float[np.ndarray, " 4"]) -> Similarity:
    return Similarity.of(numbers / np.array([1, 1, SIDE, SIDE]))


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where a frame lies in an image."""

    size: tuple[int, int]
    """Width and height of the image."""
    frame: tuple[int, int]
    """Of the frame, in which things are about as large as in the image."""
    similarity: Similarity
    notes: tuple[str, ...] = ()

    def to_frame(self, image: Image.Image) -> Image.Image:
        """Return the image as the frame has it; beyond its border that goes on."""
        if self.similarity == SAME:
            return image
        needed = self.around(Box(0, 0, *self.frame))
        left, right = max(0, int(2 - needed.left)), max(0, int(needed.right - image.width + 2))
        top, bottom = max(0, int(2 - needed.top)), max(0, int(needed.bottom - image.height + 2))
        margins = ((top, bottom), (left, right), (0, 0))
        wide = np.pad(np.asarray(image), margins, mode="edge")
        a, b, c, d, e, f = self.similarity.coefficients(self.frame, image.size)
        shifted = (a, b, c + left, d, e, f + top)
        return Image.fromarray(wide).transform(
            self.frame, Image.Transform.AFFINE, shifted, Image.Resampling.BICUBIC
        )

    def to_image(self, heat: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "H W"]:
        """Return a map of the frame as the image has it; what the frame lacks is its lowest."""
        if self.similarity == SAME:
            return heat
        back = self.similarity.inverse().coefficients(self.size, self.frame)
        turned = Image.fromarray(heat.astype(np.float32, copy=False)).transform(
            self.size, Image.Transform.AFFINE, back, Image.Resampling.BILINEAR,
            fillcolor=float(heat.min()),
        )  # fmt: skip
        return np.asarray(turned)

    def around(self, box: Box) -> Box:
        """Return the smallest upright box in the image around a box in the frame."""
        a, b, c, d, e, f = self.similarity.coefficients(self.frame, self.size)
        corners = [(x, y) for x in (box.left, box.right) for y in (box.top, box.bottom)]
        rights = [a * x + b * y + c for x, y in corners]
        downs = [d * x + e * y + f for x, y in corners]
        return Box(min(rights), min(downs), max(rights), max(downs))

    def seen(self, box: Box, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
        """Return which pixels of a box of the frame, at a height and width, the image shows.

        Beyond the frame, where margins are, they count as shown.
        """
        rows, columns = ((np.arange(side) + 0.5) / side for side in size)
        x = box.left + columns * (box.right - box.left)
        y = box.top + rows[:, None] * (box.bottom - box.top)
        a, b, c, d, e, f = self.similarity.coefficients(self.frame, self.size)
        shown = _within(a * x + b * y + c, self.size[0]) & _within(d * x + e * y + f, self.size[1])
        beyond = ~(_within(x, self.frame[0]) & _within(y, self.frame[1]))
        counts: Bool[np.ndarray, "h w"] = shown | beyond
        return counts


def _within(places: Float[np.ndarray, "*p"], side: int) -> Bool[np.ndarray, "*p"]:
    within: Bool[np.ndarray, "*p"] = (places >= 0) & (places <= side)
    return within
