"""Cameras and films: their frames are images, and a camera that has stopped is an alarm."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np
import pytest
from PIL import Image

from vlmad.errors import InputError
from vlmad_line import camera as cameras
from vlmad_line._keeping_watch import KeptWatch
from vlmad_line.camera import CAMERA, Film
from vlmad_line.endpoints import Arrival
from vlmad_line.feed import Feed
from vlmad_line.judgements import Alarm, Judgement, Message
from vlmad_line.ledger import Ledger
from vlmad_line.line import Line
from vlmad_line.sources import feed_of
from vlmad_line.station import Station

from .conftest import CameraServer


def film(path: Path, count: int) -> Path:
    """Encode a film of frames that get lighter."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(count):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number * 20, np.uint8))
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def test_a_camera_that_is_killed_is_an_alarm_until_it_is_back(
    camera: CameraServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cameras, "TIMEOUT", 20.0)  # while others keep the processor busy
    said: list[Message] = []
    came, stop = threading.Event(), threading.Event()

    def show(message: Message) -> None:
        said.append(message)
        states = [each.state for each in said if isinstance(each, Alarm)]
        frames = len(said) - len(states)
        if not states and frames == 2:
            camera.kill()
        elif states == ["stopped"] and not camera.running:
            camera.start()
        elif states[-1:] == ["back"] and isinstance(message, Judgement):
            stop.set()

    with Line(Station(), Ledger(tmp_path / "line.sqlite")) as line:
        feed = Feed(CAMERA, camera.url, True, came, silent=60.0)
        KeptWatch(line, [feed], show, lambda text: None).run(came, stop)
    assert [each.state for each in said if isinstance(each, Alarm)] == ["stopped", "back"]
    frames = [each for each in said if isinstance(each, Judgement)]
    assert len({each.image for each in frames}) == len(frames) >= 3
    assert all(each.source == camera.url for each in said)


def test_the_frames_of_a_film_are_judged_each_once(tmp_path: Path) -> None:
    path = film(tmp_path / "clip.mp4", 5)
    stop = threading.Event()
    found = [*filter(None, Film().arrivals(str(path), stop))]
    assert [each.name for each in found] == [
        f"{path} frame {n} at {n / 10:.3f} s" for n in range(5)
    ]
    assert [_grey(each) for each in found] == pytest.approx([0, 20, 40, 60, 80], abs=4)
    seen = {each.key for each in found[:3]}
    again = [*filter(None, Film(seen).arrivals(str(path), stop))]
    assert [each.name for each in again] == [each.name for each in found[3:]]


def damage(path: Path, frames: slice) -> None:
    """Write over some frames of a film."""
    with av.open(str(path)) as whole:
        packets = [packet for packet in whole.demux(video=0) if packet.pos and packet.size]
        places = [(packet.pos, packet.size) for packet in packets]
    content = bytearray(path.read_bytes())
    for start, size in places[frames]:
        content[start : start + size] = b"\xa5" * size
    path.write_bytes(content)


def test_a_film_of_damaged_frames_only_is_judged_once_and_ends(tmp_path: Path) -> None:
    path = film(tmp_path / "clip.mp4", 5)
    damage(path, slice(None))
    clip = Film()
    found = [*filter(None, clip.arrivals(str(path), threading.Event()))]
    assert len(found) == 5
    assert all(each.fault for each in found)
    assert [*clip.arrivals(str(path), threading.Event())] == [None] * 5  # should it be asked again


def test_damaged_frames_of_a_film_have_names_and_keys_of_their_own(tmp_path: Path) -> None:
    path = film(tmp_path / "clip.mp4", 12)
    damage(path, slice(4, 7))
    found = [*filter(None, Film().arrivals(str(path), threading.Event()))]
    assert sum(bool(each.fault) for each in found) > 1
    assert len({each.name for each in found}) == len({each.key for each in found}) == len(found)


def test_a_film_is_watched_to_its_end(tmp_path: Path) -> None:
    path, came = film(tmp_path / "clip.mp4", 3), threading.Event()
    said: list[Any] = []
    with Line(Station(), Ledger(tmp_path / "line.sqlite")) as line:
        feed = feed_of(str(path), line.ledger, came, existing=False, poll=False, once=False)
        KeptWatch(line, [feed], said.append, lambda text: None).run(came, threading.Event())
    assert [each.answer for each in said] == ["NG"] * 3
    assert {each.reason for each in said} == {"no product is chosen"}


class HttpCamera(BaseHTTPRequestHandler):
    """Sends motion JPEG, or a playlist that names something else."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        kinds = {"/playlist": "application/vnd.apple.mpegurl"}
        camera = "multipart/x-mixed-replace; boundary=b"
        self.send_header("Content-Type", kinds.get(self.path, camera))
        self.end_headers()
        if self.path in kinds:
            lines = "#EXTM3U,#EXT-X-TARGETDURATION:5,#EXTINF:5,/other.ts,#EXT-X-ENDLIST,"
            self.wfile.write(lines.replace(",", "\n").encode())
            return
        for number in range(4):
            content = BytesIO()
            Image.new("RGB", (64, 48), (number * 40,) * 3).save(content, "JPEG")
            size = content.tell()
            self.wfile.write(b"--b\r\nContent-Type: image/jpeg\r\n")
            self.wfile.write(b"Content-Length: %d\r\n\r\n%s\r\n" % (size, content.getvalue()))

    def log_message(self, *_: object) -> None: ...


def test_of_http_motion_jpeg_is_taken_and_no_playlist() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), HttpCamera) as server:
        threading.Thread(target=server.serve_forever, args=[0.01]).start()
        url, stop = f"http://127.0.0.1:{server.server_port}", threading.Event()
        first = next(CAMERA.arrivals(f"{url}/camera", stop))
        assert first is not None
        assert isinstance(first.content, Image.Image)
        with pytest.raises(InputError, match="not a film that can be read"):
            next(CAMERA.arrivals(f"{url}/playlist", stop))
        server.shutdown()
    assert "/other.ts" not in HttpCamera.asked


class Photographer(BaseHTTPRequestHandler):
    """Answers with what the test says, to who knows the password."""

    answers: ClassVar[list[bytes | int]] = []
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        if "Authorization" not in self.headers:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Digest realm="camera", nonce="1", qop="auth"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.asked.append(f"{self.path} {self.headers['Authorization'].split()[0]}")
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.send_response(answer if isinstance(answer, int) else 200)
        if answer == 302:
            self.send_header("Location", "/elsewhere")
        content = b"" if isinstance(answer, int) else answer
        self.send_header("Content-Length", str(len(content) + 5 * content.endswith(b"cut")))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def photographer() -> Iterator[str]:
    """The address of a camera of single photographs."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Photographer) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield f"http://line:secret@127.0.0.1:{server.server_port}/photo.png"
        server.shutdown()
        thread.join()


def photograph(grey: int) -> bytes:
    content = BytesIO()
    Image.new("RGB", (8, 6), (grey,) * 3).save(content, "PNG")
    return content.getvalue()


def test_a_camera_of_photographs_is_asked_again_and_again(photographer: str) -> None:
    Photographer.answers[:] = [photograph(1), photograph(1), b"<html>", photograph(2)]
    Photographer.asked.clear()
    arrivals = CAMERA.arrivals(f"{photographer}?n=1#every:0.05", threading.Event())
    found = [*islice(filter(None, arrivals), 3)]
    assert [each.content and _grey(each) for each in found] == [1, None, 2]
    assert "not an image" in found[1].fault
    assert len({each.name for each in found}) == 3
    assert {each.source for each in found} == {
        photographer.replace(":secret", "") + "?n=1#every:0.05"
    }
    assert set(Photographer.asked) == {"/photo.png?n=1 Digest"}


def test_a_photograph_that_is_still_there_after_a_fault_is_not_judged_again(
    photographer: str,
) -> None:
    Photographer.answers[:] = [photograph(1), 503, photograph(1), photograph(2)]
    place, stop = f"{photographer}#every:0.05", threading.Event()
    found = list[Arrival]()
    with pytest.raises(InputError, match="503"):
        found.extend(filter(None, CAMERA.arrivals(place, stop)))
    found += islice(filter(None, CAMERA.arrivals(place, stop)), 1)
    found += islice(filter(None, CAMERA.arrivals(place, threading.Event())), 1)  # of another line
    assert [_grey(each) for each in found] == [1, 2, 2]


@pytest.mark.parametrize(
    ("answer", "how", "message"),
    [
        (500, "every:1", "it answers 500"),
        (302, "every:1", "it answers 302"),
        (b"cut", "every:1", "breaks off"),
        (b"", "every:1", "sends nothing"),
        (b"", "every:0", "how often is said as #every:SECONDS"),
        (b"", "often", "how often is said as #every:SECONDS"),
    ],
)
def test_a_camera_that_gives_no_photograph_has_stopped(
    photographer: str, answer: bytes | int, how: str, message: str
) -> None:
    Photographer.answers[:] = [answer]
    with pytest.raises(InputError, match=message) as raised:
        next(CAMERA.arrivals(f"{photographer}#{how}", threading.Event()))
    assert "secret" not in str(raised.value)
    assert "/elsewhere" not in " ".join(Photographer.asked)


def test_a_camera_of_photographs_that_stops_is_an_alarm_until_it_is_back(
    photographer: str, tmp_path: Path
) -> None:
    Photographer.answers[:] = [photograph(1), 503, photograph(2)]
    said: list[Message] = []
    came, stop = threading.Event(), threading.Event()

    def show(message: Message) -> None:
        said.append(message)
        if isinstance(message, Alarm) and message.state == "back":
            stop.set()

    with Line(Station(), Ledger(tmp_path / "line.sqlite")) as line:
        feed = Feed(CAMERA, f"{photographer}#every:0.1", True, came)
        KeptWatch(line, [feed], show, lambda text: None).run(came, stop)
    states = [(each.state, each.reason) for each in said if isinstance(each, Alarm)]
    assert [state for state, _ in states] == ["stopped", "back"]
    assert "503" in states[0][1]
    assert "secret" not in " ".join(each.to_json().decode() for each in said)


def _grey(arrival: Arrival) -> float:
    return float(np.asarray(arrival.content).mean())


def test_other_commands_are_told_that_a_camera_has_no_end(command: Callable[..., Any]) -> None:
    ended = command("run", "rtsp://line:secret@host/1")
    assert ended.status == 2
    assert "keep coming: vlmad watch rtsp://line@host/1" in ended.error
