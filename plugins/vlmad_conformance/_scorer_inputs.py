"""What scorers are tried with: features that hold only what they need, text, and memories."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch

from vlmad.errors import VlmadError
from vlmad.parts import CELLS, PATCHES, REGIONS, TEXT
from vlmad_conformance.examples import example_features, example_text
from vlmad_conformance.facts import given

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import Tensor

    from vlmad.types import Features, Prediction, TextEmbeddings
    from vlmad_conformance.promises import Subject

GRIDS = ((5, 5), (3, 5))
"""A square and a wide one."""
OF_REFERENCES = 100
"""What is added to the seed of images: references resemble no image, so that distances are not
the small differences of large numbers, which rounding would decide."""
Made = TypeVar("Made")


class ScorerCall(NamedTuple):
    """A scorer with the memory that it is called with."""

    scorer: Any
    memory: Mapping[str, Tensor] | None
    references: int

    def __call__(self, features: Features, text: TextEmbeddings | None) -> Prediction:
        """Score."""
        return self.scorer(features, text, self.memory)  # type: ignore[no-any-return]


def calls_of(subject: Subject, grid: tuple[int, int] = GRIDS[0]) -> Iterator[ScorerCall]:
    """Yield a fresh scorer without memory, if it may lack one, and one with, if it takes any."""
    scorer = subject.make()
    if scorer.references != "required":
        yield ScorerCall(scorer, None, 0)
    if scorer.references != "none":
        references = references_for(scorer, 2, grid=grid)
        with torch.inference_mode(), given(f"2 references of {_grid(references)} cells, for fit"):
            yield ScorerCall(scorer, scorer.fit(references), 2)


def features_for(
    scorer: Any, count: int, *, seed: int = 0, grid: tuple[int, int] = GRIDS[0]
) -> Features:
    """Return features of images that hold what a scorer needs and nothing more."""
    return only_needed(example_features(count, gives=scorer.needs, seed=seed, grid=grid), scorer)


def references_for(
    scorer: Any, count: int, *, seed: int = 0, grid: tuple[int, int] = GRIDS[0]
) -> Features:
    """Return features of references."""
    return features_for(scorer, count, seed=seed + OF_REFERENCES, grid=grid)


def only_needed(features: Features, scorer: Any) -> Features:
    """Leave out regions in the space of text where a scorer does not list them in `needs`."""
    if scorer.needs & {REGIONS, PATCHES, CELLS}:
        return features
    return replace(features, regions=tuple(r for r in features.regions if not r.aligned))


def text_for(scorer: Any, seed: int = 0) -> TextEmbeddings | None:
    """Return text embeddings if a scorer needs them."""
    return example_text(seed=seed) if TEXT in scorer.needs else None


def uniform(features: Features) -> Features:
    """Return features of images that are the same everywhere."""
    levels = (
        replace(r, embeddings=r.embeddings[:, :1].expand_as(r.embeddings).clone())
        for r in features.regions
    )
    return replace(features, regions=tuple(levels))


def honestly(compute: Callable[[], Made]) -> Made | None:
    """Return what is computed, or None where an error of vlmad's own says why it is not."""
    try:
        return compute()
    except VlmadError:
        return None


def shown(features: Features, call: ScorerCall) -> str:
    """Return the input of a call in words."""
    memory = f", memory of {counted(call.references, 'reference')}" if call.references else ""
    return f"{counted(len(features), 'image')} of {_grid(features)} cells{memory}"


def counted(count: int, what: str) -> str:
    """Return a number of things in words."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _grid(features: Features) -> str:
    return f"{features.grid[0]} x {features.grid[1]}"
