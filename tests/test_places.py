"""Folders on odd file systems: a clear remedy, and nothing left behind."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from .conftest import Done, Process, noise, vlmad

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


# places where nothing may be written

CLIP = ("--detector", "clip")
LABELLED = ("--good", "photos/0000.png", "--bad", "photos/0002.png")


def give_up_privileges() -> None:
    """Let the modes of files hold for this process though it may be root's."""
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if os.geteuid() == 0 and ctypes.CDLL(None, use_errno=True).capset(header, none):
        raise OSError(ctypes.get_errno(), "capset")


def unprivileged(*words: str | Path, cwd: Path) -> Done:
    """Run the command line in a child of this process that has no home and may write nowhere."""
    with get_context("fork").Pool(1, give_up_privileges) as pool:
        surroundings = {"cwd": cwd, "HOME": "/nonexistent", "VLMAD_CACHE": str(cwd / "cache")}
        return pool.apply(vlmad, words, surroundings)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A read-only folder of photographs, tables and a run."""
    folder = tmp_path_factory.mktemp("shelf")
    noise(folder / "photos", 4)
    rows = [f"photos/{n:04d}.png,{label}" for n, label in enumerate(("ok", "ok", "ng", "ng"))]
    (folder / "parts.csv").write_text("\n".join(["image,label", *rows]), encoding="utf-8")
    (folder / "verdicts.csv").write_text("\n".join(["image,verdict", *rows]), encoding="utf-8")
    words = ("run", "photos", *CLIP, "--overlays", "none", "--quiet", "--out", "ran")
    done = vlmad(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "cache").mkdir()
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for each in folders:
        each.chmod(0o555)
    yield folder
    for each in folders:
        each.chmod(0o755)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "place"),
    [
        (("run", "photos/0000.png", *CLIP), "vlmad-runs"),
        (("run", "photos/0000.png", *CLIP, "--out", "new/out"), "new/out"),
        (("fit", "photos/0000.png", "--out", "f.safetensors"), "f.safetensors"),
        (("bench", "parts.csv", *CLIP, "--replicates", "2"), "vlmad-runs"),
        (("grid", "parts.csv", "--scorer", "max-cosine", "--out", "out"), "out"),
        (("calibrate", *CLIP, *LABELLED, "--out", "t.json"), "t.json"),
        (("review", "ran", "verdicts.csv", "--out", "better"), "better"),
        (("review", "ran", "--init", "v.csv"), "v.csv"),
        (("explain", "photos/0000.png"), "vlmad-runs"),
        (("explain", "photos/0000.png", "--out", "out"), "out/"),
    ],
    ids=lambda each: " ".join(each[:2]) if isinstance(each, tuple) else None,
)
def test_a_read_only_place_is_named_in_one_line_and_nothing_is_left(
    words: tuple[str, ...], place: str, shelf: Path
) -> None:
    before = set(shelf.rglob("*"))
    ended = unprivileged(*words, cwd=shelf)
    assert ended.returncode == 2, ended
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("vlmad: cannot write "), ended.stderr
    assert place in last
    assert last.endswith(": Permission denied")
    assert "Warning" not in ended.stderr
    assert set(shelf.rglob("*")) == before


@pytest.mark.slow
def test_photographs_on_a_read_only_share_are_scored_into_a_folder_elsewhere(
    shelf: Path, tmp_path: Path
) -> None:
    before = set(shelf.rglob("*"))
    words = ("run", "photos", *CLIP, "--quiet", "--out", str(tmp_path / "out"))
    ended = unprivileged(*words, cwd=shelf)
    assert ended.returncode == 0, ended.stderr
    assert len((tmp_path / "out" / "scores.jsonl").read_bytes().splitlines()) == 4
    assert len(list((tmp_path / "out" / "overlays").glob("*.jpg"))) == 4
    assert set(shelf.rglob("*")) == before
