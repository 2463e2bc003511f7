"""Choosing normal reference images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vlmad.errors import InputError
from vlmad_run.finding import find_images

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_SHOTS = 4


def choose_references(
    paths: Sequence[str | Path], shots: int | None, seed: int
) -> list[Path]:
    """Draw `shots` different images of those that are named, the same ones for the same seed.

    Args:
        paths: files, folders and patterns, as `find_images` takes them.
        shots: how many to draw. None takes all images where each of them is named itself, and
            `DEFAULT_SHOTS` where a folder or a pattern stands for them.
        seed: which to draw.

    Raises:
        InputError: there are fewer images than shots, or none.
    """
    images = find_images(paths)
    if shots is None:
        shots = len(images) if all(map(_is_file, paths)) else DEFAULT_SHOTS
    return draw_references(images, shots, seed, " and ".join(map(str, paths)))


def _is_file(path: str | Path) -> bool:
    try:
        return Path(path).is_file()
    except ValueError:  # a NUL
        return False


def draw_references(images: Sequence[Path], shots: int, seed: int, where: str) -> list[Path]:
    """Draw `shots` different images, the same ones of the same list for the same seed.

    Args:
        images: all that may be drawn.
        shots: how many to draw.
        seed: which to draw.
        where: what is said to have too few images, if so.

    Raises:
        InputError: there are fewer images than shots, or none.
    """
    if shots < 1:
        raise InputError(f"--shots takes whole numbers from 1, not {shots}")
    if len(images) < shots:
        raise InputError(
            f"{where} has {len(images)} images, fewer than the {shots} references "
            f"wanted; lower --shots or add images"
        )
    drawn = np.random.default_rng(seed).choice(len(images), size=shots, replace=False)
    return [images[index] for index in sorted(drawn)]
