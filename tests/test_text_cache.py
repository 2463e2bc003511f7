"""Text is encoded once for the same weights and tokens, and the cache never changes a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from vlmad import ContextPrompts
from vlmad.testing import TWO_LAYERS
from vlmad_openclip.language import TextLoop
from vlmad_openclip.openclip import OpenClip
from vlmad_openclip.store import open_store, pack

SENTENCES = ["a photo of a bolt.", "a photo of a damaged bolt."]
Load = Callable[..., OpenClip]


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the text towers of all backbones encode from now on."""
    texts, encode = [], TextLoop.encode

    def counted(self: TextLoop, prompts: Any) -> Any:
        texts.append(prompts)
        return encode(self, prompts)

    monkeypatch.setattr(TextLoop, "encode", counted)
    return texts


@pytest.fixture
def load(cache: Path, two_layer_file: Path) -> Load:
    """Return a function that makes a backbone as a new start does."""

    def make(model: Path = TWO_LAYERS, weights: Path | str = two_layer_file) -> OpenClip:
        return OpenClip(str(model), str(weights), device="cpu")

    return make


@torch.inference_mode()
def embed(backbone: OpenClip, prompts: Sequence[str] | ContextPrompts = SENTENCES) -> torch.Tensor:
    return backbone.encode_text(prompts)


def context(**change: torch.Tensor) -> ContextPrompts:
    tensors = {"context": torch.zeros(2, 3, 48), "deep": torch.ones(2, 48), **change}
    sentences = ("X X X object.", "X X X damaged object.")
    return ContextPrompts(tensors["context"], sentences, {1: tensors["deep"]})


@pytest.mark.parametrize("prompts", [SENTENCES, context()], ids=["sentences", "learned"])
def test_text_of_an_earlier_start_is_found_without_loading_weights(
    prompts: Any, load: Load, encoded: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = embed(load(), prompts)
    assert len(encoded) == 1
    second = load()
    assert torch.equal(embed(second, prompts), expected)
    assert len(encoded) == 1
    assert not {"model", "visual"} & vars(second).keys()
    monkeypatch.setenv("VLMAD_CACHE", "off")
    assert torch.equal(embed(load(), prompts), expected)
    assert len(encoded) == 2


def test_other_words_weights_and_configurations_are_other_entries(
    load: Load, encoded: list[Any], tmp_path: Path
) -> None:
    quick = tmp_path / "quick.json"  # changes the numbers, and neither the spec nor the weights
    quick.write_text(TWO_LAYERS.read_text().replace("{", '{"quick_gelu": true,', 1))
    results = {}
    for _ in range(2):
        for name, backbone in {
            "plain": load(),
            "weights": load(weights="random:1"),
            "configuration": load(quick),
        }.items():
            embeddings = embed(backbone)
            assert torch.equal(results.setdefault(name, embeddings), embeddings)
    embed(load(), ["a photo of a nut.", SENTENCES[1]])
    assert len(encoded) == 4
    assert not torch.equal(results["plain"], results["weights"])
    assert not torch.equal(results["plain"], results["configuration"])


def test_learned_prompts_differ_by_every_value(load: Load, encoded: list[Any]) -> None:
    plain = context()
    nudged, deeper = plain.context.clone(), plain.deep[1].clone()
    nudged[1, 2, 3] += 1e-6
    deeper[1, 5] += 1e-6
    several = [
        plain,
        context(context=nudged),
        context(deep=deeper),
        ContextPrompts(plain.context, ("X X X object.", "X X X broken object."), plain.deep),
        ContextPrompts(plain.context, plain.sentences, {2: plain.deep[1]}),
        ContextPrompts(plain.context, plain.sentences),
        ContextPrompts(plain.context, ("x X X X object.", "X X X object.")),
        ContextPrompts(plain.context, ("X X X x object.", "X X X object.")),
    ]
    backbone = load()
    for prompts in several * 2:
        embed(backbone, prompts)
    assert len(encoded) == len(several)


def test_gradients_pass_learned_prompts_whatever_is_kept(load: Load, encoded: list[Any]) -> None:
    backbone = load()
    embed(backbone, context())
    learned = torch.zeros(2, 3, 48, requires_grad=True)
    backbone.encode_text(context(context=learned)).sum().backward()
    assert learned.grad is not None
    assert learned.grad.abs().sum() > 0
    assert len(encoded) == 2
    store = open_store("text")
    assert store is not None
    assert len(store.entries()) == 1


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"", lambda data: data[:100], lambda data: b"\0" * len(data)],
    ids=["empty", "cut off", "zeros"],
)
def test_a_damaged_entry_is_made_anew(
    damage: Callable[[bytes], bytes], load: Load, cache: Path, encoded: list[Any]
) -> None:
    expected = embed(load())
    [path] = (cache / "text").rglob("*.entry")
    path.write_bytes(damage(path.read_bytes()))
    for _ in range(2):
        assert torch.equal(embed(load()), expected)
    assert len(encoded) == 2


def test_an_entry_of_another_shape_is_made_anew(load: Load) -> None:
    expected = embed(load())
    store = open_store("text")
    assert store is not None
    [entry] = store.entries()
    store.write(entry.path.stem, pack(torch.ones(3, 5)) or b"")
    assert torch.equal(embed(load()), expected)


def test_without_a_usable_folder_everything_is_encoded(
    load: Load, encoded: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VLMAD_CACHE", str(tmp_path / "file" / "below"))
    for _ in range(2):
        embed(load())
    assert len(encoded) == 2


def test_a_backbone_that_gives_no_tokens_is_not_kept(
    load: Load, encoded: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OpenClip, "token_ids", lambda self, prompts: None)
    for _ in range(2):
        embed(load())
    assert len(encoded) == 2
