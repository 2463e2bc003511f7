"""Files that a manifest names: used only where they are the very files that were recorded.

A manifest may come from someone else, and its detector is built again from the options that it
lists. What such an option names is hashed before anything reads it, and what is no regular file
on this machine is not touched.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.errors import InputError, one_line
from vlmad.files import digest
from vlmad_openclip.store import remembered_digest, stamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ELSEWHERE = ("//", "\\\\")
"""How names of files on other machines, and on Windows of devices, begin."""


def file_digests(options: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the SHA-256 of each file that is an option, by ``kind.option``.

    Args:
        options: as `vlmad_run.manifest.options_in_full` returns them.
    """
    return {
        f"{kind}.{option}": _digest(Path(value))
        for kind, values in options.items()
        for option, value in values.items()
        if isinstance(value, str) and os.path.isabs(value) and os.path.isfile(value)
    }


def check_recorded(
    options: Mapping[str, Mapping[str, Any]], digests: object, but: frozenset[str]
) -> None:
    """Refuse options of a manifest that name files which are not those that were recorded.

    Args:
        options: from kind to options, as the manifest lists them.
        digests: what it holds of `file_digests`.
        but: options, by ``kind.option``, that do not come from the manifest.

    Raises:
        InputError: so it is; the message says how to name the file.
    """
    known = digests if isinstance(digests, dict) else {}
    for kind, values in options.items():
        for option, value in values.items():
            place = f"{kind}.{option}"
            if place not in but:
                for name in _names(value):
                    try:
                        recorded_file(name, known.get(place))
                    except InputError as error:
                        how = f"name it with --set {place}=FILE"
                        raise InputError(f"{error}; {how} if you trust it") from None


def recorded_file(name: str, sha256: object) -> Path:
    """Return the file that a manifest names, if it is the one that was recorded.

    Raises:
        InputError: it is elsewhere, missing, no regular file, or another.
    """
    shown = one_line(name)
    if name.startswith(ELSEWHERE):
        raise InputError(f"the manifest names {shown}, which is not on this machine")
    try:
        regular = stat.S_ISREG(os.stat(name).st_mode)
    except (OSError, ValueError):
        raise InputError(f"the manifest names {shown}, which is not there") from None
    if not regular:
        raise InputError(f"the manifest names {shown}, which is no regular file")
    if not isinstance(sha256, str) or _digest(Path(name)) != sha256:
        raise InputError(f"the manifest names {shown}, which is not known to be the file it was")
    return Path(name)


def _names(value: Any) -> Iterator[str]:
    """Yield what of an option's value is, or could be, the name of a file."""
    for each in value if isinstance(value, list | tuple) else (value,):
        text = str(each) if isinstance(each, str | Path) else ""
        if text.startswith(ELSEWHERE) or os.path.isabs(text) or (text and _is_there(text)):
            yield text


def _is_there(name: str) -> bool:
    try:
        return os.path.lexists(name)
    except ValueError:  # no name that a file could have
        return False


def _digest(path: Path) -> str:
    return remembered_digest(path, stamp(path), "bytes of an option", lambda: digest(path))
