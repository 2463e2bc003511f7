"""Frames of Aravis's fake camera on the loopback, which is killed and comes back."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from ctypes.util import find_library

import pytest
from PIL import Image
from vlmad.errors import InputError
from vlmad.registry import Registry
from vlmad_line.endpoints import Arrival, KeepsComing, NewestCounts

from vlmad_genicam.aravis import DAMAGED, Camera
from vlmad_genicam.source import SOURCE, parse

FAKE = "arv-fake-gv-camera-0.8"
PLACE = "genicam://127.0.0.1?silent=1"
MANY = 400
"""Looks until a test gives up; far more than anything takes."""


@pytest.fixture
def fake() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Yield what starts a camera."""
    if shutil.which(FAKE) is None or find_library("aravis-0.8") is None:
        reason = "there is no Aravis: apt-get install libaravis-0.8-0 aravis-tools"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    started: list[subprocess.Popen[bytes]] = []

    def start(*options: str) -> subprocess.Popen[bytes]:
        words = [FAKE, "-i", "127.0.0.1", *options]
        started.append(subprocess.Popen(words, stdout=subprocess.DEVNULL))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def first_of(argument: str, stop: threading.Event) -> tuple[Arrival, Iterator[Arrival | None]]:
    """Open a camera that may not be up yet, and return its first frame and the rest."""
    for _ in range(MANY):
        arrivals = SOURCE.arrivals(argument, stop)
        try:
            for arrival in arrivals:
                if arrival is not None:
                    return arrival, arrivals
        except InputError as error:
            assert "127.0.0.1" in str(error)
            stop.wait(0.05)
    raise AssertionError("no camera came up")


def test_frames_come_until_the_camera_is_killed_and_again_when_it_is_back(
    fake: Callable[..., subprocess.Popen[bytes]],
) -> None:
    stop = threading.Event()
    process = fake()
    first, arrivals = first_of(PLACE, stop)
    second = next(filter(None, arrivals))
    assert isinstance(first.content, Image.Image)
    assert (first.content.size, first.content.mode) == ((512, 512), "L")
    assert any(first.content.tobytes())
    assert first.name != second.name
    assert first.at <= second.at
    process.kill()
    process.wait()
    with pytest.raises(InputError, match="has sent no whole frame for 1 s"):
        for arrival in arrivals:
            assert arrival is None or arrival.name > second.name
    with pytest.raises(InputError, match=r"127\.0\.0\.1"):
        next(SOURCE.arrivals(PLACE, stop))
    fake()
    third, arrivals = first_of(PLACE, stop)
    assert third.at > second.at
    stop.set()
    assert [arrival for arrival in arrivals if arrival is not None] == []


def test_a_frame_that_lost_packets_is_a_fault_and_not_silence(
    fake: Callable[..., subprocess.Popen[bytes]],
) -> None:
    fake("-r", "20")  # of about 190 packets of a frame
    stop = threading.Event()
    first, arrivals = first_of("genicam://127.0.0.1?silent=60", stop)
    lost = first
    for _, arrival in zip(range(MANY), arrivals, strict=False):
        lost = arrival or lost
        if lost.fault:
            break
    assert lost.content is None
    assert lost.fault in DAMAGED.values()


def test_a_camera_is_given_back_and_refuses_a_format_that_it_lacks(
    fake: Callable[..., subprocess.Popen[bytes]],
) -> None:
    fake()
    stop = threading.Event()
    _, arrivals = first_of(PLACE, stop)
    arrivals.close()  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=r"127\.0\.0\.1"), Camera("127.0.0.1", "Colour9"):
        pass
    with Camera("127.0.0.1", "Mono8") as camera:
        frames = [camera.newest(0.5) for _ in range(4)]
    assert any(frames)


def test_the_source_is_found_and_keeps_bringing_images() -> None:
    found = Registry.discover().get("source", "genicam").resolve()
    assert isinstance(found, KeepsComing)
    assert isinstance(found, NewestCounts)
    with pytest.raises(InputError, match="use vlmad watch"):
        SOURCE(PLACE)


@pytest.mark.parametrize(
    "argument", ["genicam://a/b", "genicam://a?colour=1", "genicam://a?silent=0", "genicam://a?x"]
)
def test_an_argument_of_another_form_is_refused(argument: str) -> None:
    with pytest.raises(InputError, match="is not of the form genicam://CAMERA"):
        parse(argument)
