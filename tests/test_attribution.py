"""What scorers say of their scores rebuilds them."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from vlmad import Features, Prediction, Regions, TextEmbeddings
from vlmad.attribution import Attribution, largest_voice, pooled_voices
from vlmad.parts import PATCHES
from vlmad.registry import Registry
from vlmad.testing import example_features, example_text

REFERENCES = 3


@cache
def registry() -> Registry:
    return Registry.discover()


def scorer(name: str, **options: object) -> object:
    return registry().get("scorer", name).resolve()(**options)


def features_of(name: str, seed: int) -> Features:
    return example_features(gives={PATCHES} if name == "dense" else (), seed=seed)


def rebuilt(attribution: Attribution) -> torch.Tensor:
    return torch.stack([a.weight * a.value for a in attribution.addends]).sum(0)


@given(
    name=st.sampled_from(["harmonic", "dense", "max-cosine"]),
    seed=st.integers(0, 99),
    temperature=st.floats(0.01, 1.0),
    pooling=st.sampled_from(["mean", "unit-mean"]),
    with_references=st.booleans(),
)
def test_the_addends_sum_to_the_score(
    name: str, seed: int, temperature: float, pooling: str, with_references: bool
) -> None:
    options = {} if name == "max-cosine" else {"temperature": temperature, "pooling": pooling}
    part = scorer(name, **options)
    features, text = features_of(name, seed), example_text(seed=seed)
    memory = part.fit(features_of(name, seed + 100)) if with_references else None
    memory = memory or None
    prediction: Prediction = part(features, text, memory)
    torch.testing.assert_close(rebuilt(part.attribute(features, text, memory)), prediction.score)


@given(
    seed=st.integers(0, 99),
    temperature=st.floats(0.01, 1.0),
    pooling=st.sampled_from(["mean", "unit-mean"]),
    per_image=st.booleans(),
)
def test_the_pushes_of_all_sentences_sum_to_the_log_odds_of_the_probability(
    seed: int, temperature: float, pooling: str, per_image: bool
) -> None:
    text = example_text(seed=seed)
    if per_image:  # prompts that look at the image give each its own embeddings
        texts = [example_text(seed=seed + index) for index in range(3)]
        text = TextEmbeddings(
            torch.stack([t.embeddings for t in texts]),
            torch.stack([t.norms for t in texts]),
            text.anomalous,
            text.sentences,
        )
    features = example_features(seed=seed)
    attribution = scorer("harmonic", temperature=temperature, pooling=pooling).attribute(
        features, text, None
    )
    assert attribution.voices is not None
    pushes = attribution.voices.pushes(features.image[:, None])[:, 0]
    expected = attribution.addends[0].value
    torch.testing.assert_close(pushes.sum(-1).sigmoid(), expected, atol=1e-5, rtol=1e-4)
    for judged in attribution.judged:
        said = attribution.voices.pushes(judged.regions.embeddings).sum(-1)
        torch.testing.assert_close(said.sigmoid(), judged.values, atol=1e-5, rtol=1e-4)


def test_a_sentences_push_is_its_addend_of_the_sides_cosine_less_an_equal_part_of_the_middle() -> (
    None
):
    text = example_text()
    image = F.normalize(example_features(1).image[0], dim=0)
    raw = text.embeddings * text.norms[:, None]
    cosines = {
        side: float(image @ F.normalize(raw[text.anomalous == side].mean(0), dim=0))
        for side in (False, True)
    }
    middle = sum(cosines.values()) / 2
    pushes = pooled_voices(text, "mean", 0.1).pushes(image[None, None])[0, 0]
    for index, push in enumerate(pushes.tolist()):
        anomalous = bool(text.anomalous[index])
        own = raw[text.anomalous == anomalous]
        part = float(image @ raw[index]) / (len(own) * float(own.mean(0).norm()))
        expected = (part - middle / len(own)) / 0.1
        assert push == pytest.approx(expected if anomalous else -expected, abs=1e-5)


def test_under_the_largest_cosine_one_sentence_says_all_and_only_those_that_count() -> None:
    text, regions = example_text(), example_features().aligned[0]
    pushes = largest_voice(text, text.anomalous).pushes(regions.embeddings)
    cosines = F.normalize(regions.embeddings, dim=-1) @ text.embeddings[text.anomalous].T
    assert ((pushes != 0).sum(-1) == 1).all()
    assert not pushes[..., ~text.anomalous].any()
    torch.testing.assert_close(pushes.sum(-1), cosines.amax(-1))


def test_the_highest_cell_is_the_mean_over_levels_of_the_harmonic_mean_of_its_windows() -> None:
    features, references = example_features(2), example_features(REFERENCES, seed=7)
    part = scorer("harmonic")
    addend = part.attribute(features, example_text(), part.fit(references)).addends[1]
    for index in range(2):
        cells = []
        for row in range(5):
            for column in range(5):
                levels = []
                for level in addend.levels:
                    over = [
                        float(value)
                        for (top, left, bottom, right), value in zip(
                            level.regions.cells.tolist(), level.values[index], strict=True
                        )
                        if top <= row < bottom and left <= column < right
                    ]
                    levels.append(len(over) / sum(1 / value for value in over))
                cells.append(sum(levels) / len(levels))
        assert float(addend.value[index]) == pytest.approx(max(cells), rel=1e-5)
        assert int(addend.cells[index].argmax()) == cells.index(max(cells))


def test_the_nearest_reference_region_is_the_one_a_plain_loop_finds() -> None:
    features, references = example_features(2), example_features(REFERENCES, seed=7)
    part = scorer("harmonic")
    compared = [
        judged
        for judged in part.attribute(features, example_text(), part.fit(references)).judged
        if judged.by == "references"
    ]
    assert len(compared) == len(features.regions)
    for judged, level in zip(compared, references.regions, strict=True):
        assert judged.nearest is not None
        count = len(level.cells)
        for region in range(count):
            own = judged.regions.embeddings[1, region]
            best = max(
                ((reference, other) for reference in range(REFERENCES) for other in range(count)),
                key=lambda place: float(
                    F.cosine_similarity(own, level.embeddings[place], dim=0)
                ),
            )
            assert divmod(int(judged.nearest[1, region]), count) == best


@pytest.mark.parametrize("sentences", ["anomalous", "all"])
@pytest.mark.parametrize("image_score", ["map", "class-token"])
def test_the_largest_cosines_addend_follows_its_options(sentences: str, image_score: str) -> None:
    part = scorer("max-cosine", sentences=sentences, image_score=image_score)
    features, text = example_features(), example_text()
    attribution = part.attribute(features, text, None)
    torch.testing.assert_close(rebuilt(attribution), part(features, text, None).score)
    assert bool(attribution.addends[0].levels) == (image_score == "map")
    assert attribution.voices is not None
    heard = attribution.voices.pushes(features.aligned[0].embeddings)[..., ~text.anomalous]
    assert bool(heard.any()) == (sentences == "all")


def test_a_region_without_anomaly_has_finite_pushes() -> None:
    text = example_text()
    sides = F.normalize(text.embeddings[~text.anomalous].mean(0), dim=0)
    region = Regions("one", sides[None, None], torch.tensor([[0, 0, 5, 5]]))
    pushes = pooled_voices(text, "unit-mean", 0.01).pushes(region.embeddings)
    assert math.isfinite(float(pushes.sum()))
    assert float(pushes.sum()) < 0
