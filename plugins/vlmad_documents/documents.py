"""What vlmad writes for others to read: one model, one reader and one writer for each document.

A document is a pydantic model that takes nothing on trust: unknown keys, wrong types (`true` is
no number) and numbers that are not finite are refused, with the place where they stand. Lists
and tables are `list` and `dict`, as JSON has them. Names of files are `FileName`: one whose bytes
are no text is kept by escapes, which pydantic's own reader and writer of JSON refuse.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, PlainValidator, ValidationError, WithJsonSchema

from vlmad.errors import InputError, first_line, one_line
from vlmad.files import parse, read_text, write_atomically

if TYPE_CHECKING:
    from collections.abc import Collection


def _check_name(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("a name of a file is a text without NUL")
    return value


FileName = Annotated[str, PlainValidator(_check_name), WithJsonSchema({"type": "string"})]
"""A path as text; bytes that are no text are surrogate escapes."""


class Document(BaseModel):
    """The base of all documents: strict, frozen, no unknown keys, finite numbers."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=()
    )

    @classmethod
    def parse(cls, content: str | bytes, name: str | Path) -> Self:
        """Read a document from JSON.

        Args:
            content: the JSON.
            name: what messages call it.

        Raises:
            InputError: it is no JSON, or not this document (see `of`).
        """
        try:
            table = parse(json.loads, content)
        except ValueError as error:
            raise InputError(f"{name} is no JSON that can be read: {first_line(error)}") from error
        return cls.of(table, name)

    @classmethod
    def of(cls, table: object, name: str | Path) -> Self:
        """Make a document of what `vlmad.files.parse` gave.

        Raises:
            InputError: it is not this document; the place of the fault is named.
        """
        cls._check_format(table, name)
        try:
            return cls.model_validate(table)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"])) or "the whole"
            reason = one_line(f"{place}: {first['msg']}")
            raise InputError(f"{name} is no {cls.__name__.lower()}: {reason}") from error
        except UnicodeEncodeError as error:  # pydantic cannot say it
            raise InputError(f"{name} is no {cls.__name__.lower()}: {error.reason}") from error

    @classmethod
    def _check_format(cls, table: object, name: str | Path) -> None:
        """Refuse what another version wrote, before its first odd field is complained of."""
        own = cls.model_fields.get("format")
        if own is not None and isinstance(table, dict) and table.get("format") != own.default:
            raise InputError(
                f"{name} is no {cls.__name__.lower()} of this vlmad ({own.default}); "
                "make it anew if an earlier one wrote it"
            )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a document from a file.

        Raises:
            InputError: it cannot be read, or is not this document.
        """
        try:
            return cls.parse(read_text(path), path)
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is no text: {error.reason}") from error

    def to_json(self, indent: int | None = 2, without: Collection[str] = ()) -> bytes:
        """Return the document as JSON, some fields left out; in one line if `indent` is None."""
        table = self.model_dump(exclude=set(without))
        text = json.dumps(table, ensure_ascii=False, indent=indent, allow_nan=False)
        return text.encode("utf-8", "backslashreplace") + b"\n"

    def write(self, path: Path) -> None:
        """Write the document to a file, whole or not at all.

        Raises:
            OutputError: the file cannot be written.
        """
        write_atomically(path, self.to_json())
