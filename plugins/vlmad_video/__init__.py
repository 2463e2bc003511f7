"""Films: their frames as images.

- `vlmad_video.film`: decoding, one frame after another
- `vlmad_video.film_frames`: the frames of a film as files that every command takes for images
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register

ENDINGS = ("mp4", "mov", "avi", "mkv", "webm")


@hookimpl
def register_sources(register: Register) -> None:
    """Register what finds the frames of films, by the endings of their files."""
    for ending in ENDINGS:
        register(ending, "vlmad_video.film_frames:find_frames", "the frames of a film")


@hookimpl
def register_formats(register: Register) -> None:
    """Register what tells of frames that could not be had."""
    summary = "frames of a film that could not be had: says why"
    register("film-fault", "vlmad_video._fault_format:FaultFormat", summary)
