"""Which images are views of one part: the options `--group` and `--views`, and what they say."""

from __future__ import annotations

import csv
import io
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from vlmad.errors import InputError, first_line
from vlmad.files import digest
from vlmad_run.csv_cells import as_meant
from vlmad_run.kept_folders import as_named
from vlmad_run.texts import lines_of, read_people_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FOLDER, PATTERN, TABLE = "folder", "pattern", "table"
HOW = f"{FOLDER}, {PATTERN}:REGEX or {TABLE}:FILE.csv"
COLUMNS = ("image", "part")
DELIMITERS = ",;\t"
ALONE = "it belongs to no part by --group"
NAMED = 5
"""Of images that belong to no part, as many are named."""


def group_option(*names: str, **settings: Any) -> Any:
    """Return an option of parts that are seen in several images."""
    return typer.Option(*names, rich_help_panel="Parts of several views", **settings)


@dataclass(frozen=True, slots=True)
class Grouped:
    """Options: which images are views of one part."""

    group: Annotated[
        str | None,
        group_option(
            metavar="HOW",
            help="Judge parts, not images: folder (each is a part), pattern:REGEX (its group part "
            "in an image's name) or table:FILE.csv (columns image, part).",
        ),
    ] = None
    views: Annotated[
        int | None,
        group_option(metavar="N", min=1, help="How many views a part has; others are not whole."),
    ] = None

    def grouping(self) -> Grouping | None:
        """Return how images become parts, if they do.

        Raises:
            InputError: it cannot be understood, or there are views and no parts.
        """
        if self.group is None:
            if self.views is not None:
                raise InputError(f"--views needs --group: {HOW}")
            return None
        return parse_grouping(self.group)


class Grouping(Protocol):
    """Says which part an image shows."""

    def part_of(self, image: Path) -> str | None:
        """Return the name of the part that an image shows; None if it belongs to none."""

    def images_of(self, part: str) -> Sequence[Path]:
        """Return the images that a part is known to have; empty where that is not known."""


@dataclass(frozen=True, slots=True)
class ByFolder:
    """The images of a folder are the views of a part."""

    def part_of(self, image: Path) -> str:
        """Return the folder."""
        return str(image.parent)

    def images_of(self, part: str) -> Sequence[Path]:
        """Return nothing: a folder does not say what ought to be in it."""
        return ()


@dataclass(frozen=True, slots=True)
class ByPattern:
    """What a pattern finds in the names of images is the part."""

    pattern: re.Pattern[str]
    """Its group `part`, or else its first, is the name of the part."""

    def part_of(self, image: Path) -> str | None:
        """Return what the pattern finds, anywhere in the path as it was given."""
        found = self.pattern.search(image.as_posix())
        if found is None:
            return None
        return found["part" if "part" in self.pattern.groupindex else 1] or None

    def images_of(self, part: str) -> Sequence[Path]:
        """Return nothing: a pattern does not say what ought to be there."""
        return ()


@dataclass(frozen=True, slots=True)
class ByTable:
    """A table names the part of each image."""

    parts: Mapping[Path, str]
    """By the whole name of the image."""
    table: Path
    images: dict[str, list[Path]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for image, part in self.parts.items():
            self.images.setdefault(part, []).append(image)

    def part_of(self, image: Path) -> str | None:
        """Return the part of an image, or of a film as if it were a folder, in the table."""
        path = Path(os.path.abspath(image))
        return self.parts.get(path) or self.parts.get(path.parent)

    def images_of(self, part: str) -> Sequence[Path]:
        """Return the images that the table has for a part."""
        return self.images.get(part, ())


def parse_grouping(text: str) -> Grouping:
    """Read what `--group` takes.

    Raises:
        InputError: it is none of `HOW`, the pattern has no group, or the table cannot be used.

    >>> grouping = parse_grouping("pattern:(?P<part>[0-9]+)_(top|side)")
    >>> grouping.part_of(Path("photos/0042_top.png"))
    '0042'
    """
    kind, _, rest = text.partition(":")
    if text == FOLDER:
        return ByFolder()
    if kind == PATTERN and rest:
        return ByPattern(_compiled(rest))
    if kind == TABLE and rest:
        return ByTable(_read_table(Path(rest)), Path(rest))
    raise InputError(f"--group takes {HOW}, not '{text}'")


def _compiled(text: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise InputError(f"--group {PATTERN}:{text} is no pattern: {first_line(error)}") from error
    if not pattern.groups:
        raise InputError(
            f"--group {PATTERN}:{text} does not say what the part's name is: "
            "put it in parentheses, as in ([0-9]+)_cam, or (?P<part>…)"
        )
    return pattern


def _read_table(path: Path) -> dict[Path, str]:
    """Return the part of each image, by its whole name; names are from the table's folder."""
    parts: dict[Path, str] = {}
    for line, name, part in _rows(path):
        if not name or not part or "\0" in name:
            raise InputError(
                f"{path} line {line}: it names no {COLUMNS[0] if part else COLUMNS[1]}"
            )
        image = Path(os.path.abspath(path.parent / name))
        if parts.setdefault(image, part) != part:
            raise InputError(f"{path} line {line}: {name} is of part {parts[image]} and of {part}")
    if not parts:
        raise InputError(f"{path} names no images")
    return parts


def _rows(path: Path) -> Iterable[tuple[int, str, str]]:
    """Yield line, image and part of each row that is not blank."""
    text = read_people_text(path)
    header = next(filter(str.strip, lines_of(text, path)), "")
    sign = max(DELIMITERS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=sign, strict=True)
    places: list[int] | None = None
    try:
        for record in reader:
            cells = [as_meant(cell.strip()) for cell in record]
            if not any(cells):
                continue
            if places is None:
                places = _places(path, cells)
                continue
            image, part = (cells[at] if at < len(cells) else "" for at in places)
            yield reader.line_num, image, part
    except csv.Error as error:
        raise InputError(f"{path} line {reader.line_num}: {error}") from error


def _places(path: Path, cells: Sequence[str]) -> list[int]:
    columns = [cell.casefold() for cell in cells]
    lacking = [name for name in COLUMNS if columns.count(name) != 1]
    if lacking:
        raise InputError(f"{path}: its first line has to name one column '{lacking[0]}'")
    return [columns.index(name) for name in COLUMNS]


def table_digest(grouping: Grouping | None) -> str | None:
    """Return the SHA-256 of the table that says what the parts are, if one does."""
    return digest(grouping.table) if isinstance(grouping, ByTable) else None


@dataclass(frozen=True, slots=True)
class FoundPart:
    """A part, and its images among those that were found."""

    name: str
    images: tuple[Path, ...]
    faults: tuple[str, ...] = ()
    """What it is known to lack."""


def find_parts(images: Iterable[Path], grouping: Grouping) -> list[FoundPart]:
    """Return the parts that images show, in the order of their first images.

    An image that belongs to no part is one of its own, with a fault, so that it is never good.

    Raises:
        InputError: none belongs to any.
    """
    own: dict[str, list[Path]] = {}
    stray: list[Path] = []
    for image in images:
        part = grouping.part_of(as_named(image))
        if part is None:
            stray.append(image)
        else:
            own.setdefault(part, []).append(image)
    if not own:
        first = next(iter(stray), None)
        raise InputError(f"--group finds no part in any of the images, such as {first}")
    whole = [
        FoundPart(name, tuple(views), lacking(map(as_named, views), grouping, name))
        for name, views in own.items()
    ]
    return whole + [FoundPart(str(image), (image,), (ALONE,)) for image in stray]


def lacking(images: Iterable[Path], grouping: Grouping, part: str) -> tuple[str, ...]:
    """Name the images that a part has and that are not among those found."""
    there = {Path(os.path.abspath(image)) for image in images}
    there |= {image.parent for image in there}  # of a film's frames
    absent = [str(image) for image in grouping.images_of(part) if image not in there]
    more = f" and {len(absent) - NAMED} more" if len(absent) > NAMED else ""
    return (f"without {', '.join(absent[:NAMED])}{more}",) if absent else ()
