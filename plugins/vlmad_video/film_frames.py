"""The frames of a film as files, so that every command takes them for images.

They are written once, without loss, into a folder that is kept for the film's content and what was
asked of it; `film.json` beside them tells their times. What could not be decoded is a file too: one
that says why, and that no format takes for an image.
"""

from __future__ import annotations

import itertools
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from vlmad.errors import InputError
from vlmad.files import digest, write_atomically
from vlmad_documents.documents import Document, FileName
from vlmad_openclip.store import key_of, remembered_digest, stamp
from vlmad_run.kept_folders import FILMS_VARIABLE, KeptFolders, film_folders
from vlmad_run.pictures import png
from vlmad_video.film import FilmFrame, check_library, frames

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

RECORD = "film.json"
REVISION = 1
"""Rises when other frames, or other pixels of them, are written of the same film."""
MOST_FRAMES = 200_000
FAULT = b"vlmad: this frame of a film could not be had: "
"""How a file begins that stands for such a frame."""
Seconds = Annotated[float, Field(ge=0)]


class RecordedFrame(Document):
    """A frame of a film."""

    name: FileName
    """Of its file."""
    time: Seconds
    fault: str = ""
    """Why it could not be had, if it could not."""


class FilmRecord(Document):
    """A film, and the frames that were taken of it."""

    format: Literal["vlmad film 1"] = "vlmad film 1"
    film: FileName
    """Its whole path when they were taken."""
    sha256: str
    how: str
    """Which frames were asked for."""
    frames: list[RecordedFrame]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which frames of a film are wanted; `str` gives back how it was asked for."""

    every: float | None = None
    start: float = 0.0
    end: float | None = None

    def __str__(self) -> str:
        words = [] if self.every is None else [f"every:{self.every:.9g}"]
        words += [f"from:{self.start:.9g}"] if self.start else []
        words += [] if self.end is None else [f"to:{self.end:.9g}"]
        return ",".join(words)

    @classmethod
    def parse(cls, text: str) -> Wanted:
        """Read ``every:SECONDS,from:SECONDS,to:SECONDS``, of which each may be missing.

        Raises:
            InputError: it is something else.

        >>> str(Wanted.parse("every:0.5,to:20"))
        'every:0.5,to:20'
        """
        names = {"every": "every", "from": "start", "to": "end"}
        given = dict[str, float]()
        for word in filter(None, text.split(",")):
            found = re.fullmatch(r"(every|from|to):(\d{1,9}(?:\.\d{1,6})?)", word)
            if found is None or (found[1] == "every" and not float(found[2])):
                example = "every:SECONDS, from:SECONDS and to:SECONDS, such as clip.mp4#every:0.5"
                raise InputError(f"'{word}' is not what can be asked of a film: {example}")
            given[names[found[1]]] = float(found[2])
        return cls(**given)


class FrameFiles(list[Path]):
    """The files of a film's frames, and a note about them."""

    def __init__(self, files: Iterable[Path], note: str) -> None:
        super().__init__(files)
        self.notes = (note,)


def find_frames(argument: str) -> FrameFiles:
    """Return the files of the frames that ``FILM`` or ``FILM#every:SECONDS`` names.

    A film that cannot be read is one file, which says so when it is read.

    Raises:
        InputError: there is no such file, PyAV is not installed, or something else is asked of it.
        OutputError: the frames cannot be kept, or are too many.
    """
    check_library()
    path, wanted = _asked(argument)
    before = stamp(path)
    sha256 = remembered_digest(path, before, "film", lambda: digest(path))
    facts = {"film": sha256, "wanted": str(wanted), "revision": REVISION}
    name = f"{_safe(path.name)}-{key_of(facts)[:12]}"
    kept = film_folders()

    def fill(folder: Path) -> None:
        record = [*_written(path, wanted, folder, kept)]
        whole = str(path.absolute())
        FilmRecord(film=whole, sha256=sha256, how=str(wanted), frames=record).write(folder / RECORD)

    folder = kept.take(name, fill, path)
    record = FilmRecord.read(folder / RECORD)
    return FrameFiles((folder / each.name for each in record.frames), _note(path, wanted, record))


def record_of(frame: Path) -> FilmRecord | None:
    """Return the record of the film that an image is a frame of, or None if it is of none."""
    with suppress(InputError):
        kept = film_folders().folder
        if frame.absolute().parent.parent == kept:
            return FilmRecord.read(frame.parent / RECORD)
    return None


def _asked(argument: str) -> tuple[Path, Wanted]:
    path, how = Path(argument), ""
    if "#" in argument and not path.exists():
        before, _, how = argument.rpartition("#")
        path = Path(before)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    return path, Wanted.parse(how)


def _written(
    path: Path, wanted: Wanted, folder: Path, kept: KeptFolders
) -> Iterator[RecordedFrame]:
    """Write the frames of a film, and yield each."""
    names: set[str] = set()
    written = 0
    for number, frame in enumerate(_frames(path, wanted)):
        content = png(frame.image) if frame.image else FAULT + frame.fault.encode()
        written += len(content)
        if written > kept.limit or number >= MOST_FRAMES:
            most = f"{kept.limit / 1e9:g} GB" if written > kept.limit else f"{MOST_FRAMES} frames"
            raise InputError(
                f"{path}: its frames are more than {most}; take fewer, such as with --every 1 or "
                f"{path.name}#every:1, or set {FILMS_VARIABLE}"
            )
        name = _name(frame.time, names)
        write_atomically(folder / name, content)
        yield RecordedFrame(name=name, time=frame.time, fault=frame.fault)


def _frames(path: Path, wanted: Wanted) -> Iterator[FilmFrame]:
    """Yield the frames that are wanted; a film that cannot be read is one that says why."""
    none = True
    try:
        for frame in frames(path, wanted.every, start=wanted.start, end=wanted.end):
            none = False
            yield frame
    except InputError as error:
        yield FilmFrame(0.0, None, str(error))
        return
    if none:
        yield FilmFrame(0.0, None, f"{path}: the film has no frame at {wanted}")


def _name(time: float, names: set[str]) -> str:
    """Return a name for the file of a frame, in the order of time and its own."""
    minutes, seconds = divmod(round(time, 3), 60)
    hours, minutes = divmod(int(minutes), 60)
    begin = f"{hours:02}h{minutes:02}m{seconds:06.3f}s"
    later = (f"{begin}-{count}" for count in itertools.count(2))  # some say one time of several
    name = next(each for each in itertools.chain([begin], later) if each not in names)
    names.add(name)
    return f"{name}.png"


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[-60:].lstrip(".-") or "film"


def _note(path: Path, wanted: Wanted, record: FilmRecord) -> str:
    lost = [each.fault for each in record.frames if each.fault]
    count = len(record.frames) - len(lost)
    if not count:
        return lost[0]
    seconds = record.frames[-1].time if record.frames else 0.0
    asked = f" ({wanted})" if str(wanted) else ""
    without = f"; {len(lost)} could not be had: {lost[0]}" if lost else ""
    return f"{path} is a film: {count} frames over {seconds:.3f} s are taken{asked}{without}"
