"""Each command on the pages of a line, a station, films, views and drift works as it stands there.

A camera and a broker are on other addresses here; what goes on until somebody ends it is ended by
Ctrl-C. Services and containers need a machine of their own: only their options are looked at.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vlmad_line import cli
from vlmad_serve.listening import StoppingServer

from ..conftest import SMALL, Ended, film, noise  # noqa: TID252 (tests are no package)
from .conftest import CameraServer

DOCS = Path(__file__).parents[2] / "docs"
CAMERA, PHOTOGRAPHS = "rtsp://line:secret@camera/stream", "http://camera/"
INSTEAD = {
    "mqtt://broker": "mqtt://127.0.0.1:1",
    "--rate 0.01": "--rate 0.5",  # which takes no ninety-nine parts
    "bench parts/": "bench labelled/",
    "…": "*",
}
FAILED = 2


def commands(page: str) -> list[str]:
    """Return what stands in the blocks of a page for a shell."""
    blocks = re.findall(
        r"^```\n(.*?)^```", (DOCS / page).read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith(("vlmad ", "openssl "))]


class Quiet(SimpleHTTPRequestHandler):
    """Gives the files of a folder."""

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def photographs(tmp_path: Path) -> Iterator[str]:
    """The address of what gives the files of the working folder."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def here(tmp_path: Path, command: Callable[..., Ended]) -> Path:
    """A folder with all that the pages name."""
    noise(tmp_path / "good", 4)
    noise(tmp_path / "photos", 2, seed=1)
    for part in ("parts/0001", "parts/0002", "good-parts/1", "good-parts/2", "good-parts/3"):
        (tmp_path / part).parent.mkdir(exist_ok=True)
        noise(tmp_path / part, 4, seed=len(list(tmp_path.rglob("*"))))
    for number in range(6):
        place = tmp_path / "labelled" / ("train/good", "test/good", "test/bad")[number % 3]
        place.mkdir(parents=True, exist_ok=True)
        for view in noise(tmp_path / f"S{number}", 5, seed=50 + number).iterdir():
            view.rename(place / f"S{number}_{view.name}")
    shutil.copy(tmp_path / "photos/0000.png", tmp_path / "photo.jpg")
    rng = np.random.default_rng(2)
    for name in ("clip", "good", "more"):
        noisy = [Image.fromarray(rng.integers(0, 255, (24, 32, 3), np.uint8)) for _ in range(25)]
        film(tmp_path / f"{name}.mp4", noisy, [n / 2 for n in range(25)])
    ended = command("fit", "good", *SMALL, "--class-name", "nut", "--out", "nut.safetensors")
    assert ended.status == 0, ended.error
    for name in ("bolt", "tile"):
        shutil.copy(tmp_path / "nut.safetensors", tmp_path / f"{name}.safetensors")
    return tmp_path


def judge_before(here: Path, command: Callable[..., Ended]) -> None:
    """Make the runs and the ledgers that the page on drift names."""
    fitted = ("--model", "nut.safetensors")
    runs = [f"vlmad-runs/{name}" for name in ("2026-05-01-120000-change", "today", "calibration")]
    for images, run in zip(("photos", "photos", "good"), runs, strict=True):
        assert command("run", images, *fitted, "--overlays", "none", "--out", run).status == 0
    for ledger in ("line.sqlite", "vlmad-line.sqlite"):
        command("watch", "photos", *fitted, "--existing", "--once", "--ledger", ledger)


@pytest.fixture
def ended_by_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C when a watch has shown what it judged, and when a server has started."""
    show, start, end = cli._show, StoppingServer.startup, cli._ending
    pressed: list[threading.Event] = []

    def ending(stop: threading.Event) -> Any:
        pressed.append(stop)
        return end(stop)

    def shown(message: Any, as_json: bool) -> None:
        show(message, as_json)
        if not pressed[-1].is_set():  # a second one would end it at once
            os.kill(os.getpid(), signal.SIGINT)

    async def started(server: StoppingServer, sockets: Any = None) -> None:
        await start(server, sockets)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(cli, "_show", shown)
    monkeypatch.setattr(cli, "_ending", ending)
    monkeypatch.setattr(StoppingServer, "startup", started)


def words_of(line: str) -> list[str]:
    """Return the words of a command, with a small model where it names none."""
    for there, here in INSTEAD.items():
        line = line.replace(there, here)
    words = shlex.split(line, comments=True)[1:]
    files = [word for word in words if word.endswith(".safetensors")]
    if words[0] == "fit" or (words[0] not in ("calibrate", "drift") and not files):
        words += SMALL
    if words[0] == "fit":
        words.append("--force")
    if words[0] == "watch" and "://" not in words[1]:
        words.append("--existing")
    return words + (["--port", "0"] if words[0] == "serve" else [])


@pytest.mark.slow
@pytest.mark.usefixtures("ended_by_ctrl_c")
@pytest.mark.parametrize("page", ["line.md", "serve.md", "video.md", "views.md", "drift.md"])
def test_the_commands_of_a_page_do_what_they_are_there_for(
    page: str,
    here: Path,
    command: Callable[..., Ended],
    photographs: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(INSTEAD, PHOTOGRAPHS, photographs)
    playwrights, _ = asyncio._get_running_loop(), asyncio._set_running_loop(None)
    request.addfinalizer(lambda: asyncio._set_running_loop(playwrights))  # of a test before
    lines = commands(page)
    if any(CAMERA in line for line in lines):
        camera: CameraServer = request.getfixturevalue("camera")
        monkeypatch.setitem(INSTEAD, CAMERA, camera.url)
    assert len(lines) > 3
    if page == "drift.md":
        judge_before(here, command)
    for line in lines:
        if not line.startswith("vlmad "):
            subprocess.run(["sh", "-c", line], cwd=here, check=True, capture_output=True)
            continue
        for ledger in here.glob("vlmad-line.sqlite*") if "watch" in line else ():
            ledger.unlink()  # else nothing is new to this one
        ended = command(*words_of(line))
        assert ended.status != FAILED, f"{line}\n{ended.error}"
        assert "Traceback" not in ended.error
        if "watch" in line:
            assert re.search("^(OK|NG|) *[0-9.-]+ ", ended.out, re.MULTILINE), (
                f"{line}\n{ended.out}"
            )
