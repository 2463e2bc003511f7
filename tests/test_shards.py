"""Shards of a run that are scored apart, and what joins them."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vlmad.errors import InputError
from vlmad_run.shards import Shard, read_shard

from .conftest import SMALL, noise, vlmad

DOCS = Path(__file__).parents[1] / "docs" / "shards.md"
DETECTOR = ("photos", "--detector", "clip", *SMALL, "--batch-size", "2", "--threshold", "0.5")
RUN = ("run", *DETECTOR, "--quiet")
Command = Callable[..., Any]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven images, one of them unreadable, scored whole and in three shards."""
    place = tmp_path_factory.mktemp("scored")
    noise(place / "photos", 10)
    (place / "photos" / "0003b.png").write_text("no image")
    assert vlmad(*RUN, "--out", "plain", cwd=place).returncode == 1
    for number in (1, 2, 3):
        vlmad(*RUN, "--shard", f"{number}/3", "--out", f"shards/{number}", cwd=place)
    return place


@pytest.fixture
def here(scored: Path, tmp_path: Path) -> Path:
    """A copy of them, as old as they are."""
    return Path(shutil.copytree(scored, tmp_path / "here"))


def merge(place: Path, *shards: str | int, out: str = "whole") -> subprocess.CompletedProcess[str]:
    return vlmad(
        "merge", *(f"shards/{number}" for number in shards), "--out", out, "--quiet", cwd=place
    )


def results(out: Path) -> dict[str, object]:
    """Return all that is in a run folder but for times and commands."""
    found: dict[str, object] = {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.name not in ("manifest.json", ".lock", "scores.jsonl")
    }
    table = list(csv.DictReader(io.StringIO((out / "scores.csv").read_text())))
    found["scores.csv"] = [{**row, "milliseconds": ""} for row in table]
    rows = map(json.loads, (out / "scores.jsonl").read_text().splitlines())
    found["scores.jsonl"] = [{**row, "milliseconds": ""} for row in rows]
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["result"] |= {"seconds": 0}
    found["manifest.json"] = manifest | {"created": "", "command": []}
    return found


@given(st.integers(1, 60), st.integers(1, 9), st.data())
def test_each_image_is_in_one_shard_beside_those_of_its_batch(
    count: int, batch: int, data: st.DataObject
) -> None:
    images = [Path(f"{n}.png") for n in range(count)]
    most = data.draw(st.integers(1, -(-count // batch)))
    shards = [read_shard(f"{number}/{most}", images, batch) for number in range(1, most + 1)]
    assert sorted(place for shard in shards for place in shard.places()) == list(range(count))
    for shard in shards:
        starts, whole = (range(0, n, batch) for n in (len(shard.places()), count))
        batches = [shard.of_list(images)[start : start + batch] for start in starts]
        assert all(own in [images[s : s + batch] for s in whole] for own in batches)


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "1/0", "-1/3", "1/3/3", "a/b", "1/ 3", "٣/٣"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"--shard takes one of n shards, 1/n to n/n"):
        read_shard(text, [Path("a.png")] * 9, 2)


def test_more_shards_than_batches_are_refused_in_every_one() -> None:
    for number in (1, 6):
        with pytest.raises(InputError, match=r"9 images in batches of 2 make at most 5 shards"):
            read_shard(f"{number}/6", [Path(f"{n}.png") for n in range(9)], 2)


def test_a_shard_of_more_shards_than_batches_is_no_document() -> None:
    table = {"number": 2, "count": 3, "batch": 4, "images": 8, "names_sha256": ""}
    with pytest.raises(InputError, match="shard 2/3 of 2 batches"):
        Shard.of(table, "manifest.json")


@pytest.mark.slow
def test_joined_shards_are_the_run_over_all(here: Path) -> None:
    done = merge(here, 2, 3, 1)
    assert done.returncode == 1  # one file is no image
    assert "0003b.png: not an image of a known format" in done.stderr
    assert results(here / "whole") == results(here / "plain")
    [linked, *_] = (here / "whole" / "maps").glob("*.png")
    assert linked.stat().st_nlink == 2


@pytest.mark.slow
def test_maps_are_copied_where_they_cannot_be_linked(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    merge(here, 1, 2, 3)
    shutil.rmtree(here / "shards")
    assert results(here / "whole") == results(here / "plain")


@pytest.mark.slow
def test_a_merge_that_was_killed_goes_on(
    here: Path, tmp_path: Path, signalled: Callable[..., subprocess.Popen[str]]
) -> None:
    words = ("merge", *(here / "shards" / str(number) for number in (1, 2, 3)), "--out", "whole")
    killed = signalled("SIGKILL", tmp_path / "whole", 9, *words)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    manifest = json.loads((tmp_path / "whole" / "manifest.json").read_text())
    assert not manifest["result"]["finished"]
    when = {p: p.stat().st_ino for p in (tmp_path / "whole" / "maps").glob("[!.]*")}
    assert 0 < len(when) < 10
    shutil.move(tmp_path / "whole", here / "whole")
    merge(here, 3, 2, 1)
    assert results(here / "whole") == results(here / "plain")
    assert {(here / "whole" / "maps" / p.name).stat().st_ino for p in when} == set(when.values())


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def lose_a_row(place: Path) -> None:
    rows = (place / "shards/2/scores.jsonl").read_bytes().splitlines(keepends=True)
    (place / "shards/2/scores.jsonl").write_bytes(b"".join(rows[1:]))


def exchange_rows(place: Path) -> None:
    rows = (place / "shards/2/scores.jsonl").read_bytes().splitlines(keepends=True)
    (place / "shards/2/scores.jsonl").write_bytes(b"".join(rows[::-1]))


def lose_a_map(place: Path) -> None:
    sorted((place / "shards/2/maps").glob("*.png"))[0].unlink()


def link_a_map(place: Path) -> None:
    [found, other, *_] = sorted((place / "shards/2/maps").glob("*.png"))
    found.unlink()
    found.symlink_to(other)


def stop(place: Path) -> None:
    edit(place / "shards/2/manifest.json", lambda m: m["result"].update(finished=False))


def anew(*words: str) -> Callable[[Path], None]:
    """Score the second shard otherwise."""

    def score(place: Path) -> None:
        shutil.rmtree(place / "shards/2")
        shard = () if "--shard" in words else ("--shard", "2/3")
        assert vlmad(*RUN, *words, *shard, "--out", "shards/2", cwd=place).returncode < 2

    return score


def add_an_image(place: Path) -> None:
    Image.new("RGB", (8, 8)).save(place / "photos" / "0011.png")
    anew()(place)


def nothing(place: Path) -> None:
    pass


REFUSED = [
    (nothing, (1, 3), "1 of 3 shards is missing: score --shard 2/3, or name their folders"),
    (nothing, (1, 1, 2, 3), "shards/1 and shards/1 are both shard 1/3: leave out one of them"),
    (nothing, (1, 2, 3, "../plain"), "is no shard, but a whole run: it needs no merge"),
    (nothing, (1, 2, 3, "none"), "shards/none: no manifest.json of a run, nor the folder of one"),
    (stop, (1, 2, 3), "shards/2, shard 2/3, is not finished; give its command again: vlmad run"),
    (lose_a_row, (1, 2, 3), "shards/2: rows are lacking or damaged; give its command again"),
    (exchange_rows, (1, 2, 3), "the rows of the shards are not those of the images"),
    (lose_a_map, (1, 2, 3), "No such file or directory; give its command again: vlmad run"),
    (link_a_map, (1, 2, 3), "is no regular file; delete it, and give its command again"),
]
APART = [
    (anew("--class-name", "nut"), "do not belong together: class_name (object, now nut)"),
    (anew("--threshold", "0.6"), "do not belong together: threshold (0.5, now 0.6)"),
    (anew("--shard", "2/4"), "one is of 4 shards of 11 images in batches of 2"),
    (anew("--batch-size", "3"), "one is of 3 shards of 11 images in batches of 3"),
    (add_an_image, "one is of 3 shards of 12 images in batches of 2"),
]


def check_refused(place: Path, shards: tuple[int | str, ...], words: str) -> None:
    done = merge(place, *shards)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr
    assert (
        not (place / "whole" / "scores.jsonl").exists()
        or not json.loads((place / "whole" / "manifest.json").read_text())["result"]["finished"]
    )


@pytest.mark.slow
@pytest.mark.parametrize(("change", "shards", "words"), REFUSED)
def test_shards_that_are_not_all_there_are_named_with_the_remedy(
    change: Callable[[Path], None], shards: tuple[int | str, ...], words: str, here: Path
) -> None:
    change(here)
    check_refused(here, shards, words)


@pytest.mark.slow
@pytest.mark.parametrize(("change", "words"), APART)
def test_shards_that_do_not_belong_together_are_refused(
    change: Callable[[Path], None], words: str, here: Path
) -> None:
    change(here)
    check_refused(here, (1, 2, 3), words)


@pytest.mark.slow
def test_the_folder_of_a_shard_takes_no_other_and_no_whole_run(here: Path) -> None:
    for words in (("--shard", "1/3"), ()):
        refused = vlmad(*RUN, *words, "--out", "shards/2", cwd=here)
        assert refused.returncode == 2
        assert "shards/2 holds shard 2/3, of 3 shards of 11 images" in refused.stderr
    again = vlmad(*RUN[:-1], "--shard", "2/3", "--out", "shards/2", cwd=here)
    assert "going on with shards/2" in again.stderr


@pytest.mark.slow
def test_a_shard_that_was_stopped_is_found_again_without_its_name(here: Path) -> None:
    for number in (1, 2):
        vlmad(*RUN, "--shard", f"{number}/3", cwd=here)
    first, second = sorted((here / "vlmad-runs").iterdir())
    for folder in (first, second):
        edit(folder / "manifest.json", lambda m: m["result"].update(finished=False))
    vlmad(*RUN, "--shard", "1/3", cwd=here)
    assert len(list((here / "vlmad-runs").iterdir())) == 2
    ended = [json.loads((f / "manifest.json").read_text())["result"] for f in (first, second)]
    assert [result["finished"] for result in ended] == [True, False]


@pytest.mark.slow
def test_parts_of_several_views_are_judged_when_shards_are_joined(
    scored: Path, tmp_path: Path
) -> None:
    grouping = ("--group", "pattern:(00..)", "--out", tmp_path / "whole")
    refused = vlmad(*RUN, *grouping, "--shard", "1/3", cwd=scored)
    assert refused.returncode == 2
    assert "merge the shards, then give the command with --group" in refused.stderr
    merge(scored, 1, 2, 3, out=str(tmp_path / "whole"))
    judged = vlmad(*RUN[:-1], *grouping, cwd=scored)
    assert "going on with" in judged.stderr
    assert (tmp_path / "whole" / "parts.csv").read_text().count("0003") > 0


def test_what_compares_all_images_refuses_a_shard(photos: Path, command: Command) -> None:
    refused = command("run", "photos", "--detector", "musc", *SMALL, "--shard", "1/1")
    assert refused.status == 2
    assert "compares all images with each other" in refused.error
    assert "leave out --shard" in refused.error


@pytest.mark.slow
def test_a_joined_run_is_gone_on_with_repeated_calibrated_and_reviewed(
    scored: Path, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    merge(scored, 1, 2, 3, out=str(whole))
    before = {p: p.stat().st_mtime_ns for p in (whole / "maps").iterdir()}
    assert f"going on with {whole}" in vlmad(*RUN[:-1], "--out", whole, cwd=scored).stderr
    assert {p: p.stat().st_mtime_ns for p in (whole / "maps").iterdir()} == before
    words = ("run", "--manifest", whole, "--quiet", "--out", tmp_path / "again")
    assert "scores agree: 10 compared" in vlmad(*words, cwd=scored).stderr
    words = ("calibrate", "--scores", whole, "--good", "photos", "--out", tmp_path / "t.json")
    assert "scored: 10 good" in vlmad(*words, cwd=scored).stdout
    filled = vlmad("review", whole, "--init", tmp_path / "verdicts.csv", cwd=scored)
    assert filled.returncode == 0
    assert (tmp_path / "verdicts.csv").read_text().count("photos/") == 10


def words_of(script: str, place: Path, **variables: str) -> list[list[str]]:
    """Return the words of each call of vlmad that a shell makes of a script."""
    program = place / "vlmad"
    program.write_text("#!/bin/sh\nprintf '%s\\n' \"$(printf '%s\\t' \"$@\")\"\n")  # at once
    program.chmod(0o755)
    own = {**os.environ, "PATH": f"{place}:{os.environ['PATH']}", **variables}
    done = subprocess.run(["sh", "-ec", script], cwd=place, env=own, stdout=subprocess.PIPE)
    return [line.split("\t")[:-1] for line in done.stdout.decode().splitlines()]


@pytest.mark.slow
def test_the_commands_of_the_page_do_what_it_says(tmp_path: Path) -> None:
    noise(tmp_path / "good", 4)
    noise(tmp_path / "photos", 16, seed=1)
    fitting = ("--detector", "patchcore", *SMALL, "--out", "nut.safetensors")
    assert vlmad("fit", "good", *fitting, cwd=tmp_path).returncode == 0
    two, job, many = re.findall(r"```\n(.*?)```", DOCS.read_text(), re.DOTALL)
    jobs = [words_of(job, tmp_path, SLURM_ARRAY_TASK_ID=str(number)) for number in range(1, 17)]
    for shards, number, more in (
        (words_of(two.rpartition("vlmad merge")[0], tmp_path), 2, SMALL),
        ([words for [words] in jobs], 16, ("--batch-size", "1")),
        (words_of(many, tmp_path), 4, ("--batch-size", "2")),
    ):
        assert len(shards) == number
        for words in shards:
            done = vlmad(*words, *more, "--quiet", cwd=tmp_path)
            assert done.returncode == 0, done.stderr
        [joining] = words_of(two.splitlines()[-1], tmp_path)
        assert vlmad(*joining, "--quiet", cwd=tmp_path).returncode == 0
        assert (tmp_path / "whole" / "scores.csv").read_text().count("\n") == 1 + 16
        shutil.rmtree(tmp_path / "whole")
        shutil.rmtree(tmp_path / "shards")
