"""Reading masks: which pixels of an image are defective, never anything in between.

A pixel is defective where any colour is above 0 (MVTec AD writes 255, VisA small numbers) and
it is not transparent; in formats that lose precision (JPEG) it must be above half. Masks lie
over the upright image. One that only fits the stored pixels of a photograph taken on its side
was drawn over those, and is turned with the photograph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from vlmad.errors import InputError, first_line
from vlmad_datasets._annotations import LABEL_SUFFIXES, label_mask
from vlmad_datasets.headers import ORIENTATION, SWAPPING, opened, read_header
from vlmad_run.finding import SUFFIXES

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import Bool, UInt8

    from vlmad.datasets import Sample
    from vlmad_datasets.headers import Header

HALF = 127


def mask_of(sample: Sample) -> Bool[np.ndarray, "H W"] | None:
    """Return a sample's mask at the size of the upright image.

    A normal image without a mask has an empty one; None means that the image is anomalous and
    nobody knows where.

    Raises:
        InputError: image or mask cannot be read, or their sizes differ.
    """
    if sample.mask is None and sample.anomalous:
        return None
    header = read_header(sample.image)
    if sample.mask is None:
        return np.zeros(header.size[::-1], bool)
    return fitted_mask(sample.mask, sample.image, header)


def fitted_mask(path: Path, image: Path, header: Header) -> Bool[np.ndarray, "H W"]:
    """Read the mask of an image, at the size of the upright image.

    Args:
        path: a mask file, a folder of such, or the label file of an annotation tool.
        image: the image, of which a label file may speak among others.
        header: the image's.

    Raises:
        InputError: the mask cannot be read, or has another size than the image.
    """
    if path.suffix.lower() in LABEL_SUFFIXES:
        return fit_mask(label_mask(path, image, header.size), header, path)
    return fit_mask(read_mask(path), header, path)


def read_mask(path: Path) -> Bool[np.ndarray, "H W"]:
    """Read a mask file, or merge all mask files of a folder.

    Raises:
        InputError: one cannot be read, the folder holds none, or their sizes differ.
    """
    files = _files(path)
    merged = _read(files[0])
    for file in files[1:]:
        mask = _read(file)
        if mask.shape != merged.shape:
            raise InputError(f"{file}: {_size(mask)} pixels, but {_size(merged)} in {files[0]}")
        merged |= mask
    return merged


def fit_mask(mask: Bool[np.ndarray, "h w"], header: Header, path: Path) -> Bool[np.ndarray, "H W"]:
    """Bring a mask to the upright image by turning it, never by scaling.

    Raises:
        InputError: the mask has another size than the image.
    """
    if mask.shape == header.size[::-1]:
        return mask
    if header.orientation in SWAPPING and mask.shape == header.size:
        stored = Image.fromarray(mask)
        stored.getexif()[ORIENTATION] = header.orientation
        return np.asarray(ImageOps.exif_transpose(stored))
    width, height = header.size
    raise InputError(f"{path}: the mask has {_size(mask)} pixels, its image {width} x {height}")


def _files(path: Path) -> list[Path]:
    try:
        if not path.is_dir():
            return [path]
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    except (OSError, ValueError) as error:  # names that no file can have, closed folders
        raise InputError(f"{path}: {first_line(error)}") from error
    if not files:
        raise InputError(f"{path}: a folder without masks")
    return files


def _read(path: Path) -> Bool[np.ndarray, "h w"]:
    with opened(path) as image:
        image.load()
        lossy = image.format in ("JPEG", "WEBP")
        return _marked(ImageOps.exif_transpose(image), HALF if lossy else 0)


def _marked(image: Image.Image, above: int) -> Bool[np.ndarray, "h w"]:
    if image.mode == "P" or "transparency" in image.info:
        image = image.convert("RGBA")  # a palette's numbers mean nothing without its colours
    values: UInt8[np.ndarray, "h w *c"] = np.asarray(image)
    marked: Bool[np.ndarray, "h w *c"] = values > above
    if marked.ndim == 2:
        return marked
    if image.getbands()[-1] in ("A", "a"):
        return np.asarray(marked[..., :-1].any(axis=-1) & (values[..., -1] > 0))
    return np.asarray(marked.any(axis=-1))


def _size(mask: Bool[np.ndarray, "h w"]) -> str:
    return f"{mask.shape[1]} x {mask.shape[0]}"
