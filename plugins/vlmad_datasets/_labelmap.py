"""The colours of CVAT's and Pascal VOC's segmentation masks, as `labelmap.txt` names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vlmad.errors import InputError
from vlmad.images import decode
from vlmad_datasets._foreign import label_text, reading

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import Bool

NAME = "labelmap.txt"
BACKGROUND = "background"


def labelmap_of(mask: Path) -> Path | None:
    """Return the file that names the colours of a mask: in its folder or the one above."""
    places = (mask.parent, mask.parent.parent)
    return next((each / NAME for each in places if (each / NAME).is_file()), None)


def coloured_mask(mask: Path, labelmap: Path) -> Bool[np.ndarray, "H W"]:
    """Return the pixels that have another colour than the background.

    Raises:
        InputError: a file cannot be read, or the mask has a colour that is not named.
    """
    with reading(labelmap):
        colours = _colours(label_text(labelmap))
    values = np.asarray(decode(mask))
    codes = values.astype(np.int32) @ np.array([65536, 256, 1])
    known = {name: (r * 256 + g) * 256 + b for name, (r, g, b) in colours.items()}
    for code in np.setdiff1d(codes, [*known.values(), 0]).tolist():
        colour = f"{code >> 16},{code >> 8 & 255},{code & 255}"
        raise InputError(f"{mask}: the colour {colour} is none of {labelmap.name}")
    return np.asarray(codes != known.get(BACKGROUND, 0))


def _colours(text: str) -> dict[str, tuple[int, int, int]]:
    """Return the colour of each label, from lines ``label:red,green,blue:…``."""
    colours = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        label, _, rest = line.partition(":")
        values = rest.partition(":")[0].split(",")
        if len(values) != 3 or not all(v.strip().isdecimal() and int(v) < 256 for v in values):
            raise InputError(f"line {number} names no colour, as in 'scratch:250,50,83::'")
        red, green, blue = map(int, values)
        colours[label.strip().casefold()] = (red, green, blue)
    return colours
