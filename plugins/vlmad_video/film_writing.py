"""Encoding films: H.264 where the library has it, so that browsers and players show them."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from vlmad.errors import OutputError
from vlmad.files import write_atomically
from vlmad_video.film import check_library

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from PIL.Image import Image

TICK = Fraction(1, 1000)
CODECS = {"libx264": {"crf": "23", "preset": "veryfast"}, "mpeg4": {"qscale": "4"}}
"""The first that there is."""
PIECE = 1 << 20


def write_film(path: Path, pictures: Iterable[tuple[float, Image]]) -> None:
    """Write pictures of one size, each with its time in seconds, as MP4: whole or not at all.

    Raises:
        InputError: PyAV is not installed.
        OutputError: it cannot be written.
    """
    check_library()
    try:
        with tempfile.TemporaryFile() as file:
            _encode(file, pictures)
            file.seek(0)
            write_atomically(path, iter(lambda: file.read(PIECE), b""))
    except OSError as error:  # of which those of FFmpeg are
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def _encode(file: IO[bytes], pictures: Iterable[tuple[float, Image]]) -> None:
    import av

    codec = next(name for name in CODECS if name in av.codecs_available)
    stream: Any = None
    last = -1
    with av.open(file, "w", format="mp4") as film:
        for time, picture in pictures:
            if stream is None:
                stream = film.add_stream(codec, rate=25, options=CODECS[codec])
                stream.width, stream.height = (side - side % 2 for side in picture.size)
                stream.pix_fmt, stream.codec_context.time_base = "yuv420p", TICK
            even = picture.crop((0, 0, stream.width, stream.height))
            frame = av.VideoFrame.from_ndarray(np.asarray(even), format="rgb24")
            last = max(last + 1, round(time / TICK))
            frame.pts, frame.time_base = last, TICK
            film.mux(stream.encode(frame))
        if stream is not None:
            film.mux(stream.encode(None))
