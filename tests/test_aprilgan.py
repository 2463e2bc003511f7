"""APRIL-GAN's maps, scores and training: its authors' numbers, and files that are none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from vlmad import (
    ClassToken,
    Features,
    Patches,
    TextEmbeddings,
    VisualFeatures,
    load_detector,
)
from vlmad.errors import OptionError, VlmadError, WeightsError
from vlmad.testing import TWO_LAYERS, UsualAttention, example_images, two_layer_backbone
from vlmad.text import pool_sides
from vlmad_aprilgan._projected_patches import ProjectedPatches
from vlmad_aprilgan._projected_scorer import ProjectedScorer, ScaledScorer
from vlmad_aprilgan.layer_maps import layer_maps
from vlmad_documents.learned_file import LearnedOn, Learning, write_learned
from vlmad_train.losses import anomalous_map_loss, dice_loss, focal_loss

from .test_golden import assert_close, assert_gradient

GOLDEN = load_file(Path(__file__).parent / "golden" / "aprilgan" / "golden.safetensors")
GRID, SIZE = (6, 6), (48, 48)


def write_maps(path: Path, maps: dict[str, Tensor]) -> Path:
    learning = Learning(
        kind="extractor",
        part="projected",
        facts={},
        backbone=LearnedOn(name="two layers"),
        class_token="normed",
        layers=[],
        data={},
        options={},
    )
    write_learned(path, maps, learning)
    return path


@pytest.fixture
def extractor(tmp_path: Path) -> ProjectedPatches:
    """The one with the golden maps; layer numbers are those of the reference outputs, from 1."""
    names = [(number, name) for number in range(3) for name in ("weight", "bias")]
    maps = {f"layer.{n + 1}.{name}": GOLDEN[f"projection_{name}_{n}"] for n, name in names}
    return ProjectedPatches(write_maps(tmp_path / "maps", maps))


def features_of(extractor: ProjectedPatches, kind: str, image: Tensor | None = None) -> Features:
    tokens = {Patches(n + 1, stage="raw"): GOLDEN[f"{kind}_tokens_{n}"][:, 1:] for n in range(3)}
    image = torch.ones(len(GOLDEN[f"{kind}_tokens_0"]), 16) if image is None else image
    answers: dict[Any, Tensor] = {ClassToken(): image, **tokens}
    return extractor(VisualFeatures(answers, GRID, SIZE))


TEXT = TextEmbeddings.of(GOLDEN["text_features"], (False, True), ("good", "bad"))


def test_zero_shot_scores_and_maps_are_those_of_the_authors(extractor: ProjectedPatches) -> None:
    features = features_of(extractor, "query", GOLDEN["image_features"])
    found = ProjectedScorer()(features, TEXT, None)
    assert_close(found.score, GOLDEN["zero_shot_image_score"])
    assert_close(found.map, GOLDEN["zero_shot_map"])
    maps = [
        layer_maps(each.embeddings[1:2], pool_sides(TEXT), GRID, SIZE)[0, 1]
        for each in features.aligned
    ]
    assert_close(torch.stack(maps), GOLDEN["zero_shot_map_per_layer_of_query_1"])


def test_few_shot_maps_and_the_score_scaled_over_the_set_are_those_of_the_authors(
    extractor: ProjectedPatches,
) -> None:
    features = features_of(extractor, "query", GOLDEN["image_features"])
    scorer, scaled = ProjectedScorer(), ScaledScorer()
    memory = scorer.fit(features_of(extractor, "reference"))
    found = scorer(features, TEXT, memory)
    assert_close(found.map, GOLDEN["few_shot_map"])
    part = found.map - scorer(features, TEXT, None).map
    assert_close(part, GOLDEN["few_shot_part"])
    highest = GOLDEN["few_shot_map"].amax((1, 2))
    assert_close(found.score, GOLDEN["zero_shot_image_score"] + highest)
    together = scaled(features, TEXT, memory)
    assert_close(together.score, GOLDEN["few_shot_image_score"])
    assert_close(together.map, GOLDEN["few_shot_map"])
    one_by_one = scaled.score_set([features[[row]] for row in range(3)], TEXT, memory)
    assert_close(torch.cat([each.score for each in one_by_one]), GOLDEN["few_shot_image_score"])


def test_references_are_compared_layer_by_layer_with_patches_as_they_were(
    extractor: ProjectedPatches,
) -> None:
    features = features_of(extractor, "query", GOLDEN["image_features"])
    memory = ProjectedScorer().fit(features_of(extractor, "reference"))
    for number, expected in enumerate(GOLDEN["few_shot_part_per_layer_of_query_1"], 1):
        alone = [r for r in features.regions if r.aligned or r.name == f"layer {number} as it is"]
        some = Features(features.image, tuple(alone), GRID, SIZE)[[1]]
        [with_it] = ProjectedScorer()(some, TEXT, memory).map
        [without] = ProjectedScorer()(some, TEXT, None).map
        assert_close(with_it - without, expected)


def test_losses_and_gradients_of_the_maps_are_those_of_the_authors(
    extractor: ProjectedPatches,
) -> None:
    learned = extractor.learnable(two_layer_backbone().spec, seed=0)
    for tensor in learned.values():
        tensor.requires_grad_()
    features, masks = features_of(extractor, "batch"), GOLDEN["batch_masks"]
    losses = []
    for number, each in enumerate(features.aligned):
        maps = layer_maps(each.embeddings, GOLDEN["batch_text_features"], GRID, SIZE)
        assert_close(focal_loss(maps, masks).detach(), GOLDEN["loss_focal"][number])
        assert_close(dice_loss(maps[:, 1], masks).detach(), GOLDEN["loss_dice"][number])
        losses.append(anomalous_map_loss(maps, masks))
    total = torch.stack(losses).sum()
    total.backward()
    assert_close(total.detach(), GOLDEN["loss"][0])
    for number in range(3):
        for name in ("weight", "bias"):
            own = learned[f"layer.{number + 1}.{name}"].grad
            assert_gradient(own, GOLDEN[f"grad_projection_{name}_{number}"])


@pytest.mark.parametrize(
    ("depth", "layers"), [(24, (6, 12, 18, 24)), (12, (3, 6, 9, 12)), (2, (1, 2))]
)
def test_layers_are_those_at_each_quarter_unless_they_are_named(
    depth: int, layers: tuple[int, ...]
) -> None:
    spec = replace(two_layer_backbone().spec, depth=depth)
    for own, expected in ((None, layers), ((2, 1), (1, 2))):
        extractor = ProjectedPatches(anew=True, layers=own)
        drawn = extractor.learnable(spec, seed=0)
        assert drawn[f"layer.{expected[0]}.weight"].shape == (spec.embedding_dim, spec.vision_width)
        asked = extractor.requests(spec, UsualAttention(), "normed")
        assert asked == [ClassToken(), *(Patches(n, stage="raw") for n in expected)]


@pytest.mark.slow
def test_a_learned_file_scores_images_and_one_of_another_width_is_refused(tmp_path: Path) -> None:
    backbone = two_layer_backbone()
    spec = backbone.spec
    maps = ProjectedPatches(anew=True).learnable(spec, seed=0)
    path = write_maps(tmp_path / "maps", dict(maps))
    options = {"backbone": {"weights": "random:0"}}
    named = {"extractor": f"projected:{path}", "options": options}
    detector = load_detector("april-gan", backbone=f"openclip:{TWO_LAYERS}", **named)
    [result] = detector.predict(example_images(1).sources, "bolt")
    assert result.error is None
    assert 0 <= result.score <= 1
    detector.fit(example_images(2, seed=1).sources)
    [again] = detector.predict(example_images(1).sources, "bolt")
    assert again.score > result.score
    other = load_detector("april-gan", extractor=f"projected:{path}")
    width = spec.vision_width
    with pytest.raises(WeightsError, match=rf"width {width} \(two layers\), its own has"):
        other.check_ready("bolt")


def test_without_a_file_it_is_said_how_to_learn_one() -> None:
    with pytest.raises(OptionError, match="vlmad train DATA --detector april-gan --out FILE"):
        load_detector("april-gan")


@pytest.mark.parametrize(
    "maps",
    [
        {"layer.1.weight": torch.zeros(4, 3)},
        {"layer.1.weight": torch.zeros(4, 3), "layer.1.bias": torch.zeros(3)},
        {"layer.1.weight": torch.zeros(4), "layer.1.bias": torch.zeros(4)},
        {"layer.0.weight": torch.zeros(4, 3), "layer.0.bias": torch.zeros(4)},
        {
            "layer.1.weight": torch.zeros(4, 3),
            "layer.1.bias": torch.zeros(4),
            "layer.2.weight": torch.zeros(4, 2),
            "layer.2.bias": torch.zeros(4),
        },
    ],
    ids=["no bias", "bias", "vector", "layer 0", "two widths"],
)
def test_a_malformed_file_is_refused(maps: dict[str, Tensor], tmp_path: Path) -> None:
    with pytest.raises(VlmadError, match=r"holds no maps|a bias must have 4 numbers"):
        ProjectedPatches(write_maps(tmp_path / "maps", maps))


def test_a_memory_of_other_patches_is_refused(extractor: ProjectedPatches) -> None:
    spec = two_layer_backbone().spec
    scorer = ProjectedScorer()
    memory = scorer.fit(features_of(extractor, "reference"))
    assert "no list of patches of the backbone's width" in (
        scorer.refuses_memory(memory, spec) or ""
    )
    with pytest.raises(WeightsError, match="is not of 'layer 1 as it is'; fit it anew"):
        scorer(features_of(extractor, "query"), TEXT, {})
