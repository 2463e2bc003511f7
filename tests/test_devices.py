"""Where and how exactly to compute."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vlmad.errors import OptionError
from vlmad_openclip.devices import computes_bfloat16, pick_device, pick_precision
from vlmad_tiny._tiny import Tiny

CPU = torch.device("cpu")


def test_devices_that_are_not_here_are_refused_with_the_remedy() -> None:
    assert pick_device("cpu") == CPU
    assert pick_device("auto").type in ("cpu", "cuda", "mps")
    for name in ("gpu", "cuda:99", "xpu:7"):
        with pytest.raises(OptionError, match="takes auto, cpu, cuda or mps"):
            pick_device(name)


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
    assert pick_precision("auto", CPU) == expected
    assert pick_precision("float32", CPU) == "float32"
    assert pick_precision("bfloat16", CPU) == "bfloat16"


def test_the_embedded_model_computes_in_float32_whatever_the_processor_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("VLMAD_PRECISION")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True}, raising=False)
    assert Tiny().precision == "float32"
    assert Tiny(precision="auto").precision == "bfloat16"


def test_without_word_from_torch_the_processors_flags_decide(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = computes_bfloat16(CPU)
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert computes_bfloat16(CPU) == known
    for text, expected in (
        ("Features\t: fp bf16 i8mm\n", True),
        ("flags\t\t: fpu avx512f\n", False),
    ):
        monkeypatch.setattr(Path, "read_text", lambda *_, text=text, **__: text)
        assert computes_bfloat16(CPU) == expected


def test_the_environment_decides_what_auto_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLMAD_PRECISION", "bfloat16")
    assert pick_precision("auto", CPU) == "bfloat16"
    assert pick_precision("float32", CPU) == "float32"
    monkeypatch.setenv("VLMAD_PRECISION", "half")
    with pytest.raises(OptionError, match="VLMAD_PRECISION=half: it takes auto, float32"):
        pick_precision("auto", CPU)
