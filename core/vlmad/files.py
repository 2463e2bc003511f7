"""Writing files so that none is ever seen half-written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from vlmad.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable


PARTLY = ".partly-"
"""How the names of files begin that are being written; one that stays was left by a crash."""


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
