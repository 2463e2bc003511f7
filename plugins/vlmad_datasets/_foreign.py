"""Label files of other tools: read as text, checked as JSON, and searched for an image."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from vlmad.errors import InputError, first_line, one_line
from vlmad.files import MOST_TEXT, read_bounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

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


def index_of(image: Path, names: Iterable[str]) -> int:
    """Return which of a file's entries is that of an image, by its name and its folders'.

    Raises:
        InputError: none is, or several are.
    """
    listed = [PurePosixPath(name.replace("\\", "/")) for name in names]
    alike = [i for i, name in enumerate(listed) if _same(name.parts[-1:], image.parts[-1:])]
    if len(alike) > 1:  # of equal names, the one whose folders are the image's
        parts = image.absolute().parts
        alike = [i for i in alike if _same(listed[i].parts, parts[-len(listed[i].parts) :])]
    if len(alike) != 1:
        several = " or ".join(f"'{listed[i]}'" for i in alike[:2])
        which = f"two of the images listed: {several}" if alike else "none of the images listed"
        raise InputError(f"'{image.name}' is {which}")
    return alike[0]


def _same(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    return [part.casefold() for part in one] == [part.casefold() for part in other]
