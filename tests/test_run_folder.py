"""Run folders: which run may go on in which, what they hold, and what stays untouched."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vlmad import load_detector
from vlmad.console import messages
from vlmad.detector import Detector
from vlmad.errors import OutputError
from vlmad.types import Result
from vlmad_run._running import score_images
from vlmad_run.places import RUNS, new_folder
from vlmad_run.references import Assembled
from vlmad_run.rows import file_stem

from .conftest import SMALL

Command = Callable[..., Any]
RUN = ("run", "photos", "--detector", "clip", *SMALL, "--quiet")
QUICK = (*RUN, "--overlays", "none", "--out", "out")


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "scores.jsonl").read_bytes().splitlines()]


def content(out: Path) -> dict[str, bytes]:
    """Return the files of a run folder, but for what differs between any two runs."""
    files = {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    return {name: data for name, data in files.items() if name not in ("manifest.json", ".lock")}


def written(out: Path) -> dict[str, int]:
    """Return when each picture was last written."""
    return {p.name: p.stat().st_mtime_ns for p in out.glob("*/[!.]*")}


def test_a_run_writes_rows_maps_pictures_and_a_manifest(
    photos: Path, command: Command, tmp_path: Path
) -> None:
    words = ("--set", "scorer.temperature=0.02", "--seed", "7", "--out", "out")
    assert command(*RUN, *words).status == 0
    with (tmp_path / "out" / "scores.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert [row["image"] for row in rows] == [f"photos/000{index}.png" for index in range(6)]
    scores = [str(line["score"]) for line in lines(tmp_path / "out")]
    assert [row["score"] for row in rows] == scores
    for row in rows:
        with Image.open(tmp_path / "out" / row["map"]) as stored:
            assert (stored.size, stored.mode, stored.getextrema()) == ((32, 24), "I;16", (0, 65535))
        assert (tmp_path / "out" / row["overlay"]).is_file()
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["identity"]["parts"]["scorer"]["options"]["temperature"] == 0.02
    assert manifest["identity"]["sentences_sha256"]
    assert manifest["options"]["backbone"]["device"]
    assert manifest["seed"] == 7
    assert set(manifest["libraries"]) >= {"torch", "torchvision", "open_clip_torch", "numpy"}
    assert manifest["result"] | {"seconds": 0} == {
        "finished": True,
        "images": 6,
        "done": 6,
        "failed": 0,
        "anomalous": 0,
        "unknown": 0,
        "seconds": 0,
    }


def test_other_words_for_the_same_run_go_on(photos: Path, command: Command, tmp_path: Path) -> None:
    assert command(*RUN, "--out", "out").status == 0
    before, when = content(tmp_path / "out"), written(tmp_path / "out")
    parts = ("--prompt", "plain", "--extractor", "dense", "--scorer", "dense")
    for words in (
        parts,
        ("--batch-size", "1"),
        ("--set", "backbone.device=cpu"),
        ("--class-name", "object", "--overlays", "none"),
    ):
        again = command(*RUN, *words, "--out", "out")
        assert again.status == 0, again.error
        assert content(tmp_path / "out") == before
        assert written(tmp_path / "out") == when


def test_added_and_changed_images_are_scored_and_the_others_are_not(
    photos: Path, command: Command, tmp_path: Path
) -> None:
    assert command(*QUICK).status == 0
    before, when = lines(tmp_path / "out"), written(tmp_path / "out")
    Image.new("RGB", (9, 9), "red").save(photos / "0002a.png")
    Image.new("RGB", (32, 24), "red").save(photos / "0001.png")
    (photos / "0000.png").touch()
    assert command(*QUICK).status == 0
    after = lines(tmp_path / "out")
    assert [Path(row["image"]).stem for row in after][1:4] == ["0001", "0002", "0002a"]
    del after[3]
    same = [a["sha256"] == b["sha256"] for a, b in zip(after, before, strict=True)]
    assert same == [index != 1 for index in range(6)]
    anew = {name for name, at in written(tmp_path / "out").items() if at != when.get(name, 0)}
    assert {name.split("-")[0] for name in anew} == {"photos_0001", "photos_0002a"}


OTHER = [
    (("--set", "scorer.temperature=0.5"), "parts.scorer.options.temperature (0.07, now 0.5)"),
    (("--class-name", "nut"), "class_name (object, now nut)"),
    (("--resize", "pad"), "resize (squash, now pad)"),
    (("--threshold", "0.5"), "threshold (none, now 0.5)"),
    (("--detector", "winclip"), "parts.prompts.name (plain, now compositional)"),
]


@pytest.mark.slow
def test_a_run_that_differs_in_substance_is_refused_and_changes_nothing(
    photos: Path, command: Command, tmp_path: Path
) -> None:
    assert command(*QUICK).status == 0
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.*")}
    for words, difference in OTHER:
        refused = command(*RUN, *words, "--out", "out")
        assert refused.status == 2
        assert len(refused.error.splitlines()) == 1
        assert difference in refused.error
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.*")} == before


FOREIGN = [
    ("notes.txt", "mine"),
    ("maps/mine.png", "a picture"),
    ("manifest.json", "{}"),
    ("manifest.json", "no JSON"),
    ("manifest.json", '{"identity": []}'),
    ("manifest.json", '{"format": "vlmad run 2", "identity": {}}'),
    ("scores.jsonl", "{}"),
]


@pytest.mark.parametrize(("name", "text"), FOREIGN)
def test_a_folder_of_someone_elses_stays_as_it_is(
    name: str, text: str, photos: Path, command: Command, tmp_path: Path
) -> None:
    foreign = tmp_path / "out" / name
    foreign.parent.mkdir(parents=True)
    foreign.write_text(text)
    before = sorted((tmp_path / "out").rglob("*"))
    refused = command(*QUICK)
    assert refused.status == 2
    assert "choose another --out" in refused.error
    assert len(refused.error.splitlines()) == 1
    assert sorted((tmp_path / "out").rglob("*")) == before
    assert foreign.read_text() == text


def test_a_second_run_in_a_folder_is_refused_while_the_first_writes(
    photos: Path, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".lock"):
        refused = command(*QUICK)
    assert refused.status == 2
    assert refused.error == (
        "vlmad: another run is writing to out; wait for it or choose another --out\n"
    )


def test_a_default_run_goes_on_in_the_latest_folder_where_it_was_stopped(
    photos: Path, command: Command, tmp_path: Path
) -> None:
    run = (*RUN, "--overlays", "none")
    assert command(*run).status == 0
    [first] = (tmp_path / RUNS).iterdir()
    manifest = json.loads((first / "manifest.json").read_text())
    manifest["result"]["finished"] = False
    (first / "manifest.json").write_text(json.dumps(manifest))
    with FileLock(first / ".lock"):
        assert "another run is writing to vlmad-runs" in command(*run).error
    counts = []
    for _ in range(2):
        assert command(*run).status == 0
        counts.append(len(list((tmp_path / RUNS).iterdir())))
    assert counts == [1, 2]


def test_lines_for_machines_come_as_soon_as_their_rows_are_written(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector, images = Assembled(load_detector("clip"), "object", []), sorted(photos.iterdir())
    results, printed, counts = Detector.results, list[bytes](), list[int]()

    def count(*given: Any, **named: Any) -> list[Result]:
        counts.append(len(printed))
        return results(*given, **named)

    monkeypatch.setattr(Detector, "results", count)
    for some in (images[:5], images):
        score_images(detector, some, None, messages(quiet=True), out=tmp_path / "out",
            overlays="none", batch_size=2, write_line=printed.append)  # fmt: skip
    assert counts == [0, 0, 2, 5 + 5]
    named = [json.loads(line)["image"] for line in printed]
    assert named == list(map(str, [*images[:5], *images]))


def test_a_run_goes_on_from_another_folder_and_mixes_up_no_names(
    photos: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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


def test_pictures_that_a_run_wrote_are_not_taken_for_photographs(
    photos: Path, command: Command, tmp_path: Path
) -> None:
    for out in ("first", "second"):
        done = command("run", ".", "--detector", "clip", "--quiet", "--out", out)
        assert done.status == 0, done.error
        assert len(lines(tmp_path / out)) == 6


ROW = {"image": "photos/0005.png", "score": 1, "map_low": 0, "map_high": 1}
DAMAGE = [
    b"",
    b'{"image": "photos/0005.png", "score": 0.1',
    json.dumps({**ROW, "score": "x", "map": "maps/x", "overlay": "overlays/x"}).encode() + b"\n",
    json.dumps({**ROW, "map": "maps/../../x", "overlay": "overlays/../x"}).encode() + b"\n",
    b"\0\0\0\0\n[]\n\xff\xfe\n",
    b"[" * 100_000 + b"\n",
]


@pytest.mark.parametrize("torn", DAMAGE)
@pytest.mark.slow
def test_damaged_lines_are_scored_again_and_the_others_are_not(
    torn: bytes, photos: Path, command: Command, tmp_path: Path
) -> None:
    run = (*RUN, "--batch-size", "1", "--out", "out")
    assert command(*run).status == 0
    whole, when = content(tmp_path / "out"), written(tmp_path / "out")
    path = tmp_path / "out" / "scores.jsonl"
    kept = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(kept[:5]) + torn)
    (tmp_path / "out" / "maps" / ".partly-x").write_bytes(b"left by a kill")
    assert command(*run).status == 0
    after = content(tmp_path / "out")
    assert after.keys() == whole.keys()
    same = {name for name in whole if name.startswith(("maps", "overlays"))}
    assert {n: after[n] for n in same} == {n: whole[n] for n in same}
    assert path.read_bytes().splitlines(keepends=True)[:5] == kept[:5]
    anew = [name for name, at in written(tmp_path / "out").items() if at != when[name]]
    assert anew == [Path(json.loads(kept[5])["map"]).name]


def test_new_folders_are_never_shared_and_go_if_nothing_was_written(tmp_path: Path) -> None:
    parent = tmp_path / "runs"
    with new_folder(parent, "winclip") as one, new_folder(parent, "winclip") as other:
        assert one != other
        (other / "kept").write_text("")
    assert list(parent.iterdir()) == [other]
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"), new_folder(tmp_path / "file", "x"):
        pass


@given(st.text(max_size=60), st.text(max_size=60))
def test_file_names_are_safe_and_bounded(folder: str, name: str) -> None:
    stem = file_stem(f"x/{folder}/{name}.png")
    assert len(f".{stem}.png.12345678".encode()) <= 255
    assert not set(stem) & set('/\\:*?"<>|\0\n')
    assert not stem.startswith((".", "-"))
    assert stem != file_stem(f"x/{folder}/{name}x.png")
