"""Films: their frames as images.

- `vlmad_video.film`: decoding, one frame after another
- `vlmad_video.film_frames`: the frames of a film as files that every command takes for images
- `vlmad_video.film_writing`: encoding a film
- `vlmad_video.steadiers`: verdicts over time, of films and cameras; the kind `steadier`
- `vlmad_video.film_events`: where a film is anomalous, from when to when
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


@hookimpl
def register_steadiers(register: Register) -> None:
    """Register what steadies verdicts over time."""
    place, summary = "vlmad_video.steadiers", "the average of log-odds, halved every N seconds"
    register("half-life", f"{place}:HalfLife", summary)
    register("median", f"{place}:RunningMedian", "the median score of the last N seconds")
    register("k-of-n", f"{place}:KOfN", "k of the last n frames, until fewer than another count")


@hookimpl
def register_supplements(register: Register) -> None:
    """Register what is made of a run of films."""
    summary = "events, an annotated film and a strip of the worst frames"
    register("film-events", "vlmad_video._of_run:supplement_of", summary)
