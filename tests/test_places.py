"""Folders on odd file systems: a clear remedy, and nothing left behind."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Process

FLOCK = """
#include <errno.h>
#include <stdlib.h>
int flock(int file, int operation) { errno = atoi(getenv("REFUSED_WITH")); return -1; }
"""


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


def test_what_a_kernel_says_of_a_share_is_one_line_of_bench_and_nothing_is_left(
    process: Process, photos: Path, tmp_path: Path
) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no compiler makes a library that refuses locks")
    (tmp_path / "flock.c").write_text(FLOCK, encoding="utf-8")
    library = tmp_path / "flock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, tmp_path / "flock.c"], check=True)
    rows = [f"photos/{name},{label}" for name, label in (("0000.png", "ok"), ("0001.png", "ng"))]
    (tmp_path / "parts.csv").write_text("\n".join(["image,label", *rows]), encoding="utf-8")
    before = set(tmp_path.rglob("*"))
    for refused, words in (
        (errno.ENOLCK, ("run", "photos", "--detector", "clip")),
        (errno.ENOSYS, ("bench", "parts.csv", "--detector", "clip", "--out", "new/out")),
        (errno.EOPNOTSUPP, ("grid", "parts.csv", "--scorer", "max-cosine", "--out", "out")),
    ):
        share = {"LD_PRELOAD": str(library), "REFUSED_WITH": str(refused)}
        ended = process(*words, cwd=tmp_path, **share)
        assert ended.returncode == 2, ended
        last = ended.stderr.splitlines()[-1]
        assert f"is where nothing can be locked ({os.strerror(refused)})" in last
        assert last.endswith("; choose an --out on a disk of this machine")
        assert "Warning" not in ended.stderr
        assert set(tmp_path.rglob("*")) == before
