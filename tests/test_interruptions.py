"""Runs that are killed, interrupted, or lose their disk: what is done stays, the rest follows."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vlmad import load_detector
from vlmad.detector import Detector
from vlmad.errors import InputError, OutputError
from vlmad.types import Result
from vlmad_run.manifest import RunResult, describe_run
from vlmad_run.places import RUNS
from vlmad_run.run_folder import RunFolder

from .conftest import Done, wait_until_stopped
from .conftest import vlmad as command_line

RUN = ("run", "photos", "--detector", "clip", "--batch-size", "4")
IMAGES = 24
Signalled = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "photos"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for index in range(IMAGES):
        values = rng.integers(0, 256, (150, 200, 3), dtype=np.uint8)
        Image.fromarray(values).save(folder / f"{index:04d}.png")
    (folder / "0003b.png").write_text("no image")
    return folder


@pytest.fixture
def many(drawn: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(drawn, tmp_path / "photos"))  # as old as they are


@pytest.fixture(scope="module")
def undisturbed(drawn: Path) -> Path:
    """The folder of a run over the same images that nothing happened to."""
    assert run(drawn.parent, "--out", "out").returncode == 1  # one file is no image
    return drawn.parent / "out"


def run(place: Path, *words: str) -> Done:
    return command_line(*RUN, "--quiet", *words, cwd=place)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return the exit status of a run and what it said on standard error."""
    _, error = process.communicate()
    return process.returncode, error


def lines(out: Path) -> dict[str, dict[str, Any]]:
    path = out / "scores.jsonl"
    whole = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    read = [json.loads(line) for line in whole if line.endswith(b"\n")]
    return {line["image"]: line for line in read}


def results(out: Path) -> dict[str, object]:
    """Return all that a run wrote but for its manifest and the milliseconds."""
    found: dict[str, object] = {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.name not in ("manifest.json", ".lock", "scores.jsonl")
    }
    table = list(csv.DictReader(io.StringIO((out / "scores.csv").read_text())))
    found["scores.csv"] = [{**row, "milliseconds": ""} for row in table]
    found["scores.jsonl"] = [{**line, "milliseconds": None} for line in lines(out).values()]
    return found


@pytest.mark.xdist_group("killed runs")
@pytest.mark.parametrize("words", [("--out", "out"), ()], ids=["named folder", "default folder"])
def test_runs_killed_at_any_moment_end_like_one_that_was_not(
    words: tuple[str, ...], many: Path, tmp_path: Path, undisturbed: Path, signalled: Signalled
) -> None:
    def folder() -> Path:
        return tmp_path / "out" if words else next(iter((tmp_path / RUNS).iterdir()))

    rng = random.Random(len(words))
    place = "out" if words else RUNS
    # a whole run opens and renames files ten times for each image: for the first five while it
    # scores, then for the overlays
    moments = (rng.randrange(1, 2 * IMAGES), rng.randrange(IMAGES, 6 * IMAGES))
    kept: dict[str, dict[str, Any]] = {}
    written: dict[Path, int] = {}
    for moment in moments[: len(words) or 1]:
        killed = signalled("SIGKILL", tmp_path / place, moment, *RUN, "--quiet", *words)
        assert ended(killed)[0] == -signal.SIGKILL
        done = {name: line for name, line in lines(folder()).items() if line["status"] == "done"}
        assert done.items() >= kept.items()
        assert {path: path.stat().st_mtime_ns for path in written} == written
        kept = done
        written = {path: path.stat().st_mtime_ns for path in _maps(folder(), kept)}
    assert kept
    assert run(tmp_path, *words).returncode == 1
    assert len(list((tmp_path / RUNS).glob("*"))) == (0 if words else 1)
    assert lines(folder()).items() >= kept.items()  # with the milliseconds that they took then
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert results(folder()) == results(undisturbed)
    assert json.loads((folder() / "manifest.json").read_text())["result"]["finished"]


def _maps(out: Path, rows: dict[str, dict[str, Any]]) -> list[Path]:
    return [out / row["map"] for row in rows.values()]


def test_an_interrupted_run_says_so_in_a_line_and_goes_on(
    many: Path, tmp_path: Path, signalled: Signalled
) -> None:
    moment = IMAGES  # some batches are done
    status, error = ended(signalled("SIGINT", tmp_path / "out", moment, *RUN, "--out", "out"))
    assert status == 130
    assert error == (
        "vlmad: interrupted; what is done is in out, the same command goes on from there\n"
    )
    before = lines(tmp_path / "out")
    assert 1 <= len(before) < IMAGES
    table = list(csv.DictReader(io.StringIO((tmp_path / "out" / "scores.csv").read_text())))
    assert [row["image"] for row in table] == list(before)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["result"]["finished"] is False
    assert manifest["result"]["done"] + manifest["result"]["failed"] == len(before)
    assert run(tmp_path, "--out", "out").returncode == 1
    after = lines(tmp_path / "out")
    assert len(after) == IMAGES + 1
    assert {n: after[n] for n, row in before.items() if row["status"] == "done"} == {
        n: row for n, row in before.items() if row["status"] == "done"
    }


INTERRUPTED = """
import os, signal, sys

class AtImport:
    def find_spec(self, name, path=None, target=None):
        if name == MODULE:
            os.kill(os.getpid(), signal.SIGINT)

MODULE, sys.argv[1] = sys.argv[1], "plugins"
sys.meta_path.insert(0, AtImport())
from vlmad_cli.__main__ import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("module", ["typer", "vlmad_winclip"])
def test_ctrl_c_during_the_first_imports_is_one_line(module: str, cache: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTED, module]
    done = subprocess.run(command, env=os.environ | {"VLMAD_CACHE": "off"}, capture_output=True)
    assert done.stderr.decode().startswith("vlmad: interrupted")
    assert done.stderr.count(b"\n") == 1
    assert (done.returncode, done.stdout) == (130, b"")


def test_two_runs_at_once_never_share_a_folder(
    many: Path, tmp_path: Path, signalled: Signalled
) -> None:
    first = signalled("SIGSTOP", tmp_path / "out", IMAGES, *RUN, "--quiet", "--out", "out")
    wait_until_stopped(first)
    second = run(tmp_path, "--out", "out")
    first.send_signal(signal.SIGCONT)
    assert second.returncode == 2
    assert second.stderr.startswith("vlmad: another run is writing to out; ")
    assert len(second.stderr.splitlines()) == 1
    assert ended(first)[0] == 1
    assert len(lines(tmp_path / "out")) == IMAGES + 1


# the disk


@contextmanager
def small_disk(place: Path, *options: str) -> Iterator[Path]:
    """Mount a small file system of its own at a place."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", ",".join(("size=512k", *options)), "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.slow
def test_a_full_disk_ends_a_run_in_a_line_and_it_goes_on_when_there_is_room(
    many: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    words = ("run", "photos", "--detector", "clip", "--quiet", "--overlays", "none")
    with small_disk(tmp_path / "disk") as disk:
        out = disk / "out"
        full = command(*words, "--batch-size", "2", "--out", out)
        assert full.status == 2
        assert full.error.startswith("vlmad: cannot write ")
        assert "No space left on device" in full.error
        assert len(full.error.splitlines()) == 1
        before = lines(out)
        assert 0 < len(before) < IMAGES
        for path in out.glob("maps/*.png"):
            with Image.open(path) as image:
                image.load()
        assert not list(out.glob("*/.partly-*"))
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert command(*words, "--batch-size", "2", "--out", out).status == 1
        after = lines(out)
        assert len(after) == IMAGES + 1
        assert {name: after[name] for name, row in before.items() if row["map"]} == {
            name: row for name, row in before.items() if row["map"]
        }


def test_a_read_only_folder_ends_a_run_in_a_line(
    photos: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", "ro") as disk:
        for out in (disk, disk / "out"):
            refused = command("run", "photos", "--detector", "clip", "--out", out, "--quiet")
            assert refused.status == 2
            assert "Read-only file system" in refused.error
            assert len(refused.error.splitlines()) == 1


class Watched(Detector):
    """A detector that lets something happen when it has scored a batch."""

    happen: Callable[[], object]

    def results(self, *given: Any, **named: Any) -> list[Result]:
        results = super().results(*given, **named)
        self.happen()
        return results


def score(detector: Detector, images: list[Path], out: Path) -> RunResult:
    """Score images two at a time, as a run does."""
    manifest = describe_run(detector, "object")
    with RunFolder(out, manifest) as folder:
        for result in detector.stream(folder.missing(images), batch_size=2):
            folder.write(result)
    return folder.result


@pytest.mark.parametrize("emptied", [False, True], ids=["folder gone", "folder emptied"])
@pytest.mark.slow
def test_a_folder_that_vanishes_stops_the_run_which_goes_on_when_it_is_back(
    emptied: bool, many: Path, tmp_path: Path
) -> None:
    images = sorted(many.iterdir())[:9]
    away, out = tmp_path / "away", tmp_path / "out"
    detector = Watched(load_detector("clip").assembly)

    def vanish() -> None:
        if not away.exists():
            many.rename(away)
            if emptied:
                many.mkdir()

    detector.happen = vanish
    with pytest.raises(InputError, match="photos is no longer there; run the same command again"):
        score(detector, images, out)
    before = lines(out)
    assert 2 <= len(before) < len(images)
    assert (out / "scores.csv").read_text().count("\n") == len(before) + 1
    if emptied:
        many.rmdir()
    away.rename(many)
    away.mkdir()
    result = score(detector, images, out)
    assert (result.finished, result.done, result.failed) == (True, 8, 1)
    done = {name: row for name, row in before.items() if row["status"] == "done"}
    assert lines(out).items() >= done.items()
    score(detector, images, tmp_path / "whole")
    assert results(out) == results(tmp_path / "whole")


def test_lines_that_cannot_be_written_end_the_run(many: Path, tmp_path: Path) -> None:
    path = tmp_path / "out" / "scores.jsonl"
    detector = Watched(load_detector("clip").assembly)

    def spoil() -> None:
        if not path.is_dir():
            path.unlink(missing_ok=True)
            path.mkdir()

    detector.happen = spoil
    with pytest.raises(OutputError, match=r"cannot write .*scores.jsonl: Is a directory"):
        score(detector, sorted(many.iterdir())[:3], tmp_path / "out")


def test_what_could_not_be_read_is_tried_after_the_others(many: Path, tmp_path: Path) -> None:
    images = sorted(many.iterdir())[2:7]
    assert images[2].name == "0003b.png"
    detector = load_detector("clip")
    score(detector, images[:4], tmp_path / "out")
    with RunFolder(tmp_path / "out", describe_run(detector, "object")) as folder:
        assert folder.missing(images) == [images[4], images[2]]
        assert folder.missing(images, together=True) == images
