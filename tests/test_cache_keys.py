"""A key is the same for the same facts and another for any others."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from vlmad import ClassToken, Patches, Tiles, Windows, load_detector
from vlmad.caches.keys import backbone_facts, key_of, part_facts, sources_digest, tensor_digest
from vlmad.caches.tensors import pack, unpack
from vlmad.caches.visual import feels
from vlmad.registry import Registry
from vlmad_openclip.store import remembered_digest, stamp

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=8,
)
FACTS = st.dictionaries(st.text(), VALUES, max_size=5)


def alike(a: Any, b: Any) -> bool:
    """Tell whether two values are equal and of equal types throughout."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(alike(a[name], b[name]) for name in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    return repr(a) == repr(b)  # -0.0 is another number than 0.0


@pytest.mark.slow
@given(facts=FACTS)
def test_the_order_of_facts_does_not_matter(facts: dict[str, Any]) -> None:
    assert key_of(facts) == key_of(dict(reversed(facts.items())))


@pytest.mark.slow
@given(a=FACTS, b=FACTS)
def test_different_facts_have_different_keys(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert (key_of(a) == key_of(b)) == alike(a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [(1, True), (1, 1.0), ("1", 1), (None, "None"), ([1], (1,)), ({}, []), (Path("a"), "a")],
)
def test_values_of_different_types_have_different_keys(a: Any, b: Any) -> None:
    assert key_of({"a": a}) != key_of({"a": b})


def test_the_order_of_a_set_does_not_matter() -> None:
    words = [f"word {i}" for i in range(50)]
    assert key_of({"a": frozenset(words)}) == key_of({"a": frozenset(reversed(words))})


@pytest.mark.parametrize("other", [torch.zeros(6), torch.zeros(2, 3).double(), torch.ones(2, 3)])
def test_tensors_differ_by_type_shape_and_values(other: torch.Tensor) -> None:
    assert tensor_digest(other) != tensor_digest(torch.zeros(2, 3))
    assert tensor_digest(torch.zeros(3, 2).T) == tensor_digest(torch.zeros(2, 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_tensor_is_packed_without_a_change(dtype: torch.dtype) -> None:
    tensor = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    unpacked = unpack(pack(tensor.T))
    assert unpacked is not None
    assert unpacked.dtype == dtype
    assert torch.equal(unpacked, tensor.T)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_neither_packed_nor_unpacked(number: float) -> None:
    assert pack(torch.tensor([1.0, number])) is None
    assert unpack(save({"value": torch.tensor([1.0, number])})) is None


NO_TENSORS = b"\x02" + b"\0" * 7 + b"{}"


@pytest.mark.parametrize("content", [None, b"", b"rubbish", b"\xff" * 8, NO_TENSORS])
def test_what_is_no_tensor_is_none(content: bytes | None) -> None:
    assert unpack(content) is None


def test_the_source_of_a_package_is_part_of_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "sourced"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    __import__("sourced")
    digests = {sources_digest("sourced")}
    for content in ("a = 1\n", "a = 2\n"):
        (package / "inner.py").write_text(content)
        sources_digest.cache_clear()
        digests.add(sources_digest("sourced"))
    assert len(digests) == 3
    assert sources_digest("no_such_package") is None


def facts_of(registry: Registry, **named: Any) -> dict[str, str | None]:
    parts = load_detector("anomalyclip", registry=registry, **named).assembly.parts
    facts = {kind: part_facts(chosen) for kind, chosen in parts.items()}
    facts["backbone"] = backbone_facts(parts["backbone"])
    return {kind: fact and key_of(fact) for kind, fact in facts.items()}


def test_parts_differ_by_name_and_options(registry: Registry) -> None:
    attention = {
        facts_of(registry, attention=name, options=options)["attention"]
        for name, options in [
            ("vv", {}),
            ("qq", {}),
            ("vv", {"attention": {"blocks": 2}}),
        ]
    }
    assert len(attention) == 3
    assert None not in attention
    assert facts_of(registry) == facts_of(registry)


def test_attention_beside_the_stream_changes_the_second_path_alone(registry: Registry) -> None:
    def changed(name: str) -> list[bool]:
        part = registry.get("attention", name).resolve()()
        return [feels(request, part, 4) for request in asked]

    asked = [ClassToken(), Patches(4), Patches(4, "beside"), Windows(2), Tiles(2)]
    assert changed("none") == [False] * 5
    assert changed("vv") == [False, False, True, False, False]
    assert changed("diagonal") == [True] * 5


# digests of files


def settled(path: Path, content: bytes, seconds: int = 1_000_000_000) -> Path:
    """Write a file that was last changed long ago."""
    path.write_bytes(content)
    os.utime(path, (seconds, seconds))
    return path


def digest(path: Path, purpose: str, value: str) -> str:
    return remembered_digest(path, stamp(path), purpose, lambda: value)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute from now: what a test has just written counts as left alone."""
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 60)


@pytest.mark.usefixtures("later")
def test_a_file_is_hashed_once(tmp_path: Path, cache: Path) -> None:
    path = settled(tmp_path / "weights", b"abc")
    assert digest(path, "bytes", "first") == "first"
    assert digest(path, "bytes", "not asked again") == "first"
    assert digest(path, "tensors", "another purpose") == "another purpose"


@pytest.mark.usefixtures("later")
def test_a_file_that_changed_is_hashed_again(tmp_path: Path, cache: Path) -> None:
    path = settled(tmp_path / "weights", b"abc")
    digest(path, "bytes", "first")
    settled(path, b"abcd")
    assert digest(path, "bytes", "longer") == "longer"
    settled(path, b"abce", seconds=1_000_000_001)
    assert digest(path, "bytes", "newer") == "newer"
    settled(path, b"abcf", seconds=1_000_000_001)
    assert digest(path, "bytes", "same length and time") == "same length and time"
    path.unlink()
    settled(tmp_path / "filler", b"")  # or the file system may give the inode out again
    settled(path, b"abc")
    assert digest(path, "bytes", "another file") == "another file"


def test_a_file_that_was_just_written_is_not_yet_trusted(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    digest(path, "bytes", "first")
    assert digest(path, "bytes", "again") == "again"


@pytest.mark.usefixtures("later")
def test_a_file_that_changes_while_it_is_hashed_is_not_remembered(
    tmp_path: Path, cache: Path
) -> None:
    path = settled(tmp_path / "weights", b"abc")

    def compute() -> str:
        settled(path, b"other")
        return "of the other content"

    remembered_digest(path, stamp(path), "bytes", compute)
    settled(path, b"abc")
    assert digest(path, "bytes", "of abc") == "of abc"
