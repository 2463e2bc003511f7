"""Decoding films and cameras: one frame after another, upright, each with its time.

Whatever a film holds, the outcome is frames, frames that say why they have no image, or an
`InputError`: nothing of it is silently left out.
"""

from __future__ import annotations

import math
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmad.errors import InputError, one_line
from vlmad_formats.orientation import upright
from vlmad_formats.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from PIL.Image import Image

REMEDY = "films and cameras need PyAV: pip install 'vlmad[video]'"
CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"
"""What files may be; lists of other files and of addresses, which FFmpeg would open, are none."""
BROKEN_OFF = 1.0
"""Seconds that a film may end before it says."""
BY_MATRIX = {
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}
"""EXIF's number for the display matrices that turn and mirror."""


@dataclass(frozen=True, slots=True)
class FilmFrame:
    """One frame, or the place of one that cannot be had."""

    time: float
    """Seconds since the first."""
    image: Image | None
    """In RGB, upright; None if it cannot be had."""
    fault: str = ""
    """Why there is no image."""


def frames(
    place: str | Path,
    every: float | None = None,
    *,
    start: float = 0.0,
    end: float | None = None,
    container: str | None = None,
    options: Mapping[str, str] | None = None,
    timeout: float | None = None,
    reading: Reading | None = None,
) -> Iterator[FilmFrame]:
    """Yield the frames of a film or camera in the order of time, as they are decoded.

    A frame that is damaged has no image, nor has a last one where a film breaks off.

    Args:
        place: a file, or an address as FFmpeg has it, such as ``rtsp://…`` or ``/dev/video0``.
        every: seconds from one frame that is taken to the next; by default all are.
        start: seconds before which no frame is taken.
        end: likewise after which; by default all to the end.
        container: FFmpeg's name of what is there, such as ``v4l2``; a file of `CONTAINERS` if
            neither it nor an address is given.
        options: FFmpeg's, for opening it.
        timeout: seconds without data after which it has gone away; by default it is waited for.
        reading: how many pixels are too many.

    Raises:
        InputError: it cannot be opened, holds no film, or has gone away.
    """
    chosen, how = _Taken(every, start), reading or Reading()
    is_file = container is None and "://" not in str(place)
    given = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"} if is_file else {}
    where = str(Path(place).absolute()) if is_file else str(place)
    with _opened(where, str(place), container, {**given, **(options or {})}, timeout) as film:
        stream = film.streams.video[0]
        stream.thread_type = "SLICE"  # whole frames side by side would come late
        with _naming(place):
            how.refuse_large((stream.codec_context.width, stream.codec_context.height))
        # or gaps are filled, silently; and what grows later is decoded before its size is seen
        stream.codec_context.options = {"err_detect": "explode", "max_pixels": f"{how.most_pixels}"}
        found, over = False, 0.0
        for moment, picture, fault in _decoded(film, stream, str(place), live=not is_file):
            found = True
            over = moment + _length_of(picture)
            if end is not None and moment > end:
                return
            if fault or chosen.takes(moment):
                yield _frame(moment, picture, fault, how)
        if is_file and not found:
            raise InputError(f"{place}: not a film that can be read: it has no frames")
        stated = _stated_seconds(film, stream)
        if is_file and stated is not None and stated > over + BROKEN_OFF:
            yield FilmFrame(over, None, f"the film breaks off at {over:.3f} of {stated:.3f} s")


@contextmanager
def _naming(place: str | Path) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"{place}: {error}") from error


def check_library() -> None:
    """Do nothing if there is what decodes films.

    Raises:
        InputError: there is not; the words that install it are named.
    """
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise InputError(REMEDY) from error


class _Taken:
    """Which frames are taken: the first at or after each multiple of `every`."""

    def __init__(self, every: float | None, start: float) -> None:
        if every is not None and not (math.isfinite(every) and every > 0):
            raise InputError(f"frames are taken every so many seconds above 0, not {every}")
        self.every, self.start, self.due = every, start, 0.0

    def takes(self, moment: float) -> bool:
        if moment < self.start - 1e-3:
            return False
        if self.every is None:
            return True
        if moment < self.due - 1e-3:  # containers round to milliseconds
            return False
        self.due = self.every * (math.floor((moment + 1e-3) / self.every) + 1)
        return True


@contextmanager
def _opened(
    where: str, name: str, container: str | None, options: dict[str, str], timeout: float | None
) -> Iterator[Any]:
    """Open a film that has pictures."""
    check_library()
    import av
    from av.error import FFmpegError

    try:
        film = av.open(where, format=container, container_options=options, timeout=timeout)
    except (FFmpegError, ValueError, OSError) as error:
        raise InputError(f"{name}: not a film that can be read: {_why(error)}") from error
    with film:
        if not film.streams.video:
            raise InputError(f"{name}: not a film that can be read: it has no pictures")
        yield film


def _decoded(film: Any, stream: Any, name: str, live: bool) -> Iterator[tuple[float, Any, str]]:
    """Yield time, frame and fault; of what cannot be decoded the frame is None, the time about."""
    from av.error import FFmpegError

    first, last = None, 0.0
    packets = film.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except (FFmpegError, ValueError) as error:
            if live:
                raise InputError(f"{name}: has gone away: {_why(error)}") from error
            yield last, None, f"damaged film: {_why(error)}"
            return
        if packet is None:
            return
        try:
            pictures = packet.decode()
        except (FFmpegError, ValueError) as error:
            yield last, None, f"damaged film: {_why(error)}"
            continue
        for picture in pictures:
            stated = picture.time
            first = stated if first is None and stated is not None else first
            last = max(last, last if stated is None else stated - (first or 0.0))
            yield last, picture, "damaged film: this frame is incomplete" * picture.is_corrupt


def _length_of(picture: Any) -> float:
    if picture is None or not picture.duration or picture.time_base is None:
        return 0.0
    return float(picture.duration * picture.time_base)


def _frame(moment: float, picture: Any, fault: str, reading: Reading) -> FilmFrame:
    """Return a decoded frame as an upright image, if it is whole and of a size that may be."""
    if fault:
        return FilmFrame(moment, None, fault)
    try:
        reading.refuse_large((picture.width, picture.height))
        image = upright(picture.to_image(), _orientation(picture))
    except Exception as error:  # converting raises whatever odd pixels make it raise
        return FilmFrame(moment, None, _why(error))
    return FilmFrame(moment, image)


def _orientation(picture: Any) -> int:
    """Return EXIF's number for how a frame is shown; 1 if it says nothing that can be done."""
    with suppress(Exception):
        matrix = np.frombuffer(bytes(picture.side_data["DISPLAYMATRIX"]), np.int32)
        return BY_MATRIX.get(tuple(np.rint(matrix[[0, 1, 3, 4]] / 65536).astype(int).tolist()), 1)
    return 1


def _stated_seconds(film: Any, stream: Any) -> float | None:
    """Return how long a film says it is, if it says it of its pictures."""
    with suppress(TypeError, ValueError):
        if stream.duration is not None:
            return float(stream.duration * stream.time_base)
        if "DURATION" in stream.metadata:  # of Matroska
            hours, minutes, seconds = stream.metadata["DURATION"].split(":")
            return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    if film.duration is None or len(film.streams) > 1:
        return None
    return float(film.duration) / 1e6


def _why(error: BaseException) -> str:
    return one_line(getattr(error, "strerror", None) or str(error) or type(error).__name__)
