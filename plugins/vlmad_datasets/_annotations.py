"""Label files of annotation tools: which tool's a file is, and what it says of an image."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import InputError
from vlmad_datasets._coco import CocoFile
from vlmad_datasets._cvat import CvatFile
from vlmad_datasets._foreign import json_table, label_text, reading
from vlmad_datasets._labelme import labelme_drawing
from vlmad_datasets._shapes import Drawing
from vlmad_datasets._yolo import yolo_drawing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    import numpy as np
    from jaxtyping import Bool

    LabelFile: TypeAlias = Drawing | CocoFile | CvatFile

LABEL_SUFFIXES = frozenset({".json", ".xml", ".txt"})
"""The endings of label files."""
MANY = re.compile(r"_?annotations?(\.coco)?|instances.*|coco|result", re.IGNORECASE)
"""Names, without ending, of files for many images, as tools export them."""
NO_LABELS = frozenset({"classes.txt", "labelmap.txt", "labels.txt", "notes.json", "readme.txt"})
"""What lies among label files and is none."""


def is_label_file(path: Path) -> bool:
    """Tell by its name whether a file may be one of labels."""
    return path.suffix.lower() in LABEL_SUFFIXES and path.name.lower() not in NO_LABELS


def is_for_many(path: Path) -> bool:
    """Tell by its name whether a label file is one for many images."""
    return is_label_file(path) and MANY.fullmatch(path.stem) is not None


def spoken_of(path: Path, images: Sequence[Path]) -> list[list[Path]]:
    """Return, for each entry of a label file for many, the images that it may be of.

    A file that cannot be read speaks of all of them, so that it is refused with the first.
    """
    try:
        found = _parsed(path)
    except InputError:
        return [[image] for image in images]
    return [] if isinstance(found, Drawing) else found.listed.among(images)


def is_shared(path: Path) -> bool:
    """Tell whether a label file is for many images.

    Raises:
        InputError: it cannot be read.
    """
    return not isinstance(_parsed(path), Drawing)


def beside(image: Path) -> Path | None:
    """Return the file that LabelMe wrote beside an image, if there is one."""
    path = image.with_suffix(".json")
    try:
        return path if path.is_file() and '"shapes"' in label_text(path) else None
    except InputError:
        return None


def drawing_of(path: Path, image: Path) -> Drawing:
    """Return what a label file says of an image.

    Args:
        path: the label file, for this image (LabelMe, YOLO) or for many (COCO, CVAT).
        image: the image, which a file for many must list under its name.

    Raises:
        InputError: it cannot be read, is of no known tool, or does not list the image.
    """
    with reading(path):
        found = _parsed(path)
        return found if isinstance(found, Drawing) else found.drawing(image)


def label_mask(path: Path, image: Path, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Return the pixels that a label file marks, of the size that it states or the image has.

    Args:
        path: the label file.
        image: the image.
        size: its width and height, upright; a file may state them on their side.

    Raises:
        InputError: as of `drawing_of`, or the file is for another size, or a shape makes no sense.
    """
    drawing = drawing_of(path, image)
    with reading(path):
        return drawing.mask(size)


def _parsed(path: Path) -> LabelFile:
    try:
        status = path.stat()
    except (OSError, ValueError):  # reading it says what is wrong
        return _parsed_of(path)
    return _parsed_of(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=2)  # a file for many images is asked once for each, while it stays the same
def _parsed_of(path: Path, *stamp: int) -> LabelFile:
    text = label_text(path)
    if path.suffix.lower() == ".xml":
        return CvatFile(text)
    if path.suffix.lower() == ".txt":
        return yolo_drawing(text)
    table = json_table(text)
    if "shapes" in table:
        return labelme_drawing(table)
    if "images" in table and "annotations" in table:
        return CocoFile.of(table)
    raise InputError("a JSON neither of LabelMe nor of COCO; export one of these, or masks as PNG")
