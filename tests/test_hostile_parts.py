"""Parts that do harm while they work: who it was is named, and nobody else feels it."""

from __future__ import annotations

import json
import math
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vlmad import load_detector
from vlmad.errors import PluginError
from vlmad.testing import example_images

Install = Callable[..., Path]
Command = Callable[..., Any]

WORKING = """
import os, sys, torch
from vlmad import hookimpl, Prediction, Scorer

class Odd(Scorer):
    needs = frozenset({{"class token"}})
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
    "raises": ("raise RuntimeError('out of ideas')", "RuntimeError: out of ideas"),
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
    install("hostile", WORKING.format(line=f"heat = heat.clone(); heat[0] = float('{value}')"))
    results = load_detector(scorer="odd").predict(example_images(2).sources)
    assert " scorer 'odd' of hostile 1.0 returned a score or map that is not a" in results[0].error
    assert math.isnan(results[0].score)
    assert results[1].error is None


def test_other_floating_types_become_float32(install: Install) -> None:
    install("hostile", WORKING.format(line="score, heat = score.double(), heat.half()"))
    [result] = load_detector(scorer="odd").predict(example_images(1).sources)
    assert result.map is not None
    assert result.map.dtype == np.float32


@pytest.mark.slow
def test_json_is_all_that_a_run_prints_whatever_a_part_prints(
    install: Install, command: Command, photos: Path
) -> None:
    install("hostile", WORKING.format(line="print('noise')"))
    done = command("run", photos, "--scorer", "odd", "--json", "--out", "out")
    assert done.status == 0, done.error
    assert len([json.loads(line) for line in done.out.splitlines()]) == 6
    assert "noise" in done.error


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


@pytest.mark.slow
def test_two_threads_score_with_one_detector_and_leave_the_process_as_it_was() -> None:
    detector, stdout = load_detector("clip"), sys.stdout
    handler = signal.getsignal(signal.SIGINT)
    sources = [example_images(4, seed=seed).sources for seed in range(4)]
    expected = [[r.score for r in detector.predict(each)] for each in sources]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda each: [r.score for r in detector.predict(each)], sources))
    assert found == expected
    assert sys.stdout is stdout
    assert signal.getsignal(signal.SIGINT) is handler
