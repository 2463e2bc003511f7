"""Which values are white in files that do not state it: decided once for all images of a run."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from vlmad.errors import InputError
from vlmad_formats.rendering import white_of
from vlmad_formats.stored_values import read_raster

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from vlmad_formats.reading import Reading
    from vlmad_formats.stored_values import ImageFacts

LOOKED_AT = 32
"""Files, spread over the run."""
MOST_OF = 0.95
"""The share of files whose values must fit; a few may be of another depth, or damaged."""
STATING = (b"\xff\xd8", b"BM", b"GIF8", b"RIFF", *(b"P%d" % kind for kind in range(1, 7)))
"""The first bytes of files whose values are never in doubt."""
PNG_DEPTH = 24


def find_range(
    paths: Iterable[Path], reading: Reading | None = None
) -> tuple[str, tuple[str, ...]]:
    """Return the range for a run, as `Reading` takes it, and what there is to say of it.

    It is ``auto`` where no file leaves anything open; where some do, the smallest usual white that
    in nearly all files hardly any pixel exceeds.

    Args:
        paths: the images of the run, references and all.
        reading: the page and limits of it.
    """
    doubtful = [path for path in paths if _may_be_in_doubt(path)]
    step = max(1, len(doubtful) / LOOKED_AT)
    spread = [doubtful[int(i * step)] for i in range(min(len(doubtful), LOOKED_AT))]
    whites: dict[str, list[tuple[float, Path]]] = {"integers": [], "floats": []}
    for path in spread:
        with suppress(InputError):  # said when it is scored
            raster = read_raster(path, reading=reading)
            if _leaves_it_open(raster.facts):
                kind = "floats" if raster.facts.sample == "float" else "integers"
                whites[kind].append((white_of(np.asarray(raster.pixels)), path))
    found = {kind: _fitting([white for white, _ in each]) for kind, each in whites.items()}
    if not any(whites.values()):
        return "auto", ()
    notes = tuple(_said(kind, found[kind], each) for kind, each in whites.items() if each)
    integer, decimal = found["integers"] or 65535, found["floats"] or 1
    return f"auto:{math.ceil(integer)}/{math.ceil(decimal)}", notes


def _may_be_in_doubt(path: Path) -> bool:
    try:
        if not path.is_file():  # a pipe would wait for a writer
            return False
        with path.open("rb") as file:
            start = file.read(PNG_DEPTH + 1)
    except (OSError, ValueError):  # also for names that no file can have
        return False
    if start.startswith(b"\x89PNG"):
        return start[PNG_DEPTH:] == b"\x10"
    return not start.startswith(STATING)


def _leaves_it_open(facts: ImageFacts) -> bool:
    return facts.range is None and (facts.sample != "unsigned" or facts.bits > 8)


def _fitting(whites: Sequence[float]) -> float:
    """Return the white that nearly all files fit into; 0 without any."""
    return sorted(whites)[math.ceil(MOST_OF * len(whites)) - 1] if whites else 0.0


def _said(what: str, white: float, files: Sequence[tuple[float, Path]]) -> str:
    said = f"{what} whose files do not state their range: 0 is black, {white:g} white"
    others = [path.name for own, path in files if own > white or own * 16 <= white + 1]
    if others:
        said += f"; these look like another depth: {', '.join(others[:5])}"
        said += f" and {len(others) - 5} more" if len(others) > 5 else ""
    return said
