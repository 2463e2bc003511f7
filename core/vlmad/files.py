"""Writing files so that none is ever seen half-written."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable


PARTLY = ".partly-"
"""How the names of files begin that are being written; one that stays was left by a crash."""


MOST_TEXT = 64 << 20
"""Bytes of a recipe, list, table or manifest; what is larger is none."""


def read_bounded(path: Path, most: int = MOST_TEXT) -> bytes:
    """Return the bytes of a regular file that is not absurdly large.

    Raises:
        OSError: it cannot be read, is a device or pipe, or is larger than `most` bytes.
    """
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    if status.st_size > most:
        raise OSError(errno.EFBIG, f"is larger than {most >> 20} MiB", str(path))
    return path.read_bytes()


def read_text(path: Path) -> str:
    """Return the text of a file, as `read_bounded`.

    Raises:
        OSError: it cannot be read, is no regular file, or is absurdly large.
        UnicodeDecodeError: it is no UTF-8.
    """
    return read_bounded(path).decode("utf-8")


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file under another name and rename it, so that it is whole or absent.

    Raises:
        OutputError: the folder cannot be written; nothing is left behind.
    """
    replace_atomically(path, [content.encode("utf-8") if isinstance(content, str) else content])


def replace_atomically(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file piece by piece, as `write_atomically` does.

    Raises:
        OutputError: the folder cannot be written; nothing is left behind.
    """
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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _umask()
"""Read once: the only way to read it sets it, for all threads."""
