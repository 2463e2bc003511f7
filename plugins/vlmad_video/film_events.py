"""Where a film is anomalous: frames that follow each other, from when to when, and the worst."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from vlmad_documents.documents import Document, FileName
from vlmad_run.csv_cells import csv_line
from vlmad_video.steadiers import Moment, open_steadier

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Seconds = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class JudgedFrame:
    """A frame of a film, and what was said of it."""

    time: float
    score: float | None
    """None if it could not be scored."""
    anomalous: bool | None
    """With what came before; None where nothing says from which score on a frame is."""

    @property
    def answer(self) -> str:
        """In a word: OK only if it was scored and nothing is wrong."""
        if self.anomalous is None:
            return "NG" if self.score is None else ""
        return "NG" if self.anomalous else "OK"


class FilmEvent(Document):
    """Frames of a film that are anomalous, one after another."""

    film: FileName
    start: Seconds
    """Of its first frame, in seconds since the film's first."""
    end: Seconds
    """Of its last frame."""
    peak: Seconds
    """Of the frame with the highest score, or of the first if none has one."""
    peak_score: float | None
    frames: Annotated[int, Field(ge=1)]
    not_scored: Annotated[int, Field(ge=0)]
    """Of them: a frame that could not be scored is anomalous."""


class JudgedFilm(Document):
    """A film of a run."""

    film: FileName
    sha256: str
    frames: int
    anomalous: int
    not_scored: int
    seconds: Seconds
    """From the first frame to the last."""
    threshold: float | None
    """From which score on a frame is anomalous by itself; None if nothing or each product says."""


class FilmEvents(Document):
    """What ``vlmad run`` says of films, beside the scores of their frames."""

    format: Literal["vlmad events 1"] = "vlmad events 1"
    steady: str
    """How verdicts were steadied; empty if each frame was judged by itself."""
    films: list[JudgedFilm]
    events: list[FilmEvent]


def judge_frames(moments: Sequence[Moment], steady: str) -> list[JudgedFrame]:
    """Judge the frames of one film in the order of time, steadied as `open_steadier` says."""
    says = open_steadier(steady)
    return [
        JudgedFrame(each.time, each.score if each.scored else None, says(each)) for each in moments
    ]


def events_of(film: str, frames: Sequence[JudgedFrame]) -> Iterator[FilmEvent]:
    """Yield the events of a film in the order of time."""
    for wrong, found in groupby(frames, lambda frame: frame.answer == "NG"):
        if wrong:
            yield _event(film, list(found))


def _event(film: str, frames: Sequence[JudgedFrame]) -> FilmEvent:
    scored = [frame for frame in frames if frame.score is not None]
    peak = max(scored, key=lambda frame: frame.score or 0.0, default=frames[0])
    return FilmEvent(
        film=film,
        start=frames[0].time,
        end=frames[-1].time,
        peak=peak.time,
        peak_score=peak.score,
        frames=len(frames),
        not_scored=len(frames) - len(scored),
    )


def to_table(events: Sequence[FilmEvent]) -> Iterator[bytes]:
    """Yield a table of events, line by line."""
    columns = list(FilmEvent.model_fields)
    yield csv_line(columns)
    for event in events:
        yield csv_line(getattr(event, name) for name in columns)
