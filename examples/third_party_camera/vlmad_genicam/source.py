"""The source ``genicam://CAMERA?format=Mono8``: frames of an industrial camera."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from vlmad.errors import InputError
from vlmad_line.endpoints import Arrival

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from threading import Event

    from vlmad_genicam.aravis import Frame

SILENT = 5.0
"""Seconds without a whole frame after which a camera counts as gone, where nobody says."""
WAITED = 0.25
FORM = "genicam://CAMERA?format=PIXELFORMAT&silent=SECONDS"


def parse(argument: str) -> tuple[str, str, float]:
    """Return camera, pixel format and the longest silence that an argument asks for.

    Raises:
        InputError: it is not of that form.

    >>> parse("genicam://Aravis-Fake-GV01?format=Mono8")
    ('Aravis-Fake-GV01', 'Mono8', 5.0)
    """
    try:
        url = urlsplit(argument)
        given = parse_qs(url.query, strict_parsing=bool(url.query), max_num_fields=4)
        if given.keys() - {"format", "silent"} or url.path.strip("/") or "\0" in argument:
            raise ValueError
        silent = float(given.get("silent", [str(SILENT)])[0])
        if not 0 < silent < 86400:
            raise ValueError
        return unquote(url.netloc), given.get("format", [""])[0], silent
    except ValueError as error:
        raise InputError(f"'{argument}' is not of the form {FORM}") from error


class GenicamSource:
    """Frames of a camera, the newest whenever one is asked for; registered as ``genicam``."""

    newest_counts = True
    """A frame that waits to be judged makes way for the next."""

    def __call__(self, argument: str) -> Iterable[Path]:
        """Refuse: a camera has no end."""
        raise InputError(f"{argument}: a camera has no end: use vlmad watch")

    def arrivals(self, argument: str, stop: Event) -> Iterator[Arrival | None]:
        """Yield frames as they come, and None where none does; see `KeepsComing`.

        What came while an earlier frame was judged is let go, but for the newest. One that lost
        packets has a fault, which is NG.

        Raises:
            InputError: the argument is wrong, or the camera is not there or has gone silent.
        """
        from vlmad_genicam.aravis import Camera

        name, pixel_format, silent = parse(argument)
        with Camera(name, pixel_format) as camera:
            heard = time.monotonic()
            while not stop.is_set():
                frame = camera.newest(WAITED)
                if frame is not None and frame.image is not None:
                    heard = time.monotonic()
                elif time.monotonic() - heard > silent:
                    raise InputError(f"{camera.name} has sent no whole frame for {silent:g} s")
                yield None if frame is None else _arrival(camera.name, frame)


def _arrival(camera: str, frame: Frame) -> Arrival:
    now = time.time()
    at = datetime.fromtimestamp(now, UTC).isoformat(timespec="microseconds")
    return Arrival(f"{camera} {at} frame {frame.number}", frame.image, now, fault=frame.fault)


SOURCE = GenicamSource()
