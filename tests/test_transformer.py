"""The loops over a CLIP's blocks do what open_clip does, and refuse what they cannot run."""

from __future__ import annotations

from typing import Any

import open_clip
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

from vlmad import ClassToken, ContextPrompts, Patches, Tiles, Windows
from vlmad.errors import OptionError, WeightsError
from vlmad.testing import UsualAttention, example_images
from vlmad_openclip.devices import pick_device
from vlmad_openclip.language import TextLoop
from vlmad_openclip.openclip import has_plain_text
from vlmad_openclip.vision import VisionLoop, check_vision, resize_positions

VISION = {"image_size": 32, "patch_size": 16, "layers": 1, "width": 64, "head_width": 32}
TEXT = CLIPTextCfg(width=32, heads=2, layers=1)
WORDS = st.text(alphabet=st.characters(codec="utf-8"), max_size=40)


@pytest.mark.slow
@settings(max_examples=25)
@given(sentences=st.lists(WORDS, min_size=1, max_size=4))
def test_cutting_sentences_to_their_length_is_exact(two_layer: Any, sentences: list[str]) -> None:
    with torch.inference_mode():
        ours = two_layer.encode_text(sentences)
        whole = two_layer.model.encode_text(open_clip.SimpleTokenizer()(sentences))
    torch.testing.assert_close(ours, whole, atol=1e-5, rtol=1e-4)


def test_context_vectors_equal_to_words_give_the_words_own_embedding(two_layer: Any) -> None:
    tower = two_layer.model
    ids = open_clip.SimpleTokenizer()(["a photo of a bolt."])
    context = tower.token_embedding(ids)[:, 1:5]  # a photo of a
    with torch.inference_mode():
        learned = two_layer.encode_text(ContextPrompts(context, ("bolt.",)))
        words = two_layer.encode_text(["a photo of a bolt."])
    torch.testing.assert_close(learned, words, atol=1e-5, rtol=1e-5)


def test_layer_scale_and_no_first_norm_are_those_of_the_model() -> None:
    torch.manual_seed(0)
    vision = CLIPVisionCfg(
        image_size=48,
        patch_size=16,
        layers=2,
        width=64,
        head_width=32,
        ls_init_value=0.3,
        no_ln_pre=True,
    )
    model = CLIP(32, vision, CLIPTextCfg(width=32, heads=2, layers=1), quick_gelu=True).eval()
    check_vision(model.visual)
    loop = VisionLoop(model.visual, (3, 3), model.visual.positional_embedding)
    pixels = torch.randn(2, 3, 48, 48)
    with torch.inference_mode():
        last = loop._class_token(loop.embed(pixels), UsualAttention())
        ours = loop._project(last, normed=True)
        theirs = model.encode_image(pixels)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "change",
    [{"pool_type": "avg"}, {"attentional_pool": True}, {"block_type": "custom"}],
    ids=["average", "attention", "custom blocks"],
)
def test_vision_towers_that_the_loop_would_run_wrongly_are_refused(change: dict[str, Any]) -> None:
    vision = CLIPVisionCfg(
        image_size=32, patch_size=16, layers=1, width=64, head_width=32, **change
    )
    model = CLIP(32, vision, CLIPTextCfg(width=32, heads=2, layers=1))
    with pytest.raises(WeightsError, match="only a class token and plain blocks are supported"):
        check_vision(model.visual)


def test_a_convolutional_tower_is_refused() -> None:
    vision = CLIPVisionCfg(image_size=32, layers=(1, 1, 1, 1), width=16)
    model = CLIP(32, vision, TEXT)
    with pytest.raises(WeightsError, match="the vision tower is a ModifiedResNet"):
        check_vision(model.visual)


@pytest.mark.parametrize(
    "architecture", ["ViT-B-32", "ViT-B-16-plus-240", "ViT-H-14-CLIPA", "roberta-ViT-B-32"]
)
def test_only_causal_text_towers_read_at_the_end_token_take_learned_context(
    architecture: str,
) -> None:
    plain = has_plain_text(open_clip.get_model_config(architecture)["text_cfg"])
    assert plain == (architecture in ("ViT-B-32", "ViT-B-16-plus-240"))


def test_positions_of_the_same_grid_are_the_model_s_own() -> None:
    positions = torch.randn(10, 4)
    assert resize_positions(positions, (3, 3), (3, 3), "bilinear") is positions


@given(st.integers(1, 6), st.integers(1, 9), st.sampled_from(["bilinear", "bicubic"]))
def test_resized_positions_keep_the_class_position_and_constants(
    old: int, new: int, mode: Any
) -> None:
    positions = torch.cat([torch.zeros(1, 2), torch.full((old * old, 2), 0.7)])
    resized = resize_positions(positions, (old, old), (new, new), mode)
    assert resized.shape == (1 + new * new, 2)
    assert torch.equal(resized[0], positions[0])
    torch.testing.assert_close(resized[1:], torch.full((new * new, 2), 0.7))


def test_bicubic_positions_are_open_clips_own() -> None:
    positions = torch.randn(26, 8, generator=torch.Generator().manual_seed(0))
    table = {"visual.positional_embedding": positions}
    vision = CLIPVisionCfg(image_size=112, patch_size=16, layers=1, width=8, head_width=8)
    model = CLIP(32, vision, TEXT)
    open_clip.factory.resize_pos_embed(table, model)
    ours = resize_positions(positions, (5, 5), (7, 7), "bicubic")
    torch.testing.assert_close(ours, table["visual.positional_embedding"])


def test_many_windows_go_through_in_parts_with_the_same_result(
    two_layer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def windows() -> torch.Tensor:
        with torch.inference_mode():
            visual = two_layer.encode(example_images(), [Windows(3)], UsualAttention())
        return visual[Windows(3)]

    together = windows()
    monkeypatch.setattr(two_layer._vision, "tokens_at_once", 40)
    torch.testing.assert_close(windows(), together, atol=1e-5, rtol=1e-5)


def test_a_window_of_the_whole_grid_is_the_class_token(two_layer: Any) -> None:
    with torch.inference_mode():
        visual = two_layer.encode(
            example_images(), [ClassToken(), Windows(5), Windows(9)], UsualAttention()
        )
    for size in (5, 9):
        assert visual[Windows(size)].shape == (3, 1, 64)
        torch.testing.assert_close(
            visual[Windows(size)][:, 0], visual[ClassToken()], atol=1e-5, rtol=1e-5
        )


def test_one_tile_is_the_whole_image(two_layer: Any) -> None:
    with torch.inference_mode():
        visual = two_layer.encode(example_images(), [ClassToken(), Tiles(1)], UsualAttention())
    torch.testing.assert_close(visual[Tiles(1)][:, 0], visual[ClassToken()], atol=1e-5, rtol=1e-5)


def test_the_stages_of_patches_follow_from_each_other(two_layer: Any) -> None:
    requests = [Patches(2, stage=stage) for stage in ("raw", "normed", "projected")]
    with torch.inference_mode():
        visual = two_layer.encode(example_images(), requests, UsualAttention())
        raw, normed, projected = (visual[request] for request in requests)
        tower = two_layer.model.visual
        torch.testing.assert_close(tower.ln_post(raw), normed)
        torch.testing.assert_close(normed @ tower.proj, projected)


def test_devices_that_are_not_here_are_refused_with_the_remedy() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in ("cpu", "cuda", "mps")
    for name in ("gpu", "cuda:99", "xpu:7"):
        with pytest.raises(OptionError, match="takes auto, cpu, cuda or mps"):
            pick_device(name)


def test_learned_context_may_differ_between_sentences(two_layer: Any) -> None:
    context = torch.randn(2, 3, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        both = two_layer.encode_text(ContextPrompts(context, ("bolt.", "bolt.")))
        second = two_layer.encode_text(ContextPrompts(context[1:], ("bolt.",)))
    torch.testing.assert_close(both[1:], second, atol=1e-5, rtol=1e-5)
    assert float((both[0] - both[1]).abs().max()) > 1e-3
    assert F.cosine_similarity(both[:1], both[1:]) < 0.9999


def test_text_loop_takes_projections_that_are_linear_layers() -> None:
    torch.manual_seed(0)
    text = CLIPTextCfg(width=32, heads=2, layers=1, proj_bias=True)
    model = open_clip.model.CustomTextCLIP(16, CLIPVisionCfg(**VISION), text).eval()
    loop = TextLoop(model.text, open_clip.SimpleTokenizer())
    with torch.inference_mode():
        ours = loop.encode(["a bolt"])
        theirs = model.encode_text(open_clip.SimpleTokenizer()(["a bolt"]))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
