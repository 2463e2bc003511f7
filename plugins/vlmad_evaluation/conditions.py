"""Conditions that change after installation: light, focus, noise, compression, angle, place, size.

A change is one severity of a condition. What is drawn, such as a direction, is drawn from the
image's own bytes and the condition's name: a repetition is exact, whatever the order and place of
images, and all severities of an image go the same way. Pixels that enter the frame from outside
are reflected ones; `Change.of_mask` says where they are, because nobody knows what they would be.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PIL import Image, ImageFilter

from vlmad.errors import InputError, did_you_mean
from vlmad.images import Source
from vlmad_documents.documents import Document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from jaxtyping import Bool, Float, Shaped

    from vlmad_formats.reading import Reading

    Place: TypeAlias = tuple[Float[np.ndarray, "2 2"], Float[np.ndarray, " 2"]]
    """Matrix and offset that lead from row and column in the new frame to those in the old."""

CLEAN = "clean"
"""What images are called that nothing was done to."""
ALARMS = "false_alarms"
HELD = ("image_auroc", "pixel_auroc", "pixel_aupro_30", ALARMS, "misses")
"""The figures that are followed from clean images to changed ones."""
ALLOWED = 0.05
"""The share of clean normal images that may be false alarms at the threshold."""
OUTSIDE = 2
"""Marks pixels from outside of the frame, beside the 0 and 1 of a mask."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that changes, by how much, and what it does to an image."""

    unit: str
    amounts: tuple[float, ...]
    """Of severity 1, 2, …"""
    colours: Callable[[Image.Image, float, np.random.Generator], Image.Image] | None = None
    place: Callable[[tuple[int, int], float, np.random.Generator], Place] | None = None
    """From height and width; one of the two is given."""


class ConditionSettings(Document):
    """A condition as a bench applies it."""

    unit: str
    amounts: list[float]
    """Of severity 1, 2, …"""


class Change(Document):
    """One severity of a condition."""

    condition: str
    severity: int
    amount: float

    def of_image(self, image: Image.Image, sha256: str) -> Image.Image:
        """Return an RGB image as it is under the condition, of the same size.

        Args:
            image: the decoded image.
            sha256: of its file, by which its change is drawn.
        """
        condition = CONDITIONS[self.condition]
        if condition.colours is not None:
            return condition.colours(image, self.amount, self._draws(sha256))
        place = self._place((image.height, image.width), sha256)
        bands = [_move(np.asarray(band, np.float32), place, 1, "reflect") for band in image.split()]
        return Image.fromarray(np.rint(np.stack(bands, axis=-1)).astype(np.uint8))

    def of_mask(
        self, mask: Bool[np.ndarray, "h w"], sha256: str
    ) -> tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
        """Return a mask moved with its image, and where pixels are from outside of the frame."""
        if CONDITIONS[self.condition].place is None:
            return mask, np.zeros_like(mask)
        place = self._place(mask.shape, sha256)
        moved = _move(mask.astype(np.uint8), place, 0, "grid-constant")
        return moved == 1, moved == OUTSIDE

    def _place(self, shape: tuple[int, ...], sha256: str) -> Place:
        place = CONDITIONS[self.condition].place
        assert place is not None
        return place((shape[0], shape[1]), self.amount, self._draws(sha256))

    def _draws(self, sha256: str) -> np.random.Generator:
        own = hashlib.sha256(f"{self.condition} {sha256}".encode()).digest()
        return np.random.default_rng(int.from_bytes(own[:8], "big"))


class ChangedSource(Source):
    """A file that is seen under a condition."""

    def __init__(
        self, name: str, path: Path, change: Change, reading: Reading | None = None
    ) -> None:
        super().__init__(name, path, reading=reading)
        self.change = change

    def decoded(self) -> Image.Image:
        """Return the image in the file, changed; raises what `Source.open` does."""
        image = super().decoded()
        assert self.sha256 is not None
        return self.change.of_image(image, self.sha256)


def parse_conditions(text: str) -> dict[str, ConditionSettings]:
    """Return the named conditions in the order of `CONDITIONS`; `all` is every one.

    Raises:
        InputError: one is not known; the known ones are named.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if word not in CONDITIONS and word != "all":
            known = f"{', '.join(CONDITIONS)} or all"
            hint = did_you_mean(word, CONDITIONS)
            raise InputError(f"--conditions takes {known}; there is no '{word}': {hint}")
    return {
        name: ConditionSettings(unit=condition.unit, amounts=list(condition.amounts))
        for name, condition in CONDITIONS.items()
        if name in words or "all" in words
    }


def changes_of(conditions: Mapping[str, ConditionSettings]) -> list[Change]:
    """Return all severities of some conditions."""
    return [
        Change(condition=name, severity=number, amount=amount)
        for name, settings in conditions.items()
        for number, amount in enumerate(settings.amounts, 1)
    ]


def cutoff(normal: Float[np.ndarray, " n"], scores: Float[np.ndarray, " m"]) -> float | None:
    """Return a threshold at which `ALLOWED` of some normal images at most are false alarms.

    It is the lowest such one, and lies halfway to the next higher of all scores, so that rounding
    decides nothing.

    >>> cutoff(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0, 5.0]))
    4.0
    """
    if not len(normal):
        return None
    highest = float(np.sort(normal)[::-1][int(ALLOWED * len(normal))])
    above = scores[scores > highest]
    return (
        (highest + float(above.min())) / 2 if len(above) else float(np.nextafter(highest, np.inf))
    )


def _light(image: Image.Image, stops: float, rng: np.random.Generator) -> Image.Image:
    """Multiply the light by 2 to the power of so many stops, more or less, as sRGB encodes it."""
    levels = np.arange(256) / 255
    light = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    light = np.minimum(light * 2.0 ** (_sign(rng) * stops), 1)
    levels = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return image.point(np.rint(255 * levels).astype(int).tolist() * 3)


def _blur(image: Image.Image, percent: float, rng: np.random.Generator) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(percent / 100 * min(image.size)))


def _noise(image: Image.Image, sigma: float, rng: np.random.Generator) -> Image.Image:
    pixels = np.asarray(image)
    noisy = pixels + np.float32(sigma) * rng.standard_normal(pixels.shape, np.float32)
    return Image.fromarray(np.rint(np.clip(noisy, 0, 255)).astype(np.uint8))


def _jpeg(image: Image.Image, quality: float, rng: np.random.Generator) -> Image.Image:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=round(quality))
    return Image.open(content).convert("RGB")


def _turn(shape: tuple[int, int], degrees: float, rng: np.random.Generator) -> Place:
    angle = np.radians(_sign(rng) * degrees)
    sine, cosine = np.sin(angle), np.cos(angle)
    return _about_centre(shape, np.array([[cosine, sine], [-sine, cosine]]))


def _shift(shape: tuple[int, int], percent: float, rng: np.random.Generator) -> Place:
    """Move by whole pixels, so that nothing is interpolated."""
    angle = rng.uniform(0, 2 * np.pi)
    way = np.array([np.sin(angle), np.cos(angle)])
    return np.eye(2), np.rint(percent / 100 * min(shape) * way)


def _scale(shape: tuple[int, int], zoom: float, rng: np.random.Generator) -> Place:
    return _about_centre(shape, np.eye(2) / zoom ** _sign(rng))


def _sign(rng: np.random.Generator) -> int:
    return int(rng.choice((-1, 1)))


def _about_centre(shape: tuple[int, int], matrix: Float[np.ndarray, "2 2"]) -> Place:
    centre = (np.array(shape) - 1) / 2
    return matrix, centre - matrix @ centre


def _move(
    array: Shaped[np.ndarray, "h w"], place: Place, order: int, mode: str
) -> Shaped[np.ndarray, "h w"]:
    from scipy import ndimage  # which takes a while to import

    matrix, offset = place
    moved: np.ndarray = ndimage.affine_transform(
        array, matrix, offset, order=order, mode=mode, cval=OUTSIDE
    )
    return moved


CONDITIONS = {
    "light": Condition("stops", (0.25, 0.5, 1.0), _light),
    "blur": Condition("% of the shorter side", (0.25, 0.5, 1.0), _blur),
    "noise": Condition("of 255 levels", (5.0, 10.0, 20.0), _noise),
    "jpeg": Condition("quality", (80.0, 50.0, 20.0), _jpeg),
    "turn": Condition("degrees", (2.0, 5.0, 15.0), place=_turn),
    "shift": Condition("% of the shorter side", (2.0, 5.0, 10.0), place=_shift),
    "scale": Condition("times", (1.05, 1.1, 1.25), place=_scale),
}
