"""Images to learn from where nothing is labelled: good ones, with defects drawn in half of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from vlmad.datasets import class_name
from vlmad.files import digest
from vlmad.images import Source
from vlmad_documents.documents import Document
from vlmad_synthesis.good_images import find_good
from vlmad_synthesis.nuisances import disturb
from vlmad_synthesis.synthetic import (
    GOOD,
    Defect,
    Synthetic,
    choose_defects,
    pixels_of,
    seeded,
    synthesise,
)
from vlmad_train._images import TrainingImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from vlmad_train._images import Opened
    from vlmad_train._options import TrainingSource

TRIES = 3
"""How often a kind is drawn in an image until the backbone sees it, and then another kind."""


class ChosenDrawing(Document):
    """Which of the drawings that are possible in an image is taken."""

    number: int = 0
    """From 0, where each kind is as likely as any other."""
    kind: str


@dataclass(frozen=True, slots=True)
class GoodCanvas:
    """A good image in which a defect is drawn, or none, the same to the bit whenever asked for."""

    path: Path
    words: tuple[str, ...]
    """Which decide all chance."""
    defects: Mapping[str, Defect]
    """Those that may be drawn; none leaves it good."""
    sourced: Callable[[object], Source]

    def drawn(self, which: ChosenDrawing | None = None) -> tuple[Image.Image, Synthetic]:
        """Return the image, in half of all cases changed in a way that is no defect, and drawn in.

        Args:
            which: of the drawings; the first by default.

        Raises:
            InputError: this cannot be drawn in it.
        """
        pixels, rng = pixels_of(self.sourced(self.path).open()), seeded(0, *self.words)
        if rng.random() < 0.5:
            pixels = disturb(pixels, rng)[0]
        if not self.defects:
            made = Synthetic(pixels, np.zeros(pixels.shape[:2], bool), GOOD)
        elif which is None or which.number == 0:
            made = synthesise(pixels, rng, self.defects)
        else:
            own = seeded(0, *self.words, which.number)
            made = synthesise(pixels, own, {which.kind: self.defects[which.kind]})
        return Image.fromarray(pixels), made

    def others(self, first: str) -> list[ChosenDrawing]:
        """Return what to draw instead, in turn: the kind of the first again, then another kind."""
        left = [kind for kind in self.defects if kind != first]
        another = left and [left[seeded(0, *self.words, "another kind").integers(len(left))]]
        kinds = [kind for kind in (first, *another) for _ in range(TRIES)]
        return [ChosenDrawing(number=n, kind=kind) for n, kind in enumerate(kinds)][1:]

    def opened(self, which: ChosenDrawing | None = None) -> Opened:
        """Return what is learned from."""
        _, made = self.drawn(which)
        return self.source(Image.fromarray(made.image)), made.mask

    def source(self, picture: Image.Image) -> Source:
        """Return a picture as the backbone takes it."""
        return Source(str(self.path), picture)


@dataclass(frozen=True, slots=True)
class SyntheticImage(TrainingImage):
    """An image that is drawn anew whenever it is opened."""

    canvas: GoodCanvas

    @property
    def drawing(self) -> tuple[Path, str]:
        """Of which image it is, and the number of its drawing: its pair has the same."""
        return self.canvas.path, self.canvas.words[1]


def synthetic_images(
    data: Path,
    source: TrainingSource,
    seed: int,
    sourced: Callable[[object], Source],
    options: Mapping[str, str],
) -> list[TrainingImage]:
    """Return each good image with a defect and without one, as often as asked for.

    They are drawn by the seed and the content of the good image.

    Args:
        data: the good images.
        source: which of them, and what is drawn.
        seed: of all that is drawn.
        sourced: makes a source of a path as the detector reads it.
        options: of the kinds of defect.

    Raises:
        InputError: there are no good images.
        UnknownPartError: there is no such kind of defect.
        OptionError: it has no such option.
    """
    words = [word.strip() for word in (source.synthesise or "all").split(",")]
    kinds = None if words == ["all"] else words
    defects = choose_defects(kinds, options)
    images: list[TrainingImage] = []
    for category, paths in find_good(data, source.category).items():
        for path in paths:
            content = digest(path)
            for number in range(source.drawings):
                for bad in (False, True):
                    own = (content, str(number), str(bad), str(seed), *defects)
                    canvas = GoodCanvas(path, own, defects if bad else {}, sourced)
                    images.append(
                        SyntheticImage(
                            f"{path} ({'defective' if bad else 'good'} {number})",
                            category,
                            class_name(category),
                            bad,
                            hashlib.sha256(" ".join(own).encode()).hexdigest(),
                            canvas.opened,
                            canvas,
                        )
                    )
    return images


def pairs_of(images: Sequence[TrainingImage], rows: Iterable[int]) -> list[list[int]]:
    """Return the numbers of images without a defect, each with that of the same with one.

    Whatever has lost its other, because nothing is seen of its defect, is left out.
    """
    both: dict[tuple[Path, str], list[int]] = {}
    for row in rows:
        image = images[row]
        if isinstance(image, SyntheticImage):
            both.setdefault(image.drawing, []).append(row)
    return [
        sorted(pair, key=lambda row: images[row].anomalous)
        for pair in both.values()
        if len(pair) == 2
    ]
