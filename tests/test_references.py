"""What becomes of normal images that are named: how many are taken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vlmad_run import references

from .conftest import SMALL, noise

PATCHES = (*SMALL, "--extractor", "patches", "--scorer", "nearest")
QUIET = ("--quiet", "--overlays", "none")


def scores(out: Path) -> list[tuple[str, float]]:
    lines = [json.loads(line) for line in (out / "scores.jsonl").read_bytes().splitlines()]
    return [(Path(line["image"]).name, line["score"]) for line in lines]


def remembered(out: Path) -> list[str]:
    manifest = json.loads((out / "manifest.json").read_text())
    return [Path(each["path"]).name for each in manifest["references"]]


def test_a_folder_of_references_is_taken_whole_by_what_has_nothing_else(
    photos: Path, command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = noise(tmp_path / "good", 7, seed=1)
    words = ("run", photos, *PATCHES, *QUIET, "--references", good, "--out")
    assert command(*words, "whole").status == 0
    assert remembered(tmp_path / "whole") == sorted(path.name for path in good.iterdir())
    monkeypatch.setattr(references, "MOST_WHOLE", 5)
    loud = [word for word in words if word != "--quiet"]
    ended = command(*loud, "limited")
    assert len(remembered(tmp_path / "limited")) == 5
    assert "5 of 7 references are drawn; --shots takes another number" in ended.error


@pytest.mark.parametrize(
    "detector",
    [
        ("--detector", "winclip"),
        ("--prompt", "learned", "--extractor", "window"),
        ("--scorer", "harmonic"),
    ],
    ids=" ".join,
)
def test_scorers_of_text_draw_four_references_of_a_folder_as_ever(
    detector: tuple[str, ...],
    photos: Path,
    command: Callable[..., Any],
    tmp_path: Path,
    learned_file: Path,
) -> None:
    good = noise(tmp_path / "good", 7, seed=1)
    learned = ("--set", f"prompts.file={learned_file}") if "learned" in detector else ()
    words = ("run", photos, *SMALL, *detector, *learned, *QUIET, "--references", good, "--out")
    assert command(*words, "usual").status == 0
    assert command(*words, "four", "--shots", "4").status == 0
    assert len(remembered(tmp_path / "usual")) == 4
    assert remembered(tmp_path / "usual") == remembered(tmp_path / "four")
    assert scores(tmp_path / "usual") == scores(tmp_path / "four")
