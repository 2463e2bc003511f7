"""Text is encoded once for the same weights and tokens, and the cache never changes a number."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from vlmad import ContextPrompts, Detector, load_detector
from vlmad.caches import open_store
from vlmad.caches.tensors import pack
from vlmad.registry import Registry
from vlmad.testing import TWO_LAYERS

ENCODE = """
import sys
from safetensors.torch import save_file
from vlmad import load_detector
backbone, weights, out = sys.argv[1:]
detector = load_detector("clip", backbone=f"openclip:{backbone}", weights=weights)
save_file({"value": detector.text("bolt", None).embeddings}, out)
"""
Load = Callable[..., tuple[Detector, list[Any]]]


@pytest.fixture
def load(
    registry: Registry, cache: Path, two_layer_file: Path, monkeypatch: pytest.MonkeyPatch
) -> Load:
    """Return a function that makes a detector and a list of the texts that it encodes."""

    small = {"backbone": f"openclip:{TWO_LAYERS}", "weights": two_layer_file}

    def make(**named: Any) -> tuple[Detector, list[Any]]:
        detector = load_detector("clip", registry=registry, **{**small, **named})
        backbone, encoded = detector.backbone, []
        encode = backbone.encode_text

        def counted(prompts: Any) -> Any:
            encoded.append(prompts)
            return encode(prompts)

        monkeypatch.setattr(backbone, "encode_text", counted)
        return detector, encoded

    return make


def embeddings(detector: Detector, class_name: str = "bolt") -> torch.Tensor:
    text = detector.text(class_name, None)
    assert text is not None
    return text.embeddings * text.norms[..., None]


@pytest.mark.slow
@pytest.mark.parametrize("prompts", ["plain", "compositional", "learned"])
def test_text_of_an_earlier_start_is_not_encoded_again(
    prompts: str, load: Load, learned_file: Path
) -> None:
    named = {"prompts": f"learned:{learned_file}" if prompts == "learned" else prompts}
    first, encoded = load(**named)
    expected = embeddings(first)
    assert len(encoded) == 1
    second, encoded = load(**named)
    assert torch.equal(embeddings(second), expected)
    assert encoded == []
    assert "model" not in vars(second.backbone)
    plain, encoded = load(**named, keep="nothing")
    assert torch.equal(embeddings(plain), expected)
    assert len(encoded) == 1


@pytest.mark.slow
def test_another_class_name_is_another_entry(load: Load) -> None:
    embeddings(load()[0])
    detector, encoded = load()
    embeddings(detector, "nut")
    assert len(encoded) == 1


@pytest.mark.slow
def test_other_weights_are_another_entry(load: Load) -> None:
    expected = [embeddings(load(weights=f"random:{seed}")[0]) for seed in (0, 1)]
    assert not torch.equal(*expected)
    for seed in (0, 1):
        detector, encoded = load(weights=f"random:{seed}")
        assert torch.equal(embeddings(detector), expected[seed])
        assert encoded == []


def test_another_configuration_of_the_same_weights_is_another_entry(
    load: Load, tmp_path: Path
) -> None:
    """QuickGELU changes the numbers and neither the spec nor the weights."""
    path = tmp_path / "model.json"
    results = []
    for change in ("", '"quick_gelu": true,'):
        path.write_text(TWO_LAYERS.read_text().replace("{", "{" + change, 1))
        detector, encoded = load(backbone=f"openclip:{path}")
        results.append(embeddings(detector))
        assert len(encoded) == 1
    assert not torch.equal(*results)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:100],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:],
        lambda data: b"\0" * len(data),
    ],
    ids=["empty", "cut off", "checksum", "one bit", "zeros"],
)
def test_a_damaged_entry_is_made_anew(
    damage: Callable[[bytes], bytes], load: Load, cache: Path
) -> None:
    expected = embeddings(load()[0])
    [path] = (cache / "text").rglob("*.entry")
    path.write_bytes(damage(path.read_bytes()))
    detector, encoded = load()
    assert torch.equal(embeddings(detector), expected)
    assert len(encoded) == 1
    detector, encoded = load()
    assert torch.equal(embeddings(detector), expected)
    assert encoded == []


@pytest.mark.slow
def test_an_entry_of_another_shape_is_made_anew(load: Load) -> None:
    expected = embeddings(load()[0])
    store = open_store("text")
    assert store is not None
    [entry] = store.entries()
    store.write(entry.path.stem, pack(torch.ones(3, 5)) or b"")
    assert torch.equal(embeddings(load()[0]), expected)


@pytest.mark.slow
def test_without_a_usable_folder_everything_works(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "below", ""):
        monkeypatch.setenv("VLMAD_CACHE", str(place))
        for _ in range(2):
            detector, encoded = load()
            embeddings(detector)
            assert len(encoded) == 1


def context(detector: Detector, **change: torch.Tensor) -> ContextPrompts:
    width = detector.backbone.spec.text_width
    tensors = {"context": torch.zeros(2, 3, width), "deep": torch.ones(2, width), **change}
    endings = ("object.", "damaged object.")
    return ContextPrompts(tensors["context"], endings, {1: tensors["deep"]})


@torch.inference_mode()
def test_learned_prompts_are_told_apart_by_every_value(load: Load) -> None:
    detector, encoded = load()
    backbone = detector.text_backbone
    plain = context(detector)
    nudged = plain.context.clone()
    nudged[1, 2, 3] += 1e-6
    deeper = plain.deep[1].clone()
    deeper[1, 5] += 1e-6
    other = ContextPrompts(plain.context, ("object.", "broken object."), plain.deep)
    later = ContextPrompts(plain.context, plain.endings, {2: plain.deep[1]})
    shallow = ContextPrompts(plain.context, plain.endings)
    several = [
        plain,
        context(detector, context=nudged),
        context(detector, deep=deeper),
        other,
        later,
        shallow,
    ]
    for prompts in several * 2:
        backbone.encode_text(prompts)
    assert len(encoded) == len(several)


def test_gradients_pass_learned_prompts_whatever_is_kept(load: Load) -> None:
    detector, encoded = load()
    backbone = detector.text_backbone
    with torch.inference_mode():
        backbone.encode_text(context(detector))
    learned = torch.zeros(2, 3, detector.backbone.spec.text_width, requires_grad=True)
    backbone.encode_text(context(detector, context=learned)).sum().backward()
    assert learned.grad is not None
    assert learned.grad.abs().sum() > 0
    assert len(encoded) == 2
    store = open_store("text")
    assert store is not None
    assert len(store.entries()) == 1


def test_a_backbone_that_tells_no_tokens_is_not_kept(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        detector, encoded = load()
        monkeypatch.delattr(type(detector.backbone), "token_ids", raising=False)
        embeddings(detector)
        assert len(encoded) == 1


def test_the_prompts_see_the_backbone_as_it_is(load: Load) -> None:
    detector, _ = load()
    assert detector.text_backbone.spec is detector.backbone.spec
    assert detector.text_backbone.weights_hash == detector.backbone.weights_hash
    with pytest.raises(AttributeError):
        _ = detector.text_backbone.no_such_thing


@pytest.mark.slow
def test_two_processes_at_once_get_the_same_text_and_a_third_finds_it(
    load: Load, cache: Path, two_layer_file: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", ENCODE, str(TWO_LAYERS), str(two_layer_file)]
    files = [tmp_path / f"{i}.safetensors" for i in range(2)]
    running = [subprocess.Popen([*command, str(file)]) for file in files]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert len(list((cache / "text").rglob("*.entry"))) == 1
    detector, encoded = load()
    text = detector.text("bolt", None)
    assert text is not None
    assert torch.equal(text.embeddings, load_file(files[0])["value"])
    assert encoded == []
