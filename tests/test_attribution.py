"""What scorers attribute their scores to rebuilds them."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmad import Features, Regions, TextEmbeddings
from vlmad.parts import PATCHES
from vlmad.registry import Registry
from vlmad.testing import example_features, example_text
from vlmad_attribution.attribution import Attribution, pooled_voices

REFERENCES = 3
POOLINGS = st.sampled_from(["mean", "unit-mean"])


@cache
def registry() -> Registry:
    return Registry.discover()


def scorer(name: str, **options: object) -> Any:
    return registry().get("scorer", name).resolve()(**options)


def features_of(name: str, seed: int) -> Features:
    return example_features(gives={PATCHES} if name == "dense" else (), seed=seed)


def rebuilt(attribution: Attribution) -> torch.Tensor:
    return torch.stack([a.weight * a.value for a in attribution.addends]).sum(0)


@settings(max_examples=40)
@given(
    name=st.sampled_from(["harmonic", "dense"]),
    seed=st.integers(0, 99),
    temperature=st.floats(0.01, 1.0),
    pooling=POOLINGS,
    with_references=st.booleans(),
)
def test_the_addends_sum_to_the_score(
    name: str, seed: int, temperature: float, pooling: str, with_references: bool
) -> None:
    part = scorer(name, temperature=temperature, pooling=pooling)
    features, text = features_of(name, seed), example_text(seed=seed)
    memory = (part.fit(features_of(name, seed + 100)) if with_references else None) or None
    score = part(features, text, memory).score
    torch.testing.assert_close(rebuilt(part.attribute(features, text, memory)), score)


@pytest.mark.parametrize("sentences", ["anomalous", "all"])
@pytest.mark.parametrize("image_score", ["map", "class-token"])
def test_under_the_largest_cosine_one_sentence_of_those_that_count_has_all(
    sentences: str, image_score: str
) -> None:
    part = scorer("max-cosine", sentences=sentences, image_score=image_score)
    features, text = example_features(), example_text()
    attribution = part.attribute(features, text, None)
    torch.testing.assert_close(rebuilt(attribution), part(features, text, None).score)
    assert bool(attribution.addends[0].levels) == (image_score == "map")
    pushes = attribution.voices.pushes(features.aligned[0].embeddings)
    assert ((pushes != 0).sum(-1) == 1).all()
    assert bool(pushes[..., ~text.anomalous].any()) == (sentences == "all")
    torch.testing.assert_close(pushes.sum(-1), attribution.judged[0].values)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 99),
    temperature=st.floats(0.01, 1.0),
    pooling=POOLINGS,
    per_image=st.booleans(),
)
def test_the_pushes_of_all_sentences_sum_to_the_log_odds_of_the_probability(
    seed: int, temperature: float, pooling: str, per_image: bool
) -> None:
    text = example_text(seed=seed)
    if per_image:  # prompts that look at the image give each its own embeddings
        texts = [example_text(seed=seed + index) for index in range(3)]
        vectors = torch.stack([t.embeddings for t in texts])
        norms = torch.stack([t.norms for t in texts])
        text = TextEmbeddings(vectors, norms, text.anomalous, text.sentences)
    part = scorer("harmonic", temperature=temperature, pooling=pooling)
    features = example_features(seed=seed)
    attribution = part.attribute(features, text, None)
    pushes = attribution.voices.pushes(features.image[:, None])[:, 0]
    expected = attribution.addends[0].value
    torch.testing.assert_close(pushes.sum(-1).sigmoid(), expected, atol=1e-5, rtol=1e-4)
    for judged in attribution.judged:
        pushes = attribution.voices.pushes(judged.regions.embeddings).sum(-1)
        torch.testing.assert_close(pushes.sigmoid(), judged.values, atol=1e-5, rtol=1e-4)


def test_a_push_is_the_addend_of_the_sides_cosine_less_an_equal_part_of_the_middle() -> None:
    text = example_text()
    image = F.normalize(example_features(1).image[0], dim=0)
    raw = text.embeddings * text.norms[:, None]
    means = [raw[text.anomalous == side].mean(0) for side in (False, True)]
    middle = sum(float(image @ F.normalize(mean, dim=0)) for mean in means) / 2
    pushes = pooled_voices(text, "mean", 0.1).pushes(image[None, None])[0, 0]
    for index, push in enumerate(pushes.tolist()):
        anomalous = bool(text.anomalous[index])
        count = int((text.anomalous == anomalous).sum())
        cosine = float(image @ raw[index]) / (count * float(means[anomalous].norm()))
        expected = (cosine - middle / count) / 0.1
        assert push == pytest.approx(expected if anomalous else -expected, abs=1e-5)


def test_the_highest_cell_is_the_mean_over_levels_of_the_harmonic_mean_of_its_windows() -> None:
    features, references = example_features(2), example_features(REFERENCES, seed=7)
    part = scorer("harmonic")
    addend = part.attribute(features, example_text(), part.fit(references)).addends[1]

    def harmonic(level: Any, index: int, row: int, column: int) -> float:
        boxes = zip(level.regions.cells.tolist(), level.values[index].tolist(), strict=True)
        over = [v for (t, left, b, r), v in boxes if t <= row < b and left <= column < r]
        return len(over) / sum(1 / value for value in over)

    for index in range(2):
        cells = [
            sum(harmonic(level, index, *divmod(cell, 5)) for level in addend.levels)
            / len(addend.levels)
            for cell in range(25)
        ]
        assert float(addend.value[index]) == pytest.approx(max(cells), rel=1e-5)
        assert int(addend.cells[index].argmax()) == cells.index(max(cells))


def test_the_nearest_reference_region_is_the_one_of_the_largest_cosine() -> None:
    features, references = example_features(2), example_features(REFERENCES, seed=7)
    part = scorer("harmonic")
    judged = part.attribute(features, example_text(), part.fit(references)).judged
    compared = [each for each in judged if each.by == "references"]
    assert len(compared) == len(features.regions)
    for each, level in zip(compared, references.regions, strict=True):
        others = level.embeddings.flatten(0, 1)  # reference after reference
        for region, own in enumerate(each.regions.embeddings[1]):
            best = F.cosine_similarity(own[None], others).argmax()
            assert int(each.nearest[1, region]) == int(best)


def test_a_region_without_anomaly_has_finite_pushes() -> None:
    text = example_text()
    side = F.normalize(text.embeddings[~text.anomalous].mean(0), dim=0)
    region = Regions("one", side[None, None], torch.tensor([[0, 0, 5, 5]]))
    pushes = pooled_voices(text, "unit-mean", 0.01).pushes(region.embeddings)
    assert torch.isfinite(pushes).all()
    assert float(pushes.sum()) < 0
