"""The file of learned tensors: what is written is read, and whatever else lies there is refused."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from vlmad.errors import WeightsError
from vlmad.testing import TWO_LAYERS
from vlmad_documents.learned_file import (
    DOCUMENT,
    LearnedOn,
    Learning,
    read_learned,
    read_learned_document,
    tensors_digest,
    write_learned,
)
from vlmad_openclip.openclip import OpenClip

TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.ones(3)}
LEARNING = Learning(
    kind="extractor",
    part="adapter",
    facts={"sentence": "a \N{SNOWMAN} of\nX"},
    backbone=LearnedOn(name="two layers", weights_sha256="0" * 64, text_width=48),
    class_token="raw",
    layers=[1, 2],
    data={"photos": "f" * 64},
    options={"epochs": 15, "rate": 1e-3, "betas": [0.5, 0.999], "focal": None, "window": True},
    licence="CC-BY-4.0",
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "learned.safetensors"
    write_learned(path, TENSORS, LEARNING)
    return path


def forged(path: Path, tensors: dict[str, torch.Tensor], change: dict[str, Any]) -> Path:
    """Write a file whose document says something else, with a digest that is right."""
    document = json.loads(read_learned_document(path).to_json())
    if "tensors_sha256" not in change:
        document["tensors_sha256"] = tensors_digest(tensors)
    document |= change
    path.write_bytes(save(tensors, {DOCUMENT: json.dumps(document)}))
    return path


def with_header(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_what_was_written_is_read(file: Path) -> None:
    tensors, document = read_learned(file, "extractor", "adapter")
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert document.model_dump(include=set(Learning.model_fields)) == LEARNING.model_dump()
    assert document.versions["torch"] == torch.__version__.partition("+")[0]
    assert read_learned_document(file) == document


def test_one_learning_is_one_file_bit_for_bit(file: Path, tmp_path: Path) -> None:
    for number in range(5):
        write_learned(tmp_path / f"{number}", dict(reversed(TENSORS.items())), LEARNING)
        assert (tmp_path / f"{number}").read_bytes() == file.read_bytes()


def test_what_was_read_can_be_learned_on_and_shares_nothing_with_the_file(file: Path) -> None:
    with torch.inference_mode():
        tensors, _ = read_learned(file)
    weight = tensors["weight"].requires_grad_()
    (weight.sum() * 2).backward()
    assert weight.grad is not None
    with torch.no_grad():
        weight.add_(1)
    assert torch.equal(read_learned(file)[0]["weight"], TENSORS["weight"])


def test_half_precision_becomes_single(tmp_path: Path) -> None:
    write_learned(tmp_path / "half", {"a": torch.ones(2, dtype=torch.float16)}, LEARNING)
    assert read_learned(tmp_path / "half")[0]["a"].dtype == torch.float32


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_every_bit_of_the_tensors_counts(name: str, file: Path) -> None:
    content = bytearray(file.read_bytes())
    place = bytes(content).rindex(TENSORS[name].numpy().tobytes())
    content[place] ^= 1
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=r"learned\.safetensors is damaged"):
        read_learned(file)


def test_a_file_of_another_part_is_refused_with_both_named(file: Path) -> None:
    with pytest.raises(WeightsError, match="for extractor 'adapter', not prompts 'learned'"):
        read_learned(file, "prompts", "learned")


@pytest.mark.parametrize(
    ("width", "reason"),
    [
        ({"text_width": 49}, r"a text encoder of width 49 \(two layers\), its own has 48"),
        ({"vision_width": 65}, r"a vision encoder of width 65 \(two layers\), its own has 64"),
        ({"embedding_dim": 1}, r"embeddings of width 1 \(two layers\), its own has 64"),
    ],
)
def test_another_width_is_refused_with_both_sides_named(width: dict[str, int], reason: str) -> None:
    spec = OpenClip(str(TWO_LAYERS), weights="random:0").spec
    assert LearnedOn.describe(OpenClip(str(TWO_LAYERS), weights="random:0")).refuses(spec) is None
    assert re.search(reason, LearnedOn(name="two layers", **width).refuses(spec) or "")


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"format": "vlmad learned 2"}, "learned 1"),
        ({"format": None}, "learned 1"),
        ({"class_token": "both"}, "class_token"),
        ({"layers": [-1]}, "layers"),
        ({"layers": [True]}, "layers"),
        ({"layers": "1"}, "layers"),
        ({"backbone": {"name": "x", "text_width": 0}}, "backbone.text_width"),
        ({"backbone": {"name": "x", "weights_sha256": "00"}}, "backbone.weights_sha256"),
        ({"backbone": {"name": ""}}, "backbone.name"),
        ({"data": {"photos": "F" * 64}}, "data.photos"),
        ({"facts": {"sentence": 1}}, "facts.sentence"),
        ({"licence": None}, "licence"),
        ({"extra": 1}, "extra"),
        ({"kind": ""}, "kind"),
        ({"tensors_sha256": 1}, "tensors_sha256"),
        ({"options": {"rate": float("nan")}}, "options"),
        ({"options": {"a": 10**400}}, "64 bits"),
        ({"licence": "a\0b"}, "NUL"),
    ],
)
def test_documents_with_odd_values_are_refused_at_their_place(
    change: dict[str, Any], place: str, file: Path
) -> None:
    with pytest.raises(WeightsError, match=place):
        read_learned(forged(file, TENSORS, change))


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({}, "must hold 1 to 4096 tensors, not 0"),
        ({"a": torch.zeros(2, dtype=torch.int64)}, "'a' is no learned tensor: int64"),
        ({"a": torch.zeros(2, dtype=torch.complex64)}, "'a' is no learned tensor: complex64"),
        ({"a": torch.zeros(2).to(torch.float8_e4m3fn)}, "'a' is no learned tensor: float8"),
        ({"a": torch.zeros(())}, "'a' is no learned tensor"),
        ({"a": torch.zeros(1, 1, 1, 1, 1)}, "'a' is no learned tensor"),
        ({"a": torch.zeros(0, 3)}, "'a' is empty"),
        ({"a": torch.tensor([1.0, float("nan")])}, "no finite number"),
        ({"a": torch.tensor([1.0, float("-inf")])}, "no finite number"),
        ({"a": torch.tensor([1e300], dtype=torch.float64)}, "no finite number"),
        ({"a" * 201: torch.ones(1)}, "is no name"),
        ({"\x1b[31m": torch.ones(1)}, r"'\\x1b\[31m' is no name"),
        ({"": torch.ones(1)}, "is no name"),
    ],
)
def test_tensors_that_nobody_learned_are_neither_read_nor_written(
    tensors: dict[str, torch.Tensor], reason: str, file: Path
) -> None:
    with pytest.raises(WeightsError, match=reason):
        write_learned(file, tensors, LEARNING)
    change = {"tensors_sha256": "0" * 64}
    with pytest.raises(WeightsError, match=reason):
        read_learned(forged(file, tensors, change))


def test_no_number_of_tensors_is_too_many_to_be_refused(file: Path) -> None:
    many = {f"{number}": torch.ones(1) for number in range(4097)}
    with pytest.raises(WeightsError, match="1 to 4096 tensors, not 4097"):
        read_learned(forged(file, many, {}))


FLOAT = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        b"\xff" * 64,
        bytes(64),
        b"GIF89a" * 20,
        with_header(b"\xff\xfe"),
        with_header(b"[1, 2]"),
        with_header(b"{"),
        with_header(b'{"__metadata__":' + b"[" * 70 + b"]" * 70 + b"}"),
        with_header(b'{"__metadata__":' + b"[" * 9000 + b"]" * 9000 + b"}"),
        with_header({"__metadata__": {"vlmad": 1}}),
        with_header({"__metadata__": ["vlmad"]}),
        with_header({"__metadata__": {"vlmad": "[" * 9000}}),
        with_header({"__metadata__": {"vlmad": "{}"}}),
        with_header({"__metadata__": {"vlmad": "null"}}),
        with_header({"a": {**FLOAT, "shape": [-1]}}, bytes(4)),
        with_header({"a": {**FLOAT, "shape": [2**62, 8]}}, bytes(4)),
        with_header({"a": {**FLOAT, "shape": [0, 2**62], "data_offsets": [0, 0]}}),
        with_header({"a": {**FLOAT, "data_offsets": [4, 0]}}, bytes(4)),
        with_header({"a": FLOAT, "b": FLOAT}, bytes(4)),
        with_header({"a": FLOAT}, bytes(3)),
        with_header({"a": FLOAT}, bytes(5)),
        with_header({"a": {**FLOAT, "dtype": "F4", "shape": [8]}}, bytes(4)),
        with_header({"a": {**FLOAT, "dtype": "PICKLE"}}, bytes(4)),
        with_header(b'{"a":' + b"9" * 5000 + b"}"),
        with_header({"x" * (1 << 20): FLOAT}, bytes(4)),
    ],
    ids=lambda content: f"{len(content)} bytes {content[8:40]!r}",
)
def test_files_that_are_none_are_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"odd\.safetensors") as refused:
        read_learned(path)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 700


def test_what_is_no_file_or_too_large_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "large").open("wb") as sparse:
        sparse.truncate(600 << 20)
    for name, reason in (
        ("none", "No such file"),
        (".", "[Ii]s a directory"),
        ("pipe", "no regular file"),
        ("large", "larger than 512 MiB"),
    ):
        with pytest.raises(WeightsError, match=reason):
            read_learned(tmp_path / name)


def test_pickles_are_refused_without_being_run(tmp_path: Path) -> None:
    class Boom:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"context.normal": Boom()}, tmp_path / "archive.safetensors")
    (tmp_path / "bare.safetensors").write_bytes(pickle.dumps(Boom()))
    for name in ("archive", "bare"):
        with pytest.raises(WeightsError, match="convert it first: vlmad prompts import"):
            read_learned(tmp_path / f"{name}.safetensors")
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_a_document_is_read_without_torch(file: Path) -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from vlmad_documents.learned_file import read_learned_document as read; "
        f"print(read(Path({str(file)!r})).part, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "adapter False\n"
