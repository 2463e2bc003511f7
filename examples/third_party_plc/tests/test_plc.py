"""The PLC hears OK of good parts only, and of nothing that went wrong."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pytest
from PIL import Image
from vlmad.errors import InputError
from vlmad.registry import Registry
from vlmad_line.endpoints import Arrival, KeepsComing
from vlmad_line.judgements import Judgement
from vlmad_line.watched_folder import stamp_of

from vlmad_plc.handshake import Handshake
from vlmad_plc.images import FolderImages, SourceImages, open_images
from vlmad_plc.registers import Fault, Registers, State, Verdict
from vlmad_plc.simulator import PATIENCE, PlcProgram, PlcServer
from vlmad_plc.source import SOURCE, parse

Judge = Callable[[Arrival], Judgement | None]


def judgement(name: str, answer: str) -> Judgement:
    """OK, NG or nothing of an image; `lost` of one that could not be scored."""
    facts: dict[str, object] = {"id": "0" * 32, "at": "now", "image": name, "reason": "because"}
    if answer == "lost":
        return Judgement.model_validate({**facts, "answer": "NG"})
    score = 1.0 if answer == "NG" else 0.1
    return Judgement.model_validate({**facts, "answer": answer, "score": score, "threshold": 0.5})


def by_name(arrival: Arrival) -> Judgement:
    """Judge an image as the name of its file begins."""
    answer = Path(arrival.name).name.split("-")[0]
    return judgement(arrival.name, "" if answer == "none" else answer)


@pytest.fixture
def server() -> Iterator[PlcServer]:
    with PlcServer() as server:
        yield server


@pytest.fixture
def plc(server: PlcServer) -> PlcProgram:
    return PlcProgram(server.port)


@pytest.fixture
def camera(tmp_path: Path) -> Path:
    """A folder that a camera writes to."""
    (tmp_path / "camera").mkdir()
    return tmp_path / "camera"


def shoot(camera: Path, name: str) -> None:
    """Write an image as cameras do: under another name first."""
    partly = camera.parent / f"{name}.png"
    Image.new("RGB", (32, 32), "grey").save(partly)
    partly.rename(camera / partly.name)


@contextmanager
def line(
    server: PlcServer, camera: Path, judge: Judge = by_name, limit: float = 60
) -> Iterator[threading.Event]:
    """Judge what the PLC asks for in a thread, as a line does, until the event is set."""
    argument = f"modbus://127.0.0.1:{server.port}/?from={camera}&limit={limit}&quiet=0.1"
    stop = threading.Event()

    def run() -> None:
        for arrival in SOURCE.arrivals(argument, stop):
            said = judge(arrival) if arrival is not None else None
            if arrival is not None and arrival.judged is not None and said is not None:
                arrival.judged(said)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def answer(plc: PlcProgram, camera: Path, part: int, name: str) -> tuple[Verdict, Fault]:
    plc.wait_for(State.READY)
    plc.trigger(part)
    shoot(camera, name)
    said = plc.wait_for(State.ANSWERED, part)
    assert plc.is_good(part) is (said.verdict is Verdict.OK)
    plc.release()
    return said.verdict, said.fault


def test_the_source_is_found_and_keeps_bringing_images() -> None:
    found = Registry.discover().get("source", "modbus").resolve()
    assert isinstance(found, KeepsComing)
    with pytest.raises(InputError, match="use vlmad watch"):
        SOURCE("modbus://plc/?from=camera")


def test_each_part_gets_its_own_answer(server: PlcServer, plc: PlcProgram, camera: Path) -> None:
    shoot(camera, "OK-of-yesterday")
    with line(server, camera):
        assert answer(plc, camera, 7, "OK-1") == (Verdict.OK, Fault.NONE)
        assert not plc.is_good(8)
        assert answer(plc, camera, 8, "NG-1") == (Verdict.NG, Fault.NONE)
        assert answer(plc, camera, 9, "none-1") == (Verdict.NG, Fault.NO_THRESHOLD)
        assert answer(plc, camera, 10, "lost-1") == (Verdict.NG, Fault.NOT_SCORED)
        assert answer(plc, camera, 11, "OK-1") == (Verdict.OK, Fault.NONE)  # written over
        beats = {plc.wait_for(State.READY).heartbeat}
        until = time.monotonic() + PATIENCE
        while len(beats) < 3 and time.monotonic() < until:
            beats.add(plc.hears().heartbeat)
        assert len(beats) >= 3
    assert plc.hears().state is State.OFF


def test_without_an_image_or_a_judgement_in_time_a_part_is_not_good(
    server: PlcServer, plc: PlcProgram, camera: Path
) -> None:
    kept: list[Arrival] = []
    with line(server, camera, judge=lambda arrival: kept.append(arrival), limit=0.3):
        said = plc.ask(1)
        assert (said.verdict, said.fault) == (Verdict.NG, Fault.NO_IMAGE)
        assert answer(plc, camera, 2, "OK-1") == (Verdict.NG, Fault.TOO_LATE)
        [late] = kept
        assert late.judged is not None
        late.judged(judgement("OK-1", "OK"))  # nobody believes it any more
        said = plc.ask(3)
        assert (said.verdict, said.fault) == (Verdict.NG, Fault.NO_IMAGE)


def test_an_image_that_came_before_its_trigger_is_of_no_part(
    server: PlcServer, plc: PlcProgram, camera: Path
) -> None:
    with line(server, camera, limit=0.5):
        before = plc.wait_for(State.READY).heartbeat
        shoot(camera, "OK-early")
        until = time.monotonic() + PATIENCE
        while plc.hears().heartbeat - before < 3 and time.monotonic() < until:
            time.sleep(0.01)  # vlmad has looked into the folder meanwhile
        said = plc.ask(1)
    assert (said.verdict, said.fault) == (Verdict.NG, Fault.NO_IMAGE)


def test_an_image_that_is_replaced_while_it_is_judged_does_not_count(
    server: PlcServer, plc: PlcProgram, camera: Path
) -> None:
    stamps = list[tuple[int, int] | None]()

    def judge(arrival: Arrival) -> Judgement:
        stamps.append(stamp_of(camera / "OK-1.png"))
        stamps.append(arrival.stamp)  # by which a station knows, too, that it was replaced
        shoot(camera, "OK-1")
        return by_name(arrival)

    with line(server, camera, judge):
        assert answer(plc, camera, 1, "OK-1") == (Verdict.NG, Fault.NOT_SCORED)
    assert stamps[0] == stamps[1] is not None


class Stepped:
    """A handshake that goes on by steps, in a time that the test tells."""

    def __init__(self, server: PlcServer, plc: PlcProgram, images: FolderImages) -> None:
        self.now, self.plc = 0.0, plc
        registers = Registers("127.0.0.1", server.port).__enter__()
        stop = threading.Event()
        self.steps = Handshake(registers, images, 5.0, 5.0, stop, lambda: self.now).run()

    def until(self, state: State, part: int = 0) -> tuple[Verdict, Fault]:
        """Go on until the PLC hears of a state."""
        for _ in range(50):
            assert next(self.steps) is None
            said = self.plc.hears()
            if (said.state, said.part) == (state, part):
                return said.verdict, said.fault
        raise AssertionError(f"{said}")

    def image(self) -> Arrival:
        """Go on until there is an image to judge."""
        return next(arrival for arrival in islice(self.steps, 50) if arrival is not None)

    def is_quiet(self, seconds: float) -> None:
        """Let time pass in which the next part may not be triggered."""
        for _ in range(4):
            self.now += seconds / 4
            next(self.steps)
            assert self.plc.hears().state in (State.OFF, State.ANSWERED)


def test_an_image_of_a_part_that_was_given_up_is_not_that_of_the_next(
    server: PlcServer, plc: PlcProgram, camera: Path
) -> None:
    plc.trigger(1)
    with FolderImages(camera) as images:
        line = Stepped(server, plc, images)
        assert line.until(State.ANSWERED, 1) == (Verdict.NG, Fault.NOT_THERE)
        for part in (2, 3):
            plc.release()
            line.is_quiet(4.5)
            shoot(camera, f"OK-of-part-{part - 1}")
            line.is_quiet(4.5)
            line.now += 6
            line.until(State.READY)
            plc.trigger(part)
            line.until(State.BUSY, part)
            line.now += 6
            assert line.until(State.ANSWERED, part) == (Verdict.NG, Fault.NO_IMAGE)


def test_an_image_of_a_part_whose_answer_was_broken_off_is_not_that_of_the_next(
    server: PlcServer, plc: PlcProgram, camera: Path
) -> None:
    with FolderImages(camera) as images:
        line = Stepped(server, plc, images)
        line.is_quiet(4.5)
        line.now += 6
        line.until(State.READY)
        plc.trigger(1)
        line.until(State.BUSY, 1)
        line.steps.close()
    plc.release()
    with FolderImages(camera) as images:
        line = Stepped(server, plc, images)
        line.is_quiet(4.5)
        shoot(camera, "OK-of-part-1")
        line.is_quiet(4.5)


def test_a_judgement_that_came_too_late_is_not_believed_in_whatever_thread(
    server: PlcServer, plc: PlcProgram, camera: Path
) -> None:
    with FolderImages(camera) as images:
        line = Stepped(server, plc, images)
        line.is_quiet(4.5)
        line.now += 6
        for part, seconds in ((1, 6.0), (2, 1.0)):
            line.until(State.READY)
            plc.trigger(part)
            line.until(State.BUSY, part)
            shoot(camera, f"OK-{part}")
            arrival = line.image()
            line.now += seconds
            assert arrival.judged is not None
            arrival.judged(by_name(arrival))
            late = seconds > 5
            expected = (Verdict.NG, Fault.TOO_LATE) if late else (Verdict.OK, Fault.NONE)
            assert line.until(State.ANSWERED, part) == expected
            plc.release()


def test_of_two_images_within_a_trigger_neither_counts(
    server: PlcServer, plc: PlcProgram, camera: Path
) -> None:
    def judge(arrival: Arrival) -> Judgement:
        shoot(camera, "OK-2")
        return by_name(arrival)

    with line(server, camera, judge):
        assert answer(plc, camera, 1, "NG-1") == (Verdict.NG, Fault.NOT_SCORED)
    with FolderImages(camera) as images:
        shoot(camera, "NG-3")
        shoot(camera, "OK-4")
        assert images.take() is None
        taken = images.take()
        assert taken is not None
        assert not taken[1]()
        assert (images.forget(), images.forget()) == (True, False)


def test_a_half_written_image_is_waited_for(
    server: PlcServer, plc: PlcProgram, camera: Path, tmp_path: Path
) -> None:
    shoot(tmp_path / "camera", "OK-2")
    whole = (camera / "OK-2.png").read_bytes()
    with line(server, camera):
        plc.wait_for(State.READY)
        plc.trigger(1)
        (camera / "OK-3.png").write_bytes(whole[:60])
        plc.wait_for(State.BUSY, 1)
        beat = plc.hears().heartbeat
        until = time.monotonic() + PATIENCE
        while plc.hears().heartbeat == beat and time.monotonic() < until:
            time.sleep(0.01)  # it has looked at the half
        assert plc.hears().state is State.BUSY
        (camera / "OK-3.png").write_bytes(whole)
        assert plc.wait_for(State.ANSWERED, 1).verdict is Verdict.OK


def test_an_image_whose_room_was_made_before_it_was_filled_is_waited_for(camera: Path) -> None:
    now, path = [0.0], camera / "OK-1.bmp"
    Image.new("RGB", (32, 32), "white").save(whole := camera.parent / "whole.bmp")
    content = whole.read_bytes()
    with FolderImages(camera, lambda: now[0]) as images:
        path.write_bytes(content[:-1000] + bytes(1000))
        for _ in range(3):
            assert images.take() is None
            now[0] += 0.3
        path.write_bytes(content)
        assert images.take() is None
        taken = images.take()
        assert taken is not None
        path.write_bytes(content[:-100] + bytes(100))  # black, not empty: nobody knows
        assert images.take() is None
        now[0] += 1.1
        assert images.take() is not None


def test_an_image_of_a_disk_that_was_away_for_a_moment_is_not_new(camera: Path) -> None:
    shoot(camera, "OK-1")
    with FolderImages(camera) as images:
        images.forget()
        (camera / "OK-1.png").rename(camera.parent / "away")
        images.look()
        images.forget()
        (camera.parent / "away").rename(camera / "OK-1.png")
        assert (images.take(), images.take()) == (None, None)


def test_a_link_to_nothing_is_no_image(camera: Path) -> None:
    with FolderImages(camera) as images:
        (camera / "OK-1.png").symlink_to("nowhere.png")
        assert (images.take(), images.take()) == (None, None)


def test_a_trigger_from_before_the_start_and_one_at_the_stop_are_not_good(
    server: PlcServer, plc: PlcProgram, camera: Path
) -> None:
    plc.trigger(5)
    with line(server, camera) as stop:
        said = plc.wait_for(State.ANSWERED, 5)
        assert (said.verdict, said.fault) == (Verdict.NG, Fault.NOT_THERE)
        plc.release()
        plc.wait_for(State.READY)
        plc.trigger(6)
        plc.wait_for(State.BUSY, 6)
        stop.set()
        said = plc.wait_for(State.OFF, 6)
    assert (said.verdict, said.fault) == (Verdict.NG, Fault.STOPPED)


def test_a_part_that_the_plc_gives_up_is_let_go(
    server: PlcServer, plc: PlcProgram, camera: Path
) -> None:
    with line(server, camera, limit=0.5):
        plc.wait_for(State.READY)
        plc.trigger(1)
        plc.wait_for(State.BUSY, 1)
        plc.release()
        plc.wait_for(State.READY)
        assert answer(plc, camera, 2, "OK-1") == (Verdict.OK, Fault.NONE)


def test_a_folder_or_plc_that_goes_away_is_an_error_and_a_waiting_part_is_not_good(
    server: PlcServer, plc: PlcProgram, camera: Path
) -> None:
    argument = f"modbus://127.0.0.1:{server.port}/?from={camera}&quiet=0.1"
    arrivals = SOURCE.arrivals(argument, threading.Event())
    assert next(arrivals) is None
    plc.trigger(1)
    plc_waits = plc.hears
    while plc_waits().state is not State.BUSY:
        assert next(arrivals) is None
    shutil.rmtree(camera)
    with pytest.raises(InputError, match="camera: No such file"):
        list(arrivals)
    said = plc.hears()
    assert (said.state, said.part, said.verdict) == (State.OFF, 1, Verdict.NG)
    camera.mkdir()
    plc.release()
    arrivals = SOURCE.arrivals(argument, threading.Event())
    assert next(arrivals) is None
    server.__exit__()
    with pytest.raises(InputError, match="does not answer"):
        list(arrivals)
    with pytest.raises(InputError, match="does not answer"):
        next(SOURCE.arrivals(argument, threading.Event()))
    with PlcServer(server.port):
        assert next(SOURCE.arrivals(argument, threading.Event())) is None


OTHER_LINE = """
import sys, threading
sys.path.insert(0, sys.argv[2])
from test_plc import SOURCE, by_name
for arrival in SOURCE.arrivals(sys.argv[1], threading.Event()):
    if arrival is not None:
        arrival.judged(by_name(arrival))
"""


def test_when_vlmad_is_killed_no_later_part_is_good(
    server: PlcServer, plc: PlcProgram, camera: Path
) -> None:
    argument = f"modbus://127.0.0.1:{server.port}/?from={camera}&quiet=0.1"
    words = [sys.executable, "-c", OTHER_LINE, argument, str(Path(__file__).parent)]
    with subprocess.Popen(words) as process:
        plc.wait_for(State.READY)
        plc.trigger(1)
        shoot(camera, "OK-1")
        plc.wait_for(State.ANSWERED, 1)
        assert plc.is_good(1)
        process.send_signal(signal.SIGKILL)
    plc.trigger(2)
    shoot(camera, "OK-2")
    assert not plc.is_good(2)
    with line(server, camera):
        said = plc.wait_for(State.ANSWERED, 2)
        assert (said.verdict, said.fault) == (Verdict.NG, Fault.NOT_THERE)


class Frames:
    """A camera that brings as many frames as it is told to."""

    def __init__(self) -> None:
        self.more, self.fails = threading.Semaphore(0), False

    def arrivals(self, argument: str, stop: threading.Event) -> Iterator[Arrival | None]:
        number = 0
        while not stop.is_set():
            if self.more.acquire(timeout=0.01):
                if self.fails:
                    raise InputError("the cable is loose")
                number += 1
                yield Arrival(f"frame {number}", Image.new("RGB", (8, 8)), time.time())
            else:
                yield None


def taken(images: SourceImages) -> str:
    until = time.monotonic() + PATIENCE
    while (found := images.take()) is None:
        assert time.monotonic() < until
    return found[0].name


def test_of_a_camera_the_frames_before_a_trigger_are_let_go() -> None:
    camera = Frames()
    with SourceImages(camera, "camera://1") as images:
        camera.more.release(3)
        assert taken(images) == "frame 2"  # the exposure of the first may have begun before
        images.forget()
        camera.more.release(2)
        assert taken(images) in ("frame 4", "frame 5")  # frame 3 may still have been on its way
        images.begin()
        assert images.take() is None
        camera.fails = True
        camera.more.release()
        with pytest.raises(InputError, match="camera://1: the cable is loose"):
            for _ in iter(int, 1):
                images.take()


def test_as_many_frames_are_let_go_as_a_camera_lags_behind(tmp_path: Path) -> None:
    camera = Frames()
    with SourceImages(camera, "camera://1", skipped=3) as images:
        camera.more.release(6)
        assert taken(images) == "frame 4"
    assert parse("modbus://plc/?from=a&skip=3").skip == 3
    with pytest.raises(InputError, match="skip= is for cameras"):
        open_images(str(tmp_path), skipped=3)


@pytest.mark.parametrize(
    "argument",
    [
        "modbus://",
        "modbus://plc",
        "modbus://plc/?from=",
        "modbus://plc:port/?from=a",
        "modbus://plc/?from=a&limit=nan",
        "modbus://plc/?from=a&limit=0",
        "modbus://plc/?from=a&quiet=0",
        "modbus://plc/?from=a&base=-1",
        "modbus://plc/?from=a&from=b",
        "modbus://plc/?from=a&skip=-1",
        "modbus://plc/?from=a&colour=red",
    ],
)
def test_an_argument_of_another_form_is_refused(argument: str) -> None:
    with pytest.raises(InputError, match="is not of the form modbus://HOST:PORT"):
        parse(argument)
