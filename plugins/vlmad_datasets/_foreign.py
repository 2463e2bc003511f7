"""Files of other tools: read as text, checked as JSON, searched for an image, and for paths."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from vlmad.errors import InputError, first_line, one_line
from vlmad.files import MOST_TEXT, read_bounded
from vlmad_datasets.sides import key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_LABELS = 16 * MOST_TEXT
"""Bytes of a label file, which may hold photographs or speak of thousands."""


class ForeignTable(BaseModel):
    """A table of JSON that another tool wrote: what is not known of it is passed over."""

    model_config = ConfigDict(allow_inf_nan=False, frozen=True, hide_input_in_errors=True)

    @classmethod
    def of(cls, table: dict[str, Any]) -> Self:
        """Return the table, checked.

        Raises:
            InputError: it is not of this form; the place of the first fault is named.
        """
        try:
            return cls.model_validate(table)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise InputError(one_line(f"{place}: {first['msg']}")) from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name the label file whose content makes no sense."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def label_text(path: Path) -> str:
    """Return the text of a label file.

    Raises:
        InputError: it cannot be read, or is no text.
    """
    try:
        return read_bounded(path, MOST_LABELS).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"no text in UTF-8: {error.reason}") from error
    except (OSError, ValueError) as error:  # also for names that no file can have
        raise InputError(getattr(error, "strerror", None) or first_line(error)) from error


def json_table(text: str) -> dict[str, Any]:
    """Return the object that a text of JSON holds.

    Raises:
        InputError: it is no JSON, or no object.
    """
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"no JSON: {first_line(error)}") from error
    if not isinstance(table, dict):
        raise InputError("a JSON of no object")
    return table


def inside(folder: Path, name: str) -> Path:
    """Return the path that a file names from a folder; a backslash separates like a slash.

    Raises:
        InputError: it is empty, or leaves the folder.
    """
    path = folder / name.replace("\\", "/")
    if not name or not Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder)):
        raise InputError(f"'{name}' is no path inside of the data set")
    return path


class ListedImages:
    """The images that a file speaks of, by their names.

    Args:
        names: as they stand in the file, with or without folders.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._parts = [_parts(PurePosixPath(name.replace("\\", "/"))) for name in names]
        self._by_name: dict[str, list[int]] = defaultdict(list)
        for index, parts in enumerate(self._parts):
            self._by_name[parts[-1] if parts else ""].append(index)

    def alike(self, image: Path) -> list[int]:
        """Return which entries are of an image; of equal names, those whose folders are its."""
        found = self._by_name.get(key_of(image.name), [])
        if len(found) > 1:
            own = _parts(image.absolute())
            found = [i for i in found if own[-len(self._parts[i]) :] == self._parts[i]]
        return found

    def among(self, images: Iterable[Path]) -> list[list[Path]]:
        """Return, for each entry, the images that it may be of; none for one of no image."""
        named: dict[str, list[Path]] = defaultdict(list)
        for image in images:
            named[key_of(image.name)].append(image)
        return [self._of_entry(parts, named[parts[-1]]) for parts in self._parts if parts]

    @staticmethod
    def _of_entry(parts: tuple[str, ...], images: list[Path]) -> list[Path]:
        in_folders = [i for i in images if _parts(i.absolute())[-len(parts) :] == parts]
        return images if len(images) < 2 or not in_folders else in_folders

    def entry(self, image: Path) -> int:
        """Return which entry is of an image.

        Raises:
            InputError: none is, or several are.
        """
        found = self.alike(image)
        if len(found) != 1:
            several = " or ".join(f"'{'/'.join(self._parts[i])}'" for i in found[:2])
            which = f"two of the images listed: {several}" if found else "none of the images listed"
            raise InputError(f"'{image.name}' is {which}")
        return found[0]


def _parts(path: PurePath) -> tuple[str, ...]:
    return tuple(map(key_of, path.parts))
