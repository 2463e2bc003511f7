"""The numbers of other implementations are met, step by step; see tests/golden/README.md."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from vlmad import Detector, ImageBatch, load_detector
from vlmad.images import as_source
from vlmad.text import pool_sides
from vlmad_anomalyclip.learned_prompts import read_learned_prompts
from vlmad_train.losses import image_loss, side_maps, two_sided_map_loss

from .conftest import vlmad

HERE = Path(__file__).parent
SUBSET = HERE / "golden"
FULL = Path(os.environ.get("VLMAD_GOLDEN", HERE.parents[1] / "shared" / "golden"))
ROWS, VOCABULARY = "token_embedding.rows", "token_embedding.weight"
TOLERANCE = 1e-4


@pytest.fixture(scope="module", params=["subset", pytest.param("full", marks=pytest.mark.slow)])
def reference(request: pytest.FixtureRequest) -> Path:
    if request.param == "full" and not FULL.is_dir():
        pytest.skip(f"no full reference outputs in {FULL}")
    return SUBSET if request.param == "subset" else FULL


def whole_model(folder: Path, into: Path) -> Path:
    """Write a model whose vocabulary has all its rows; those that no sentence uses are zero."""
    tensors = load_file(folder / "model.safetensors")
    rows = tensors.pop(ROWS, None)
    if rows is not None:
        config = json.loads((folder / "model.json").read_text())["text_cfg"]
        vocabulary = torch.zeros(config["vocab_size"], config["width"], dtype=torch.float16)
        vocabulary[rows] = tensors[VOCABULARY]
        tensors[VOCABULARY] = vocabulary
    save_file(tensors, into / "model.safetensors")
    return into / "model.safetensors"


def batch_of(pixels: torch.Tensor) -> ImageBatch:
    return ImageBatch(tuple(as_source(image) for image in pixels))


def assert_gradient(ours: torch.Tensor | None, golden: torch.Tensor) -> None:
    assert ours is not None
    assert (ours - golden).norm() <= TOLERANCE * golden.norm()


def assert_close(ours: torch.Tensor, golden: torch.Tensor) -> None:
    torch.testing.assert_close(ours, golden, rtol=0, atol=TOLERANCE)


# WinCLIP


@pytest.fixture(scope="module")
def winclip_model(reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whole_model(reference / "winclip", tmp_path_factory.mktemp("winclip"))


@pytest.fixture(scope="module")
def winclip_golden(reference: Path) -> dict[str, torch.Tensor]:
    return load_file(reference / "winclip" / "golden.safetensors")


@pytest.fixture(scope="module", params=["paper22", "anomalib21"])
def winclip(
    request: pytest.FixtureRequest, reference: Path, winclip_model: Path
) -> tuple[Detector, str]:
    detector = load_detector(
        "winclip",
        backbone=f"openclip:{reference / 'winclip' / 'model.json'}",
        options={"prompts": {"list": request.param}, "backbone": {"weights": str(winclip_model)}},
    )
    return detector, request.param


def test_winclip_features_are_those_of_anomalib(
    winclip: tuple[Detector, str], winclip_golden: dict[str, torch.Tensor]
) -> None:
    features = winclip[0].features(batch_of(winclip_golden["pixels"]))
    assert_close(features.image, winclip_golden["image_embeddings"])
    by_name = {regions.name: regions.embeddings for regions in features.regions}
    assert_close(by_name["window 2"], winclip_golden["window_embeddings_2"])
    assert_close(by_name["window 3"], winclip_golden["window_embeddings_3"])
    assert_close(by_name["layer 3"], winclip_golden["patch_tokens_after_ln_post"])


def test_winclip_text_embeddings_are_those_of_anomalib(
    winclip: tuple[Detector, str], winclip_golden: dict[str, torch.Tensor]
) -> None:
    detector, name = winclip
    text = detector.text("metal nut", None)
    assert text is not None
    assert_close(pool_sides(text, "mean"), winclip_golden[f"text_embeddings_{name}"])


def test_winclip_zero_shot_scores_and_maps_are_those_of_anomalib(
    winclip: tuple[Detector, str], winclip_golden: dict[str, torch.Tensor]
) -> None:
    detector, name = winclip
    detector.memory = None
    prediction = detector(batch_of(winclip_golden["pixels"]), "metal nut")
    assert_close(prediction.score, winclip_golden[f"zero_shot_score_{name}"])
    assert_close(prediction.map, winclip_golden[f"zero_shot_map_{name}"])


@pytest.mark.slow
def test_winclip_two_shot_scores_and_maps_are_those_of_anomalib(
    winclip: tuple[Detector, str], winclip_golden: dict[str, torch.Tensor]
) -> None:
    detector, name = winclip
    detector.fit(list(winclip_golden["reference_pixels"]))
    prediction = detector(batch_of(winclip_golden["pixels"]), "metal_nut")
    assert_close(prediction.score, winclip_golden[f"two_shot_score_{name}"])
    assert_close(prediction.map, winclip_golden[f"two_shot_map_{name}"])


# AnomalyCLIP


@pytest.fixture(scope="module")
def golden(reference: Path) -> dict[str, torch.Tensor]:
    return load_file(reference / "anomalyclip" / "golden.safetensors")


@pytest.fixture(scope="module")
def imported_prompts(reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Convert the official checkpoint with the command that a user would type."""
    out = tmp_path_factory.mktemp("prompts") / "learned.safetensors"
    checkpoint = reference / "anomalyclip" / "epoch_15.pth"
    done = vlmad("prompts", "import", checkpoint, "--out", out, cwd=out.parent)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def backbone_options(reference: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    weights = whole_model(reference / "anomalyclip", tmp_path_factory.mktemp("anomalyclip"))
    model = reference / "anomalyclip" / "model.json"
    return {"model": str(model), "weights": str(weights)}


@pytest.fixture(scope="module")
def anomalyclip(backbone_options: dict[str, Any], imported_prompts: Path) -> Detector:
    return load_detector(
        "anomalyclip",
        backbone="openclip",
        prompts=f"learned:{imported_prompts}",
        options={
            "backbone": {**backbone_options, "image_size": 112},
            "attention": {"blocks": 4},
            "extractor": {"layers": (2, 4, 6)},
        },
    )


def test_anomalyclip_text_features_are_the_official_ones(
    anomalyclip: Detector, golden: dict[str, torch.Tensor]
) -> None:
    text = anomalyclip.text("object", None)
    assert text is not None
    assert_close(text.embeddings[None], golden["text_features"])


def test_anomalyclip_image_and_patch_features_of_each_layer_are_the_official_ones(
    anomalyclip: Detector, golden: dict[str, torch.Tensor]
) -> None:
    features = anomalyclip.features(batch_of(golden["pixels"]))
    assert_close(features.image, golden["image_features"])
    assert [regions.name for regions in features.regions] == ["layer 2", "layer 4", "layer 6"]
    for regions in features.regions:
        official = golden[f"patch_features_{regions.name.replace(' ', '_')}"][:, 1:]
        assert_close(regions.embeddings, official)


def test_anomalyclip_scores_and_smoothed_maps_are_the_official_ones(
    anomalyclip: Detector, golden: dict[str, torch.Tensor]
) -> None:
    prediction = anomalyclip(batch_of(golden["pixels"]))
    assert_close(prediction.score, golden["image_score"])
    assert_close(prediction.map, golden["map_sigma4"])


def test_anomalyclip_maps_before_smoothing_are_the_official_ones(
    backbone_options: dict[str, Any], imported_prompts: Path, golden: dict[str, torch.Tensor]
) -> None:
    detector = load_detector(
        "anomalyclip",
        backbone="openclip",
        prompts=f"learned:{imported_prompts}",
        options={
            "backbone": {**backbone_options, "image_size": 112},
            "attention": {"blocks": 4},
            "extractor": {"layers": "2,4,6"},
            "scorer": {"sigma": "0"},
        },
    )
    prediction = detector(batch_of(golden["pixels"]))
    assert_close(prediction.map, golden["map_before_smoothing"])


def test_the_unmodified_network_at_its_own_size_gives_the_official_class_token(
    backbone_options: dict[str, Any], imported_prompts: Path, golden: dict[str, torch.Tensor]
) -> None:
    detector = load_detector(
        "clip",
        backbone="openclip",
        prompts=f"learned:{imported_prompts}",
        options={"backbone": backbone_options},
    )
    features = detector.features(batch_of(golden["native_pixels"]))
    assert_close(features.image, golden["native_image_features_without_dpam"])


def test_training_losses_and_gradients_of_the_prompts_are_the_official_ones(
    anomalyclip: Detector, imported_prompts: Path, golden: dict[str, torch.Tensor]
) -> None:
    features = anomalyclip.features(batch_of(golden["pixels"]))
    learned = read_learned_prompts(imported_prompts)
    for tensor in learned.tensors.values():
        tensor.requires_grad_()

    sides = anomalyclip.backbone.encode_text(learned.context_prompts())
    of_images = image_loss(features.image.clone(), sides, torch.tensor([0, 1, 1]))
    of_maps = [
        two_sided_map_loss(
            side_maps(layer.embeddings.clone(), sides, features.grid, features.image_size),
            golden["masks"],
        )
        for layer in features.regions
    ]
    total = of_images + 4 * sum(of_maps)
    total.backward()

    assert_close(of_images.detach(), golden["loss_image"][0])
    assert_close(sum(of_maps).detach(), golden["loss_local_unweighted"][0])
    assert_close(total.detach(), golden["loss_total_lambda4"][0])
    grads = {name: tensor.grad for name, tensor in learned.tensors.items()}
    assert_gradient(grads["context.normal"], golden["grad_ctx_pos"][0, 0])
    assert_gradient(grads["context.anomalous"], golden["grad_ctx_neg"][0, 0])
    for index in range(8):
        # the official code lets these gradients pass through half precision
        ours, official = grads[f"deep.{index + 1}"], golden[f"grad_deep_{index}"]
        torch.testing.assert_close(ours, official, rtol=0, atol=5e-3 * float(official.abs().max()))
