"""Parts that do harm while they work: who it was is named, and nobody else feels it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vlmad import load_detector
from vlmad.detector import Detector
from vlmad.errors import PluginError
from vlmad.registry import Registry
from vlmad.testing import example_images
from vlmad_evaluation.sharing import Shared

Install = Callable[..., Path]
Command = Callable[..., Any]

WORKING = """
import os, sys, torch
from vlmad import hookimpl, Prediction, Scorer

class Odd(Scorer):
    needs = frozenset()
    def fit(self, references):
        return {{"mean": references.image.mean(0)}}
    references = "optional"
    def __call__(self, features, text, memory):
        score = features.image.mean(-1)
        heat = score[:, None, None].expand(-1, *features.image_size)
        {line}
        return Prediction(score, heat)

@hookimpl
def register_scorers(register):
    register("odd", Odd)
"""
FAILING = {
    "leaves": ("sys.exit(0)", "SystemExit: 0"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "shape": ("heat = heat[:, :1]", "score and map have shapes"),
    "type": ("score = score > 0", "its score or map is of torch.bool"),
    "array": ("heat = heat.numpy()", "its score or map is of float32"),
    "nothing": ("return None", "it gave a NoneType, not a vlmad.Prediction"),
    "words": ("text.embeddings.mul_(2)", "it writes to the text that it is given"),
    "memory": ("memory['mean'].add_(1)", "it writes to the memory that it is given"),
}


@pytest.mark.parametrize(("line", "reason"), FAILING.values(), ids=FAILING)
def test_a_part_that_fails_while_it_works_is_named(
    line: str, reason: str, install: Install
) -> None:
    install("hostile", WORKING.format(line=line))
    sources = example_images(2).sources
    detector = load_detector(scorer="odd").fit(sources)
    with pytest.raises(PluginError, match=r"scorer 'odd' of hostile 1.0 failed: ") as raised:
        detector.predict(sources)
    assert reason in str(raised.value)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_scores_that_are_no_numbers_are_results_that_say_so(value: str, install: Install) -> None:
    install("hostile", WORKING.format(line=f"score = score * float('{value}')"))
    [result] = load_detector(scorer="odd").predict(example_images(1).sources)
    assert result.error is not None
    assert result.error.endswith("is not a finite number")


def test_other_floating_types_become_float32(install: Install) -> None:
    install("hostile", WORKING.format(line="score, heat = score.double(), heat.half()"))
    [result] = load_detector(scorer="odd").predict(example_images(1).sources)
    assert result.map is not None
    assert result.map.dtype == np.float32


MEDDLING_AT_WORK = (
    "os.chdir('/'); torch.set_default_dtype(torch.float64); torch.set_num_threads(7); "
    "torch.set_autocast_enabled('cpu', True); torch.set_grad_enabled(True); print('noise')"
)


def state() -> list[Any]:
    numbers = [torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()]
    return [*numbers, torch.is_autocast_enabled("cpu"), os.getcwd(), sys.stdout]


def test_what_a_part_at_work_changes_for_all_is_put_back(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("hostile", WORKING.format(line=MEDDLING_AT_WORK))
    detector, before = load_detector(scorer="odd"), state()
    detector.predict(example_images(1).sources)
    assert state() == before
    assert capsys.readouterr().out == ""


def test_json_is_all_that_a_run_prints_whatever_a_part_prints(
    install: Install, command: Command, photos: Path
) -> None:
    install("hostile", WORKING.format(line="print('noise')"))
    done = command("run", photos, "--scorer", "odd", "--json", "--out", "out")
    assert done.status == 0, done.error
    assert len([json.loads(line) for line in done.out.splitlines()]) == 6
    assert "noise" in done.error


def test_a_detector_sees_nothing_of_what_another_writes_to_shared_tensors(
    install: Install,
) -> None:
    source = WORKING.format(line="features.image.mul_(0); features.regions[0].embeddings.mul_(0)")
    source += """
from vlmad import Attention
from vlmad_anomalyclip.extractor import Dense

class Grabbing(Attention):
    path = "beside"
    def blocks(self, depth):
        return range(depth)
    def mix(self, q, k, v):
        return v.mul_(0)

class Wiping(Dense):
    def __call__(self, visual):
        features = super().__call__(visual)
        for tensor in visual.tensors.values():
            tensor.mul_(0)
        return features

@hookimpl
def register_attention(register):
    register("grabbing", Grabbing)

@hookimpl
def register_extractors(register):
    register("wiping", Wiping)
"""
    install("hostile", source)
    registry = Registry.discover()
    mine = load_detector(extractor="dense", scorer="max-cosine", registry=registry)
    batch = example_images(1)
    expected = mine(batch).score
    theirs = [
        load_detector(extractor="dense", attention="grabbing", scorer="odd", registry=registry),
        load_detector(extractor="wiping", scorer="odd", registry=registry),
    ]
    backbone = mine.assembly.parts["backbone"]
    together = [
        Detector(replace(d.assembly, parts={**d.assembly.parts, "backbone": backbone}))
        for d in (*theirs, mine)
    ]
    shared = Shared(together, keep=False)
    for detector in shared.detectors[:-1]:
        detector(batch)
    assert torch.equal(shared.detectors[-1](batch).score, expected)


def test_the_part_at_fault_is_named_where_parts_call_each_other(install: Install) -> None:
    source = """
from vlmad import Attention, hookimpl
class Odd(Attention):
    path = "stream"
    def blocks(self, depth):
        return range(depth)
    def mix(self, q, k, v):
        raise ValueError("no")
@hookimpl
def register_attention(register):
    register("odd", Odd)
"""
    install("hostile", source)
    detector = load_detector("clip", attention="odd")
    with pytest.raises(PluginError, match=r"attention 'odd' of hostile 1.0 failed: ValueError: no"):
        detector.predict(example_images(1).sources)
