"""Whatever is saved in encoding, the numbers are those of the plain way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from safetensors.torch import save_file

from vlmad import Attention, ClassToken, ContextPrompts, Patches, Tiles, Windows, load_detector
from vlmad.errors import IncompatiblePartsError, OptionError, WeightsError
from vlmad.regions import window_patches
from vlmad.testing import TWO_LAYERS, UsualAttention, example_images
from vlmad_anomalyclip._modified_attention import Diagonal, ValueValue
from vlmad_openclip._blocks import feed_forward, merge_heads, run_block, run_last_block, split_heads
from vlmad_openclip.devices import computes_bfloat16, pick_precision
from vlmad_openclip.openclip import OpenClip
from vlmad_openclip.vision import VisionLoop
from vlmad_speed.naive import naive_features

PATCH = 16
USUAL = UsualAttention()
ATTENTIONS = [USUAL, Diagonal(0.7), Diagonal(0.7, blocks=1), Diagonal(2, renormalise=True)]
EVERYTHING = [
    ClassToken(),
    ClassToken(normed=False),
    Patches(0, stage="raw"),
    Patches(2, "beside"),
    Windows(2),
    Windows(3, normed=False),
    Windows(2, encoding="shared"),
    Tiles(2),
]


def vision(grid: tuple[int, int], layers: int) -> Any:
    torch.manual_seed(grid[0] * 10 + layers)
    size = (grid[0] * PATCH, grid[1] * PATCH)
    shape = {"layers": layers, "width": 64, "head_width": 32}
    config = CLIPVisionCfg(image_size=size, patch_size=PATCH, **shape)  # type: ignore[arg-type]
    model = CLIP(24, config, CLIPTextCfg(width=32, heads=2, layers=1)).eval()
    for parameter in model.visual.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))  # biases too
    return model.visual.requires_grad_(False)


def loop_of(visual: Any) -> VisionLoop:
    return VisionLoop(visual, visual.grid_size, visual.positional_embedding)


def pixels_of(visual: Any, count: int = 2) -> torch.Tensor:
    height, width = (side * PATCH for side in visual.grid_size)
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def answers(loop: VisionLoop, pixels: torch.Tensor, *requests: Any, attention: Any = USUAL) -> Any:
    with torch.inference_mode():
        return loop._whole(pixels, requests, attention)


@pytest.mark.slow
@settings(max_examples=20)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 3), st.integers(1, 6))
def test_exact_windows_are_those_of_open_clips_own_blocks(
    rows: int, columns: int, layers: int, size: int
) -> None:
    visual = vision((rows, columns), layers)
    pixels = pixels_of(visual)
    patches = Patches(layers, stage="normed")
    ours = answers(loop_of(visual), pixels, ClassToken(), Windows(size), patches)
    with torch.inference_mode():
        naive = naive_features(visual, pixels, [size])
    for mine, plain in zip(ours.values(), naive, strict=True):
        torch.testing.assert_close(mine, plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("layers", [1, 3])
def test_exact_windows_with_other_attention_are_those_of_a_plain_loop(
    attention: Any, layers: int
) -> None:
    visual = vision((4, 3), layers)
    loop, pixels = loop_of(visual), pixels_of(visual)
    ours = answers(loop, pixels, Windows(2), attention=attention)[Windows(2)]
    acts = attention.blocks(layers)
    with torch.inference_mode():
        tokens = loop.embed(pixels)
        for number, patches in enumerate(window_patches((4, 3), 2)):
            window = torch.cat([tokens[:, :1], tokens[:, 1 + patches]], dim=1)
            for index, block in enumerate(visual.transformer.resblocks):
                window = run_block(block, window, attention.mix if index in acts else None)
            expected = visual.ln_post(window[:, 0]) @ visual.proj
            torch.testing.assert_close(ours[:, number], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("sizes", [(1,), (2, 3), (5,)])
def test_shared_windows_are_those_of_a_plain_loop_over_windows(
    attention: Any, sizes: tuple[int, ...]
) -> None:
    visual = vision((4, 3), 3)
    loop, pixels = loop_of(visual), pixels_of(visual)
    requests = [Windows(size, encoding="shared") for size in sizes]
    ours = answers(loop, pixels, *requests, attention=attention)
    for request in requests:
        for number, patches in enumerate(window_patches((4, 3), request.size)):
            expected = one_shared_window(loop, loop.embed(pixels), patches, attention)
            torch.testing.assert_close(ours[request][:, number], expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def one_shared_window(
    loop: VisionLoop, plain: torch.Tensor, patches: torch.Tensor, attention: Attention
) -> torch.Tensor:
    """Write out what a window's class token does beside the plain stream."""
    own = plain[:, :1]
    acts = attention.blocks(len(loop.blocks))
    for index, block in enumerate(loop.blocks):
        mix = attention.mix if index in acts else F.scaled_dot_product_attention
        seen = split_heads(block, plain[:, 1 + patches])
        q, k, v = (torch.cat(pair, 2) for pair in zip(split_heads(block, own), seen, strict=True))
        own = feed_forward(block, own + merge_heads(block, mix(q, k, v)[:, :, :1]))
        plain = run_block(block, plain, mix)
    return loop._project(own[:, 0], normed=True)


def test_shared_windows_change_nothing_else(two_layer: Any) -> None:
    requests = [ClassToken(), Patches(1), Patches(2)]
    shared = Windows(2, encoding="shared")
    with torch.inference_mode():
        alone = two_layer.encode(example_images(), requests, USUAL)
        beside = two_layer.encode(example_images(), [*requests, shared], USUAL)
    for request in requests:
        torch.testing.assert_close(alone[request], beside[request], atol=1e-5, rtol=1e-5)


def test_a_shared_window_is_not_the_exact_one_unless_nothing_is_outside_of_it(
    two_layer: Any,
) -> None:
    pairs = [(Windows(size), Windows(size, encoding="shared")) for size in (2, 5)]
    requests = [request for pair in pairs for request in pair]
    with torch.inference_mode():
        visual = two_layer.encode(example_images(), requests, USUAL)
    (exact, shared), (whole, whole_shared) = pairs
    assert visual[exact].shape == visual[shared].shape
    assert not torch.allclose(visual[exact], visual[shared], atol=1e-2)
    torch.testing.assert_close(visual[whole], visual[whole_shared], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("mix", [None, Diagonal(0.7).mix])
@pytest.mark.parametrize("tokens", [1, 2, 26])
def test_the_last_block_for_the_class_token_alone_is_the_whole_block(mix: Any, tokens: int) -> None:
    block = vision((2, 2), 1).transformer.resblocks[0]
    stream = torch.randn(3, tokens, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        whole = run_block(block, stream, mix)[:, 0]
        torch.testing.assert_close(run_last_block(block, stream, mix), whole, atol=1e-5, rtol=1e-5)


def test_images_and_windows_go_through_in_parts_with_the_same_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backbone = OpenClip(str(TWO_LAYERS), weights="random:0", device="cpu")

    def encode() -> Any:
        with torch.inference_mode():
            return backbone.encode(example_images(), EVERYTHING, ValueValue(blocks=1)).tensors

    together = encode()
    monkeypatch.setattr(backbone._vision, "tokens_at_once", 7)
    torch.testing.assert_close(encode(), together, atol=1e-5, rtol=1e-5)


class Learnable(Attention):
    """Scale what attention gathers by a learnable number."""

    def __init__(self) -> None:
        self.scale = torch.ones((), requires_grad=True)

    def blocks(self, depth: int) -> range:
        return range(depth)

    def mix(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(q, k, v) * self.scale


def test_gradients_are_kept_only_where_something_is_learnt() -> None:
    backbone = OpenClip(str(TWO_LAYERS), weights="random:0", device="cpu")
    requests = [ClassToken(), Windows(2), Windows(2, encoding="shared")]
    frozen = backbone.encode(example_images(), requests, USUAL)
    assert not any(frozen[request].requires_grad for request in requests)
    assert not backbone.encode_text(["a bolt"]).requires_grad
    for request in requests:
        attention = Learnable()
        backbone.encode(example_images(), [request], attention)[request].sum().backward()
        assert attention.scale.grad is not None
        assert float(attention.scale.grad) != 0


# Precision


def test_features_in_bfloat16_point_the_same_way() -> None:
    plain, half = (
        OpenClip(str(TWO_LAYERS), weights="random:0", device="cpu", precision=precision)  # type: ignore[arg-type]
        for precision in ("float32", "bfloat16")
    )
    requests = [request for request in EVERYTHING if request != Patches(2, "beside")]
    with torch.inference_mode():
        exact = plain.encode(example_images(), requests, USUAL)
        rough = half.encode(example_images(), requests, USUAL)
    assert (plain.precision, half.precision) == ("float32", "bfloat16")
    assert half.weights_hash == plain.weights_hash
    for request in requests:
        assert rough[request].dtype == torch.float32
        assert float(F.cosine_similarity(exact[request], rough[request], dim=-1).min()) >= 0.9999
    assert not torch.equal(exact[ClassToken()], rough[ClassToken()])


def test_texts_are_the_same_whatever_the_precision_of_images(two_layer: Any) -> None:
    half = OpenClip(str(TWO_LAYERS), weights="random:0", device="cpu", precision="bfloat16")
    assert torch.equal(half.encode_text(["a bolt"]), two_layer.encode_text(["a bolt"]))


@pytest.mark.parametrize(
    ("able", "expected"),
    [
        ({"avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": True, "avx512_f": True}, "bfloat16"),
        ({"bf16": True, "neon": True}, "bfloat16"),
        ({"avx512_bf16": False, "avx512_f": True, "avx2": True}, "float32"),
        ({}, "float32"),
    ],
)
def test_auto_takes_bfloat16_where_the_processor_computes_it(
    able: dict[str, bool], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VLMAD_PRECISION")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    processor = torch.device("cpu")
    assert pick_precision("auto", processor) == expected
    assert pick_precision("float32", processor) == "float32"
    assert pick_precision("bfloat16", processor) == "bfloat16"


def test_without_word_from_torch_the_processors_flags_decide(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cpu = torch.device("cpu")
    known = computes_bfloat16(cpu)
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert computes_bfloat16(cpu) == known
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "Features\t: fp asimd bf16 i8mm\n")
    assert computes_bfloat16(cpu)
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "flags\t\t: fpu avx512f\n")
    assert not computes_bfloat16(cpu)


def test_the_environment_says_what_auto_means(monkeypatch: pytest.MonkeyPatch) -> None:
    processor = torch.device("cpu")
    monkeypatch.setenv("VLMAD_PRECISION", "bfloat16")
    assert pick_precision("auto", processor) == "bfloat16"
    assert pick_precision("float32", processor) == "float32"
    monkeypatch.setenv("VLMAD_PRECISION", "half")
    with pytest.raises(OptionError, match="VLMAD_PRECISION=half: it takes auto, float32"):
        pick_precision("auto", processor)


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(OptionError, match="float16"):
        load_detector("winclip", options={"backbone": {"precision": "float16"}})


# Text


def test_sentences_come_back_in_their_order(two_layer: Any) -> None:
    sentences = [" ".join(["bolt"] * (1 + number * 7 % 23)) for number in range(80)]
    with torch.inference_mode():
        together = two_layer.encode_text(sentences)
        alone = torch.cat([two_layer.encode_text([sentence]) for sentence in sentences])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("deep", [0, 1, 3, 12])
def test_cutting_learned_prompts_to_their_length_is_exact(two_layer: Any, deep: int) -> None:
    generator = torch.Generator().manual_seed(0)
    width = two_layer.spec.text_width
    context = torch.randn(2, 3, width, generator=generator)
    tokens = {1: torch.randn(deep, width, generator=generator)} if deep else {}
    prompts = ContextPrompts(context, ("bolt.", "damaged metal nut."), tokens)
    loop = two_layer._text
    with torch.inference_mode():
        ours = two_layer.encode_text(prompts)
        ids = loop.tokenizer([f"X X X {ending}" for ending in prompts.endings])
        words = loop.tower.token_embedding(ids)
        whole = torch.cat([words[:, :1], context, words[:, 4:]], dim=1)
        whole = whole + loop.tower.positional_embedding
        expected = loop._run(whole, ids.argmax(dim=1), tokens)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


# Towers apart


def test_encoding_images_builds_no_text_tower() -> None:
    backbone = OpenClip(str(TWO_LAYERS), weights="random:0", device="cpu")
    with torch.inference_mode():
        backbone.encode(example_images(), [ClassToken()], USUAL)
    assert "model" not in vars(backbone)
    assert backbone.model.visual is backbone.visual


def test_weights_without_the_text_are_refused_though_only_images_are_encoded(
    two_layer: Any, tmp_path: Path
) -> None:
    tensors = {k: t.clone() for k, t in two_layer.model.state_dict().items()}
    del tensors["ln_final.weight"]
    save_file(tensors, tmp_path / "part.safetensors")
    backbone = OpenClip(str(TWO_LAYERS), weights=str(tmp_path / "part.safetensors"))
    with pytest.raises(WeightsError, match=r"1 tensors are missing .* 'ln_final.weight'"):
        backbone.encode(example_images(), [ClassToken()], USUAL)


# Choosing


def test_shared_windows_are_asked_for_by_name_and_need_a_backbone_that_has_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared = {"extractor": {"encoding": "shared"}}
    detector = load_detector("winclip", options=shared)
    spec = detector.backbone.spec
    asked = detector.extractor.requests(spec, detector.attention, "normed")
    assert Windows(2, encoding="shared") in asked
    assert Windows(2) in load_detector("winclip").extractor.requests(spec, USUAL, "normed")
    without = replace(spec, provides=spec.provides - {"shared windows"})
    monkeypatch.setattr("vlmad_tiny._tiny.SPEC", without)
    assert load_detector("winclip").backbone.spec is without
    with pytest.raises(IncompatiblePartsError, match="needs shared windows"):
        load_detector("winclip", extractor="window", options=shared)

