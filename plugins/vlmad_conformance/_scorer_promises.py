"""What a scorer promises of every call."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from vlmad.parts import (
    CELLS,
    CLASS_TOKEN,
    PATCHES,
    REGIONS,
    TEXT,
)
from vlmad.types import Prediction, TextEmbeddings
from vlmad_conformance._scorer_inputs import (
    GRIDS,
    calls_of,
    features_for,
    honestly,
    only_needed,
    shown,
    text_for,
    uniform,
)
from vlmad_conformance.examples import example_features, example_text
from vlmad_conformance.facts import (
    Breach,
    differ,
    given,
    require,
    require_close,
    require_pure,
    require_quick,
    require_tensor,
    require_type,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmad.types import Features, Regions
    from vlmad_conformance._scorer_inputs import ScorerCall
    from vlmad_conformance.promises import Subject


def traits(subject: Subject) -> None:
    """Its scope and its use of references are among those that there are."""
    scorer = subject.make()
    require(scorer.references in ("none", "optional", "required"), "references is unknown")
    require(scorer.scope in ("image", "set"), "scope is unknown")


def needs(subject: Subject) -> None:
    """It uses nothing that it does not list in `needs`."""
    for call in calls_of(subject):
        features, text = features_for(call.scorer, 3), text_for(call.scorer)
        with torch.inference_mode(), given(shown(features, call)):
            _name_what_helps(call, features, text)
            if not call.scorer.needs & {CLASS_TOKEN, CELLS}:
                other = replace(features, image=features.image.flip(1) + 1)
                used = differ(call(other, text), call(features, text))
                require(not used, f"it uses '{CLASS_TOKEN}', yet does not list it in needs")


def _name_what_helps(call: ScorerCall, features: Features, text: TextEmbeddings | None) -> None:
    """Call a scorer; where that fails, name the one thing more with which it does not."""
    try:
        call(features, text)
    except Exception:
        for word, more, texts in _with_one_more(features, text):
            try:
                call(more, texts)
            except Exception:
                continue
            raise Breach(f"it uses '{word}', yet does not list it in needs") from None
        raise


def _with_one_more(
    features: Features, text: TextEmbeddings | None
) -> Iterator[tuple[str, Features, TextEmbeddings | None]]:
    if text is None:
        yield TEXT, features, example_text()
    for word in (REGIONS, PATCHES, CELLS):
        yield word, example_features(len(features), gives={word}), text


def predicts(subject: Subject) -> None:
    """It gives a finite float32 score and map for each image, at the model's size."""
    for grid in GRIDS:
        for call in calls_of(subject, grid):
            for count in (1, 3) if call.scorer.scope == "image" else (3,):
                features = features_for(call.scorer, count, grid=grid)
                with torch.inference_mode(), given(shown(features, call)):
                    _check_prediction(call(features, text_for(call.scorer)), features)


def _check_prediction(seen: Prediction, features: Features) -> None:
    count = len(features)
    require(isinstance(seen, Prediction), "it must return a vlmad.Prediction")
    require_tensor(seen.score, (count,), "score")
    require_tensor(seen.map, (count, *features.image_size), "map")
    require_type(seen.score, features.image.dtype, "score")
    require_type(seen.map, features.image.dtype, "map")


def puts_scores_in_their_place(subject: Subject) -> None:
    """What differs at the top right of an image does not show at the bottom left of its map."""
    for call in calls_of(subject, GRIDS[1]):
        count = 1 if call.scorer.scope == "image" else 3
        features, text = features_for(call.scorer, count, grid=GRIDS[1]), text_for(call.scorer)
        levels = tuple(_changed_in_the_corner(r, r.grid or features.grid) for r in features.regions)
        with torch.inference_mode(), given(f"{shown(features, call)}, another at the top right"):
            maps = [
                call(each, text).map[0] for each in (features, replace(features, regions=levels))
            ]
            apart = (maps[1] - maps[0]).abs()
            row, column = (side // 2 for side in apart.shape)
            there, across = apart[:row, column:].mean(), apart[row:, :column].mean()
            turned = "what differs at the top right shows at the bottom left of the map"
            require(bool(there >= across), turned)


def _changed_in_the_corner(regions: Regions, grid: tuple[int, int]) -> Regions:
    top, _, _, right = regions.cells.T
    corner = (top == 0) & (right == grid[1])
    return replace(
        regions, embeddings=regions.embeddings.where(~corner[:, None], 5 - regions.embeddings)
    )


def repeats(subject: Subject) -> None:
    """Asked again it gives the same bits, soon, and it leaves what it is given as it is."""
    for call in calls_of(subject):
        features, text = features_for(call.scorer, 3), text_for(call.scorer)
        with torch.inference_mode(), given(shown(features, call)):
            seen = features, text, call.memory
            require_pure(lambda: call(features, text), *seen, name="the scorer")  # noqa: B023


def is_quick(subject: Subject) -> None:
    """It is done soon with a small image."""
    for call in calls_of(subject):
        features, text = features_for(call.scorer, 2), text_for(call.scorer)
        with torch.inference_mode(), given(shown(features, call)):
            require_quick(lambda: call(features, text), "the scorer")  # noqa: B023


def keeps_no_state(subject: Subject) -> None:
    """What it has scored before, of whatever size, changes nothing."""
    for call in calls_of(subject):
        grid = GRIDS[0] if call.references else GRIDS[1]  # a memory may be of one grid
        first, text = features_for(call.scorer, 2), text_for(call.scorer)
        others = features_for(call.scorer, 3, seed=5, grid=grid)
        with torch.inference_mode(), given(f"{shown(first, call)}, others, and the first again"):
            before, used = call(first, text), call(others, text)
            again = call(first, text)
            require_close(again, before, "what it scored before changes a score")
            if not call.references:
                fresh = call._replace(scorer=subject.make())(others, text)
                require_close(used, fresh, "what it scored before changes a score")


def ignores_order(subject: Subject) -> None:
    """The order of the images changes nothing."""
    for call in calls_of(subject):
        for count in (2, 3):
            features, text = features_for(call.scorer, count), text_for(call.scorer)
            order = list(range(count))[::-1]
            with torch.inference_mode(), given(shown(features, call)):
                turned, seen = call(features[order], text), call(features, text)
                require_close(turned, seen[order], "the order of the images changes the scorer")


def scores_each_alone(subject: Subject) -> None:
    """The score of an image depends on no other, unless its scope is the set."""
    for call in calls_of(subject):
        if call.scorer.scope == "set":
            return
        for count in (2, 3):
            features, text = features_for(call.scorer, count), text_for(call.scorer)
            with torch.inference_mode(), given(shown(features, call)):
                alone, seen = call(features[[1]], text), call(features, text)
                require_close(alone, seen[[1]], "other images change the scorer")


def takes_a_set_of_one(subject: Subject) -> None:
    """A set of one image is scored, or refused by an error of vlmad's own."""
    for call in calls_of(subject):
        features, text = features_for(call.scorer, 1), text_for(call.scorer)
        with torch.inference_mode(), given(shown(features, call)):
            seen = honestly(lambda: call(features, text))  # noqa: B023
            if seen is not None:
                _check_prediction(seen, features)


def takes_a_uniform_image(subject: Subject) -> None:
    """An image that is the same everywhere has a score that is a number."""
    for call in calls_of(subject):
        features, text = uniform(features_for(call.scorer, 2)), text_for(call.scorer)
        flat = only_needed(uniform(features_for(call.scorer, 2, seed=9)), call.scorer)
        with torch.inference_mode(), given(f"{shown(features, call)}, the same everywhere"):
            memories = [call.memory]
            if call.memory is not None:
                memories.append(honestly(lambda: call.scorer.fit(flat)))  # noqa: B023
            for memory in memories:
                own = call._replace(memory=memory)
                _check_prediction(own(features, text), features)
                _check_prediction(own(flat, text), features)


def takes_text_per_image(subject: Subject) -> None:
    """Text may be one set of embeddings for each image, as prompts that look at it give."""
    for call in calls_of(subject):
        if TEXT not in call.scorer.needs:
            return
        features, texts = features_for(call.scorer, 2), [example_text(seed=s) for s in (0, 1)]
        with torch.inference_mode(), given(f"{shown(features, call)}, text for each"):
            own = call(features, _joined(texts))
            _check_prediction(own, features)
            if call.scorer.scope == "image":
                for row, text in enumerate(texts):
                    alone = call(features[[row]], text)
                    require_close(own[[row]], alone, "text per image is not used image by image")


def _joined(texts: list[TextEmbeddings]) -> TextEmbeddings:
    embeddings = torch.stack([text.embeddings for text in texts])
    norms = torch.stack([text.norms for text in texts])
    return replace(texts[0], embeddings=embeddings, norms=norms)
