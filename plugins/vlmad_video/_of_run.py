"""What is made of a run of films besides: events, an annotated film, a strip of the worst."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import InputError, OutputError
from vlmad.files import write_atomically
from vlmad.images import decode
from vlmad_run.pictures import Range, jpeg, read_map, shared_range
from vlmad_run.rows import ScoreRow, file_stem
from vlmad_video._film_pictures import FilmPictures, strip, worst
from vlmad_video.film_events import (
    FilmEvents,
    JudgedFilm,
    JudgedFrame,
    events_of,
    judge_frames,
    to_table,
)
from vlmad_video.film_frames import FilmRecord, record_of
from vlmad_video.film_writing import write_film
from vlmad_video.steadiers import Moment, open_steadier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from jaxtyping import Float
    from numpy import ndarray
    from PIL.Image import Image

    from vlmad_run.run_folder import RunFolder

EVENTS, TABLE = "events.json", "events.csv"
WORST = 8
"""As many frames are in a strip."""
TOLD = 5
"""As many events of a film are printed."""


@dataclass(frozen=True, slots=True)
class FilmOfRun:
    """A film, and the frames of it that a run scores."""

    record: FilmRecord
    images: list[Path]
    times: list[float]

    @property
    def name(self) -> str:
        """What it is called, without its folder."""
        return Path(self.record.film).name


def supplement_of(
    images: Sequence[Path], asked: Mapping[str, str]
) -> Callable[[RunFolder], Iterable[str]] | None:
    """Return what makes it of the films among images; None if there is none.

    Raises:
        VlmadError: verdicts cannot be steadied as is asked.
    """
    films = _films(images)
    if not films:
        return None
    steady = asked.get("steady", "")
    open_steadier(steady)
    return lambda folder: _made(folder, films, steady, asked.get("overlays") != "none")


def _films(images: Sequence[Path]) -> list[FilmOfRun]:
    folders: dict[Path, list[Path]] = defaultdict(list)
    for image in images:
        folders[image.parent].append(image)
    films = []
    for found in folders.values():
        record = record_of(found[0])
        if record is not None:
            times = {frame.name: frame.time for frame in record.frames}
            kept = [image for image in found if image.name in times]
            films.append(FilmOfRun(record, kept, [times[image.name] for image in kept]))
    return films


def _made(
    folder: RunFolder, films: Sequence[FilmOfRun], steady: str, drawing: bool
) -> Iterator[str]:
    """Write what is made of films, and yield lines about them."""
    judged, events = [], []
    for film in films:
        rows = [next(folder.rows([image]), None) for image in film.images]
        frames = _judged(folder, film, rows, steady)
        found = list(events_of(film.record.film, frames))
        judged.append(_summary(folder, film, frames))
        events += found
        alone = "" if len(films) == 1 else f"-{file_stem(film.record.film)}"
        if drawing:
            _draw(folder, film, rows, frames, alone)
        yield from _lines(film, frames, [(each.start, each.end, each.peak) for each in found])
    document = FilmEvents(steady=steady, films=judged, events=events)
    document.write(folder.path / EVENTS)
    write_atomically(folder.path / TABLE, to_table(events))
    yield f"events: {folder.path / TABLE}"


def _judged(
    folder: RunFolder, film: FilmOfRun, rows: Sequence[ScoreRow | None], steady: str
) -> list[JudgedFrame]:
    scores = [None if row is None else row.score for row in rows]
    pairs = list(zip(film.times, scores, strict=True))
    if folder.threshold is not None:
        limit = folder.threshold.value
        return judge_frames([Moment(time, score, limit) for time, score in pairs], steady)
    if not any(row is not None and row.verdict for row in rows):
        return [JudgedFrame(time, score, None) for time, score in pairs]
    # each product has a threshold of its own: a frame counts as twice that or half of it
    good = [row is not None and row.verdict == "ok" for row in rows]
    moments = [
        Moment(time, None if score is None else 0.5 if ok else 2.0, 1.0)
        for (time, score), ok in zip(pairs, good, strict=True)
    ]
    said = judge_frames(moments, steady)
    return [
        JudgedFrame(each.time, score, each.anomalous)
        for each, score in zip(said, scores, strict=True)
    ]


def _summary(folder: RunFolder, film: FilmOfRun, frames: Sequence[JudgedFrame]) -> JudgedFilm:
    return JudgedFilm(
        film=film.record.film,
        sha256=film.record.sha256,
        frames=len(frames),
        anomalous=sum(frame.answer == "NG" for frame in frames),
        not_scored=sum(frame.score is None for frame in frames),
        seconds=frames[-1].time - frames[0].time,
        threshold=folder.threshold.value if folder.threshold else None,
    )


def _draw(
    folder: RunFolder,
    film: FilmOfRun,
    rows: Sequence[ScoreRow | None],
    frames: Sequence[JudgedFrame],
    alone: str,
) -> None:
    """Write the annotated film and the strip, if any frame could be scored."""
    shown = [row for row in rows if row is not None and row.score is not None]
    if not shown:
        return
    scale = shared_range((row.map_low or 0.0, row.map_high or 0.0) for row in shown)
    first, _ = _pixels(folder, shown[0])
    size = first.size if first else (640, 480)
    limit = folder.threshold.value if folder.threshold else None
    pictures = FilmPictures(frames, scale, limit, size)
    write_film(
        folder.path / f"annotated{alone}.mp4",
        (
            (frame.time - frames[0].time, pictures.frame(number, *_pixels(folder, rows[number])))
            for number, frame in enumerate(frames)
        ),
    )
    tiles = [pictures.tile(n, *_pixels(folder, rows[n])) for n in worst(frames, WORST)]
    write_atomically(folder.path / f"filmstrip{alone}.jpg", jpeg(strip(tiles)))


def _pixels(
    folder: RunFolder, row: ScoreRow | None
) -> tuple[Image | None, Float[ndarray, "H W"] | None]:
    """Return a frame and its map, or None where they are not to be had."""
    if row is None or row.score is None or row.map_low is None or row.map_high is None:
        return None, None
    try:
        image = decode(folder.file_of(row), reading=folder.reading)
        return image, read_map(folder.path / row.map, Range(row.map_low, row.map_high))
    except (InputError, OutputError):
        return None, None


def _lines(
    film: FilmOfRun, frames: Sequence[JudgedFrame], events: Sequence[tuple[float, float, float]]
) -> Iterator[str]:
    wrong = sum(frame.answer == "NG" for frame in frames)
    verdicts = any(frame.answer == "OK" for frame in frames) or wrong
    if not verdicts:
        yield f"{film.name}: no events; --threshold or --model of vlmad fit gives verdicts"
        return
    count = f"{len(events)} event{'' if len(events) == 1 else 's'}"
    yield f"{film.name}: {count}, {wrong} of {len(frames)} frames NG"
    for start, end, peak in events[:TOLD]:
        yield f"  {start:.3f} to {end:.3f} s, worst at {peak:.3f} s"
    if len(events) > TOLD:
        yield f"  and {len(events) - TOLD} more"
