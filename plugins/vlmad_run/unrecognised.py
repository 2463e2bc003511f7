"""What to say of a folder that no reader of data sets recognises: what is there, and what to do."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import VlmadError, blaming
from vlmad_run.kinds import Resembling
from vlmad_run.walking import look_into, walk_photographs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vlmad.plugin import Registration
    from vlmad_run.walking import Kind, Place

    Recognising = Callable[[Path], Sequence[Registration]]

ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".xz", ".bz2", ".7z", ".rar")
MOST_FOLDERS = 500
"""So many folders are looked into to count images, and beside or below to find a data set."""
NAMED = 3
"""So many names are given of several."""


def why_unrecognised(root: Path, readers: Sequence[Registration], recognising: Recognising) -> str:
    """Return what a folder or file holds that no reader recognises, and how to go on.

    Args:
        root: it exists.
        readers: what is installed.
        recognising: returns the readers of another folder.
    """
    known = ", ".join(found.name for found in readers) or "none"
    table = f"list the images in a table, or name a reader with --dataset: {known}"
    place = look_into(root)
    if not root.is_dir():
        what = "unpack it, and name the folder" if _is_archive(root.name) else table
        return f"no reader recognises {root}: {what}"
    places = list(islice(walk_photographs(root), MOST_FOLDERS))
    hints = chain(
        _archives(place),
        _other_level(root, place, recognising),
        resembling(root, readers),
        _without_images(places),
        _folders_to_name(place, table),
        [table],
    )
    return f"no reader recognises {root}: it holds {_content(places)}; {next(hints)}"


def _is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVES)


def _archives(place: Place) -> Iterator[str]:
    found = [name for name, _ in place.files if _is_archive(name)]
    if found:
        yield f"unpack {_some(found)}"


def _other_level(root: Path, place: Place, recognising: Recognising) -> Iterator[str]:
    """Yield that a folder right in this one is a data set, or one of the two above it."""
    inside = [root / name for name, kind in place.folders[:MOST_FOLDERS] if kind == "image"]
    found = [folder for folder in inside if recognising(folder)]
    if found:
        reader = recognising(found[0])[0].name
        one = "name it" if len(found) == 1 else "name one of them"
        yield f"{_some([each.name for each in found])} in it can be read ('{reader}'): {one}"
    for above in Path(os.path.abspath(root)).parents[:2]:
        readers = recognising(above) if len(look_into(above).folders) <= MOST_FOLDERS else []
        if readers and _is_part(root, above, readers[0]):
            yield f"{above} above it can be read ('{readers[0].name}'): name that"


def _is_part(root: Path, above: Path, found: Registration) -> bool:
    """Return whether a data set above a folder has anything in it."""
    here = Path(os.path.abspath(root))
    with suppress(VlmadError), blaming(f"{found} failed"):
        samples = found.resolve()(above).read().samples
        return any(here in file.parents for s in samples for file in (s.image, s.mask or s.image))
    return False


def resembling(root: Path, readers: Sequence[Registration]) -> Iterator[str]:
    """Yield what readers that may tell say a folder lacks."""
    for found in reversed(readers):  # layouts of one data set before those of many
        words = _lacking(root, found)
        if words:
            yield f"it looks like '{found.name}', but {words}"


def _lacking(root: Path, found: Registration) -> str | None:
    with suppress(VlmadError), blaming(f"{found} failed"):
        reader = found.resolve()
        return reader.lacks(root) if isinstance(reader, Resembling) else None
    return None


def _without_images(places: Sequence[Place]) -> Iterator[str]:
    kinds = _kinds(places)
    if kinds["format"] and not kinds["image"]:
        yield "convert them to PNG or TIFF"
    elif not kinds["image"]:
        yield "name the folder that holds the data set"


def _folders_to_name(place: Place, otherwise: str) -> Iterator[str]:
    two = "--dataset folder --set dataset.good=FOLDER --set dataset.bad=FOLDER"
    if [kind for _, kind in place.folders].count("image") > 1:
        yield f"tell which is good and which bad ({two}), {otherwise}"


def _content(places: Sequence[Place]) -> str:
    kinds = _kinds(places)
    least = "at least " if len(places) == MOST_FOLDERS else ""
    unread = f", and {kinds['format']} in formats that are not read" if kinds["format"] else ""
    folders = [name for name, _ in places[0].folders]
    where = f" in {_count(len(folders), 'folder')} ({_some(folders)})" if folders else ""
    return f"{least}{_count(kinds['image'], 'image')}{unread}{where}"


def _kinds(places: Sequence[Place]) -> Counter[Kind]:
    return Counter(kind for each in places for _, kind in each.files)


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}" + ("s" if number != 1 else "")


def _some(names: Sequence[str]) -> str:
    more = " …" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
