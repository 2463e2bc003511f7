"""A card for an image: the image with its defect outlined, the mask, the map, where it peaks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage

from vlmad.errors import InputError, VlmadError, printable
from vlmad.files import digest
from vlmad.images import decode
from vlmad_datasets.masks import mask_of
from vlmad_evaluation.image_metrics import image_metrics
from vlmad_report.content import Card, Picture
from vlmad_run.overlays import LINE, Range, outline, paint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from jaxtyping import Bool, Float
    from vlmad_evaluation.bench.measuring import Scored

    from vlmad_report.looking.looks import Look

LONGEST, SMALL = 320, 160
"""Pixels of a picture's longer side; a smaller image is enlarged by a whole factor."""


GONE = "The photograph is not where it was measured."
CHANGED = "Not shown: the photograph is another file now than the one that was scored."


def why_hidden(scored: Scored) -> str | None:
    """Return why an image cannot be shown: it is gone, or not the one that was scored."""
    try:
        now = digest(scored.sample.image)
    except VlmadError:
        return GONE
    return None if scored.row.sha256 in (None, now) else CHANGED


def card_of(look: Look, scored: Scored, sentences: Sequence[str]) -> Card:
    """Return a card for an image; what of it cannot be read is left out and said.

    Args:
        look: its cell, whose maps are all coloured alike.
        scored: the image.
        sentences: what is said of it, before where its map is highest.
    """
    sample = scored.sample
    title = f"{sample.category} · {sample.defect} · {sample.image.name}"
    hidden = why_hidden(scored)
    if hidden:
        return Card(printable(title), (), tuple(map(printable, (*sentences, hidden))))
    files = _Files.read(scored)
    pictures = tuple(_pictures(look, files))
    told = (*sentences, *_peak(files), *files.problems)
    return Card(printable(title), pictures, tuple(map(printable, told)))


@dataclass(slots=True)
class _Files:
    """What of an image could be read."""

    image: Image.Image | None = None
    mask: Bool[np.ndarray, "H W"] | None = None
    heat: Float[np.ndarray, "H W"] | None = None
    problems: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, scored: Scored) -> _Files:
        files = cls()
        for name, reader in (
            ("image", lambda: decode(scored.sample.image)),
            ("mask", lambda: mask_of(scored.sample)),
            ("heat", lambda: _heat(scored)),
        ):
            files._try(name, reader)
        files._drop_what_does_not_fit()
        return files

    def _try(self, name: str, reader: Callable[[], object]) -> None:
        try:
            setattr(self, name, reader())
        except VlmadError as error:
            self.problems.append(f"Not shown: {error}.")

    def _drop_what_does_not_fit(self) -> None:
        size = None if self.image is None else self.image.size[::-1]
        for name, word in (("mask", "mask"), ("heat", "map")):
            there = getattr(self, name)
            if size and there is not None and there.shape != size:
                setattr(self, name, None)
                self.problems.append(f"Not shown: the {word} has another size than the image.")


def _heat(scored: Scored) -> Float[np.ndarray, "H W"]:
    if not (scored.run / scored.row.map).is_file():
        raise InputError("its map is not on disk (--no-maps deletes it)")
    return scored.heat()


def _pictures(look: Look, files: _Files) -> Iterator[Picture]:
    if files.image is None:
        return
    small = _fit(files.image)
    if files.mask is not None and files.mask.any():
        mask = _shrunk(files.mask, small.size)
        # outside of the defect, so that thin ones are not hidden by their own outline
        around = ndimage.binary_dilation(mask, iterations=LINE + 1)
        seen = outline(small, around.astype(np.float32))
        yield Picture("image, defect outlined", f"The image with {_place(files.mask)}.", seen)
        yield Picture(
            "mask", f"The mask: {_place(files.mask)}.",
            Image.fromarray(mask.astype(np.uint8) * 255),
        )  # fmt: skip
    else:
        yield Picture("image", "The image.", small)
    if files.heat is not None:
        row, column = np.unravel_index(files.heat.argmax(), files.heat.shape)
        yield Picture(
            "map", f"The image under its map, which is highest at {column}, {row}.",
            paint(small, files.heat, _scale(look)),
        )  # fmt: skip


def _fit(image: Image.Image) -> Image.Image:
    longest = max(image.size)
    if longest * 2 <= LONGEST:
        factor = max(2, SMALL // longest)
        size = image.width * factor, image.height * factor
        return image.resize(size, Image.Resampling.NEAREST)
    small = image.copy()
    small.thumbnail((LONGEST, LONGEST))
    return small


def _shrunk(mask: Bool[np.ndarray, "H W"], size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Bring a mask to a picture's size, where a pixel shows a defect if any part of it does."""
    grey = Image.fromarray(mask.astype(np.float32))
    shrunk: np.ndarray = np.asarray(grey.resize(size, Image.Resampling.BOX)) > 0
    return shrunk


def _scale(look: Look) -> Range:
    """Return the values that the colours span: those of all maps of the cell."""
    rows = [each.row for each in look.scored]
    lowest, highest = min(r.map_low or 0 for r in rows), max(r.map_high or 0 for r in rows)
    return Range(float(lowest), float(highest))


def _place(mask: Bool[np.ndarray, "H W"]) -> str:
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return f"a defect from {columns[0]}, {rows[0]} to {columns[-1] + 1}, {rows[-1] + 1}"


def _peak(files: _Files) -> Iterator[str]:
    """Yield where the map is highest, and how it compares with the mask."""
    heat, mask = files.heat, files.mask
    if heat is None:
        return
    if heat.min() == heat.max():
        yield "The map is flat."
        return
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    where = f"The map is highest at pixel {column}, {row}"
    if mask is None or not mask.any():
        yield f"{where}."
        return
    side = "inside" if mask[row, column] else "outside"
    found = image_metrics(mask.ravel(), heat.ravel())["image_auroc"].value
    share = "" if found is None else (
        f"; a pixel of the defect is above one of the rest with probability {found:.2f}"
    )  # fmt: skip
    yield f"{where}, {side} the defect{share}."
