"""Choosing normal reference images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vlmad.errors import InputError
from vlmad.finding import find_images

DEFAULT_SHOTS = 4


def choose_references(folder: Path, shots: int, seed: int) -> list[Path]:
    """Draw `shots` different images of a folder, the same ones for the same seed.

    Raises:
        InputError: there are fewer images than shots, or none.
    """
    if shots < 1:
        raise InputError(f"--shots takes whole numbers from 1, not {shots}")
    images = find_images([folder])
    if len(images) < shots:
        raise InputError(
            f"{folder} has {len(images)} images, fewer than the {shots} references "
            f"wanted; lower --shots or add images"
        )
    drawn = np.random.default_rng(seed).choice(len(images), size=shots, replace=False)
    return [images[index] for index in sorted(drawn)]
