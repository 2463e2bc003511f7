"""Names become names of files, and nothing is written or deleted through a link."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vlmad.errors import OutputError
from vlmad_evaluation._bench_folder import BenchFolder
from vlmad_evaluation._bench_plan import Cell
from vlmad_openclip.store import open_store
from vlmad_review._keeping import check_folder
from vlmad_run.places import folder_name, locked, new_folder

from .conftest import vlmad

NAMES = ["../../up/x", "/abs", "a\0b", "CON", "nul", "LPT1", "..", "", "x" * 300, "tür 错", "a\\b"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_never_leads_out_of_the_folder_of_runs(name: str, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    with new_folder(runs, name) as folder:
        assert folder.parent == runs
        assert folder.is_dir()
        assert re.fullmatch(r"[\d-]{18}[\w-]+", folder.name, re.ASCII)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["con", "CON", "Nul", "com1", "LPT9", "aux"])
def test_a_name_is_never_one_that_windows_keeps_for_itself(name: str) -> None:
    assert folder_name(name).lower() != name.lower()


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A folder with a photograph and what looks as if a run had left it."""
    folder = tmp_path / "precious"
    folder.mkdir()
    for name in ("photo.png", ".partly-x", "scores.jsonl", f"{'a' * 64}.entry"):
        (folder / name).write_text(name)
    return folder


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.slow
def test_a_run_writes_nothing_through_a_link_in_its_folder(
    photos: Path, command: Callable[..., Any], tmp_path: Path, precious: Path
) -> None:
    words = ("run", "photos", "--detector", "clip", "--quiet", "--out", "out")
    assert command(*words).status == 0
    before = content(precious)
    for name in ("maps", "overlays", "scores.jsonl", ".lock", "scores.csv", "manifest.json"):
        shutil.copytree(tmp_path / "out", tmp_path / "linked")
        path = tmp_path / "linked" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.symlink_to(precious if name in ("maps", "overlays") else precious / "photo.png")
        ended = command(*words[:-1], "linked")
        assert ended.status == 2
        assert ended.error.splitlines()[-1].startswith("vlmad: "), ended.error
        assert len(ended.error.splitlines()) == 1
        assert name in ended.error
        assert content(precious) == before
        shutil.rmtree(tmp_path / "linked")


@pytest.mark.parametrize("name", [".lock", "maps", "cells"])
def test_a_folder_with_a_link_in_it_is_not_taken(name: str, tmp_path: Path, precious: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text("{}")
    (tmp_path / "out" / name).symlink_to(precious / "photo.png")
    with (
        pytest.raises(OutputError, match=rf"out/{re.escape(name)} is a link"),
        locked(tmp_path / "out", "manifest.json"),
    ):
        pass
    assert (precious / "photo.png").read_text() == "photo.png"


@pytest.mark.parametrize("linked", ["cells", "cells/clip", "cells/clip/nut", "thresholds"])
def test_no_cell_of_a_bench_lies_behind_a_link(linked: str, tmp_path: Path, precious: Path) -> None:
    bench: Any = BenchFolder(tmp_path / "bench", None)  # type: ignore[arg-type]
    cell = Cell("clip", "nut", "nut", 0, None, ())
    assert bench.cell(cell) == tmp_path / "bench/cells/clip/nut/zero-shot"
    place = tmp_path / "bench" / linked
    place.parent.mkdir(parents=True)
    place.symlink_to(precious)
    with pytest.raises(OutputError, match=f"{linked} is a link"):
        (bench.threshold if linked == "thresholds" else bench.cell)(cell)


@pytest.mark.parametrize("place", ["text", "text/aa"])
def test_no_cache_is_cleared_or_written_through_a_link(
    place: str, cache: Path, precious: Path
) -> None:
    store = open_store("text")
    assert store is not None
    assert store.write("b" * 64, b"kept")
    if place == "text":
        shutil.rmtree(cache / place)
    (cache / place).symlink_to(precious)
    before = content(precious)
    done = vlmad("cache", "clear", "--text", cwd=cache)
    assert done.returncode == 2
    assert f"{place} is a link" in done.stderr
    assert content(precious) == before
    assert not store.write("a" * 64, b"new")
    store.limit = 1  # from here on everything must go
    assert store.write("c" * 64, b"more") == (place != "text")
    assert content(precious) == before


def test_a_review_replaces_nothing_through_a_link(tmp_path: Path, precious: Path) -> None:
    (tmp_path / "review").mkdir()
    (tmp_path / "review" / "review.md").symlink_to(precious / "photo.png")
    (tmp_path / "better").symlink_to(tmp_path / "review")
    for name in ("review", "better"):
        with pytest.raises(OutputError, match="is a link"):
            check_folder(tmp_path / name, force=True)
