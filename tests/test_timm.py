"""Models of timm give the features that timm's own code gives, from any checkpoint of theirs."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from vlmad import ClassToken, Level, load_detector
from vlmad.errors import IncompatiblePartsError, OptionError, WeightsError
from vlmad.testing import UsualAttention, check_backbone, example_images
from vlmad_timm._timm_backbone import TimmBackbone
from vlmad_timm._timm_model import find_facts

from .conftest import Ended

REGISTERS = "vit_small_patch14_reg4_dinov2"
ROTARY = "vit_small_patch16_dinov3"


def backbone(model: str, *size: int, weights: str = "random:0") -> TimmBackbone:
    return TimmBackbone(model, weights, size or None, "cpu", "float32")


@torch.inference_mode()
def answers(made: TimmBackbone, *names: str) -> dict[str, Tensor]:
    visual = made.encode(example_images(), [Level(name) for name in names], UsualAttention())
    return {name: visual[Level(name)] for name in names}


def pixels(made: TimmBackbone) -> Tensor:
    return example_images().pixels(made.spec.preprocessing)


@pytest.mark.parametrize(
    ("model", "size"),
    [
        ("test_vit", ()),
        ("test_vit", (96, 160)),
        ("test_resnet", (90, 130)),
        ("test_convnext", (64,)),
        pytest.param("test_efficientnet", (96,), marks=pytest.mark.slow),
        pytest.param("swin_tiny_patch4_window7_224", (), marks=pytest.mark.slow),
        pytest.param("deit_tiny_distilled_patch16_224", (64,), marks=pytest.mark.slow),
        pytest.param(REGISTERS, (56, 84), marks=pytest.mark.slow),
        pytest.param(ROTARY, (64, 48), marks=pytest.mark.slow),
    ],
)
def test_models_of_every_sort_keep_the_contract(model: str, size: tuple[int, ...]) -> None:
    check_backbone(backbone(model, *size))


@pytest.mark.parametrize(
    ("model", "size", "prefix"),
    [
        ("test_vit", (96, 160), 1),
        pytest.param(REGISTERS, (56, 84), 5, marks=pytest.mark.slow),
        pytest.param(ROTARY, (64, 48), 5, marks=pytest.mark.slow),
    ],
)
@torch.inference_mode()
def test_a_block_gives_its_patches_in_their_places_without_class_and_registers(
    model: str, size: tuple[int, int], prefix: int
) -> None:
    made = backbone(model, *size)
    net, images, tokens = made.model, pixels(made), {}
    for number, block in enumerate(net.blocks, 1):
        block.register_forward_hook(
            lambda *given, number=number: tokens.update({str(number): given[-1]})
        )
    final = net.forward_features(images)
    wanted = {**tokens, "normed": net.norm(tokens[str(len(net.blocks))])}
    torch.testing.assert_close(wanted["normed"], final)
    rows, columns = made.spec.grid
    found = answers(made, *wanted)
    for name, each in wanted.items():
        assert each.shape[1] == prefix + rows * columns
        plain = each[:, prefix:].reshape(3, rows, columns, -1)
        torch.testing.assert_close(found[name], plain)


@torch.inference_mode()
def test_positions_meet_another_size_as_timm_lets_them() -> None:
    made = backbone("test_vit", 96, 160)
    assert made.spec.grid == (6, 10)
    dynamic = timm.create_model("test_vit", num_classes=0, dynamic_img_size=True).eval()
    dynamic.load_state_dict(made._load().state_dict())  # at the size that it was made for
    [last] = dynamic.get_intermediate_layers(pixels(made), n=1, reshape=True, norm=True)
    found = answers(made, "normed")["normed"]
    torch.testing.assert_close(found, last.permute(0, 2, 3, 1), rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_stages_of_a_pyramid_are_timms_and_the_class_token_is_what_it_pools() -> None:
    made = backbone("test_resnet", 90, 130)
    pyramid = timm.create_model("test_resnet", features_only=True).eval()
    pyramid.load_state_dict(made.model.state_dict(), strict=False)
    names = [each["module"] for each in pyramid.feature_info]
    assert list(made.spec.levels) == names
    found = answers(made, *names)
    for name, stage in zip(names, pyramid(pixels(made)), strict=True):
        torch.testing.assert_close(found[name], stage.permute(0, 2, 3, 1))
    pooled = made.encode(example_images(), [ClassToken()], UsualAttention())[ClassToken()]
    torch.testing.assert_close(pooled, found["layer4"].mean((1, 2)))


@torch.inference_mode()
def test_blocks_after_the_deepest_level_do_not_run() -> None:
    made, seen = backbone("test_vit"), []
    for number, block in enumerate(made.model.blocks, 1):
        block.register_forward_hook(lambda *_, number=number: seen.append(number))
    answers(made, "2", "1")
    assert seen == [1, 2]
    answers(made, "normed", "2")
    assert seen == [1, 2, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("model", "middle"),
    [
        ("test_vit", ("3", "4")),
        ("wide_resnet50_2", ("layer2", "layer3")),
        pytest.param("vit_small_patch14_dinov2", ("normed",), marks=pytest.mark.slow),
        pytest.param(ROTARY, ("normed",), marks=pytest.mark.slow),
    ],
)
def test_middle_levels_are_those_of_published_methods(model: str, middle: tuple[str]) -> None:
    assert find_facts(model, None).middle == middle


FORMS: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "timm's": lambda state: state,
    "of training": lambda state: {"state_dict": {f"module.{k}": t for k, t in state.items()}},
    "with its classifier": lambda state: {**state, "fc.weight": torch.ones(7, 96)},
}


@pytest.mark.parametrize(
    ("form", "suffix"),
    [
        ("timm's", "safetensors"),
        ("timm's", "pth"),
        ("of training", "pth"),
        ("with its classifier", "safetensors"),
    ],
)
def test_a_checkpoint_gives_what_its_weights_give(form: str, suffix: str, tmp_path: Path) -> None:
    whole = backbone("test_resnet", 64)
    content, path = FORMS[form](whole.model.state_dict()), tmp_path / f"some.{suffix}"
    if suffix == "pth":
        torch.save(content, path)
    else:
        save_file(content, path)
    read = backbone("test_resnet", 64, weights=str(path))
    assert read.weights_hash == whole.weights_hash
    assert read.spec.licence == "see the publisher of the weights"
    for name, each in answers(whole, "layer2", "layer4").items():
        assert torch.equal(answers(read, name)[name], each)


@pytest.mark.slow
def test_a_checkpoint_as_dinov2_published_it_is_converted_by_timm(tmp_path: Path) -> None:
    whole = backbone(REGISTERS, 56)
    state = dict(whole._load().state_dict())
    registers, positions = state.pop("reg_token"), state.pop("pos_embed")
    published = {
        **state,
        "mask_token": torch.zeros(1, 384),
        "register_tokens": registers,
        "pos_embed": torch.cat([torch.zeros(1, 1, 384), positions], dim=1),
    }
    torch.save(published, tmp_path / "dinov2.pth")
    read = backbone(REGISTERS, 56, weights=str(tmp_path / "dinov2.pth"))
    assert torch.equal(answers(read, "normed")["normed"], answers(whole, "normed")["normed"])


def test_weights_of_another_model_are_refused_by_name(tmp_path: Path) -> None:
    save_file(backbone("test_resnet", 64).model.state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"other\.safetensors are of another architecture"):
        backbone("test_vit", weights=str(tmp_path / "other.safetensors")).model  # noqa: B018
    with pytest.raises(WeightsError, match="no such file"):
        backbone("test_vit", weights=str(tmp_path / "none.pth")).model  # noqa: B018


@pytest.mark.slow
@pytest.mark.parametrize("model", ["levit_128s", "swin_tiny_patch4_window7_224", "convnext_atto"])
def test_classifiers_of_every_shape_are_passed_over(model: str, tmp_path: Path) -> None:
    whole = timm.create_model(model, num_classes=5)
    state = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    save_file(state, tmp_path / "own.safetensors")
    own = backbone(model, weights=str(tmp_path / "own.safetensors")).model.state_dict()
    assert len(own) < len(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in own.items())


def test_half_precision_gives_nearly_the_same() -> None:
    for model in ("test_vit", "test_resnet"):
        whole = backbone(model, 64)
        half = TimmBackbone(model, "random:0", (64,), "cpu", "bfloat16")
        names = whole.spec.middle
        for exact, found in zip(
            answers(whole, *names).values(), answers(half, *names).values(), strict=True
        ):
            assert found.dtype == torch.float32
            assert not torch.equal(found, exact)
            assert torch.nn.functional.cosine_similarity(found, exact, dim=-1).min() > 0.99


def test_seeds_make_the_weights() -> None:
    same, other = backbone("test_resnet"), backbone("test_resnet", weights="random:1")
    assert same.weights_hash == backbone("test_resnet").weights_hash != other.weights_hash
    with pytest.raises(OptionError, match="random weights need a seed, random:0"):
        backbone("test_resnet", weights="random:x")


def test_what_timm_does_not_have_or_take_is_said_before_weights_are_read() -> None:
    with pytest.raises(WeightsError, match="timm knows no model 'resnet81'; did you mean"):
        backbone("resnet81")
    with pytest.raises(WeightsError, match=r"timm cannot build test_vit\.nobody"):
        backbone("test_vit.nobody")
    with pytest.raises(OptionError, match=r"no features of images of 96 x 96 pixels.*image_size"):
        backbone("mixer_s32_224", 96)
    with pytest.raises(OptionError, match="at least one patch, 32 pixels"):
        backbone("vit_base_patch32_224", 16)


def test_a_manifests_model_is_taken_from_this_machine_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("somebody was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    trusting = TimmBackbone("test_resnet", None, None, "cpu", fetch=False)
    with pytest.raises(WeightsError, match=r"if you trust huggingface\.co/timm/test_resnet.*fetch"):
        trusting.weights_hash  # noqa: B018
    place = tmp_path / "models--timm--test_resnet.r160_in1k"
    for folder in ("refs", "snapshots/abc"):
        (place / folder).mkdir(parents=True)
    (place / "refs" / "main").write_text("abc")
    known = backbone("test_resnet")
    save_file(known.model.state_dict(), place / "snapshots/abc/model.safetensors")
    assert trusting.weights_hash == known.weights_hash
    assert trusting.spec.licence == "apache-2.0"


def test_scorers_of_text_are_refused_with_the_remedy() -> None:
    options = {"backbone": {"weights": "random:0"}}
    with pytest.raises(IncompatiblePartsError, match=r"needs text encoder.*--scorer nearest"):
        load_detector(backbone="timm:test_vit", scorer="harmonic", options=options)
    with pytest.raises(IncompatiblePartsError, match="encodes no text"):
        backbone("test_vit").encode_text(["a bolt"])


@pytest.mark.slow
def test_a_run_with_references_needs_no_more_than_a_backbone(
    command: Callable[..., Ended], photos: Path, tmp_path: Path
) -> None:
    words = ["--backbone", "timm:test_resnet", "--set", "backbone.weights=random:0"]
    done = command("run", photos, *words, "--references", photos, "--out", tmp_path / "out")
    assert done.status == 0, done.error
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["backbone"] == "timm:test_resnet"
    assert "prompts" not in manifest["identity"]["parts"]
