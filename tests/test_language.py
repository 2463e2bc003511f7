"""The text loop gives what open_clip's own tower gives, and lets learned vectors in."""

from __future__ import annotations

from typing import Any

import open_clip
import pytest
import torch
from open_clip.model import CLIPTextCfg, CLIPVisionCfg, CustomTextCLIP

from vlmad import ContextPrompts
from vlmad.errors import InputError
from vlmad_openclip.language import TextLoop, clip_tokenizer

SENTENCES = ["", "a bolt", "naïve 螺栓 🔩\n", " ".join(["bolt"] * 75), "a photo of a damaged nut."]


@pytest.fixture
def loop(two_layer: Any) -> TextLoop:
    """The loop of the two-layer model, without a cache."""
    return two_layer._text  # type: ignore[no-any-return]


@torch.inference_mode()
def test_sentences_cut_to_their_length_are_those_of_open_clip(two_layer: Any) -> None:
    ours = two_layer._text.encode(SENTENCES)
    theirs = two_layer.model.encode_text(open_clip.SimpleTokenizer()(SENTENCES))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_sentences_come_back_in_their_order(loop: TextLoop) -> None:
    sentences = [" ".join(["bolt"] * (1 + number * 7 % 23)) for number in range(80)]
    together = loop.encode(sentences)
    some = [0, 3, 41, 79]
    alone = torch.cat([loop.encode([sentences[index]]) for index in some])
    torch.testing.assert_close(together[some], alone, atol=1e-5, rtol=1e-5)


def test_a_sentence_that_would_be_cut_off_is_refused(loop: TextLoop) -> None:
    with pytest.raises(InputError, match=r"'bolt bolt .*…' is longer than the 77 tokens"):
        loop.encode(["a bolt", " ".join(["bolt"] * 76)])


@torch.inference_mode()
def test_context_vectors_equal_to_words_give_the_words_own_embedding(loop: TextLoop) -> None:
    ids = loop.tokenizer(["a photo of a bolt."])
    context = loop.tower.token_embedding(ids)[:, 1:5]  # a photo of a
    learned = loop.encode(ContextPrompts(context, ("X X X X bolt.",)))
    torch.testing.assert_close(learned, loop.encode(["a photo of a bolt."]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("sentence", ["x X bolt X X ray.", "X X x bolt ray. X", "x-ray X X X"])
@torch.inference_mode()
def test_learned_vectors_stand_wherever_a_capital_x_does(loop: TextLoop, sentence: str) -> None:
    words = iter(["photo", "of", "dark"])
    plain = " ".join(next(words) if word == "X" else word for word in sentence.split())
    context = loop.tower.token_embedding(loop.tokenizer(["photo of dark"]))[:, 1:4]
    learned = loop.encode(ContextPrompts(context, (sentence,)))
    torch.testing.assert_close(learned, loop.encode([plain]), atol=1e-5, rtol=1e-5)


def test_a_sentence_without_a_place_for_each_vector_is_refused(loop: TextLoop) -> None:
    with pytest.raises(InputError, match=r"'X bolt X\.' must have an X for each of 2 vectors"):
        loop.encode(ContextPrompts(torch.zeros(1, 2, 48), ("X bolt X.",)))


@torch.inference_mode()
def test_learned_context_may_differ_between_sentences(loop: TextLoop) -> None:
    context = torch.randn(2, 3, 48, generator=torch.Generator().manual_seed(0))
    both = loop.encode(ContextPrompts(context, ("X X X bolt.", "X X X bolt.")))
    second = loop.encode(ContextPrompts(context[1:], ("X X X bolt.",)))
    torch.testing.assert_close(both[1:], second, atol=1e-5, rtol=1e-5)
    assert float((both[0] - both[1]).abs().max()) > 1e-3


@pytest.mark.parametrize("deep", [0, 1, 3, 12])
@torch.inference_mode()
def test_cutting_learned_prompts_to_their_length_is_exact(loop: TextLoop, deep: int) -> None:
    generator = torch.Generator().manual_seed(0)
    context = torch.randn(2, 3, 48, generator=generator)
    tokens = {1: torch.randn(deep, 48, generator=generator)} if deep else {}
    prompts = ContextPrompts(context, ("X X X bolt.", "X X X damaged metal nut."), tokens)
    ids = loop.tokenizer(prompts.sentences)
    words = loop.tower.token_embedding(ids)
    whole = torch.cat([words[:, :1], context, words[:, 4:]], dim=1)
    expected = loop._run(whole, ids.argmax(dim=1), tokens)
    torch.testing.assert_close(loop.encode(prompts), expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_projections_may_be_linear_layers() -> None:
    torch.manual_seed(0)
    vision = CLIPVisionCfg(image_size=32, patch_size=16, layers=1, width=64, head_width=32)
    text = CLIPTextCfg(width=32, heads=2, layers=1, proj_bias=True)
    model = CustomTextCLIP(16, vision, text).eval()
    ours = TextLoop(model.text, clip_tokenizer(77)).encode(["a bolt"])
    theirs = model.encode_text(open_clip.SimpleTokenizer()(["a bolt"]))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
