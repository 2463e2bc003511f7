"""Run folders: which run may go on in which, and what stays when it is not let in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from PIL import Image

from vlmad_run.places import RUNS

RUN = ("run", "photos", "--detector", "clip", "--quiet")


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "scores.jsonl").read_bytes().splitlines()]


def content(out: Path) -> dict[str, bytes]:
    """Return the files of a run folder, but for what differs between any two runs."""
    files = {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    return {name: data for name, data in files.items() if name not in ("manifest.json", ".lock")}


def touched(out: Path) -> dict[str, int]:
    """Return when each picture was last written."""
    return {p.name: p.stat().st_mtime_ns for p in out.glob("*/[!.]*")}


SAME = [
    ("--backbone", "tiny", "--prompt", "plain", "--extractor", "dense", "--scorer", "dense"),
    ("--batch-size", "1"),
    ("--set", "backbone.device=cpu"),
    ("--class-name", "object"),
    ("--overlays", "none"),
    ("--json",),
]


@pytest.mark.slow
@pytest.mark.parametrize("words", SAME, ids=" ".join)
def test_other_words_for_the_same_run_go_on(
    words: tuple[str, ...], photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    assert command(*RUN, "--out", "out").status == 0
    before, when = content(tmp_path / "out"), touched(tmp_path / "out")
    again = command(*RUN, *words, "--out", "out")
    assert again.status == 0, again.error
    assert content(tmp_path / "out") == before
    assert touched(tmp_path / "out") == when


@pytest.mark.slow
def test_added_images_are_scored_and_the_others_are_not(
    photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    assert command(*RUN, "--out", "out", "--overlays", "none").status == 0
    before, when = lines(tmp_path / "out"), touched(tmp_path / "out")
    Image.new("RGB", (9, 9), "red").save(photos / "0002a.png")
    assert command(*RUN, "--out", "out", "--overlays", "none").status == 0
    after = lines(tmp_path / "out")
    assert [line["image"] for line in after][2:4] == ["photos/0002.png", "photos/0002a.png"]
    assert [line for line in after if "2a" not in line["image"]] == before
    assert touched(tmp_path / "out").items() >= when.items()


@pytest.mark.slow
def test_a_changed_image_is_scored_anew_and_a_touched_one_is_not(
    photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    assert command(*RUN, "--out", "out", "--overlays", "none").status == 0
    before, when = lines(tmp_path / "out"), touched(tmp_path / "out")
    (photos / "0000.png").touch()
    Image.new("RGB", (32, 24), "red").save(photos / "0001.png")
    assert command(*RUN, "--out", "out", "--overlays", "none").status == 0
    after = lines(tmp_path / "out")
    assert [a["sha256"] == b["sha256"] for a, b in zip(after, before, strict=True)] == [
        index != 1 for index in range(6)
    ]
    anew = [name for name, at in touched(tmp_path / "out").items() if at != when[name]]
    assert anew == [Path(after[1]["map"]).name]


OTHER = [
    (("--set", "scorer.temperature=0.5"), "parts.scorer.options.temperature (0.07, now 0.5)"),
    (("--class-name", "nut"), "class_name (object, now nut)"),
    (("--resize", "pad"), "resize (squash, now pad)"),
    (("--threshold", "0.5"), "threshold (none, now 0.5)"),
    (("--attention", "vv"), "parts.attention.name (none, now vv)"),
    (("--detector", "winclip"), "parts.prompts.name (plain, now compositional)"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("words", "difference"), OTHER, ids=lambda each: str(each))
def test_a_run_that_differs_in_substance_is_refused_and_changes_nothing(
    words: tuple[str, ...],
    difference: str,
    photos: Path,
    command: Callable[..., Any],
    tmp_path: Path,
) -> None:
    assert command(*RUN, "--out", "out", "--overlays", "none").status == 0
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.*")}
    refused = command(*RUN, *words, "--out", "out")
    assert refused.status == 2
    assert len(refused.error.splitlines()) == 1
    assert difference in refused.error
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.*")} == before


FOREIGN = [
    ("notes.txt", "mine"),
    ("maps/mine.png", "a picture"),
    ("overlays/mine.png", "a picture"),
    ("manifest.json", "{}"),
    ("manifest.json", "no JSON"),
    ("manifest.json", '{"identity": []}'),
    ("scores.jsonl", "{}"),
]


@pytest.mark.parametrize(("name", "text"), FOREIGN)
def test_a_folder_of_someone_elses_stays_as_it_is(
    name: str, text: str, photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    foreign = tmp_path / "out" / name
    foreign.parent.mkdir(parents=True)
    foreign.write_text(text)
    before = sorted((tmp_path / "out").rglob("*"))
    refused = command(*RUN, "--out", "out")
    assert refused.status == 2
    assert "choose another --out" in refused.error
    assert len(refused.error.splitlines()) == 1
    assert sorted((tmp_path / "out").rglob("*")) == before
    assert foreign.read_text() == text


def test_a_second_run_in_a_folder_is_refused_while_the_first_writes(
    photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".lock"):
        refused = command(*RUN, "--out", "out")
    assert refused.status == 2
    assert refused.error == (
        "vlmad: another run is writing to out; wait for it or choose another --out\n"
    )


@pytest.mark.slow
def test_a_default_run_leaves_alone_what_another_is_going_on_with(
    photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    assert command(*RUN).status == 0
    [first] = (tmp_path / RUNS).iterdir()
    manifest = json.loads((first / "manifest.json").read_text())
    manifest["result"]["finished"] = False
    (first / "manifest.json").write_text(json.dumps(manifest))
    with FileLock(first / ".lock"):
        assert command(*RUN).status == 0
    assert len(list((tmp_path / RUNS).iterdir())) == 2
    assert command(*RUN).status == 0  # goes on with the first, which is finished by that
    assert len(list((tmp_path / RUNS).iterdir())) == 2
    assert command(*RUN).status == 0
    assert len(list((tmp_path / RUNS).iterdir())) == 3


@pytest.mark.slow
def test_a_run_goes_on_from_another_folder_and_mixes_up_no_names(
    photos: Path, command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ("run", "--detector", "clip", "--quiet", "--out", tmp_path / "out")
    assert command(*run, "photos").status == 0
    before = lines(tmp_path / "out")
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "photos").mkdir(parents=True)
    Image.new("RGB", (32, 24), "red").save(elsewhere / "photos" / "0000.png")
    monkeypatch.chdir(elsewhere)
    assert command(*run, photos, "photos").status == 0
    after = lines(tmp_path / "out")
    assert after[:6] == before
    assert after[6]["image"] == str(elsewhere / "photos" / "0000.png")
    assert len({line["map"] for line in after}) == 7


@pytest.mark.slow
def test_pictures_that_a_run_wrote_are_not_taken_for_photographs(
    photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    for out in ("first", "second"):
        done = command("run", ".", "--detector", "clip", "--quiet", "--out", out)
        assert done.status == 0, done.error
        assert len(lines(tmp_path / out)) == 6


DAMAGE = [
    b"",
    b'{"image": "photos/0005.png", "score": 0.1',
    b'{"image": "photos/0005.png", "score": "x", "status": "done", "map": "maps/x.png"}\n',
    b'{"image": 5}\n',
    b"\0\0\0\0\n",
    b"[]\n\xff\xfe\n",
    b"[" * 100_000 + b"\n",
    b'{"image": "photos/0005.png", "status": "done", "score": 1, "map": "maps/../../x.png",'
    b' "map_low": 0, "map_high": 1, "overlay": "overlays/../../../x.png"}\n',
]


@pytest.mark.slow
@pytest.mark.parametrize("torn", DAMAGE)
def test_damaged_lines_are_scored_again_and_the_others_are_not(
    torn: bytes, photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    assert command(*RUN, "--batch-size", "1", "--out", "out").status == 0
    whole, when = content(tmp_path / "out"), touched(tmp_path / "out")
    path = tmp_path / "out" / "scores.jsonl"
    kept = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(kept[:5]) + torn)
    (tmp_path / "out" / "maps" / ".partly-x").write_bytes(b"left by a kill")
    assert command(*RUN, "--batch-size", "1", "--out", "out").status == 0
    after = content(tmp_path / "out")
    same = {name for name in whole if name.startswith(("maps", "overlays"))}
    assert {n: after[n] for n in same} == {n: whole[n] for n in same}
    assert after.keys() == whole.keys()
    assert path.read_bytes().splitlines(keepends=True)[:5] == kept[:5]
    last = Path(json.loads(kept[5])["map"]).name
    maps = (tmp_path / "out" / "maps").iterdir()
    anew = [path.name for path in maps if path.stat().st_mtime_ns != when[path.name]]
    assert anew == [last]
