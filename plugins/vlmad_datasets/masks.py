"""Reading masks: which pixels of an image are defective, never anything in between.

What a viewer shows counts: the colours of a palette, what is not transparent, white where a file
says that 0 is white. A pixel is defective where any colour is above 0 (MVTec AD writes 255, VisA
small numbers). Where the grey levels are those of a photograph (a format that loses precision, or
a file that once was in one), it must be above half of the mask's own range. Masks lie over the
upright image. One that only fits the stored pixels of a photograph taken on its side was drawn
over those, and is turned with the photograph; one that fits both ways lies where it stands out
from what is around it, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage

from vlmad.errors import InputError, first_line
from vlmad.images import decode
from vlmad_datasets._annotations import LABEL_SUFFIXES, label_mask
from vlmad_datasets._labelmap import coloured_mask, labelmap_of
from vlmad_formats.orientation import SIDEWAYS, upright
from vlmad_formats.stored_values import endings, read_facts, read_raster

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import Bool, Float, Shaped

    from vlmad.datasets import Sample
    from vlmad_formats.stored_values import ImageFacts, Raster

MANY_LEVELS = 16
"""More of them are no labels, unless they count up from 0 as those of many instances do."""
MOST_LABELS = 128
LITTLE_CONTRAST = 32
"""A lossy mask whose levels lie as near together is all marked or not at all."""
HALF = 127
LABEL, EXPORTED = "label.png", {"img.png", "label.png"}
"""What LabelMe makes of a label file: the photograph, and its mask beside others."""
ALL_BLACK = "is black, so what is not transparent is taken as defective"
MOST_COUNTED = 1 << 20
AROUND = 4
"""Pixels beside a mask that it is compared with."""
CLEARLY = 2.0
"""So many times must a turned mask stand out more than one that is not."""
MOST = 0.5
"""The share of an image that a defect rarely exceeds."""


@dataclass(frozen=True, slots=True)
class Mask:
    """The defective pixels of an image, and what is odd about the file that says so."""

    marked: Bool[np.ndarray, "H W"]
    notes: tuple[str, ...] = ()


def mask_of(sample: Sample) -> Bool[np.ndarray, "H W"] | None:
    """Return a sample's mask at the size of the upright image.

    A normal image without a mask has an empty one; None means that the image is anomalous and
    nobody knows where.

    Raises:
        InputError: image or mask cannot be read, or their sizes differ.
    """
    if sample.mask is None and sample.anomalous:
        return None
    facts = read_facts(sample.image)
    if sample.mask is None:
        return np.zeros(facts.size[::-1], bool)
    return fitted_mask(sample.mask, sample.image, facts).marked


def fitted_mask(path: Path, image: Path, facts: ImageFacts) -> Mask:
    """Read the mask of an image, at the size of the upright image.

    Args:
        path: a mask file, a folder of such, or the label file of an annotation tool.
        image: the image, of which a label file may speak among others.
        facts: the image's.

    Raises:
        InputError: the mask cannot be read, or has another size than the image.
    """
    if path.suffix.lower() in LABEL_SUFFIXES:
        mask = _questioned(label_mask(path, image, facts.size))
    else:
        mask = read_mask(path)
    marked = _fit(mask.marked, facts, path)
    stored = upright(marked, facts.orientation)
    if facts.orientation == 1 or stored.shape != marked.shape or (stored == marked).all():
        return Mask(marked, mask.notes)
    grey = np.asarray(decode(image).convert("L"), np.float32)
    here, there = _contrast(grey, marked), _contrast(grey, stored)
    turned = there > CLEARLY * max(here, 1)
    how = f"as drawn over its {'stored' if turned else 'upright'} pixels"
    note = f"fits its turned photograph both ways and is taken {how}; see on the contact sheet"
    return Mask(stored if turned else marked, (*mask.notes, note))


def _contrast(grey: Float[np.ndarray, "H W"], marked: Bool[np.ndarray, "H W"]) -> float:
    """Return how far what is marked is from what lies around it, in deviations of the latter."""
    around = ndimage.binary_dilation(marked, iterations=AROUND) & ~marked
    if not (marked.any() and around.any()):
        return 0.0
    apart = abs(float(grey[marked].mean() - grey[around].mean()))
    return apart / (float(grey[around].std()) + 1)


def read_mask(path: Path) -> Mask:
    """Read a mask file, or merge all mask files of a folder.

    Raises:
        InputError: one cannot be read, the folder holds none, or their sizes differ.
    """
    files = _files(path)
    masks = [_read(file) for file in files]
    first = masks[0].marked
    for file, mask in zip(files, masks, strict=True):
        if mask.marked.shape != first.shape:
            sizes = f"{_size(mask.marked)} pixels, but {_size(first)} in {files[0]}"
            raise InputError(f"{file}: {sizes}")
    marked = np.logical_or.reduce([mask.marked for mask in masks])
    return _questioned(marked, *dict.fromkeys(note for mask in masks for note in mask.notes))


def _questioned(marked: Bool[np.ndarray, "h w"], *notes: str) -> Mask:
    """Return a mask with what is odd about how much it marks."""
    if marked.mean() > MOST:
        share = f"marks {percent(float(marked.mean()))} of its image"
        notes = (*notes, f"{share}; see on the contact sheet whether it is inverted")
    return Mask(marked, notes)


def _fit(mask: Bool[np.ndarray, "h w"], facts: ImageFacts, path: Path) -> Bool[np.ndarray, "H W"]:
    """Bring a mask to the upright image by turning it, never by scaling.

    Raises:
        InputError: the mask has another size than the image.
    """
    if mask.shape == facts.size[::-1]:
        return mask
    if facts.orientation in SIDEWAYS and mask.shape == facts.size:
        return upright(mask, facts.orientation)
    width, height = facts.size
    remedy = "turn it" if mask.shape == facts.size else "export it at the size of its image"
    sizes = f"{_size(mask)} pixels, its image {width} x {height}"
    raise InputError(f"{path}: the mask has {sizes}; {remedy}")


def _files(path: Path) -> list[Path]:
    try:
        if not path.is_dir():
            return [path]
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in endings())
        if {file.name for file in files} >= EXPORTED:
            return [path / LABEL]
    except (OSError, ValueError) as error:  # names that no file can have, closed folders
        raise InputError(f"{path}: {first_line(error)}") from error
    if not files:
        raise InputError(f"{path}: a folder without masks")
    return files


def _read(path: Path) -> Mask:
    labelmap = labelmap_of(path)
    if labelmap is not None:
        return Mask(coloured_mask(path, labelmap))
    raster = read_raster(path)
    levels, seen = _levels(raster)
    known = np.unique(levels[seen]) if levels.dtype.kind == "f" else _counted(levels[seen])
    if not known.any() and not seen.all():
        return Mask(seen, (*raster.facts.notes, ALL_BLACK))
    above, note = _limit(known, raster.facts.lossy)
    return Mask((levels > above) & seen, (*raster.facts.notes, *([note] if note else [])))


def _levels(raster: Raster) -> tuple[Shaped[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Return the brightest colour of each pixel as a viewer shows it, and which are not clear."""
    image = raster.pixels
    if isinstance(image, Image.Image):
        if image.mode == "P" and not any(image.getpalette() or ()):
            image = Image.fromarray(np.asarray(image))  # numbers without colours
        elif image.mode in ("P", "PA", "La", "RGBa") or "transparency" in image.info:
            image = image.convert("RGBA")  # a palette's numbers mean nothing without its colours
        elif image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
            image = image.convert("RGB")
        image = np.atleast_3d(np.asarray(image))
    has_alpha = image.shape[-1] in (2, 4)
    levels = image[..., :-1].max(axis=-1) if has_alpha else image.max(axis=-1)
    levels = np.nan_to_num(levels) if levels.dtype.kind == "f" else levels.astype(np.int64)
    if raster.facts.white_is_zero:
        levels = levels.max() - levels
    seen = image[..., -1] > 0 if has_alpha else np.ones(levels.shape, bool)
    return levels, seen if seen.any() else ~seen


def _counted(levels: Shaped[np.ndarray, " n"]) -> Shaped[np.ndarray, " k"]:
    """Return the values that occur, faster than by sorting."""
    low, high = levels.min(initial=0), levels.max(initial=0)
    few = high - low < MOST_COUNTED
    known = np.flatnonzero(np.bincount(levels - low)) + low if few else np.unique(levels)
    return np.asarray(known)


def _limit(known: Shaped[np.ndarray, " k"], lossy: bool) -> tuple[float, str]:
    """Return above which level a pixel is defective, and what is odd about that."""
    low, high = (float(known[0]), float(known[-1])) if len(known) else (0.0, 0.0)
    labels = low >= 0 and len(known) == high - low + 1 and len(known) < MOST_LABELS
    if lossy and high - low < LITTLE_CONTRAST:
        return HALF, ""
    if lossy or (len(known) > MANY_LEVELS and not labels):
        middle = (low + high) / 2
        how = "is stored with losses" if lossy else f"has {len(known)} grey levels"
        cut = f"what is above {middle:g}, half of its range, is taken as defective"
        return middle, f"{how}, so {cut}; export it in black and white, as PNG"
    if low > 0 and len(known) > 1:
        return low, f"no value is 0, so {low:g}, its lowest, is taken as background; export it anew"
    return 0, ""


def _size(mask: Bool[np.ndarray, "h w"]) -> str:
    return f"{mask.shape[1]} x {mask.shape[0]}"


def percent(share: float) -> str:
    """Return a share in percent, with two digits, or as many as there are before the point.

    >>> percent(0.0123), percent(0.00042), percent(0.996), percent(1), percent(0)
    ('1.2 %', '0.042 %', '99.6 %', '100 %', '0 %')
    """
    if 0.99 <= share < 1:  # all but a few
        return f"{min(100 * share, 99.9):.1f} %"
    value = float(f"{100 * share:.2g}")
    return f"{value:.10f}".rstrip("0").rstrip(".") + " %"
