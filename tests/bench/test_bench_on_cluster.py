"""Benches and grids whose categories several machines score: the same folder."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Bench

TIMES = re.compile(rb'"(milliseconds|seconds|created|p50|p95)": ?("[^"]*"|[0-9.e+-]+|null)')
SHOTS = ("--shots", "0,1", "--seeds", "1", "--replicates", "20", "--quiet")
CLUSTER = """
import pickle
from vlmad import hookimpl
from vlmad.errors import InputError

class Elsewhere:
    def __init__(self, fails: str = "") -> None:
        self.fails = fails

    def spread(self, work, items):
        copy = pickle.loads(pickle.dumps(work))
        for item in items:
            if item == self.fails:
                raise InputError("on far-away: it broke")
            copy(item)
            yield item

@hookimpl
def register_clusters(register):
    register("elsewhere", "elsewhere:Elsewhere", "This process.")
"""


def contents(folder: Path) -> dict[str, Any]:
    """Return all that a bench wrote but for times and the words of commands."""
    found: dict[str, Any] = {}
    for path in (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"):
        content = TIMES.sub(rb'"\1": 0', path.read_bytes())
        if path.name.endswith("manifest.json"):
            content = json.dumps(json.loads(content) | {"command": []}).encode()
        if path.name == "scores.csv":
            content = re.sub(rb",[0-9.]+,([0-9a-f]{64})", rb",,\1", content)
        found[str(path.relative_to(folder))] = content
    return found


def differing(one: Path, other: Path) -> list[str]:
    first, second = contents(one), contents(other)
    names = sorted(first.keys() | second.keys())
    return [name for name in names if first.get(name) != second.get(name)]


@pytest.mark.slow
def test_a_grid_on_a_cluster_writes_the_folder_of_one_without(
    two_categories: Path,
    small: list[str],
    run_vlmad: Bench,
    install: Callable[..., Path],
    tmp_path: Path,
) -> None:
    install("elsewhere", CLUSTER)
    words = ("grid", two_categories, *small, "--scorer", "harmonic,max-cosine", *SHOTS)
    assert run_vlmad(*words, "--out", "plain", cwd=tmp_path).returncode == 0
    failed = run_vlmad(*words, "--engine", "elsewhere:fails=nut", "--out", "own", cwd=tmp_path)
    assert (failed.returncode, failed.stderr) == (2, "vlmad: on far-away: it broke\n")
    when = {path: path.stat().st_mtime_ns for path in (tmp_path / "own").rglob("maps/*")}
    assert when
    done = run_vlmad(*words, "--engine", "elsewhere", "--out", "own", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert differing(tmp_path / "plain", tmp_path / "own") == []
    assert {path: path.stat().st_mtime_ns for path in when} == when


@pytest.mark.slow
def test_a_bench_on_ray_writes_the_folder_of_one_without(
    two_categories: Path, small: list[str], run_vlmad: Bench, process: Any, tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'vlmad[ray]'")
    words = ("bench", two_categories, *small, "--detector", "clip", *SHOTS)
    assert run_vlmad(*words, "--out", "plain", cwd=tmp_path).returncode == 0
    engine = ("--engine", "ray:workers=1", "--out", "own")
    done = process(*words, *engine, cwd=tmp_path, OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    assert differing(tmp_path / "plain", tmp_path / "own") == []


def test_a_cluster_that_is_not_installed_is_refused_at_once(
    two_categories: Path, small: list[str], run_vlmad: Bench, tmp_path: Path
) -> None:
    words = ("bench", two_categories, *small, "--detector", "clip", *SHOTS)
    refused = run_vlmad(*words, "--engine", "spark", cwd=tmp_path)
    assert refused.returncode == 2
    assert "no cluster is called 'spark'" in refused.stderr
    assert not list(tmp_path.iterdir())
