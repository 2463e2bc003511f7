"""Images to learn from where nothing is labelled: good ones, with defects drawn in half of them."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from vlmad.datasets import class_name
from vlmad.files import digest
from vlmad.images import Source
from vlmad_synthesis.good_images import find_good
from vlmad_synthesis.nuisances import disturb
from vlmad_synthesis.synthetic import choose_defects, pixels_of, seeded, synthesise
from vlmad_train._images import TrainingImage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from vlmad_synthesis.synthetic import Defect
    from vlmad_train._images import Opened
    from vlmad_train._options import TrainingSource


def synthetic_images(
    data: Path, source: TrainingSource, seed: int, sourced: Callable[[object], Source]
) -> list[TrainingImage]:
    """Return each good image with a defect and without one, as often as asked for.

    Half of either, by chance, are first changed in a way that is no defect. They are drawn anew
    whenever they are opened, by the seed and the content of the good image, the same to the bit.

    Raises:
        InputError: there are no good images.
        UnknownPartError: there is no such kind of defect.
    """
    words = [word.strip() for word in (source.synthesise or "all").split(",")]
    kinds = None if words == ["all"] else words
    defects, images = choose_defects(kinds), []
    for category, paths in find_good(data, source.category).items():
        for path in paths:
            content = digest(path)
            for number in range(source.drawings):
                for bad in (False, True):
                    words = [content, str(number), str(bad), str(seed), *defects]
                    images.append(
                        TrainingImage(
                            f"{path} ({'defective' if bad else 'good'} {number})",
                            category,
                            class_name(category),
                            bad,
                            hashlib.sha256(" ".join(words).encode()).hexdigest(),
                            partial(_drawn, path, words, defects if bad else {}, sourced),
                        )
                    )
    return images


def _drawn(
    path: Path,
    words: list[str],
    defects: Mapping[str, Defect],
    sourced: Callable[[object], Source],
) -> Opened:
    pixels, rng = pixels_of(sourced(path).open()), seeded(0, *words)
    if rng.random() < 0.5:
        pixels = disturb(pixels, rng)[0]
    mask = np.zeros(pixels.shape[:2], bool)
    if defects:
        drawn = synthesise(pixels, rng, defects)
        pixels, mask = drawn.image, drawn.mask
    return Source(str(path), Image.fromarray(pixels)), mask
