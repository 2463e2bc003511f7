"""What a scorer promises of every call."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load, save

from vlmad.parts import CELLS, CLASS_TOKEN, PATCHES, REGIONS, TEXT
from vlmad.types import Prediction, TextEmbeddings
from vlmad_conformance import _promises_alike as alike
from vlmad_conformance._scorings import (
    SQUARE,
    USUAL,
    WIDE,
    Scoring,
    features_for,
    fit,
    honestly,
    scorings,
    text_for,
)
from vlmad_conformance.examples import example_features, example_text
from vlmad_conformance.facts import (
    LONG,
    Breach,
    counted,
    differ,
    given,
    meaning,
    require,
    require_close,
    require_pure,
    require_quick,
    require_tensor,
)
from vlmad_conformance.promises import each
from vlmad_run.learning_in_fit import LearnsInFit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmad.types import Features, Regions
    from vlmad_conformance.promises import Subject

ANY_NUMBER = (1, USUAL, 5)
"""Of references."""
LEARNING = 10
"""Times as long as others may scorers take that learn in `fit`."""
FAR = 3
"""Times: by chance an image's own novelty may turn up elsewhere."""


def traits(subject: Subject) -> None:
    """Its scope, its use of references and its needs are among those that there are."""
    scorer = subject.make()
    require(scorer.references in ("none", "optional", "required"), "references is unknown")
    require(scorer.scope in ("image", "set"), "scope is unknown")
    together = CELLS in scorer.needs and bool(scorer.needs & {REGIONS, PATCHES})
    require(not together, f"it needs '{CELLS}' and '{REGIONS}', which no extractor gives together")


@each(scorings(3))
def needs(trial: Scoring) -> None:
    """It uses nothing that it does not list in `needs`."""
    try:
        seen = trial.answer()
    except Exception:
        for word, more in _with_one_more(trial):
            if _answers(more):
                raise Breach(f"it uses '{word}', yet does not list it in needs") from None
        raise
    if not trial.part.needs & {CLASS_TOKEN, CELLS}:
        other = replace(trial.images, image=trial.images.image.flip(1) + 1)
        used = differ(replace(trial, images=other).answer(), seen)
        require(not used, f"it uses '{CLASS_TOKEN}', yet does not list it in needs")


def _with_one_more(trial: Scoring) -> Iterator[tuple[str, Scoring]]:
    if trial.text is None:
        yield TEXT, replace(trial, text=example_text())
    for word in (REGIONS, PATCHES, CELLS):
        yield word, replace(trial, images=example_features(len(trial.images), gives={word}))


def _answers(trial: Scoring) -> bool:
    try:
        trial.answer()
    except Exception:
        return False
    return True


@each(scorings(1, 3, grids=(SQUARE, WIDE), references=(0, *ANY_NUMBER)))
def predicts(trial: Scoring) -> None:
    """It gives a finite float32 score and map for each image, at the model's size.

    A set of one image it may refuse by an error of vlmad's own.
    """
    refuses = len(trial.images) == 1 and trial.part.scope == "set"
    seen = honestly(trial.answer) if refuses else trial.answer()
    if seen is not None:
        _check(seen, trial.images)


def _check(seen: Prediction, features: Features) -> None:
    require(isinstance(seen, Prediction), "it must return a vlmad.Prediction")
    require_tensor(seen.score, (len(features),), "score")
    require_tensor(seen.map, (len(features), *features.image_size), "map")


@each(scorings(3))
def uses_what_it_needs(trial: Scoring) -> None:
    """Other images have other scores or maps; so have other texts and references, if it has any."""
    seen, part = trial.answer(), trial.part
    other = replace(trial, images=features_for(part, 3, seed=5))
    require(differ(other.answer(), seen), "other images change nothing")
    if trial.text is not None:
        other = replace(trial, text=text_for(part, seed=5))
        require(differ(other.answer(), seen), f"it lists '{TEXT}' in needs, yet makes no use of it")
    if trial.references is not None:
        other = replace(trial, memory=part.fit(features_for(part, USUAL, 5)))
        require(differ(other.answer(), seen), "other references change nothing")


@each(scorings(3, grids=(WIDE,)))
def puts_scores_in_their_place(trial: Scoring) -> None:
    """What differs at the top right of an image does not show at the bottom left of its map."""
    seen = trial.images
    levels = tuple(_changed_in_the_corner(r, r.grid or seen.grid) for r in seen.regions)
    with given(f"{trial}, another at the top right"):
        other = replace(trial, images=replace(seen, regions=levels))
        apart = (other.answer().map[0] - trial.answer().map[0]).abs()
        row, column = (side // 2 for side in apart.shape)
        turned = bool(apart[row:, :column].mean() > FAR * apart[:row, column:].mean())
        require(not turned, "what differs at the top right shows at the bottom left of the map")


def _changed_in_the_corner(regions: Regions, grid: tuple[int, int]) -> Regions:
    top, _, _, right = regions.cells.T
    corner = ((top == 0) & (right == grid[1]))[:, None]
    return replace(regions, embeddings=regions.embeddings.where(~corner, 5 - regions.embeddings))


@each(scorings(2, 9))
def takes_each_image_alone(trial: Scoring) -> None:
    """The score of an image depends on no other, unless its scope is the set."""
    if trial.part.scope == "image":
        alike.takes_each_image_alone(trial)


@each(scorings(2))
def takes_a_uniform_image(trial: Scoring) -> None:
    """An image that is the same everywhere has a score that is a number."""
    flat = _uniform(features_for(trial.part, 2, seed=9))
    with given(f"{trial}, the same everywhere"):
        memories = [trial.memory]
        if trial.references is not None:
            memories += filter(None, [honestly(lambda: trial.part.fit(flat))])
        for memory in memories:
            for images in (_uniform(trial.images), flat):
                _check(replace(trial, images=images, memory=memory).answer(), images)


def _uniform(features: Features) -> Features:
    levels = (
        replace(r, embeddings=r.embeddings[:, :1].expand_as(r.embeddings).clone())
        for r in features.regions
    )
    return replace(features, regions=tuple(levels))


@each(scorings(2))
def takes_any_text(trial: Scoring) -> None:
    """Text may be one sentence for each side, or embeddings for each image, as prompts give."""
    if trial.text is None:
        return
    with given(f"{trial}, one sentence for each side"):
        pair = example_text()
        _check(replace(trial, text=_sentences(pair, [0, 3])).answer(), trial.images)
    texts = [example_text(seed=seed) for seed in (0, 1)]
    with given(f"{trial}, text for each"):
        own = replace(trial, text=_joined(texts)).answer()
        _check(own, trial.images)
        for row, text in enumerate(texts) if trial.part.scope == "image" else ():
            alone = replace(trial.only([row]), text=text).answer()
            require_close(own[[row]], alone, "text per image is not used image by image")


def _sentences(text: TextEmbeddings, rows: list[int]) -> TextEmbeddings:
    names = tuple(text.sentences[row] for row in rows)
    return TextEmbeddings(text.embeddings[rows], text.norms[rows], text.anomalous[rows], names)


def _joined(texts: list[TextEmbeddings]) -> TextEmbeddings:
    embeddings = torch.stack([text.embeddings for text in texts])
    norms = torch.stack([text.norms for text in texts])
    return replace(texts[0], embeddings=embeddings, norms=norms)


def fits(subject: Subject) -> None:
    """`fit` gives named tensors, soon, the same when asked again, and changes nothing."""
    scorer = subject.make()
    for count in ANY_NUMBER[:2] if scorer.references != "none" else ():
        fitted = fit(scorer, count)
        if fitted is None:
            continue
        references, memory = fitted
        with torch.inference_mode(), given(counted(count, "reference")):
            for name, tensor in memory.items():
                named = isinstance(name, str) and isinstance(tensor, torch.Tensor)
                require(named, f"fit: '{name}' in memory is no tensor")
                require(not tensor.requires_grad, f"fit: '{name}' in memory wants gradients")
            again = partial(scorer.fit, references)
            require_pure(again, references, name="fit")
            learns = isinstance(scorer, LearnsInFit)  # even the first steps take a while
            require_quick(again, "fit", LEARNING * LONG if learns else LONG)


@each(scorings(1, references=ANY_NUMBER))
def survives_a_file(trial: Scoring) -> None:
    """A fresh instance scores the same with a memory that was written and read."""
    before = trial.answer()
    plain = {name: t.contiguous().clone() for name, t in (trial.memory or {}).items()}
    fresh = replace(trial, part=trial.make(), memory=load(save(plain)))
    lost = "what fit kept on the object itself is lost in a fitted file"
    with given(f"{trial}, a fresh scorer"):
        with meaning(lost):
            after = fresh.answer()
        require_close(after, before, lost)


@each(scorings(1, references=ANY_NUMBER))
def remembers_in_memory_alone(trial: Scoring) -> None:
    """A memory is used as it is given, whatever was fitted since."""
    before = trial.answer()
    with given(f"{trial}, others fitted since"):
        trial.part.fit(features_for(trial.part, 3, 7, WIDE))
        require_close(trial.answer(), before, "what was fitted since changes the score")


is_quick = each(scorings(2))(alike.is_quick)
REST = (
    uses_what_it_needs,
    puts_scores_in_their_place,
    each(scorings(3))(alike.repeats),
    each(scorings(2))(alike.keeps_no_state),
    each(scorings(2, 3))(alike.ignores_order),
    takes_each_image_alone,
    takes_a_uniform_image,
    takes_any_text,
    survives_a_file,
    remembers_in_memory_alone,
)
