"""Which good images there are to draw in, by category."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import InputError
from vlmad.registry import installed
from vlmad_run.finding import find_images
from vlmad_run.opening import open_dataset, recognising

if TYPE_CHECKING:
    from collections.abc import Iterable


def find_good(data: Path, categories: Iterable[str] | None = None) -> dict[str, list[Path]]:
    """Return the good images for training of a data set, or all of a plain folder, by category.

    Args:
        data: a data set, a folder of good images, or one image.
        categories: only these; a plain folder is one category of its own name.

    Raises:
        InputError: there are none, or no such category.
    """
    if not (data.exists() and recognising(data, installed())):
        name = data.resolve().stem
        if categories and set(categories) != {name}:
            raise InputError(f"{data} is no data set, so that it has no categories to choose from")
        return {name: find_images([data], "references")}
    found: dict[str, list[Path]] = defaultdict(list)
    for sample in open_dataset(data).select(categories, "train"):
        if not sample.anomalous:
            found[sample.category].append(sample.image)
    if not found:
        raise InputError(f"{data} has no good images for training; name a folder of good images")
    return dict(found)
