"""Sentences: lists by name, a user's own, plain ones, and what they become."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vlmad import Backbone, load_detector
from vlmad.errors import InputError
from vlmad.text import check_place
from vlmad_baselines._plain_prompts import Plain
from vlmad_winclip.compositional import LISTS, Compositional, PromptList, read_prompt_list

OWN = """
normal_states = ["{}", "new {}"]
anomalous_states = ["rusty {}"]
templates = ["an X-ray of a {}", "{}, seen from above", "a {}"]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "prompts.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_users_own_list_takes_the_place_of_the_built_in_ones(tmp_path: Path) -> None:
    path = write(tmp_path, OWN)
    detector = load_detector("winclip", options={"prompts": {"file": str(path)}})
    text = detector.text("gear", None)
    assert text is not None
    assert text.sentences == (
        "an X-ray of a gear",
        "gear, seen from above",
        "a gear",
        "an X-ray of a new gear",
        "new gear, seen from above",
        "a new gear",
        "an X-ray of a rusty gear",
        "rusty gear, seen from above",
        "a rusty gear",
    )
    assert text.anomalous.tolist() == [False] * 6 + [True] * 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"{}", "new {}"', ""), "'normal_states' must be a list with at least one text"),
        (("normal_states", "normal_state"), "unknown key 'normal_state'; it takes normal_states"),
        (('["rusty {}"]', '"rusty {}"'), "'anomalous_states' must be a list"),
        (("rusty {}", "rusty"), "'rusty' must be a text with exactly one {}"),
        (("rusty {}", "{} on {}"), "with exactly one {}"),
        (("rusty {}", "{0}"), "with exactly one {}"),
        (("rusty {}", "{} }"), "with exactly one {}"),
        (('"rusty {}"', "3"), "3 must be a text"),
        (("[", "("), "is not TOML"),
    ],
)
def test_malformed_lists_are_refused(change: tuple[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_prompt_list(write(tmp_path, OWN.replace(*change)))


def test_lists_that_are_missing_or_binary_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_prompt_list(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is not TOML"):
        read_prompt_list(tmp_path / "binary.toml")


@given(st.text(max_size=30))
def test_any_class_name_is_put_in_as_it_is(class_name: str) -> None:
    prompts = PromptList(("{}",), ("bad {}",), ("a {}.",))
    assert prompts.sentences(class_name) == ([f"a {class_name}."], [f"a bad {class_name}."])


@given(st.text())
def test_places_are_checked_without_crashing(text: str) -> None:
    try:
        check_place(text, "here")
    except InputError:
        return
    assert text.replace("{}", "x").count("{") == 0
    assert text.count("{}") == 1


def test_underscores_of_class_names_become_spaces() -> None:
    detector = load_detector("clip")
    text = detector.text("metal_nut", None)
    assert text is not None
    assert text.sentences == (
        "a photo of a normal metal nut.",
        "a photo of an anomalous metal nut.",
    )
    assert detector.text("metal nut", None) is text


def test_plain_sentences_can_be_ones_own(two_layer: Backbone) -> None:
    text = Plain("a good {}", "{}, torn")(two_layer, "rope", None)
    assert text.sentences == ("a good rope", "rope, torn")
    assert text.anomalous.tolist() == [False, True]
    with pytest.raises(InputError, match="option 'normal': 'a good' must be"):
        Plain("a good")


def test_sentences_are_embedded_one_by_one_whatever_their_company(two_layer: Backbone) -> None:
    text = Compositional("anomalib21")(two_layer, "metal nut", None)
    assert len(text.sentences) == 147 + 84
    for index in (0, 100, 200):
        alone = two_layer.encode_text([text.sentences[index]])[0]
        raw = text.embeddings[index] * text.norms[index]
        torch.testing.assert_close(alone, raw, atol=1e-5, rtol=1e-5)


def test_lists_differ_in_the_embeddings_that_they_give(two_layer: Backbone) -> None:
    pooled = [Compositional(name)(two_layer, "nut", None).embeddings.mean(0) for name in LISTS]  # type: ignore[arg-type]
    assert not torch.allclose(pooled[0], pooled[1])
    assert not torch.allclose(pooled[1], pooled[2])
