"""A fitted detector's file is believed in nothing: not in its tensors, nor in what it packs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from vlmad import load_detector
from vlmad.errors import VlmadError, WeightsError
from vlmad.testing import example_images
from vlmad_openclip.store import tensor_digest
from vlmad_run.fitted import _unpacked, load_fitted, save_fitted
from vlmad_run.manifest import describe_run
from vlmad_run.memory_documents import Reference

LIST = 'normal_states = ["clean {}"]\nanomalous_states = ["torn {}"]\ntemplates = ["a {}."]\n'


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fitted detector with a prompt list of its own."""
    folder = tmp_path_factory.mktemp("fitted")
    (folder / "list.toml").write_text(LIST)
    detector = load_detector(options={"prompts": {"file": folder / "list.toml"}})
    detector.fit(example_images(2).sources)
    save_fitted(detector, describe_run(detector, "nut"), folder / "nut.safetensors")
    return folder / "nut.safetensors"


def contents(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, json.loads(file.metadata()["vlmad"])


def forged(path: Path, tensors: dict[str, Tensor], document: dict[str, Any]) -> Path:
    """Write what a person who knows the format would: the digests are right."""
    document["tensors"] = {name: tensor_digest(tensor) for name, tensor in tensors.items()}
    save_file(tensors, path, {"vlmad": json.dumps(document)})
    return path


def flipped(tensor: Tensor) -> Tensor:
    raw = tensor.clone().flatten().view(torch.uint8)
    raw[len(raw) // 2] ^= 1
    return raw.view(tensor.dtype).reshape(tensor.shape)


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "a flipped bit": flipped,
    "zeros": torch.zeros_like,
    "others": lambda tensor: torch.nn.functional.normalize(torch.rand_like(tensor), dim=-1),
    "negatives": lambda tensor: -tensor,
    "huge": lambda tensor: torch.full_like(tensor, 1e38),
    "turned": lambda tensor: tensor.flip(0),
    "another type": lambda tensor: tensor.to(torch.bfloat16),
    "another shape": lambda tensor: tensor.flatten(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_tensor_that_is_not_the_stored_one_is_refused_by_name(
    change: Callable[[Tensor], Tensor], stored: Path, tmp_path: Path
) -> None:
    tensors, document = contents(stored)
    name = next(name for name in tensors if name.startswith("memory/"))
    changed = {**tensors, name: change(tensors[name]).contiguous()}
    path = tmp_path / "odd.safetensors"
    save_file(changed, path, {"vlmad": json.dumps(document)})
    with pytest.raises(WeightsError, match=rf"odd\.safetensors is damaged: its tensor '{name}'"):
        load_fitted(path, {})


def test_a_tensor_that_is_missing_or_too_many_is_refused(stored: Path, tmp_path: Path) -> None:
    tensors, document = contents(stored)
    first = next(iter(tensors))
    for changed in ({**tensors, "memory/more": torch.ones(2)}, {**tensors}):
        if "memory/more" not in changed:
            del changed[first]
        path = tmp_path / "odd.safetensors"
        save_file(changed, path, {"vlmad": json.dumps(document)})
        with pytest.raises(WeightsError, match=r"is damaged: its tensor '(memory/more|.*)'"):
            load_fitted(path, {})


MEMORIES: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "zeros": (torch.zeros_like, "no unit embeddings"),
    "huge": (lambda tensor: torch.full_like(tensor, 1e38), "no unit embeddings"),
    "not finite": (lambda tensor: torch.full_like(tensor, torch.nan), "no unit embeddings"),
    "flat": (lambda tensor: tensor.flatten(), r"not floating-point \(regions, \d+\)"),
    "narrow": (lambda tensor: tensor[:, :7].contiguous(), r"not floating-point \(regions"),
    "none": (lambda tensor: tensor[:0], "no unit embeddings"),
    "whole numbers": (lambda tensor: tensor.to(torch.int32), "is int32"),
    "eight bits": (lambda tensor: tensor.to(torch.float8_e4m3fn), "is float8_e4m3fn"),
}


@pytest.mark.parametrize(("change", "reason"), MEMORIES.values(), ids=MEMORIES)
def test_a_memory_that_no_reference_gives_is_refused_though_its_digests_are_right(
    change: Callable[[Tensor], Tensor], reason: str, stored: Path, tmp_path: Path
) -> None:
    tensors, document = contents(stored)
    changed = {n: change(t) if n.startswith("memory/") else t for n, t in tensors.items()}
    path = forged(tmp_path / "odd.safetensors", changed, document)
    with pytest.raises(WeightsError, match=rf"odd\.safetensors cannot be used: .*{reason}"):
        load_fitted(path, {})


def test_a_memory_of_other_regions_is_refused(stored: Path, tmp_path: Path) -> None:
    tensors, document = contents(stored)
    renamed = {name.replace("memory/", "memory/other "): kept for name, kept in tensors.items()}
    path = forged(tmp_path / "odd.safetensors", renamed, document)
    detector = load_fitted(path, {}).detector
    with pytest.raises(WeightsError, match="the references' memory is not of '"):
        detector.predict(example_images(1).sources)
    files = {name: kept for name, kept in tensors.items() if name.startswith("file/")}
    with pytest.raises(WeightsError, match="holds no memory for scorer 'harmonic'"):
        load_fitted(forged(path, files, document), {})


PACKED = {
    "another list": ("file/prompts.file", LIST.replace("clean", "clear")),
    "a new option": ("file/scorer.pooling", LIST),
    "a path": ("file/prompts.../../up", LIST),
    "another kind": ("file/cleaner.file", LIST),
    "nowhere": ("list.toml", LIST),
}


@pytest.mark.parametrize(("name", "text"), PACKED.values(), ids=PACKED)
def test_a_packed_file_is_written_nowhere_unless_it_is_the_recorded_one(
    name: str, text: str, stored: Path, tmp_path: Path
) -> None:
    tensors, document = contents(stored)
    before = sorted(Path(_unpacked().name).rglob("*"))
    tensors[name] = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
    path = forged(tmp_path / "odd.safetensors", tensors, document)
    with pytest.raises(WeightsError, match=r"odd\.safetensors holds '.*nothing is recorded"):
        load_fitted(path, {})
    assert sorted(Path(_unpacked().name).rglob("*")) == before


def test_a_packed_file_of_another_type_is_refused(stored: Path, tmp_path: Path) -> None:
    tensors, document = contents(stored)
    tensors["file/prompts.file"] = torch.ones(4, dtype=torch.bfloat16)
    path = forged(tmp_path / "odd.safetensors", tensors, document)
    with pytest.raises(WeightsError, match=r"holds 'file/prompts\.file', of which nothing"):
        load_fitted(path, {})


def test_the_stored_file_is_the_fitted_detector(stored: Path) -> None:
    loaded = load_fitted(stored, {})
    assert loaded.class_name == "nut"
    assert loaded.detector.prompts.prompts.normal_states == ("clean {}",)


def test_names_in_any_script_or_none_are_stored(stored: Path, tmp_path: Path) -> None:
    detector, name = load_fitted(stored, {}).detector, "Schl\u00fcssel \U0001f511"
    references = [
        Reference(path=f"t\u00fcr {n}.png", sha256="0" * 64) for n in ("\u9519", "\udcff")
    ]
    save_fitted(detector, describe_run(detector, name, references), tmp_path / "key.safetensors")
    loaded = load_fitted(tmp_path / "key.safetensors", {})
    assert (loaded.class_name, list(loaded.references)) == (name, references)


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_changed_byte_is_taken_for_the_fitted_detector(
    stored: Path, tmp_path: Path, data: st.DataObject
) -> None:
    whole = bytearray(stored.read_bytes())
    header = 8 + int.from_bytes(whole[:8], "little")
    last = data.draw(st.sampled_from([8, header - 1, len(whole) - 1]))
    place = data.draw(st.integers(0, last))
    whole[place] ^= data.draw(st.integers(1, 255))
    path = Path(shutil.copy(stored, tmp_path / "odd.safetensors"))
    path.write_bytes(whole)
    try:
        memory = load_fitted(path, {}).detector.memory
    except VlmadError as error:
        reason = str(error)
    else:  # such as another date in the manifest
        assert place < header
        tensors, _ = contents(stored)
        assert all(torch.equal(kept, tensors[f"memory/{name}"]) for name, kept in memory.items())
        return
    assert "\n" not in reason
