"""Cameras by URL, and films: their frames as they come.

Of a camera the newest frame counts. One that ends, does not answer or sends nothing has stopped;
it is connected to again. A frame that is damaged is an image that cannot be judged. Over HTTP a
camera sends a film, or is asked for photographs (`vlmad_line._snapshots`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from weakref import WeakKeyDictionary

from vlmad.errors import InputError
from vlmad_line._snapshots import photographs
from vlmad_line.endpoints import Arrival
from vlmad_line.sinks import without_password
from vlmad_line.watched_folder import key_of_file, stamp_of
from vlmad_video.film import frames

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from threading import Event

    from vlmad_video.film import FilmFrame

TIMEOUT = 5.0
"""Seconds without data after which a camera has gone away."""
V4L2 = "v4l2"
PHOTOGRAPHS = "; of a camera that gives single photographs say how often: …#every:2"
BY_HTTP = {
    "fflags": "nobuffer",
    "format_whitelist": "mpjpeg,mjpeg,mpegts",
    "protocol_whitelist": "http,https,tcp,tls",
}
"""What answers may be no camera, and name files and other machines, as in a playlist."""
OPTIONS = {
    "rtsp": {"rtsp_transport": "tcp", "fflags": "nobuffer"},
    "rtsps": {"rtsp_transport": "tcp", "fflags": "nobuffer"},
    "http": BY_HTTP,
    "https": BY_HTTP,
}
"""FFmpeg's, by scheme: frames without gaps, and none that wait for others."""


class Camera:
    """What an address of a camera names; a source for ``vlmad watch``."""

    newest_counts = True

    def __init__(self) -> None:
        self._latest: WeakKeyDictionary[Event, dict[str, bytes]] = WeakKeyDictionary()
        """Of whoever asks, known by what stops it: the photograph that it has, by argument."""

    def __call__(self, argument: str) -> NoReturn:
        """Refuse: there is no end of its images."""
        shown = without_password(argument)
        raise InputError(f"{shown}: the images of a camera keep coming: vlmad watch {shown}")

    def arrivals(self, argument: str, stop: Event) -> Iterator[Arrival | None]:
        """Yield frames as they are decoded.

        Raises:
            InputError: it does not answer, or has gone away.
        """
        scheme, _, rest = argument.partition("://")
        if scheme in ("http", "https") and "#" in rest:
            yield from photographs(argument, stop, TIMEOUT, self._latest.setdefault(stop, {}))
            return
        shown = without_password(argument)
        place, container = (rest, V4L2) if scheme == V4L2 else (argument, None)
        try:
            for frame in frames(
                place, container=container, options=OPTIONS.get(scheme), timeout=TIMEOUT
            ):
                if stop.is_set():
                    return
                now = time.time()
                moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
                yield _arrival(frame, f"{shown} {moment}", now, shown)
        except InputError as error:  # it may say the whole address
            hint = PHOTOGRAPHS if scheme in ("http", "https") else ""
            raise InputError(str(error).replace(argument, shown) + hint) from None
        raise InputError(f"{shown} sends no more")


CAMERA = Camera()


@dataclass
class Film:
    """The frames of a film file, each once; a source that ends.

    Args:
        seen: keys of frames that were judged before.
    """

    seen: Collection[str] = field(default=())
    _done: set[str] = field(default_factory=set)

    def arrivals(self, argument: str, stop: Event) -> Iterator[Arrival | None]:
        """Yield all frames that were not judged.

        Raises:
            InputError: it is no film that can be read.
        """
        stamp = stamp_of(Path(argument)) or (0, 0)
        for number, frame in enumerate(frames(argument)):
            if stop.is_set():
                return
            name = f"{argument} frame {number} at {frame.time:.3f} s"  # a damaged one has no time
            key = key_of_file(Path(name), stamp)
            yield None
            if key not in self.seen and key not in self._done:
                self._done.add(key)
                yield _arrival(frame, name, time.time(), argument, key)


def _arrival(frame: FilmFrame, name: str, at: float, source: str, key: str = "") -> Arrival:
    return Arrival(name, frame.image, at, source, key, fault=frame.fault)
