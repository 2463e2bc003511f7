"""Where re-implementations of the methods went wrong; each trap is stated as a fact."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F

from vlmad import (
    Backbone,
    ClassToken,
    ContextPrompts,
    Detector,
    ImageBatch,
    Patches,
    Windows,
    load_detector,
)
from vlmad.regions import harmonic_map
from vlmad.testing import TWO_LAYERS, UsualAttention, example_features, example_images, example_text
from vlmad.text import anomaly_probability, pool_sides
from vlmad_anomalyclip._dense_scorer import DenseScorer
from vlmad_anomalyclip._modified_attention import Diagonal, ValueValue
from vlmad_baselines._unmodified import Unmodified
from vlmad_conformance.facts import unchanged
from vlmad_openclip._blocks import merge_heads, split_heads
from vlmad_winclip._harmonic import Harmonic
from vlmad_winclip.compositional import LISTS


def small(name: str, learned_file: Path) -> Detector:
    """Return a detector on a model of two layers."""
    return load_detector(
        name,
        backbone=f"openclip:{TWO_LAYERS}",
        prompts=f"learned:{learned_file}" if name in ("anomalyclip", "hybrid") else None,
        options={"backbone": {"weights": "random:0", "image_size": 80}},
    )


def encode(backbone: Backbone, *requests: Any, attention: Any = None) -> Any:
    with torch.inference_mode():
        return backbone.encode(example_images(), requests, attention or UsualAttention())


@pytest.mark.parametrize("scorer", [Harmonic(), DenseScorer()])
def test_the_image_score_is_that_of_the_class_token_not_the_maximum_of_the_map(scorer: Any) -> None:
    features, text = example_features(gives=scorer.needs), example_text()
    prediction = scorer(features, text, None)
    sides = pool_sides(text, scorer.pooling)
    class_token = anomaly_probability(features.image[:, None], sides, scorer.temperature)[:, 0]
    torch.testing.assert_close(prediction.score, class_token)
    assert not torch.allclose(prediction.score, prediction.map.amax((1, 2)))


def test_the_harmonic_mean_is_taken_over_anomaly_scores() -> None:
    scores = torch.tensor([[0.1, 0.9]])
    cells = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1]])
    mean = harmonic_map(scores, cells, (1, 1))
    assert float(mean) == pytest.approx(2 / (1 / 0.1 + 1 / 0.9))


@pytest.mark.parametrize(
    ("name", "templates", "normal", "anomalous"),
    [("paper22", 22, 154, 88), ("anomalib21", 21, 147, 84), ("comparison", 3, 9, 9)],
)
def test_the_lists_have_the_stated_numbers_of_sentences(
    name: str, templates: int, normal: int, anomalous: int
) -> None:
    assert len(LISTS[name].templates) == templates
    sides = LISTS[name].sentences("metal nut")
    assert [len(side) for side in sides] == [normal, anomalous]
    assert "{" not in "".join(sides[0] + sides[1])


def test_the_papers_list_repeats_nothing_and_anomalibs_repeats_one_template() -> None:
    assert len(set(LISTS["paper22"].templates)) == 22
    assert len(set(LISTS["anomalib21"].templates)) == 20
    assert set(LISTS["anomalib21"].templates) < set(LISTS["paper22"].templates)


@pytest.mark.parametrize("name", ["winclip", "anomalyclip", "hybrid", "comparison"])
def test_nothing_is_left_behind_on_a_model_after_any_method(name: str, learned_file: Path) -> None:
    detector = small(name, learned_file)
    detector.predict(example_images().sources)
    with unchanged(detector.backbone, name=name):
        detector.predict(example_images().sources)


def test_the_value_value_path_reads_the_plain_stream_and_has_no_feed_forward(
    two_layer: Any,
) -> None:
    plain = [Patches(0, stage="raw"), Patches(1, stage="raw")]
    beside = Patches(2, "beside", "raw")
    visual = encode(two_layer, *plain, beside, attention=ValueValue(blocks=2))
    pixels = example_images().pixels(two_layer.spec.preprocessing)
    with torch.inference_mode():
        tokens = two_layer._vision.embed(pixels)
        path = tokens
        for block in two_layer.model.visual.transformer.resblocks:
            _, _, v = split_heads(block, tokens)
            scale = v.shape[-1] ** -0.5
            weights = (v @ v.transpose(-1, -2) * scale).softmax(-1)
            path = path + merge_heads(block, weights @ v)
            tokens = block(tokens)
    torch.testing.assert_close(visual[beside], path[:, 1:], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(visual[plain[0]], two_layer._vision.embed(pixels)[:, 1:])


def test_attention_beside_leaves_class_token_and_plain_patches_as_they_are(two_layer: Any) -> None:
    requests = [ClassToken(), Patches(2), Windows(2)]
    usual = encode(two_layer, *requests)
    with_path = encode(two_layer, *requests, Patches(2, "beside"), attention=ValueValue(blocks=2))
    for request in requests:
        assert torch.equal(usual[request], with_path[request])
    assert not torch.allclose(with_path[Patches(2, "beside")], with_path[Patches(2)])


def test_features_of_layers_are_copies_and_differ(two_layer: Any) -> None:
    requests = [Patches(layer, "beside") for layer in (0, 1, 2)]
    visual = encode(two_layer, *requests, attention=ValueValue(blocks=2))
    tensors = [visual[request] for request in requests]
    assert len({tensor.data_ptr() for tensor in tensors}) == 3
    assert not torch.allclose(tensors[1], tensors[2])
    alone = encode(two_layer, requests[1], attention=ValueValue(blocks=2))
    assert torch.equal(alone[requests[1]], tensors[1])


def test_deep_tokens_overwrite_their_positions_in_their_block_only(two_layer: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    context = torch.randn(1, 3, 48, generator=generator)
    deep = torch.randn(2, 48, generator=generator)
    prompts = ContextPrompts(context, ("X X X bolt.",), {1: deep})
    tower, loop = two_layer.model, two_layer._text
    with torch.inference_mode():
        ids = loop.tokenizer(["X X X bolt."])
        tokens = tower.token_embedding(ids)
        tokens[:, 1:4] = context
        tokens = tower.transformer.resblocks[0](
            tokens + tower.positional_embedding, attn_mask=tower.attn_mask
        )
        tokens[:, 1:3] = deep
        tokens = tower.transformer.resblocks[1](tokens, attn_mask=tower.attn_mask)
        end = int(ids[0].argmax())
        expected = tower.ln_final(tokens)[0, end] @ tower.text_projection
        ours = two_layer.encode_text(prompts)[0]
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


def test_positions_are_interpolated_bilinearly_and_never_written_back() -> None:
    detector = load_detector(
        "clip",
        backbone=f"openclip:{TWO_LAYERS}",
        options={"backbone": {"weights": "random:0", "image_size": 112}},
    )
    backbone: Any = detector.backbone
    before = copy.deepcopy(backbone.model.state_dict())
    detector.predict(example_images().sources)
    positions = backbone.model.visual.positional_embedding
    grid = positions[1:].T.reshape(1, 64, 5, 5)
    expected = F.interpolate(grid, size=(7, 7), mode="bilinear", align_corners=False)
    assert torch.equal(backbone._vision.positions[1:], expected[0].flatten(1).T)
    assert torch.equal(backbone._vision.positions[0], positions[0])
    after = backbone.model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_tokens_of_one_image_do_not_attend_to_another(two_layer: Any) -> None:
    sources = example_images().sources
    together = encode(two_layer, ClassToken(), Windows(2))
    for index, source in enumerate(sources):
        with torch.inference_mode():
            alone = two_layer.encode(
                ImageBatch((source,)), [ClassToken(), Windows(2)], UsualAttention()
            )
        for request in (ClassToken(), Windows(2)):
            torch.testing.assert_close(
                alone[request][0], together[request][index], atol=1e-5, rtol=1e-5
            )


def test_the_encoders_agree_with_open_clips_own(two_layer: Any) -> None:
    pixels = example_images().pixels(two_layer.spec.preprocessing)
    sentences = ["a bolt", "a photo of a damaged metal nut.", "x"]
    with torch.inference_mode():
        image = two_layer.model.encode_image(pixels)
        text = two_layer.model.encode_text(open_clip.SimpleTokenizer()(sentences))
        ours = two_layer.encode_text(sentences)
    visual = encode(two_layer, ClassToken())
    torch.testing.assert_close(visual[ClassToken()], image, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours, text, atol=1e-5, rtol=1e-5)


def test_diagonal_with_gamma_0_is_no_modifier_bit_for_bit(two_layer: Any) -> None:
    requests = [ClassToken(), ClassToken(False), Patches(1), Patches(2), Windows(2), Windows(3)]
    plain = encode(two_layer, *requests, attention=Unmodified())
    for renormalise in (False, True):
        zero = Diagonal(gamma=0, renormalise=renormalise)
        modified = encode(two_layer, *requests, attention=zero)
        for request in requests:
            assert torch.equal(plain[request], modified[request])


@pytest.mark.parametrize("renormalise", [False, True])
def test_diagonal_adds_gamma_times_the_diagonal_after_the_softmax(renormalise: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 2, 6, 4, generator=generator) for _ in range(3))
    attention = (q @ k.transpose(-1, -2) / 2).softmax(-1)
    modified = attention + 0.7 * torch.diag_embed(attention.diagonal(dim1=-2, dim2=-1))
    if renormalise:
        modified = modified / modified.sum(-1, keepdim=True)
    ours = Diagonal(gamma=0.7, renormalise=renormalise).mix(q, k, v)
    torch.testing.assert_close(ours, modified @ v, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["winclip", "anomalyclip", "hybrid", "clip-ac", "comparison"])
def test_batch_size_and_order_change_nothing(name: str, learned_file: Path) -> None:
    detector = small(name, learned_file)
    sources = list(example_images(4).sources)
    reference = detector.predict(sources, batch_size=1)
    for size, order in ((4, [0, 1, 2, 3]), (3, [3, 1, 0, 2])):
        results = detector.predict([sources[index] for index in order], batch_size=size)
        for index, result in zip(order, results, strict=True):
            assert result.score == pytest.approx(reference[index].score, abs=1e-5)
            np.testing.assert_allclose(result.map, reference[index].map, atol=1e-5)
