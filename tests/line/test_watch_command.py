"""``vlmad watch``: what comes is judged and told; what stops is an alarm; nothing is lost."""

from __future__ import annotations

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vlmad.errors import OutputError
from vlmad_line import _lookout, delivery, feed
from vlmad_line._keeping_watch import KeptWatch
from vlmad_line._lookout import Lookout
from vlmad_line.endpoints import Arrival
from vlmad_line.feed import IN_MEMORY, ROOM, Feed
from vlmad_line.judgements import Alarm, Judgement, Message
from vlmad_line.ledger import Ledger
from vlmad_line.line import Line
from vlmad_line.station import Station
from vlmad_run.rows import read_rows
from vlmad_run.stored_run import read_run

from ..conftest import SMALL  # noqa: TID252 (tests are no package)

DETECTOR = (*SMALL, "--detector", "winclip", "--threshold", "0.9")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_once_judges_what_is_there_and_the_next_time_only_what_is_new(
    command: Callable[..., Any], photos: Path, tmp_path: Path
) -> None:
    (photos / "0001.png").write_bytes((photos / "0000.png").read_bytes()[:300])
    watch = ("watch", photos, *DETECTOR, "--once", "--to", "csv:out.csv")
    ended = command(*watch)
    assert ended.status == 0, ended.error
    assert ended.out.count("OK ") == 5
    assert "NG      -" in ended.out
    assert "6 images, 5 OK, 1 NG" in ended.error
    (photos / "new.png").write_bytes((photos / "0000.png").read_bytes())
    again = command(*watch, "--json")
    assert again.status == 0, again.error
    [line] = again.out.splitlines()
    assert Judgement.parse(line, "line").image == str(photos / "new.png")
    assert len(rows(tmp_path / "out.csv")) == 7


@pytest.mark.slow
def test_a_run_folder_of_what_was_watched_is_that_of_a_run(
    command: Callable[..., Any], photos: Path, tmp_path: Path
) -> None:
    (photos / "0001.png").write_bytes(b"no image")
    watch = ("watch", photos, *DETECTOR, "--once", "--to", "folder:days")
    assert command(*watch).status == 0
    (photos / "new.png").write_bytes((photos / "0000.png").read_bytes())
    assert command(*watch).status == 0
    command("run", photos, *DETECTOR, "--out", "run", "--overlays", "none")
    [day] = (tmp_path / "days").iterdir()
    ran, watched = (
        {Path(row.image).name: row for row in read_rows(path)} for path in (tmp_path / "run", day)
    )
    assert watched.keys() == ran.keys()
    for name, row in ran.items():
        assert watched[name].score == (row.score and pytest.approx(row.score, abs=1e-5))
        assert watched[name].verdict == row.verdict
        assert (day / watched[name].map).exists()
    result = read_run(day).manifest.result
    assert result is not None
    assert result.images == len(ran)
    assert command("review", day, "--init", "verdicts.csv").status == 0


@pytest.mark.slow
def test_parts_are_judged_beside_their_images(
    command: Callable[..., Any], photos: Path, tmp_path: Path
) -> None:
    for number, path in enumerate(sorted(photos.glob("*.png"))):  # 0_cam0, 0_cam1, 1_cam0, …
        path.rename(photos / f"{number // 2}_cam{number % 2}.png")
    (photos / "1_cam1.png").write_bytes(b"no image")
    (photos / "2_cam1.png").unlink()
    words = ("--group", "pattern:([0-9])_cam", "--views", "2", "--once", "--to", "csv:out.csv")
    ended = command("watch", photos, *DETECTOR, *words)
    assert ended.status == 0, ended.error
    answers = {row["part"]: row["answer"] for row in rows(tmp_path / "out.csv") if row["part"]}
    assert answers == {"0": "OK", "1": "NG", "2": "NG"}
    assert "part 2: 1 of 2 views" in ended.out
    assert "3 parts (1 OK, 2 NG)" in ended.error
    ended = command("watch", photos, *DETECTOR, "--group", "folder")
    assert (ended.status, "--views N" in ended.error) == (2, True)


def test_a_source_or_sink_that_is_nothing_is_refused_at_once(
    command: Callable[..., Any], photos: Path
) -> None:
    ended = command("watch", "photo", *DETECTOR)
    assert (ended.status, "photo: no such folder" in ended.error) == (2, True)
    ended = command("watch", photos, *DETECTOR, "--to", "cvs:out.csv")
    assert (ended.status, "did you mean 'csv'" in ended.error) == (2, True)


def test_without_a_threshold_nothing_is_ok(command: Callable[..., Any], photos: Path) -> None:
    ended = command("watch", photos, *DETECTOR[:-2], "--once", "--json")
    answers = [json.loads(line)["answer"] for line in ended.out.splitlines()]
    assert answers == [""] * 6
    assert "give --threshold or a --model" in ended.error


@pytest.mark.slow
def test_what_a_sink_lacks_at_the_end_is_told_by_the_status_and_delivered_next_time(
    command: Callable[..., Any],
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "FIRST", 0.01)
    monkeypatch.setattr(delivery, "LONGEST", 0.01)
    (tmp_path / "out").write_text("")  # where a folder is to be
    watch = ("watch", photos, *DETECTOR, "--once", "--to", "csv:out/out.csv")
    ended = command(*watch)
    assert ended.status == 1
    assert "6 wait for csv:out/out.csv" in ended.error
    (tmp_path / "out").unlink()
    assert command(*watch).status == 0
    assert len(rows(tmp_path / "out" / "out.csv")) == 6


class Moody:
    """A source that does what it is told, in turn, each time that it is asked."""

    def __init__(self, *turns: Callable[[threading.Event], Iterator[Arrival | None]]) -> None:
        self.turns = list(turns)

    def arrivals(self, argument: str, stop: threading.Event) -> Iterator[Arrival | None]:
        yield from self.turns.pop(0)(stop)


def kept_watch(
    source: Moody,
    tmp_path: Path,
    ends: Callable[[Sequence[Message]], bool],
    silent: float = 60.0,
) -> Any:
    """Watch a source until what was said is enough; return that."""
    said: list[Message] = []
    came, stop = threading.Event(), threading.Event()

    def show(message: Message) -> None:
        said.append(message)
        if ends(said):
            stop.set()

    with Line(Station(), Ledger(tmp_path / "line.sqlite")) as line:
        feed = Feed(source, "camera", False, came, silent=silent)
        kept = KeptWatch(line, [feed], show, lambda text: None)
        kept.run(came, stop)
    return said, kept


def test_a_source_that_fails_is_an_alarm_until_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "FIRST", 0.01)
    monkeypatch.setattr(feed, "WORKS", 0.05)

    def fails(stop: threading.Event) -> Iterator[Arrival | None]:
        yield Arrival("1.png", tmp_path / "1.png", time.time())
        raise ConnectionError("no route\nto host")

    def fails_at_once(stop: threading.Event) -> Iterator[Arrival | None]:
        raise ConnectionError("no answer")
        yield

    def works(stop: threading.Event) -> Iterator[Arrival | None]:
        while not stop.wait(0.01):
            yield None

    turns = (fails, fails_at_once, fails_at_once, works)
    said, kept = kept_watch(Moody(*turns), tmp_path, lambda said: _states(said)[-1:] == ["back"])
    assert _states(said) == ["stopped", "back"]
    assert [each.answer for each in said if isinstance(each, Judgement)] == ["NG"]
    assert [each.reason for each in said if isinstance(each, Alarm)][1] == ""
    assert kept.stopped == {}


def test_a_source_that_fails_and_is_back_while_the_model_works_is_both_alarms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "FIRST", 0.0)
    told, path = threading.Event(), tmp_path / "1.png"

    def fails(stop: threading.Event) -> Iterator[Arrival | None]:
        yield Arrival("1.png", path, time.time(), judged=lambda judgement: bool(told.wait(60)))
        raise ConnectionError("a cable is loose")

    def works(stop: threading.Event) -> Iterator[Arrival | None]:
        yield Arrival("2.png", path, time.time())
        told.set()
        while not stop.wait(0.01):
            yield None

    said, _ = kept_watch(Moody(fails, works), tmp_path, lambda said: _states(said)[-1:] == ["back"])
    assert _states(said) == ["stopped", "back"]
    assert [each.reason for each in said if isinstance(each, Alarm)] == ["a cable is loose", ""]


def test_a_source_that_lives_for_a_moment_only_is_not_back_and_is_asked_less_and_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses, made = list[int](), Feed(Moody(), "camera", False, threading.Event())

    def counted(failures: int) -> float:
        pauses.append(failures)
        if failures == 3:
            made._stop.set()
        return 0.0

    def fails(stop: threading.Event) -> Iterator[Arrival | None]:
        yield None
        reasons.append(made.reason)
        raise ConnectionError("no answer")

    reasons = list[str]()
    made._source = Moody(fails, fails, fails)
    monkeypatch.setattr(feed, "pause", counted)
    made._work()
    assert (pauses, reasons) == ([1, 2, 3], ["", "no answer", "no answer"])
    assert made.faults() == ["no answer"] * 3


def test_silence_that_is_over_when_somebody_looks_is_a_fault() -> None:
    def pauses(stop: threading.Event) -> Iterator[Arrival | None]:
        yield None
        made._sign -= 60
        yield None

    made = Feed(Moody(pauses), "camera", False, threading.Event())
    made._work()
    [fault] = made.faults()
    assert (made.reason, fault.startswith("no sign of life for 6")) == ("", True)


def test_of_a_camera_that_has_stopped_nothing_that_waited_is_judged(tmp_path: Path) -> None:
    def fails(stop: threading.Event) -> Iterator[Arrival | None]:
        yield Arrival("1.png", tmp_path / "1.png", time.time())
        raise ConnectionError("a cable is loose")

    said, came, stop = list[Message](), threading.Event(), threading.Event()

    def show(message: Message) -> None:
        said.append(message)
        stop.set()

    with Line(Station(), Ledger(tmp_path / "line.sqlite")) as line:
        camera = Feed(Moody(fails), "camera", True, came)
        camera.start()
        while not camera.reason:
            assert came.wait(60)
        camera.start = lambda: None  # type: ignore[method-assign]
        kept = KeptWatch(line, [camera], show, lambda text: None)
        kept.run(came, stop)
    assert (_states(said), len(said), camera.dropped) == (["stopped"], 1, 1)


def test_a_source_that_fails_while_the_model_hangs_is_an_alarm_at_once(tmp_path: Path) -> None:
    told, waits = threading.Event(), list[bool]()

    def fails(stop: threading.Event) -> Iterator[Arrival | None]:
        yield Arrival("1.png", None, 0.0, judged=lambda judgement: waits.append(told.wait(20)))
        raise ConnectionError("a cable is loose")

    def ends(said: Sequence[Message]) -> bool:
        if _states(said):
            told.set()
        return len(said) == 2

    kept_watch(Moody(fails), tmp_path, ends)
    assert waits == [True]


def test_a_model_that_hangs_is_an_alarm_and_one_that_always_takes_long_is_none(
    tmp_path: Path,
) -> None:
    said, told, now = list[Message](), list[str](), [0.0]
    with Line(Station(), Ledger(tmp_path / "line.sqlite")) as line:
        lookout = Lookout(line, [], said.append, tell=told.append, clock=lambda: now[0])
        for seconds in (61, 100):
            with lookout.judging():
                now[0] += seconds
                lookout.look()
            lookout.look()
    alarms = [(each.source, each.state, each.reason) for each in said if isinstance(each, Alarm)]
    assert alarms == [("vlmad", "stopped", "judging has taken 61 s"), ("vlmad", "back", "")]
    assert told == ["judging has taken 61 s"]


def test_a_hang_is_told_as_soon_though_one_was_long_before(tmp_path: Path) -> None:
    said, now = list[Message](), [0.0]
    with Line(Station(), Ledger(tmp_path / "line.sqlite")) as line:
        lookout = Lookout(line, [], said.append, clock=lambda: now[0])
        for seconds in (6000, 601):
            with lookout.judging():
                now[0] += seconds
                lookout.look()
            lookout.look()
    assert _states(said) == ["stopped", "back"] * 2


def test_a_listener_that_hangs_is_an_alarm_that_sinks_hear_and_so_are_those_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_lookout, "LOOK", 0.01)
    came, stop, written = threading.Event(), threading.Event(), list[list[str]]()
    hangs, now, shown = threading.Event(), [0.0], list[Message]()

    def sends(stop: threading.Event) -> Iterator[Arrival | None]:
        yield Arrival("1.png", None, 0.0)
        hangs.wait(5)
        raise ConnectionError("a cable is loose")

    with Line(Station(), Ledger(tmp_path / "line.sqlite")) as line:

        def show(message: Message) -> None:
            shown.append(message)
            now[0] += 100
            hangs.set()
            until = time.monotonic() + 5
            while isinstance(message, Judgement) and time.monotonic() < until and not written:
                states = _states([each for _, each in line.ledger.latest(9)])
                if len(states) == 2:
                    written.append(states)
                time.sleep(0.01)
            if isinstance(message, Judgement):
                stop.set()

        camera = Feed(Moody(sends), "camera", False, came, silent=60.0)
        kept = KeptWatch(line, [camera], show, lambda text: None)
        kept._lookout.clock = lambda: now[0]
        kept.run(came, stop)
    assert written == [["stopped", "stopped"]]
    assert _states(shown)[:2] == ["stopped", "stopped"]


def test_an_alarm_that_cannot_be_written_down_ends_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(stop: threading.Event) -> Iterator[Arrival | None]:
        stop.set()
        raise ConnectionError("a cable is loose")
        yield

    monkeypatch.setattr(_lookout, "LOOK", 0.0)
    camera = Feed(Moody(fails), "camera", False, threading.Event())
    camera._work()
    with Line(Station(), Ledger(tmp_path / "line.sqlite")) as line:
        with sqlite3.connect(tmp_path / "line.sqlite") as other:
            other.execute("DROP TABLE seen")
        other.close()
        lookout = Lookout(line, [camera], lambda message: None)
        lookout._work()  # as in its thread
        with pytest.raises(OutputError, match="cannot write"):
            lookout.look()


def _states(said: Sequence[Message]) -> list[str]:
    return [each.state for each in said if isinstance(each, Alarm)]


def test_a_source_without_a_sign_of_life_is_an_alarm(tmp_path: Path) -> None:
    def hangs(stop: threading.Event) -> Iterator[Arrival | None]:
        yield None
        stop.wait(60)

    said, kept = kept_watch(Moody(hangs), tmp_path, lambda said: bool(said), silent=0.2)
    assert [each.state for each in said] == ["stopped"]
    assert "no sign of life" in said[0].reason
    assert "camera HAS STOPPED" in kept.status()


def test_of_a_camera_the_newest_image_counts_and_what_made_way_is_counted() -> None:
    came = threading.Event()

    def runs(stop: threading.Event) -> Iterator[Arrival | None]:
        for number in range(5):
            yield Arrival(str(number), Path("x"), 0.0)

    feed = Feed(Moody(runs), "camera", True, came)
    feed.start()
    feed._thread.join(60)
    assert ([each.name for each in feed.take(9)], feed.dropped) == (["4"], 4)


def test_few_images_that_lie_in_memory_wait_to_be_judged_but_many_files() -> None:
    frame = Image.new("RGB", (8, 8))

    def runs(stop: threading.Event) -> Iterator[Arrival | None]:
        for number in range(20):
            yield Arrival(f"file {number}", Path("x"), 0.0)
        for number in range(20):
            yield Arrival(f"frame {number}", frame, 0.0)
            asked.append(number)

    asked = list[int]()
    feed = Feed(Moody(runs), "film", False, threading.Event())
    feed.start()
    came = list[Arrival]()
    until = time.monotonic() + 60
    while len(came) < 40 and time.monotonic() < until:
        taken = feed.take(1)
        came += taken
        assert not asked or asked[-1] <= len(came) - 20 + IN_MEMORY
        feed._stop.wait(0 if taken else ROOM)
    feed.stop(60)
    assert [each.name.split()[0] for each in came] == ["file"] * 20 + ["frame"] * 20


def test_a_password_is_in_no_alarm() -> None:
    def fails(stop: threading.Event) -> Iterator[Arrival | None]:
        yield None
        raise OSError("rtsp://line:secret@camera/1?pin=4711 does not answer")

    feed = Feed(
        Moody(fails), "rtsp://line:secret@camera/1?pin=4711", True, came := threading.Event()
    )
    feed.start()
    assert came.wait(60)
    feed.stop(60)
    assert feed.name == "rtsp://line@camera/1?pin=***"
    assert feed.reason == f"{feed.name} does not answer"


def burst(folder: Path, count: int) -> None:
    """Write as many small images as fast as it goes."""
    Image.fromarray(np.full((32, 32, 3), 90, np.uint8)).save(folder / "0000.png")
    content = (folder / "0000.png").read_bytes()
    for number in range(1, count):
        (folder / f"{number:04d}.png").write_bytes(content)


@pytest.mark.slow
def test_of_a_burst_nothing_is_lost_or_doubled_though_it_is_killed_and_started_again(
    tmp_path: Path,
) -> None:
    folder, table, count = tmp_path / "in", tmp_path / "out.csv", 1000
    folder.mkdir()
    own = {**os.environ, "COLUMNS": "200"}
    words = [sys.executable, "-m", "vlmad", "watch", str(folder), *DETECTOR]
    words += ["--to", f"csv:{table}", "--ledger", str(tmp_path / "line.sqlite")]
    pipe = subprocess.PIPE

    def start() -> subprocess.Popen[str]:
        watch = subprocess.Popen(words, cwd=tmp_path, env=own, stdout=pipe, stderr=pipe, text=True)
        assert watch.stdout is not None
        return watch

    first = start()
    assert first.stderr is not None
    while "watching" not in first.stderr.readline():
        assert first.poll() is None
    burst(folder, count)
    assert first.stdout is not None
    for _ in range(count // 3):
        first.stdout.readline()
    first.kill()
    first.communicate()
    second = start()
    until = time.monotonic() + 240
    while len({row["image"] for row in rows(table)}) < count and time.monotonic() < until:
        time.sleep(0.2)
    second.send_signal(signal.SIGTERM)
    _, error = second.communicate(timeout=60)
    assert second.returncode == 0, error
    found = rows(table)
    assert len({row["image"] for row in found}) == count
    assert len({row["id"] for row in found}) == len(found) == count
    assert {row["answer"] for row in found} == {"OK"}


def test_the_unit_and_the_container_give_options_that_there_are(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    examples = Path(__file__).parents[2] / "examples" / "line"
    unit = (examples / "vlmad-watch.service").read_text().replace("\\\n", " ")
    [words] = [line.split()[1:] for line in unit.splitlines() if line.startswith("ExecStart=")]
    [built] = [
        json.loads(line.removeprefix("CMD "))
        for line in (examples / "Containerfile").read_text().splitlines()
        if line.startswith("CMD ")
    ]
    for each in (words, built):
        moved = [word.replace("csv:/", f"csv:{tmp_path}/") for word in each]
        ended = command(*moved)
        assert (ended.status, "nut.safetensors" in ended.error) == (2, True), ended.error


@pytest.mark.slow
def test_images_that_have_changed_are_an_alarm_that_stands_after_a_restart(
    command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vlmad_drift.station_drift.EVERY", 0)
    monkeypatch.setattr("vlmad_drift.station_drift.MOST_WAITING", 1000)
    rng, folder = np.random.default_rng(0), tmp_path / "day"
    folder.mkdir()
    texture = rng.integers(-20, 20, (24, 32, 3))
    watch = ("watch", "day", *DETECTOR, "--once", "--to", "csv:out.csv")
    for start in (0, 30, 60):
        for number in range(start, start + 30):
            light = rng.normal(100, 1) + (40 if start else 0)
            image = Image.fromarray((texture + light).astype(np.uint8))
            image.save(folder / f"{number:04d}.png")
        ended = command(*watch)
        assert ended.status == 0, ended.error
        told = ended.error.count("ALARM: images of object changed drift: ")
        assert (told > 0) == (start > 0), ended.error
        assert ended.error.count("OK, 'object': drift: ") == (start > 0)
    states = [row["answer"] for row in rows(tmp_path / "out.csv") if "ALARM" in row["answer"]]
    assert set(states) == {"ALARM changed"}
    assert command("drift", "vlmad-line.sqlite", "--reset").status == 0
    ended = command(*watch)
    assert "ALARM: images of object back begun anew by vlmad drift --reset" in ended.error
    assert "drift: " not in ended.error
