"""What scorers are tried with: features that hold only what they need, text, and memories."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from vlmad.errors import VlmadError
from vlmad.parts import CELLS, PATCHES, REGIONS, TEXT
from vlmad_conformance import _promises_alike as alike
from vlmad_conformance.examples import FINE, example_features, example_text
from vlmad_conformance.facts import counted, given
from vlmad_run.learning_in_fit import PIXELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor

    from vlmad.types import Features, Prediction, TextEmbeddings
    from vlmad_conformance.promises import Subject

SQUARE, WIDE = (5, 5), (3, 5)
"""Grids."""
OF_REFERENCES = 100
"""What is added to the seed of images: references resemble no image, so that distances are not
the small differences of large numbers, which rounding would decide."""
USUAL = 2
"""References that every scorer takes which takes any."""
Made = TypeVar("Made")


@dataclass(frozen=True)
class Scoring(alike.Trial):
    """A scorer, and all that it is called with."""

    called = "the scorer"
    images: Features
    text: TextEmbeddings | None
    references: Features | None = None
    memory: Mapping[str, Tensor] | None = None

    def answer(self) -> Prediction:
        return self.part(self.images, self.text, self.memory)  # type: ignore[no-any-return]

    def beside(self) -> tuple[Any, ...]:
        return self.text, self.memory

    def others(self) -> Iterator[Scoring]:
        fine = FINE if PIXELS in self.part.needs else 1  # whose grid is that of their pixels
        own = (self.images.grid[0] // fine, self.images.grid[1] // fine)
        for grid in [own] if self.references else [own, WIDE]:  # a memory may be of one grid
            yield replace(self, images=features_for(self.part, len(self.images), 5, grid))

    def fresh(self) -> Scoring:
        part = self.make()
        if self.references is not None:
            part.fit(self.references)
        return replace(self, part=part)

    def __str__(self) -> str:
        (rows, columns), count = self.images.grid, len(self.references or ())
        memory = f", memory of {counted(count, 'reference')}" if count else ""
        return f"{counted(len(self.images), 'image')} of {rows} x {columns} cells{memory}"


def scorings(
    *counts: int,
    grids: Sequence[tuple[int, int]] = (SQUARE,),
    references: Sequence[int] = (0, USUAL),
) -> Callable[[Subject], Iterator[Scoring]]:
    """Return trials with so many images, and memories of so many references; 0 is no memory."""

    def trials_of(subject: Subject) -> Iterator[Scoring]:
        for grid in grids:
            for number in references:
                part = subject.make()
                refused = "required" if number == 0 else "none"
                if part.references == refused:
                    continue
                memory = fit(part, number, grid) if number else (None, None)
                if memory is None:
                    continue
                for count in counts:
                    features = features_for(part, count, 0, grid)
                    yield Scoring(subject.make, part, features, text_for(part), *memory)

    return trials_of


def fit(
    part: Any, number: int, grid: tuple[int, int] = SQUARE
) -> tuple[Features, Mapping[str, Tensor]] | None:
    """Return references and what a scorer remembers of them.

    None where it refuses so many by an error of vlmad's own.
    """
    references = features_for(part, number, OF_REFERENCES, grid)
    shown = f"{counted(number, 'reference')} of {grid[0]} x {grid[1]} cells, for fit"
    with torch.inference_mode(), given(shown):
        fitted = part.fit(references) if number == USUAL else honestly(lambda: part.fit(references))
    return None if fitted is None else (references, fitted)


def features_for(
    scorer: Any, count: int, seed: int = 0, grid: tuple[int, int] = SQUARE
) -> Features:
    """Return features of images that hold what a scorer lists in `needs` and nothing more."""
    features = example_features(count, gives=scorer.needs, seed=seed, grid=grid)
    if scorer.needs & {REGIONS, PATCHES, CELLS}:
        return features
    return replace(features, regions=tuple(r for r in features.regions if not r.aligned))


def text_for(scorer: Any, seed: int = 0) -> TextEmbeddings | None:
    """Return text embeddings if a scorer needs them."""
    return example_text(seed=seed) if TEXT in scorer.needs else None


def honestly(compute: Callable[[], Made]) -> Made | None:
    """Return what is computed, or None where an error of vlmad's own says why it is not."""
    try:
        return compute()
    except VlmadError:
        return None
