"""What tests at a line need: judgements, and a real MQTT broker."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from vlmad_line.judgements import Judgement

BROKERS = ("mosquitto", "/usr/sbin/mosquitto")
_numbers = itertools.count(1)


def judgement(image: str = "", **other: Any) -> Judgement:
    """Return the judgement of an image that is OK, with an id of its own."""
    number = next(_numbers)
    ok: dict[str, Any] = {"answer": "OK", "score": 0.25, "threshold": 0.5}
    at = "2026-11-30T08:00:00.000+00:00"
    return Judgement(id=f"{number:032x}", at=at, image=image or f"{number}.png", **{**ok, **other})


def lacks(what: str) -> None:
    """Skip a test for want of a program; where everything is meant to be there, fail."""
    reason = f"no {what}: `make line` installs it or says what to install"
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Broker(NamedTuple):
    """A broker that can be ended and started again, on one port."""

    port: int
    program: str
    folder: Path
    running: list[subprocess.Popen[bytes]]

    def start(self) -> None:
        """Start it; it has what it had before."""
        config = self.folder / "broker.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\n"
            f"persistence true\npersistence_location {self.folder}/\n"
        )
        self.running.append(
            subprocess.Popen([self.program, "-c", config], stderr=subprocess.DEVNULL)
        )
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.01)
        pytest.fail("the broker does not answer")

    def end(self) -> None:
        """End it as a service is ended."""
        while self.running:
            process = self.running.pop()
            process.terminate()
            process.wait()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """An MQTT broker on loopback."""
    program = next(filter(None, map(shutil.which, BROKERS)), None)
    if program is None:
        lacks("mosquitto")
    folder = tmp_path / "broker"
    folder.mkdir()
    made = Broker(free_port(), str(program), folder, [])
    made.start()
    yield made
    made.end()


class CameraServer(NamedTuple):
    """An RTSP server of a test picture that can be killed and started again, on one port."""

    port: int
    running: list[subprocess.Popen[str]]

    @property
    def url(self) -> str:
        """The address of its camera."""
        return f"rtsp://127.0.0.1:{self.port}/camera"

    def start(self) -> None:
        """Start it."""
        server = Path(__file__).with_name("rtsp_server.py")
        words = ["/usr/bin/python3", str(server), str(self.port)]
        started = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.running.append(started)
        assert started.stdout is not None
        if started.stdout.readline() != "ready\n":
            lacks("RTSP server")

    def kill(self) -> None:
        """End it without a word."""
        while self.running:
            process = self.running.pop()
            process.kill()
            process.communicate()


@pytest.fixture
def camera() -> Iterator[CameraServer]:
    """An RTSP camera on loopback."""
    if not Path("/usr/bin/python3").exists():
        lacks("RTSP server")
    made = CameraServer(free_port(), [])
    try:
        made.start()
        yield made
    finally:
        made.kill()
