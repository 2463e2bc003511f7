"""Texts that people bring: lists and tables, in whatever encoding and spelling they were made."""

from __future__ import annotations

import codecs
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import InputError
from vlmad.files import MOST_TEXT, read_bounded

if TYPE_CHECKING:
    from collections.abc import Iterator

STANDARD_INPUT = "-"
FILE_OF_NAMES = "@"
"""How the name of a list begins."""
UTF_16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
OF_WINDOWS = "cp1252"
MOST_LINE = 1 << 20
"""Characters of a line; what is longer is no list or table."""


def read_people_text(path: Path) -> str:
    """Return the text of a file, decoded as by `decode_text`.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return decode_text(read_bounded(path))
    except IsADirectoryError as error:
        raise InputError(f"{path}: is a folder, not a list or table") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def decode_text(content: bytes) -> str:
    """Return a text: UTF-16 by its mark or NULs, else UTF-8, and other lines as cp1252.

    Every byte is kept, so that `spellings` finds names that are no text.
    """
    encoding = UTF_16.get(content[:2]) or _unmarked_utf_16(content)
    if encoding is not None:
        return content.decode(encoding, "replace").removeprefix("\ufeff")
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return "\n".join(map(_decode_line, content.split(b"\n")))


def _unmarked_utf_16(content: bytes) -> str | None:
    """Return which UTF-16 it is if most of every second byte is NUL and none of the others is.

    Names that are separated by NULs are not: they would be of one or two letters.
    """
    halves = content[0::2], content[1::2]
    for zeros, others, encoding in ((*halves, "utf-16-be"), (*halves[::-1], "utf-16-le")):
        if zeros.count(0) > len(zeros) / 2 and others.count(0) == 0:
            return encoding
    return None


def _decode_line(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode(OF_WINDOWS, "surrogateescape")


def lines_of(text: str, name: str | Path) -> list[str]:
    """Return the lines, whether they end as on Linux, Windows or an old Mac.

    Raises:
        InputError: one is absurdly long; `name` is what the message calls the text.
    """
    lines = re.split(r"\r\n|\r|\n", text)
    for number, line in enumerate(lines, start=1):
        if len(line) > MOST_LINE:
            raise InputError(f"{name} line {number}: {len(line)} characters; is this a text?")
    return lines


def is_list(argument: str) -> bool:
    """Return whether an argument is a list of names: ``-``, or ``@FILE`` unless that exists."""
    named = argument.startswith(FILE_OF_NAMES) and not os.path.lexists(argument)
    return argument == STANDARD_INPUT or named


def entries(argument: str) -> Iterator[tuple[str, str]]:
    """Yield where each entry of a list stands and what it says.

    Entries are lines, or separated by NULs as by ``find -print0``. Blank ones count, but are
    passed over.

    Raises:
        InputError: the list cannot be read.
    """
    if argument == STANDARD_INPUT:
        name, text = "standard input", decode_text(sys.stdin.buffer.read(MOST_TEXT + 1))
    else:
        name = argument.removeprefix(FILE_OF_NAMES)
        text = read_people_text(Path(name))
    if len(text) > MOST_TEXT:
        raise InputError(f"{name}: is longer than {MOST_TEXT >> 20} MiB")
    for number, line in enumerate(
        text.split("\0") if "\0" in text else lines_of(text, name), start=1
    ):
        if line.strip():
            yield f"{name} line {number}", line


def spellings(text: str) -> Iterator[str]:
    r"""Yield what a text may name on this machine, the likeliest first.

    >>> list(spellings(r'"scratch\a.png" '))
    ['"scratch\\a.png" ', 'scratch\\a.png', 'scratch/a.png']
    """
    bare = text.strip().strip('"')  # as Windows copies a path, and PowerShell pads it
    found = [text, bare]
    if not bare.isascii():
        with suppress(UnicodeEncodeError):  # by its bytes, as Linux keeps a name that is no UTF-8
            found.append(os.fsdecode(bare.encode(OF_WINDOWS, "surrogateescape")))
    if os.sep == "/" and "\\" in bare:
        found.append(re.sub(r"\\udc([89a-f][0-9a-f])", _escaped_byte, bare))
        found += [each.replace("\\", "/") for each in found[1:]]
    return filter(None, dict.fromkeys(found))


def _escaped_byte(found: re.Match[str]) -> str:
    """Return the byte of a name that a table of ours has escaped."""
    return chr(0xDC00 + int(found[1], 16))


def named_path(text: str, folder: Path) -> Path:
    """Return the path that a text in a list or table means, from a folder; it need not exist."""
    if text.isascii() and "\\" not in text and '"' not in text:
        return folder / text
    there = (each for each in spellings(text) if os.path.isfile(folder / each))
    return folder / next(there, text)
