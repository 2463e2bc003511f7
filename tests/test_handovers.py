"""Where one part hands over to the next, the one that broke its promise is named, and no other."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vlmad import (
    ClassToken,
    Detector,
    Features,
    Level,
    Patches,
    Prediction,
    TextEmbeddings,
    Windows,
    load_detector,
)
from vlmad.errors import IncompatiblePartsError, InputError, PluginError
from vlmad.fitting import only_named
from vlmad.parts import CELLS, CLASS_TOKEN, PATCHES, REGIONS, TEXT, TEXT_ENCODER
from vlmad.testing import TWO_LAYERS, example_features, example_images
from vlmad.text import embed_sides

Change = Callable[[Any], Any]
IMAGES = example_images(2).sources


class Other:
    """A part that is another one but for some of its attributes."""

    def __init__(self, part: Any, **own: Any) -> None:
        self.part = part
        vars(self).update(own)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.part, name)

    def __call__(self, *given: Any) -> Any:
        return self.hand(self.part(*given)) if "hand" in vars(self) else self.call(*given)


@pytest.fixture(scope="module")
def sound() -> Detector:
    """Patches, two sentences and two layers."""
    return load_detector(
        "winclip",
        backbone=f"openclip:{TWO_LAYERS}",
        prompts="plain",
        extractor="dense",
        options={"backbone": {"weights": "random:0"}, "extractor": {"layers": (1, 2)}},
    )


def other(sound: Detector, kind: str, **own: Any) -> Detector:
    """Return a detector one part of which is another."""
    parts = sound.assembly.parts
    wrong = replace(parts[kind], part=Other(parts[kind].part, **own))
    return Detector(replace(sound.assembly, parts={**parts, kind: wrong}))


def answers(change: Callable[[Tensor], Any]) -> Change:
    return lambda seen: replace(seen, tensors={r: change(t) for r, t in seen.tensors.items()})


def patches(**changes: Callable[[Any], Any]) -> Change:
    def change(features: Features) -> Features:
        first, *more = features.regions
        own = {name: make(getattr(first, name)) for name, make in changes.items()}
        return replace(features, regions=(replace(first, **own), *more))

    return change


def field(name: str, change: Callable[[Any], Any]) -> Change:
    return lambda value: replace(value, **{name: change(getattr(value, name))})


def mixing(change: Callable[[Tensor], Any], path: str = "stream") -> dict[str, Any]:
    mix = F.scaled_dot_product_attention
    return {"path": path, "blocks": range, "mix": lambda q, k, v: change(mix(q, k, v))}


def half(tensor: Tensor) -> Tensor:
    return tensor.half()


def wider(tensor: Tensor) -> Tensor:
    return F.pad(tensor, (0, 1))


def twice(tensor: Tensor) -> Tensor:
    return torch.cat([tensor, tensor])


FLOAT16 = r"as float16 \(.*\), not as float32 \("
WRONG: dict[str, tuple[str, Change | dict[str, Any], str]] = {
    "answers in float16": ("backbone", answers(half), rf"ClassToken\(.*\) {FLOAT16}"),
    "answers of double width": ("backbone", answers(wider), r"float32 \(2, 65\), .* \(2, 64\)"),
    "answers for twice as many": ("backbone", answers(twice), r"float32 \(4, 64\), .* \(2, 64\)"),
    "answers as lists": ("backbone", answers(Tensor.tolist), "as list, not as float32"),
    "no answers": ("backbone", field("tensors", lambda _: {}), "as NoneType, not as float32"),
    "another grid": ("backbone", field("grid", lambda _: (2, 2)), "another grid or image size"),
    "mixed to float16": ("attention", mixing(half), f"mixed values {FLOAT16}"),
    "mixed beside": ("attention", mixing(half, "beside"), f"mixed values {FLOAT16}"),
    "mixed for one": ("attention", mixing(lambda t: t[:1]), r"float32 \(1, .* not .* \(2, "),
    "blocks beyond": ("attention", {"blocks": lambda _: range(9)}, r"blocks range\(0, 9\) of 2"),
    "more cells": ("extractor", patches(cells=twice), r"cells of 'layer 1' as int64 \(50, 4\)"),
    "cells as numbers": ("extractor", patches(cells=Tensor.float), "cells .* as float32 .* int64"),
    "cells off the grid": ("extractor", patches(cells=lambda c: c + 1), "are not on the grid"),
    "cells inside out": ("extractor", patches(cells=lambda c: c.flip(1)), "are not on the grid"),
    "patches in float16": ("extractor", patches(embeddings=half), f"'layer 1' {FLOAT16}"),
    "patches too wide": ("extractor", patches(embeddings=wider), r"\(2, 25, 65\), .* \(2, r, 64\)"),
    "image too wide": ("extractor", field("image", wider), r"image as float32 \(2, 65\)"),
    "no regions": ("extractor", field("regions", lambda _: ()), "which it lists in gives"),
    "a size of its own": ("extractor", field("image_size", lambda _: (9, 9)), "another grid or"),
    "fewer embeddings": ("prompts", field("embeddings", lambda t: t[1:]), r"float32 \(1, 64\)"),
    "embeddings too wide": ("prompts", field("embeddings", wider), r"\(2, 65\), .* \(2, 64\)"),
    "embeddings in float16": ("prompts", field("embeddings", half), f"embeddings {FLOAT16}"),
    "sides as numbers": ("prompts", field("anomalous", Tensor.long), "int64 .*, not as bool"),
    "one side": ("prompts", field("anomalous", lambda t: t | True), "of one side only"),
    "no text": ("prompts", lambda _: None, "a NoneType, not a vlmad.TextEmbeddings"),
    "a score for each cell": ("scorer", field("score", lambda t: t[:, None]), r"\(2, 1\), not"),
    "a map of the grid": ("scorer", field("map", lambda t: t[:, :5, :5]), r"\(2, 5, 5\), not"),
    "whole scores": ("scorer", field("score", Tensor.long), "score as int64"),
    "an array": ("scorer", field("map", Tensor.numpy), "map as ndarray, not as float32"),
}


@pytest.mark.parametrize(("kind", "wrong", "message"), WRONG.values(), ids=WRONG)
def test_who_hands_on_something_else_than_promised_is_named(
    kind: str, wrong: Any, message: str, sound: Detector
) -> None:
    own: dict[str, Any] = wrong if isinstance(wrong, dict) else {"hand": wrong}
    if kind == "backbone":
        encode = sound.backbone.encode
        own = {"encode": lambda *given: wrong(encode(*given))}
    name = sound.assembly.parts[kind].registration.name
    with pytest.raises(PluginError, match=rf"^{kind} '{name}' of vlmad \S+ \w+ .*{message}"):
        other(sound, kind, **own).predict(IMAGES)


@pytest.mark.parametrize("kind", ["backbone", "attention", "extractor", "scorer"])
def test_numbers_that_are_not_finite_cost_their_image_and_name_who_made_them(
    kind: str, sound: Detector
) -> None:
    expected = sound.predict(IMAGES, batch_size=1)

    def spoil(tensor: Tensor) -> Tensor:  # whatever is encoded with the first image
        return tensor.where(tensor.new_tensor(spoiling[0], dtype=torch.bool), torch.nan)

    spoiling = [True]
    own: dict[str, Any] = {
        "backbone": {},
        "attention": mixing(spoil),
        "extractor": {"hand": patches(embeddings=spoil)},
        "scorer": {"hand": field("map", spoil)},
    }[kind]
    encode = sound.backbone.encode

    def told(batch: Any, *given: Any) -> Any:
        spoiling[0] = next(source.name != IMAGES[0].name for source in batch.sources)
        seen = encode(batch, *given)
        return answers(spoil)(seen) if kind == "backbone" else seen

    detector = other(sound, kind, **own)
    detector = detector.on(Other(detector.backbone, encode=told))
    first, second = detector.predict(IMAGES, batch_size=1 if kind == "scorer" else 2)
    name = sound.assembly.parts[kind].registration.name
    assert str(first.error).startswith(f"{IMAGES[0].name}: {kind} '{name}' of vlmad ")
    assert math.isnan(first.score)
    assert (second.error, second.score) == (None, expected[1].score)


@pytest.fixture
def given() -> list[Any]:
    """What a part was given."""
    return []


@pytest.mark.parametrize(
    ("needs", "left"),
    [
        ({CLASS_TOKEN, TEXT}, {"image"}),
        ({PATCHES, TEXT}, {"regions"}),
        ({REGIONS, CLASS_TOKEN, TEXT}, {"image", "regions"}),
        ({CELLS}, {"image", "regions"}),
        ({"a word of its own"}, {"image", "regions"}),
        ({TEXT}, set()),
    ],
)
def test_what_a_scorer_does_not_name_is_not_there_and_nothing_is_copied(
    needs: set[str], left: set[str]
) -> None:
    features = example_features(2)
    seen = only_named(features, frozenset(needs))
    assert (seen.regions is features.regions) == ("regions" in left)
    assert (seen.image is features.image) == ("image" in left)
    assert seen.regions or "regions" not in left
    assert len(seen) == 2
    assert "image" in left or bool(seen.image.isnan().all())


def test_a_scorer_is_handed_what_it_names_when_it_fits_and_when_it_scores(
    sound: Detector, given: list[Features]
) -> None:
    def fit(references: Features) -> dict[str, Tensor]:
        given.append(references)
        return {}

    def call(features: Features, text: TextEmbeddings, memory: Any) -> Prediction:
        given.append(features)
        return Prediction(torch.zeros(1), torch.zeros(1, *features.image_size))

    own = {"needs": frozenset({CLASS_TOKEN, TEXT}), "fit": fit, "call": call}
    other(sound, "scorer", **own).fit(IMAGES[:1]).predict(IMAGES[:1])
    assert [seen.regions for seen in given] == [(), ()]
    assert not any(seen.image.isnan().any() for seen in given)


def test_a_scorer_that_uses_what_it_does_not_name_is_told_so(sound: Detector) -> None:
    scorer = sound.scorer
    unsaid = other(sound, "scorer", needs=frozenset({CLASS_TOKEN, TEXT}), call=scorer)
    with pytest.raises(
        PluginError, match=r"failed: .* \(not in its needs, so not given: regions\)$"
    ):
        unsaid.predict(IMAGES)
    unsaid = other(sound, "scorer", needs=frozenset({PATCHES, TEXT}), call=scorer)
    [result] = unsaid.predict(IMAGES[:1])
    assert str(result.error).endswith(
        "a finite number (not in its needs, so not given: class token)"
    )


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Windows(2), r"asks for Windows\(.*\), yet does not name 'token windows' in needs"),
        (Patches(3), r"asks for Patches\(layer=3, .*\), which openclip:\S+ does not have"),
        (Level("e9"), r"asks for Level\(name='e9', .*\), which openclip:\S+ does not have"),
        ("patches", r"asks for 'patches', which openclip:\S+ does not have"),
    ],
)
def test_an_extractor_asks_for_what_it_names_and_the_backbone_has(
    request_: Any, message: str, sound: Detector
) -> None:
    detector = other(sound, "extractor", requests=lambda *_: [ClassToken(), request_])
    with pytest.raises(PluginError, match=rf"^extractor 'dense' of vlmad \S+ {message}"):
        detector.predict(IMAGES)


def test_prompts_encode_the_texts_that_they_name_and_see_images_if_they_look(
    sound: Detector, given: list[Any]
) -> None:
    def call(backbone: Any, class_name: str, features: Features | None) -> TextEmbeddings:
        given.append(features)
        return embed_sides(backbone, [f"a {class_name}"], [f"a broken {class_name}"])

    other(sound, "prompts", call=call).predict(IMAGES)
    other(sound, "prompts", call=call, looks_at_image=True).predict(IMAGES)
    assert [seen is None for seen in given] == [True, False]
    with pytest.raises(
        PluginError, match=f"^prompts 'plain' .* not name '{TEXT_ENCODER}' in needs"
    ):
        other(sound, "prompts", call=call, needs=frozenset()).predict(IMAGES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (wider, r"text embeddings as float32 \(2, 65\), not as float32 \(2, 64\)"),
        (lambda text: text[1:], r"text embeddings as float32 \(1, 64\)"),
        (lambda text: text * torch.nan, "text embeddings that are not finite numbers"),
    ],
)
def test_what_a_backbone_makes_of_texts_is_not_blamed_on_prompts(
    change: Callable[[Tensor], Tensor], message: str, sound: Detector
) -> None:
    encode = sound.backbone.encode_text
    detector = other(sound, "backbone", encode_text=lambda texts: change(encode(texts)))
    with pytest.raises(PluginError, match=rf"^backbone 'openclip' of vlmad \S+ returned {message}"):
        detector.predict(IMAGES)


def test_a_memory_that_is_not_finite_is_refused_before_it_is_used(sound: Detector) -> None:
    detector = other(sound, "scorer", fit=lambda _: {"mean": torch.tensor(torch.nan)})
    with pytest.raises(PluginError, match=r"^scorer 'harmonic' .* to remember that are not finite"):
        detector.fit(IMAGES)


def test_a_reference_of_which_there_are_no_finite_numbers_is_named(sound: Detector) -> None:
    encode, nan = sound.backbone.encode, answers(lambda t: t * torch.nan)
    detector = other(sound, "backbone", encode=lambda *given: nan(encode(*given)))
    with pytest.raises(InputError, match=f"^{IMAGES[0].name}: backbone 'openclip' .* not finite"):
        detector.fit(IMAGES)


def test_large_numbers_whose_sum_is_infinite_are_finite(sound: Detector) -> None:
    large = {"hand": field("image", lambda t: torch.full_like(t, 3e38))}
    detector = other(sound, "extractor", **large)
    detector = other(detector, "scorer", call=lambda features, *_: zeros(features))
    assert [result.error for result in detector.predict(IMAGES)] == [None, None]


def zeros(features: Features) -> Prediction:
    count = len(features)
    return Prediction(torch.zeros(count), torch.zeros(count, *features.image_size))


def test_what_a_backbone_answers_is_handed_on_as_it_is(sound: Detector, given: list[Any]) -> None:
    def encode(*asked: Any) -> Any:
        given.append(sound.backbone.encode(*asked))
        return given[-1]

    features = other(sound, "backbone", encode=encode).features(example_images(2))
    image, *layers = given[0].tensors.values()
    assert features.image is image
    assert all(r.embeddings is t for r, t in zip(features.regions, layers, strict=True))


def test_a_misspelt_need_is_answered_with_the_nearest_word(install: Callable[..., Any]) -> None:
    source = """
from vlmad import Scorer, hookimpl
class Odd(Scorer):
    needs = frozenset({"class token", "patch featurs"})
    def __call__(self, features, text, memory): ...
@hookimpl
def register_scorers(register):
    register("odd", Odd)
"""
    install("misspelt", source)
    said = "needs patch featurs, which no chosen part gives; did you mean 'patch features'"
    with pytest.raises(IncompatiblePartsError, match=said):
        load_detector(scorer="odd")
