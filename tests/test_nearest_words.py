"""`vlmad prompts show`: what a file says of itself, and the words that its vectors lie near."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from vlmad import load_detector
from vlmad_anomalyclip._nearest_words import context_vectors, nearest_words, usual_distance
from vlmad_documents.learned_file import LearnedOn, Learning, write_learned

TINY = load_detector("winclip", backbone="tiny").backbone


def learned(path: Path, words: list[list[str]], **change: object) -> Path:
    """Write prompts whose vectors are the embeddings of words of the embedded backbone."""
    known, embeddings = TINY.vocabulary()
    rows = [embeddings[[known.index(word) for word in side]].clone() for side in words]
    tensors = {"context.normal": rows[0], "context.anomalous": rows[1]}
    crosses = " ".join("X" * len(words[0]))
    learning = Learning(
        kind="prompts",
        part="learned",
        facts={"template.normal": f"{crosses} part.", "template.anomalous": f"{crosses} scrap."},
        backbone=LearnedOn.describe(TINY),
        class_token="normed",
        layers=[3, 4],
        data={"photos": "f" * 64},
        options={"epochs": 15, "rate": 0.001},
        licence="CC-BY-4.0",
    )
    write_learned(path, tensors, learning.model_copy(update=change))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_vectors_that_are_words_are_nearest_to_these(distance: str, tmp_path, command) -> None:
    file = learned(tmp_path / "p.safetensors", [["flawless", "good"], ["scratched", "leaf"]])
    shown = command("prompts", "show", file, "--distance", distance, "--words", "3", "--json")
    found = json.loads(shown.out)["nearest"]
    assert (found["backbone"], found["distance"]) == ("tiny", distance)
    names = [[vector[0]["word"] for vector in found["words"][f"context.{side}"]]
             for side in ("normal", "anomalous")]  # fmt: skip
    assert names == [["flawless", "good"], ["scratched", "leaf"]]
    first = found["words"]["context.normal"][0]
    assert len(first) == 3
    assert first[0]["distance"] < 0.01 < first[1]["distance"] <= first[2]["distance"]


def test_distances_are_those_of_a_plain_loop() -> None:
    words, embeddings = TINY.vocabulary()
    vectors = torch.randn(2, embeddings.shape[1], generator=torch.Generator().manual_seed(0))
    near = nearest_words({"context": vectors}, TINY, "euclidean", 2).words["context"]
    for vector, found in zip(vectors, near, strict=True):
        far = (embeddings - vector).pow(2).sum(-1).sqrt()
        assert found[0].word == words[int(far.argmin())]
        assert found[0].distance == pytest.approx(float(far.min()), abs=1e-4)
    assert usual_distance(torch.tensor([[0.0], [1.0], [3.0]]), "euclidean") == 1


def test_special_tokens_are_no_words_and_beginnings_are_marked() -> None:
    words, embeddings = TINY.vocabulary()
    assert len(words) == len(embeddings) == 49406
    assert not [word for word in words if word.startswith("<") and "text" in word]
    assert {"good", "goo…"} <= set(words)


def test_only_what_stands_in_the_place_of_words_is_compared() -> None:
    tensors = {"context": torch.zeros(2, 3, 4), "context.a": torch.zeros(5, 4)}
    others = {
        "deep.1": torch.zeros(2, 4),
        "contexts": torch.ones(2, 4),
        "context.b": torch.zeros(4),
    }
    shapes = {name: tuple(rows.shape) for name, rows in context_vectors(tensors | others).items()}
    assert shapes == {"context": (6, 4), "context.a": (5, 4)}


@pytest.mark.slow
def test_all_that_a_file_says_is_shown(tmp_path, command) -> None:
    file = learned(tmp_path / "p.safetensors", [["good"], ["torn"]])
    shown = command("prompts", "show", file)
    for said in (
        "prompts 'learned'",
        TINY.weights_hash,
        "text width +128",
        "class token +normed",
        "layers +3, 4",
        "licence +CC-BY-4.0",
        "X part.",
        "learned from photos +" + "f" * 64,
        "epochs +15",
        r"rate +0\.001",
        "torch +" + re.escape(torch.__version__.partition("+")[0]),
        "context.normal 1 +good",
        "Nearest words often mean nothing",
    ):
        assert re.search(said, shown.out), said


def test_what_was_shown_is_checked_as_when_it_is_used(learned_file, tmp_path, command) -> None:
    file = learned(tmp_path / "p.safetensors", [["good"], ["torn"]], facts={})
    for words, reason in (
        ((file,), "an X for each of 1 vectors"),
        ((learned_file, "--backbone", "tiny"), "width 48.*128"),
        ((tmp_path / "none",), "No such file"),
        ((learned_file, "--backbone", "tinny"), "did you mean 'tiny'"),
    ):
        shown = command("prompts", "show", *words)
        assert shown.status == 2
        assert re.search(reason, shown.error), shown.error


@pytest.mark.slow
def test_words_of_other_weights_are_not_passed_off_as_its_own(tmp_path, command) -> None:
    on = LearnedOn(name="tiny", weights_sha256="0" * 64, text_width=128)
    file = learned(tmp_path / "p.safetensors", [["good"], ["torn"]], backbone=on)
    shown = command("prompts", "show", file)
    flat = " ".join(shown.out.split())
    assert f"weights 000000000000 of tiny, and tiny has {TINY.weights_hash[:12]}" in flat


def test_no_backbone_that_only_the_file_names_is_loaded(tmp_path, command) -> None:
    on = LearnedOn(name="openclip:hf-hub:evil/x")
    file = learned(tmp_path / "p.safetensors", [["good"], ["torn"]], backbone=on)
    shown = command("prompts", "show", file, "--json")
    assert json.loads(shown.out)["nearest"] is None


def test_tensors_of_any_part_are_described(tmp_path, command) -> None:
    learning = Learning(
        kind="extractor",
        part="adapter",
        facts={},
        backbone=LearnedOn(name="tiny"),
        class_token=None,
        layers=[4],
        data={},
        options={},
    )
    write_learned(tmp_path / "a", {"weight": torch.ones(2, 3)}, learning)
    shown = command("prompts", "show", tmp_path / "a")
    assert re.search("tensor weight +2 x 3", shown.out)
    assert "nearest" not in shown.out


def test_hostile_texts_of_a_file_do_nothing_to_a_terminal(tmp_path, command) -> None:
    tensors = load_file(learned(tmp_path / "p", [["good"], ["torn"]]))
    texts = {"template.normal": "X \x1b[31m.", "template.anomalous": "X \u202e."}
    save_file(tensors, tmp_path / "bare", {**texts, "backbone": "\x07" * 99})
    shown = command("prompts", "show", tmp_path / "bare")
    assert shown.status == 0
    assert not {"\x1b", "\u202e", "\x07"} & set(shown.out)
