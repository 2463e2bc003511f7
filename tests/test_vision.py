"""The vision loop gives what open_clip's own blocks give, whatever it saves."""

from __future__ import annotations

from typing import Any

import open_clip
import pytest
import torch
import torch.nn.functional as F
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

from vlmad import Attention, ClassToken, Patches, Tiles, Windows
from vlmad.errors import WeightsError
from vlmad.regions import window_patches
from vlmad.testing import TWO_LAYERS, UsualAttention, example_images
from vlmad_anomalyclip._modified_attention import Diagonal, ValueValue
from vlmad_openclip._blocks import feed_forward, merge_heads, run_block, run_last_block, split_heads
from vlmad_openclip._products import FEW, arrange, attend
from vlmad_openclip.devices import set_precision
from vlmad_openclip.openclip import OpenClip
from vlmad_openclip.vision import VisionLoop, check_vision, resize_positions

PATCH = 16
TEXT = CLIPTextCfg(width=32, heads=2, layers=1)
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


def model_of(grid: tuple[int, int] = (2, 2), layers: int = 1, **change: Any) -> Any:
    torch.manual_seed(grid[0] * 10 + layers)
    size = (grid[0] * PATCH, grid[1] * PATCH)
    shape = {"patch_size": PATCH, "layers": layers, "width": 64, "head_width": 32, **change}
    return CLIP(24, CLIPVisionCfg(image_size=size, **shape), TEXT).eval()


def loop_of(grid: tuple[int, int], layers: int) -> VisionLoop:
    visual = model_of(grid, layers).visual
    for parameter in visual.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))  # biases too
    visual.requires_grad_(False)
    return VisionLoop(visual, visual.grid_size, visual.positional_embedding)


def pixels_of(loop: VisionLoop, count: int = 2) -> torch.Tensor:
    height, width = (side * PATCH for side in loop.grid)
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def answers(loop: VisionLoop, *requests: Any, attention: Any = USUAL) -> Any:
    with torch.inference_mode():
        return loop._whole(pixels_of(loop), requests, attention)


def encode(backbone: Any, *requests: Any, attention: Any = USUAL) -> Any:
    with torch.inference_mode():
        return backbone.encode(example_images(), requests, attention)


def assert_close(ours: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def by_open_clip(loop: VisionLoop, patches: torch.Tensor) -> torch.Tensor:
    """Run chosen patches, at their own positions, through open_clip's own blocks."""
    visual = loop.visual
    tokens = visual.conv1(pixels_of(loop)).flatten(2).transpose(1, 2)
    first = visual.class_embedding.expand(len(tokens), 1, -1)
    tokens = torch.cat([first, tokens], dim=1) + visual.positional_embedding
    tokens = visual.ln_pre(torch.cat([tokens[:, :1], tokens[:, 1 + patches]], dim=1))
    return visual.ln_post(visual.transformer(tokens))  # type: ignore[no-any-return]


@pytest.mark.parametrize("grid", [(1, 1), (3, 2), (4, 5)])
@pytest.mark.parametrize(("layers", "size"), [(1, 2), (3, 1), (2, 3)])
def test_exact_windows_are_those_of_open_clips_own_blocks(
    grid: tuple[int, int], layers: int, size: int
) -> None:
    loop = loop_of(grid, layers)
    ours = answers(loop, ClassToken(), Windows(size), Patches(layers, stage="normed"))
    for number, patches in enumerate(window_patches(grid, size)):
        window = by_open_clip(loop, patches)[:, 0] @ loop.visual.proj
        assert_close(ours[Windows(size)][:, number], window)
    whole = by_open_clip(loop, torch.arange(grid[0] * grid[1]))
    assert_close(ours[ClassToken()], whole[:, 0] @ loop.visual.proj)
    assert_close(ours[Patches(layers, stage="normed")], whole[:, 1:])


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("layers", [1, 3])
def test_exact_windows_with_other_attention_are_those_of_a_plain_loop(
    attention: Any, layers: int
) -> None:
    loop = loop_of((4, 3), layers)
    ours = answers(loop, Windows(2), attention=attention)[Windows(2)]
    acts = attention.blocks(layers)
    with torch.inference_mode():
        tokens = loop.embed(pixels_of(loop))
        for number, patches in enumerate(window_patches((4, 3), 2)):
            window = torch.cat([tokens[:, :1], tokens[:, 1 + patches]], dim=1)
            for index, block in enumerate(loop.blocks):
                window = run_block(block, window, attention.mix if index in acts else None)
            assert_close(ours[:, number], loop.visual.ln_post(window[:, 0]) @ loop.visual.proj)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize(("sizes", "few"), [((1,), 800), ((2, 3), 800), ((2, 3), 0), ((5,), 0)])
def test_shared_windows_are_those_of_a_plain_loop_over_windows(
    attention: Any, sizes: tuple[int, ...], few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vlmad_openclip._shared_windows.FEW", few)
    loop = loop_of((4, 3), 3)
    requests = [Windows(size, encoding="shared") for size in sizes]
    ours = answers(loop, *requests, attention=attention)
    for request in requests:
        for number, patches in enumerate(window_patches((4, 3), request.size)):
            expected = one_shared_window(loop, patches, attention)
            assert_close(ours[request][:, number], expected)


@torch.inference_mode()
def one_shared_window(
    loop: VisionLoop, patches: torch.Tensor, attention: Attention
) -> torch.Tensor:
    """Write out what a window's class token does beside the plain stream."""
    plain = loop.embed(pixels_of(loop))
    own = plain[:, :1]
    acts = attention.blocks(len(loop.blocks))
    for index, block in enumerate(loop.blocks):
        mix = attention.mix if index in acts else F.scaled_dot_product_attention
        others = split_heads(block, plain[:, 1 + patches])
        q, k, v = (torch.cat(pair, 2) for pair in zip(split_heads(block, own), others, strict=True))
        own = feed_forward(block, own + merge_heads(block, mix(q, k, v)[:, :, :1]))
        plain = run_block(block, plain, mix)
    return loop._project(own[:, 0], normed=True)


def test_shared_windows_change_nothing_else_and_are_not_the_exact_ones(two_layer: Any) -> None:
    requests = [ClassToken(), Patches(1), Patches(2), Windows(2)]
    shared = Windows(2, encoding="shared")
    alone, beside = encode(two_layer, *requests), encode(two_layer, *requests, shared)
    for request in requests:
        assert_close(alone[request], beside[request])
    assert beside[shared].shape == beside[Windows(2)].shape
    assert not torch.allclose(beside[shared], beside[Windows(2)], atol=1e-2)


def test_a_window_or_tile_of_everything_is_the_image(two_layer: Any) -> None:
    whole = [Windows(5), Windows(9), Windows(5, encoding="shared"), Tiles(1)]
    visual = encode(two_layer, ClassToken(), *whole)
    for request in whole:
        assert_close(visual[request], visual[ClassToken()][:, None])


def test_the_stages_of_patches_follow_from_each_other(two_layer: Any) -> None:
    requests = [Patches(2, stage=stage) for stage in ("raw", "normed", "projected")]
    visual, tower = encode(two_layer, *requests), two_layer.model.visual
    raw, normed, projected = (visual[request] for request in requests)
    with torch.inference_mode():
        torch.testing.assert_close(tower.ln_post(raw), normed)
        torch.testing.assert_close(normed @ tower.proj, projected)


@pytest.mark.parametrize("mix", [None, Diagonal(0.7).mix])
@pytest.mark.parametrize("tokens", [1, 2, 26])
def test_the_last_block_for_the_class_token_alone_is_the_whole_block(mix: Any, tokens: int) -> None:
    block = loop_of((2, 2), 1).blocks[0]
    stream = torch.randn(3, tokens, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert_close(run_last_block(block, stream, mix), run_block(block, stream, mix)[:, 0])


def test_images_and_windows_go_through_in_parts_with_the_same_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backbone = OpenClip(str(TWO_LAYERS), weights="random:0", device="cpu")
    together = encode(backbone, *EVERYTHING, attention=ValueValue(blocks=1)).tensors
    monkeypatch.setattr(backbone._vision, "tokens_at_once", 7)
    parts = encode(backbone, *EVERYTHING, attention=ValueValue(blocks=1)).tensors
    torch.testing.assert_close(parts, together, atol=1e-5, rtol=1e-5)


class Learnable(Attention):
    """Scale what attention gathers by a learnable number."""

    def __init__(self) -> None:
        self.scale = torch.ones((), requires_grad=True)

    def blocks(self, depth: int) -> range:
        return range(depth)

    def mix(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(q, k, v) * self.scale


def test_gradients_are_kept_only_where_something_is_learnt(two_layer: Any) -> None:
    requests = [ClassToken(), Windows(2), Windows(2, encoding="shared")]
    frozen = two_layer.encode(example_images(), requests, USUAL)
    assert not any(frozen[request].requires_grad for request in requests)
    for request in requests:
        attention = Learnable()
        two_layer.encode(example_images(), [request], attention)[request].sum().backward()
        assert attention.scale.grad is not None
        assert float(attention.scale.grad) != 0


def test_layer_scale_and_no_first_norm_are_those_of_the_model() -> None:
    model = model_of((3, 3), 2, ls_init_value=0.3, no_ln_pre=True)
    check_vision(model.visual)
    loop = VisionLoop(model.visual, (3, 3), model.visual.positional_embedding)
    with torch.inference_mode():
        theirs = model.encode_image(pixels_of(loop))
    assert_close(answers(loop, ClassToken())[ClassToken()], theirs)


@pytest.mark.parametrize(
    "change",
    [{"pool_type": "avg"}, {"attentional_pool": True}, {"block_type": "custom"}],
    ids=["average", "attention", "custom blocks"],
)
def test_vision_towers_that_the_loop_would_run_wrongly_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(WeightsError, match="only a class token and plain blocks are supported"):
        check_vision(model_of(**change).visual)


def test_a_convolutional_tower_is_refused() -> None:
    vision = CLIPVisionCfg(image_size=32, layers=(1, 1, 1, 1), width=16)
    with pytest.raises(WeightsError, match="the vision tower is a ModifiedResNet"):
        check_vision(CLIP(32, vision, TEXT).visual)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("old", "new"), [(1, 4), (3, 3), (3, 7), (6, 2)])
def test_resized_positions_keep_the_class_position_and_constants(
    old: int, new: int, mode: Any
) -> None:
    positions = torch.cat([torch.zeros(1, 2), torch.full((old * old, 2), 0.7)])
    resized = resize_positions(positions, (old, old), (new, new), mode)
    assert resized.shape == (1 + new * new, 2)
    assert torch.equal(resized[0], positions[0])
    torch.testing.assert_close(resized[1:], torch.full((new * new, 2), 0.7))
    assert (resized is positions) == (old == new)


def test_bicubic_positions_are_open_clips_own() -> None:
    positions = torch.randn(26, 64, generator=torch.Generator().manual_seed(0))
    table = {"visual.positional_embedding": positions}
    open_clip.factory.resize_pos_embed(table, model_of((7, 7)))
    ours = resize_positions(positions, (5, 5), (7, 7), "bicubic")
    torch.testing.assert_close(ours, table["visual.positional_embedding"])


@pytest.mark.parametrize("quick", [False, True], ids=["exact GELU", "quick GELU"])
def test_arranged_matrices_compute_what_plain_ones_do_and_let_gradients_pass(quick: bool) -> None:
    plain, arranged = (model_of().visual.transformer.resblocks for _ in range(2))
    for blocks in (plain, arranged):
        blocks[0].mlp.gelu = open_clip.transformer.QuickGELU() if quick else blocks[0].mlp.gelu
        blocks.requires_grad_(False)
        set_precision(blocks, "bfloat16")
    arrange(arranged)
    stream = torch.randn(3, 26, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected, ours = (run_block(blocks[0], stream) for blocks in (plain, arranged))
    torch.testing.assert_close(ours, expected, atol=2e-2, rtol=2e-2)
    stream.requires_grad_()
    of_plain, of_arranged = (
        torch.autograd.grad(run_block(blocks[0], stream).sum(), stream)[0]
        for blocks in (plain, arranged)
    )
    assert torch.equal(of_plain, of_arranged)


@pytest.mark.parametrize("tokens", [1, FEW, FEW + 1])
def test_attention_in_bfloat16_gathers_what_it_does_in_float32(tokens: int) -> None:
    q, k, v = torch.randn(3, 4, 2, tokens, 32, generator=torch.Generator().manual_seed(1))
    ours = attend(*(t.bfloat16() for t in (q[:, :, :1], k, v)))
    expected = F.scaled_dot_product_attention(q[:, :, :1], k, v)
    torch.testing.assert_close(ours.float(), expected, atol=3e-2, rtol=0)
