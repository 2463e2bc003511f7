"""Files: read whole or not at all, written whole or not at all, and where caches live."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_cache_path

from vlmad.errors import (
    InputError,
    OutputError,
    VlmadError,
    first_line,
    one_line,
    printable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


PARTLY = ".partly-"
"""How the names of files begin that are being written; one that stays was left by a crash."""
MOST_TEXT = 64 << 20
"""Bytes of a recipe, list, table or manifest; what is larger is none."""
MOST_DEPTH, MOST_NUMBER = 64, 2**63
"""Of lists and tables in each other, and of whole numbers, in such a file."""


def read_bounded(path: Path, most: int = MOST_TEXT) -> bytes:
    """Return the bytes of a regular file that is not absurdly large.

    Raises:
        OSError: it cannot be read, is a device or pipe, or is larger than `most` bytes.
    """
    if _check_regular(path).st_size > most:
        raise OSError(errno.EFBIG, f"is larger than {most >> 20} MiB", str(path))
    return path.read_bytes()


def digest(path: Path) -> str:
    """Return the SHA-256 of a regular file's bytes.

    Raises:
        InputError: the file cannot be read, or is a device or pipe, which might not end.
    """
    try:
        _check_regular(path)
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def _check_regular(path: Path) -> os.stat_result:
    """Refuse devices and pipes, which might not end; folders are refused when they are read."""
    try:
        status = path.stat()
    except ValueError:  # a NUL, or what no bytes stand for
        raise OSError(errno.EINVAL, "is no name that a file can have", str(path)) from None
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    return status


def read_text(path: Path) -> str:
    """Return the text (UTF-8) of a file that `read_bounded` takes."""
    return read_bounded(path).decode("utf-8")


def read_toml(path: Path, what: str, error: type[VlmadError] = InputError) -> dict[str, Any]:
    """Return the table of a TOML file, as `parse` does; `what` names it in messages.

    Raises:
        VlmadError: `error`: it cannot be read, or is no such TOML.
    """
    import tomllib  # here, because every start of the command line imports this module

    try:
        table: dict[str, Any] = parse(tomllib.loads, read_text(path))
    except OSError as fault:
        raise error(f"{what} {path}: {fault.strerror or fault}") from fault
    except ValueError as fault:
        raise error(f"{what} {path} is not TOML that can be read: {first_line(fault)}") from fault
    return table


def parse(read: Callable[[Any], Any], content: str | bytes) -> Any:
    """Return what a reader of JSON or TOML makes of a text, if whoever uses it can be at ease.

    Raises:
        ValueError: it is of another form, is nested deeper than `MOST_DEPTH`, or holds a whole
            number of more than 64 bits or a text that no file can be named by.
    """
    try:
        value = read(content)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {MOST_DEPTH}") from None
    _check_value(value, MOST_DEPTH)
    return value


def _check_value(value: Any, depth: int) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError(f"a text in it holds a NUL: {one_line(value, 60)}")
        value.encode("utf-8", "surrogateescape")
    elif isinstance(value, dict | list):
        if depth == 0:
            raise ValueError(f"it is nested deeper than {MOST_DEPTH}")
        for each in (*value, *value.values()) if isinstance(value, dict) else value:
            _check_value(each, depth - 1)
    elif isinstance(value, int) and abs(value) > MOST_NUMBER:
        raise ValueError("a whole number in it has more than 64 bits")


def write_atomically(path: Path, content: str | bytes | Iterable[bytes]) -> None:
    """Write a file, perhaps piece by piece, under another name and rename it: whole or absent.

    Raises:
        OutputError: the folder cannot be written; nothing is left behind.
    """
    content = content.encode("utf-8") if isinstance(content, str) else content
    pieces = [content] if isinstance(content, bytes) else content
    part = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=PARTLY)
        with os.fdopen(handle, "wb") as file:
            file.writelines(pieces)
        os.chmod(part, 0o666 & ~_UMASK)
        os.replace(part, path)
        part = None
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if part is not None:
            Path(part).unlink(missing_ok=True)


def refuse_links(paths: Iterable[Path]) -> None:
    """Refuse links where a command replaces or deletes what lies in a folder of its own.

    Raises:
        OutputError: one of the paths is a link, which may lead to what is someone's own.
    """
    for path in paths:
        if path.is_symlink():
            shown = printable(path)
            raise OutputError(f"{shown} is a link, and nothing is written through it; remove it")


_UMASK = os.umask(0)
os.umask(_UMASK)
"""Read once: the only way to read it sets it, for all threads."""
CACHE_VARIABLE = "VLMAD_CACHE"
"""A folder for caches in place of the platform's; empty or ``off`` for none at all."""


def cache_folder() -> Path | None:
    """Return where caches live, made or not, or None where there are to be none."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen is not None and chosen.strip().lower() in ("", "off"):
        return None
    try:
        usual = user_cache_path("vlmad", appauthor=False)
        return (Path(chosen).expanduser() if chosen else usual).absolute()
    except (OSError, RuntimeError):  # no home folder
        return None
