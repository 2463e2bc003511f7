"""Where caches live: ``VLMAD_CACHE``, or the folder that the platform means for them."""

from __future__ import annotations

import math
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from vlmad.errors import OptionError

Kind: TypeAlias = Literal["text", "visual", "digests", "index"]
KINDS: tuple[Kind, ...] = get_args(Kind)
PLACE_VARIABLE = "VLMAD_CACHE"
"""A folder in place of the platform's; empty or ``off`` for no caches at all."""
ELSEWHERE = f"set {PLACE_VARIABLE} to another"
LIMIT_VARIABLE = "VLMAD_CACHE_GB"
"""How many gigabytes the visual features may take."""
GIGABYTE = 10**9
LIMITS: dict[Kind, int] = {
    "text": GIGABYTE // 2,
    "visual": 4 * GIGABYTE,
    "digests": GIGABYTE // 100,
    "index": GIGABYTE // 100,
}


@dataclass(frozen=True, slots=True)
class Place:
    """The folder of all caches, or None and the reason why there is none."""

    folder: Path | None
    reason: str = ""


def find_place() -> Place:
    """Return where caches live; nothing is made or written.

    A folder that other users could write is not used: what lies there is believed. So it is
    with the folder of each kind.
    """
    wanted = os.environ.get(PLACE_VARIABLE)
    if wanted is not None and wanted.strip().lower() in ("", "off"):
        return Place(None, f"{PLACE_VARIABLE} switches caches off")
    try:
        folder = Path(wanted).expanduser() if wanted else _platform_folder()
        return _trusted(folder.absolute())
    except (OSError, RuntimeError) as error:  # no home folder, or one that cannot be looked at
        return Place(None, f"no cache folder can be used: {error}; {ELSEWHERE}")


def _platform_folder() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "vlmad"
    windows = sys.platform == "win32"
    base = Path(os.environ.get("LOCALAPPDATA" if windows else "XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # the XDG standard has it that such a path is ignored
        base = Path.home() / ("AppData/Local" if windows else ".cache")
    return base / "vlmad"


def _trusted(folder: Path) -> Place:
    reason = distrust(folder)
    return Place(folder) if reason is None else Place(None, reason)


def distrust(folder: Path) -> str | None:
    """Return why what lies in a folder cannot be believed, and what to do; None if it can.

    A folder that is not there yet can: it is made for its owner alone.

    Raises:
        OSError: it cannot be looked at.
    """
    try:
        found = folder.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISDIR(found.st_mode):
        return f"{folder} is no folder; {ELSEWHERE}"
    if not hasattr(os, "getuid"):
        return None
    if found.st_uid not in (os.getuid(), 0):
        return f"{folder} belongs to another user; {ELSEWHERE}"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        who = "all users" if found.st_mode & stat.S_IWOTH else "all users of its group"
        return f"{folder} can be written by {who}; chmod go-w {folder}"
    return None


def limit_of(kind: Kind) -> int:
    """Return how many bytes the entries of a kind may take.

    Raises:
        OptionError: `VLMAD_CACHE_GB` is no positive number.
    """
    text = os.environ.get(LIMIT_VARIABLE)
    if kind != "visual" or not text:
        return LIMITS[kind]
    try:
        gigabytes = float(text)
    except ValueError:
        gigabytes = math.nan
    if not (math.isfinite(gigabytes) and gigabytes > 0):
        raise OptionError(f"{LIMIT_VARIABLE} must be a positive number of gigabytes, not '{text}'")
    return int(gigabytes * GIGABYTE)
