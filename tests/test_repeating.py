"""Stored detectors, repeated runs, references and verdicts, from the command line."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors.torch import save_file
from torch import zeros

CLIP = ("run", "photos", "--detector", "clip", "--quiet", "--overlays", "none")
WINCLIP = ("run", "photos", "--overlays", "none", "--quiet", "--class-name", "nut")


def scores(out: Path) -> list[tuple[str, float]]:
    lines = [json.loads(line) for line in (out / "scores.jsonl").read_bytes().splitlines()]
    return [(Path(line["image"]).name, line["score"]) for line in lines]


def one_line(ended: Any) -> str:
    assert ended.status == 2, ended
    assert len(ended.error.splitlines()) == 1, ended.error
    return str(ended.error)


# manifests


@pytest.mark.slow
def test_a_repeated_run_agrees_from_any_working_directory(
    photos: Path, command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command(*CLIP, "--out", "out").status == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = command("run", "--manifest", "../out/manifest.json", "--quiet", "--out", "again")
    assert again.status == 0
    assert again.error == "vlmad: scores agree: 6 compared, largest difference 0\n"


@pytest.mark.slow
def test_a_repeated_run_says_which_images_changed(
    photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    assert command(*CLIP, "--out", "out").status == 0
    Image.new("RGB", (32, 24), "red").save(photos / "0002.png")
    again = command("run", "--manifest", "out", "--quiet", "--out", "again")
    assert again.status == 1
    assert "scores DIFFER: 5 compared, largest difference 0, 1 are of files" in again.error


@pytest.mark.slow
def test_a_run_is_not_repeated_into_its_own_folder(
    photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    assert command(*CLIP, "--out", "out").status == 0
    line = one_line(command("run", "--manifest", "out", "--out", "out"))
    assert "out is the run to compare with" in line
    line = one_line(command("run", "--manifest", "out", "--detector", "clip"))
    assert "--manifest brings its own parts: leave out --detector" in line
    line = one_line(command("run", "--manifest", "out", "--fail-on", "anomalous"))
    assert "--fail-on anomalous needs --threshold" in line


@pytest.mark.slow
def test_changed_references_are_refused_when_a_run_is_repeated(
    photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    shutil.copytree(photos, tmp_path / "good")
    words = ("--references", "good", "--shots", "2", "--out", "out")
    assert command(*WINCLIP, *words).status == 0
    assert command("run", "--manifest", "out", "--quiet", "--out", "again").status == 0
    for path in (tmp_path / "good").iterdir():
        Image.new("RGB", (9, 9), "red").save(path)
    line = one_line(command("run", "--manifest", "out", "--quiet", "--out", "third"))
    assert "is not the file that the manifest names" in line


# stored detectors and references


@pytest.mark.slow
def test_a_stored_detector_moves_alone_and_scores_like_its_references(
    photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    shutil.copytree(photos, tmp_path / "good")
    (tmp_path / "list.toml").write_text('normal = ["{}"]\nanomalous = ["broken {}"]\n')
    fitted = ("fit", "good", "--class-name", "nut", "--out", "nut.safetensors", "--quiet")
    assert command(*fitted).status == 0
    assert command(*WINCLIP, "--references", "good", "--shots", "6", "--out", "out").status == 0
    (tmp_path / "moved").mkdir()
    (tmp_path / "nut.safetensors").rename(tmp_path / "moved" / "nut.safetensors")
    shutil.rmtree(tmp_path / "good")
    words = ("run", "photos", "--fitted", "moved/nut.safetensors", "--quiet")
    ended = command(*words, "--overlays", "none", "--out", "other")
    assert ended.status == 0
    assert scores(tmp_path / "other") == scores(tmp_path / "out")
    going_on = command(*words, "--overlays", "none", "--out", "out")
    assert going_on.status == 0  # it is the same run
    repeated = command("run", "--manifest", "other", "--quiet", "--out", "again")
    assert repeated.status == 0
    assert "scores agree: 6 compared" in repeated.error


@pytest.mark.slow
def test_files_that_are_no_stored_detectors_are_refused(
    photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    fit = ("fit", "photos", "--class-name", "nut", "--out", "nut.safetensors", "--quiet")
    assert command(*fit).status == 0
    assert "exists; choose another --out or add --force" in one_line(command(*fit))
    whole = (tmp_path / "nut.safetensors").read_bytes()
    (tmp_path / "half.safetensors").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.safetensors").write_text("text")
    (tmp_path / "pickle.safetensors").write_bytes(b"\x80\x04N.")
    save_file({"a": zeros(1)}, tmp_path / "foreign.safetensors")
    other = whole.replace(b'\\"weights_sha256\\": \\"', b'\\"weights_sha256\\": \\"0', 1)
    assert other != whole
    for metadata in ("1", '{"identity": 1, "options": 1, "references": 1}'):
        table = {"format": "vlmad fitted 1", "manifest": metadata}
        save_file({"a": zeros(1)}, tmp_path / f"odd{len(metadata)}.safetensors", table)
    names = [p.name for p in tmp_path.glob("*.safetensors") if p.name != "nut.safetensors"]
    assert len(names) == 6
    for name in (*names, "none.safetensors"):
        line = one_line(command("run", "photos", "--fitted", name, "--quiet"))
        assert f"{name} is no fitted detector" in line
    assert not (tmp_path / "vlmad-runs").exists()


@pytest.mark.slow
def test_a_reference_under_test_is_warned_of_by_its_content(
    photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "good").mkdir()
    shutil.copy(photos / "0003.png", tmp_path / "good" / "other name.png")
    ended = command(*WINCLIP, "--references", "good", "--shots", "1", "--out", "out")
    assert ended.status == 0
    assert ended.error == (
        "vlmad: warning: reference good/other name.png is also under test, as photos/0003.png\n"
    )
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [each["path"] for each in manifest["references"]] == ["good/other name.png"]


def test_an_unreadable_reference_is_refused(
    photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "a.png").write_text("no image")
    line = one_line(command(*WINCLIP, "--references", "good", "--shots", "1"))
    assert "good/a.png: not an image of a known format" in line


# verdicts


@pytest.mark.slow
def test_a_threshold_judges_in_every_output_and_in_the_exit_status(
    photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    assert command(*CLIP, "--out", "plain").status == 0
    limit = sorted(score for _, score in scores(tmp_path / "plain"))[-2]
    words = ("run", "photos", "--detector", "clip", "--threshold", f"{limit:.9g}", "--out", "out")
    ended = command(*words, "--overlays", "anomalous", "--fail-on", "anomalous", "--json")
    assert ended.status == 3
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert len(rows) == 6
    verdicts = [row["verdict"] for row in rows]
    assert sorted(verdicts) == ["anomalous"] * 2 + ["ok"] * 4
    assert all((row["score"] >= limit) == (row["verdict"] == "anomalous") for row in rows)
    with (tmp_path / "out" / "scores.csv").open() as table:
        assert [row["verdict"] for row in csv.DictReader(table)] == verdicts
    drawn = {path.name for path in (tmp_path / "out" / "overlays").glob("*.jpg")}
    assert drawn == {Path(r["overlay"]).name for r in rows if r["verdict"] == "anomalous"}
    ended = command(*words)
    assert ended.status == 0
    assert "2 anomalous, 4 ok; anomalous from" in ended.out


@pytest.mark.parametrize("text", ["nan", "inf", "none.json", "photos"])
def test_what_is_no_threshold_is_refused(
    text: str, photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    assert "threshold" in one_line(command(*CLIP, "--threshold", text))
    assert not (tmp_path / "vlmad-runs").exists()
