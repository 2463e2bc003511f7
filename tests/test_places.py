"""Folders on odd file systems: a clear remedy, and nothing left behind."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize("out", ["out", "new/below/out"])
def test_a_share_without_locks_is_named_and_nothing_is_left(
    out: str,
    command: Callable[..., Any],
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*given: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    ended = command("run", "photos", "--detector", "clip", "--out", out)
    assert ended.status == 2
    assert ended.error.splitlines()[-1].endswith(
        "is where nothing can be locked (No locks available), as on some network shares; "
        "choose an --out on a disk of this machine"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
